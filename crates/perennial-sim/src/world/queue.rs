//! What is going to happen, in the order of virtual time; of two things at one moment, the one planned first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use perennial_client::BootMillis;
use perennial_client::engine::Event;

use crate::device::{Life, ProcessId};
use crate::network::Request;

/// Something that will happen.
pub(crate) enum Happening {
    /// A process carries out its next action, or takes in its next event.
    Act(Life),
    /// The time that a process asked to be woken at.
    Wake(Life, BootMillis),
    /// An application in the process wants a token.
    Want(Life),
    /// An event reaches a process: an answer, or the end of waiting for one.
    Reach(Life, Event),
    /// A dead process is started again.
    Start(ProcessId),
    /// A suspended process goes on.
    Resume(Life, Waking),
    /// The user of a device signs in, if that is needed.
    SignIn(usize),
    /// A request reaches the server.
    Arrive(Request),
    /// The server does the next step of a request that it is handling.
    Serve(u64),
    /// A dead node is started again.
    NodeUp(usize),
}

/// What a process that goes on knows of the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waking {
    /// Nothing: it was stopped, or swapped out.
    Unnoticed,
    /// The machine slept.
    FromSleep,
}

struct Planned {
    at_ms: u64,
    order: u64,
    what: Happening,
}

/// The queue of what will happen.
#[derive(Default)]
pub(crate) struct Queue {
    planned: BinaryHeap<Reverse<Planned>>,
    order: u64,
}

impl Queue {
    pub(crate) fn plan(&mut self, at_ms: u64, what: Happening) {
        self.order += 1;
        self.planned.push(Reverse(Planned { at_ms, order: self.order, what }));
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Happening)> {
        self.planned.pop().map(|Reverse(planned)| (planned.at_ms, planned.what))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.order) == (other.at_ms, other.order)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}
