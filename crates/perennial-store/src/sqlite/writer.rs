//! The one thread that writes: it commits whatever has queued up together, and answers when that is durable.
//!
//! A commit that fails is never tried again until it seems to succeed: after a failed fsync nobody knows what the
//! disk holds (the kernel forgets which pages it could not write). Everybody who waits is told that nothing was
//! acknowledged, and the connection is closed and opened anew before the next commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use perennial_core::session::Grant;
use perennial_core::write::FeedPosition;
use perennial_core::{RowVersion, Session, SessionId};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::cache::Sessions;
use super::checkpoint::Checkpoints;
use super::folder::Folder;
use super::trouble::Trouble;
use super::{events, schema};
use crate::StoreError;

/// What the writer is asked.
pub(super) enum Request {
    Do(Box<dyn Job>),
    /// Finish what was asked before, and end.
    Close,
}

/// A change that somebody waits for. It may be done more than once before it is answered: a transaction that is
/// rolled back because of another job is done again without that one.
pub(super) trait Job: Send {
    /// Whose row it is about.
    fn sid(&self) -> Option<SessionId>;
    /// Does it, in the round's transaction.
    fn run(&mut self, round: &mut Round<'_>) -> Result<(), Trouble>;
    /// Says how it went; after the commit, or instead of it.
    fn answer(self: Box<Self>, went: Result<(), StoreError>);
}

/// A job made of a function.
pub(super) struct Asked<T, F> {
    pub(super) sid: Option<SessionId>,
    pub(super) work: F,
    pub(super) outcome: Option<T>,
    pub(super) answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&mut Round<'_>) -> Result<T, Trouble> + Send> Job for Asked<T, F> {
    fn sid(&self) -> Option<SessionId> {
        self.sid
    }

    fn run(&mut self, round: &mut Round<'_>) -> Result<(), Trouble> {
        self.outcome = Some((self.work)(round)?);
        Ok(())
    }

    fn answer(self: Box<Self>, went: Result<(), StoreError>) {
        let Self { outcome, answer, .. } = *self;
        // Whoever asked may have gone; what was done stays done.
        drop(answer.send(went.and_then(|()| outcome.ok_or(StoreError::Closed))));
    }
}

/// One transaction, while it lasts.
pub(super) struct Round<'a> {
    pub(super) connection: &'a Connection,
    sessions: &'a Sessions,
    position: FeedPosition,
    changes: &'a mut Vec<(SessionId, Option<Session>)>,
}

impl Round<'_> {
    /// The place of the next event.
    pub(super) fn next_position(&mut self) -> FeedPosition {
        self.position = FeedPosition(self.position.0 + 1);
        self.position
    }

    /// A row was changed; `None` where it is gone or its grant is not known.
    pub(super) fn changed(&mut self, sid: SessionId, session: Option<Session>) {
        self.changes.push((sid, session));
    }

    /// The grant that a row had at `version`, where it is known without a query.
    pub(super) fn grant_at(&self, sid: SessionId, version: RowVersion) -> Option<Arc<Grant>> {
        // Jobs are done in the order of their rows, so an earlier change of this row is the last one.
        match self.changes.last() {
            Some((changed, session)) if *changed == sid => {
                session.as_ref().map(|session| session.grant.clone())
            }
            Some(_) | None => self.sessions.grant_at(sid, version),
        }
    }
}

/// The writer's state.
pub(super) struct Writer {
    /// Held until the last connection is closed.
    folder: Folder,
    max_pages: Option<u32>,
    connection: Option<Connection>,
    position: FeedPosition,
    sessions: Arc<Sessions>,
    checkpoints: Checkpoints,
    changes: Vec<(SessionId, Option<Session>)>,
    batch_limit: usize,
}

impl Writer {
    pub(super) fn new(
        folder: Folder,
        connection: Connection,
        sessions: Arc<Sessions>,
        checkpoints: Checkpoints,
        options: &super::Options,
    ) -> rusqlite::Result<Self> {
        let position = events::newest(&connection)?;
        Ok(Self {
            folder,
            max_pages: options.max_pages(),
            connection: Some(connection),
            position,
            sessions,
            checkpoints,
            changes: Vec::new(),
            batch_limit: options.batch.max(1),
        })
    }

    /// Serves until it is told to close or nobody is left to ask.
    pub(super) fn serve(mut self, queue: &Receiver<Request>) {
        let mut batch = Vec::with_capacity(self.batch_limit);
        let mut open = true;
        while open {
            match queue.recv() {
                Ok(Request::Do(job)) => batch.push(job),
                Ok(Request::Close) | Err(_) => open = false,
            }
            loop {
                while batch.len() < self.batch_limit {
                    match queue.try_recv() {
                        Ok(Request::Do(job)) => batch.push(job),
                        Ok(Request::Close) => open = false,
                        Err(_) => break,
                    }
                }
                if batch.is_empty() {
                    break;
                }
                self.commit(&mut batch);
            }
        }
        self.end();
    }

    fn end(self) {
        let Self { folder, connection, checkpoints, .. } = self;
        // The writing connection closes last: it moves the log's rest into the database and removes the log.
        checkpoints.end();
        drop(connection);
        drop(folder);
    }

    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        // Rows lie in the order of their keys, so neighbours are found on the page that was just used. The sort
        // is stable: jobs on one row keep the order in which they were asked.
        batch.sort_by_key(|job| job.sid());
        match self.attempt(batch) {
            Ok(()) => {
                for (sid, session) in self.changes.drain(..) {
                    self.sessions.committed(sid, session);
                }
                let jobs = batch.len();
                for job in batch.drain(..) {
                    job.answer(Ok(()));
                }
                if let Some(connection) = &self.connection {
                    self.checkpoints.after_commit(connection, jobs);
                }
            }
            Err(trouble) => {
                tracing::error!(%trouble, waiting = batch.len(), "a commit failed; nothing was acknowledged");
                self.connection = None;
                for (sid, _) in self.changes.drain(..) {
                    self.sessions.unknown(sid);
                }
                for job in batch.drain(..) {
                    job.answer(Err(trouble.to_store_error()));
                }
            }
        }
    }

    /// Does and commits the batch. Jobs that fail for themselves alone are answered and taken out of it.
    fn attempt(&mut self, batch: &mut Vec<Box<dyn Job>>) -> Result<(), Trouble> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed @ None => {
                let opened = reopened(&self.folder.database(), self.max_pages)?;
                self.position = events::newest(&opened)?;
                closed.insert(opened)
            }
        };
        loop {
            self.changes.clear();
            connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let mut round = Round {
                connection,
                sessions: &self.sessions,
                position: self.position,
                changes: &mut self.changes,
            };
            let mut failed = Vec::new();
            for (at, job) in batch.iter_mut().enumerate() {
                match job.run(&mut round) {
                    Ok(()) => {}
                    Err(trouble) if trouble.ends_transaction() => return Err(trouble),
                    Err(trouble) => failed.push((at, trouble)),
                }
            }
            let position = round.position;
            if failed.is_empty() {
                connection.prepare_cached("COMMIT")?.execute([])?;
                self.position = position;
                return Ok(());
            }
            // A job may have failed half way, so all of it is undone and the others are done again.
            if !connection.is_autocommit() {
                connection.prepare_cached("ROLLBACK")?.execute([])?;
            }
            for (at, trouble) in failed.into_iter().rev() {
                batch.remove(at).answer(Err(trouble.to_store_error()));
            }
        }
    }
}

fn reopened(path: &Path, max_pages: Option<u32>) -> rusqlite::Result<Connection> {
    let connection = schema::writing(path, max_pages)?;
    tracing::info!("the store's database was opened anew");
    Ok(connection)
}
