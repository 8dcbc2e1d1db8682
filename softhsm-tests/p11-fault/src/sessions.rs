//! The sessions that are open, and what they sign with.

use std::collections::{BTreeMap, HashMap};

use cryptoki_sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SLOT_ID};
use serde::Serialize;

/// The sessions of this process.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<CK_SESSION_HANDLE, Session>,
    most: usize,
    ids: HashMap<CK_OBJECT_HANDLE, String>,
    signatures: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Session {
    slot: CK_SLOT_ID,
    /// `CKA_ID` of the key that it signs with.
    key: Option<String>,
}

/// What is told of them.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Counts {
    open: usize,
    /// The most that were open at once.
    most: usize,
}

impl Sessions {
    pub(crate) fn opened(&mut self, session: CK_SESSION_HANDLE, slot: CK_SLOT_ID) {
        self.open.insert(session, Session { slot, key: None });
        self.most = self.most.max(self.open.len());
    }

    pub(crate) fn closed(&mut self, session: CK_SESSION_HANDLE) {
        self.open.remove(&session);
    }

    pub(crate) fn all_closed(&mut self, slot: CK_SLOT_ID) {
        self.open.retain(|_, session| session.slot != slot);
    }

    pub(crate) fn none_left(&mut self) {
        self.open.clear();
        self.ids.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// One session of each slot that has any.
    pub(crate) fn one_of_each_slot(&self) -> BTreeMap<CK_SLOT_ID, CK_SESSION_HANDLE> {
        self.open.iter().map(|(handle, session)| (session.slot, *handle)).collect()
    }

    pub(crate) fn id(&self, object: CK_OBJECT_HANDLE) -> Option<String> {
        self.ids.get(&object).cloned()
    }

    /// It will sign with this key.
    pub(crate) fn signing(
        &mut self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        id: Option<String>,
    ) {
        if let Some(id) = &id {
            self.ids.insert(object, id.clone());
        }
        if let Some(session) = self.open.get_mut(&session) {
            session.key = id;
        }
    }

    /// It has signed.
    pub(crate) fn signed(&mut self, session: CK_SESSION_HANDLE) {
        if let Some(key) = self.open.get_mut(&session).and_then(|session| session.key.take()) {
            *self.signatures.entry(key).or_default() += 1;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { open: self.open.len(), most: self.most }
    }

    /// Signatures by the key's `CKA_ID`.
    pub(crate) fn signatures(&self) -> BTreeMap<String, u64> {
        self.signatures.clone()
    }

    pub(crate) fn reset(&mut self) {
        self.most = self.open.len();
        self.signatures.clear();
    }
}
