//! What strangers may write into the audit trail. A refusal that anyone can bring about, as often as they like and
//! without any secret, is written row by row up to a number a minute; beyond it, only how many there were. So the
//! trail says what happened and no flood fills the disk.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::trail::Details;
use crate::{
    domain::audit::AuditEvent,
    ports::store::{AuditStore, StoreError, StoreResult},
};

const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// The budget of one node: so many rows a minute for each kind of refusal.
#[derive(Debug)]
pub struct AuditBudget {
    rows_a_minute: u32,
    windows: Mutex<HashMap<&'static str, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Timestamp,
    written: u32,
    unwritten: u64,
}

impl Default for AuditBudget {
    /// One row a second on average: far more than people bring about, 90,000 a day at the most.
    fn default() -> Self {
        Self::new(60)
    }
}

impl AuditBudget {
    /// A budget of so many rows a minute for each kind.
    pub fn new(rows_a_minute: u32) -> Self {
        Self { rows_a_minute, windows: Mutex::default() }
    }

    /// Whether a refusal of this kind is written now, and how many before it weren't; `None`: count it only.
    pub(super) fn take(&self, kind: &'static str, now: Timestamp) -> Option<u64> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(kind).or_insert(Window { began: now, written: 0, unwritten: 0 });
        // A clock that went back begins a window as well.
        if !(SignedDuration::ZERO..WINDOW).contains(&now.duration_since(window.began)) {
            (window.began, window.written) = (now, 0);
        }
        if window.written >= self.rows_a_minute {
            window.unwritten += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.unwritten))
    }
}

/// Writes down a refusal as far as the budget goes.
pub(super) async fn note(
    (audit, budget): (&dyn AuditStore, &AuditBudget),
    kind: &'static str,
    row: AuditEvent,
) -> StoreResult<()> {
    match budget.take(kind, row.at) {
        None => Ok(()),
        Some(0) => audit.append(row).await,
        Some(unwritten) => audit.append(row.with("unwritten_before", unwritten)).await,
    }
}

/// Writes down a stranger's refusal as far as the budget goes, then returns it.
pub(super) async fn refused_stranger<E: From<StoreError>>(
    ports: (&dyn AuditStore, &AuditBudget),
    kind: &'static str,
    row: AuditEvent,
    refusal: E,
) -> E {
    note(ports, kind, row).await.map_or_else(Into::into, |()| refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_rows_a_minute_and_what_is_left_out_is_counted() {
        let budget = AuditBudget::new(2);
        let second = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        let taken: Vec<_> = (0..5_i64).map(|n| budget.take("a", second(n))).collect();
        assert_eq!(taken, [Some(0), Some(0), None, None, None]);
        assert_eq!(budget.take("b", second(5)), Some(0));
        assert_eq!(budget.take("a", second(59)), None);
        assert_eq!(budget.take("a", second(60)), Some(4));
        assert_eq!(budget.take("a", second(61)), Some(0));
        assert_eq!(budget.take("a", second(61)), None);
        assert_eq!(budget.take("a", second(0)), Some(1), "a clock that went back");
    }
}
