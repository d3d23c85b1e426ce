//! How a page becomes an answer: compiled-in templates, parsed once, escaped by default, under a strict
//! content security policy.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::assets;
use super::visit::Visit;

/// Every page there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    SignIn,
    Consent,
    SignOut,
    SignedOut,
    Stop,
    Explanation,
    Home,
}

const LAYOUT: (&str, &str) = ("layout.html", include_str!("templates/layout.html"));

impl Template {
    pub(crate) const ALL: [Self; 7] = [
        Self::SignIn,
        Self::Consent,
        Self::SignOut,
        Self::SignedOut,
        Self::Stop,
        Self::Explanation,
        Self::Home,
    ];

    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::SignIn => ("sign_in.html", include_str!("templates/sign_in.html")),
            Self::Consent => ("consent.html", include_str!("templates/consent.html")),
            Self::SignOut => ("sign_out.html", include_str!("templates/sign_out.html")),
            Self::SignedOut => ("signed_out.html", include_str!("templates/signed_out.html")),
            Self::Stop => ("stop.html", include_str!("templates/stop.html")),
            Self::Explanation => ("explanation.html", include_str!("templates/explanation.html")),
            Self::Home => ("home.html", include_str!("templates/home.html")),
        }
    }

    /// Without `form-action` where there is a form: browsers hold the redirects after it against that list
    /// too, and those lead to the client, and from there to wherever the client likes. No other page of ours
    /// may send a form anywhere.
    const fn content_security_policy(self) -> &'static str {
        match self {
            Self::SignIn | Self::Consent | Self::SignOut => {
                "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
            }
            Self::SignedOut | Self::Stop | Self::Explanation | Self::Home => {
                "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
                 form-action 'none'"
            }
        }
    }
}

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in [LAYOUT].into_iter().chain(Template::ALL.map(Template::source)) {
        environment.add_template(name, source).expect("the compiled-in templates parse: a test renders each");
    }
    environment
});

/// A page to be sent.
#[derive(Debug)]
pub(crate) struct Page {
    template: Template,
    status: StatusCode,
    body: Value,
    cookies: Vec<String>,
    retry_after_s: Option<u32>,
}

impl Page {
    pub(crate) fn new(template: Template, body: impl Serialize) -> Self {
        Self {
            template,
            status: StatusCode::OK,
            body: Value::from(Serde(body)),
            cookies: Vec::new(),
            retry_after_s: None,
        }
    }

    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn cookies(mut self, cookies: impl IntoIterator<Item = String>) -> Self {
        self.cookies.extend(cookies);
        self
    }

    pub(crate) fn retry_after_s(mut self, seconds: Option<u32>) -> Self {
        self.retry_after_s = seconds;
        self
    }

    /// The answer.
    pub(crate) fn answer(self, visit: &Visit) -> Response {
        let site = context! {
            base => visit.base(),
            issuer => visit.service.issuer.as_ref(),
            stylesheet => assets::STYLESHEET.path.as_str(),
            icon => assets::ICON.path.as_str(),
        };
        let (name, _) = self.template.source();
        let rendered = TEMPLATES
            .get_template(name)
            .and_then(|template| template.render(context! { site, page => self.body }));
        let html = match rendered {
            Ok(html) => html,
            Err(error) => {
                tracing::error!(request_id = %visit.caller.request_id, %error, page = name, "a page did not render");
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        };
        let mut response = (self.status, html).into_response();
        let headers = response.headers_mut();
        // `same-origin`, since browsers send a form from a page with `no-referrer` with `Origin: null`.
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, self.template.content_security_policy()),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        set_cookies(&mut response, self.cookies);
        response
    }
}

/// A redirect after which the browser asks with GET and sends nobody our address (RFC 9700, 4.12: 303).
pub(crate) fn see_other(
    visit: &Visit,
    location: &str,
    cookies: impl IntoIterator<Item = String>,
) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        tracing::error!(request_id = %visit.caller.request_id, "an address to redirect to is no header value");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    set_cookies(&mut response, cookies);
    response
}

fn set_cookies(response: &mut Response, cookies: impl IntoIterator<Item = String>) {
    for cookie in cookies {
        let value = HeaderValue::from_str(&cookie).expect("our cookies are base64url and fixed words");
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
