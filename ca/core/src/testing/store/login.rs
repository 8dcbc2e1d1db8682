//! Passwords and sessions in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{MemoryStore, UserRow, conflict};
use crate::{
    domain::{
        audit::AuditEvent,
        ids::UserId,
        mail::MailKind,
        user::{PasswordHash, PasswordKind, UserState},
    },
    ports::store::{Conflict, LoginEntry, LoginStore, PasswordBy, Session, StoreResult},
};

#[async_trait]
impl LoginStore for MemoryStore {
    async fn set_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        hash: &PasswordHash,
        by: PasswordBy,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.commit("set_password", |state| {
            if let Some(token) = by.session() {
                let of_user = state.sessions.get(token).is_some_and(|session| session.user == *id);
                let user = &state.user_mut(id)?.user;
                if !of_user || user.state != UserState::Active || user.locked_at.is_some() {
                    return Err(conflict(Conflict::Missing));
                }
            }
            let row = state.user_mut(id)?;
            *row.wrong(kind) = 0;
            match kind {
                PasswordKind::Login => row.login = Some(hash.clone()),
                PasswordKind::Confirmation => row.confirmation = Some(hash.clone()),
            }
            row.initial.retain(|other| *other != kind);
            if by == PasswordBy::Issuer {
                row.initial.push(kind);
            }
            state.sessions.retain(|token, session| session.user != *id || Some(token) == by.session());
            state.append(&audit);
            Ok(())
        })
    }

    async fn password(&self, id: &UserId, kind: PasswordKind) -> StoreResult<Option<PasswordHash>> {
        self.query("password", |state| {
            state.users.get(id).and_then(|row| match kind {
                PasswordKind::Login => row.login.clone(),
                PasswordKind::Confirmation => row.confirmation.clone(),
            })
        })
    }

    async fn initial_passwords(&self, id: &UserId) -> StoreResult<Vec<PasswordKind>> {
        self.query("initial_passwords", |state| {
            state.users.get(id).map(|row| row.initial.clone()).unwrap_or_default()
        })
    }

    async fn count_wrong_password(
        &self,
        id: &UserId,
        kind: PasswordKind,
        now: Timestamp,
        lock_at: u32,
        audit: AuditEvent,
    ) -> StoreResult<u32> {
        self.commit("count_wrong_password", |state| {
            let row = state.user_mut(id)?;
            let count = row.wrong(kind);
            *count += 1;
            let count = *count;
            if count >= lock_at && row.user.locked_at.is_none() {
                row.user.locked_at = Some(now);
                state.enqueue(MailKind::Locked, id, None, now);
            }
            state.append(&audit);
            Ok(count)
        })
    }

    async fn accept_password(&self, id: &UserId, kind: PasswordKind, audit: AuditEvent) -> StoreResult<()> {
        self.commit("accept_password", |state| {
            let row = state.user_mut(id)?;
            if row.user.state != UserState::Active || row.user.locked_at.is_some() {
                return Err(conflict(Conflict::Missing));
            }
            *row.wrong(kind) = 0;
            state.append(&audit);
            Ok(())
        })
    }

    async fn unlock(&self, id: &UserId, audit: AuditEvent) -> StoreResult<()> {
        self.commit("unlock", |state| {
            let row = state.user_mut(id)?;
            row.user.locked_at = None;
            (row.wrong_login, row.wrong_confirmation) = (0, 0);
            state.append(&audit);
            Ok(())
        })
    }

    async fn open_session(&self, session: &Session, audit: AuditEvent) -> StoreResult<()> {
        self.commit("open_session", |state| {
            let row = state.users.get(&session.user).ok_or(conflict(Conflict::Missing))?;
            if row.user.state != UserState::Active || row.user.locked_at.is_some() {
                return Err(conflict(Conflict::Missing));
            }
            let certificate = state.certificate(&session.issuer, &session.serial);
            if certificate.is_none_or(|row| row.record.user != session.user) {
                return Err(conflict(Conflict::Missing));
            }
            state.confirm(&session.issuer, &session.serial, session.opened_at)?;
            *state.user_mut(&session.user)?.wrong(PasswordKind::Login) = 0;
            state.sessions.insert(session.token_sha256, session.clone());
            state.logins.push(session.clone());
            state.append(&audit);
            Ok(())
        })
    }

    async fn session(&self, token_sha256: &[u8; 32]) -> StoreResult<Option<Session>> {
        self.query("session", |state| state.sessions.get(token_sha256).cloned())
    }

    async fn touch_session(&self, token_sha256: &[u8; 32], now: Timestamp) -> StoreResult<()> {
        self.commit("touch_session", |state| {
            if let Some(session) = state.sessions.get_mut(token_sha256) {
                session.last_used_at = session.last_used_at.max(now);
            }
            Ok(())
        })
    }

    async fn close_session(&self, token_sha256: &[u8; 32], audit: AuditEvent) -> StoreResult<()> {
        self.commit("close_session", |state| {
            if state.sessions.remove(token_sha256).is_some() {
                state.append(&audit);
            }
            Ok(())
        })
    }

    async fn purge_sessions(&self, idle_since: Timestamp, opened_before: Timestamp) -> StoreResult<u64> {
        self.commit("purge_sessions", |state| {
            let before = state.sessions.len();
            state.sessions.retain(|_, s| s.last_used_at >= idle_since && s.opened_at >= opened_before);
            Ok((before - state.sessions.len()) as u64)
        })
    }

    async fn last_logins(&self, id: &UserId, limit: u32) -> StoreResult<Vec<LoginEntry>> {
        self.query("last_logins", |state| {
            let of_user = state.logins.iter().rev().filter(|s| s.user == *id).take(limit as usize);
            let entry = |s: &Session| {
                let mut rows = state.certificates.iter().map(|row| &row.record);
                let record = rows.find(|record| record.issuer == s.issuer && record.serial == s.serial)?;
                Some(LoginEntry { at: s.opened_at, serial: s.serial.clone(), device: record.device.clone() })
            };
            of_user.filter_map(entry).collect()
        })
    }
}

impl UserRow {
    fn wrong(&mut self, kind: PasswordKind) -> &mut u32 {
        match kind {
            PasswordKind::Login => &mut self.wrong_login,
            PasswordKind::Confirmation => &mut self.wrong_confirmation,
        }
    }
}
