//! Hot facts, written many to a statement: most of what a small commit costs is round trips to SQLite's thread.

use ca_core::{domain::audit::AuditEvent, ports::store::StoreResult};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::oneshot;

use crate::{
    audit::Trail,
    failure::{BatchFailed, Failure},
    outcome::{BoxFuture, Commit, Committed, Written, settle},
    refusal::is_refusal,
};

/// A hot fact that somebody waits for.
#[derive(Debug)]
pub(crate) struct Asked<F: Bulk> {
    fact: F,
    audit: AuditEvent,
    outcome: Option<StoreResult<F::Seen>>,
    reply: oneshot::Sender<StoreResult<Committed<F::Seen>>>,
}

impl<F: Bulk> Asked<F> {
    pub(crate) fn new(
        fact: F,
        audit: AuditEvent,
    ) -> (Self, oneshot::Receiver<StoreResult<Committed<F::Seen>>>) {
        let (reply, answer) = oneshot::channel();
        (Self { fact, audit, outcome: None, reply }, answer)
    }

    pub(crate) fn fact(&self) -> &F {
        &self.fact
    }

    pub(crate) fn audit(&self) -> &AuditEvent {
        &self.audit
    }

    /// It was written now.
    pub(crate) fn written(&mut self, seen: F::Seen) {
        self.outcome = Some(Ok(seen));
    }

    pub(crate) fn answer(self, committed: &Result<Commit, BatchFailed>) {
        // A caller that went away doesn't undo what was committed.
        let _ = self.reply.send(settle(self.outcome, committed));
    }
}

/// A kind of fact that is written many to a statement.
pub(crate) trait Bulk: Sized + Send + Sync + 'static {
    /// What the writing saw and the caller must know.
    type Seen: std::fmt::Debug + Send;

    /// Writes those of `facts` that may stand, the first one where several exclude each other, and says of each that
    /// was written what it saw. Static statements that pass losers over instead of failing.
    fn write_all<'a>(
        connection: &'a mut SqliteConnection,
        facts: &'a [&'a Self],
    ) -> BoxFuture<'a, Result<Vec<Option<Self::Seen>>, Failure>>;

    /// Why this fact wasn't written, seen after all that were.
    fn not_written<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
    ) -> BoxFuture<'a, Result<Written<Self::Seen>, Failure>>;

    /// Applies all of `asked` and keeps the outcomes. When a constraint refuses the statement as a whole, which is a
    /// defect of one of the facts, each is applied by itself, so that only that one fails.
    fn apply_all<'a>(
        connection: &'a mut SqliteConnection,
        asked: &'a mut [Asked<Self>],
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            if asked.is_empty() {
                return Ok(());
            }
            let mut savepoint = connection.begin().await?;
            let written = {
                let facts: Vec<&Self> = asked.iter().map(|asked| &asked.fact).collect();
                Self::write_all(&mut savepoint, &facts).await
            };
            match written {
                Ok(written) => {
                    savepoint.commit().await?;
                    for (asked, written) in asked.iter_mut().zip(written) {
                        conclude(connection, asked, written, trail).await?;
                    }
                    Ok(())
                }
                Err(failure) => {
                    let error = failure.isolate(is_refusal)?;
                    savepoint.rollback().await?;
                    if let [only] = asked {
                        only.outcome = Some(Err(error));
                        return Ok(());
                    }
                    for one in asked.chunks_mut(1) {
                        Self::apply_all(connection, one, trail).await?;
                    }
                    Ok(())
                }
            }
        })
    }
}

async fn conclude<F: Bulk>(
    connection: &mut SqliteConnection,
    asked: &mut Asked<F>,
    written: Option<F::Seen>,
    trail: &mut Trail,
) -> Result<(), sqlx::Error> {
    let outcome = match written {
        Some(seen) => Ok(Written::Changed(seen)),
        None => asked.fact.not_written(connection).await,
    };
    asked.outcome = Some(match outcome {
        Ok(Written::Changed(seen)) => {
            trail.append(&asked.audit);
            Ok(seen)
        }
        Ok(Written::Unchanged(seen)) => Ok(seen),
        Err(failure) => Err(failure.isolate(is_refusal)?),
    });
    Ok(())
}
