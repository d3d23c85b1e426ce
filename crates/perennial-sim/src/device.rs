//! A device: several processes, each with the real client engine, around one credential file and its lock.
//!
//! This is the driver's part, in virtual time. The engine's actions are carried out one by one, each a step of the
//! world, so a process can be killed between any two of them. A write is atomic, as the file store makes it: killed
//! before it, the file is as it was; killed after it, the engine never hears of it.

use std::collections::VecDeque;

use perennial_client::engine::{
    Action, CallerId, Engine, Event, Note, Phase, RefreshRequest, StoreFailure, Storing, TokenError,
};
use perennial_client::{BootMillis, Clocks, Credentials, Entropy, RetryKey, UnixMillis};
use perennial_testkit::Rng;

use crate::world::Planted;

/// One process of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) device: usize,
    pub(crate) process: usize,
}

/// A process from one start to its death: what is meant for an earlier life reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) of: ProcessId,
    pub(crate) number: u32,
}

pub(crate) struct Device {
    /// The credential file.
    pub(crate) file: Option<Credentials>,
    /// Who holds its lock.
    lock: Option<usize>,
    /// Who waits for it, in order.
    lock_waiters: VecDeque<usize>,
    pub(crate) processes: Vec<Process>,
    /// How far the wall clock is off.
    pub(crate) wall_ahead_ms: i64,
    /// When the device was switched on.
    pub(crate) booted_at_ms: u64,
    pub(crate) boot_id: u32,
    /// The network that it is in.
    pub(crate) network: u8,
}

#[derive(Default)]
pub(crate) struct Process {
    pub(crate) lives: u32,
    pub(crate) running: Option<Running>,
    pub(crate) is_suspended: bool,
    /// The number of the last access token that an application got, in any life.
    pub(crate) last_access: Option<u64>,
}

pub(crate) struct Running {
    pub(crate) engine: Engine,
    todo: VecDeque<Action>,
    inbox: VecDeque<Event>,
    pub(crate) wake_at: Option<BootMillis>,
    /// Whether its next step is planned already.
    pub(crate) is_planned: bool,
    callers: u64,
}

/// What a step of a process did that others notice.
pub(crate) enum Did {
    /// It took in an event; named for the trace.
    Handled(&'static str),
    /// Something inside the process or its file.
    Inside(&'static str),
    /// It let go of the lock, and this process holds it now.
    PassedLock(usize),
    Sent(RefreshRequest),
    AskedToBeWoken(BootMillis),
    /// An application got this access token, from the tokens with this serial.
    HandedOut {
        access: u64,
        serial: u64,
    },
    Failed(TokenError),
    Published(Phase),
    /// The engine holds the sign-in to be over.
    SignedOut,
    /// These tokens are now in the file.
    StoredTokens,
    /// The engine asked for a write without holding the lock.
    StoredWithoutLock,
}

/// What a step may need of the world.
pub(crate) struct Around<'a> {
    pub(crate) clocks: Clocks,
    pub(crate) dice: &'a mut Rng,
    pub(crate) failing_files: u32,
    pub(crate) planted: Option<Planted>,
}

impl Device {
    pub(crate) fn new(processes: usize) -> Self {
        Self {
            file: None,
            lock: None,
            lock_waiters: VecDeque::new(),
            processes: (0..processes).map(|_| Process::default()).collect(),
            wall_ahead_ms: 0,
            booted_at_ms: 0,
            boot_id: 1,
            network: 1,
        }
    }

    pub(crate) fn clocks(&self, true_wall_ms: u64, at_ms: u64) -> Clocks {
        Clocks {
            wall: UnixMillis(true_wall_ms.saturating_add_signed(self.wall_ahead_ms)),
            boot: BootMillis(at_ms.saturating_sub(self.booted_at_ms)),
            boot_id: self.boot_id,
        }
    }

    pub(crate) const fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Starts a process: its engine reads the file, without the lock.
    pub(crate) fn start(&mut self, process: usize, around: &mut Around<'_>) -> u32 {
        let started = &mut self.processes[process];
        started.lives += 1;
        started.is_suspended = false;
        let mut running = Running {
            engine: Engine::new(self.file.clone()),
            todo: VecDeque::new(),
            inbox: VecDeque::new(),
            wake_at: None,
            is_planned: false,
            callers: 0,
        };
        running.handle(Event::Timer, around);
        started.running = Some(running);
        started.lives
    }

    /// Kills a process. Its lock is freed; whoever gets it next is returned.
    pub(crate) fn kill(&mut self, process: usize) -> Option<usize> {
        self.processes[process].running = None;
        self.processes[process].is_suspended = false;
        self.lock_waiters.retain(|waiter| *waiter != process);
        if self.lock == Some(process) { self.pass_lock() } else { None }
    }

    fn pass_lock(&mut self) -> Option<usize> {
        self.lock = self.lock_waiters.pop_front();
        let next = self.lock?;
        if let Some(running) = &mut self.processes[next].running {
            running.inbox.push_back(Event::LockTaken);
        }
        Some(next)
    }

    /// One step of a process: its next action, or, where none is left, its next event.
    pub(crate) fn act(&mut self, process: usize, around: &mut Around<'_>) -> Option<Did> {
        let running = self.processes[process].running.as_mut()?;
        if let Some(action) = running.todo.pop_front() {
            return Some(self.carry_out(process, action, around));
        }
        let event = running.inbox.pop_front()?;
        let name = name_of(&event);
        running.handle(event, around);
        Some(Did::Handled(name))
    }

    fn carry_out(&mut self, process: usize, action: Action, around: &mut Around<'_>) -> Did {
        match action {
            Action::Lock => self.take_lock(process, around),
            Action::Unlock if self.lock == Some(process) => {
                self.pass_lock().map_or(Did::Inside("unlocked"), Did::PassedLock)
            }
            Action::Unlock => Did::Inside("had no lock"),
            Action::Read => {
                let event = if around.fails() {
                    Event::LoadFailed(failure("read"))
                } else {
                    Event::Loaded(self.file.clone().map(Box::new))
                };
                self.tell(process, event);
                Did::Inside("read the file")
            }
            Action::Store(credentials, storing) => self.store(process, *credentials, storing, around),
            Action::Send(request) => Did::Sent(planted_key(request, around)),
            Action::WakeAt(at) => {
                if let Some(running) = &mut self.processes[process].running {
                    running.wake_at = Some(at);
                }
                Did::AskedToBeWoken(at)
            }
            Action::Publish(state) => Did::Published(state.phase),
            Action::HandOut(_, handed_out) => {
                let access = crate::server::access_number(handed_out.token.secret.expose());
                Did::HandedOut { access, serial: handed_out.serial }
            }
            Action::Fail(_, error) => Did::Failed(error),
            Action::Note(Note::SignedOut { .. }) => Did::SignedOut,
            Action::Note(
                Note::RefreshSent { .. }
                | Note::Refreshed { .. }
                | Note::Adopted { .. }
                | Note::TryFailed { .. }
                | Note::ApiRefused { .. },
            ) => Did::Inside("noted"),
        }
    }

    fn take_lock(&mut self, process: usize, around: &mut Around<'_>) -> Did {
        if around.fails() {
            self.tell(process, Event::LockFailed(failure("locked")));
            return Did::Inside("failed to lock");
        }
        if self.lock.is_none() {
            self.lock = Some(process);
            self.tell(process, Event::LockTaken);
            return Did::Inside("locked");
        }
        self.lock_waiters.push_back(process);
        Did::Inside("waits for the lock")
    }

    fn store(
        &mut self,
        process: usize,
        credentials: Credentials,
        storing: Storing,
        around: &mut Around<'_>,
    ) -> Did {
        if self.lock != Some(process) {
            return Did::StoredWithoutLock;
        }
        if around.fails() {
            self.tell(process, Event::StoreFailed(failure("written")));
            return Did::Inside("failed to write");
        }
        self.tell(process, Event::Stored);
        match storing {
            Storing::Tokens if around.planted == Some(Planted::TokensNotStored) => {
                return Did::Inside("dropped a write");
            }
            Storing::RetryKey | Storing::Tokens | Storing::Story => self.file = Some(credentials),
        }
        match storing {
            Storing::RetryKey => Did::Inside("stored a retry key"),
            Storing::Tokens => Did::StoredTokens,
            Storing::Story => Did::Inside("set tokens aside"),
        }
    }

    /// Lays an event into a process's inbox.
    pub(crate) fn tell(&mut self, process: usize, event: Event) {
        if let Some(running) = &mut self.processes[process].running {
            running.inbox.push_back(event);
        }
    }
}

impl Running {
    pub(crate) fn has_work(&self) -> bool {
        !self.todo.is_empty() || !self.inbox.is_empty()
    }

    /// A name for the next caller.
    pub(crate) const fn caller(&mut self) -> CallerId {
        self.callers += 1;
        CallerId(self.callers)
    }

    /// After every input, drain the output.
    fn handle(&mut self, event: Event, around: &mut Around<'_>) {
        let mut noise = [0; 32];
        around.dice.fill(&mut noise);
        self.engine.handle(event, around.clocks, Entropy(noise));
        while let Some(action) = self.engine.poll() {
            self.todo.push_back(action);
        }
    }
}

impl Around<'_> {
    fn fails(&mut self) -> bool {
        self.dice.chance(self.failing_files)
    }
}

fn planted_key(mut request: RefreshRequest, around: &mut Around<'_>) -> RefreshRequest {
    if around.planted == Some(Planted::RetryKeyPerTry) {
        let mut noise = [0; 32];
        around.dice.fill(&mut noise);
        request.retry_key = Some(RetryKey::draw(&Entropy(noise)));
    }
    request
}

fn failure(verb: &'static str) -> StoreFailure {
    StoreFailure::Io { path: "credentials".to_owned(), verb, cause: "no space left on device".to_owned() }
}

const fn name_of(event: &Event) -> &'static str {
    match event {
        Event::TokenWanted { .. } => "token wanted",
        Event::ApiRefused { .. } => "API refused",
        Event::CallerGone(_) => "caller gone",
        Event::Timer => "timer",
        Event::Woke => "woke",
        Event::LockTaken => "lock taken",
        Event::LockFailed(_) => "lock failed",
        Event::Loaded(_) => "loaded",
        Event::LoadFailed(_) => "load failed",
        Event::Stored => "stored",
        Event::StoreFailed(_) => "store failed",
        Event::Answered(..) => "answered",
        Event::TransportFailed(..) => "transport failed",
        Event::OtherStored(_) => "other stored",
    }
}
