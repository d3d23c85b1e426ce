//! Client authentication, and clients that ask for themselves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{BACK_END_SECRET, World, claims};

fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

#[tokio::test]
async fn service_gets_a_token_for_itself_by_header_and_by_parameter() {
    let world = World::new().await;
    let grant = ("grant_type", "client_credentials");
    let by_header =
        world.post("/token", &[grant], &[("Authorization", &basic("service", "service-secret"))]).await;
    let form = [grant, ("client_id", "service"), ("client_secret", "service-secret"), ("scope", "notes")];
    let by_parameter = world.post("/token", &form, &[]).await;
    assert_eq!(by_header.is_issued().text("scope"), "notes reports");
    assert_eq!(by_parameter.is_issued().text("scope"), "notes");
    for answer in [&by_header, &by_parameter] {
        for member in ["refresh_token", "session", "id_token"] {
            assert!(answer.body.get(member).is_none(), "{member}");
        }
        let claims = claims(answer.text("access_token"));
        assert_eq!((&claims["sub"], &claims["client_id"]), (&"service".into(), &"service".into()));
        assert!(claims.get("sid").is_none());
    }
}

#[tokio::test]
async fn secrets_are_form_encoded_in_the_header() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials")];
    let header = basic("back end", BACK_END_SECRET);
    world.post("/token", &form, &[("Authorization", &header)]).await.is_issued();
    let scheme_in_capitals = header.replace("Basic", "BASIC");
    world.post("/token", &form, &[("Authorization", &scheme_in_capitals)]).await.is_issued();
}

#[tokio::test]
async fn authentication_fails_as_invalid_client_with_a_challenge_for_the_header() {
    let world = World::new().await;
    let grant = ("grant_type", "client_credentials");
    for header in [
        basic("service", "wrong"),
        basic("nobody", "service-secret"),
        basic("web", "any"),
        "Basic".to_owned(),
        "Basic !!!".to_owned(),
        format!("Basic {}", STANDARD.encode("without colon")),
        format!("Basic {}", STANDARD.encode(b"service:\xff\xfe")),
        "Bearer abc".to_owned(),
    ] {
        let refused = world.post("/token", &[grant], &[("Authorization", &header)]).await;
        refused.is_refused(401, "invalid_client", "client_authentication", "fix_client", false);
        assert!(refused.header("www-authenticate").starts_with("Basic "), "{header}");
    }
    for (form, reason) in [
        (vec![grant], "no_client"),
        (vec![grant, ("client_id", "nobody")], "client_authentication"),
        (vec![grant, ("client_id", "service")], "client_authentication"),
        (vec![grant, ("client_id", "service"), ("client_secret", "wrong")], "client_authentication"),
        (vec![grant, ("client_id", "web"), ("client_secret", "any")], "client_authentication"),
        (vec![grant, ("client_id", "disabled")], "client_disabled"),
    ] {
        let refused = world.post("/token", &form, &[]).await;
        refused.is_refused(401, "invalid_client", reason, "fix_client", false);
        assert_eq!(refused.header("www-authenticate"), "");
    }
}

#[tokio::test]
async fn two_ways_to_authenticate_are_one_too_many() {
    let world = World::new().await;
    let header = basic("service", "service-secret");
    let grant = ("grant_type", "client_credentials");
    for (form, headers, reason) in [
        (vec![grant, ("client_secret", "service-secret")], vec![&header], "two_authentications"),
        (vec![grant, ("client_id", "web")], vec![&header], "two_clients"),
        (vec![grant], vec![&header, &header], "two_authentications"),
    ] {
        let headers: Vec<_> = headers.into_iter().map(|value| ("Authorization", value.as_str())).collect();
        let refused = world.post("/token", &form, &headers).await;
        refused.is_refused(400, "invalid_request", reason, "fix_client", false);
    }
    let same_client = [grant, ("client_id", "service")];
    world.post("/token", &same_client, &[("Authorization", &header)]).await.is_issued();
}

#[tokio::test]
async fn clients_use_only_the_grants_they_are_registered_for() {
    let world = World::new().await;
    for (form, status, error, reason) in [
        (
            vec![("grant_type", "client_credentials"), ("client_id", "web")],
            400,
            "unauthorized_client",
            "grant_type",
        ),
        (
            vec![("grant_type", "client_credentials"), ("client_id", "public service")],
            400,
            "unauthorized_client",
            "public_client",
        ),
        (vec![("grant_type", "password"), ("client_id", "web")], 400, "unsupported_grant_type", "grant_type"),
        (
            vec![
                ("grant_type", "client_credentials"),
                ("client_id", "service"),
                ("client_secret", "service-secret"),
                ("scope", "openid"),
            ],
            400,
            "invalid_scope",
            "scope",
        ),
        (
            vec![
                ("grant_type", "client_credentials"),
                ("client_id", "service"),
                ("client_secret", "service-secret"),
                ("resource", "https://elsewhere.example"),
            ],
            400,
            "invalid_target",
            "resource",
        ),
    ] {
        let refused = world.post("/token", &form, &[]).await;
        refused.is_refused(status, error, reason, "fix_client", false);
    }
}

#[tokio::test]
async fn disabled_client_gets_nothing_for_its_token() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("web").await;
    let mut clients: Vec<_> = world.service.clients.all().iter().map(|client| (**client).clone()).collect();
    for client in &mut clients {
        client.disabled |= client.id.as_str() == "web";
    }
    world.service.clients.replace(clients);
    let before = world.row(sid).await;
    let refused = world.refresh("web", &token, &[]).await;
    refused.is_refused(401, "invalid_client", "client_disabled", "fix_client", false);
    assert_eq!(world.row(sid).await, before);
}
