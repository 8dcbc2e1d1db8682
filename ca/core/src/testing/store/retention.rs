//! Erasing personal data whose period is over, in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, State, conflict, is_living};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::{EnrolmentId, UserId},
        mail::MailState,
        retention::PersonalData,
    },
    ports::{
        retention::{RecordKey, RetentionStore},
        store::{Conflict, StoreResult},
    },
};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn count_erasable(&self, kind: PersonalData, before: Timestamp) -> StoreResult<u64> {
        self.query("count_erasable", |state| state.erasable(kind, before).len() as u64)
    }

    async fn erasable(
        &self,
        kind: PersonalData,
        before: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<RecordKey>> {
        self.query("erasable", |state| {
            state.erasable(kind, before).into_iter().take(limit as usize).collect()
        })
    }

    async fn erase(
        &self,
        kind: PersonalData,
        before: Timestamp,
        keys: &[RecordKey],
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("erase", |state| {
            let due = state.erasable(kind, before);
            if !keys.iter().all(|key| due.contains(key)) {
                return Err(conflict(Conflict::Missing));
            }
            state.erase(kind, keys, audit.at);
            state.append(&audit);
            Ok(())
        })
    }
}

fn login_key(user: &UserId, token: &[u8; 32]) -> RecordKey {
    RecordKey(format!("{user} {token:?}"))
}

fn enrolment_key(id: EnrolmentId) -> RecordKey {
    RecordKey(id.to_string())
}

impl State {
    fn erasable(&self, kind: PersonalData, before: Timestamp) -> Vec<RecordKey> {
        match kind {
            PersonalData::Logins => {
                let old = self.logins.iter().filter(|login| login.opened_at < before);
                old.map(|login| login_key(&login.user, &login.token_sha256)).collect()
            }
            PersonalData::Mail => {
                let standing = |row: &super::outbox::OutboxRow| {
                    let about = row.mail.certificate.as_ref().filter(|_| row.announcement > 0);
                    about.is_some_and(|(issuer, serial)| self.planned_revocation(issuer, serial).is_some())
                };
                let old = self.outbox.iter().filter(|row| row.mail.settled_at.is_some_and(|at| at < before));
                old.filter(|row| !standing(row)).map(|row| RecordKey(row.mail.id.to_string())).collect()
            }
            PersonalData::Enrolments => {
                let certified = |id| self.certificates.iter().any(|row| row.record.intent == id);
                let orphaned = |id| self.orphans.iter().any(|orphan| orphan.intent == id);
                let old = self.enrolments.values().filter(|enrolment| enrolment.expires_at < before);
                let alone = old.map(|enrolment| enrolment.id).filter(|id| !certified(*id) && !orphaned(*id));
                alone.map(enrolment_key).collect()
            }
            PersonalData::Evidence => {
                let records = self.certificates.iter().map(|row| &row.record);
                let old = records.filter(|r| r.not_after < before && self.evidence.contains_key(&r.intent));
                old.map(|record| enrolment_key(record.intent)).collect()
            }
            PersonalData::RemovedUsers => {
                let named = self.removals.iter().filter(|(_, (_, erased))| erased.is_none());
                let old = named.filter(|(user, (removed, _))| self.ended(user).max(*removed) < before);
                let queued = |user: &UserId| {
                    self.outbox.iter().any(|r| r.mail.user == *user && r.mail.state == MailState::Queued)
                };
                old.filter(|(user, _)| !queued(user)).map(|(user, _)| RecordKey(user.to_string())).collect()
            }
        }
    }

    /// When the last of a user's certificates that nobody revoked ends.
    fn ended(&self, user: &UserId) -> Timestamp {
        let of_user = self.certificates.iter().map(|row| &row.record).filter(|r| r.user == *user);
        let standing = of_user.filter(|record| is_living(&record.state));
        standing.map(|record| record.not_after).max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn erase(&mut self, kind: PersonalData, keys: &[RecordKey], at: Timestamp) {
        match kind {
            PersonalData::Logins => {
                self.logins.retain(|login| !keys.contains(&login_key(&login.user, &login.token_sha256)));
            }
            PersonalData::Mail => {
                self.outbox.retain(|row| !keys.contains(&RecordKey(row.mail.id.to_string())));
            }
            PersonalData::Enrolments => {
                self.evidence.retain(|id, _| !keys.contains(&enrolment_key(*id)));
                self.enrolments.retain(|id, _| !keys.contains(&enrolment_key(*id)));
            }
            PersonalData::Evidence => self.evidence.retain(|id, _| !keys.contains(&enrolment_key(*id))),
            PersonalData::RemovedUsers => {
                let gone = |user: &UserId| keys.contains(&RecordKey(user.to_string()));
                for (_, (_, erased)) in self.removals.iter_mut().filter(|(user, _)| gone(user)) {
                    *erased = Some(at);
                }
                for (_, row) in self.users.iter_mut().filter(|(user, _)| gone(user)) {
                    row.user.display_name.clear();
                    (row.wrong_login, row.wrong_confirmation) = (0, 0);
                }
                self.logins.retain(|login| !gone(&login.user));
                self.outbox.retain(|row| !gone(&row.mail.user));
            }
        }
    }
}
