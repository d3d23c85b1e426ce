//! A small site with the pages of an authorization server: sign-in, consent, and the client's callback.

use std::collections::HashMap;

use axum::Router;
use axum::extract::{Form, Query};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

type Fields = HashMap<String, String>;

/// Starts the site; returns its address without a slash at the end.
pub(crate) async fn start() -> String {
    let app = Router::new()
        .route("/authorize", get(sign_in_page))
        .route("/sign-in", post(sign_in))
        .route("/consent", get(consent_page).post(consent))
        .route(
            "/callback",
            get(async |Query(query): Query<Fields>| query.get("code").cloned().unwrap_or_default()),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn sign_in_page(Query(query): Query<Fields>) -> Response {
    let hint = query.get("login_hint").cloned().unwrap_or_default();
    let page = format!(
        r#"<!doctype html><meta name="viewport" content="width=device-width"><title>Sign in</title>
        <!-- <form id="not-this"> --><form id="sign-in-form" action="/sign-in?a=1&amp;b=2" method="post">
        <input type="hidden" name="csrf" value="&lt;token&gt;">
        <input id="username" name="user" value="{hint}"> <input id="password" name="secret" type="password">
        <input type="checkbox" name="remember"> <input name="off" value="x" disabled>
        <button id="sign-in" name="do" value="in">Sign in</button><button id="other" name="do" value="out">No</button>
        </form>"#
    );
    ([(SET_COOKIE, "__Host-login=1; Path=/; Secure; HttpOnly; SameSite=Lax")], Html(page)).into_response()
}

async fn sign_in(headers: HeaderMap, Query(query): Query<Fields>, Form(form): Form<Fields>) -> Response {
    let field = |name: &str| form.get(name).map(String::as_str);
    let genuine = query.get("b").is_some_and(|b| b == "2")
        && field("csrf") == Some("<token>")
        && field("do") == Some("in")
        && !form.contains_key("remember")
        && !form.contains_key("off");
    let cookies = headers.get(COOKIE).map(|value| value.to_str().unwrap()).unwrap_or_default();
    if !genuine || !cookies.contains("__Host-login=1") {
        return (StatusCode::BAD_REQUEST, format!("{form:?} {cookies}")).into_response();
    }
    if (field("user"), field("secret")) != (Some("ada"), Some("correct horse")) {
        return sign_in_page(Query(Fields::new())).await;
    }
    ([(SET_COOKIE, "session=ada; HttpOnly")], Redirect::to("/consent")).into_response()
}

async fn consent_page() -> Html<&'static str> {
    Html(
        r#"<!doctype html><form method="post"><button name="answer" value="deny" id="consent-deny">No</button>
        <button name="answer" value="allow" id="consent-allow">Yes</button></form>"#,
    )
}

async fn consent(headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    let signed_in = headers[COOKIE].to_str().unwrap().contains("session=ada");
    let allowed = form.get("answer").is_some_and(|answer| answer == "allow");
    let answer = if signed_in && allowed { "code=yes" } else { "error=access_denied" };
    Redirect::to(&format!("/callback?{answer}")).into_response()
}
