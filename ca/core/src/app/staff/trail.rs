//! The audit trail as auditors read it: backwards, filtered, a bounded piece at a time; and its export, which is itself
//! written down.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Acting, Denied, Guard};
use crate::{
    app::trail::{Details, event},
    domain::{audit::AuditRow, staff::Task},
    ports::{
        search::{AuditFilter, SearchStore},
        store::AuditStore,
    },
};

/// Rows on a page.
pub const PAGE: u32 = 100;
/// Rows that one question looks through at the most: half a second's work.
const WINDOW: u64 = 200_000;
/// Rows that one piece of an export has at the most.
const EXPORT_PIECE: u32 = 1000;

/// The queries.
pub struct AuditTrail {
    /// Who may.
    pub guard: Guard,
    /// The trail, filtered.
    pub search: Arc<dyn SearchStore>,
    /// The trail, as it is.
    pub audit: Arc<dyn AuditStore>,
}

/// A piece of the trail, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Go on before this number; `None` at the beginning of the trail.
    pub next: Option<u64>,
}

impl AuditTrail {
    /// Rows that the filter lets through before a number (`None`: from the newest).
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn page(
        &self,
        acting: &Acting,
        filter: &AuditFilter,
        before: Option<u64>,
    ) -> Result<Page, Denied> {
        self.guard.permit(acting, Task::ReadAudit, "audit").await?;
        let before = match before {
            Some(before) => before,
            None => self.end_of(filter.until).await?,
        };
        self.piece(filter, before, PAGE).await
    }

    /// Begins an export, which is written down; returns the number before which it starts.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn begin_export(&self, acting: &Acting, filter: &AuditFilter) -> Result<u64, Denied> {
        self.guard.permit(acting, Task::ReadAudit, "audit export").await?;
        let before = self.end_of(filter.until).await?;
        let row = event(self.guard.clock.now(), acting.actor(), "audit.exported", acting.id());
        let shown =
            |text: &Option<String>| text.as_deref().map_or("any".to_owned(), crate::app::trail::foreign);
        let row = row
            .with("actor", shown(&filter.actor))
            .with("action", shown(&filter.action))
            .with("subject", shown(&filter.subject))
            .with("before", before);
        self.audit.append(row).await?;
        Ok(before)
    }

    /// The next piece of an export that was begun.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn next_piece(&self, filter: &AuditFilter, before: u64) -> Result<Page, Denied> {
        self.piece(filter, before, EXPORT_PIECE).await
    }

    async fn piece(&self, filter: &AuditFilter, before: u64, limit: u32) -> Result<Page, Denied> {
        let rows = self.search.audit_before(filter, before, WINDOW, limit).await?;
        let full = rows.len() == limit as usize;
        let reached = match rows.last() {
            Some(last) if full => last.sequence,
            _ => before.saturating_sub(WINDOW),
        };
        // A filter by time needn't look at what is older.
        let over = match filter.from {
            Some(from) if !full => self.at(reached).await?.is_none_or(|at| at < from.as_millisecond()),
            _ => false,
        };
        Ok(Page { rows, next: (reached > 1 && !over).then_some(reached) })
    }

    /// The number before which rows of before `until` stand. Times rise with the numbers but for moments.
    async fn end_of(&self, until: Option<Timestamp>) -> Result<u64, Denied> {
        let head = self.audit.head().await?.sequence;
        let Some(until) = until else { return Ok(head + 1) };
        let (mut low, mut high) = (1, head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle).await?.is_some_and(|at| at < until.as_millisecond()) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    async fn at(&self, sequence: u64) -> Result<Option<i64>, Denied> {
        let rows = self.audit.rows_after(sequence.saturating_sub(1), 1).await?;
        Ok(rows.first().map(|row| row.at_ms))
    }
}
