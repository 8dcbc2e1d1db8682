//! What is remembered of keys, in memory: losing it in a restart costs an attacker's wait, never a customer's login. An
//! attacker with many addresses and made-up IDs fills no memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Keys at the most.
pub(super) const MAX_KEYS: usize = 100_000;

/// States by key, [`MAX_KEYS`] at the most.
#[derive(Debug)]
pub(super) struct Kept<K, S>(Mutex<HashMap<K, S>>);

impl<K, S> Default for Kept<K, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, S> Kept<K, S> {
    /// Looks at what is there.
    pub(super) fn look<T>(&self, look: impl FnOnce(&HashMap<K, S>) -> T) -> T {
        look(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes what is there, which brings in `more` keys at the most. When it is full, what doesn't `matter` goes first,
    /// then every other key.
    pub(super) fn change<T>(
        &self,
        more: usize,
        matters: impl Fn(&K, &S) -> bool,
        change: impl FnOnce(&mut HashMap<K, S>) -> T,
    ) -> T {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if states.len() + more > MAX_KEYS {
            states.retain(|key, state| matters(key, state));
            let mut keep = false;
            if states.len() * 2 > MAX_KEYS {
                states.retain(|_, _| {
                    keep = !keep;
                    keep
                });
            }
        }
        change(&mut states)
    }
}
