//! Who is signed in to this browser: a cookie with 256 random bits, of which the store keeps only a hash.
//!
//! Neither the database nor a server key signs anybody in. A login lasts 14 days from the moment the person
//! proved who they are, ends with a change of the password or a sign-out, and gets a new value at every
//! sign-in, so one that was planted in the browser before is worth nothing after.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use perennial_core::write::{Ticket, TicketKey};
use perennial_core::{SubjectId, UnixMillis};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::accounts::Account;
use crate::accounts::random::random_bytes;

use super::cookies::{self, Lasts};
use super::trouble::Trouble;
use super::visit::Visit;

/// The `acr` of sessions that a password opened: a name of ours, since no standard level is claimed for it.
pub(crate) const ACR_PASSWORD: &str = "urn:perennial:password";

const COOKIE: &str = "perennial_login";
const KEPT_MS: u64 = 14 * 24 * 3_600_000;
/// How many earlier sign-ins of the same person in this browser are remembered, so that a sign-out finds the
/// sessions that they opened.
const MOST_EARLIER: usize = 16;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct BrowserLogin {
    pub(crate) account: Account,
    /// When they proved who they are.
    pub(crate) authenticated_at: UnixMillis,
    earlier: Vec<u64>,
    key: TicketKey,
}

/// The ticket's payload.
#[derive(Serialize, Deserialize)]
struct Kept {
    subject: SubjectId,
    /// Unix milliseconds.
    authenticated_at: u64,
    /// The account's credentials when they did.
    credentials: u32,
    /// Unix milliseconds: the sign-ins that this one took the place of.
    #[serde(default)]
    earlier: Vec<u64>,
}

impl BrowserLogin {
    /// Whoever is signed in to the visiting browser.
    pub(crate) async fn of(visit: &Visit) -> Result<Option<Self>, Trouble> {
        let Some(key) = visit.cookie(&cookies::name(visit, COOKIE)).and_then(key_of) else { return Ok(None) };
        let store = visit.service.store.as_ref();
        let Some(ticket) = store.ticket(&key).await? else { return Ok(None) };
        if ticket.expires_at <= visit.now.wall {
            return Ok(None);
        }
        let Ok(kept) = serde_json::from_slice::<Kept>(&ticket.payload) else {
            return Err(Trouble::Bug("a browser's login is not what was written"));
        };
        let account = visit.service.accounts.by_subject(store, &kept.subject).await?;
        Ok(account.filter(|account| !account.disabled && account.credentials() == kept.credentials).map(
            |account| Self {
                account,
                authenticated_at: UnixMillis(kept.authenticated_at),
                earlier: kept.earlier,
                key,
            },
        ))
    }

    /// Signs `account` in to the visiting browser, and says which cookie to set. What the browser had before is
    /// over; of the same person it is remembered what it opened.
    pub(crate) async fn begin(visit: &Visit, account: &Account) -> Result<String, Trouble> {
        let before = Self::of(visit).await?;
        let mut earlier = Vec::new();
        if let Some(before) = &before
            && before.account.subject == account.subject
        {
            earlier.push(before.authenticated_at.0);
            earlier.extend(before.earlier.iter().copied().take(MOST_EARLIER - 1));
        }
        let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(random_bytes::<32>()).as_slice()));
        let kept = Kept {
            subject: account.subject.clone(),
            authenticated_at: visit.now.wall.0,
            credentials: account.credentials(),
            earlier,
        };
        let ticket = Ticket {
            key: key_of(&value).ok_or(Trouble::Bug("a new login's value is not of the right shape"))?,
            expires_at: visit.now.wall.plus(KEPT_MS),
            payload: serde_json::to_vec(&kept).map_err(|_| Trouble::Bug("a login is not JSON"))?,
        };
        visit.service.store.put_ticket(ticket).await?;
        if let Some(before) = before {
            visit.service.store.consume_ticket(&before.key).await?;
        }
        Ok(cookies::set(visit, COOKIE, &value, Lasts::Seconds(KEPT_MS / 1000)))
    }

    /// Signs them out of this browser, and says which cookie goes.
    pub(crate) async fn end(&self, visit: &Visit) -> Result<String, Trouble> {
        visit.service.store.consume_ticket(&self.key).await?;
        Ok(forget(visit))
    }

    /// Whether a session with this authentication was opened from this browser's login. Moments are kept in
    /// milliseconds, so two logins of one person have different ones.
    pub(crate) fn opened(&self, authenticated_at: UnixMillis) -> bool {
        self.authenticated_at == authenticated_at || self.earlier.contains(&authenticated_at.0)
    }
}

/// Removes the cookie, whatever it said.
pub(crate) fn forget(visit: &Visit) -> String {
    cookies::remove(visit, COOKIE)
}

/// The ticket of a cookie's value; `None` where it has not the shape of one.
fn key_of(value: &str) -> Option<TicketKey> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(value).ok()?);
    if bytes.len() != 32 {
        return None;
    }
    let mut key = vec![b'l'];
    key.extend_from_slice(&Sha256::digest(bytes.as_slice()));
    Some(TicketKey(key))
}
