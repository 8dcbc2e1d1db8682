//! Registered machines: who is admitted, what they may vouch for and what not, and what they are told of certificates.

use std::{collections::BTreeSet, sync::Arc};

use ca_core::{
    app::{
        certificate_status::{CertificateStatus, StatusError},
        enrol::{
            applicant::{Caller, Credentials},
            certify::{Certify, CertifyError},
            confirm::Confirm,
            look_up::{LookUpEnrolment, Stage},
            open::{Open, OpenError, Opened},
        },
        machines::{AdmitError, AdmitMachine, Presented},
    },
    domain::{
        ids::{ContractNumber, MachineId, SerialNumber},
        machine::{Machine, MachineRefusal, MachineRole, ValiditySpan},
        policy::Reason,
        revocation::RevocationReason,
        standing::Standing,
        user::{Role, UserState},
    },
    ports::store::CertificateStore,
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::{
    device::{Statement, device},
    pki::issuer_id,
    world::{GENERAL, World, at, clerk, user},
};

const SERIAL: u32 = 1_000_001;

fn validity() -> ValiditySpan {
    ValiditySpan { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2027-01-01T00:00:00Z") }
}

fn machine(contracts: Option<&[&str]>) -> Arc<Machine> {
    let parse = |number: &&str| ContractNumber::parse(number).expect("a contract number");
    Arc::new(Machine {
        id: MachineId::parse("terminals").expect("a name"),
        public_key_sha256: [7; 32],
        registered: validity(),
        roles: BTreeSet::from([MachineRole::Registration]),
        contracts: contracts.map(|numbers| numbers.iter().map(parse).collect()),
    })
}

fn vouching(machine: &Arc<Machine>, id: &str, serial: u32, key: &str) -> Open {
    Open { credentials: Credentials::Machine(machine.clone()), ..World::asked(id, serial, key) }
}

fn by(machine: &Arc<Machine>, certify: Certify) -> Certify {
    Certify { caller: Caller::Machine(machine.clone()), ..certify }
}

async fn opened(world: &World, machine: &Arc<Machine>, key: &str) -> Opened {
    world.open.run(vouching(machine, GENERAL, SERIAL, key)).await.expect("an enrolment")
}

#[tokio::test]
async fn a_machine_takes_the_place_of_the_password_and_of_nothing_else() {
    let world = World::new().await;
    let machine = machine(None);
    let verified = world.passwords.verified();
    let opened = opened(&world, &machine, "a").await;
    assert_eq!(world.passwords.verified(), verified, "no password is asked for");
    let lying = world.maker.token(&Statement::of(1_000_009));
    let error = world.certify.run(by(&machine, World::certify_with(&opened, &lying))).await;
    assert!(
        matches!(&error, Err(CertifyError::Refused(r)) if r.code == "evidence-wrong-device"),
        "{error:?}"
    );

    let opened = self::opened(&world, &machine, "b").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let certify = || by(&machine, World::certify_with(&opened, &token));
    let first = world.certify.run(certify()).await.expect("a certificate");
    let again = world.certify.run(certify()).await.expect("the same");
    assert!(first.is_new && !again.is_new && first.certificate == again.certificate);
    let confirm = Confirm {
        caller: Caller::Machine(machine.clone()),
        enrolment: opened.enrolment.id,
        bearer: opened.bearer.clone(),
        idempotency_key: opened.enrolment.idempotency_key.clone(),
        certificate_sha256: Sha256::digest(first.certificate.der()).into(),
    };
    world.confirm.run(confirm).await.expect("confirmed");
    let rows = world.store.audit_rows();
    for action in [
        "enrolment.opened",
        "certification.refused",
        "certificate.intended",
        "certificate.issued",
        "certificate.confirmed",
    ] {
        let row = rows.iter().find(|row| row.action == action).expect(action);
        assert_eq!(row.actor, "machine:terminals", "{action}");
    }
}

/// Rule 12: for machines an assigned serial binds, and nothing else does.
#[tokio::test]
async fn rule_12_a_machine_binds_by_assigned_serial_only() {
    let world = World::new().await;
    let machine = machine(None);
    world.register("hokkai-02", Role::General, None).await;
    for (id, serial) in [("hokkai-02", 1_000_002), (GENERAL, 1_000_002)] {
        let error = world.opening_fails(vouching(&machine, id, serial, "a")).await;
        assert!(matches!(error, OpenError::NotAssigned), "{id}: {error:?}");
    }
    let code = world.issue_code("hokkai-02").await;
    let mut by_letter = World::asked("hokkai-02", 1_000_002, "letter");
    World::login_of(&mut by_letter).acquisition_code = Some(code);
    let letter = world.open.run(by_letter).await.expect("an enrolment");
    let error = world.opening_fails(vouching(&machine, "hokkai-02", 1_000_002, "letter")).await;
    assert!(matches!(error, OpenError::NotAssigned), "an enrolment that a letter bound: {error:?}");
    let assigned = Some(device(1_000_002));
    world.customers.assign_device(clerk(), &user("hokkai-02"), assigned.as_ref()).await.expect("assigned");
    let taken_up = world.open.run(vouching(&machine, "hokkai-02", 1_000_002, "letter")).await;
    assert_eq!(taken_up.expect("the same enrolment").enrolment.id, letter.enrolment.id);
    assert_eq!(world.signer.certificates_signed(), 0);
}

/// Rules 1, 3, 4 and 14 hold for machines as for everybody.
#[tokio::test]
async fn rules_hold_for_machines() {
    let world = World::new().await;
    let machine = machine(None);
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let error = world.opening_fails(vouching(&machine, GENERAL, SERIAL, "a")).await;
    assert!(matches!(error, OpenError::Policy(Reason::UserSuspended)), "{error:?}");
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("resumed");

    world.clock.set(at("2026-11-24T21:00:00+09:00"));
    let error = world.opening_fails(vouching(&machine, GENERAL, SERIAL, "a")).await;
    assert!(matches!(error, OpenError::Policy(Reason::OutsideHours { .. })), "{error:?}");
    world.clock.set(at("2026-11-25T10:00:00+09:00"));

    world.enrol(GENERAL, SERIAL).await;
    let error = world.opening_fails(vouching(&machine, GENERAL, SERIAL, "a")).await;
    assert!(matches!(error, OpenError::Policy(Reason::AlreadyCertified { .. })), "{error:?}");
    assert!(world.last_row().contains("policy-already-certified"), "{}", world.last_row());
}

#[tokio::test]
async fn a_user_out_of_a_machines_reach_is_like_none() {
    let world = World::new().await;
    let elsewhere = machine(Some(&["7654321"]));
    let mut texts = BTreeSet::new();
    for (id, why) in [
        (GENERAL, "machine-other-contract"),
        ("nobody-00", "no-such-user"),
        ("NOT AN ID\r\n", "no-such-user"),
    ] {
        let error = world.opening_fails(vouching(&elsewhere, id, SERIAL, "a")).await;
        assert!(matches!(error, OpenError::NoSuchUser), "{error:?}");
        assert!(world.last_row().contains(why), "{}", world.last_row());
        texts.insert(error.to_string());
    }
    assert_eq!(texts.len(), 1);

    // Nor does a bearer extend its reach.
    let opened = world.opened(GENERAL, SERIAL, "by-the-user").await;
    let token = world.maker.token(&Statement::of(SERIAL));
    let error = world.certify.run(by(&elsewhere, World::certify_with(&opened, &token))).await;
    assert!(matches!(error, Err(CertifyError::OutOfReach)), "{error:?}");
    assert!(world.last_row().contains("machine-other-contract"));
    let look_up = LookUpEnrolment { customers: world.store.clone(), certificates: world.store.clone() };
    let id = opened.enrolment.id;
    assert!(look_up.run(id, &elsewhere).await.expect("the ledger").is_none());
    let here = machine(Some(&["1234567"]));
    let found = look_up.run(id, &here).await.expect("the ledger").expect("the enrolment");
    assert_eq!(found.stage(), Stage::Challenged);
    world.certify.run(by(&here, World::certify_with(&opened, &token))).await.expect("a certificate");
    let found = look_up.run(id, &here).await.expect("the ledger").expect("the enrolment");
    assert_eq!(found.stage(), Stage::Issued);
    world.revoke_user(GENERAL, RevocationReason::Unspecified).await;
    let found = look_up.run(id, &here).await.expect("the ledger").expect("the enrolment");
    assert_eq!(found.stage(), Stage::Ended);
}

/// Two requests with one key race; the one for another token gets nothing of the first.
#[tokio::test]
async fn an_idempotency_key_serves_one_token_of_a_user() {
    let world = World::new().await;
    let machine = machine(None);
    let first = opened(&world, &machine, "a").await;
    let error = world.opening_fails(vouching(&machine, GENERAL, 1_000_002, "a")).await;
    assert!(matches!(error, OpenError::NotAssigned), "{error:?}");
    let repeat = opened(&world, &machine, "a").await;
    assert_eq!(repeat.bearer.expose_secret(), first.bearer.expose_secret());
}

#[tokio::test]
async fn who_is_not_admitted_leaves_a_row_so_many_a_minute() {
    let world = World::new().await;
    let admit = AdmitMachine {
        audit: world.store.clone(),
        clock: world.clock.clone(),
        budget: Arc::new(ca_core::app::audit_budget::AuditBudget::new(3)),
    };
    let registered = |validity| Presented::Registered { machine: machine(None), validity };
    let before = ValiditySpan { not_after: at("2026-06-01T00:00:00Z"), ..validity() };
    let known = admit.run(&registered(validity()), MachineRole::Registration, "192.0.2.7").await;
    assert_eq!(known.expect("admitted").id.as_str(), "terminals");
    assert_eq!(world.rows("machine.refused"), 0);
    for (presented, role, expected, actor) in [
        (Presented::NoMachine, MachineRole::Status, MachineRefusal::NoMachine, "system"),
        (
            Presented::Unknown { public_key_sha256: [9; 32] },
            MachineRole::Status,
            MachineRefusal::Unknown,
            "system",
        ),
        (registered(before), MachineRole::Registration, MachineRefusal::NotValidNow, "machine:terminals"),
        (
            registered(validity()),
            MachineRole::Status,
            MachineRefusal::Role(MachineRole::Status),
            "machine:terminals",
        ),
    ] {
        let error = admit.run(&presented, role, "192.0.2.7").await;
        assert!(matches!(&error, Err(AdmitError::Refused(found)) if *found == expected), "{error:?}");
        let row = world.last_row();
        assert!(row.contains(expected.code()) && row.contains("192.0.2.7"), "{row}");
        assert_eq!(world.store.audit_rows().last().map(|row| row.actor.clone()).as_deref(), Some(actor));
    }
    let refused = world.rows("machine.refused");
    for _ in 0..10 {
        assert!(admit.run(&Presented::NoMachine, MachineRole::Status, "192.0.2.7").await.is_err());
    }
    assert_eq!(world.rows("machine.refused") - refused, 2, "three a minute, one of them before");
}

#[tokio::test]
async fn relying_parties_hear_what_a_certificate_is_worth() {
    let world = World::new().await;
    let status = CertificateStatus {
        customers: world.store.clone(),
        certificates: world.store.clone(),
        clock: world.clock.clone(),
        issuers: vec![Arc::new(world.authority.issuer.clone())],
    };
    let record = world.enrol(GENERAL, SERIAL).await;
    let der = record.der().expect("a certificate").to_vec();
    let known = status.by_serial(&issuer_id(), &record.serial).await.expect("known");
    assert!(known.is_usable && known.standing == Standing::Active);
    assert_eq!((&known.user.id, &known.record.device), (&user(GENERAL), &device(SERIAL)));
    assert_eq!(status.by_certificate(&der).await.expect("known").record, known.record);

    world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let suspended = status.by_certificate(&der).await.expect("known");
    assert!(!suspended.is_usable && suspended.standing == Standing::Active);
    world.customers.set_state(clerk(), &user(GENERAL), UserState::Active).await.expect("resumed");

    let mut forged = der.clone();
    *forged.last_mut().expect("an octet") ^= 1;
    assert!(matches!(status.by_certificate(&forged).await, Err(StatusError::Unknown)));
    assert!(matches!(status.by_certificate(&der[1..]).await, Err(StatusError::NotACertificate)));
    assert!(matches!(status.by_certificate(&[]).await, Err(StatusError::NotACertificate)));
    let other = SerialNumber::parse("4a").expect("a number");
    assert!(matches!(status.by_serial(&issuer_id(), &other).await, Err(StatusError::Unknown)));

    world.revoke_serial(&record.serial, RevocationReason::KeyCompromise).await;
    let revoked = status.by_certificate(&der).await.expect("known");
    assert!(!revoked.is_usable && matches!(revoked.standing, Standing::Revoked { .. }));
    assert_eq!(world.store.certificates_of(&user(GENERAL)).await.expect("the store").len(), 1);
}
