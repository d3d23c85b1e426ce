//! What a world is made of, and what may befall it.

use perennial_core::policy::{ClientKind, Rules};
use perennial_core::session::Holder;

/// What a world is made of. A world is given by its plan and its seed, and by nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many devices, each with a user, a credential file and a session of its own.
    pub devices: usize,
    /// How many processes share each device's credential file.
    pub processes: usize,
    /// How many nodes the server has, over one store.
    pub nodes: usize,
    /// The rules that every presentation is decided by.
    pub rules: Rules,
    /// By what the clients are known beside their retry keys; a DPoP proof counts as checked.
    pub holder: Holder,
    /// What may go wrong, and how often.
    pub faults: Faults,
    /// A rule that is broken on purpose, to see that it is noticed.
    pub planted: Option<Planted>,
}

/// What may go wrong. Shares are percentages of the messages or operations that they apply to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Requests that never arrive.
    pub lost_requests: u32,
    /// Answers that never arrive, though the request was carried out.
    pub lost_answers: u32,
    /// Requests that arrive twice.
    pub duplicates: u32,
    /// Messages that take up to two hours, so that they overtake each other and reach nobody in time.
    pub delays: u32,
    /// Answers that a captive portal gives in the server's place, or that are cut on the way.
    pub mangled_answers: u32,
    /// Reads, writes and locks of the credential file that fail.
    pub failing_files: u32,
    /// How many of 1,000 steps are preceded by one of the troubles.
    pub troubles_per_mille: u32,
    /// Which troubles there are; one that stands here twice comes twice as often.
    pub troubles: Vec<Trouble>,
}

/// Something that befalls a process, a device, a node or a session, between any two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A process is killed, and started again up to a minute later.
    ProcessKilled,
    /// A process is stopped for up to three hours, and knows nothing of it.
    ProcessSuspended,
    /// A device sleeps for up to twenty days.
    DeviceAsleep,
    /// A device is switched off and on: all processes die, the boot clock starts anew.
    DeviceRebooted,
    /// Somebody sets a device's wall clock, up to a day off.
    DeviceClockJumped,
    /// A device moves to another network.
    NetworkChanged,
    /// A node is killed, and is back up to half a minute later.
    NodeKilled,
    /// A node's wall clock falls back by up to an hour, or is right again.
    NodeClockJumped,
    /// A replica takes over that lacks the last acknowledged rotations.
    FailedOver,
    /// An operator ends a session.
    SessionEnded,
}

/// A rule broken on purpose. Each is to be noticed by the invariant that its line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// INV-1: the server takes the predecessor for the current token, and rotates again.
    PredecessorRotated,
    /// INV-2: the driver sends a new retry key with each try.
    RetryKeyPerTry,
    /// INV-5: the server decides as if there were no absolute lifetime.
    AbsoluteLifetimeIgnored,
    /// INV-5 or INV-7: the store forgets the version check, so that a loser undoes what the winner wrote.
    VersionUnchecked,
    /// INV-6: the row forgets the retry keys of its rotations.
    RetryKeysForgotten,
    /// INV-7: the server answers before it commits.
    AnsweredBeforeCommit,
    /// INV-7: the device gives new tokens to its callers and drops the write that was to keep them.
    TokensNotStored,
    /// INV-8: a retriable refusal moves the idle deadline.
    RefusalExtends,
}

impl Plan {
    /// One device with three processes, two nodes, access tokens of a minute, and everything that can go wrong.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            devices: 1,
            processes: 3,
            nodes: 2,
            rules: Rules { access_lifetime_ms: 60_000, ..Rules::of_kind(ClientKind::Native) },
            holder: Holder::Bearer,
            faults: Faults::all(),
            planted: None,
        }
    }

    /// The same without any fault.
    #[must_use]
    pub fn calm() -> Self {
        Self { faults: Faults::none(), ..Self::rough() }
    }
}

impl Trouble {
    /// Every one of them.
    pub const ALL: [Self; 10] = [
        Self::ProcessKilled,
        Self::ProcessSuspended,
        Self::DeviceAsleep,
        Self::DeviceRebooted,
        Self::DeviceClockJumped,
        Self::NetworkChanged,
        Self::NodeKilled,
        Self::NodeClockJumped,
        Self::FailedOver,
        Self::SessionEnded,
    ];
}

impl Faults {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            lost_requests: 0,
            lost_answers: 0,
            duplicates: 0,
            delays: 0,
            mangled_answers: 0,
            failing_files: 0,
            troubles_per_mille: 0,
            troubles: Vec::new(),
        }
    }

    /// All, far more often than on the worst day.
    #[must_use]
    pub fn all() -> Self {
        use Trouble::{FailedOver, NetworkChanged, NodeKilled, ProcessKilled, ProcessSuspended};
        let often = [ProcessKilled, ProcessKilled, ProcessSuspended, NetworkChanged, NodeKilled, FailedOver];
        // An end is the one trouble that a session does not survive: the others must get their time.
        let rare = Trouble::ALL.into_iter().filter(|trouble| *trouble != Trouble::SessionEnded);
        let troubles =
            often.into_iter().cycle().take(48).chain(rare.cycle().take(27)).chain([Trouble::SessionEnded]);
        Self {
            lost_requests: 10,
            lost_answers: 20,
            duplicates: 10,
            delays: 10,
            mangled_answers: 5,
            failing_files: 3,
            troubles_per_mille: 25,
            troubles: troubles.collect(),
        }
    }
}
