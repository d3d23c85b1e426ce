//! What happens to each request before and after its endpoint: id, caller, limits, answer, log line.
//!
//! A request is read as a whole before its endpoint sees it, so slow and oversized bodies end here. An endpoint
//! that has begun runs to its end, in a task of its own, whether or not somebody still waits for the answer: a
//! client that hangs up, or a time limit, never stops a piece of work half way.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::caller::Caller;
use super::connection::Peer;
use super::forwarded::Proxies;
use super::refuse::Refuse;
use super::request_id::{RequestIds, X_REQUEST_ID, given};
use crate::config::Limits;
use crate::ops;

/// No route of ours is longer; whatever is, is not worth the room in a log.
const LONGEST_ROUTE: usize = 64;

/// The way from a connection to the endpoints.
pub(crate) struct Edge {
    router: Router,
    issuer: Arc<str>,
    pub(super) limits: Limits,
    proxies: ArcSwap<Proxies>,
    requests: Arc<Semaphore>,
    ids: RequestIds,
    work: TaskTracker,
}

impl Edge {
    /// A way to these endpoints.
    pub(crate) fn new(
        router: Router,
        issuer: Arc<str>,
        limits: Limits,
        proxies: Proxies,
    ) -> Result<Self, getrandom::Error> {
        Ok(Self {
            router,
            issuer,
            limits,
            proxies: ArcSwap::from_pointee(proxies),
            requests: Arc::new(Semaphore::new(limits.max_requests)),
            ids: RequestIds::new()?,
            work: TaskTracker::new(),
        })
    }

    /// Believes these proxies from here on.
    pub(crate) fn trust(&self, proxies: Proxies) {
        self.proxies.store(Arc::new(proxies));
    }

    /// Waits until every endpoint that has begun has come to its end.
    pub(crate) async fn finished(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// The answer to one request.
    pub(super) async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response {
        let started = Instant::now();
        let caller = self.caller(peer, &request);
        let request_id = caller.request_id.clone();
        let (method, uri) = (request.method().clone(), request.uri().clone());

        let mut response = match self.through(peer, caller, request).await {
            Ok(response) => response,
            Err(refuse) => refuse.response(&self.issuer, &request_id),
        };
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        if peer.overflow && !peer.h2() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        log(&method, uri.path(), &response, started, &request_id);
        response
    }

    fn caller(&self, peer: &Peer, request: &Request<Incoming>) -> Caller {
        let proxies = self.proxies.load();
        let end = proxies.far_end(peer.addr, peer.tls, request.headers());
        let given = if proxies.trusts(peer.addr) { given(request.headers()) } else { None };
        Caller { addr: end.addr, secure: end.secure, request_id: given.unwrap_or_else(|| self.ids.next()) }
    }

    async fn through(
        &self,
        peer: &Peer,
        caller: Caller,
        request: Request<Incoming>,
    ) -> Result<Response, Refuse> {
        let permit = if ops::is_health_check(request.uri().path()) {
            None
        } else if peer.overflow {
            return Err(Refuse::Busy);
        } else {
            Some(Arc::clone(&self.requests).try_acquire_owned().map_err(|_| Refuse::Busy)?)
        };
        let (mut parts, body) = request.into_parts();
        let body = self.read(body).await?;
        parts.extensions.insert(caller);
        self.work_on(Request::from_parts(parts, Body::from(body)), permit).await
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refuse> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let most = self.limits.max_body_size;
        if body.size_hint().lower() > most as u64 {
            return Err(Refuse::LargeBody);
        }
        match timeout(self.limits.body_read_timeout, Limited::new(body, most).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refuse::LargeBody),
            Ok(Err(_)) => Err(Refuse::BrokenBody),
            Err(_) => Err(Refuse::SlowBody),
        }
    }

    /// The permit goes with the work, not with the waiting: work that nobody waits for any more still counts.
    async fn work_on(
        &self,
        request: Request<Body>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Response, Refuse> {
        let router = self.router.clone();
        let work = self.work.spawn(async move {
            let response = router.oneshot(request).await;
            drop(permit);
            response
        });
        match timeout(self.limits.request_timeout, work).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(infallible))) => match infallible {},
            Ok(Err(_panic)) => Err(Refuse::Panicked),
            Err(_) => Err(Refuse::TimedOut),
        }
    }
}

/// One line a request. Only the path of a route that there is: no query, no token, no code, no address.
fn log(method: &http::Method, path: &str, response: &Response, started: Instant, request_id: &str) {
    let status = response.status();
    let is_route = status != http::StatusCode::NOT_FOUND && path.len() <= LONGEST_ROUTE;
    let route = if is_route { path } else { "-" };
    let status = status.as_u16();
    let ms = started.elapsed().as_millis();
    if ops::is_health_check(path) {
        tracing::debug!(target: "perennial::request", %method, route, status, ms, request_id);
    } else if status >= 500 {
        tracing::warn!(target: "perennial::request", %method, route, status, ms, request_id);
    } else {
        tracing::info!(target: "perennial::request", %method, route, status, ms, request_id);
    }
}
