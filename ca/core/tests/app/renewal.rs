//! 更新: rules 1, 3 and 5, whose word counts, and what becomes of a renewal that is confirmed, isn't, or races.

use std::{collections::BTreeSet, sync::Arc};

use ca_core::{
    app::{
        enrol::{
            applicant::{Caller, Credentials},
            certify::{Certified, Certify, CertifyError},
            confirm::{Confirm, ConfirmError},
            open::{Open, OpenError, Opened},
        },
        lapse_renewals::LapseRenewals,
        login::LoginError,
    },
    domain::{
        certificate::{CertificateRecord, CertificateState},
        enrolment::Binding,
        ids::{MachineId, SerialNumber},
        login::Reason as LoginReason,
        machine::{Machine, MachineRole, ValiditySpan},
        policy::Reason,
        renewal::{RenewalRefusal, lapses_at, renewal_message},
        revocation::RevocationReason,
        standing::{Standing, standing},
        user::{Role, UserState},
    },
    ports::store::{CertificateStore, RevokeOutcome},
    testing::Fault,
};
use jiff::SignedDuration;
use rcgen::{PublicKeyData, SigningKey};
use sha2::{Digest, Sha256};

use crate::{
    device::{Statement, Token, device},
    world::{GENERAL, PASSWORD, World, at, clerk, user},
};

const SERIAL: u32 = 1_000_001;
/// Saturday night in the renewal window of a certificate of 24 November 2026.
const IN_WINDOW: &str = "2027-10-30T23:00:00+09:00";

/// A user with a certificate, on the day on which it is renewed.
struct Renewal {
    world: World,
    old_token: Token,
    old: CertificateRecord,
}

impl Renewal {
    async fn new() -> Self {
        let world = World::new().await;
        let opened = world.opened(GENERAL, SERIAL, "first").await;
        let old_token = world.maker.token(&Statement::of(SERIAL));
        world.certified(&opened, &old_token).await.expect("a certificate");
        let old = world.record(&opened).await;
        world.clock.set(at(IN_WINDOW));
        Self { world, old_token, old }
    }

    fn asked(&self, key: &str) -> Open {
        Open { renews: Some(self.old.serial.clone()), ..World::asked(GENERAL, SERIAL, key) }
    }

    async fn opened(&self, key: &str) -> Opened {
        self.world.open.run(self.asked(key)).await.expect("an enrolment")
    }

    fn new_token(&self) -> Token {
        self.world.maker.token(&Statement { slot: "9c", ..Statement::of(SERIAL) })
    }

    /// What the old key signs.
    fn word(&self, opened: &Opened, new: &Token) -> Vec<u8> {
        let message = renewal_message(&opened.enrolment.challenge, &new.key.subject_public_key_info());
        self.old_token.key.sign(&message).expect("a signature")
    }

    fn certify_with(&self, opened: &Opened, new: &Token) -> Certify {
        let predecessor_signature = Some(self.word(opened, new));
        Certify { predecessor_signature, ..World::certify_with(opened, new) }
    }

    async fn certified(&self, opened: &Opened, new: &Token) -> Result<Certified, CertifyError> {
        self.world.certify.run(self.certify_with(opened, new)).await
    }

    /// A renewal that awaits its confirmation.
    async fn pending(&self, key: &str) -> (Opened, CertificateRecord) {
        let opened = self.opened(key).await;
        self.certified(&opened, &self.new_token()).await.expect("a certificate");
        let record = self.world.record(&opened).await;
        (opened, record)
    }

    async fn confirm(&self, opened: &Opened, record: &CertificateRecord) -> Result<(), ConfirmError> {
        let confirm = Confirm {
            caller: Caller::Agent,
            enrolment: opened.enrolment.id,
            bearer: opened.bearer.clone(),
            idempotency_key: opened.enrolment.idempotency_key.clone(),
            certificate_sha256: Sha256::digest(record.der().expect("a certificate")).into(),
        };
        self.world.confirm.run(confirm).await
    }

    async fn standing_of(&self, record: &CertificateRecord) -> Standing {
        let found = self.world.store.certificate_of_intent(record.intent).await.expect("the store");
        standing(&found.expect("a row"), ca_core::ports::clock::Clock::now(&*self.world.clock))
    }

    fn lapse(&self) -> LapseRenewals {
        LapseRenewals { certificates: self.world.store.clone(), clock: self.world.clock.clone() }
    }

    async fn opening_refused(&self, open: Open) -> RenewalRefusal {
        match self.world.opening_fails(open).await {
            OpenError::Policy(Reason::Renewal(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

/// Rule 1: "The agent's confirmation … activates the renewal and supersedes the old one". Rule 2's year begins anew; rule 3:
/// "Renewal … not bound to hours".
#[tokio::test]
async fn a_renewal_takes_the_place_of_its_predecessor_when_it_is_confirmed() {
    let house = Renewal::new().await;
    let opened = house.opened("renewal").await;
    assert_eq!(
        (opened.enrolment.binding, opened.enrolment.renews),
        (Binding::Renewal, Some(house.old.intent))
    );
    let slots: Vec<String> = opened.slots.iter().map(ToString::to_string).collect();
    assert_eq!(
        slots,
        ["9c", "9a"],
        "the old key may have been moved away from 9a, but first comes what is surely free"
    );
    let token = house.new_token();
    let certified = house.certified(&opened, &token).await.expect("a certificate");
    assert!(certified.is_new);
    let again = house.certified(&opened, &token).await.expect("the same");
    assert!(!again.is_new && again.certificate == certified.certificate);
    let new = house.world.record(&opened).await;
    assert_eq!(new.not_after, at("2028-10-30T23:59:59+09:00"));
    assert_eq!(new.renews, Some(house.old.intent));
    assert_eq!(house.standing_of(&new).await, Standing::Unconfirmed);
    assert_eq!(house.standing_of(&house.old).await, Standing::Active);
    let old_der = house.old.der().expect("a certificate");
    house.world.logged_in(old_der, PASSWORD).await.expect("the old one works until then");

    house.confirm(&opened, &new).await.expect("confirmed");
    house.confirm(&opened, &new).await.expect("once more");
    assert_eq!(house.standing_of(&new).await, Standing::Active);
    let superseded = Standing::Superseded { at: at(IN_WINDOW) };
    assert_eq!(house.standing_of(&house.old).await, superseded);
    let refused = house.world.logged_in(old_der, PASSWORD).await;
    assert!(matches!(refused, Err(LoginError::Certificate(LoginReason::Superseded))), "{refused:?}");
    house.world.logged_in(new.der().expect("a certificate"), PASSWORD).await.expect("the new one works");
    assert_eq!((house.world.rows("certificate.renewed"), house.world.rows("certificate.confirmed")), (1, 0));
    let crl = house.world.publish.run().await.expect("a CRL").expect("a new one");
    assert_eq!(crl.entries, 1);
    let lapsed = house.lapse().run().await.expect("the ledger");
    assert_eq!(lapsed, 0);
}

/// Rule 1: "or the first login with it".
#[tokio::test]
async fn the_first_login_with_a_renewal_confirms_it() {
    let house = Renewal::new().await;
    let (opened, new) = house.pending("renewal").await;
    house.world.logged_in(new.der().expect("a certificate"), PASSWORD).await.expect("a session");
    let old = house.standing_of(&house.old).await;
    assert_eq!((house.standing_of(&new).await, old.as_str()), (Standing::Active, "superseded"));
    house.confirm(&opened, &new).await.expect("the agent comes later");
    let told = house.world.last_row();
    assert!(
        told.contains("login.admitted") && told.contains(&format!("supersedes={}", house.old.serial)),
        "{told}"
    );
}

/// Rule 1: "unconfirmed after 72 hours it is revoked and the old one stays."
#[tokio::test]
async fn an_unconfirmed_renewal_lapses_after_72_hours() {
    let house = Renewal::new().await;
    let (opened, new) = house.pending("renewal").await;
    let lapses_at = lapses_at(&new);
    assert_eq!(lapses_at, at("2027-11-02T23:00:00+09:00"));
    house.world.clock.set(lapses_at);
    assert_eq!(house.lapse().run().await.expect("the ledger"), 0, "the 72 hours are not over yet");
    let reopened = house.opened("renewal").await;
    assert!(reopened.certified.is_some(), "it can still be written and confirmed");
    house.world.clock.advance(SignedDuration::from_secs(1));
    // The job hasn't run yet.
    let late = house.confirm(&reopened, &new).await;
    assert!(matches!(late, Err(ConfirmError::NothingToConfirm)), "{late:?}");
    let late = house.world.logged_in(new.der().expect("a certificate"), PASSWORD).await;
    assert!(matches!(late, Err(LoginError::Certificate(LoginReason::Revoked))), "{late:?}");
    let ended = house.world.opening_fails(house.asked("renewal")).await;
    assert!(matches!(ended, OpenError::Ended), "{ended:?}");
    assert_eq!(house.standing_of(&house.old).await, Standing::Active);

    assert_eq!(house.lapse().run().await.expect("the ledger"), 1);
    assert_eq!(house.lapse().run().await.expect("the ledger"), 0, "once");
    assert_eq!(house.standing_of(&new).await.as_str(), "revoked");
    assert_eq!(house.standing_of(&house.old).await, Standing::Active);
    let late = house.confirm(&reopened, &new).await;
    assert!(matches!(late, Err(ConfirmError::NothingToConfirm)), "{late:?}");
    let ended = house.world.opening_fails(house.asked("renewal")).await;
    assert!(matches!(ended, OpenError::Ended), "{ended:?}");
    drop(opened);
    let (opened, second) = house.pending("another").await;
    house.confirm(&opened, &second).await.expect("there is time for another");
}

/// Rule 5: "更新 opens 40 days before expiry and stays open to notAfter. After that: rule 4."
#[tokio::test]
async fn rule_5_there_is_a_time_to_renew() {
    let house = Renewal::new().await;
    house.world.clock.set(at("2027-10-14T23:59:59+09:00"));
    let opens_at = at("2027-10-15T00:00:00+09:00");
    assert_eq!(house.opening_refused(house.asked("early")).await, RenewalRefusal::NotYet { opens_at });
    house.world.clock.set(opens_at);
    house.opened("early").await;
    house.world.clock.set(at("2027-11-24T23:59:59+09:00"));
    let opened = house.opened("late").await;
    house.world.clock.advance(SignedDuration::from_secs(1));
    let refused = house.certified(&opened, &house.new_token()).await;
    assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "renewal-expired"), "{refused:?}");
    let serial = house.old.serial.clone();
    assert_eq!(house.opening_refused(house.asked("later")).await, RenewalRefusal::Expired { serial });
}

/// The old key's word is for one new key in one enrolment, and nothing takes its place.
#[tokio::test]
async fn without_the_old_key_there_is_no_renewal() {
    let house = Renewal::new().await;
    let other = house.world.maker.token(&Statement::of(SERIAL));
    for (key, code, signature) in [
        ("missing", "predecessor-signature-missing", None),
        ("empty", "predecessor-signature-wrong", Some(Vec::new())),
        ("others", "predecessor-signature-wrong", Some(other.answer(&[0; 32]))),
    ] {
        let (opened, token) = (house.opened(key).await, house.new_token());
        let certify = Certify { predecessor_signature: signature, ..World::certify_with(&opened, &token) };
        let refused = house.world.certify.run(certify).await;
        assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code == code), "{key}: {refused:?}");
    }
    // Over another key, and over another challenge.
    let (opened, token) = (house.opened("a").await, house.new_token());
    let swapped = Certify {
        predecessor_signature: Some(house.word(&opened, &house.new_token())),
        ..World::certify_with(&opened, &token)
    };
    let refused = house.world.certify.run(swapped).await;
    assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "predecessor-signature-wrong"));
    let (first, second) = (house.opened("b").await, house.opened("c").await);
    let replayed = Certify {
        predecessor_signature: Some(house.word(&first, &token)),
        ..World::certify_with(&second, &token)
    };
    let refused = house.world.certify.run(replayed).await;
    assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "predecessor-signature-wrong"));
    // The evidence of the new key counts as it always does.
    let opened = house.opened("d").await;
    let elsewhere = house.world.maker.token(&Statement { slot: "9c", ..Statement::of(1_000_009) });
    let refused = house.certified(&opened, &elsewhere).await;
    assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "evidence-wrong-device"));
    let opened = house.opened("e").await;
    let without_pin =
        house.world.maker.token(&Statement { slot: "9c", pin_policy: 1, ..Statement::of(SERIAL) });
    let refused = house.certified(&opened, &without_pin).await;
    assert!(matches!(&refused, Err(CertifyError::Refused(r)) if r.code.starts_with("evidence-pin-policy")));
    // A new certificate asks for no old key's word.
    house.world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    house.world.clock.set(at("2027-11-01T10:00:00+09:00"));
    let opened = house.world.opened("hokkai-02", 1_000_002, "new").await;
    let token = house.world.maker.token(&Statement::of(1_000_002));
    let refused = house.certified(&opened, &token).await;
    assert!(
        matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "predecessor-signature-not-asked"),
        "{refused:?}"
    );
    assert_eq!(house.world.signer.certificates_signed(), 1, "the first one");
}

/// On firmware that moves no keys, a new key that claims the old one's slot is a lie: the old one has just signed.
#[tokio::test]
async fn the_new_key_is_in_another_slot() {
    let house = Renewal::new().await;
    let opened = house.opened("moved").await;
    let moved = house.world.maker.token(&Statement::of(SERIAL));
    house.certified(&opened, &moved).await.expect("firmware 5.7 may have moved the old key away");
}

/// Rule 12 and rule 13: who names no certificate of the user's on this token learns nothing.
#[tokio::test]
async fn whose_certificate_it_is_is_not_to_be_found_out() {
    let house = Renewal::new().await;
    house.world.register("hokkai-02", Role::General, Some(1_000_002)).await;
    let serial = house.old.serial.clone();
    let stranger = Open { renews: Some(serial.clone()), ..World::asked("hokkai-02", 1_000_002, "a") };
    let error = house.world.opening_fails(stranger).await;
    assert!(matches!(error, OpenError::Authentication), "another user's: {error:?}");
    let elsewhere = Open { renews: Some(serial), ..World::asked(GENERAL, 1_000_002, "b") };
    let error = house.world.opening_fails(elsewhere).await;
    assert!(matches!(error, OpenError::Authentication), "on another token: {error:?}");
    let mut guessed = house.asked("c");
    World::login_of(&mut guessed).password = "wrong".to_owned().into();
    let error = house.world.opening_fails(guessed).await;
    assert!(matches!(error, OpenError::Authentication), "a wrong password: {error:?}");
    // The branch gave the user another token: the old one is not renewed any more.
    house
        .world
        .customers
        .assign_device(clerk(), &user(GENERAL), Some(&device(1_000_003)))
        .await
        .expect("assigned");
    let error = house.world.opening_fails(house.asked("d")).await;
    assert!(matches!(error, OpenError::Authentication), "reassigned: {error:?}");
}

/// Rule 1: "at most one *unconfirmed renewal*".
#[tokio::test]
async fn a_second_renewal_waits_for_the_first() {
    let house = Renewal::new().await;
    let (first, second) = (house.opened("first-renewal").await, house.opened("second-renewal").await);
    house.certified(&first, &house.new_token()).await.expect("a certificate");
    let pending = house.world.record(&first).await;
    let refused = house.certified(&second, &house.new_token()).await;
    let lapses_at = lapses_at(&pending);
    let expected = RenewalRefusal::Pending { serial: pending.serial.clone(), lapses_at };
    assert!(
        matches!(&refused, Err(CertifyError::Policy(Reason::Renewal(r))) if *r == expected),
        "{refused:?}"
    );
    assert_eq!(house.opening_refused(house.asked("third")).await, expected);
    // Two at once, neither of which saw the other: the ledger lets one through.
    house.world.clock.set(lapses_at + SignedDuration::from_secs(1));
    house.lapse().run().await.expect("the ledger");
    let (one, other) = (house.opened("one").await, house.opened("other").await);
    let stale = house.world.store.applicant(&user(GENERAL)).await.expect("the store").expect("the user");
    house.certified(&one, &house.new_token()).await.expect("a certificate");
    house.world.store.read_applicant_as(stale);
    let refused = house.certified(&other, &house.new_token()).await;
    assert!(matches!(refused, Err(CertifyError::Failure(_))), "told to try again: {refused:?}");
    let refused = house.certified(&other, &house.new_token()).await;
    assert!(matches!(refused, Err(CertifyError::Policy(Reason::Renewal(RenewalRefusal::Pending { .. })))));
}

/// 失効 leaves nothing that works.
#[tokio::test]
async fn a_renewal_falls_with_its_predecessor_and_its_user() {
    let house = Renewal::new().await;
    let (opened, new) = house.pending("renewal").await;
    let outcome = house.world.revoke_serial(&house.old.serial, RevocationReason::KeyCompromise).await;
    assert!(matches!(outcome, RevokeOutcome::Revoked(_)));
    for record in [&house.old, &new] {
        let expected = Standing::Revoked { at: at(IN_WINDOW), reason: RevocationReason::KeyCompromise };
        assert_eq!(house.standing_of(record).await, expected);
    }
    let late = house.confirm(&opened, &new).await;
    assert!(matches!(late, Err(ConfirmError::NothingToConfirm)));
    let refused = house.world.opening_fails(house.asked("again")).await;
    assert!(matches!(refused, OpenError::Policy(Reason::Renewal(RenewalRefusal::NotValid))), "{refused:?}");

    let house = Renewal::new().await;
    let (_, new) = house.pending("renewal").await;
    let outcome = house.world.revoke.by_user(clerk(), &user(GENERAL), RevocationReason::Unspecified).await;
    assert_eq!(outcome.expect("the ledger").expect("revoked").len(), 2);
    assert_eq!(house.standing_of(&new).await.as_str(), "revoked");

    // A stopped account confirms nothing by a login, and renews nothing.
    let house = Renewal::new().await;
    let (_, new) = house.pending("renewal").await;
    house.world.customers.set_state(clerk(), &user(GENERAL), UserState::Suspended).await.expect("suspended");
    let refused = house.world.logged_in(new.der().expect("a certificate"), PASSWORD).await;
    assert!(matches!(refused, Err(LoginError::Refused)));
    assert_eq!(house.standing_of(&new).await, Standing::Unconfirmed);
}

/// A renewal is as crash-safe as an issuance: what was intended is carried on, what was signed is found again.
#[tokio::test]
async fn a_renewal_survives_faults_at_each_commit() {
    for fault in [Fault::Before, Fault::After] {
        for method in ["record_intent", "record_issued", "confirm"] {
            let house = Renewal::new().await;
            let (opened, token) = (house.opened("renewal").await, house.new_token());
            house.world.store.faults().order(method, fault);
            let _ = house.certified(&opened, &token).await;
            let certified = house.certified(&opened, &token).await.expect("the same again");
            let new = house.world.record(&opened).await;
            assert_eq!(new.der(), Some(certified.certificate.der()));
            let _ = house.confirm(&opened, &new).await;
            house.confirm(&opened, &new).await.expect("confirmed");
            assert_eq!(house.world.signer.certificates_signed(), 2, "{method}: one of each");
            assert_eq!(house.standing_of(&new).await, Standing::Active);
            assert_eq!(house.standing_of(&house.old).await.as_str(), "superseded");
        }
    }
}

/// The confirmation and the end of the 72 hours at the same moment: whichever is first counts, and the user has one
/// certificate that works.
#[tokio::test]
async fn a_confirmation_races_the_lapse() {
    let house = Renewal::new().await;
    let (_, new) = house.pending("renewal").await;
    house.world.clock.set(lapses_at(&new));
    let opened = house.opened("renewal").await;
    let (lapsing, certificates) = (house.lapse(), house.world.store.clone());
    let due = certificates.unconfirmed_renewals(lapses_at(&new) + SignedDuration::from_secs(1), 10);
    assert_eq!(due.await.expect("the store").len(), 1, "the job of a node whose clock is ahead has read it");
    house.confirm(&opened, &new).await.expect("confirmed");
    house.world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(lapsing.run().await.expect("the ledger"), 0);
    assert_eq!(house.standing_of(&new).await, Standing::Active);
    assert!(matches!(house.world.record(&opened).await.state, CertificateState::Issued { .. }));
}

/// A registered machine's word stands for the password, and for nothing else; the token needn't be assigned any more.
#[tokio::test]
async fn a_machine_renews_by_the_same_way() {
    let house = Renewal::new().await;
    house.world.customers.assign_device(clerk(), &user(GENERAL), None).await.expect("taken away");
    let machine = Arc::new(Machine {
        id: MachineId::parse("terminals").expect("a name"),
        public_key_sha256: [7; 32],
        registered: ValiditySpan {
            not_before: at("2026-01-01T00:00:00Z"),
            not_after: at("2030-01-01T00:00:00Z"),
        },
        roles: BTreeSet::from([MachineRole::Registration]),
        contracts: None,
    });
    let vouching =
        |key: &str| Open { credentials: Credentials::Machine(machine.clone()), ..house.asked(key) };
    let unknown = Open { renews: SerialNumber::from_bytes(&[0x4a]).ok(), ..vouching("unknown") };
    assert_eq!(house.opening_refused(unknown).await, RenewalRefusal::NotValid);
    let opened = house.world.open.run(vouching("renewal")).await.expect("an enrolment");
    let again = house.world.open.run(vouching("renewal")).await.expect("the same");
    assert!(!again.is_new && again.enrolment.id == opened.enrolment.id);
    let token = house.new_token();
    let by_machine = |certify: Certify| Certify { caller: Caller::Machine(machine.clone()), ..certify };
    let without = by_machine(World::certify_with(&opened, &token));
    let refused = house.world.certify.run(without).await;
    assert!(
        matches!(&refused, Err(CertifyError::Refused(r)) if r.code == "predecessor-signature-missing"),
        "{refused:?}"
    );
    let opened = house.world.open.run(vouching("another")).await.expect("an enrolment");
    let certify = by_machine(house.certify_with(&opened, &token));
    house.world.certify.run(certify).await.expect("a certificate");
    let new = house.world.record(&opened).await;
    let confirm = Confirm {
        caller: Caller::Machine(machine.clone()),
        enrolment: opened.enrolment.id,
        bearer: opened.bearer.clone(),
        idempotency_key: opened.enrolment.idempotency_key.clone(),
        certificate_sha256: Sha256::digest(new.der().expect("a certificate")).into(),
    };
    house.world.confirm.run(confirm).await.expect("confirmed");
    assert_eq!(house.standing_of(&new).await, Standing::Active);
    assert_eq!(house.standing_of(&house.old).await.as_str(), "superseded");
}

/// An idempotency key belongs to one renewal of one certificate.
#[tokio::test]
async fn a_key_of_another_enrolment_renews_nothing() {
    let house = Renewal::new().await;
    house.opened("renewal").await;
    let as_first = World::asked(GENERAL, SERIAL, "renewal");
    let error = house.world.opening_fails(as_first).await;
    assert!(matches!(error, OpenError::IdempotencyKey), "{error:?}");
    let first = Open { renews: Some(house.old.serial.clone()), ..World::asked(GENERAL, SERIAL, "first") };
    let error = house.world.opening_fails(first).await;
    assert!(matches!(error, OpenError::IdempotencyKey), "{error:?}");
}
