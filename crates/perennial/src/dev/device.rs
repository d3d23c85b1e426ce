//! A device with the Perennial client: it works, call after call, and never asks how old its token is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use perennial_client::{MemoryStore, SendError, Session, SessionOptions};
use reqwest::StatusCode;

use super::network::Addresses;
use super::sign_in::sign_in;
use super::tally::{Call, Side, Tally};

/// How long a device rests between two calls.
pub(super) const BETWEEN_CALLS: Duration = Duration::from_millis(400);
/// How long a person waits for one call before it is an interruption.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a device stands.
pub(super) struct Place {
    pub(super) issuer: Arc<str>,
    pub(super) network: Addresses,
    pub(super) number: u16,
}

/// Signs in once and works until it is stopped.
pub(super) async fn stay_signed_in(place: Place, tally: Arc<Tally>) {
    let session = match open(&place).await {
        Ok(session) => session,
        Err(why) => {
            tally.interrupted(Side::Perennial, place.number, &format!("could not sign in: {why}"));
            return;
        }
    };
    loop {
        let started = Instant::now();
        let call = tokio::time::timeout(PATIENCE, call(&session, &place.network.notes)).await;
        let call = call.unwrap_or_else(|_| Call::Interrupted("no answer within 10 seconds".to_owned()));
        tally.called(Side::Perennial, place.number, &call, started.elapsed());
        tokio::time::sleep(BETWEEN_CALLS).await;
    }
}

async fn open(place: &Place) -> Result<Session, String> {
    let mut credentials = sign_in(&place.issuer, "demo-web").await?;
    // From here on everything goes through the bad network.
    credentials.token_endpoint.clone_from(&place.network.token_endpoint);
    let store = Arc::new(MemoryStore::holding(credentials));
    Session::open(store, SessionOptions::default()).await.map_err(|error| error.to_string())
}

async fn call(session: &Session, notes: &str) -> Call {
    match session.send(session.client().get(notes)).await {
        Ok(answer) => judge(answer.status()),
        Err(SendError::Http(_)) => Call::LostByTheNetwork,
        Err(error @ (SendError::Token(_) | SendError::UnfitToken)) => Call::Interrupted(error.to_string()),
    }
}

/// What an answer of the API means for the work.
pub(super) fn judge(status: StatusCode) -> Call {
    if status.is_success() { Call::Made } else { Call::Interrupted(format!("the API answered {status}")) }
}
