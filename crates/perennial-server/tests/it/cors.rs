//! Which web pages may call.

use http::Method;

use crate::world::World;

#[tokio::test]
async fn registered_origins_read_answers_and_refusals() {
    let world = World::new().await;
    for (origin, allowed) in [
        ("https://app.example", true),
        ("http://localhost:3000", true),
        ("http://localhost", true),
        ("https://app.example:444", false),
        ("https://app.example.evil.example", false),
        ("http://localhost:evil", false),
        ("http://localhost.evil.example:3000", false),
        ("https://gone.example", false),
        ("null", false),
    ] {
        let refused = world.post("/token", &[("client_id", "web")], &[("Origin", origin)]).await;
        assert_eq!(refused.header("access-control-allow-origin") == origin, allowed, "{origin}");
        assert_eq!(refused.header("vary"), "Origin");
        if allowed {
            assert_eq!(
                refused.header("access-control-expose-headers"),
                "DPoP-Nonce, Retry-After, WWW-Authenticate, Date"
            );
        }
    }
    for path in ["/jwks", "/.well-known/openid-configuration", "/userinfo", "/session"] {
        let answer = world.get(path, &[("Origin", "https://app.example")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example", "{path}");
    }
}

#[tokio::test]
async fn preflights_allow_what_clients_send() {
    let world = World::new().await;
    let ask = [
        ("Origin", "https://app.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "idempotency-key"),
    ];
    for path in ["/token", "/revoke", "/userinfo", "/session"] {
        let answer = world.ask(Method::OPTIONS, path, &ask).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.example");
        assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
        assert_eq!(
            answer.header("access-control-allow-headers"),
            "Authorization, Content-Type, Idempotency-Key, DPoP"
        );
        assert_eq!(answer.header("access-control-max-age"), "7200");
    }
    let foreign = world.ask(Method::OPTIONS, "/token", &[("Origin", "https://evil.example")]).await;
    assert_eq!(foreign.status, 204);
    assert_eq!(foreign.header("access-control-allow-origin"), "");
    assert_eq!(foreign.header("access-control-allow-headers"), "");
}
