//! What those ask who keep the server running: whether it lives, and whether to send it requests.
//!
//! Both answer under overload: they are outside the limits on connections and requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, StatusCode, header};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::time::timeout;

use crate::service::Service;

const HEALTHZ: &str = "/healthz";
const READYZ: &str = "/readyz";

/// How long the store may take to answer a health check.
const STORE_ANSWERS: Duration = Duration::from_secs(2);

/// How far the wall clock may move against the time that really passed, before nothing is decided by it.
const CLOCK_MOVES: Duration = Duration::from_secs(5 * 60);

/// Whether a path is one of these.
pub(crate) fn is_health_check(path: &str) -> bool {
    path == HEALTHZ || path == READYZ
}

/// What a server knows of itself.
pub(crate) struct Readiness {
    stopping: AtomicBool,
    wall: SystemTime,
    since_boot: Duration,
}

impl Readiness {
    pub(crate) fn new() -> Self {
        Self { stopping: AtomicBool::new(false), wall: SystemTime::now(), since_boot: since_boot() }
    }

    /// From here on it asks for no more requests.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why it is not ready; `None` when it is.
    async fn trouble(&self, service: &Service) -> Option<Trouble> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some(Trouble::Stopping);
        }
        if !clock_is_right(self.wall, self.since_boot, SystemTime::now(), since_boot()) {
            return Some(Trouble::ClockJumped);
        }
        match timeout(STORE_ANSWERS, service.store.service_clock()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "not ready");
                Some(Trouble::StoreAway)
            }
            Err(_) => Some(Trouble::StoreSlow),
        }
    }
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Trouble {
    Stopping,
    ClockJumped,
    StoreAway,
    StoreSlow,
}

/// Time since the machine was started, that it slept included: nobody can set it.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn clock_is_right(
    wall: SystemTime,
    since_boot: Duration,
    wall_now: SystemTime,
    since_boot_now: Duration,
) -> bool {
    let passed = since_boot_now.saturating_sub(since_boot);
    let expected = wall + passed;
    let off = wall_now.duration_since(expected).unwrap_or_else(|earlier| earlier.duration());
    off <= CLOCK_MOVES
}

/// Their routes.
pub(crate) fn routes(readiness: Arc<Readiness>) -> Router<Arc<Service>> {
    let readyz = move |State(service): State<Arc<Service>>| {
        let readiness = Arc::clone(&readiness);
        async move { ready(readiness.trouble(&service).await) }
    };
    Router::new()
        .route(HEALTHZ, get(|| async { plain(Json(serde_json::json!({ "alive": true }))) }))
        .route(READYZ, get(readyz))
}

fn ready(trouble: Option<Trouble>) -> Response {
    match trouble {
        None => plain(Json(serde_json::json!({ "ready": true }))),
        Some(reason) => {
            let body = Json(serde_json::json!({ "ready": false, "reason": reason }));
            plain((StatusCode::SERVICE_UNAVAILABLE, body))
        }
    }
}

fn plain(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumped_is_not_right_and_one_that_drifted_is() {
        let (wall, boot) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000), Duration::from_secs(50));
        let after = |wall_s, boot_s| {
            clock_is_right(wall, boot, wall + Duration::from_secs(wall_s), boot + Duration::from_secs(boot_s))
        };
        assert!(after(3_600, 3_600));
        assert!(after(3_660, 3_600));
        assert!(!after(7_200, 3_600));
        assert!(!after(0, 3_600));
    }
}
