//! How fast a store records certificates: intent, evidence, certificate and both audit rows, all durable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use ca_core::{
    domain::user::Role,
    ports::store::{StoreError, StoreResult},
};
use tokio::task::JoinSet;

use crate::samples::{Ledger, complete, contract, enrolment, event, evidence, record, user};

/// Opens this many enrolments in an empty ledger, and then takes the time for recording their certificates, so many in
/// flight.
///
/// # Errors
/// The store's.
pub async fn record_certificates(
    store: &Arc<impl Ledger>,
    count: u32,
    in_flight: u32,
) -> StoreResult<Duration> {
    store.register_contract(&contract(u16::MAX), event("contract.registered")).await?;
    each(store, count, in_flight, |store, n| async move {
        store.register_user(&user(n, Role::General), event("user.registered")).await?;
        store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
        Ok(())
    })
    .await?;
    let start = Instant::now();
    each(store, count, in_flight, |store, n| async move {
        store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
        complete(&*store, n).await
    })
    .await?;
    Ok(start.elapsed())
}

/// Does `work` for 1 to `count`, `in_flight` at a time.
async fn each<S, F, R>(store: &Arc<S>, count: u32, in_flight: u32, work: F) -> StoreResult<()>
where
    S: Ledger,
    F: Fn(Arc<S>, u32) -> R + Copy + Send + Sync + 'static,
    R: Future<Output = StoreResult<()>> + Send,
{
    let next = Arc::new(AtomicU32::new(1));
    let mut tasks: JoinSet<StoreResult<()>> = JoinSet::new();
    for _ in 0..in_flight {
        let (store, next) = (store.clone(), next.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n > count {
                    return Ok(());
                }
                work(store.clone(), n).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| StoreError::Unavailable(Box::new(error)))??;
    }
    Ok(())
}
