//! Metadata and public keys.

use crate::world::World;

#[tokio::test]
async fn metadata_names_what_is_there() {
    let world = World::new().await;
    let openid = world.get("/.well-known/openid-configuration", &[]).await;
    let oauth = world.get("/.well-known/oauth-authorization-server", &[]).await;
    assert_eq!(openid.body, oauth.body);
    assert_eq!(openid.header("cache-control"), "public, max-age=300");
    insta::assert_snapshot!("metadata", crate::shapes::ordered(&openid.body));
}

#[tokio::test]
async fn keys_may_be_cached_and_hold_nothing_private() {
    let world = World::new().await;
    let jwks = world.get("/jwks", &[]).await;
    assert!(jwks.header("cache-control").starts_with("public, max-age="));
    for key in jwks.body["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none());
        }
    }
}
