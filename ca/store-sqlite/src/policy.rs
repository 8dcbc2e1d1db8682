//! Policies and their assignments.

use async_trait::async_trait;
use ca_core::{
    domain::{
        audit::AuditEvent,
        ids::{ContractNumber, PolicyName},
        policy::{Assignment, PolicyRecord},
    },
    ports::{
        policies::{PoliciesInForce, PolicyStore},
        store::{Conflict, StoreResult},
    },
};
use sqlx::SqliteConnection;

use crate::{
    SqliteStore,
    failure::Failure,
    outcome::Written,
    rows::{id, policy_version, time, unsigned},
};

#[async_trait]
impl PolicyStore for SqliteStore {
    async fn set_policy(&self, policy: &PolicyRecord, audit: AuditEvent) -> StoreResult<()> {
        let policy = policy.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { set(tx, &policy).await })).await
    }

    async fn policy_versions(&self, name: &PolicyName) -> StoreResult<Vec<PolicyRecord>> {
        let name = name.as_str();
        let rows = sqlx::query_as!(
            PolicyRow,
            "SELECT name, version, reason, set_by, set_at, document FROM policies WHERE name = $1 ORDER BY version",
            name
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(PolicyRecord::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn assign_policy(&self, assignment: &Assignment, audit: AuditEvent) -> StoreResult<()> {
        let assignment = assignment.clone();
        self.write(Some(audit), move |tx| Box::pin(async move { assign(tx, &assignment).await })).await
    }

    async fn policy_assignments(&self, contract: &ContractNumber) -> StoreResult<Vec<Assignment>> {
        let contract = contract.as_str();
        let rows = sqlx::query_as!(
            AssignmentRow,
            "SELECT contract, policy, reason, assigned_by, assigned_at FROM policy_assignments
             WHERE contract = $1 ORDER BY number",
            contract
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(rows.into_iter().map(Assignment::try_from).collect::<Result<_, Failure>>()?)
    }

    async fn policy_head(&self) -> StoreResult<u64> {
        let head = sqlx::query_scalar!(
            r#"SELECT max((SELECT coalesce(max(number), 0) FROM policies),
                          (SELECT coalesce(max(number), 0) FROM policy_assignments)) AS "head!: i64""#
        )
        .fetch_one(self.readers())
        .await
        .map_err(Failure::from)?;
        Ok(unsigned("policies.number", head)?)
    }

    async fn policies_in_force(&self) -> StoreResult<PoliciesInForce> {
        // The head first and the policies last: what is committed in between is looked for once more, and an assignment
        // is never without its policy.
        let head = self.policy_head().await?;
        let assigned = sqlx::query!(
            r#"SELECT a.contract, a.policy AS "policy!" FROM policy_assignments a
               WHERE a.policy IS NOT NULL
                 AND a.number = (SELECT max(number) FROM policy_assignments last WHERE last.contract = a.contract)
               ORDER BY a.contract"#
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let assigned = assigned.into_iter().map(|row| {
            Ok((
                id("policy_assignments.contract", &row.contract, ContractNumber::parse)?,
                id("policy_assignments.policy", &row.policy, PolicyName::parse)?,
            ))
        });
        let assigned = assigned.collect::<Result<_, Failure>>()?;
        let policies = sqlx::query_as!(
            PolicyRow,
            "SELECT p.name, p.version, p.reason, p.set_by, p.set_at, p.document FROM policies p
             WHERE p.version = (SELECT max(version) FROM policies last WHERE last.name = p.name) ORDER BY p.name"
        )
        .fetch_all(self.readers())
        .await
        .map_err(Failure::from)?;
        let policies = policies.into_iter().map(PolicyRecord::try_from).collect::<Result<_, Failure>>()?;
        Ok(PoliciesInForce { head, policies, assigned })
    }
}

struct PolicyRow {
    name: String,
    version: i64,
    reason: String,
    set_by: String,
    set_at: i64,
    document: String,
}

impl TryFrom<PolicyRow> for PolicyRecord {
    type Error = Failure;

    fn try_from(row: PolicyRow) -> Result<Self, Failure> {
        Ok(Self {
            id: policy_version("policies", &row.name, row.version)?,
            at: time("policies.set_at", row.set_at)?,
            text: row.document,
            reason: row.reason,
            by: row.set_by,
        })
    }
}

struct AssignmentRow {
    contract: String,
    policy: Option<String>,
    reason: String,
    assigned_by: String,
    assigned_at: i64,
}

impl TryFrom<AssignmentRow> for Assignment {
    type Error = Failure;

    fn try_from(row: AssignmentRow) -> Result<Self, Failure> {
        let name = |text: &String| id("policy_assignments.policy", text, PolicyName::parse);
        Ok(Self {
            contract: id("policy_assignments.contract", &row.contract, ContractNumber::parse)?,
            policy: row.policy.as_ref().map(name).transpose()?,
            at: time("policy_assignments.assigned_at", row.assigned_at)?,
            reason: row.reason,
            by: row.assigned_by,
        })
    }
}

async fn set(tx: &mut SqliteConnection, policy: &PolicyRecord) -> Result<Written<()>, Failure> {
    let (name, version) = (policy.id.name.as_str(), i64::from(policy.id.version));
    let at = policy.at.as_millisecond();
    let latest = sqlx::query_scalar!(
        r#"SELECT coalesce(max(version), 0) AS "latest!: i64" FROM policies WHERE name = $1"#,
        name
    )
    .fetch_one(&mut *tx)
    .await?;
    if version <= latest {
        return Err(Conflict::Taken.into());
    }
    if version != latest + 1 {
        return Err(Conflict::Missing.into());
    }
    sqlx::query!(
        "INSERT INTO policies (name, version, number, reason, set_by, set_at, document)
         VALUES ($1, $2, 1 + max((SELECT coalesce(max(number), 0) FROM policies),
                                 (SELECT coalesce(max(number), 0) FROM policy_assignments)),
                 $3, $4, $5, $6)",
        name,
        version,
        policy.reason,
        policy.by,
        at,
        policy.text
    )
    .execute(tx)
    .await?;
    Ok(Written::Changed(()))
}

/// Gives a contract a policy, inside any fact that does.
pub(crate) async fn assign(
    tx: &mut SqliteConnection,
    assignment: &Assignment,
) -> Result<Written<()>, Failure> {
    let contract = assignment.contract.as_str();
    let policy = assignment.policy.as_ref().map(PolicyName::as_str);
    let at = assignment.at.as_millisecond();
    let inserted = sqlx::query!(
        "INSERT INTO policy_assignments (number, contract, policy, reason, assigned_by, assigned_at)
         SELECT 1 + max((SELECT coalesce(max(number), 0) FROM policies),
                        (SELECT coalesce(max(number), 0) FROM policy_assignments)),
                c.number, $2, $3, $4, $5
         FROM contracts c
         WHERE c.number = $1 AND ($2 IS NULL OR EXISTS (SELECT 1 FROM policies p WHERE p.name = $2))",
        contract,
        policy,
        assignment.reason,
        assignment.by,
        at
    )
    .execute(tx)
    .await?;
    if inserted.rows_affected() == 0 { Err(Conflict::Missing.into()) } else { Ok(Written::Changed(())) }
}
