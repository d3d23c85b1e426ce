//! `/errors/{code}`: what an error means, for whoever follows an `error_uri` (RFC 6749, 5.2), or reads the word
//! in a log. And `/`, for whoever finds the server by its address.

use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;

use super::page::{Page, Template};
use super::trouble::{Button, Stop, stop_page};
use super::visit::Visit;

/// One error in words: first for the person in front of an app, then for those who make it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Explanation {
    pub(crate) code: &'static str,
    title: &'static str,
    happened: &'static str,
    means: &'static str,
    next: &'static str,
    makers: &'static str,
    /// Words that say more: the `reason` of a refusal, and what it means.
    reasons: &'static [(&'static str, &'static str)],
}

#[derive(Serialize)]
struct ExplanationPage {
    #[serde(flatten)]
    explanation: Explanation,
    button: Option<Button>,
}

/// `GET /errors/{code}`
pub(crate) async fn get(Path(code): Path<String>, visit: Visit) -> Response {
    let Some(explanation) = EXPLANATIONS.iter().find(|explanation| explanation.code == code) else {
        return stop_page(&visit, Stop::NotFound);
    };
    // A person whose session may be in somebody else's hands should be able to act here and now.
    let button = (code == "invalid_grant")
        .then(|| Button { label: "Sign out of this browser", href: format!("{}/logout", visit.base()) });
    Page::new(Template::Explanation, ExplanationPage { explanation: *explanation, button }).answer(&visit)
}

/// `GET /`
pub(crate) async fn home(visit: Visit) -> Response {
    #[derive(Serialize)]
    struct HomePage {}
    Page::new(Template::Home, HomePage {}).answer(&visit)
}

/// Whatever leads nowhere.
pub(crate) async fn not_found(visit: Visit) -> Response {
    stop_page(&visit, Stop::NotFound)
}

const TRY_THE_APP: &str = "Try again in the app. If it stays like this, its makers have to mend it.";
const NOTHING_LOST: &str = "You are not signed out, and nothing is lost.";
const APP_FAULT: &str = "The fault lies with the app, not with you or your account.";

pub(crate) const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        code: "temporarily_unavailable",
        title: "One moment, please",
        happened: "The sign-in service cannot reach its records, or is being restarted.",
        means: NOTHING_LOST,
        next: "Wait a little. Apps that are made well try again by themselves.",
        makers: "503 with Retry-After. Nothing was consumed: send the same request again, with the same Idempotency-Key.",
        reasons: &[],
    },
    Explanation {
        code: "slow_down",
        title: "A little too fast",
        happened: "The app asked more often than the sign-in service answers.",
        means: NOTHING_LOST,
        next: "Wait a little. Apps that are made well try again by themselves.",
        makers: "429 with Retry-After, or 400 while a device code is pending (RFC 8628, 3.5: poll 5 seconds slower). Nothing was consumed.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_grant",
        title: "Please sign in again",
        happened: "The app's sign-in is over, or what it presented is not its current one.",
        means: "The app cannot go on with the sign-in that it has. What you did in it may still be there.",
        next: "Sign in again in the app. If you did not expect this, change your password too.",
        makers: "Not retryable, unless the answer says so. The member reason says why; continuity names what the next session takes over.",
        reasons: &[
            ("expired_idle", "The app was not used for as long as the policy allows."),
            ("expired_absolute", "The session reached the age at which everybody proves again who they are."),
            ("revoked", "It was ended: by a sign-out, by you on another device, or by an administrator."),
            (
                "contested",
                "It was used from two places, and is paused until you say which one is you. The app keeps its token.",
            ),
            ("superseded", "The app presented an old token, and a newer one is in use."),
            ("binding", "The token belongs to a device's key, and no proof by that key came with it."),
            ("unknown", "The token is not one of this server's, or its session is long gone."),
        ],
    },
    Explanation {
        code: "conflict",
        title: "The app has a newer sign-in",
        happened: "One part of the app presented an old token while another part has a newer one.",
        means: NOTHING_LOST,
        next: "Nothing: the app takes the newer one by itself.",
        makers: "409 with Retry-After, reason superseded: load the credentials from the shared store again and use those.",
        reasons: &[],
    },
    Explanation {
        code: "insufficient_user_authentication",
        title: "One more step",
        happened: "What you want to do asks for a fresh or stronger sign-in.",
        means: NOTHING_LOST,
        next: "Go back to the app and follow its sign-in.",
        makers: "RFC 9470. Nothing was consumed: open step_up_uri, or send acr_values and max_age to /authorize.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_dpop_proof",
        title: "A proof did not hold",
        happened: "The app's proof that it holds its key was not accepted.",
        means: NOTHING_LOST,
        next: "See that this device's clock is right, then try again.",
        makers: "RFC 9449, 5. Retryable: make a new proof. Check htm, htu, iat and the key.",
        reasons: &[],
    },
    Explanation {
        code: "use_dpop_nonce",
        title: "A newer proof is needed",
        happened: "The app's proof has to carry a value that the server has just sent.",
        means: NOTHING_LOST,
        next: "Nothing: the app tries again by itself.",
        makers: "RFC 9449, 8: repeat the request with the nonce from the DPoP-Nonce header.",
        reasons: &[],
    },
    Explanation {
        code: "authorization_pending",
        title: "Waiting for you",
        happened: "A device is waiting for you to finish its sign-in in a browser.",
        means: NOTHING_LOST,
        next: "Finish the sign-in in the browser. The device goes on by itself.",
        makers: "RFC 8628, 3.5: keep polling at the interval that was given.",
        reasons: &[],
    },
    Explanation {
        code: "expired_token",
        title: "The code is too old",
        happened: "The sign-in of a device was not finished in time.",
        means: "The device is not signed in. Nothing else is affected.",
        next: "Start the sign-in on the device again.",
        makers: "RFC 8628, 3.5: ask for a new device code.",
        reasons: &[],
    },
    Explanation {
        code: "access_denied",
        title: "Not allowed",
        happened: "You, or the people who run this service, said no to what the app asked for.",
        means: "The app got nothing.",
        next: "If you did not mean to say no, start again in the app.",
        makers: "RFC 6749, 4.1.2.1. Do not ask again by yourself.",
        reasons: &[],
    },
    Explanation {
        code: "login_required",
        title: "Please sign in",
        happened: "The app looked whether you are signed in without showing you anything, and you are not.",
        means: NOTHING_LOST,
        next: "Sign in through the app.",
        makers: "OpenID Connect Core, 3.1.2.6: ask again without prompt=none.",
        reasons: &[],
    },
    Explanation {
        code: "consent_required",
        title: "Please agree first",
        happened: "The app wants something that you have not agreed to yet.",
        means: NOTHING_LOST,
        next: "Sign in through the app; it will ask you.",
        makers: "OpenID Connect Core, 3.1.2.6: ask again without prompt=none.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_client",
        title: "The app is not recognised",
        happened: "The app could not prove which app it is.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "RFC 6749, 5.2: check client_id, the secret and the registered way of authentication. Tokens are not consumed.",
        reasons: &[],
    },
    Explanation {
        code: "unauthorized_client",
        title: "The app may not do this",
        happened: "The app asked in a way that it is not registered for.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "Register the grant type for the client.",
        reasons: &[],
    },
    Explanation {
        code: "unsupported_grant_type",
        title: "The app asked for something unknown",
        happened: "The app wants a token in a way that this server does not know.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "See grant_types_supported in the discovery document.",
        reasons: &[],
    },
    Explanation {
        code: "unsupported_token_type",
        title: "A token of another kind",
        happened: "The app wants to revoke a token of a kind that is not revoked here.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "RFC 7009, 2.2.1: revoke the refresh token; access tokens live for minutes.",
        reasons: &[],
    },
    Explanation {
        code: "unsupported_response_type",
        title: "The app asked for something unknown",
        happened: "The app wants to sign you in by a way that this server does not offer.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "Only response_type=code with PKCE (S256) is supported.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_scope",
        title: "The app asked for too much",
        happened: "The app wants a permission that it is not registered for.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "RFC 6749, 3.3: register the scope for the client, or ask for less. A refresh can only narrow.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_request",
        title: "The app's request is not right",
        happened: "Something in the app's request is missing, malformed, or there twice.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "error_description says which parameter. Sending the same again gives the same answer.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_target",
        title: "The app asked for an unknown place",
        happened: "The app wants access to something that is not known here.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "RFC 8707, 2: name a resource that the client is registered for.",
        reasons: &[],
    },
    Explanation {
        code: "invalid_token",
        title: "The app's pass is not valid",
        happened: "The app showed an access token that is expired, ended or not from here.",
        means: "A well-made app gets a new one without bothering you.",
        next: "Try again in the app. If it asks you to sign in, that is fine.",
        makers: "RFC 6750, 3.1: refresh once and repeat the request; if that is refused too, sign in again.",
        reasons: &[],
    },
    Explanation {
        code: "insufficient_scope",
        title: "The app may not do this",
        happened: "What the app tried needs a permission that you have not given it.",
        means: NOTHING_LOST,
        next: "Go back to the app. If it needs the permission, it will ask you for it.",
        makers: "RFC 6750, 3.1: ask for the scope named in WWW-Authenticate.",
        reasons: &[],
    },
    Explanation {
        code: "request_not_supported",
        title: "The app asked in an unknown form",
        happened: "The app packed its request into a form that this server does not read.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "OpenID Connect Core, 6: request objects are not supported; send plain parameters.",
        reasons: &[],
    },
    Explanation {
        code: "request_uri_not_supported",
        title: "The app asked in an unknown form",
        happened: "The app put its request at an address, and this server does not fetch requests.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "OpenID Connect Core, 6: request_uri is not supported; send plain parameters.",
        reasons: &[],
    },
    Explanation {
        code: "registration_not_supported",
        title: "The app is not registered",
        happened: "The app wants to introduce itself while signing you in, which is not done here.",
        means: APP_FAULT,
        next: TRY_THE_APP,
        makers: "Register the client first: perennial client add.",
        reasons: &[],
    },
    Explanation {
        code: "server_error",
        title: "That was our fault",
        happened: "Something went wrong on the side of the sign-in service.",
        means: "You are not signed out by it.",
        next: "Try again in the app. If it stays like this, tell the people who run this service.",
        makers: "The request_id of the answer finds the cause in the server's log.",
        reasons: &[],
    },
];
