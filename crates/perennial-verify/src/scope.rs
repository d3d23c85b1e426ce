//! Scopes, asked for where the route is declared: `.route_layer(require_scope("notes.write"))`.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{Either, MapOk, Ready, TryFutureExt, ready};
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::challenge::{Challenge, plain_answer};
use crate::principal::Principal;
use crate::refusal::Refusal;

/// Lets only principals with the scope through, all of them where several are given with spaces between. Others
/// are answered 403 `insufficient_scope` with the scopes to ask for (RFC 6750, 3.1).
///
/// It stands inside a [`VerifyLayer`](crate::VerifyLayer); without one every request is refused.
#[must_use]
pub fn require_scope(scope: &str) -> RequireScopeLayer {
    RequireScopeLayer { scope: scope.into() }
}

/// Made by [`require_scope`].
#[derive(Debug, Clone)]
pub struct RequireScopeLayer {
    scope: Arc<str>,
}

/// A service that asks for a scope.
#[derive(Debug, Clone)]
pub struct RequireScope<S> {
    inner: S,
    scope: Arc<str>,
}

impl<S> Layer<S> for RequireScopeLayer {
    type Service = RequireScope<S>;

    fn layer(&self, inner: S) -> RequireScope<S> {
        RequireScope { inner, scope: Arc::clone(&self.scope) }
    }
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for RequireScope<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResponseBody::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<
        MapOk<S::Future, fn(Response<ResponseBody>) -> Response<Body>>,
        Ready<Result<Response<Body>, S::Error>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let extensions = request.extensions();
        let (Some(principal), Some(challenge)) =
            (extensions.get::<Principal>(), extensions.get::<Arc<Challenge>>())
        else {
            tracing::error!(scope = &*self.scope, "a scope is asked for without a verifier layer");
            return Either::Right(ready(Ok(plain_answer(&Refusal::Unprotected))));
        };
        if self.scope.split_ascii_whitespace().all(|scope| principal.has_scope(scope)) {
            let to_body: fn(Response<ResponseBody>) -> Response<Body> = |response| response.map(Body::new);
            return Either::Left(self.inner.call(request).map_ok(to_body));
        }
        let refusal = Refusal::InsufficientScope { required: self.scope.as_ref().to_owned() };
        Either::Right(ready(Ok(challenge.answer(&refusal))))
    }
}
