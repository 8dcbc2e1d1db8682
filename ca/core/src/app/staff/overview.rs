//! Looking for customers, and everything about one of them on a page. Changes nothing.

use std::sync::Arc;

use super::{Acting, Denied, Guard};
use crate::{
    domain::{
        audit::AuditRow,
        certificate::{CertificateRecord, CertificateState},
        contract::Contract,
        enrolment::AcquisitionCode,
        ids::{ContractNumber, IssuerId, SerialNumber, TokenSerial, UserId},
        staff::Task,
        user::User,
    },
    ports::{
        search::SearchStore,
        store::{CertificateStore, CustomerStore, LoginEntry, LoginStore, Orphan, StoredEvidence},
    },
};

/// Results on a page.
pub const PAGE: u32 = 50;
/// Audit rows of one subject on a customer's page.
const ROWS: u32 = 100;
/// Logins on a customer's page.
const LOGINS: u32 = 10;

/// The queries.
pub struct Overview {
    /// Who may.
    pub guard: Guard,
    /// Searches.
    pub search: Arc<dyn SearchStore>,
    /// Contracts and users.
    pub customers: Arc<dyn CustomerStore>,
    /// Logins.
    pub logins: Arc<dyn LoginStore>,
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Whose certificates customers have.
    pub issuer: IssuerId,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// A contract's number.
    Contract(ContractNumber),
    /// The beginning of a contract's name, after a result.
    ContractName(String, Option<(String, ContractNumber)>),
    /// The beginning of a user's name, after a result.
    UserName(String, Option<(String, UserId)>),
    /// The beginning of a user ID, after a result.
    User(String, Option<UserId>),
    /// A token's serial number.
    Token(TokenSerial),
    /// A certificate's serial number.
    Certificate(SerialNumber),
}

/// What was found; with [`PAGE`] of it there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Contracts.
    pub contracts: Vec<Contract>,
    /// Users.
    pub users: Vec<User>,
    /// Certificates.
    pub certificates: Vec<CertificateRecord>,
}

/// Everything about a user.
#[derive(Clone, Debug)]
pub struct Dossier {
    /// The user.
    pub user: User,
    /// The contract.
    pub contract: Option<Contract>,
    /// Certificates, newest first.
    pub certificates: Vec<CertificateRecord>,
    /// The acquisition code that is out.
    pub code: Option<AcquisitionCode>,
    /// The last logins.
    pub logins: Vec<LoginEntry>,
    /// What the audit trail has about the user and the user's certificates, newest first.
    pub rows: Vec<AuditRow>,
}

impl Dossier {
    /// The certificate or open intent that stands.
    pub fn living(&self) -> Option<&CertificateRecord> {
        let lives = |state: &CertificateState| {
            matches!(state, CertificateState::Issued { .. } | CertificateState::Intended)
        };
        self.certificates.iter().find(|certificate| lives(&certificate.state))
    }

    /// Whether the user ever had a certificate: then another one takes two.
    pub fn had_certificate(&self) -> bool {
        self.certificates.iter().any(|certificate| certificate.state != CertificateState::Abandoned)
    }
}

/// A certificate, or one that only a journal knows.
#[derive(Clone, Debug)]
pub enum AnyCertificate {
    /// Of a user, with what it was issued on.
    OfUser(Box<CertificateRecord>, Option<Box<StoredEvidence>>),
    /// Without an intent in the ledger.
    Orphan(Box<Orphan>),
}

impl Overview {
    /// Searches.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn find(&self, acting: &Acting, query: &Query) -> Result<Found, Denied> {
        self.guard.permit(acting, Task::ReadCustomers, "search").await?;
        let mut found = Found::default();
        match query {
            Query::Contract(number) => {
                found.contracts = self.customers.contract(number).await?.into_iter().collect();
            }
            Query::ContractName(prefix, after) => {
                let after = after.as_ref().map(|(name, number)| (name.as_str(), number));
                found.contracts = self.search.contracts_by_name(prefix, after, PAGE).await?;
            }
            Query::UserName(prefix, after) => {
                let after = after.as_ref().map(|(name, id)| (name.as_str(), id));
                found.users = self.search.users_by_name(prefix, after, PAGE).await?;
            }
            Query::User(prefix, after) => {
                found.users = self.search.users_by_id(prefix, after.as_ref(), PAGE).await?;
            }
            Query::Token(serial) => found.users = self.search.users_by_token(serial).await?,
            Query::Certificate(serial) => {
                let certificate = self.certificates.certificate(&self.issuer, serial).await?;
                found.certificates = certificate.into_iter().collect();
            }
        }
        Ok(found)
    }

    /// A contract with its users, master first.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn contract(
        &self,
        acting: &Acting,
        number: &ContractNumber,
    ) -> Result<Option<(Contract, Vec<User>, Vec<AuditRow>)>, Denied> {
        self.guard.permit(acting, Task::ReadCustomers, number).await?;
        let Some(contract) = self.customers.contract(number).await? else { return Ok(None) };
        let users = self.customers.users_of(number).await?;
        let rows = self.search.audit_about(number.as_str(), u64::MAX, ROWS).await?;
        Ok(Some((contract, users, rows)))
    }

    /// Everything about a user.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn user(&self, acting: &Acting, id: &UserId) -> Result<Option<Dossier>, Denied> {
        self.guard.permit(acting, Task::ReadCustomers, id).await?;
        let Some(user) = self.customers.user(id).await? else { return Ok(None) };
        let certificates = self.certificates.certificates_of(id).await?;
        let mut rows = self.search.audit_about(id.as_str(), u64::MAX, ROWS).await?;
        for certificate in &certificates {
            rows.extend(self.search.audit_about(&certificate.serial.to_string(), u64::MAX, ROWS).await?);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.sequence));
        rows.truncate(ROWS as usize);
        Ok(Some(Dossier {
            contract: self.customers.contract(&user.contract).await?,
            code: self.customers.acquisition_code(id).await?,
            logins: self.logins.last_logins(id, LOGINS).await?,
            user,
            certificates,
            rows,
        }))
    }

    /// A certificate by its serial number.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn certificate(
        &self,
        acting: &Acting,
        serial: &SerialNumber,
    ) -> Result<Option<AnyCertificate>, Denied> {
        self.guard.permit(acting, Task::ReadCustomers, serial).await?;
        if let Some(record) = self.certificates.certificate(&self.issuer, serial).await? {
            let evidence = self.certificates.evidence(record.intent).await?;
            return Ok(Some(AnyCertificate::OfUser(Box::new(record), evidence.map(Box::new))));
        }
        let orphans = self.certificates.orphans(&self.issuer).await?;
        let orphan = orphans.into_iter().find(|orphan| orphan.serial == *serial);
        Ok(orphan.map(|orphan| AnyCertificate::Orphan(Box::new(orphan))))
    }
}
