//! The sample API: a few notes a user, behind a verifier. Short on purpose, for it is meant to be copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use perennial_verify::{Principal, Verifier, require_scope};
use serde::{Deserialize, Serialize};

const MAX_NOTE_BYTES: usize = 4 * 1024;
const MAX_NOTES: usize = 100;

/// Notes by subject, gone when the process ends.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<HashMap<String, Vec<Note>>>>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

/// The API: `/whoami` for anyone with a token of `verifier`, `/notes` with the scope `profile`, and without any
/// token `/healthz` and the resource metadata.
pub(crate) fn router(verifier: &Verifier) -> Router {
    let protected = Router::new()
        .route("/notes", get(list).post(save).route_layer(require_scope("profile")))
        .route("/whoami", get(who_am_i))
        .layer(DefaultBodyLimit::max(MAX_NOTE_BYTES))
        .with_state(Notes::default())
        .layer(verifier.layer());
    Router::new().route("/healthz", get(|| async { "ok" })).merge(verifier.metadata_router()).merge(protected)
}

async fn who_am_i(caller: Principal) -> Json<Principal> {
    Json(caller)
}

async fn list(State(notes): State<Notes>, caller: Principal) -> Json<Vec<Note>> {
    let notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
    Json(notes.get(caller.subject()).cloned().unwrap_or_default())
}

async fn save(
    State(notes): State<Notes>,
    caller: Principal,
    Json(note): Json<Note>,
) -> Result<(StatusCode, Json<Note>), (StatusCode, &'static str)> {
    let mut notes = notes.0.lock().unwrap_or_else(PoisonError::into_inner);
    let own = notes.entry(caller.subject().to_owned()).or_default();
    if own.len() >= MAX_NOTES {
        return Err((StatusCode::CONFLICT, "this sample keeps 100 notes a person; start it anew for more"));
    }
    own.push(note.clone());
    Ok((StatusCode::CREATED, Json(note)))
}
