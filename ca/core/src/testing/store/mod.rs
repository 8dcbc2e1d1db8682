//! The ledger in memory: one lock, every invariant of the ports, an audit chain like the real ones.

mod audit;
mod books;
mod census;
mod certificates;
mod custody;
mod customers;
mod enrolments;
mod fleet;
mod leases;
mod login;
mod outbox;
mod policies;
mod rejudgements;
mod responders;
mod retention;
mod revocations;
mod search;
mod signers;
mod staff;
mod tokens;
mod trust;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::fault::{Fault, Faults, locked};
use crate::{
    domain::{
        approval::Approval,
        audit::{AuditEvent, AuditPosition, AuditRow},
        certificate::{CertificateRecord, CertificateState},
        contract::Contract,
        custody::{KeptPuk, Unblocking},
        enrolment::{AcquisitionCode, Enrolment},
        ids::{ContractNumber, EnrolmentId, IssuerId, SerialNumber, SignerName, StaffId, UserId},
        policy::{Applicant, Assignment, PolicyRecord, TokenRecord},
        responder::ResponderRecord,
        revocation::Revocation,
        staff::Member,
        user::{PasswordHash, PasswordKind, User},
    },
    ports::{
        email::EmailChange,
        ledger::Ledger,
        rejudgements::{Fallen, Rejudgement},
        signer::JournalPosition,
        staff::StaffSession,
        store::{
            Conflict, Orphan, PublishedCrl, Session, SignerRecord, StoreError, StoreResult, StoredEvidence,
        },
        trust::{StagedTrust, TrustRecord},
    },
};

/// The in-memory store.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    faults: Faults,
    stale_applicant: Mutex<Option<Applicant>>,
}

/// A copy of a store.
#[derive(Debug)]
pub struct Backup(State);

#[derive(Clone, Debug, Default)]
struct State {
    contracts: BTreeMap<ContractNumber, Contract>,
    users: BTreeMap<UserId, UserRow>,
    sessions: HashMap<[u8; 32], Session>,
    logins: Vec<Session>,
    enrolments: HashMap<EnrolmentId, Enrolment>,
    evidence: HashMap<EnrolmentId, StoredEvidence>,
    certificates: Vec<CertificateRow>,
    orphans: Vec<Orphan>,
    responders: Vec<ResponderRow>,
    revocations: BTreeMap<(IssuerId, SerialNumber), RevocationRow>,
    crls: HashMap<IssuerId, CrlRow>,
    signers: BTreeMap<(IssuerId, SignerName), SignerRecord>,
    /// By which entry each signer's journal has the revocations that it was told.
    journaled: HashMap<(IssuerId, SignerName), JournalPosition>,
    leases: HashMap<String, (String, std::time::Instant)>,
    trust: Vec<TrustRecord>,
    staged_trust: Option<StagedTrust>,
    rejudgements: Vec<(Rejudgement, Vec<Fallen>)>,
    staff: BTreeMap<StaffId, Member>,
    staff_sessions: HashMap<[u8; 32], StaffSession>,
    approvals: Vec<Approval>,
    policies: Vec<PolicyRecord>,
    policy_assignments: Vec<Assignment>,
    tokens: Vec<TokenRecord>,
    puks: Vec<KeptPuk>,
    unblockings: Vec<Unblocking>,
    outbox: Vec<outbox::OutboxRow>,
    email_changes: BTreeMap<UserId, EmailChange>,
    /// When a user was removed, and when the name was erased.
    removals: BTreeMap<UserId, (Timestamp, Option<Timestamp>)>,
    audit: Vec<AuditRow>,
}

#[derive(Clone, Debug)]
struct UserRow {
    user: User,
    login: Option<PasswordHash>,
    confirmation: Option<PasswordHash>,
    /// Handed over by somebody else, and not changed since.
    initial: Vec<PasswordKind>,
    wrong_login: u32,
    wrong_confirmation: u32,
    code: Option<AcquisitionCode>,
}

#[derive(Clone, Debug)]
struct CertificateRow {
    record: CertificateRecord,
    position: Option<JournalPosition>,
}

#[derive(Clone, Debug)]
struct ResponderRow {
    record: ResponderRecord,
    position: Option<JournalPosition>,
}

#[derive(Clone, Debug)]
struct RevocationRow {
    number: u64,
    revocation: Revocation,
}

#[derive(Clone, Debug, Default)]
struct CrlRow {
    number: u64,
    /// CRLs up to this number may say a later time than a revocation has by now, or there was a later one, which is lost.
    outdated_to: u64,
    current: Option<PublishedCrl>,
}

impl MemoryStore {
    /// Orders faults, by the name of the port's method.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The next question about an applicant is answered with this, as a read from before the latest change would be.
    pub fn read_applicant_as(&self, applicant: Applicant) {
        *locked(&self.stale_applicant) = Some(applicant);
    }

    /// The whole audit trail.
    pub fn audit_rows(&self) -> Vec<AuditRow> {
        self.read().audit.clone()
    }

    /// The actions of the audit trail, in order.
    pub fn audit_actions(&self) -> Vec<String> {
        self.read().audit.iter().map(|row| row.action.clone()).collect()
    }

    /// Forgets an intent and its enrolment, as a database restored from a backup would.
    pub fn forget_intent(&self, intent: EnrolmentId) {
        let mut state = self.read();
        state.certificates.retain(|row| row.record.intent != intent);
        state.enrolments.remove(&intent);
        state.evidence.remove(&intent);
    }

    /// Copies everything that is in the store.
    pub fn backup(&self) -> Backup {
        Backup(self.read().clone())
    }

    /// Takes the store back to a copy.
    pub fn restore(&self, backup: &Backup) {
        *self.read() = backup.0.clone();
    }

    /// Cuts off the end of the audit trail after this row, and nothing else: as somebody would who hides something.
    pub fn cut_trail(&self, rows: usize) {
        self.read().audit.truncate(rows);
    }

    fn read(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Runs one durable fact with the ordered fault before or after it. `fact` checks before it changes.
    fn commit<T>(
        &self,
        method: &'static str,
        fact: impl FnOnce(&mut State) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let fault = self.faults.take(method);
        if fault == Some(Fault::Before) {
            return Err(unavailable());
        }
        let result = fact(&mut self.read())?;
        if fault == Some(Fault::After) { Err(unavailable()) } else { Ok(result) }
    }

    /// Runs a query with the ordered fault.
    fn query<T>(&self, method: &'static str, query: impl FnOnce(&State) -> T) -> StoreResult<T> {
        match self.faults.take(method) {
            Some(_) => Err(unavailable()),
            None => Ok(query(&self.read())),
        }
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn close(&self) {}
}

impl State {
    fn head(&self) -> AuditPosition {
        self.audit.last().map_or(AuditPosition::GENESIS, AuditRow::position)
    }

    fn append(&mut self, event: &AuditEvent) -> AuditPosition {
        let row = AuditRow::following(self.head(), event);
        let head = row.position();
        self.audit.push(row);
        head
    }

    fn user_mut(&mut self, id: &UserId) -> StoreResult<&mut UserRow> {
        self.users.get_mut(id).ok_or(conflict(Conflict::Missing))
    }

    fn certificate(&self, issuer: &IssuerId, serial: &SerialNumber) -> Option<&CertificateRow> {
        self.certificates.iter().find(|row| row.record.issuer == *issuer && row.record.serial == *serial)
    }

    fn certificate_mut(&mut self, issuer: &IssuerId, serial: &SerialNumber) -> Option<&mut CertificateRow> {
        self.certificates.iter_mut().find(|row| row.record.issuer == *issuer && row.record.serial == *serial)
    }
}

fn conflict(conflict: Conflict) -> StoreError {
    StoreError::Conflict(conflict)
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a fault was ordered".into())
}

/// Neither revoked nor given up: a certificate, or an intent that may become one.
fn is_living(state: &CertificateState) -> bool {
    matches!(state, CertificateState::Intended | CertificateState::Issued { .. })
}
