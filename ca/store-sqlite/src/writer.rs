//! The one writer: a task with a connection of its own that commits whatever is queued, many facts to a transaction.
//!
//! Invariants: a result leaves only after the commit that made it durable; a fact that loses never takes another one
//! of its batch with it; the audit rows of a batch are chained onto the head as it stands inside the transaction,
//! because the operator's command line writes too. The writer doesn't wait for a batch to fill: under load batches
//! form by themselves while the one before is being synced.
//!
//! A batch of hot facts alone is first written [straight]: in one go, behind the head that the writer's own last commit
//! left. When that is refused it is written with care.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ca_core::{
    domain::audit::{AuditEvent, AuditPosition},
    ports::store::StoreResult,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    audit::Trail,
    bulk::{Asked, Bulk},
    census::Done,
    failure::{BatchFailed, Closed, Failure},
    intent::NewIntent,
    issued::NewIssued,
    outcome::{BoxFuture, Commit, Committed, Written, settle},
    refusal::is_refusal,
    straight,
};

/// What the writer can be asked for. The two hot facts are written many to a statement.
pub(crate) enum Fact {
    Intent(Box<Asked<NewIntent>>),
    Issued(Box<Asked<NewIssued>>),
    Other(Box<dyn Single>),
}

/// A fact that is applied by itself. Its outcome is kept for [`answer`](Self::answer).
pub(crate) trait Single: Send {
    /// Applies the fact among others, under a savepoint of its own.
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    /// Applies the fact in a transaction that has no other. False when it failed: then that is rolled back.
    fn apply_alone<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<bool, sqlx::Error>>;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>, committed: &Result<Commit, BatchFailed>);
}

/// How the body of a [`Single`] fact looks.
pub(crate) type Apply<T> =
    Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Written<T>, Failure>> + Send>;

struct Closure<T> {
    apply: Option<Apply<T>>,
    audit: Option<AuditEvent>,
    outcome: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<Committed<T>>>,
}

impl<T> Closure<T> {
    fn conclude(&mut self, written: Written<T>, trail: &mut Trail) {
        self.outcome = Some(Ok(match written {
            Written::Unchanged(value) => value,
            Written::Changed(value) => {
                if let Some(event) = &self.audit {
                    trail.append(event);
                }
                value
            }
        }));
    }
}

impl<T: Send> Single for Closure<T> {
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let Some(apply) = self.apply.take() else { return Ok(()) };
            let mut savepoint = connection.begin().await?;
            match apply(&mut savepoint).await {
                Ok(written) => {
                    savepoint.commit().await?;
                    self.conclude(written, trail);
                }
                Err(failure) => {
                    let error = failure.isolate(is_refusal)?;
                    savepoint.rollback().await?;
                    self.outcome = Some(Err(error));
                }
            }
            Ok(())
        })
    }

    fn apply_alone<'a>(
        &'a mut self,
        connection: &'a mut SqliteConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<bool, sqlx::Error>> {
        Box::pin(async move {
            let Some(apply) = self.apply.take() else { return Ok(true) };
            match apply(connection).await {
                Ok(written) => {
                    self.conclude(written, trail);
                    Ok(true)
                }
                Err(failure) => {
                    self.outcome = Some(Err(failure.isolate(is_refusal)?));
                    Ok(false)
                }
            }
        })
    }

    fn answer(self: Box<Self>, committed: &Result<Commit, BatchFailed>) {
        // A caller that went away doesn't undo what was committed.
        let _ = self.reply.send(settle(self.outcome, committed));
    }
}

/// Where facts are handed in.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` when closed.
    queue: Mutex<Option<mpsc::Sender<Fact>>>,
    done: Arc<Done>,
}

impl Writer {
    /// Connects, and starts the task, which ends when the writer is closed or dropped and the queue is empty.
    pub(crate) async fn start(
        options: SqliteConnectOptions,
        group: usize,
        queue: usize,
    ) -> Result<(Self, JoinHandle<()>), sqlx::Error> {
        let connection = SqliteConnection::connect_with(&options).await?;
        let (sender, receiver) = mpsc::channel(queue);
        let done = Arc::<Done>::default();
        let writing = Writing { connection, head: None };
        let task = WriterTask { options, writing: Some(writing), queue: receiver, group, done: done.clone() };
        Ok((Self { queue: Mutex::new(Some(sender)), done }, tokio::spawn(task.run())))
    }

    /// Writes one fact and waits until it is durable.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        audit: Option<AuditEvent>,
        apply: Apply<T>,
    ) -> StoreResult<Committed<T>> {
        let (reply, answer) = oneshot::channel();
        let fact = Closure { apply: Some(apply), audit, outcome: None, reply };
        self.ask(Fact::Other(Box::new(fact)), answer).await
    }

    /// Queues `fact` and waits for `answer`. A full queue makes the caller wait, which bounds memory. Tells the
    /// caller's span how long the fact waited, and how long its transaction took.
    pub(crate) async fn ask<T>(
        &self,
        fact: Fact,
        answer: oneshot::Receiver<StoreResult<Committed<T>>>,
    ) -> StoreResult<Committed<T>> {
        let asked = Instant::now();
        let queue = self.queue().clone().ok_or(Closed)?;
        queue.send(fact).await.map_err(|_| Closed)?;
        drop(queue);
        let committed = answer.await.map_err(|_| Closed)??;
        let span = tracing::Span::current();
        span.record("queued_us", micros(committed.began.saturating_duration_since(asked)));
        span.record("commit_us", micros(committed.began.elapsed()));
        Ok(committed)
    }

    /// How many facts wait, and how many may.
    pub(crate) fn queued(&self) -> (u64, u64) {
        let queue = self.queue();
        queue.as_ref().map_or((0, 0), |queue| {
            let limit = queue.max_capacity();
            (limit.saturating_sub(queue.capacity()) as u64, limit as u64)
        })
    }

    /// What was committed so far.
    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    /// Takes no more facts.
    pub(crate) fn close(&self) {
        self.queue().take();
    }

    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Sender<Fact>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The connection that writes.
struct Writing {
    connection: SqliteConnection,
    /// Of the audit chain, as its last commit left it.
    head: Option<AuditPosition>,
}

struct WriterTask {
    options: SqliteConnectOptions,
    /// `None` after a failed batch, until the next one.
    writing: Option<Writing>,
    queue: mpsc::Receiver<Fact>,
    group: usize,
    done: Arc<Done>,
}

impl WriterTask {
    async fn run(mut self) {
        let mut facts = Vec::with_capacity(self.group);
        while self.queue.recv_many(&mut facts, self.group).await > 0 {
            // Whoever is about to hand in a fact does so first; on a machine with nothing else to do this is no wait.
            tokio::task::yield_now().await;
            while facts.len() < self.group
                && let Ok(fact) = self.queue.try_recv()
            {
                facts.push(fact);
            }
            let count = facts.len();
            let mut batch = Batch::of(facts.drain(..));
            let began = Instant::now();
            let committed = self.commit(&mut batch).await;
            self.done.count(count, committed.is_ok(), began.elapsed());
            let committed = committed.map_err(|error| {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    facts = count,
                    "a transaction failed"
                );
                BatchFailed::new(count, error)
            });
            let committed = committed.map(|audit_head| Commit { audit_head, began });
            batch.answer(&committed);
        }
        if let Some(Writing { connection, .. }) = self.writing.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database wasn't closed cleanly");
        }
    }

    /// Commits the batch. After a failure the connection is dropped, whatever state it is in, and the next batch
    /// starts with a fresh one.
    async fn commit(&mut self, batch: &mut Batch) -> Result<AuditPosition, sqlx::Error> {
        let mut writing = match self.writing.take() {
            Some(writing) => writing,
            None => Writing { connection: SqliteConnection::connect_with(&self.options).await?, head: None },
        };
        let head = batch.commit(&mut writing.connection, writing.head).await;
        if let Ok(head) = head {
            self.writing = Some(Writing { head: Some(head), ..writing });
        } else if let Err(error) = writing.connection.close_hard().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the failed connection didn't close");
        }
        head
    }
}

#[derive(Default)]
struct Batch {
    others: Vec<Box<dyn Single>>,
    intents: Vec<Asked<NewIntent>>,
    issued: Vec<Asked<NewIssued>>,
}

impl Batch {
    /// Sorts by kind: facts that wait at the same time have no order among them that anyone could have seen.
    fn of(facts: impl Iterator<Item = Fact>) -> Self {
        let mut batch = Self::default();
        for fact in facts {
            match fact {
                Fact::Other(fact) => batch.others.push(fact),
                Fact::Intent(fact) => batch.intents.push(*fact),
                Fact::Issued(fact) => batch.issued.push(*fact),
            }
        }
        batch
    }

    /// Commits everything; `last` is the head of the audit chain that the same connection's last commit left.
    async fn commit(
        &mut self,
        connection: &mut SqliteConnection,
        last: Option<AuditPosition>,
    ) -> Result<AuditPosition, sqlx::Error> {
        if let ([fact], true, true) = (&mut *self.others, self.intents.is_empty(), self.issued.is_empty()) {
            return commit_alone(&mut **fact, connection).await;
        }
        if let Some(last) = last
            && self.others.is_empty()
            && let Some(head) =
                straight::commit(connection, &mut self.intents, &mut self.issued, last).await?
        {
            return Ok(head);
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut trail = Trail::read(&mut transaction).await?;
        for fact in &mut self.others {
            fact.apply(&mut transaction, &mut trail).await?;
        }
        NewIntent::apply_all(&mut transaction, &mut self.intents, &mut trail).await?;
        NewIssued::apply_all(&mut transaction, &mut self.issued, &mut trail).await?;
        let head = trail.write(&mut transaction).await?;
        transaction.commit().await?;
        Ok(head)
    }

    fn answer(self, committed: &Result<Commit, BatchFailed>) {
        self.others.into_iter().for_each(|fact| fact.answer(committed));
        self.intents.into_iter().for_each(|fact| fact.answer(committed));
        self.issued.into_iter().for_each(|fact| fact.answer(committed));
    }
}

/// A fact that nobody waits beside, which is most of them when little is going on: no savepoint, few questions to SQLite's
/// thread. After an error the connection is of no use.
async fn commit_alone(
    fact: &mut dyn Single,
    connection: &mut SqliteConnection,
) -> Result<AuditPosition, sqlx::Error> {
    let mut trail = Trail::begin(connection).await?;
    let before = trail.head();
    if fact.apply_alone(connection, &mut trail).await? {
        return trail.commit(connection).await;
    }
    sqlx::query("ROLLBACK").execute(connection).await?;
    Ok(before)
}
