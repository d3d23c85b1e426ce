//! Sessions, rules and presentations to begin a test with.

use perennial_core::policy::{ClientKind, Level, Response, Rules};
use perennial_core::session::context::{NetworkId, Sends, SoftwareId};
use perennial_core::session::retry_key::RetryKeyHash;
use perennial_core::session::token::{KeyRing, ServerKey};
use perennial_core::session::{
    Birth, Context, Decision, Grant, Holder, Issue, Presented, SessionSecret, Verdict,
};
use perennial_core::time::{Now, ServiceMillis, UnixMillis};
use perennial_core::{ClientId, ContinuityId, Generation, Scopes, Session, SessionId, SubjectId};

pub(crate) const DAY_MS: u64 = 86_400_000;

pub(crate) fn rules() -> Rules {
    Rules::of_kind(ClientKind::Web)
}

pub(crate) fn strict() -> Rules {
    Rules { response: Response::Revoke, ..rules().at_level(Level::Strict) }
}

pub(crate) fn at(ms: u64) -> Now {
    Now { wall: UnixMillis(1_800_000_000_000 + ms), service: ServiceMillis(1_000_000 + ms) }
}

pub(crate) fn sid() -> SessionId {
    SessionId::new(at(0).wall, [7; 10])
}

pub(crate) fn secret() -> SessionSecret {
    SessionSecret([42; 32])
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(ServerKey { id: 2, secret: [2; 32] }, vec![ServerKey { id: 1, secret: [1; 32] }])
}

pub(crate) fn grant() -> Grant {
    Grant {
        subject: SubjectId::from("ada"),
        client: ClientId::from("demo-web"),
        scopes: Scopes::parse("openid profile").unwrap(),
        continuity: ContinuityId::new(at(0).wall, [9; 10]),
        secret: secret(),
        born_at: at(0).wall,
        authenticated_at: at(0).wall,
        acr: "pwd".into(),
        absolute_at: at(90 * DAY_MS).wall,
        bound_key: None,
    }
}

pub(crate) fn newborn() -> Session {
    Session::born(
        grant(),
        Birth { now: at(0), code_lifetime_ms: rules().code_lifetime_ms, policy_version: 1 },
    )
}

pub(crate) fn home() -> Context {
    context(1, 1)
}

pub(crate) fn context(network: u8, software: u8) -> Context {
    Context {
        network: NetworkId::of_hash([0, 0, 0, network]),
        software: SoftwareId::of_hash([0, 0, software, 0], Sends::Token),
    }
}

pub(crate) fn key(n: u64) -> RetryKeyHash {
    RetryKeyHash::of_parameter(&format!("retry-key-number-{n:020}")).unwrap()
}

pub(crate) fn token(generation: u32) -> Presented {
    Presented { generation: Generation(generation), retry_key: None, holder: Holder::Bearer }
}

pub(crate) fn token_with_key(generation: u32, n: u64) -> Presented {
    Presented { retry_key: Some(key(n)), ..token(generation) }
}

/// The session after what was decided, as a store would leave it.
pub(crate) fn applied(mut session: Session, decision: &Decision) -> Session {
    if let Some(mut next) = decision.next {
        next.version = session.hot.version.next();
        session.hot = next;
    }
    session
}

pub(crate) fn issued(decision: &Decision) -> (Issue, u32) {
    match decision.verdict {
        Verdict::Issue { by, generation, .. } => (by, generation.0),
        Verdict::Refuse(refusal) => panic!("refused: {refusal:?}, {:?}", decision.reason),
    }
}

/// A session whose code was redeemed at home and whose token was rotated, with keys, up to `generation`.
pub(crate) fn session_at(generation: u32) -> Session {
    let first =
        perennial_core::session::redeem(&newborn(), &token_with_key(0, 0), &home(), &rules(), at(1_000));
    let mut session = applied(newborn(), &first);
    for of in 1..generation {
        let presented = token_with_key(of, u64::from(of));
        let decision =
            perennial_core::decide(&session, &presented, &home(), &rules(), at(u64::from(of) * 60_000));
        session = applied(session, &decision);
    }
    session
}

/// The same for a plain client that sends no retry keys.
pub(crate) fn plain_session_at(generation: u32) -> Session {
    let first = perennial_core::session::redeem(&newborn(), &token(0), &home(), &rules(), at(1_000));
    let mut session = applied(newborn(), &first);
    for of in 1..generation {
        let decision =
            perennial_core::decide(&session, &token(of), &home(), &rules(), at(u64::from(of) * 60_000));
        session = applied(session, &decision);
    }
    session
}
