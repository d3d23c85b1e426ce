//! What an event says beside its time and reason, as bytes.
//!
//! format u8 · flags u8 · generation u32 · evidence u16 · presented u32 where there is one · dispute where there is
//! one (kind u8 · class u8 · added u16) · request id, the rest

use perennial_core::session::Reason;
use perennial_core::session::evidence::{Class, Dispute, DisputeKind};
use perennial_core::write::Event;
use perennial_core::{Generation, UnixMillis};

const FORMAT: u8 = 1;
const PRESENTED: u8 = 1;
const DISPUTED: u8 = 1 << 1;
const REQUESTED: u8 = 1 << 2;

/// The bytes.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let request_id = event.request_id.as_deref().unwrap_or_default();
    let mut out = Vec::with_capacity(16 + request_id.len());
    let flag = |set: bool, bit| if set { bit } else { 0 };
    let flags = flag(event.presented.is_some(), PRESENTED)
        | flag(event.dispute.is_some(), DISPUTED)
        | flag(event.request_id.is_some(), REQUESTED);
    out.extend([FORMAT, flags]);
    out.extend(event.generation.0.to_be_bytes());
    out.extend(event.evidence.to_be_bytes());
    if let Some(presented) = event.presented {
        out.extend(presented.0.to_be_bytes());
    }
    if let Some(dispute) = event.dispute {
        let kind = match dispute.kind {
            DisputeKind::Late => 0,
            DisputeKind::Superseded => 1,
        };
        let class = match dispute.class {
            Class::Known => 0,
            Class::NewNetwork => 1,
            Class::NewSoftware => 2,
        };
        out.extend([kind, class]);
        out.extend(dispute.added.to_be_bytes());
    }
    out.extend(request_id.as_bytes());
    out
}

/// Reads them; `None` where they are not what was written.
pub(super) fn decode(at: UnixMillis, reason: u8, mut bytes: &[u8]) -> Option<Event> {
    let rest = &mut bytes;
    let [FORMAT, flags] = take(rest)? else { return None };
    let generation = Generation(u32::from_be_bytes(take(rest)?));
    let evidence = u16::from_be_bytes(take(rest)?);
    let presented =
        if flags & PRESENTED != 0 { Some(Generation(u32::from_be_bytes(take(rest)?))) } else { None };
    let dispute = if flags & DISPUTED != 0 { Some(dispute(rest)?) } else { None };
    let request_id = if flags & REQUESTED != 0 { Some(std::str::from_utf8(rest).ok()?.into()) } else { None };
    Some(Event { at, reason: Reason::of_code(reason)?, generation, presented, dispute, evidence, request_id })
}

fn dispute(rest: &mut &[u8]) -> Option<Dispute> {
    let [kind, class] = take(rest)?;
    let kind = match kind {
        0 => DisputeKind::Late,
        1 => DisputeKind::Superseded,
        _ => return None,
    };
    let class = match class {
        0 => Class::Known,
        1 => Class::NewNetwork,
        2 => Class::NewSoftware,
        _ => return None,
    };
    Some(Dispute { kind, class, added: u16::from_be_bytes(take(rest)?) })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*part)
}
