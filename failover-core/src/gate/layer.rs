//! The gate before a [`tower_service::Service`].

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Gate, Overdue, Refused};

impl Gate {
    /// A layer that lets requests through to a service while the gate is open. Those let through may finish.
    pub fn layer(&self) -> Layer {
        Layer { gate: self.clone() }
    }
}

/// Puts a [`Gate`] before a service.
#[derive(Debug, Clone)]
pub struct Layer {
    gate: Gate,
}

impl<S> tower_layer::Layer<S> for Layer {
    type Service = Gated<S>;

    fn layer(&self, service: S) -> Gated<S> {
        Gated { gate: self.gate.clone(), service }
    }
}

/// A service behind a [`Gate`].
#[derive(Debug, Clone)]
pub struct Gated<S> {
    gate: Gate,
    service: S,
}

/// Why a service behind a gate gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected<E> {
    /// The request was not let in, and nothing was done about it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It was let in, and cut off.
    #[error(transparent)]
    Overdue(#[from] Overdue),
    /// The service itself failed.
    #[error(transparent)]
    Service(E),
}

impl<S, Request> Service<Request> for Gated<S>
where
    S: Service<Request>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = Rejected<S::Error>;
    type Future = GatedFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx).map_err(Rejected::Service)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let admitted = self.gate.admit().map(|admission| (admission, self.service.call(request)));
        GatedFuture(Box::pin(async move {
            let (admission, answer) = admitted?;
            admission.run(answer).await?.map_err(Rejected::Service)
        }))
    }
}

/// The answer of a service behind a gate.
#[must_use = "futures do nothing unless polled"]
pub struct GatedFuture<T, E>(Pin<Box<dyn Future<Output = Result<T, Rejected<E>>> + Send>>);

impl<T, E> Future for GatedFuture<T, E> {
    type Output = Result<T, Rejected<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T, E> fmt::Debug for GatedFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatedFuture").finish_non_exhaustive()
    }
}
