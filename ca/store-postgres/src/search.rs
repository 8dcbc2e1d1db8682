//! Searches. Each reads a piece of one index: a test looks at the plans.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditRow,
        contract::Contract,
        device::DeviceKind,
        ids::{ContractNumber, TokenSerial, UserId},
        user::User,
    },
    ports::{
        search::{AuditFilter, SearchStore, after_prefix},
        store::StoreResult,
    },
};

use store_rows::applicant::ContractRow;

use crate::{PostgresStore, audit::StoredRow, failure::Failure, rows::UserRow};

#[async_trait]
impl SearchStore for PostgresStore {
    async fn contracts_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &ContractNumber)>,
        limit: u32,
    ) -> StoreResult<Vec<Contract>> {
        let end = after_prefix(prefix);
        let (name, number) = after.map_or((prefix, ""), |(name, number)| (name, number.as_str()));
        let rows = sqlx::query_as!(
            ContractRow,
            "SELECT number, name, general_users, registered_at FROM contracts
             WHERE (name, number) > ($1, $2) AND name < $3 ORDER BY name, number LIMIT $4",
            name,
            number,
            end,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Contract::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn users_by_name(
        &self,
        prefix: &str,
        after: Option<(&str, &UserId)>,
        limit: u32,
    ) -> StoreResult<Vec<User>> {
        let end = after_prefix(prefix);
        let (name, id) = after.map_or((prefix, ""), |(name, id)| (name, id.as_str()));
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at
             FROM users WHERE (display_name, id) > ($1, $2) AND display_name < $3
             ORDER BY display_name, id LIMIT $4",
            name,
            id,
            end,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(User::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn users_by_id(&self, prefix: &str, after: Option<&UserId>, limit: u32) -> StoreResult<Vec<User>> {
        let end = after_prefix(prefix);
        // No ID has a character that sorts before this one.
        let from = after.map_or_else(|| prefix.to_owned(), |after| format!("{after}\u{1}"));
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at
             FROM users WHERE id >= $1 AND id < $2 ORDER BY id LIMIT $3",
            from,
            end,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(User::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn users_by_token(&self, serial: &TokenSerial) -> StoreResult<Vec<User>> {
        let serial = serial.as_str();
        // One look into the index of living certificates for each kind of device.
        let kinds = DeviceKind::ALL.map(|kind| kind.as_str().to_owned());
        let rows = sqlx::query_as!(
            UserRow,
            "SELECT id, contract, role, display_name, email, state, device_kind, device_serial, locked_at, registered_at
             FROM users WHERE id IN (
                 SELECT id FROM users WHERE device_serial = $1
                 UNION
                 SELECT c.user_id FROM certificates c
                 WHERE c.device_kind = ANY ($2) AND c.device_serial = $1
                   AND NOT c.revoked AND c.abandoned_at IS NULL)
             ORDER BY id",
            serial,
            &kinds[..]
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(User::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn audit_about(&self, subject: &str, before: u64, limit: u32) -> StoreResult<Vec<AuditRow>> {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let rows = sqlx::query_as!(
            StoredRow,
            "SELECT sequence, at, actor, action, subject, details, hash FROM audit
             WHERE subject = $1 AND sequence < $2 AND action NOT IN
                 ('enrolment.opened', 'certificate.intended', 'certificate.issued', 'certificate.confirmed')
             ORDER BY sequence DESC LIMIT $3",
            subject,
            before,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(AuditRow::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn audit_before(
        &self,
        filter: &AuditFilter,
        before: u64,
        window: u64,
        limit: u32,
    ) -> StoreResult<Vec<AuditRow>> {
        let from = i64::try_from(before.saturating_sub(window)).unwrap_or(i64::MAX);
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let (actor, subject) = (filter.actor.as_deref(), filter.subject.as_deref());
        let (action, action_end) = match filter.action.as_deref() {
            Some(prefix) if prefix.ends_with('.') => (Some(prefix), after_prefix(prefix)),
            Some(exact) => (Some(exact), format!("{exact}\u{1}")),
            None => (None, String::new()),
        };
        let since = filter.from.map(jiff::Timestamp::as_millisecond);
        let until = filter.until.map(jiff::Timestamp::as_millisecond);
        let rows = sqlx::query_as!(
            StoredRow,
            "SELECT sequence, at, actor, action, subject, details, hash FROM audit
             WHERE sequence >= $1 AND sequence < $2
               AND ($3::text IS NULL OR actor = $3)
               AND ($4::text IS NULL OR (action >= $4 AND action < $5))
               AND ($6::text IS NULL OR subject = $6)
               AND ($7::bigint IS NULL OR at >= $7)
               AND ($8::bigint IS NULL OR at < $8)
             ORDER BY sequence DESC LIMIT $9",
            from,
            before,
            actor,
            action,
            action_end,
            subject,
            since,
            until,
            i64::from(limit)
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(AuditRow::try_from).collect::<Result<_, Failure>>()?)
    }
}
