//! A user as policy judges one, but for the certificates, which few have yet.

use ca_core::domain::{certificate::CertificateRecord, ids::UserId, policy::Applicant};

use crate::{customer::ContractRow, failure::Failure, readers::Readers, rows::UserRow};

pub(crate) async fn find(pool: Readers<'_>, user: &UserId) -> Result<Option<ApplicantRow>, Failure> {
    let id = user.as_str();
    // OFFSET 0 keeps the conditions apart. Planned while a partial index was empty, and kept, the query would otherwise
    // read that whole index for each peer: the planner takes an empty index for free.
    Ok(sqlx::query_as!(
        ApplicantRow,
        r#"SELECT u.id, u.contract, u.role, u.display_name, u.email, u.state, u.device_kind, u.device_serial,
                  u.locked_at, u.registered_at, k.name AS contract_name, k.general_users,
                  k.registered_at AS contract_registered_at,
                  (SELECT count(*) FROM certificates c WHERE c.user_id = u.id) AS "certificates!: i64",
                  (SELECT count(*) FROM users peer
                   WHERE peer.contract = u.contract AND peer.role = u.role AND peer.id <> u.id
                     AND EXISTS (SELECT 1 FROM (SELECT revoked, abandoned_at FROM certificates
                                                WHERE user_id = peer.id OFFSET 0) c
                                 WHERE NOT c.revoked AND c.abandoned_at IS NULL)) AS "beside!: i64"
           FROM users u JOIN contracts k ON k.number = u.contract
           WHERE u.id = $1"#,
        id
    )
    .fetch_optional(pool)
    .await?)
}

/// A user with contract, and the two numbers that policy asks for.
#[derive(Debug)]
pub(crate) struct ApplicantRow {
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
    /// Whether there are certificates to read.
    pub(crate) fn has_certificates(&self) -> bool {
        self.certificates > 0
    }

    /// `certificates` are the user's, when there are any.
    pub(crate) fn of(self, certificates: Vec<CertificateRecord>) -> Result<Applicant, Failure> {
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
