//! Leases in memory, by the process's monotonic clock.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::SignedDuration;

use super::MemoryStore;
use crate::ports::store::{LeaseStore, StoreResult};

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn take_lease(&self, name: &str, holder: &str, lifetime: SignedDuration) -> StoreResult<bool> {
        self.commit("take_lease", |state| {
            let now = Instant::now();
            let standing = state.leases.get(name).filter(|(_, until)| *until > now);
            if standing.is_some_and(|(other, _)| other != holder) {
                return Ok(false);
            }
            let until = now + Duration::try_from(lifetime).unwrap_or_default();
            state.leases.insert(name.to_owned(), (holder.to_owned(), until));
            Ok(true)
        })
    }

    async fn release_lease(&self, name: &str, holder: &str) -> StoreResult<()> {
        self.commit("release_lease", |state| {
            state.leases.retain(|lease, (other, _)| lease != name || other != holder);
            Ok(())
        })
    }
}
