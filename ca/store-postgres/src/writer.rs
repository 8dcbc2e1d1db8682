//! The node's one writer: a task with a connection of its own that commits whatever is queued, many facts to a transaction.
//!
//! Invariants: a result leaves only after the commit that made it durable; a fact that loses never takes another one
//! of its batch with it; the nodes' transactions follow one another, because each takes the audit chain's lock first:
//! the chain has no gaps, numbers rise in the order of the commits, and no two transactions can be in each other's way. The
//! writer doesn't wait for a batch to fill: under load batches form by themselves while the one before is being synced.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ca_core::{
    domain::audit::{AuditEvent, AuditPosition},
    ports::store::StoreResult,
};
use sqlx::{Connection, PgConnection};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    Options,
    audit::Trail,
    bulk::{Asked, Bulk},
    census::Done,
    failure::{BatchFailed, Closed, Failure},
    intent::NewIntent,
    issued::NewIssued,
    outcome::{BoxFuture, Commit, Committed, Written, settle},
    refusal::is_refusal,
    schema,
    server::{Server, Use},
};

/// What the writer can be asked for. The two hot facts are written many to a statement.
pub(crate) enum Fact {
    Intent(Box<Asked<NewIntent>>),
    Issued(Box<Asked<NewIssued>>),
    Other(Box<dyn Single>),
}

/// A fact that is applied by itself, under a savepoint of its own.
pub(crate) trait Single: Send {
    /// Applies the fact and keeps its outcome for [`answer`](Self::answer).
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut PgConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
    /// Tells the caller, after the commit.
    fn answer(self: Box<Self>, committed: &Result<Commit, BatchFailed>);
}

/// How the body of a [`Single`] fact looks.
pub(crate) type Apply<T> =
    Box<dyn for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<Written<T>, Failure>> + Send>;

struct Closure<T> {
    apply: Option<Apply<T>>,
    audit: Option<AuditEvent>,
    outcome: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<Committed<T>>>,
}

impl<T: Send> Single for Closure<T> {
    fn apply<'a>(
        &'a mut self,
        connection: &'a mut PgConnection,
        trail: &'a mut Trail,
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let Some(apply) = self.apply.take() else { return Ok(()) };
            let mut savepoint = connection.begin().await?;
            let outcome = apply(&mut savepoint).await;
            self.outcome = Some(match outcome {
                Ok(written) => {
                    savepoint.commit().await?;
                    Ok(match written {
                        Written::Unchanged(value) => value,
                        Written::Changed(value) => {
                            if let Some(event) = &self.audit {
                                trail.append(event);
                            }
                            value
                        }
                    })
                }
                Err(failure) => {
                    let error = failure.isolate(is_refusal)?;
                    savepoint.rollback().await?;
                    Err(error)
                }
            });
            Ok(())
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
        server: Server,
        options: &Options,
    ) -> Result<(Self, JoinHandle<()>), sqlx::Error> {
        let connection = schema::connect(&server, Use::Writing).await?;
        let (sender, receiver) = mpsc::channel(options.queue.max(1));
        let done = Arc::<Done>::default();
        let task = WriterTask {
            server,
            connection: Some(connection),
            queue: receiver,
            group: options.group.max(1),
            timeout: options.commit_timeout,
            done: done.clone(),
        };
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

struct WriterTask {
    server: Server,
    /// `None` after a failed batch, until the next one.
    connection: Option<PgConnection>,
    queue: mpsc::Receiver<Fact>,
    group: usize,
    timeout: Duration,
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
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database wasn't closed cleanly");
        }
    }

    /// Commits the batch. After a failure the connection is dropped, whatever state it is in, which makes the server
    /// forget what wasn't committed; the next batch starts with a fresh one.
    async fn commit(&mut self, batch: &mut Batch) -> Result<AuditPosition, sqlx::Error> {
        let kept = self.connection.take();
        let committed = tokio::time::timeout(self.timeout, commit(&self.server, kept, batch)).await;
        let (head, connection) =
            committed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
        self.connection = Some(connection);
        Ok(head)
    }
}

/// Begins, and waits for the lock of the audit chain, which every writing transaction of every node takes first. One
/// round trip; each of the two statements sees what was committed before it.
pub(crate) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7310325861)";

/// Commits on the kept connection, or on a new one where the kept one is of no use, as after a restart of the server.
async fn commit(
    server: &Server,
    mut kept: Option<PgConnection>,
    batch: &mut Batch,
) -> Result<(AuditPosition, PgConnection), sqlx::Error> {
    loop {
        let was_kept = kept.is_some();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => schema::connect(server, Use::Writing).await?,
        };
        match batch.commit(&mut connection).await {
            Ok(head) => return Ok((head, connection)),
            Err(NotCommitted::NotBegun(error)) if was_kept => {
                tracing::info!(error = &error as &dyn std::error::Error, "the writer connects again");
            }
            Err(NotCommitted::NotBegun(error) | NotCommitted::Failed(error)) => return Err(error),
        }
    }
}

/// How far a batch came.
enum NotCommitted {
    /// Nothing was asked of the connection yet.
    NotBegun(sqlx::Error),
    /// Its facts were applied, or some, and perhaps committed.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for NotCommitted {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
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

    async fn commit(&mut self, connection: &mut PgConnection) -> Result<AuditPosition, NotCommitted> {
        let mut transaction = connection.begin_with(BEGIN).await.map_err(NotCommitted::NotBegun)?;
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
