//! From columns to entities. A value that Inro can't have written is [`Failure::Corrupt`], named by its column.

use ca_core::{
    domain::{
        certificate::{CertificateRecord, CertificateState},
        device::{Assurance, Device, DeviceKind},
        enrolment::{Binding, Enrolment, EnrolmentState},
        ids::{
            ContractNumber, EnrolmentId, IdempotencyKey, InvalidId, IssuerId, PolicyName, SerialNumber,
            SignerName, TokenSerial, UserId,
        },
        mail::{EmailAddress, MailId, MailKind, MailState, OutboxMail},
        policy::PolicyVersion,
        responder::ResponderRecord,
        revocation::{Revocation, RevocationReason},
        user::{Role, User, UserState},
    },
    ports::{
        books::Entered,
        signer::JournalPosition,
        store::{Orphan, Session, SignerRecord},
    },
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::failure::Failure;

type Parsed<T> = Result<T, Failure>;

fn corrupt(column: &str, value: impl std::fmt::Debug) -> Failure {
    Failure::Corrupt(format!("{column} is {value:?}"))
}

pub fn id<T>(column: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, InvalidId>) -> Parsed<T> {
    parse(text).map_err(|_| corrupt(column, text))
}

pub fn name<T>(column: &str, text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Parsed<T> {
    parse(text).ok_or_else(|| corrupt(column, text))
}

/// Milliseconds since 1970 to a time.
pub fn time(column: &str, ms: i64) -> Parsed<Timestamp> {
    Timestamp::from_millisecond(ms).map_err(|_| corrupt(column, ms))
}

/// A time that may be missing.
pub fn optional_time(column: &str, ms: Option<i64>) -> Parsed<Option<Timestamp>> {
    ms.map(|ms| time(column, ms)).transpose()
}

/// A number that can't be negative.
pub fn unsigned(column: &str, number: i64) -> Parsed<u64> {
    u64::try_from(number).map_err(|_| corrupt(column, number))
}

/// A number that must fit into a column's signed ones.
pub fn signed(what: &str, number: u64) -> Parsed<i64> {
    i64::try_from(number).map_err(|_| corrupt(what, number))
}

/// A small number that can't be negative.
pub fn number(column: &str, number: i64) -> Parsed<u32> {
    u32::try_from(number).map_err(|_| corrupt(column, number))
}

/// A policy's name and version.
pub fn policy_version(table: &str, text: &str, version: i64) -> Parsed<PolicyVersion> {
    Ok(PolicyVersion {
        name: id(&format!("{table}.policy_name"), text, PolicyName::parse)?,
        version: number(&format!("{table}.policy_version"), version)?,
    })
}

/// 32 octets.
pub fn digest(column: &str, bytes: &[u8]) -> Parsed<[u8; 32]> {
    bytes.try_into().map_err(|_| corrupt(column, bytes))
}

/// A certificate's serial number.
pub fn serial(column: &str, bytes: &[u8]) -> Parsed<SerialNumber> {
    SerialNumber::from_bytes(bytes).map_err(|_| corrupt(column, bytes))
}

pub fn enrolment_id(column: &str, bytes: &[u8]) -> Parsed<EnrolmentId> {
    Uuid::from_slice(bytes).map(EnrolmentId).map_err(|_| corrupt(column, bytes))
}

pub fn device(table: &str, kind: &str, serial: &str) -> Parsed<Device> {
    Ok(Device {
        kind: name(&format!("{table}.device_kind"), kind, DeviceKind::parse)?,
        serial: id(&format!("{table}.device_serial"), serial, TokenSerial::parse)?,
    })
}

/// An address that mail goes to.
pub fn address(column: &str, text: Option<&str>) -> Parsed<Option<EmailAddress>> {
    text.map(|text| EmailAddress::parse(text).map_err(|_| corrupt(column, text))).transpose()
}

/// A row of `outbox`, without its code.
#[derive(Debug)]
pub struct MailRow {
    pub id: i64,
    pub kind: String,
    pub user_id: String,
    pub issuer: Option<String>,
    pub serial: Option<Vec<u8>>,
    pub recipient: Option<String>,
    pub queued_at: i64,
    pub state: String,
    pub attempts: i64,
    pub next_attempt_at: i64,
    pub settled_at: Option<i64>,
    pub answer: Option<String>,
}

impl TryFrom<MailRow> for OutboxMail {
    type Error = Failure;

    fn try_from(row: MailRow) -> Parsed<Self> {
        let certificate = row.issuer.as_deref().zip(row.serial.as_deref());
        let certificate: Option<Parsed<_>> = certificate.map(|(issuer, number)| {
            Ok((id("outbox.issuer", issuer, IssuerId::parse)?, serial("outbox.serial", number)?))
        });
        Ok(Self {
            id: MailId(unsigned("outbox.id", row.id)?),
            kind: name("outbox.kind", &row.kind, MailKind::parse)?,
            user: id("outbox.user_id", &row.user_id, UserId::parse)?,
            certificate: certificate.transpose()?,
            recipient: address("outbox.recipient", row.recipient.as_deref())?,
            queued_at: time("outbox.queued_at", row.queued_at)?,
            state: name("outbox.state", &row.state, MailState::parse)?,
            attempts: number("outbox.attempts", row.attempts)?,
            next_attempt_at: time("outbox.next_attempt_at", row.next_attempt_at)?,
            settled_at: optional_time("outbox.settled_at", row.settled_at)?,
            answer: row.answer,
        })
    }
}

/// A row of `users`.
#[derive(Debug)]
pub struct UserRow {
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
}

impl TryFrom<UserRow> for User {
    type Error = Failure;

    fn try_from(row: UserRow) -> Parsed<Self> {
        let assigned_device = match (&row.device_kind, &row.device_serial) {
            (Some(kind), Some(serial)) => Some(device("users", kind, serial)?),
            (None, None) => None,
            half => return Err(corrupt("users.device", half)),
        };
        Ok(Self {
            id: id("users.id", &row.id, UserId::parse)?,
            contract: id("users.contract", &row.contract, ContractNumber::parse)?,
            role: name("users.role", &row.role, Role::parse)?,
            display_name: row.display_name,
            email: address("users.email", row.email.as_deref())?,
            state: name("users.state", &row.state, UserState::parse)?,
            assigned_device,
            locked_at: optional_time("users.locked_at", row.locked_at)?,
            registered_at: time("users.registered_at", row.registered_at)?,
        })
    }
}

/// A row of `enrolments` with the serial number of its certificate.
#[derive(Clone, Debug)]
pub struct EnrolmentRow {
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
}

impl TryFrom<EnrolmentRow> for Enrolment {
    type Error = Failure;

    fn try_from(row: EnrolmentRow) -> Parsed<Self> {
        let state = match (row.refused_code, row.refused_detail, &row.serial) {
            (None, None, None) => EnrolmentState::Challenged,
            (Some(code), Some(detail), None) => EnrolmentState::Refused { code, detail },
            (None, None, Some(bytes)) => {
                EnrolmentState::Certified { serial: serial("certificates.serial", bytes)? }
            }
            mixture => return Err(corrupt("enrolments' state", mixture)),
        };
        Ok(Self {
            id: enrolment_id("enrolments.id", &row.id)?,
            idempotency_key: id("enrolments.idempotency_key", &row.idempotency_key, IdempotencyKey::parse)?,
            user: id("enrolments.user_id", &row.user_id, UserId::parse)?,
            device: device("enrolments", &row.device_kind, &row.device_serial)?,
            binding: name("enrolments.binding", &row.binding, Binding::parse)?,
            challenge: digest("enrolments.challenge", &row.challenge)?,
            bearer_sha256: digest("enrolments.bearer_sha256", &row.bearer_sha256)?,
            expires_at: time("enrolments.expires_at", row.expires_at)?,
            opened_at: time("enrolments.opened_at", row.opened_at)?,
            ak_name: row.ak_name,
            renews: row.renews.map(|intent| enrolment_id("enrolments.renews", &intent)).transpose()?,
            state,
        })
    }
}

/// A row of `certificates` with its user's contract and its revocation.
#[derive(Debug)]
pub struct CertificateRow {
    pub intent: Vec<u8>,
    pub issuer: String,
    pub signer: String,
    pub serial: Vec<u8>,
    pub user_id: String,
    pub contract: String,
    pub device_kind: String,
    pub device_serial: String,
    pub assurance: String,
    pub public_key_sha256: Vec<u8>,
    pub not_before: i64,
    pub not_after: i64,
    pub renews: Option<Vec<u8>>,
    pub abandoned_at: Option<i64>,
    pub issued_at: Option<i64>,
    pub confirmed_at: Option<i64>,
    pub tbs: Vec<u8>,
    pub der: Option<Vec<u8>>,
    pub revoked_at: Option<i64>,
    pub revoked_reason: Option<i64>,
}

/// What the columns say of a certificate's state.
struct StateColumns {
    abandoned_at: Option<i64>,
    issued_at: Option<i64>,
    confirmed_at: Option<i64>,
    der: Option<Vec<u8>>,
    revoked_at: Option<i64>,
    revoked_reason: Option<i64>,
}

impl StateColumns {
    fn state(self, what: &str, serial: &[u8]) -> Parsed<CertificateState> {
        if self.abandoned_at.is_some() {
            // Also when an orphan by the same number was revoked.
            return Ok(CertificateState::Abandoned);
        }
        match (self.revoked_at, self.revoked_reason, self.der, self.issued_at) {
            (Some(at), Some(code), der, _) => Ok(CertificateState::Revoked {
                der,
                at: time("revocations.at", at)?,
                reason: reason("revocations.reason", code)?,
            }),
            (None, None, Some(der), Some(at)) => Ok(CertificateState::Issued {
                der,
                at: time("issued_at", at)?,
                confirmed_at: optional_time("confirmed_at", self.confirmed_at)?,
            }),
            (None, None, None, None) => Ok(CertificateState::Intended),
            _ => Err(corrupt(what, serial)),
        }
    }
}

impl TryFrom<CertificateRow> for CertificateRecord {
    type Error = Failure;

    fn try_from(row: CertificateRow) -> Parsed<Self> {
        let columns = StateColumns {
            abandoned_at: row.abandoned_at,
            issued_at: row.issued_at,
            confirmed_at: row.confirmed_at,
            der: row.der,
            revoked_at: row.revoked_at,
            revoked_reason: row.revoked_reason,
        };
        let state = columns.state("the state of certificate", &row.serial)?;
        Ok(Self {
            intent: enrolment_id("certificates.intent", &row.intent)?,
            issuer: id("certificates.issuer", &row.issuer, IssuerId::parse)?,
            signer: id("certificates.signer", &row.signer, SignerName::parse)?,
            serial: serial("certificates.serial", &row.serial)?,
            user: id("certificates.user_id", &row.user_id, UserId::parse)?,
            contract: id("users.contract", &row.contract, ContractNumber::parse)?,
            device: device("certificates", &row.device_kind, &row.device_serial)?,
            assurance: name("certificates.assurance", &row.assurance, Assurance::parse)?,
            public_key_sha256: digest("certificates.public_key_sha256", &row.public_key_sha256)?,
            not_before: time("certificates.not_before", row.not_before)?,
            not_after: time("certificates.not_after", row.not_after)?,
            renews: row.renews.map(|intent| enrolment_id("certificates.renews", &intent)).transpose()?,
            tbs: row.tbs,
            state,
        })
    }
}

pub fn reason(column: &str, code: i64) -> Parsed<RevocationReason> {
    let known = u8::try_from(code).ok().and_then(RevocationReason::from_code);
    known.ok_or_else(|| corrupt(column, code))
}

/// A row of `revocations` of a known issuer.
#[derive(Debug)]
pub struct RevocationRow {
    pub number: i64,
    pub serial: Vec<u8>,
    pub at: i64,
    pub reason: i64,
    pub not_after: i64,
}

impl RevocationRow {
    /// Whether it was entered by the time of `head`. Asked here and not in the query: nearly every row was, which the
    /// planners don't know and would read by number and sort.
    #[must_use]
    pub fn is_within(&self, head: u64) -> bool {
        u64::try_from(self.number).unwrap_or_default() <= head
    }

    pub fn of(self, issuer: &IssuerId) -> Parsed<Revocation> {
        Ok(Revocation {
            issuer: issuer.clone(),
            serial: serial("revocations.serial", &self.serial)?,
            at: time("revocations.at", self.at)?,
            reason: reason("revocations.reason", self.reason)?,
            not_after: time("revocations.not_after", self.not_after)?,
        })
    }
}

/// A row of `responders` with its revocation.
#[derive(Debug)]
pub struct ResponderRow {
    pub intent: Vec<u8>,
    pub issuer: String,
    pub signer: String,
    pub serial: Vec<u8>,
    pub public_key_sha256: Vec<u8>,
    pub not_before: i64,
    pub not_after: i64,
    pub abandoned_at: Option<i64>,
    pub issued_at: Option<i64>,
    pub tbs: Vec<u8>,
    pub der: Option<Vec<u8>>,
    pub revoked_at: Option<i64>,
    pub revoked_reason: Option<i64>,
}

impl TryFrom<ResponderRow> for ResponderRecord {
    type Error = Failure;

    fn try_from(row: ResponderRow) -> Parsed<Self> {
        let columns = StateColumns {
            abandoned_at: row.abandoned_at,
            issued_at: row.issued_at,
            confirmed_at: None,
            der: row.der,
            revoked_at: row.revoked_at,
            revoked_reason: row.revoked_reason,
        };
        let state = columns.state("the state of the responder's certificate", &row.serial)?;
        Ok(Self {
            intent: enrolment_id("responders.intent", &row.intent)?,
            issuer: id("responders.issuer", &row.issuer, IssuerId::parse)?,
            signer: id("responders.signer", &row.signer, SignerName::parse)?,
            serial: serial("responders.serial", &row.serial)?,
            public_key_sha256: digest("responders.public_key_sha256", &row.public_key_sha256)?,
            not_before: time("responders.not_before", row.not_before)?,
            not_after: time("responders.not_after", row.not_after)?,
            tbs: row.tbs,
            state,
        })
    }
}

/// What a row of `certificates` says of its place in a journal.
#[derive(Debug)]
pub struct EnteredRow {
    pub intent: Vec<u8>,
    pub journal_sequence: i64,
    pub journal_hash: Vec<u8>,
    pub tbs: Vec<u8>,
}

impl TryFrom<EnteredRow> for Entered {
    type Error = Failure;

    fn try_from(row: EnteredRow) -> Parsed<Self> {
        Ok(Self {
            intent: enrolment_id("certificates.intent", &row.intent)?,
            position: position("certificates", row.journal_sequence, &row.journal_hash)?,
            tbs: row.tbs,
        })
    }
}

/// A row of `orphans` of a known issuer.
#[derive(Debug)]
pub struct OrphanRow {
    pub intent: Vec<u8>,
    pub signer: String,
    pub serial: Vec<u8>,
    pub not_after: i64,
    pub journal_sequence: i64,
    pub journal_hash: Vec<u8>,
    pub der: Vec<u8>,
}

impl OrphanRow {
    pub fn of(self, issuer: &IssuerId) -> Parsed<Orphan> {
        Ok(Orphan {
            issuer: issuer.clone(),
            signer: id("orphans.signer", &self.signer, SignerName::parse)?,
            intent: enrolment_id("orphans.intent", &self.intent)?,
            serial: serial("orphans.serial", &self.serial)?,
            not_after: time("orphans.not_after", self.not_after)?,
            der: self.der,
            position: position("orphans", self.journal_sequence, &self.journal_hash)?,
        })
    }
}

/// A row of `signers` of a known issuer.
#[derive(Debug)]
pub struct SignerRow {
    pub name: String,
    pub journal: Vec<u8>,
    pub reconciled_sequence: Option<i64>,
    pub reconciled_hash: Option<Vec<u8>>,
    pub revocations_to: i64,
    pub anchors_accepted_to: i64,
    pub retired_at: Option<i64>,
}

impl SignerRow {
    pub fn of(self, issuer: &IssuerId) -> Parsed<SignerRecord> {
        let place = self.reconciled_sequence.zip(self.reconciled_hash);
        Ok(SignerRecord {
            issuer: issuer.clone(),
            name: id("signers.name", &self.name, SignerName::parse)?,
            journal: Uuid::from_slice(&self.journal).map_err(|_| corrupt("signers.journal", &self.name))?,
            reconciled: place.map(|(sequence, hash)| position("signers", sequence, &hash)).transpose()?,
            revocations_to: unsigned("signers.revocations_to", self.revocations_to)?,
            anchors_accepted_to: unsigned("signers.anchors_accepted_to", self.anchors_accepted_to)?,
            retired_at: optional_time("signers.retired_at", self.retired_at)?,
        })
    }
}

/// A place in a signer's journal.
pub fn position(table: &'static str, sequence: i64, hash: &[u8]) -> Parsed<JournalPosition> {
    Ok(JournalPosition { sequence: unsigned(table, sequence)?, hash: digest(table, hash)? })
}

/// A row of `sessions`.
#[derive(Debug)]
pub struct SessionRow {
    pub token_sha256: Vec<u8>,
    pub csrf_sha256: Vec<u8>,
    pub user_id: String,
    pub issuer: String,
    pub serial: Vec<u8>,
    pub opened_at: i64,
    pub last_used_at: i64,
}

impl TryFrom<SessionRow> for Session {
    type Error = Failure;

    fn try_from(row: SessionRow) -> Parsed<Self> {
        Ok(Self {
            token_sha256: digest("sessions.token_sha256", &row.token_sha256)?,
            csrf_sha256: digest("sessions.csrf_sha256", &row.csrf_sha256)?,
            user: id("sessions.user_id", &row.user_id, UserId::parse)?,
            issuer: id("sessions.issuer", &row.issuer, IssuerId::parse)?,
            serial: serial("sessions.serial", &row.serial)?,
            opened_at: time("sessions.opened_at", row.opened_at)?,
            last_used_at: time("sessions.last_used_at", row.last_used_at)?,
        })
    }
}
