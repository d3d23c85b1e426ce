//! That a form was sent from a page of ours: what browsers say about its origin, and a double-submitted token.
//!
//! Both must be right; the token also covers browsers that say nothing of the origin. No state is kept on the
//! server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use subtle::ConstantTimeEq;

use crate::accounts::random::random_bytes;

use super::cookies::{self, Lasts};
use super::visit::Visit;

/// The form field that repeats the cookie.
pub(crate) const FIELD: &str = "csrf";

const COOKIE: &str = "perennial_csrf";
const LENGTH: usize = 22;

/// A form from somewhere else, or from a page that was open for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOurs;

/// The token for a form, and the cookie to set where the browser has none yet. It is kept while the browser is
/// open, so that two tabs can show forms at once.
pub(crate) fn token(visit: &Visit) -> (String, Option<String>) {
    if let Some(token) = visit.cookie(&cookies::name(visit, COOKIE)).filter(|token| is_token(token)) {
        return (token.to_owned(), None);
    }
    let token = URL_SAFE_NO_PAD.encode(random_bytes::<16>());
    let cookie = cookies::set(visit, COOKIE, &token, Lasts::WhileOpen);
    (token, Some(cookie))
}

/// Checks a form that came with `token`.
pub(crate) fn check(visit: &Visit, token: &str) -> Result<(), NotOurs> {
    let own = visit.cookie(&cookies::name(visit, COOKIE)).filter(|own| is_token(own)).ok_or(NotOurs)?;
    if !bool::from(own.as_bytes().ct_eq(token.as_bytes())) || !comes_from_us(visit) {
        return Err(NotOurs);
    }
    Ok(())
}

fn is_token(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// What the browser says; a client that says nothing is not one that another site could misuse.
fn comes_from_us(visit: &Visit) -> bool {
    let text = |name: &str| visit.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN.as_str()) else { return true };
    let issuer: &str = &visit.service.issuer;
    let issuer_origin = issuer.strip_suffix(visit.base()).unwrap_or(issuer);
    // A page's host is what the browser connected to, and no other site can choose that header.
    let host =
        text(header::HOST.as_str()).or_else(|| visit.uri.authority().map(http::uri::Authority::as_str));
    let same_host = host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, own)| own == host));
    origin == issuer_origin || same_host
}
