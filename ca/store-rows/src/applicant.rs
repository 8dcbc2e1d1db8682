//! Who asks for a certificate: a user with contract, and what of it policy asks for, as one row.

use ca_core::domain::{
    certificate::CertificateRecord,
    contract::{Contract, Plan},
    ids::ContractNumber,
    policy::Applicant,
};

use crate::{
    failure::Failure,
    rows::{EnrolmentRow, UserRow, time},
};

/// A row of `contracts`.
#[derive(Debug)]
pub struct ContractRow {
    pub number: String,
    pub name: String,
    pub general_users: i64,
    pub registered_at: i64,
}

impl TryFrom<ContractRow> for Contract {
    type Error = Failure;

    fn try_from(row: ContractRow) -> Result<Self, Failure> {
        let corrupt = |what: &str| Failure::Corrupt(format!("contracts.{what} of {:?}", row.number));
        Ok(Self {
            number: ContractNumber::parse(&row.number).map_err(|_| corrupt("number"))?,
            plan: Plan {
                general_users: u16::try_from(row.general_users).map_err(|_| corrupt("general_users"))?,
            },
            registered_at: time("contracts.registered_at", row.registered_at)?,
            name: row.name,
        })
    }
}

/// A user with contract, and the two numbers that policy asks for.
#[derive(Clone, Debug)]
pub struct ApplicantRow {
    pub id: String,
    pub contract: String,
    pub role: String,
    pub display_name: String,
    pub email: Option<String>,
    pub state: String,
    pub device_kind: Option<String>,
    pub device_serial: Option<String>,
    pub locked_at: Option<i64>,
    pub registered_at: i64,
    pub contract_name: String,
    pub general_users: i64,
    pub contract_registered_at: i64,
    pub certificates: i64,
    pub beside: i64,
}

impl ApplicantRow {
    /// Whether there are certificates to read.
    pub fn has_certificates(&self) -> bool {
        self.certificates > 0
    }

    /// `certificates` are the user's, when there are any.
    pub fn of(self, certificates: Vec<CertificateRecord>) -> Result<Applicant, Failure> {
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

/// An enrolment and its applicant. The token that is assigned to the user is `assigned_*`.
#[derive(Clone, Debug)]
pub struct ApplicationRow {
    pub id: Vec<u8>,
    pub idempotency_key: String,
    pub user_id: String,
    pub device_kind: String,
    pub device_serial: String,
    pub binding: String,
    pub challenge: Vec<u8>,
    pub bearer_sha256: Vec<u8>,
    pub expires_at: i64,
    pub opened_at: i64,
    pub refused_code: Option<String>,
    pub refused_detail: Option<String>,
    pub ak_name: Option<Vec<u8>>,
    pub renews: Option<Vec<u8>>,
    pub serial: Option<Vec<u8>>,
    pub contract: String,
    pub role: String,
    pub display_name: String,
    pub email: Option<String>,
    pub state: String,
    pub assigned_kind: Option<String>,
    pub assigned_serial: Option<String>,
    pub locked_at: Option<i64>,
    pub registered_at: i64,
    pub contract_name: String,
    pub general_users: i64,
    pub contract_registered_at: i64,
    pub certificates: i64,
    pub beside: i64,
}

impl ApplicationRow {
    /// Both.
    pub fn parts(self) -> (EnrolmentRow, ApplicantRow) {
        let applicant = ApplicantRow {
            id: self.user_id.clone(),
            contract: self.contract,
            role: self.role,
            display_name: self.display_name,
            email: self.email,
            state: self.state,
            device_kind: self.assigned_kind,
            device_serial: self.assigned_serial,
            locked_at: self.locked_at,
            registered_at: self.registered_at,
            contract_name: self.contract_name,
            general_users: self.general_users,
            contract_registered_at: self.contract_registered_at,
            certificates: self.certificates,
            beside: self.beside,
        };
        let enrolment = EnrolmentRow {
            id: self.id,
            idempotency_key: self.idempotency_key,
            user_id: self.user_id,
            device_kind: self.device_kind,
            device_serial: self.device_serial,
            binding: self.binding,
            challenge: self.challenge,
            bearer_sha256: self.bearer_sha256,
            expires_at: self.expires_at,
            opened_at: self.opened_at,
            refused_code: self.refused_code,
            refused_detail: self.refused_detail,
            ak_name: self.ak_name,
            renews: self.renews,
            serial: self.serial,
        };
        (enrolment, applicant)
    }
}
