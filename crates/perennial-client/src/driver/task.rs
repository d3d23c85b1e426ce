//! The task that owns an engine: it feeds events in, drains the actions, and carries them out one by one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::failpoint::{self, Failpoint};
use super::{Answered, clock, http, millis};
use crate::clocks::{BootMillis, Clocks};
use crate::credentials::Credentials;
use crate::engine::{
    Action, CallerId, Engine, Event, HandedOut, Note, Phase, RefreshRequest, State, StoreFailure, Storing,
    TokenError,
};
use crate::secret::Secret;
use crate::store::{Store, StoreLock};

/// tokio's timers stand still while the machine sleeps, so a long wait is made of short ones.
const NAP_MAX: Duration = Duration::from_secs(15);

/// What handles ask of the task.
#[derive(Debug)]
pub(super) enum Command {
    Wanted { caller: CallerId, min_ttl_ms: u64, wait: Duration, reply: oneshot::Sender<Answered> },
    Refused { caller: CallerId, serial: u64, wait: Duration, reply: oneshot::Sender<Answered> },
    Gone(CallerId),
}

/// What came of an action that took time.
enum Done {
    Locked(Result<StoreLock, StoreFailure>),
    Event(Event),
}

pub(super) struct Task {
    engine: Engine,
    store: Arc<dyn Store>,
    lock: Option<Arc<StoreLock>>,
    http: reqwest::Client,
    client_secret: Option<Secret>,
    current: Arc<ArcSwapOption<HandedOut>>,
    state: watch::Sender<State>,
    replies: HashMap<CallerId, oneshot::Sender<Answered>>,
    under_way: JoinSet<Done>,
    wake_at: Option<BootMillis>,
    sleep_watch: clock::SleepWatch,
}

impl Task {
    pub(super) fn new(
        stored: Option<Credentials>,
        store: Arc<dyn Store>,
        http: reqwest::Client,
        client_secret: Option<Secret>,
        current: Arc<ArcSwapOption<HandedOut>>,
    ) -> (Self, watch::Receiver<State>) {
        let mut engine = Engine::new(stored);
        let now = clock::now();
        engine.handle(Event::Timer, now, clock::entropy());
        let first = engine.state().cloned().expect("the engine publishes a state at its first event");
        let (state, states) = watch::channel(first);
        current.store(engine.live_token(&now).map(Arc::new));
        let task = Self {
            engine,
            store,
            lock: None,
            http,
            client_secret,
            current,
            state,
            replies: HashMap::new(),
            under_way: JoinSet::new(),
            wake_at: None,
            sleep_watch: clock::SleepWatch::start(),
        };
        (task, states)
    }

    /// Runs until the last handle is gone, and then until nothing is half done.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.drain();
        let mut open = true;
        while open || !self.under_way.is_empty() {
            let nap = self.nap();
            tokio::select! {
                command = inbox.recv(), if open => match command {
                    Some(command) => self.command(command),
                    None => open = false,
                },
                Some(done) = self.under_way.join_next() => match done {
                    Ok(done) => self.done(done),
                    // The runtime is going down; the store holds whatever the next process needs.
                    Err(_) => return,
                },
                () = tokio::time::sleep(nap.unwrap_or(NAP_MAX)), if nap.is_some() && open => self.woken(),
            }
        }
    }

    fn nap(&self) -> Option<Duration> {
        let left_ms = self.wake_at?.since_ms(clock::now().boot);
        Some(Duration::from_millis(left_ms.saturating_add(1)).min(NAP_MAX))
    }

    fn woken(&mut self) {
        if self.sleep_watch.woke() {
            self.event(Event::Woke);
        }
        if self.wake_at.is_some_and(|at| clock::now().boot >= at) {
            self.wake_at = None;
            self.event(Event::Timer);
        }
    }

    fn command(&mut self, command: Command) {
        let deadline = |wait| clock::now().boot.plus_ms(millis(wait));
        match command {
            Command::Wanted { caller, min_ttl_ms, wait, reply } => {
                self.replies.insert(caller, reply);
                self.event(Event::TokenWanted { caller, min_ttl_ms, deadline: deadline(wait) });
            }
            Command::Refused { caller, serial, wait, reply } => {
                self.replies.insert(caller, reply);
                self.event(Event::ApiRefused { caller, serial, deadline: deadline(wait) });
            }
            Command::Gone(caller) => {
                self.replies.remove(&caller);
                self.event(Event::CallerGone(caller));
            }
        }
    }

    fn done(&mut self, done: Done) {
        let event = match done {
            Done::Locked(Ok(lock)) => {
                self.lock = Some(Arc::new(lock));
                Event::LockTaken
            }
            Done::Locked(Err(failure)) => Event::LockFailed(failure),
            Done::Event(event) => event,
        };
        self.event(event);
    }

    fn event(&mut self, event: Event) {
        let now = clock::now();
        self.engine.handle(event, now, clock::entropy());
        self.offer_current(&now);
        self.drain();
    }

    /// What handles may take without asking.
    fn offer_current(&self, now: &Clocks) {
        let live = self.engine.live_token(now);
        let offered = self.current.load().as_ref().map(|token| token.serial);
        if live.as_ref().map(|token| token.serial) != offered {
            self.current.store(live.map(Arc::new));
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll() {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Lock => self.take_lock(),
            Action::Unlock => self.lock = None,
            Action::Read => {
                let (store, lock) = (self.store.clone(), self.lock.clone());
                self.under_way.spawn_blocking(move || Done::Event(read(&*store, lock.as_deref())));
            }
            Action::Store(credentials, storing) => {
                let (store, lock) = (self.store.clone(), self.lock.clone());
                self.under_way.spawn_blocking(move || {
                    let lock = lock.expect("the engine stores only under the lock");
                    Done::Event(write(&*store, &lock, &credentials, storing))
                });
            }
            Action::Send(request) => self.send(request),
            Action::WakeAt(at) => self.wake_at = Some(at),
            Action::Publish(state) => {
                note_state(&state);
                self.state.send_replace(state);
            }
            Action::HandOut(caller, token) => self.reply(caller, Ok(Arc::new(token))),
            Action::Fail(caller, error) => self.reply(caller, Err(error)),
            Action::Note(note) => note_line(&note),
        }
    }

    fn reply(&mut self, caller: CallerId, answer: Result<Arc<HandedOut>, TokenError>) {
        if let Some(reply) = self.replies.remove(&caller) {
            // A caller that went away a moment ago no longer needs it.
            drop(reply.send(answer));
        }
    }

    /// A thread of its own waits for the lock: it may take as long as another process likes, and a runtime that
    /// shuts down waits for its blocking threads but not for this one.
    fn take_lock(&mut self) {
        let store = self.store.clone();
        let (taken, lock) = oneshot::channel();
        let waiter = std::thread::Builder::new().name("perennial-lock".to_owned());
        let spawned = waiter.spawn(move || {
            // Nobody waits any more: dropping the lock frees it.
            drop(taken.send(store.lock()));
        });
        self.under_way.spawn(async move {
            let no_thread =
                |cause: String| StoreFailure::Io { path: "the store".to_owned(), verb: "locked", cause };
            match spawned {
                Ok(_detached) => Done::Locked(
                    lock.await.unwrap_or_else(|_| Err(no_thread("the waiting thread died".to_owned()))),
                ),
                Err(error) => Done::Locked(Err(no_thread(error.to_string()))),
            }
        });
    }

    fn send(&mut self, request: RefreshRequest) {
        let (http, client_secret) = (self.http.clone(), self.client_secret.clone());
        self.under_way.spawn(async move {
            failpoint::pass(Failpoint::BeforeSend);
            let outcome = http::refresh(&http, &request, client_secret.as_ref()).await;
            failpoint::pass(Failpoint::AfterReceive);
            Done::Event(match outcome {
                Ok(answer) => Event::Answered(request.id, answer),
                Err(failure) => Event::TransportFailed(request.id, failure),
            })
        });
    }
}

/// Reads a store once, off the reactor.
pub(crate) async fn read_once(store: Arc<dyn Store>) -> Result<Option<Credentials>, StoreFailure> {
    let read = tokio::task::spawn_blocking(move || store.read(None)).await;
    read.unwrap_or_else(|error| {
        Err(StoreFailure::Io { path: "the store".to_owned(), verb: "read", cause: error.to_string() })
    })
}

fn read(store: &dyn Store, lock: Option<&StoreLock>) -> Event {
    match store.read(lock) {
        Ok(stored) => Event::Loaded(stored.map(Box::new)),
        Err(failure) => Event::LoadFailed(failure),
    }
}

fn write(store: &dyn Store, lock: &StoreLock, credentials: &Credentials, storing: Storing) -> Event {
    let (before, after) = match storing {
        Storing::RetryKey => (Some(Failpoint::BeforeKeyStored), Some(Failpoint::AfterKeyStored)),
        Storing::Tokens => (Some(Failpoint::BeforeTokensStored), Some(Failpoint::AfterTokensStored)),
        Storing::Story => (None, None),
    };
    before.into_iter().for_each(failpoint::pass);
    let written = store.write(lock, credentials);
    after.into_iter().for_each(failpoint::pass);
    match written {
        Ok(()) => Event::Stored,
        Err(failure) => Event::StoreFailed(failure),
    }
}

fn note_state(state: &State) {
    let phase = state.phase.name();
    match (&state.trouble, state.phase) {
        (Some(trouble), Phase::SignedOut) => tracing::warn!(phase, %trouble, "session state"),
        (Some(trouble), _) => tracing::info!(phase, %trouble, "session state"),
        (None, _) => tracing::debug!(phase, "session state"),
    }
}

fn note_line(note: &Note) {
    match note {
        Note::RefreshSent { serial, attempt } => tracing::debug!(serial, attempt, "refresh sent"),
        Note::Refreshed { serial } => tracing::debug!(serial, "refreshed and stored"),
        Note::Adopted { serial } => tracing::debug!(serial, "another process's tokens adopted"),
        Note::TryFailed { cause, retry_in_ms } => tracing::info!(cause, retry_in_ms, "refresh failed"),
        Note::ApiRefused { serial } => tracing::info!(serial, "the API refused a token"),
        Note::SignedOut { error, reason } => tracing::warn!(error, ?reason, "signed out"),
    }
}
