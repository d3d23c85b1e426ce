//! What answers look like, member by member; whatever differs each time is blotted out.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{BACK_END_SECRET, World, claims};

/// The answer with what differs each time replaced by what it is.
fn shape(value: &Value) -> String {
    fn blot(name: &str, value: &mut Value) {
        match value {
            Value::Object(members) => members.iter_mut().for_each(|(name, value)| blot(name, value)),
            Value::Array(items) => items.iter_mut().for_each(|value| blot(name, value)),
            Value::String(text) => match name {
                "refresh_token" if text.starts_with("prn_rt_") => *value = json!("prn_rt_…"),
                "access_token" | "id_token" => *value = json!("a JWT"),
                "id" | "sid" | "continuity" | "jti" | "sub" if text.len() > 16 => *value = json!("an id"),
                "at_hash" => *value = json!("a hash"),
                _ => {}
            },
            Value::Number(number) => match name {
                "iat" | "exp" | "auth_time" | "since" => *value = json!("Unix seconds"),
                _ if name.ends_with("_at") => *value = json!("Unix seconds"),
                // One second may have passed.
                "refresh_token_expires_in" | "authorization_expires_in" => {
                    *value = json!(number.as_u64().unwrap().next_multiple_of(60));
                }
                _ => {}
            },
            Value::Bool(_) | Value::Null => {}
        }
    }
    let mut value = value.clone();
    blot("", &mut value);
    ordered(&value)
}

/// JSON with its members in the order of their names, whatever order serde_json was built to keep.
pub(crate) fn ordered(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        let Some(members) = value.as_object() else { return value.clone() };
        let by_name: BTreeMap<&String, Value> =
            members.iter().map(|(name, value)| (name, sorted(value))).collect();
        json!(by_name)
    }
    serde_json::to_string_pretty(&sorted(value)).unwrap()
}

#[tokio::test]
async fn tokens_for_a_code() {
    let world = World::new().await;
    let born = world.consented("web").await;
    let answer = world.redeem("web", &born.code, &[]).await;
    let headers: Vec<_> = ["content-type", "cache-control", "pragma", "vary"]
        .map(|name| format!("{name}: {}", answer.header(name)))
        .into();
    insta::assert_snapshot!("code_headers", headers.join("\n"));
    insta::assert_snapshot!("code", shape(&answer.is_issued().body));
    insta::assert_snapshot!("access_token_claims", shape(&claims(answer.text("access_token"))));
    insta::assert_snapshot!("id_token_claims", shape(&claims(answer.text("id_token"))));
}

#[tokio::test]
async fn tokens_for_a_refresh_token() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    insta::assert_snapshot!("refresh", shape(&world.refresh("web", &token, &[]).await.is_issued().body));
}

#[tokio::test]
async fn tokens_for_a_client_itself() {
    let world = World::new().await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "back end"),
        ("client_secret", BACK_END_SECRET),
        ("scope", "notes"),
    ];
    let answer = world.post("/token", &form, &[]).await;
    insta::assert_snapshot!("client_credentials", shape(&answer.is_issued().body));
    insta::assert_snapshot!("client_credentials_claims", shape(&claims(answer.text("access_token"))));
}

#[tokio::test]
async fn refusals() {
    let world = World::new().await;
    let (sid, token) = world.signed_in("strict").await;
    let second = world.refresh("strict", &token, &[]).await.is_issued().text("refresh_token").to_owned();
    insta::assert_snapshot!(
        "refused_scope",
        shape(&world.refresh("strict", &second, &[("scope", "x")]).await.body)
    );
    world.store.fail_read(perennial_store::StoreError::Full);
    insta::assert_snapshot!("refused_store", shape(&world.refresh("strict", &second, &[]).await.body));
    let ahead = world.token_of(sid, 1000).await;
    insta::assert_snapshot!("refused_step_up", shape(&world.refresh("strict", &ahead, &[]).await.body));
    insta::assert_snapshot!("refused_revoked", shape(&world.refresh("strict", &token, &[]).await.body));
}

#[tokio::test]
async fn the_sessions_own_view() {
    let world = World::new().await;
    let (_, token) = world.signed_in("web").await;
    let answer = world.post("/session", &[("refresh_token", &token), ("client_id", "web")], &[]).await;
    insta::assert_snapshot!("session", shape(&answer.is_issued().body));
}
