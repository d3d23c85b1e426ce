//! The clients of a running service: those in the store and those of the configuration file, which win.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use perennial_core::ClientId;
use perennial_core::session::EndCause;
use perennial_store::{PutRecord, Record, RecordKind, SessionsOf, StoreError};
use tokio::sync::Mutex;

use super::command::{ClientView, CommandError};
use crate::clients::Client;
use crate::service::Service;
use crate::sweeper::end_sessions_of;

const PAGE: u16 = 256;

/// Both kinds of clients, and the way to change those in the store.
pub struct ClientRegistry {
    service: Arc<Service>,
    from_file: ArcSwap<Vec<Client>>,
    /// Two changes at a time would each put what they read before the other's into effect.
    changing: Mutex<()>,
}

impl ClientRegistry {
    /// Joins the clients of the file with those in the store, and puts them into effect.
    ///
    /// # Errors
    /// The store is away, or a record is damaged.
    pub async fn open(service: Arc<Service>, from_file: Vec<Client>) -> Result<Self, StoreError> {
        let registry = Self { service, from_file: ArcSwap::default(), changing: Mutex::new(()) };
        registry.replace_file(from_file).await?;
        Ok(registry)
    }

    /// The service that they are clients of.
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Puts these in the place of the file's clients, and says how many clients there are in all. Whoever is
    /// disabled by it loses all sessions.
    pub(crate) async fn replace_file(&self, clients: Vec<Client>) -> Result<usize, StoreError> {
        let _changing = self.changing.lock().await;
        let stored = self.stored().await?;
        self.from_file.store(Arc::new(clients));
        Ok(self.put_into_effect(stored).await)
    }

    pub(super) async fn add(&self, client: Client) -> Result<(), CommandError> {
        let _changing = self.changing.lock().await;
        if self.is_from_file(&client.id) {
            return Err(CommandError::FromFile(client.id));
        }
        if !self.service.store.put_records(vec![put(&client, 0)]).await? {
            return Err(CommandError::ClientExists(client.id));
        }
        self.put_into_effect(self.stored().await?).await;
        Ok(())
    }

    /// Disables a client and ends its sessions, or lets it in again; says how many sessions ended.
    pub(super) async fn set_disabled(
        &self,
        id: &ClientId,
        disabled: bool,
    ) -> Result<(Client, u32), CommandError> {
        let _changing = self.changing.lock().await;
        if self.is_from_file(id) {
            return Err(CommandError::FromFile(id.clone()));
        }
        let record = self.service.store.record(RecordKind::Client, id.as_str()).await?;
        let record = record.ok_or_else(|| CommandError::NoSuchClient(id.clone()))?;
        let client = Client { disabled, ..client_in(&record)? };
        if !self.service.store.put_records(vec![put(&client, record.version)]).await? {
            return Err(CommandError::Conflict(id.clone()));
        }
        self.put_into_effect(self.stored().await?).await;
        let ended = if disabled { self.end_sessions(id).await? } else { 0 };
        Ok((client, ended))
    }

    /// All clients, in the order of their ids.
    pub(super) fn list(&self) -> Vec<ClientView> {
        let mut clients: Vec<ClientView> = self
            .service
            .clients
            .all()
            .iter()
            .map(|client| ClientView::of(client, self.is_from_file(&client.id)))
            .collect();
        clients.sort_by(|a, b| a.id.cmp(&b.id));
        clients
    }

    fn is_from_file(&self, id: &ClientId) -> bool {
        self.from_file.load().iter().any(|client| client.id == *id)
    }

    async fn stored(&self) -> Result<Vec<Client>, StoreError> {
        let (mut clients, mut after): (Vec<Client>, Option<String>) = (Vec::new(), None);
        loop {
            let page = self.service.store.records(RecordKind::Client, after.as_deref(), PAGE).await?;
            after = page.last().map(|record| record.key.clone());
            for record in &page {
                clients.push(client_in(record)?);
            }
            if page.len() < usize::from(PAGE) {
                return Ok(clients);
            }
        }
    }

    /// Joins both kinds, and says how many there are.
    async fn put_into_effect(&self, stored: Vec<Client>) -> usize {
        let from_file = self.from_file.load_full();
        let mut joined: BTreeMap<ClientId, Client> = BTreeMap::new();
        for client in stored.into_iter().chain(from_file.iter().cloned()) {
            joined.insert(client.id.clone(), client);
        }
        let count = joined.len();
        self.service.clients.replace(joined.into_values());
        for client in from_file.iter().filter(|client| client.disabled) {
            // A disabled client gets nothing either way: what cannot be ended now is ended by the next reload.
            if let Err(error) = self.end_sessions(&client.id).await {
                tracing::warn!(%error, client = %client.id, "the sessions of a disabled client were not ended");
            }
        }
        count
    }

    async fn end_sessions(&self, id: &ClientId) -> Result<u32, StoreError> {
        end_sessions_of(&self.service, SessionsOf::Client(id.clone()), EndCause::ClientDisabled).await
    }
}

fn put(client: &Client, expect: u32) -> PutRecord {
    let body = serde_json::to_vec(client).expect("a client is texts and lists of them, which JSON has");
    PutRecord { kind: RecordKind::Client, key: client.id.as_str().to_owned(), expect, body }
}

fn client_in(record: &Record) -> Result<Client, StoreError> {
    serde_json::from_slice(&record.body).map_err(|error| StoreError::Damaged {
        what: format!("the record of the client `{}`", record.key),
        why: error.to_string(),
    })
}
