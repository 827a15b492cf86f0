//! What customers allowed third parties.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::errors::IdpError;

/// One third party that somebody lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consent {
    pub(super) subject: String,
    pub(super) client_id: String,
    pub(super) resource: String,
    pub(super) scopes: BTreeSet<String>,
    pub(super) granted_ms: i64,
}

/// Consents in the store's tree `idp_consents`, by subject and client. Neither can hold a space.
pub(super) struct ConsentRecords {
    tree: sled::Tree,
}

impl ConsentRecords {
    pub(super) fn open(db: &sled::Db) -> Result<Self, IdpError> {
        Ok(Self { tree: db.open_tree("idp_consents")? })
    }

    pub(super) fn record(&self, consent: &Consent) -> Result<(), IdpError> {
        self.tree.insert(key(&consent.subject, &consent.client_id), serde_json::to_vec(consent)?)?;
        self.tree.flush()?;
        Ok(())
    }

    /// Whether all of these scopes were allowed before.
    pub(super) fn covers(
        &self,
        subject: &str,
        client_id: &str,
        resource: &str,
        scopes: &BTreeSet<String>,
    ) -> Result<bool, IdpError> {
        let Some(bytes) = self.tree.get(key(subject, client_id))? else {
            return Ok(false);
        };
        let known: Consent = serde_json::from_slice(&bytes)?;
        Ok(known.resource == resource && known.scopes.is_superset(scopes))
    }

    /// Everything that `subject` allowed, oldest first.
    pub(super) fn of(&self, subject: &str) -> Result<Vec<Consent>, IdpError> {
        let mut consents = Vec::new();
        for entry in self.tree.scan_prefix(key(subject, "")) {
            let (_, bytes) = entry?;
            consents.push(serde_json::from_slice::<Consent>(&bytes)?);
        }
        consents.sort_by_key(|consent| consent.granted_ms);
        Ok(consents)
    }

    /// Takes a consent back; false when there was none.
    pub(super) fn remove(&self, subject: &str, client_id: &str) -> Result<bool, IdpError> {
        let existed = self.tree.remove(key(subject, client_id))?.is_some();
        self.tree.flush()?;
        Ok(existed)
    }
}

fn key(subject: &str, client_id: &str) -> String {
    format!("{subject} {client_id}")
}
