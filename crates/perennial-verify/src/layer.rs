//! The tower layer: requests with a good token go on with a [`Principal`], all others are answered here.
//!
//! A request whose token has been seen, or can be checked with the keys at hand, is decided in `call`, before any
//! future is polled. Only one that needs new keys waits, in a box.

use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, MapOk, Ready, TryFutureExt, ready};
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::bearer;
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::verifier::{Glance, Verifier};

/// Puts a [`Verifier`] in front of a service; made by [`Verifier::layer`].
#[derive(Debug, Clone)]
pub struct VerifyLayer {
    verifier: Verifier,
}

/// A service with a [`Verifier`] in front of it.
#[derive(Debug, Clone)]
pub struct Verify<S> {
    inner: S,
    verifier: Verifier,
}

/// What a [`Verify`] answers with: the inner service's future, a refusal at once, or a wait for keys.
pub type VerifyFuture<F, B, E> = Either<
    Forwarded<F, B>,
    Either<Ready<Result<Response<Body>, E>>, BoxFuture<'static, Result<Response<Body>, E>>>,
>;

type Forwarded<F, B> = MapOk<F, fn(Response<B>) -> Response<Body>>;

impl VerifyLayer {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = Verify<S>;

    fn layer(&self, inner: S) -> Verify<S> {
        Verify { inner, verifier: self.verifier.clone() }
    }
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for Verify<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    RequestBody: Send + 'static,
    ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResponseBody::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = VerifyFuture<S::Future, ResponseBody, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let token = match bearer::token_of(request.headers(), request.uri()) {
            Ok(token) => token,
            Err(refusal) => return self.refuse(&refusal),
        };
        match self.verifier.glance(token) {
            Glance::Decided(Ok(principal)) => {
                admit(&mut request, principal, &self.verifier);
                Either::Left(forward(&mut self.inner, request))
            }
            Glance::Decided(Err(refusal)) => self.refuse(&refusal),
            Glance::NeedsKeys(_) => {
                let token = token.to_owned();
                // The service that was polled ready is the one to call.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                let verifier = self.verifier.clone();
                Either::Right(Either::Right(Box::pin(async move {
                    match verifier.verify_with_new_keys(&token).await {
                        Ok(principal) => {
                            admit(&mut request, principal, &verifier);
                            forward(&mut inner, request).await
                        }
                        Err(refusal) => Ok(answer(&verifier, &refusal)),
                    }
                })))
            }
        }
    }
}

impl<S> Verify<S> {
    fn refuse<F, B, E>(&self, refusal: &Refusal) -> VerifyFuture<F, B, E>
    where
        F: Future<Output = Result<Response<B>, E>>,
    {
        Either::Right(Either::Left(ready(Ok(answer(&self.verifier, refusal)))))
    }
}

fn admit<B>(request: &mut Request<B>, principal: Principal, verifier: &Verifier) {
    let extensions = request.extensions_mut();
    extensions.insert(principal);
    // For scopes that are asked for further in.
    extensions.insert(verifier.challenge().clone());
}

fn forward<S, RequestBody, ResponseBody>(
    service: &mut S,
    request: Request<RequestBody>,
) -> Forwarded<S::Future, ResponseBody>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResponseBody::Error: Into<axum::BoxError>,
{
    service.call(request).map_ok(|response| response.map(Body::new))
}

fn answer(verifier: &Verifier, refusal: &Refusal) -> Response<Body> {
    tracing::debug!(reason = refusal.reason(), "refused");
    verifier.answer(refusal)
}
