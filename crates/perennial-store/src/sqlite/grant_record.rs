//! A grant as bytes, with a checksum over all that it says, its names and its session included.
//!
//! format u8 · bound u8 · continuity 16 · secret 32 · born, authenticated, absolute u64 each · key 32 where bound
//! · length of scopes u32 · scopes · acr · CRC-32

use perennial_core::session::{Grant, Jkt, SessionSecret};
use perennial_core::{ClientId, ContinuityId, Scopes, SessionId, SubjectId, UnixMillis};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const FIXED_LEN: usize = 2 + 16 + 32 + 3 * 8 + 4 + 4;

/// The bytes, which hold the session's secret.
pub(super) fn encode(sid: SessionId, grant: &Grant) -> Zeroizing<Vec<u8>> {
    let (scopes, acr) = (grant.scopes.as_str(), grant.acr.as_bytes());
    // The whole length at once: a vector that grows leaves copies of the secret behind.
    let mut out = Zeroizing::new(Vec::with_capacity(FIXED_LEN + 32 + scopes.len() + acr.len()));
    out.extend([FORMAT, u8::from(grant.bound_key.is_some())]);
    out.extend(grant.continuity.0);
    out.extend(grant.secret.0);
    for time in [grant.born_at, grant.authenticated_at, grant.absolute_at] {
        out.extend(time.0.to_be_bytes());
    }
    if let Some(key) = grant.bound_key {
        out.extend(key.0);
    }
    let scopes_len =
        u32::try_from(scopes.len()).expect("scopes come in a request, of which the size is limited");
    out.extend(scopes_len.to_be_bytes());
    out.extend(scopes.as_bytes());
    out.extend(acr);
    let checksum = checksum(sid, &grant.subject, &grant.client, &out);
    out.extend(checksum);
    out
}

/// Reads them; says what is wrong where they are not what was written.
pub(super) fn decode(
    sid: SessionId,
    subject: SubjectId,
    client: ClientId,
    bytes: &[u8],
) -> Result<Grant, &'static str> {
    const SHORT: &str = "the grant ends too early";
    let (body, written) = bytes.split_last_chunk::<4>().ok_or(SHORT)?;
    if checksum(sid, &subject, &client, body) != *written {
        return Err("the grant's checksum does not match: it was damaged after it was written");
    }
    let mut rest = body;
    let [format, bound] = take(&mut rest).ok_or(SHORT)?;
    if format != FORMAT {
        return Err("the grant has a format that this version does not know");
    }
    let continuity = ContinuityId(take(&mut rest).ok_or(SHORT)?);
    let secret = SessionSecret(take(&mut rest).ok_or(SHORT)?);
    let mut time = || take(&mut rest).map(|bytes| UnixMillis(u64::from_be_bytes(bytes))).ok_or(SHORT);
    let (born_at, authenticated_at, absolute_at) = (time()?, time()?, time()?);
    let bound_key = if bound == 0 { None } else { Some(Jkt(take(&mut rest).ok_or(SHORT)?)) };
    let scopes_len = u32::from_be_bytes(take(&mut rest).ok_or(SHORT)?);
    let (scopes, acr) = rest.split_at_checked(scopes_len as usize).ok_or(SHORT)?;
    let scopes = std::str::from_utf8(scopes).ok().and_then(|text| Scopes::parse(text).ok());
    let acr = std::str::from_utf8(acr).map_err(|_| "the grant's acr is not text")?;
    Ok(Grant {
        subject,
        client,
        scopes: scopes.ok_or("the grant's scopes are not scopes")?,
        continuity,
        secret,
        born_at,
        authenticated_at,
        acr: acr.into(),
        absolute_at,
        bound_key,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*part)
}

fn checksum(sid: SessionId, subject: &SubjectId, client: &ClientId, body: &[u8]) -> [u8; 4] {
    super::checksum(&[&sid.0, subject.as_str().as_bytes(), client.as_str().as_bytes(), body]).to_be_bytes()
}
