//! The stylesheet and the icon: compiled in, named by their content, so browsers keep them for good.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// A file as it is served.
pub(crate) struct Asset {
    /// Relative to the base.
    pub(crate) path: String,
    content_type: &'static str,
    body: &'static str,
}

pub(crate) static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("perennial", "css", "text/css; charset=utf-8", include_str!("assets/perennial.css"))
});

pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("leaf", "svg", "image/svg+xml", include_str!("assets/leaf.svg")));

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, body: &'static str) -> Self {
        let hash = Sha256::digest(body.as_bytes()).iter().take(8).fold(String::new(), |mut hash, byte| {
            write!(hash, "{byte:02x}").expect("writing to a string does not fail");
            hash
        });
        Self { path: format!("/assets/{name}-{hash}.{extension}"), content_type, body }
    }
}

/// `GET /assets/{file}`
pub(crate) async fn get(Path(file): Path<String>) -> Response {
    let Some(asset) =
        [&*STYLESHEET, &*ICON].into_iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(&*file))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, asset.body).into_response()
}
