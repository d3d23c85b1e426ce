//! Sessions, writes and events to store.

use std::sync::Arc;

use perennial_core::session::context::{NetworkId, SoftwareId};
use perennial_core::session::evidence::{Class, Dispute, DisputeKind};
use perennial_core::session::{Birth, Context, Grant, Hot, Jkt, Reason, SessionSecret};
use perennial_core::write::{Durability, Event, Expect, Ticket, TicketKey, Write};
use perennial_core::{
    ContinuityId, Generation, Now, RowVersion, Scopes, ServiceMillis, Session, SessionId, UnixMillis,
};

/// The moment that samples are born at.
pub(crate) const BORN: UnixMillis = UnixMillis(1_750_000_000_000);

/// The n-th session id, in the order of birth.
pub(crate) fn sid(n: u32) -> SessionId {
    let [a, b, c, d] = n.to_be_bytes();
    SessionId::new(BORN.plus(n.into()), [0, 0, a, b, c, d, 7, 7, 7, 7])
}

pub(crate) fn grant(subject: &str, client: &str) -> Grant {
    Grant {
        subject: subject.into(),
        client: client.into(),
        scopes: Scopes::parse("openid offline_access reports:read").expect("scopes"),
        continuity: ContinuityId::new(BORN, [3; 10]),
        secret: SessionSecret([0x5e; 32]),
        born_at: BORN,
        authenticated_at: BORN.plus(1),
        acr: "urn:example:password".into(),
        absolute_at: BORN.plus(90 * 86_400_000),
        bound_key: Some(Jkt([9; 32])),
    }
}

pub(crate) fn session(subject: &str, client: &str) -> Session {
    let now = Now { wall: BORN, service: ServiceMillis(1_000) };
    Session::born(grant(subject, client), Birth { now, code_lifetime_ms: 60_000, policy_version: 1 })
}

/// The write that bears a session.
pub(crate) fn birth(sid: SessionId, session: &Session) -> Write {
    Write {
        sid,
        expect: Expect::Absent,
        hot: session.hot,
        grant: Some(Arc::clone(&session.grant)),
        ticket: None,
        event: event(Reason::Born, 0),
        durability: Durability::Replicated,
    }
}

/// The write that rotates a session once, from how it was read.
pub(crate) fn rotation(sid: SessionId, read: &Session) -> Write {
    let hot = rotated(&read.hot);
    Write {
        sid,
        expect: Expect::Version(read.hot.version),
        hot,
        grant: None,
        ticket: None,
        event: event(Reason::Rotated, hot.generation.0),
        durability: Durability::Local,
    }
}

pub(crate) fn rotated(hot: &Hot) -> Hot {
    let generation = hot.generation.next();
    let context = Context { network: NetworkId(11), software: SoftwareId(5) };
    Hot {
        generation,
        rotated_at: hot.rotated_at.plus(600_000),
        idle_at: hot.idle_at.plus(600_000),
        seen_at: hot.seen_at.plus(600_000),
        rotated_by: context,
        networks: hot.networks.learn(context.network, hot.generation),
        software: hot.software.learn(context.software, hot.generation),
        ..*hot
    }
}

pub(crate) fn event(reason: Reason, generation: u32) -> Event {
    Event {
        at: BORN.plus(generation.into()),
        reason,
        generation: Generation(generation),
        presented: generation.checked_sub(1).map(Generation),
        dispute: (generation % 3 == 2).then_some(Dispute {
            kind: DisputeKind::Superseded,
            class: Class::NewNetwork,
            added: 40,
        }),
        evidence: 40,
        request_id: generation.is_multiple_of(2).then(|| "req_0123456789".into()),
    }
}

pub(crate) fn ticket(name: &str) -> Ticket {
    Ticket { key: key(name), expires_at: BORN.plus(60_000), payload: name.as_bytes().repeat(3) }
}

pub(crate) fn key(name: &str) -> TicketKey {
    TicketKey([b"t", name.as_bytes()].concat())
}

/// The session as a store must give it back after `write` was applied to what was read.
pub(crate) fn after(write: &Write, read: &Session) -> Session {
    let version = match write.expect {
        Expect::Absent => RowVersion(0),
        Expect::Version(version) => version.next(),
    };
    let grant = write.grant.clone().unwrap_or_else(|| Arc::clone(&read.grant));
    Session { grant, hot: Hot { version, ..write.hot } }
}
