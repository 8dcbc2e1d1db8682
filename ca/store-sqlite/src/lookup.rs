//! The questions of the issuing line, answered many at a time: most of what a small query costs is the round trip to
//! SQLite's thread.
//!
//! One task asks for whatever is waiting, and then for what came in meanwhile. Each question sees everything that was
//! acknowledged before it was asked.

use std::{collections::HashMap, hash::Hash};

use ca_core::{
    domain::{
        certificate::CertificateRecord,
        enrolment::Enrolment,
        ids::{EnrolmentId, UserId},
        policy::Applicant,
    },
    ports::store::{Application, StoreResult},
};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::{
    applicant::{ApplicantRow, ApplicationRow},
    certificate,
    enrolment::select_enrolments,
    failure::{BatchFailed, Closed, Failure},
    json::json,
    outcome::BoxFuture,
    rows::EnrolmentRow,
};

/// Users as policy judges them, but for their certificates: `$columns` beside those that are always read, of the tables
/// `$from`, where `$which`.
macro_rules! select_applicants {
    ($row:ty, $columns:tt, $from:tt, $which:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            $row,
            "SELECT " + $columns + r#",
                    u.contract, u.role, u.display_name, u.email, u.state, u.locked_at, u.registered_at,
                    k.name AS contract_name, k.general_users, k.registered_at AS contract_registered_at,
                    (SELECT count(*) FROM certificates c WHERE c.user_id = u.id) AS "certificates!: i64",
                    (SELECT count(*) FROM users peer
                     WHERE peer.contract = u.contract AND peer.role = u.role AND peer.id <> u.id
                       AND EXISTS (SELECT 1 FROM certificates c
                                   WHERE c.user_id = peer.id AND c.revoked = 0 AND c.abandoned_at IS NULL)) AS "beside!: i64"
             FROM "# + $from + " JOIN contracts k ON k.number = u.contract " + $which,
            $($argument),*
        )
    };
}

/// Questions that one statement answers at the most.
const GROUP: usize = 64;

/// Somebody who waits for an answer.
#[derive(Debug)]
struct Asked<K, T> {
    key: K,
    reply: oneshot::Sender<StoreResult<Option<T>>>,
}

#[derive(Debug)]
enum Question {
    Enrolment(Asked<EnrolmentId, Enrolment>),
    Applicant(Box<Asked<UserId, Applicant>>),
    Application(Asked<EnrolmentId, Application>),
}

/// Where questions are asked. The task ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    queue: mpsc::Sender<Question>,
    pool: SqlitePool,
}

impl Lookups {
    /// Starts the task. Best it has a connection of its own: each has its own cache, which every commit makes old, so one
    /// that is always asked has read again what the last commit changed.
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let (queue, questions) = mpsc::channel(GROUP);
        tokio::spawn(run(pool.clone(), questions));
        Self { queue, pool }
    }

    /// Nothing is answered any more.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn enrolment(&self, id: EnrolmentId) -> StoreResult<Option<Enrolment>> {
        self.ask(id, Question::Enrolment).await
    }

    pub(crate) async fn applicant(&self, user: &UserId) -> StoreResult<Option<Applicant>> {
        self.ask(user.clone(), |asked| Question::Applicant(Box::new(asked))).await
    }

    pub(crate) async fn application(&self, id: EnrolmentId) -> StoreResult<Option<Application>> {
        self.ask(id, Question::Application).await
    }

    async fn ask<K, T>(
        &self,
        key: K,
        question: impl FnOnce(Asked<K, T>) -> Question,
    ) -> StoreResult<Option<T>> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(question(Asked { key, reply })).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)?
    }
}

async fn run(pool: SqlitePool, mut questions: mpsc::Receiver<Question>) {
    let mut waiting = Vec::with_capacity(GROUP);
    while questions.recv_many(&mut waiting, GROUP).await > 0 {
        // Whoever is about to ask as well comes first: the more in one statement, the fewer changes of threads.
        tokio::task::yield_now().await;
        while waiting.len() < GROUP
            && let Ok(question) = questions.try_recv()
        {
            waiting.push(question);
        }
        let (mut enrolments, mut applicants, mut applications) = (Vec::new(), Vec::new(), Vec::new());
        for question in waiting.drain(..) {
            match question {
                Question::Enrolment(asked) => enrolments.push(asked),
                Question::Applicant(asked) => applicants.push(*asked),
                Question::Application(asked) => applications.push(asked),
            }
        }
        if !enrolments.is_empty() {
            let found = find_enrolments(&pool, &enrolments).await;
            answer(enrolments, found, |row| row.map(Enrolment::try_from).transpose());
        }
        if !applicants.is_empty() {
            let found = find_applicants(&pool, &applicants).await;
            answer(applicants, found, |row| row.map(|(row, certificates)| row.of(certificates)).transpose());
        }
        if !applications.is_empty() {
            let found = find_applications(&pool, &applications).await;
            answer(applications, found, |row| row.map(application).transpose());
        }
    }
}

/// Tells everybody; whoever went away needs no answer.
fn answer<K: Eq + Hash, R: Clone, T>(
    asked: Vec<Asked<K, T>>,
    found: Result<HashMap<K, R>, sqlx::Error>,
    read: impl Fn(Option<R>) -> Result<Option<T>, Failure>,
) {
    let found = found.map_err(|error| BatchFailed::new(asked.len(), error));
    for Asked { key, reply } in asked {
        let _ = reply.send(match &found {
            Ok(found) => read(found.get(&key).cloned()).map_err(Into::into),
            Err(failed) => Err(failed.clone().into()),
        });
    }
}

async fn find_enrolments(
    pool: &SqlitePool,
    asked: &[Asked<EnrolmentId, Enrolment>],
) -> Result<HashMap<EnrolmentId, EnrolmentRow>, sqlx::Error> {
    let ids = json(asked.iter().map(|asked| hex::encode(asked.key.0.as_bytes())))?;
    let rows = select_enrolments!("WHERE e.id IN (SELECT unhex(value) FROM json_each($1))", ids)
        .fetch_all(pool)
        .await?;
    let keyed = |row: EnrolmentRow| Some((EnrolmentId(uuid::Uuid::from_slice(&row.id).ok()?), row));
    Ok(rows.into_iter().filter_map(keyed).collect())
}

/// A row about a user, some of whom have certificates that are read with it.
trait OfApplicant: Sized + Send {
    /// The rows with these keys, a JSON list.
    fn select<'c>(
        connection: &'c mut SqliteConnection,
        keys: &'c str,
    ) -> BoxFuture<'c, Result<Vec<Self>, sqlx::Error>>;
    /// Whose it is, and whether there are certificates to read.
    fn applicant(&self) -> (&str, bool);
}

impl OfApplicant for ApplicantRow {
    fn select<'c>(
        connection: &'c mut SqliteConnection,
        keys: &'c str,
    ) -> BoxFuture<'c, Result<Vec<Self>, sqlx::Error>> {
        let rows = select_applicants!(
            ApplicantRow,
            "u.id, u.device_kind, u.device_serial",
            "users u",
            "WHERE u.id IN (SELECT value FROM json_each($1))",
            keys
        );
        Box::pin(rows.fetch_all(connection))
    }

    fn applicant(&self) -> (&str, bool) {
        (&self.id, self.has_certificates())
    }
}

impl OfApplicant for ApplicationRow {
    fn select<'c>(
        connection: &'c mut SqliteConnection,
        keys: &'c str,
    ) -> BoxFuture<'c, Result<Vec<Self>, sqlx::Error>> {
        let rows = select_applicants!(
            ApplicationRow,
            r#"e.id, e.idempotency_key, e.user_id, e.device_kind, e.device_serial, e.binding, e.challenge,
                    e.bearer_sha256, e.expires_at, e.opened_at, e.refused_code, e.refused_detail, e.ak_name, e.renews,
                    (SELECT serial FROM certificates WHERE intent = e.id) AS "serial?",
                    u.device_kind AS assigned_kind, u.device_serial AS assigned_serial"#,
            "enrolments e JOIN users u ON u.id = e.user_id",
            "WHERE e.id IN (SELECT unhex(value) FROM json_each($1))",
            keys
        );
        Box::pin(rows.fetch_all(connection))
    }

    fn applicant(&self) -> (&str, bool) {
        (&self.user_id, self.certificates > 0)
    }
}

type Found<R> = (R, Vec<CertificateRecord>);

/// The rows with these keys. Few users have had a certificate: what those had is read with the rest, of the same moment.
async fn with_certificates<R: OfApplicant>(
    pool: &SqlitePool,
    keys: &str,
) -> Result<Vec<Found<R>>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let rows = R::select(&mut connection, keys).await?;
    if rows.iter().all(|row| !row.applicant().1) {
        return Ok(rows.into_iter().map(|row| (row, Vec::new())).collect());
    }
    let mut snapshot = connection.begin().await?;
    let rows = R::select(&mut snapshot, keys).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let certificates = match row.applicant() {
            (id, true) => match UserId::parse(id) {
                Ok(id) => certificate::of_user(&mut *snapshot, &id).await.map_err(Failure::into_sql)?,
                Err(_) => Vec::new(),
            },
            (_, false) => Vec::new(),
        };
        found.push((row, certificates));
    }
    snapshot.rollback().await?;
    Ok(found)
}

async fn find_applicants(
    pool: &SqlitePool,
    asked: &[Asked<UserId, Applicant>],
) -> Result<HashMap<UserId, Found<ApplicantRow>>, sqlx::Error> {
    let ids = json(asked.iter().map(|asked| asked.key.as_str()))?;
    let keyed = |found: Found<ApplicantRow>| Some((UserId::parse(&found.0.id).ok()?, found));
    Ok(with_certificates(pool, &ids).await?.into_iter().filter_map(keyed).collect())
}

async fn find_applications(
    pool: &SqlitePool,
    asked: &[Asked<EnrolmentId, Application>],
) -> Result<HashMap<EnrolmentId, Found<ApplicationRow>>, sqlx::Error> {
    let ids = json(asked.iter().map(|asked| hex::encode(asked.key.0.as_bytes())))?;
    let keyed =
        |found: Found<ApplicationRow>| Some((EnrolmentId(uuid::Uuid::from_slice(&found.0.id).ok()?), found));
    Ok(with_certificates(pool, &ids).await?.into_iter().filter_map(keyed).collect())
}

fn application((row, certificates): Found<ApplicationRow>) -> Result<Application, Failure> {
    let (enrolment, applicant) = row.parts();
    Ok(Application { enrolment: enrolment.try_into()?, applicant: applicant.of(certificates)? })
}
