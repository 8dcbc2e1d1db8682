//! The hours of issuing at the moment: the bank's calendar changes while the process runs.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::business_hours::IssuingHours;

/// The hours in force. Whoever decides takes them once and stays with them.
#[derive(Debug)]
pub struct CurrentHours(RwLock<Arc<IssuingHours>>);

impl CurrentHours {
    /// Begins with these.
    pub fn new(hours: Arc<IssuingHours>) -> Self {
        Self(RwLock::new(hours))
    }

    /// As of now.
    pub fn current(&self) -> Arc<IssuingHours> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in their place; false when they are the same.
    pub fn replace(&self, hours: IssuingHours) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **current != hours;
        if changed {
            *current = Arc::new(hours);
        }
        changed
    }
}
