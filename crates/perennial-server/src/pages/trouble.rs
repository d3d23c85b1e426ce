//! Where a person's way ends on a page of ours: what happened, what it means, and what to do.

use axum::response::Response;
use http::StatusCode;
use perennial_store::StoreError;
use serde::Serialize;

use crate::accounts::AccountsError;

use super::page::{Page, Template};
use super::request::{AuthorizationError, AuthorizationRequest, UnsafeRequest};
use super::visit::Visit;

/// How long a browser, or the person in front of it, should wait for a store that is away.
const RETRY_AFTER_S: u32 = 5;

/// Something of ours failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The accounts.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// A bug.
    #[error("{0}")]
    Bug(&'static str),
}

/// Why a person goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// An authorization request that must not be answered by redirect.
    Request(UnsafeRequest),
    /// A form in another format than forms have.
    NotAForm,
    /// A form with more in it than any of ours.
    FormTooLarge,
    /// A form that was not sent from a page of ours, or from one that was open for too long.
    StaleForm {
        /// Where to begin anew.
        start_again: String,
    },
    /// An address that only makes sense on the way from an app.
    NotFromAnApp,
    /// There is no such page.
    NotFound,
    /// A sign-out that wants to go somewhere that is not the client's.
    SignOutElsewhere,
    /// The store is away, or too much is asked of us.
    Away {
        /// The same request again.
        try_again: String,
    },
    /// A fault of ours.
    Broken,
}

/// A stop in words.
#[derive(Debug, Serialize)]
struct Words {
    title: &'static str,
    happened: &'static str,
    means: &'static str,
    next: &'static str,
    button: Option<Button>,
    error: Option<&'static str>,
    /// What the request's id is, so that support can find it.
    reference: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Button {
    pub(crate) label: &'static str,
    pub(crate) href: String,
}

impl Trouble {
    /// Whether the same request may succeed later.
    pub(crate) const fn is_retriable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retriable(),
            Self::Accounts(error) => error.is_retriable(),
            Self::Bug(_) => false,
        }
    }

    /// The page for it; `again` is the address that asks the same once more.
    pub(crate) fn page(&self, visit: &Visit, again: String) -> Response {
        let request_id = &visit.caller.request_id;
        if self.is_retriable() {
            tracing::warn!(%request_id, error = %self, "a page could not be served now");
            stop_page(visit, Stop::Away { try_again: again })
        } else {
            tracing::error!(%request_id, error = %self, "a page could not be served");
            stop_page(visit, Stop::Broken)
        }
    }

    /// The answer to the client for it, where nothing may be shown to the person.
    pub(crate) fn refusal(
        &self,
        visit: &Visit,
        request: AuthorizationRequest,
    ) -> super::request::ErrorAnswer {
        let request_id = &visit.caller.request_id;
        tracing::warn!(%request_id, error = %self, "a silent authorization could not be answered");
        if self.is_retriable() {
            let description = "the server cannot reach its records now; nothing was consumed: try again";
            request.return_to.refuse(AuthorizationError::TemporarilyUnavailable, description)
        } else {
            request.return_to.refuse(AuthorizationError::ServerError, "the server failed; its log says why")
        }
    }
}

/// The page for a stop.
pub(crate) fn stop_page(visit: &Visit, stop: Stop) -> Response {
    let (status, words) = words(visit, stop);
    let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S);
    Page::new(Template::Stop, words).status(status).retry_after_s(retry_after_s).answer(visit)
}

fn words(visit: &Visit, stop: Stop) -> (StatusCode, Words) {
    let plain = |title, happened, means, next| Words {
        title,
        happened,
        means,
        next,
        button: None,
        error: None,
        reference: visit.caller.request_id.to_string(),
    };
    match stop {
        Stop::Request(unsafe_request) => {
            let (happened, next) = of_request(unsafe_request);
            let means = "So that nobody else can get your sign-in, we do not send you on from here. \
                         Nothing was shared, and your account is not affected.";
            let words = plain("This sign-in link does not work", happened, means, next);
            (StatusCode::BAD_REQUEST, Words { error: Some("invalid_request"), ..words })
        }
        Stop::NotAForm => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            plain(
                "This form could not be read",
                "It was sent in a format that this page does not take.",
                "Nothing was changed.",
                "Send it as application/x-www-form-urlencoded.",
            ),
        ),
        Stop::FormTooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            plain(
                "This form is too long",
                "It holds more than this page takes.",
                "Nothing was changed.",
                "Go back to the app and start again.",
            ),
        ),
        Stop::StaleForm { start_again } => (
            StatusCode::FORBIDDEN,
            Words {
                button: Some(Button { label: "Start again", href: start_again }),
                ..plain(
                    "Please start again",
                    "This form was open for a long time, or it was not sent from our page.",
                    "Nothing was changed, and nothing that you typed was used.",
                    "Start again, and allow cookies for this site if your browser blocks them.",
                )
            },
        ),
        Stop::NotFromAnApp => (
            StatusCode::NOT_FOUND,
            plain(
                "Start from your app",
                "This page only works on the way from an app to its sign-in.",
                "You are not signed in or out by it.",
                "Open the app that you want to use, and sign in from there.",
            ),
        ),
        Stop::NotFound => (
            StatusCode::NOT_FOUND,
            Words {
                button: Some(Button { label: "Go to the start page", href: format!("{}/", visit.base()) }),
                ..plain(
                    "There is no such page",
                    "The address leads to nothing here.",
                    "The link may be old, or a letter of it is missing.",
                    "Check the address, or go back to the app that you came from.",
                )
            },
        ),
        Stop::SignOutElsewhere => (
            StatusCode::BAD_REQUEST,
            Words {
                button: Some(Button { label: "Sign out here", href: format!("{}/logout", visit.base()) }),
                error: Some("invalid_request"),
                ..plain(
                    "You are not signed out yet",
                    "The app asked us to send you on to an address that is not registered for it.",
                    "We do not send anybody to addresses that we do not know.",
                    "You can sign out here instead.",
                )
            },
        ),
        Stop::Away { try_again } => (
            StatusCode::SERVICE_UNAVAILABLE,
            Words {
                button: Some(Button { label: "Try again", href: try_again }),
                error: Some("temporarily_unavailable"),
                ..plain(
                    "One moment, please",
                    "We cannot reach our records right now.",
                    "You are not signed out anywhere, and nothing is lost.",
                    "Wait a few seconds and try again.",
                )
            },
        ),
        Stop::Broken => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Words {
                error: Some("server_error"),
                ..plain(
                    "That was our fault",
                    "Something went wrong on our side.",
                    "You are not signed out anywhere by it.",
                    "Go back to the app and try again. If it stays like this, tell the people who run this \
                     service the reference below.",
                )
            },
        ),
    }
}

/// What happened, and what to do.
const fn of_request(request: UnsafeRequest) -> (&'static str, &'static str) {
    const FROM_THE_APP: &str = "Go back to the app and sign in from there. If it sends you here again, the app's makers have to mend it.";
    match request {
        UnsafeRequest::TooLarge => ("The app's request is longer than any that we take.", FROM_THE_APP),
        UnsafeRequest::ClientMissing => {
            ("The request does not say which app it is for (client_id is missing).", FROM_THE_APP)
        }
        UnsafeRequest::ClientRepeated => {
            ("The request names the app more than once (client_id).", FROM_THE_APP)
        }
        UnsafeRequest::ClientUnknown => {
            ("The request is for an app that is not registered here (client_id).", FROM_THE_APP)
        }
        UnsafeRequest::ClientDisabled => (
            "The people who run this service have switched this app off.",
            "Ask them if you think that it should work.",
        ),
        UnsafeRequest::RedirectUriMissing => {
            ("The request does not say where to send you afterwards (redirect_uri is missing).", FROM_THE_APP)
        }
        UnsafeRequest::RedirectUriRepeated => {
            ("The request says more than once where to send you afterwards (redirect_uri).", FROM_THE_APP)
        }
        UnsafeRequest::RedirectUriUnknown => (
            "The request would send you to an address that is not registered for this app (redirect_uri).",
            FROM_THE_APP,
        ),
    }
}
