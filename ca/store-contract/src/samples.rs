//! What the tests of the stores have in common: entities that differ in a number, and a line of calls.

pub use ca_core::ports::ledger::Ledger;
use ca_core::{
    domain::{
        audit::{Actor, AuditEvent, AuditPosition, verify},
        certificate::{CertificateRecord, CertificateState},
        contract::{Contract, Plan},
        device::{Assurance, Device, DeviceKind},
        enrolment::{Binding, Enrolment, EnrolmentState},
        ids::{
            ContractNumber, EnrolmentId, IdempotencyKey, IssuerId, PolicyName, SerialNumber, SignerName,
            TokenSerial, UserId,
        },
        mail::EmailAddress,
        policy::PolicyVersion,
        user::{Role, User, UserState},
    },
    ports::{
        signer::JournalPosition,
        store::{Conflict, StoreError, StoreResult, StoredEvidence},
    },
};
use jiff::Timestamp;
use uuid::Uuid;

/// Seconds after the tests' beginning of time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

/// An audit event with text of every awkward kind.
pub fn event(action: &'static str) -> AuditEvent {
    AuditEvent {
        at: at(0),
        actor: Actor::Operator("tester".to_owned()),
        action,
        // What a hostile client may have claimed to be called comes back as it was, or the chain breaks.
        subject: "利用者 \"1\"\0\u{feff}\u{202e}😀\u{1}'--".to_owned(),
        details: vec![("note", "a\nb\\c\\u0000\0".to_owned())],
    }
}

/// The number of the one contract.
pub fn number() -> ContractNumber {
    ContractNumber::parse("1234567").expect("a contract number")
}

/// The one issuer.
pub fn issuer() -> IssuerId {
    IssuerId::parse("customer").expect("an issuer")
}

/// Its signer.
pub fn signer() -> SignerName {
    SignerName::parse("customer-a").expect("a signer name")
}

/// The contract, with room for so many general users.
pub fn contract(general_users: u16) -> Contract {
    Contract {
        number: number(),
        name: "北海商事株式会社".to_owned(),
        plan: Plan { general_users },
        registered_at: at(0),
    }
}

/// The ID of user `n`.
pub fn user_id(n: u32) -> UserId {
    UserId::parse(&format!("user-{n:06}")).expect("a user ID")
}

/// User `n`.
pub fn user(n: u32, role: Role) -> User {
    User {
        id: user_id(n),
        contract: number(),
        role,
        display_name: format!("利用者{n}"),
        email: Some(EmailAddress::parse(&format!("user{n}@example.com")).expect("an address")),
        state: UserState::Active,
        assigned_device: None,
        locked_at: None,
        registered_at: at(0),
    }
}

/// Token `n`.
pub fn device(n: u32) -> Device {
    Device {
        kind: DeviceKind::YubiKeyPiv,
        serial: TokenSerial::parse(&format!("{}", 1_000_000 + n)).expect("a token serial"),
    }
}

/// Octets that differ by kind and number.
pub fn digest(kind: u8, n: u32) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// The ID of enrolment and intent `n`.
pub fn intent_id(n: u32) -> EnrolmentId {
    EnrolmentId(Uuid::from_u128(0x1000_0000 + u128::from(n)))
}

/// Serial number `n`.
pub fn serial(n: u32) -> SerialNumber {
    let mut bytes = [0x40; 16];
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    SerialNumber::from_bytes(&bytes).expect("a serial number")
}

/// Idempotency key `n`.
pub fn key(n: u32) -> IdempotencyKey {
    IdempotencyKey::parse(&format!("attempt-{n:016}")).expect("an idempotency key")
}

/// Enrolment `n` of user `n` with token `n`.
pub fn enrolment(n: u32) -> Enrolment {
    Enrolment {
        id: intent_id(n),
        idempotency_key: key(n),
        user: user_id(n),
        device: device(n),
        binding: Binding::AssignedSerial,
        renews: None,
        challenge: digest(1, n),
        bearer_sha256: digest(2, n),
        expires_at: at(600),
        opened_at: at(0),
        ak_name: None,
        state: EnrolmentState::Challenged,
    }
}

/// The intent of enrolment `n`.
pub fn record(n: u32) -> CertificateRecord {
    CertificateRecord {
        intent: intent_id(n),
        issuer: issuer(),
        signer: signer(),
        serial: serial(n),
        user: user_id(n),
        contract: number(),
        device: device(n),
        assurance: Assurance::AttestedWithPin,
        public_key_sha256: digest(3, n),
        not_before: at(i64::from(n)),
        not_after: at(31_536_000),
        renews: None,
        tbs: vec![0x30; 700],
        state: CertificateState::Intended,
    }
}

/// Evidence with this verdict.
pub fn evidence(verdict: &str) -> StoredEvidence {
    StoredEvidence {
        format: "yubikey-piv".to_owned(),
        parts: vec![vec![1; 800], Vec::new(), vec![0; 900]],
        csr: vec![2; 400],
        challenge: [5; 32],
        challenge_signature: vec![6; 71],
        predecessor_signature: None,
        policy: PolicyVersion { name: PolicyName::parse("fips-only").expect("a name"), version: 7 },
        trust_version: 3,
        verdict: verdict.to_owned(),
        decoded: "firmware=5.7.2\npin=once\\".to_owned(),
        judged_at: at(1),
    }
}

/// Certificate `n`; no store looks into it.
pub fn der(n: u32) -> Vec<u8> {
    let mut der = vec![0x31; 900];
    der[..4].copy_from_slice(&n.to_be_bytes());
    der
}

/// The place of certificate `n` in the journal.
pub fn position(n: u32) -> JournalPosition {
    JournalPosition { sequence: u64::from(n) + 1, hash: digest(4, n) }
}

/// A contract with a master (user 0) and general users 1 to `general`.
pub async fn customers(store: &impl Ledger, general: u32) {
    let plan = u16::try_from(general).expect("a plan");
    store.register_contract(&contract(plan), event("contract.registered")).await.expect("the contract");
    store.register_user(&user(0, Role::Master), event("user.registered")).await.expect("the master");
    for n in 1..=general {
        store.register_user(&user(n, Role::General), event("user.registered")).await.expect("a user");
    }
}

/// Opens enrolment `n` and records its intent.
///
/// # Errors
/// The store's.
pub async fn intend(store: &impl Ledger, n: u32) -> StoreResult<()> {
    store.open_enrolment(&enrolment(n), None, event("enrolment.opened")).await?;
    store.record_intent(&record(n), &evidence("accepted"), event("certificate.intended")).await?;
    Ok(())
}

/// Records certificate `n` as issued.
///
/// # Errors
/// The store's.
pub async fn complete(store: &impl Ledger, n: u32) -> StoreResult<()> {
    store
        .record_issued(&issuer(), &serial(n), &der(n), position(n), at(10), event("certificate.issued"))
        .await?;
    Ok(())
}

/// Certificate `n`, from the challenge to the ledger.
pub async fn issue(store: &impl Ledger, n: u32) {
    intend(store, n).await.expect("the intent");
    complete(store, n).await.expect("the certificate");
}

/// Asserts which rule was broken.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: StoreResult<T>, conflict: Conflict) {
    match result {
        Err(StoreError::Conflict(found)) => assert_eq!(found, conflict),
        other => panic!("{other:?} instead of {conflict:?}"),
    }
}

/// Verifies the whole audit chain and returns its actions.
pub async fn verified_actions(store: &impl Ledger) -> Vec<String> {
    let mut previous = AuditPosition::GENESIS;
    let mut actions = Vec::new();
    loop {
        let rows = store.rows_after(previous.sequence, 100).await.expect("rows");
        if rows.is_empty() {
            break;
        }
        for row in rows {
            previous = verify(previous, &row).expect("an unbroken chain");
            actions.push(row.action);
        }
    }
    assert_eq!(store.head().await.expect("the head"), previous);
    actions
}
