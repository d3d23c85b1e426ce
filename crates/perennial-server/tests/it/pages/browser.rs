//! A browser: it keeps cookies, fills in forms, and says where a form came from.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Request, header};

use super::site::{Answer, CHALLENGE, LOGIN, PASSWORD, REDIRECT_URI, Site};

pub(crate) struct Browser<'a> {
    pub(crate) site: &'a Site,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) addr: &'static str,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        Self { site, cookies: BTreeMap::new(), addr: "192.0.2.1" }
    }

    pub(crate) async fn get(&mut self, address: &str) -> Answer {
        let mut request = Request::get(address);
        if let Some(cookies) = self.cookie_header() {
            request = request.header(header::COOKIE, cookies);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends a form as a page of ours does.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_with(path, form, &[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8080")])
            .await
    }

    pub(crate) async fn post_with(
        &mut self,
        path: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::HOST, "localhost:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookies) = self.cookie_header() {
            request = request.header(header::COOKIE, cookies);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// `GET /authorize` with the usual request, changed as `changes` says: an empty value leaves one out.
    pub(crate) async fn authorize(&mut self, changes: &[(&str, &str)]) -> Answer {
        self.get(&authorize(changes)).await
    }

    /// Fills in the sign-in form of a page.
    pub(crate) async fn fill_in(&mut self, page: &Answer, login: &str, password: &str) -> Answer {
        let (csrf, request) = (page.field("csrf"), page.field("request"));
        let form = [("csrf", &*csrf), ("request", &*request), ("username", login), ("password", password)];
        self.post("/sign-in", &form).await
    }

    /// Decides on a consent page.
    pub(crate) async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        let (csrf, request, subject) = (page.field("csrf"), page.field("request"), page.field("subject"));
        let form = [("csrf", &*csrf), ("request", &*request), ("subject", &*subject), ("decision", decision)];
        self.post("/consent", &form).await
    }

    /// Signs ada in on the way of a request, and follows to what comes after.
    pub(crate) async fn sign_in(&mut self, changes: &[(&str, &str)]) -> Answer {
        let page = self.authorize(changes).await;
        let entered = self.fill_in(page.is_page(200), LOGIN, PASSWORD).await;
        let next = entered.location().to_owned();
        assert!(next.starts_with("/authorize?"), "{entered:?}");
        self.get(&next).await
    }

    fn cookie_header(&self) -> Option<String> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    async fn send(&mut self, request: Request<Body>) -> Answer {
        let answer = self.site.send(self.addr, request).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// The address of the usual request, with `changes`.
pub(crate) fn authorize(changes: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("response_type", "code"),
        ("scope", "openid profile offline_access"),
        ("state", "a state"),
        ("nonce", "a-nonce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        pairs.retain(|(own, _)| own != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/authorize?{query}")
}
