//! What is answered where no endpoint answers: the same members as every other refusal of this server.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::refusal::{Action, ErrorCode, Refusal};

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

impl Refuse {
    /// The answer.
    pub(super) fn response(self, issuer: &Arc<str>, request_id: &Arc<str>) -> Response {
        let refusal = match self {
            Self::Busy => Refusal::unavailable(
                "overloaded",
                "The server has as much in work as it takes. Try again.",
                1,
            ),
            Self::TimedOut => Refusal::unavailable("timeout", "The answer took too long. Try again.", 2),
            Self::SlowBody => again(
                Refusal::request("slow_body", "The request's body came too slowly.")
                    .with_status(StatusCode::REQUEST_TIMEOUT),
            ),
            Self::LargeBody => Refusal::request("large_body", "The request's body is too large.")
                .with_status(StatusCode::PAYLOAD_TOO_LARGE),
            Self::BrokenBody => again(Refusal::request("broken_body", "The request's body broke off.")),
            // Whatever it had done by then is done once: asking again gives the same successor.
            Self::Panicked => again(Refusal::new(
                ErrorCode::ServerError,
                "internal",
                "Something is wrong in the server. Its log has more under this request id.",
            )),
        };
        let mut response = refusal.answering(issuer, request_id).into_response();
        // What is left of a body that was not read must not be taken for the next request.
        if matches!(self, Self::SlowBody | Self::LargeBody | Self::BrokenBody) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

fn again(mut refusal: Refusal) -> Refusal {
    refusal.retryable = true;
    refusal.with_action(Action::Retry)
}
