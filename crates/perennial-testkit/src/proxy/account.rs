//! What happened, as events for a live display and as counts for assertions.

use std::sync::Arc;

use super::Exchange;

/// Something that happened to an exchange, sent to every listener of [`super::FaultyProxy::events`].
#[derive(Clone, Debug)]
pub struct Event {
    /// Which exchange.
    pub exchange: Arc<Exchange>,
    /// What happened to it.
    pub happened: Happened,
}

/// What happened to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The whole request is at the proxy.
    Arrived,
    /// It was lost before the server saw it.
    RequestLost,
    /// It, or its answer, waits at a gate or travels slowly.
    Held,
    /// It goes on.
    Released,
    /// The server has answered, whole: whatever it did for this request is done.
    Answered {
        /// The status of the answer.
        status: u16,
        /// The length of the answer with its head, in bytes.
        bytes: usize,
    },
    /// The client has been given the whole answer.
    Delivered {
        /// The status of the answer.
        status: u16,
    },
    /// The server's answer was thrown away.
    AnswerLost,
    /// The client was given so many bytes of the answer, then the end of the stream.
    AnswerCut {
        /// How many.
        after_bytes: usize,
    },
    /// The server has answered the second copy of the request.
    Duplicated,
    /// The proxy answered by itself.
    MadeUp {
        /// The status of its answer.
        status: u16,
    },
    /// The server refused the connection or went away before it had answered; the client's was reset.
    ServerAway,
    /// The client had gone before its answer came.
    ClientGone,
}

/// How often each thing has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whole requests that arrived.
    pub requests: u64,
    /// Requests that the server never saw.
    pub requests_lost: u64,
    /// Whole answers that came from the server, copies not counted.
    pub answered: u64,
    /// Whole answers of the server that the client was given.
    pub delivered: u64,
    /// Answers thrown away.
    pub answers_lost: u64,
    /// Answers cut.
    pub answers_cut: u64,
    /// Second copies that the server answered.
    pub duplicated: u64,
    /// Times that something was held or delayed.
    pub held: u64,
    /// Answers that the proxy made up.
    pub made_up: u64,
    /// Exchanges that found the server away.
    pub server_away: u64,
    /// Exchanges whose client had gone.
    pub client_gone: u64,
}

impl Counts {
    pub(super) fn note(&mut self, happened: Happened) {
        let count = match happened {
            Happened::Arrived => &mut self.requests,
            Happened::RequestLost => &mut self.requests_lost,
            Happened::Held => &mut self.held,
            Happened::Released => return,
            Happened::Answered { .. } => &mut self.answered,
            Happened::Delivered { .. } => &mut self.delivered,
            Happened::AnswerLost => &mut self.answers_lost,
            Happened::AnswerCut { .. } => &mut self.answers_cut,
            Happened::Duplicated => &mut self.duplicated,
            Happened::MadeUp { .. } => &mut self.made_up,
            Happened::ServerAway => &mut self.server_away,
            Happened::ClientGone => &mut self.client_gone,
        };
        *count += 1;
    }
}
