//! The outbox in memory, and changes of e-mail addresses.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, State, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        certificate::CertificateState,
        ids::{IssuerId, SerialNumber, UserId},
        mail::{EmailAddress, MailId, MailKind, MailState, OutboxMail},
        user::UserState,
    },
    ports::{
        email::{EmailChange, EmailStore},
        outbox::{Announcement, Backlog, ClaimedMail, ExpiryNotice, MailList, OutboxStore, Settlement},
        store::{Conflict, StoreResult},
    },
};

/// A mail, with what is not shown of it.
#[derive(Clone, Debug)]
pub(super) struct OutboxRow {
    pub(super) mail: OutboxMail,
    pub(super) code: Option<String>,
    /// Counts the mails about plans for a certificate, from 1; 0 for any other mail.
    pub(super) announcement: u32,
    /// The date that such a mail says.
    pub(super) revoke_at: Option<Timestamp>,
}

impl MemoryStore {
    /// All mail, in the order in which it was queued.
    pub fn all_mail(&self) -> Vec<OutboxMail> {
        self.read().outbox.iter().map(|row| row.mail.clone()).collect()
    }
}

#[async_trait]
impl OutboxStore for MemoryStore {
    async fn queue_expiry_notices(
        &self,
        notice: &ExpiryNotice,
        now: Timestamp,
        limit: u32,
    ) -> StoreResult<u64> {
        self.commit("queue_expiry_notices", |state| {
            let due: Vec<(UserId, SerialNumber)> = state
                .certificates
                .iter()
                .map(|row| &row.record)
                .filter(|r| matches!(r.state, CertificateState::Issued { .. }) && r.issuer == notice.issuer)
                .filter(|r| (notice.from..notice.until).contains(&r.not_after))
                .map(|r| (r.user.clone(), r.serial.clone()))
                .collect();
            let queued = state.outbox.len();
            for (user, serial) in due {
                if state.outbox.len() - queued < limit as usize {
                    state.enqueue(notice.kind, &user, Some((&notice.issuer, &serial)), now);
                }
            }
            Ok((state.outbox.len() - queued) as u64)
        })
    }

    async fn claim_mail(&self, now: Timestamp, lost_at: Timestamp) -> StoreResult<Option<ClaimedMail>> {
        self.commit("claim_mail", |state| {
            let queued = state.outbox.iter_mut().filter(|row| row.mail.state == MailState::Queued);
            let due = queued.filter(|row| row.mail.next_attempt_at <= now);
            let Some(row) = due.min_by_key(|row| (row.mail.next_attempt_at, row.mail.id)) else {
                return Ok(None);
            };
            row.mail.attempts += 1;
            row.mail.next_attempt_at = lost_at;
            let row = row.clone();
            let about = row.mail.certificate.as_ref();
            let record = about.and_then(|(issuer, serial)| state.certificate(issuer, serial));
            let record = record.map(|row| &row.record);
            let to_be_revoked_at =
                about.and_then(|(issuer, serial)| state.planned_revocation(issuer, serial));
            let announcement = state.announcement(&row);
            Ok(Some(ClaimedMail {
                announcement,
                name: state
                    .users
                    .get(&row.mail.user)
                    .map(|r| r.user.display_name.clone())
                    .unwrap_or_default(),
                code: row.code,
                not_after: record.map(|record| record.not_after),
                is_revoked: record.is_some_and(|r| matches!(r.state, CertificateState::Revoked { .. })),
                to_be_revoked_at,
                mail: row.mail,
            }))
        })
    }

    async fn settle_mail(
        &self,
        attempt: &OutboxMail,
        settlement: &Settlement,
        audit: Option<AuditEvent>,
    ) -> StoreResult<bool> {
        self.commit("settle_mail", |state| {
            let removed = state.is_removed(&attempt.user);
            let Some(row) = state.attempt_mut(attempt) else { return Ok(false) };
            row.mail.state = settlement.state;
            row.mail.settled_at = Some(settlement.at);
            row.mail.answer = Some(settlement.answer.clone());
            row.code = None;
            if removed {
                row.mail.recipient = None;
            }
            if let Some(audit) = audit {
                state.append(&audit);
            }
            Ok(true)
        })
    }

    async fn postpone_mail(&self, attempt: &OutboxMail, until: Timestamp, answer: &str) -> StoreResult<bool> {
        self.commit("postpone_mail", |state| {
            let Some(row) = state.attempt_mut(attempt) else { return Ok(false) };
            row.mail.next_attempt_at = until;
            row.mail.answer = Some(answer.to_owned());
            Ok(true)
        })
    }

    async fn withdraw_all_mail(&self, at: Timestamp, answer: &str) -> StoreResult<u64> {
        self.commit("withdraw_all_mail", |state| {
            let mut withdrawn = 0;
            for row in &mut state.outbox {
                if row.mail.state == MailState::Queued && row.mail.queued_at <= at {
                    row.mail.state = MailState::Withdrawn;
                    row.mail.settled_at = Some(at);
                    row.mail.answer = Some(answer.to_owned());
                    row.code = None;
                    withdrawn += 1;
                }
            }
            Ok(withdrawn)
        })
    }

    async fn retry_mail(&self, id: MailId, now: Timestamp, audit: AuditEvent) -> StoreResult<bool> {
        self.commit("retry_mail", |state| {
            let bounced = |row: &&mut OutboxRow| {
                row.mail.id == id && row.mail.state == MailState::Bounced && row.mail.recipient.is_some()
            };
            let users = &state.users;
            let Some(row) = state.outbox.iter_mut().find(bounced) else { return Ok(false) };
            let present = users.get(&row.mail.user).and_then(|row| row.user.email.clone());
            match row.mail.kind {
                MailKind::EmailCode => return Ok(false),
                MailKind::EmailChanged => {}
                _ => row.mail.recipient = present.or(row.mail.recipient.take()),
            }
            row.mail.state = MailState::Queued;
            row.mail.settled_at = None;
            row.mail.attempts = 0;
            row.mail.next_attempt_at = now;
            state.append(&audit);
            Ok(true)
        })
    }

    async fn mail(&self, id: MailId) -> StoreResult<Option<OutboxMail>> {
        self.query("mail", |state| {
            state.outbox.iter().find(|row| row.mail.id == id).map(|row| row.mail.clone())
        })
    }

    async fn mails(&self, list: &MailList, limit: u32) -> StoreResult<Vec<OutboxMail>> {
        self.query("mails", |state| {
            let all = state.outbox.iter().map(|row| &row.mail);
            let mut found: Vec<OutboxMail> = match list {
                MailList::Queued => all.filter(|mail| mail.state == MailState::Queued).cloned().collect(),
                MailList::Bounced => all.filter(|mail| mail.state == MailState::Bounced).cloned().collect(),
                MailList::OfUser(user) => all.filter(|mail| mail.user == *user).cloned().collect(),
            };
            match list {
                MailList::Queued => found.sort_by_key(|mail| (mail.queued_at, mail.id)),
                MailList::Bounced => found.sort_by_key(|mail| std::cmp::Reverse((mail.settled_at, mail.id))),
                MailList::OfUser(_) => found.reverse(),
            }
            found.truncate(limit as usize);
            found
        })
    }

    async fn mail_backlog(&self) -> StoreResult<Backlog> {
        self.query("mail_backlog", |state| {
            let of = |wanted| state.outbox.iter().map(|row| &row.mail).filter(move |m| m.state == wanted);
            Backlog {
                queued: of(MailState::Queued).count() as u64,
                oldest: of(MailState::Queued).map(|mail| mail.queued_at).min(),
                bounced: of(MailState::Bounced).count() as u64,
            }
        })
    }
}

#[async_trait]
impl EmailStore for MemoryStore {
    async fn propose_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        change: &EmailChange,
        code: &str,
        (since, most): (Timestamp, u32),
        audit: AuditEvent,
    ) -> StoreResult<bool> {
        self.commit("propose_email", |state| {
            state.own_session(user, session)?;
            let codes = state.outbox.iter().map(|row| &row.mail).filter(|mail| {
                mail.user == *user && mail.kind == MailKind::EmailCode && mail.queued_at >= since
            });
            if codes.count() >= most as usize {
                return Ok(false);
            }
            state.email_changes.insert(user.clone(), change.clone());
            let (recipient, code) = (change.email.clone(), Some(code.to_owned()));
            state.put(MailKind::EmailCode, user, None, recipient, code, audit.at);
            state.append(&audit);
            Ok(true)
        })
    }

    async fn email_change(&self, user: &UserId) -> StoreResult<Option<EmailChange>> {
        self.query("email_change", |state| state.email_changes.get(user).cloned())
    }

    async fn spend_email_attempt(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("spend_email_attempt", |state| {
            if let Some(change) = state.email_changes.get_mut(user) {
                change.attempts_left = change.attempts_left.saturating_sub(1);
            }
            state.append(&audit);
            Ok(())
        })
    }

    async fn confirm_email(
        &self,
        user: &UserId,
        session: &[u8; 32],
        sha256: &[u8; 32],
        now: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("confirm_email", |state| {
            state.own_session(user, session)?;
            let change = state.email_changes.get(user);
            let right = change.filter(|c| c.sha256 == *sha256 && c.attempts_left > 0 && c.expires_at > now);
            let email = right.map(|change| change.email.clone()).ok_or(conflict(Conflict::Code))?;
            state.enqueue(MailKind::EmailChanged, user, None, now);
            state.user_mut(user)?.user.email = Some(email);
            state.email_changes.remove(user);
            state.append(&audit);
            Ok(())
        })
    }

    async fn drop_email_change(&self, user: &UserId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("drop_email_change", |state| {
            if state.email_changes.remove(user).is_some() {
                state.append(&audit);
            }
            Ok(())
        })
    }
}

impl State {
    /// Queues a mail to the user's address of this moment; without one there is nobody to tell. A second one of the same
    /// kind about the same certificate is none.
    pub(super) fn enqueue(
        &mut self,
        kind: MailKind,
        user: &UserId,
        certificate: Option<(&IssuerId, &SerialNumber)>,
        at: Timestamp,
    ) {
        let Some(address) = self.users.get(user).and_then(|row| row.user.email.clone()) else { return };
        let certificate = certificate.map(|(issuer, serial)| (issuer.clone(), serial.clone()));
        let told = |row: &OutboxRow| row.mail.kind == kind && row.mail.certificate == certificate;
        if certificate.is_some() && self.outbox.iter().any(told) {
            return;
        }
        self.put(kind, user, certificate, address, None, at);
    }

    /// A removed user's settled mail keeps no address, and no change of it waits.
    pub(super) fn forget_addresses(&mut self, user: &UserId) {
        self.email_changes.remove(user);
        let settled = |row: &&mut OutboxRow| row.mail.user == *user && row.mail.state != MailState::Queued;
        self.outbox.iter_mut().filter(settled).for_each(|row| row.mail.recipient = None);
    }

    fn put(
        &mut self,
        kind: MailKind,
        user: &UserId,
        certificate: Option<(IssuerId, SerialNumber)>,
        recipient: EmailAddress,
        code: Option<String>,
        at: Timestamp,
    ) {
        let mail = OutboxMail {
            id: MailId(self.outbox.iter().map(|row| row.mail.id.0).max().unwrap_or_default() + 1),
            kind,
            user: user.clone(),
            certificate,
            recipient: Some(recipient),
            queued_at: at,
            state: MailState::Queued,
            attempts: 0,
            next_attempt_at: at,
            settled_at: None,
            answer: None,
        };
        self.outbox.push(OutboxRow { mail, code, announcement: 0, revoke_at: None });
    }

    /// The mails about plans for the certificate that this one is about, the first one first.
    pub(super) fn announcements(
        &self,
        about: Option<&(IssuerId, SerialNumber)>,
    ) -> impl Iterator<Item = &OutboxRow> {
        self.outbox.iter().filter(move |row| row.announcement > 0 && row.mail.certificate.as_ref() == about)
    }

    /// Queues a mail about plans to the user's address of this moment.
    pub(super) fn announce(
        &mut self,
        user: &UserId,
        about: (IssuerId, SerialNumber),
        revoke_at: Option<Timestamp>,
        at: Timestamp,
    ) {
        let Some(address) = self.users.get(user).and_then(|row| row.user.email.clone()) else { return };
        let before = self.announcements(Some(&about)).count();
        let kind = if revoke_at.is_some() { MailKind::ToBeRevoked } else { MailKind::NotToBeRevoked };
        self.put(kind, user, Some(about), address, None, at);
        if let Some(row) = self.outbox.last_mut() {
            (row.announcement, row.revoke_at) = (u32::try_from(before + 1).unwrap_or(u32::MAX), revoke_at);
        }
    }

    fn announcement(&self, of: &OutboxRow) -> Announcement {
        if of.announcement == 0 {
            return Announcement::default();
        }
        let all = || self.announcements(of.mail.certificate.as_ref());
        let may_have_told = |row: &&OutboxRow| match row.mail.state {
            MailState::Delivered => true,
            MailState::Bounced => false,
            MailState::Queued => row.mail.attempts > 0,
            // By the attempt that withdrew it nobody was told.
            MailState::Withdrawn => row.mail.attempts > 1,
        };
        let earlier = all().filter(|row| row.announcement < of.announcement).filter(may_have_told);
        let later =
            |row: &OutboxRow| row.announcement > of.announcement && row.mail.state != MailState::Withdrawn;
        Announcement {
            revoke_at: of.revoke_at,
            told: earlier.last().and_then(|row| row.revoke_at),
            is_overtaken: all().any(later),
        }
    }

    fn attempt_mut(&mut self, attempt: &OutboxMail) -> Option<&mut OutboxRow> {
        let same = |mail: &OutboxMail| {
            (mail.id, mail.attempts, mail.next_attempt_at, mail.state)
                == (attempt.id, attempt.attempts, attempt.next_attempt_at, MailState::Queued)
        };
        self.outbox.iter_mut().find(|row| same(&row.mail))
    }

    fn is_removed(&self, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|row| row.user.state == UserState::Removed)
    }

    fn own_session(&self, user: &UserId, token: &[u8; 32]) -> StoreResult<()> {
        let own = self.sessions.get(token).is_some_and(|session| session.user == *user);
        let row = self
            .users
            .get(user)
            .filter(|row| own && row.user.state == UserState::Active && row.user.locked_at.is_none());
        row.map(drop).ok_or(conflict(Conflict::Missing))
    }
}
