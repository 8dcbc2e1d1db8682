//! Which staff certificates are revoked: the staff CA's CRL as it was last taken up.

use std::sync::{PoisonError, RwLock};

use ca_core::{domain::ids::SerialNumber, ports::staff::StaffRevocations};
use jiff::Timestamp;

use crate::material::StaffCrl;

/// The CRL in use; none where none is configured.
#[derive(Debug, Default)]
pub(crate) struct CurrentStaffCrl(RwLock<Option<StaffCrl>>);

impl CurrentStaffCrl {
    /// Begins with this one.
    pub(crate) fn new(crl: Option<StaffCrl>) -> Self {
        Self(RwLock::new(crl))
    }

    /// Takes this one from now on; true when it says something new.
    ///
    /// # Errors
    /// When it may not take the place of the one in use, which stays.
    pub(crate) fn replace(&self, next: StaffCrl) -> anyhow::Result<bool> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = &*current {
            next.succeeds(before)?;
        }
        let is_new = current.as_ref() != Some(&next);
        *current = Some(next);
        Ok(is_new)
    }

    /// When the next one is due; `None` where none is configured.
    pub(crate) fn next_update(&self) -> Option<Timestamp> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|crl| crl.next_update)
    }
}

impl StaffRevocations for CurrentStaffCrl {
    fn is_revoked(&self, serial: &SerialNumber) -> bool {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(|crl| crl.lists(serial))
    }
}
