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
    ports::store::StoreResult,
};
use sqlx::{SqliteExecutor, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::{
    certificate,
    customer::ContractRow,
    enrolment::select_enrolments,
    failure::{BatchFailed, Closed, Failure},
    json::json,
    rows::{EnrolmentRow, UserRow},
};

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
}

/// Where questions are asked. The task ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    queue: mpsc::Sender<Question>,
}

impl Lookups {
    /// Starts the task on the readers' pool.
    pub(crate) fn start(pool: SqlitePool) -> Self {
        let (queue, questions) = mpsc::channel(GROUP);
        tokio::spawn(run(pool, questions));
        Self { queue }
    }

    pub(crate) async fn enrolment(&self, id: EnrolmentId) -> StoreResult<Option<Enrolment>> {
        self.ask(id, Question::Enrolment).await
    }

    pub(crate) async fn applicant(&self, user: &UserId) -> StoreResult<Option<Applicant>> {
        self.ask(user.clone(), |asked| Question::Applicant(Box::new(asked))).await
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
        let (mut enrolments, mut applicants) = (Vec::new(), Vec::new());
        for question in waiting.drain(..) {
            match question {
                Question::Enrolment(asked) => enrolments.push(asked),
                Question::Applicant(asked) => applicants.push(*asked),
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

type Found = (ApplicantRow, Vec<CertificateRecord>);

/// Few applicants have had a certificate: what those had is read with the rest, of the same moment.
async fn find_applicants(
    pool: &SqlitePool,
    asked: &[Asked<UserId, Applicant>],
) -> Result<HashMap<UserId, Found>, sqlx::Error> {
    let ids = json(asked.iter().map(|asked| asked.key.as_str()))?;
    let rows = select_applicants(pool, &ids).await?;
    if rows.iter().all(|row| row.certificates == 0) {
        let keyed = |row: ApplicantRow| Some((UserId::parse(&row.id).ok()?, (row, Vec::new())));
        return Ok(rows.into_iter().filter_map(keyed).collect());
    }
    let mut snapshot = pool.begin().await?;
    let rows = select_applicants(&mut *snapshot, &ids).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let Ok(id) = UserId::parse(&row.id) else { continue };
        let certificates = match row.certificates {
            0 => Vec::new(),
            _ => certificate::of_user(&mut *snapshot, &id).await.map_err(Failure::into_sql)?,
        };
        found.insert(id, (row, certificates));
    }
    snapshot.rollback().await?;
    Ok(found)
}

async fn select_applicants(
    executor: impl SqliteExecutor<'_>,
    ids: &str,
) -> Result<Vec<ApplicantRow>, sqlx::Error> {
    sqlx::query_as!(
        ApplicantRow,
        r#"SELECT u.id, u.contract, u.role, u.display_name, u.email, u.state, u.device_kind, u.device_serial,
                  u.locked_at, u.registered_at, k.name AS contract_name, k.general_users,
                  k.registered_at AS contract_registered_at,
                  (SELECT count(*) FROM certificates c WHERE c.user_id = u.id) AS "certificates!: i64",
                  (SELECT count(*) FROM users peer
                   WHERE peer.contract = u.contract AND peer.role = u.role AND peer.id <> u.id
                     AND EXISTS (SELECT 1 FROM certificates c
                                 WHERE c.user_id = peer.id AND c.revoked = 0 AND c.abandoned_at IS NULL)) AS "beside!: i64"
           FROM users u JOIN contracts k ON k.number = u.contract
           WHERE u.id IN (SELECT value FROM json_each($1))"#,
        ids
    )
    .fetch_all(executor)
    .await
}

/// A user with contract, and the two numbers that policy asks for.
#[derive(Clone, Debug)]
struct ApplicantRow {
    id: String,
    contract: String,
    role: String,
    display_name: String,
    email: Option<String>,
    state: String,
    device_kind: Option<String>,
    device_serial: Option<String>,
    locked_at: Option<i64>,
    registered_at: i64,
    contract_name: String,
    general_users: i64,
    contract_registered_at: i64,
    certificates: i64,
    beside: i64,
}

impl ApplicantRow {
    /// `certificates` are the user's, when there are any.
    fn of(self, certificates: Vec<CertificateRecord>) -> Result<Applicant, Failure> {
        let contract = ContractRow {
            number: self.contract.clone(),
            name: self.contract_name,
            general_users: self.general_users,
            registered_at: self.contract_registered_at,
        };
        let user = UserRow {
            id: self.id,
            contract: self.contract,
            role: self.role,
            display_name: self.display_name,
            email: self.email,
            state: self.state,
            device_kind: self.device_kind,
            device_serial: self.device_serial,
            locked_at: self.locked_at,
            registered_at: self.registered_at,
        };
        Ok(Applicant {
            user: user.try_into()?,
            contract: contract.try_into()?,
            certificates,
            other_holders: usize::try_from(self.beside).unwrap_or(usize::MAX),
        })
    }
}
