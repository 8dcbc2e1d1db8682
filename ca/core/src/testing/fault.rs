//! Faults on order: the next call of a method fails before its effect, or after it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// "Failed, not persisted": nothing happened.
    Before,
    /// "Failed but persisted": it happened, and the caller doesn't hear of it.
    After,
}

/// Ordered faults, by method name.
#[derive(Debug, Default)]
pub struct Faults(Mutex<HashMap<&'static str, VecDeque<Option<Fault>>>>);

impl Faults {
    /// The next call of `method` that has no order yet fails like this.
    pub fn order(&self, method: &'static str, fault: Fault) {
        locked(&self.0).entry(method).or_default().push_back(Some(fault));
    }

    /// The next call of `method` that has no order yet succeeds; to reach the one after it.
    pub fn pass(&self, method: &'static str) {
        locked(&self.0).entry(method).or_default().push_back(None);
    }

    /// Forgets every order.
    pub fn clear(&self) {
        locked(&self.0).clear();
    }

    pub(super) fn take(&self, method: &'static str) -> Option<Fault> {
        locked(&self.0).get_mut(method).and_then(VecDeque::pop_front).flatten()
    }
}

/// Locks, also after a test panicked with the lock held.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
