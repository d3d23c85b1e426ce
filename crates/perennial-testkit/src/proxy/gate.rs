//! Gates: where held requests and answers wait until a test lets them go.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds whatever arrives at it until it is opened; clones are the same gate.
///
/// A gate that is shared by many exchanges is a barrier: wait for [`Gate::arrived`] with their number, then
/// [`Gate::open`] lets all of them go at once.
#[derive(Clone, Debug)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    open: watch::Sender<bool>,
    arrived: watch::Sender<usize>,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner { open: watch::Sender::new(false), arrived: watch::Sender::new(0) }) }
    }

    /// Lets all go that wait here, and all that will come.
    pub fn open(&self) {
        self.inner.open.send_replace(true);
    }

    /// Holds what comes from now on.
    pub fn close(&self) {
        self.inner.open.send_replace(false);
    }

    /// Waits until `count` exchanges in all have arrived here, those already let go included.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.inner.arrived.subscribe();
        let reached = arrived.wait_for(|so_far| *so_far >= count).await;
        drop(reached.expect("the sender lives in this gate"));
    }

    /// Arrives, and waits until the gate is open.
    pub(super) async fn pass(&self) {
        let mut open = self.inner.open.subscribe();
        self.inner.arrived.send_modify(|so_far| *so_far += 1);
        let opened = open.wait_for(|open| *open).await;
        drop(opened.expect("the sender lives in this gate"));
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}
