//! TPMs: opened with two keys, certified by what only that TPM can know; each lie by itself; and devices of which nothing
//! is proven.

use ca_core::{
    app::{
        enrol::{
            applicant::{Credentials, PasswordCredentials},
            certify::{Certify, CertifyError},
            open::{Open, OpenError, Opened},
            refusal::RefusalKind,
            tpm::TpmKeys,
        },
        inventory::{KnownTokens, Line},
        manage_policies::ManagePolicies,
    },
    domain::{
        attestation::{
            Evidence,
            tpm::{Attributes, TpmEvidence, serial},
        },
        certificate::CertificateState,
        device::{Assurance, Device, DeviceKind},
        ids::{PolicyName, TokenSerial},
        policy::{DevicePolicy, ListedToken, PolicyRules, TokenState},
        renewal::renewal_message,
    },
    ports::store::CertificateStore,
    testing::tpm::{Area, Attestation, SoftTpm},
};
use der::Decode;
use jiff::SignedDuration;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::{
    device::Token,
    pki::POLICIES,
    world::{GENERAL, PASSWORD, World, clerk, contract, key, user},
};

/// A bank that takes TPMs which are assigned to their users, and tokens of which nothing is proven.
async fn bank(accepted: &[DeviceKind], lowest_assurance: Assurance) -> World {
    let world = World::new().await;
    let manage = ManagePolicies {
        policies: world.store.clone(),
        customers: world.store.clone(),
        audit: world.store.clone(),
        clock: world.clock.clone(),
        form: world.form.clone(),
    };
    let devices = DevicePolicy { kinds: accepted.to_vec(), lowest_assurance, ..DevicePolicy::default() };
    let rules = PolicyRules { devices, ..PolicyRules::default() };
    let text = world.form.write("tpm", 1, rules);
    manage.set(clerk(), &text, "a test").await.expect("set");
    let name = PolicyName::parse("tpm").expect("a policy name");
    manage.assign(clerk(), &contract(), Some(&name), "a test").await.expect("assigned");
    world.clock.advance(SignedDuration::from_secs(1));
    world
}

/// A user whose TPM is assigned to them.
struct Owner {
    world: World,
    tpm: SoftTpm,
    device: Device,
}

impl Owner {
    async fn new() -> Self {
        let world = bank(&[DeviceKind::Tpm], Assurance::Attested).await;
        let tpm = SoftTpm::new();
        let device = device_of(&tpm);
        let listed = ListedToken { device: device.clone(), model: None };
        let line = Line { number: 1, token: listed };
        let inventory = world.inventory();
        inventory.import(clerk(), "a list", vec![line], KnownTokens::Refuse).await.expect("registered");
        world.customers.assign_device(clerk(), &user(GENERAL), Some(&device)).await.expect("a TPM");
        Self { world, tpm, device }
    }

    fn asked(&self, idempotency_key: &str) -> Open {
        asked(&self.device, Some(keys(&self.tpm)), idempotency_key)
    }

    async fn opened(&self, idempotency_key: &str) -> Opened {
        self.world.open.run(self.asked(idempotency_key)).await.expect("an enrolment")
    }

    /// What the TPM gets out of the answer.
    fn activated(&self, opened: &Opened) -> [u8; 32] {
        let credential = opened.tpm_credential.as_ref().expect("a credential");
        let challenge = self.tpm.activate(credential, &self.tpm.ak_name()).expect("activated");
        challenge.try_into().expect("32 octets")
    }

    fn honest(&self, opened: &Opened) -> (Token, [u8; 32]) {
        let (key, challenge) = (KeyPair::generate().expect("a key"), self.activated(opened));
        let evidence = Evidence::Tpm(self.tpm.evidence(&spki(&key), &challenge));
        (Token { key, evidence }, challenge)
    }

    /// Nothing was signed, and the user has nothing.
    async fn nothing_happened(&self) {
        assert_eq!(self.world.signer.certificates_signed(), 0);
        assert!(self.world.store.certificates_of(&user(GENERAL)).await.expect("the store").is_empty());
    }
}

fn device_of(tpm: &SoftTpm) -> Device {
    Device { kind: DeviceKind::Tpm, serial: serial(&tpm.ek()).expect("a serial") }
}

fn keys(tpm: &SoftTpm) -> TpmKeys {
    TpmKeys {
        ek_public: Area::of_ek(&tpm.ek()).octets(),
        ak_public: Area::of_ak(&tpm.ak()).octets(),
        ..TpmKeys::default()
    }
}

fn asked(device: &Device, tpm: Option<TpmKeys>, idempotency_key: &str) -> Open {
    let login = PasswordCredentials {
        password: PASSWORD.to_owned().into(),
        acquisition_code: None,
        source: "192.0.2.1".to_owned(),
    };
    Open {
        user_id: GENERAL.to_owned(),
        credentials: Credentials::Password(login),
        device: device.clone(),
        tpm,
        renews: None,
        firmware: None,
        idempotency_key: key(idempotency_key),
    }
}

fn spki(key: &KeyPair) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned::from_der(&key.subject_public_key_info()).expect("an SPKI")
}

fn tpm_evidence(token: &Token) -> TpmEvidence {
    match &token.evidence {
        Evidence::Tpm(evidence) => evidence.clone(),
        other => panic!("{other:?}"),
    }
}

fn with_challenge(opened: &Opened, token: &Token, challenge: &[u8; 32]) -> Certify {
    Certify { challenge_signature: token.answer(challenge), ..World::certify_with(opened, token) }
}

#[tokio::test]
async fn a_tpms_key_gets_a_certificate_that_says_what_was_proven() {
    let owner = Owner::new().await;
    let opened = owner.opened("a").await;
    let (token, challenge) = owner.honest(&opened);
    assert_eq!(challenge, opened.enrolment.challenge, "what was wrapped is what is asked for");
    let certified = owner.world.certify.run(with_challenge(&opened, &token, &challenge)).await;
    let certified = certified.expect("a certificate");

    let record = owner.world.record(&opened).await;
    assert_eq!((&record.device, record.assurance), (&owner.device, Assurance::Attested));
    let evidence = owner.world.store.evidence(record.intent).await.expect("the store").expect("evidence");
    assert_eq!((evidence.format.as_str(), evidence.verdict.as_str()), ("tpm", "accepted"));
    assert!(evidence.decoded.contains("voucher=inventory"), "{}", evidence.decoded);
    let again = Evidence::from_parts(&evidence.format, &evidence.parts);
    assert_eq!(again, Some(token.evidence.clone()), "what is kept can be judged again");

    let oid = der::Encode::to_der(&POLICIES.attested).expect("DER");
    let der = certified.certificate.der();
    let holds = |octets: &[u8]| der.windows(octets.len()).any(|window| window == octets);
    assert!(holds(&oid), "attested, and no more");
    assert!(!holds(&der::Encode::to_der(&POLICIES.attested_with_pin).expect("DER")));
    // hwType tcg-sv-tpm20, and the endorsement key's hash as its serial.
    assert!(holds(&[0x06, 0x05, 0x67, 0x81, 0x05, 0x01, 0x02]));
    assert!(holds(owner.device.serial.as_str().as_bytes()));
    owner.world.audit.run().await.expect("a whole chain");
}

/// 更新 on a TPM: the old key signs the activated challenge and the new key, which the same TPM made.
#[tokio::test]
async fn a_tpms_certificate_is_renewed_by_another_key_of_the_same_tpm() {
    let owner = Owner::new().await;
    let opened = owner.opened("a").await;
    let (old_token, challenge) = owner.honest(&opened);
    owner.world.certify.run(with_challenge(&opened, &old_token, &challenge)).await.expect("a certificate");
    let old = owner.world.record(&opened).await;
    owner.world.clock.set("2027-11-01T03:00:00+09:00".parse().expect("a time"));
    let renewal = |key: &str| Open { renews: Some(old.serial.clone()), ..owner.asked(key) };
    let opened = owner.world.open.run(renewal("b")).await.expect("an enrolment");
    let (new_token, challenge) = owner.honest(&opened);
    let message = renewal_message(&challenge, &new_token.key.subject_public_key_info());
    let word = old_token.key.sign(&message).expect("a signature");
    let certify = |signature: Option<Vec<u8>>| Certify {
        predecessor_signature: signature,
        ..with_challenge(&opened, &new_token, &challenge)
    };
    owner.world.certify.run(certify(Some(word))).await.expect("a certificate");
    let new = owner.world.record(&opened).await;
    assert_eq!((new.renews, &new.device), (Some(old.intent), &owner.device));
    owner.world.logged_in(new.der().expect("a certificate"), PASSWORD).await.expect("confirmed by the login");
    let serials = owner.world.store.certificates_of(&user(GENERAL)).await.expect("the store");
    let standing = serials.iter().filter(|r| matches!(r.state, CertificateState::Issued { .. })).count();
    assert_eq!((serials.len(), standing), (2, 1));
}

/// Without the TPM there is no challenge, so whoever has only keys, certificates and an old attestation gets nowhere.
#[tokio::test]
async fn the_challenge_is_for_the_tpm_alone_and_for_one_enrolment() {
    let owner = Owner::new().await;
    let opened = owner.opened("a").await;
    let credential = opened.tpm_credential.clone().expect("a credential");
    assert_eq!(SoftTpm::new().activate(&credential, &owner.tpm.ak_name()), None, "another TPM");

    let repeated = owner.opened("a").await;
    assert!(!repeated.is_new);
    assert_ne!(repeated.tpm_credential, Some(credential), "wrapped anew");
    assert_eq!(owner.activated(&repeated), owner.activated(&opened), "the same challenge");

    let second = owner.opened("b").await;
    let (token, old) = owner.honest(&opened);
    let error = owner.world.certify.run(with_challenge(&second, &token, &old)).await.expect_err("replayed");
    assert!(
        matches!(&error, CertifyError::Refused(r) if r.code == "evidence-certify-qualifying-data"),
        "{error:?}"
    );

    owner.world.clock.advance(SignedDuration::from_mins(16));
    let late = owner.world.certify.run(with_challenge(&opened, &token, &old)).await.expect_err("expired");
    assert!(matches!(late, CertifyError::ChallengeExpired), "{late:?}");
    assert!(owner.world.last_row().contains("why=challenge-expired"), "{}", owner.world.last_row());
    let renewed = owner.opened("a").await;
    assert_ne!(owner.activated(&renewed), old, "a new one");
    owner.nothing_happened().await;
    let (token, fresh) = owner.honest(&renewed);
    owner.world.certify.run(with_challenge(&renewed, &token, &fresh)).await.expect("a certificate");
}

/// Each lie in the second step: the exact refusal, an audit row, the evidence kept, no signature, nothing changed.
#[tokio::test]
async fn refused_evidence_is_final_kept_and_never_signed() {
    type Bend = fn(&Owner, &KeyPair, &[u8; 32], TpmEvidence) -> TpmEvidence;
    let cases: [(&str, RefusalKind, Bend); 9] = [
        ("evidence-key-attributes", RefusalKind::Evidence, |o, key, challenge, _| {
            bent(o, key, challenge, |area| area.toggling(Attributes::FIXED_TPM))
        }),
        ("evidence-key-policy", RefusalKind::Evidence, |o, key, challenge, _| {
            bent(o, key, challenge, |area| Area { policy: vec![1; 32], ..area })
        }),
        ("evidence-certify-name", RefusalKind::Evidence, |o, key, challenge, honest| TpmEvidence {
            key_public: honest.key_public,
            ..bent(o, key, challenge, |area| area.toggling(Attributes::SENSITIVE_DATA_ORIGIN))
        }),
        ("evidence-ak-name", RefusalKind::Evidence, |_, key, challenge, honest| {
            let other = SoftTpm::new().evidence(&spki(key), challenge);
            TpmEvidence { ek_public: honest.ek_public, ..other }
        }),
        ("evidence-wrong-device", RefusalKind::WrongDevice, |_, _, _, honest| TpmEvidence {
            ek_public: Area::of_ek(&SoftTpm::new().ek()).octets(),
            ..honest
        }),
        ("evidence-certify-signature", RefusalKind::Evidence, |_, _, _, honest| TpmEvidence {
            certify_signature: SoftTpm::new().sign(&honest.certify_info),
            ..honest
        }),
        ("evidence-key-mismatch", RefusalKind::Evidence, |o, _, challenge, _| {
            o.tpm.evidence(&spki(&KeyPair::generate().expect("a key")), challenge)
        }),
        ("evidence-tpm-malformed", RefusalKind::Evidence, |_, _, _, honest| TpmEvidence {
            key_public: honest.key_public[..20].to_vec(),
            ..honest
        }),
        ("evidence-malformed", RefusalKind::Evidence, |_, _, _, honest| TpmEvidence {
            ek_certificate: Some(b"no certificate".to_vec()),
            ..honest
        }),
    ];
    for (code, kind, bend) in cases {
        let owner = Owner::new().await;
        let opened = owner.opened("a").await;
        let (honest, challenge) = owner.honest(&opened);
        let evidence = bend(&owner, &honest.key, &challenge, tpm_evidence(&honest));
        let lying = Token { key: honest.key, evidence: Evidence::Tpm(evidence) };
        let certify = with_challenge(&opened, &lying, &challenge);
        let error = owner.world.certify.run(certify).await.expect_err(code);
        let CertifyError::Refused(refusal) = &error else { panic!("{code}: {error:?}") };
        assert_eq!((refusal.code.as_str(), refusal.kind()), (code, kind));
        assert!(owner.world.last_row().contains(&format!("why={code}")), "{}", owner.world.last_row());
        let kept = owner.world.store.evidence(opened.enrolment.id).await.expect("the store");
        assert_eq!(kept.expect("evidence").verdict, code);
        owner.nothing_happened().await;

        let fresh = owner.opened("b").await;
        let (honest, challenge) = owner.honest(&fresh);
        let certify = with_challenge(&fresh, &honest, &challenge);
        owner.world.certify.run(certify).await.expect("a new enrolment begins anew");
        owner.world.audit.run().await.expect("a whole chain");
    }
}

fn bent(owner: &Owner, key: &KeyPair, challenge: &[u8; 32], bend: impl FnOnce(Area) -> Area) -> TpmEvidence {
    let area = bend(Area::of_user(&spki(key))).octets();
    let data = ca_core::domain::attestation::tpm::qualifying_data(challenge, &key.subject_public_key_info());
    owner.tpm.evidence_with(area, |area| Attestation::of(area, &data))
}

/// A TPM without its maker's certificate is the bank's by its registration; that a master assigned it is no proof.
#[tokio::test]
async fn a_tpm_that_is_only_assigned_is_not_vouched_for() {
    let owner = Owner::new().await;
    let opened = owner.opened("a").await;
    let (token, challenge) = owner.honest(&opened);
    let inventory = owner.world.inventory();
    inventory.put(&clerk(), &owner.device, &TokenState::Returned, None).await.expect("returned");
    let certify = with_challenge(&opened, &token, &challenge);
    let error = owner.world.certify.run(certify).await.expect_err("it was taken away");
    assert!(matches!(error, CertifyError::Policy(_)), "{error:?}");

    let stranger = SoftTpm::new();
    let device = device_of(&stranger);
    owner.world.customers.assign_device(clerk(), &user(GENERAL), Some(&device)).await.expect("assigned");
    let owner = Owner { tpm: stranger, device, ..owner };
    let error = owner.world.opening_fails(owner.asked("b")).await;
    assert!(
        matches!(&error, OpenError::Refused(refusal) if refusal.code == "evidence-ek-unknown"),
        "{error:?}"
    );
    owner.nothing_happened().await;
}

/// The first step: a TPM comes with the keys of the claimed device, and no other device with any.
#[tokio::test]
async fn a_tpm_is_opened_with_its_own_keys() {
    let owner = Owner::new().await;
    let other = SoftTpm::new();
    let (mine, theirs) = (keys(&owner.tpm), keys(&other));
    let unrestricted = Area::of_ak(&owner.tpm.ak()).toggling(Attributes::RESTRICTED).octets();
    let cases = [
        ("evidence-tpm-keys", RefusalKind::Evidence, None),
        ("evidence-wrong-device", RefusalKind::WrongDevice, Some(theirs.clone())),
        (
            "evidence-tpm-unsupported",
            RefusalKind::Evidence,
            Some(TpmKeys { ek_public: vec![0; 10], ..mine.clone() }),
        ),
        (
            "evidence-tpm-malformed",
            RefusalKind::Evidence,
            Some(TpmKeys { ak_public: vec![0; 9000], ..mine.clone() }),
        ),
        (
            "evidence-ak-attributes",
            RefusalKind::Evidence,
            Some(TpmKeys { ak_public: unrestricted, ..mine.clone() }),
        ),
        (
            "evidence-ek-template",
            RefusalKind::Evidence,
            Some(TpmKeys { ek_public: mine.ak_public.clone(), ..mine.clone() }),
        ),
        // What its maker says of it is judged before a key is made, though the bank knows it as well.
        (
            "evidence-malformed",
            RefusalKind::Evidence,
            Some(TpmKeys { ek_certificate: Some(vec![0x30, 0x80]), ..mine.clone() }),
        ),
        (
            "evidence-too-large",
            RefusalKind::Evidence,
            Some(TpmKeys { ak_certificates: vec![vec![0x30; 5000]], ..mine.clone() }),
        ),
    ];
    for (code, kind, keys) in cases {
        let error = owner.world.opening_fails(asked(&owner.device, keys, "a")).await;
        let OpenError::Refused(refusal) = &error else { panic!("{code}: {error:?}") };
        assert_eq!((refusal.code.as_str(), refusal.kind()), (code, kind));
        assert!(owner.world.last_row().contains(&format!("why={code}")), "{}", owner.world.last_row());
    }

    let opened = owner.opened("a").await;
    assert!(opened.is_new, "none of those opened anything");
    let mixed = TpmKeys { ak_public: theirs.ak_public, ..mine };
    let error = owner.world.opening_fails(asked(&owner.device, Some(mixed), "a")).await;
    assert!(matches!(error, OpenError::IdempotencyKey), "another attestation key: {error:?}");
    owner.nothing_happened().await;
}

/// The endorsement key of one machine with the attestation key of another: nobody can open what is wrapped for both.
#[tokio::test]
async fn two_machines_are_no_tpm() {
    let owner = Owner::new().await;
    let other = SoftTpm::new();
    let mixed = TpmKeys { ak_public: keys(&other).ak_public, ..keys(&owner.tpm) };
    let opened = owner.world.open.run(asked(&owner.device, Some(mixed), "a")).await.expect("opened");
    let credential = opened.tpm_credential.as_ref().expect("a credential");
    assert_eq!(
        owner.tpm.activate(credential, &owner.tpm.ak_name()),
        None,
        "it holds another attestation key"
    );
    assert_eq!(other.activate(credential, &other.ak_name()), None, "it holds another endorsement key");

    let guessed = [0; 32];
    let key = KeyPair::generate().expect("a key");
    let evidence =
        TpmEvidence { ek_public: keys(&owner.tpm).ek_public, ..other.evidence(&spki(&key), &guessed) };
    let token = Token { key, evidence: Evidence::Tpm(evidence) };
    let error =
        owner.world.certify.run(with_challenge(&opened, &token, &guessed)).await.expect_err("a guess");
    assert!(
        matches!(&error, CertifyError::Refused(r) if r.code == "evidence-certify-qualifying-data"),
        "{error:?}"
    );
    owner.nothing_happened().await;
}

/// What is only asserted goes the same way, and says so in the certificate; and only where the policy takes it.
#[tokio::test]
async fn asserted_keys_are_for_the_policy_and_never_equal_to_attested_ones() {
    let card = Device { kind: DeviceKind::Piv, serial: TokenSerial::parse("5001").expect("a serial") };
    let asserted = || Token { key: KeyPair::generate().expect("a key"), evidence: Evidence::Asserted };
    for (lowest, expected) in [(Assurance::Asserted, None), (Assurance::Attested, Some("policy-assurance"))] {
        let world = bank(&[DeviceKind::Piv], lowest).await;
        world.customers.assign_device(clerk(), &user(GENERAL), Some(&card)).await.expect("a card");
        let opened = match world.open.run(asked(&card, None, "a")).await {
            Ok(opened) => opened,
            Err(OpenError::Policy(_)) if expected.is_some() => continue,
            Err(error) => panic!("{error:?}"),
        };
        let token = asserted();
        let certified = world.certify.run(World::certify_with(&opened, &token)).await;
        match expected {
            None => {
                certified.expect("a certificate");
                assert_eq!(world.record(&opened).await.assurance, Assurance::Asserted);
            }
            Some(code) => {
                let error = certified.expect_err("not enough");
                assert!(matches!(&error, CertifyError::Refused(r) if r.code == code), "{error:?}");
                assert_eq!(world.signer.certificates_signed(), 0);
            }
        }
    }

    let owner = Owner::new().await;
    let opened = owner.opened("a").await;
    let token = asserted();
    let certify = with_challenge(&opened, &token, &owner.activated(&opened));
    let error = owner.world.certify.run(certify).await.expect_err("a TPM proves");
    assert!(matches!(&error, CertifyError::Refused(r) if r.code == "evidence-format"), "{error:?}");
}
