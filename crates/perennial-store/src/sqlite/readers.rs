//! The threads that read: each with a connection of its own, never waiting for the writer.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::schema;
use super::trouble::Trouble;
use crate::StoreError;

type Work = Box<dyn FnOnce(&Connection) + Send>;

enum Request {
    Do(Work),
    /// One thread ends.
    Close,
}

/// The way to the reading threads.
#[derive(Debug)]
pub(super) struct Readers {
    queue: SyncSender<Request>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn start(database: &Path, threads: usize, queued: usize) -> Result<Self, StartError> {
        let (queue, requests) = sync_channel(queued);
        let requests = Arc::new(Mutex::new(requests));
        let started: Result<Vec<_>, StartError> = (0..threads.max(1))
            .map(|number| {
                let connection = schema::reading(database)?;
                let requests = Arc::clone(&requests);
                let named = thread::Builder::new().name(format!("store-reader-{number}"));
                Ok(named.spawn(move || serve(&connection, &requests))?)
            })
            .collect();
        Ok(Self { queue, threads: Mutex::new(started?) })
    }

    /// Reads on one of the threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let read = work(connection).map_err(|trouble| trouble.to_store_error());
            // Whoever asked may have gone.
            drop(answer.send(read));
        });
        match self.queue.try_send(Request::Do(work)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(StoreError::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(StoreError::Closed),
        }
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes what was asked and ends the threads.
    pub(super) fn end(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in &threads {
            // Gone already where the thread panicked.
            drop(self.queue.send(Request::Close));
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("one of the store's reading threads had panicked");
            }
        }
    }
}

/// Why the threads were not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error(transparent)]
    Thread(#[from] std::io::Error),
}

fn serve(connection: &Connection, requests: &Mutex<Receiver<Request>>) {
    loop {
        // One thread waits for the next request, the others for that one: a channel has one receiving end.
        let next = requests.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(Request::Do(work)) => work(connection),
            Ok(Request::Close) | Err(_) => return,
        }
    }
}
