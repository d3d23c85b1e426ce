//! What is answered where no endpoint answers: the same members as every other refusal of this server.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// Why the network layer answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refuse {
    /// All connections or requests that are allowed at a time are taken.
    Busy,
    /// The endpoint did not answer in time. It goes on unseen; asking again gives the same successor.
    TimedOut,
    /// The request's body did not come in time.
    SlowBody,
    /// The request's body is larger than allowed.
    LargeBody,
    /// The request's body broke off or is no HTTP.
    BrokenBody,
    /// The endpoint panicked.
    Panicked,
}

struct Words {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
    retryable: bool,
    reason: &'static str,
    retry_after: Option<&'static str>,
}

impl Refuse {
    fn words(self) -> Words {
        let unavailable = |description, reason, retry_after| Words {
            status: StatusCode::SERVICE_UNAVAILABLE,
            error: "temporarily_unavailable",
            description,
            retryable: true,
            reason,
            retry_after: Some(retry_after),
        };
        let invalid = |status, description, retryable, reason| Words {
            status,
            error: "invalid_request",
            description,
            retryable,
            reason,
            retry_after: None,
        };
        match self {
            Self::Busy => unavailable("the server has as much in work as it takes: try again", "overloaded", "1"),
            Self::TimedOut => unavailable("the answer took too long: try again", "timeout", "2"),
            Self::SlowBody => {
                invalid(StatusCode::REQUEST_TIMEOUT, "the request's body came too slowly", true, "slow_body")
            }
            Self::LargeBody => {
                invalid(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large", false, "large_body")
            }
            Self::BrokenBody => invalid(StatusCode::BAD_REQUEST, "the request's body broke off", true, "broken_body"),
            Self::Panicked => Words {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                error: "server_error",
                description: "something is wrong in the server; its log has more under this request id",
                retryable: true,
                reason: "internal",
                retry_after: Some("5"),
            },
        }
    }

    /// The answer.
    pub(super) fn response(self, request_id: &str) -> Response {
        let words = self.words();
        let body = json!({
            "error": words.error,
            "error_description": words.description,
            "retryable": words.retryable,
            "action": if words.retryable { "retry" } else { "fix_client" },
            "reason": words.reason,
            "request_id": request_id,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = words.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = words.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        // What is left of a body that was not read must not be taken for the next request.
        if matches!(self, Self::SlowBody | Self::LargeBody | Self::BrokenBody) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
