//! Personal data whose period is over: the job that erases it, and the command line's part.

use ca_core::app::erase::ErasePersonalData;

use super::adapters::Adapters;
use crate::{config::Config, jobs::Leader};

fn erase(config: &Config, adapters: &Adapters) -> ErasePersonalData {
    ErasePersonalData {
        retention: adapters.store.clone(),
        clock: adapters.clock.clone(),
        periods: config.retention.periods,
    }
}

/// The job, with which node leads it.
pub(super) fn led(config: &Config, adapters: &Adapters) -> (ErasePersonalData, Leader) {
    (erase(config, adapters), adapters.leader(config, "retention".to_owned()))
}

/// Opens the ledger for `inro-ca retention`.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn retention_desk(config: &Config) -> anyhow::Result<ErasePersonalData> {
    Ok(erase(config, &Adapters::open(config).await?))
}
