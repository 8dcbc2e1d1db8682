//! Personal data whose period is over: how long it is kept, how much was erased, and when a run last got through.

use std::sync::atomic::AtomicU64;

use ca_core::domain::retention::{Periods, PersonalData};
use jiff::Timestamp;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use super::{Register, instant, labels::PersonalDataLabels};

/// Metrics of retention.
pub(crate) struct RetentionMetrics {
    erased: Family<PersonalDataLabels, Counter>,
    last_run: Gauge<f64, AtomicU64>,
    period: Family<PersonalDataLabels, Gauge>,
}

impl RetentionMetrics {
    pub(super) fn new(register: &mut Register<'_>) -> Self {
        let last_run =
            "When this node last erased all that was due, seconds since 1970; 0 when it never led the job";
        Self {
            erased: register.metric("personal_data_erased", "Records of personal data that were erased"),
            last_run: register.metric("retention_last_run_timestamp_seconds", last_run),
            period: register.metric("retention_period_seconds", "How long this node keeps personal data"),
        }
    }

    /// Shows the periods that this node erases by.
    pub(crate) fn keeps(&self, periods: &Periods) {
        for kind in PersonalData::ALL {
            let labels = PersonalDataLabels { kind: kind.as_str() };
            self.period.get_or_create(&labels).set(periods.of(kind).as_secs());
        }
    }

    /// Counts what was erased.
    pub(crate) fn erased(&self, kind: PersonalData, records: u64) {
        self.erased.get_or_create(&PersonalDataLabels { kind: kind.as_str() }).inc_by(records);
    }

    /// Notes that nothing is left that is due.
    pub(crate) fn done(&self, now: Timestamp) {
        self.last_run.set(instant(now));
    }
}
