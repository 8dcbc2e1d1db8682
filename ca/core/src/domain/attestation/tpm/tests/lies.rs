//! What a TPM's owner, or somebody without a TPM, could send instead of the truth: each lie by itself, and the code that
//! it is refused with.

use super::*;

type Lie = (&'static str, &'static str, fn(&mut Bench) -> TpmEvidence);

/// What it is, the refusal, and how it is made. `ok` stands where the difference is none.
const LIES: &[Lie] = &[
    ("a key that may leave the TPM", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::FIXED_TPM))
    }),
    ("a key that may get another parent", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::FIXED_PARENT))
    }),
    ("an imported key", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::SENSITIVE_DATA_ORIGIN))
    }),
    ("a key that doesn't sign", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::SIGN))
    }),
    ("a restricted key", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::RESTRICTED))
    }),
    ("a key that works without auth value", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::USER_WITH_AUTH))
    }),
    ("a key whose auth value may be guessed", "evidence-key-attributes", |b| {
        b.with_area(&b.area().toggling(Attributes::NO_DA))
    }),
    ("a key with a policy besides", "evidence-key-policy", |b| {
        b.with_area(&Area { policy: vec![1; 32], ..b.area() })
    }),
    ("Windows' policy, which asks for the auth value as well", "ok", |b| {
        let policy = "9dffcbf36c383ae699fb9868dc6dcb89d7153884be2803922c124158bfad22ae";
        b.with_area(&Area { policy: hex::decode(policy).expect("digits"), ..b.area() })
    }),
    ("a reserved attribute", "evidence-tpm-malformed", |b| {
        b.with_area(&Area { attributes: b.area().attributes | 1, ..b.area() })
    }),
    ("a Name with SHA-1", "evidence-tpm-unsupported", |b| b.with_area(&Area { name_hash: 4, ..b.area() })),
    ("a point that isn't on the curve", "evidence-tpm-unsupported", |b| {
        b.with_area(&Area { point: (vec![1; 32], vec![2; 32]), ..b.area() })
    }),
    ("the Name of another key", "evidence-certify-name", |b| {
        let other = Area::of_user(&TestKey::p256().public_key()).octets();
        b.with_attestation(|honest| Attestation { name: fixtures::name(&other), ..honest })
    }),
    ("better attributes than were certified", "evidence-certify-name", |b| {
        let honest = b.with_area(&b.area().toggling(Attributes::FIXED_TPM));
        TpmEvidence { key_public: b.area().octets(), ..honest }
    }),
    ("another magic number", "evidence-certify-magic", |b| {
        b.with_attestation(|honest| Attestation { magic: 0xff54_4346, ..honest })
    }),
    ("a quote", "evidence-certify-type", |b| {
        b.with_attestation(|honest| Attestation { kind: 0x8018, ..honest })
    }),
    ("another challenge", "evidence-certify-qualifying-data", |b| {
        b.certified(b.tpm.evidence(&b.key.public_key(), &[8; 32]))
    }),
    ("no qualifying data", "evidence-certify-qualifying-data", |b| {
        b.with_attestation(|honest| Attestation { extra_data: Vec::new(), ..honest })
    }),
    ("a certified key A, a request for key B", "evidence-key-mismatch", |b| {
        b.certified(b.tpm.evidence(&TestKey::p256().public_key(), &CHALLENGE))
    }),
    ("an attestation that was changed", "evidence-certify-signature", |b| {
        let mut evidence = b.evidence();
        evidence.certify_info[60] ^= 1;
        evidence
    }),
    ("a signature by another attestation key", "evidence-certify-signature", |b| {
        let honest = b.evidence();
        TpmEvidence { certify_signature: SoftTpm::new().sign(&honest.certify_info), ..honest }
    }),
    ("an attestation key that isn't restricted", "evidence-ak-attributes", |b| {
        with_ak(b, |ak| ak.toggling(Attributes::RESTRICTED))
    }),
    ("an attestation key that may leave the TPM", "evidence-ak-attributes", |b| {
        with_ak(b, |ak| ak.toggling(Attributes::FIXED_TPM))
    }),
    ("an attestation key that was imported", "evidence-ak-attributes", |b| {
        with_ak(b, |ak| ak.toggling(Attributes::SENSITIVE_DATA_ORIGIN))
    }),
    ("an attestation key that decrypts as well", "evidence-ak-attributes", |b| {
        with_ak(b, |ak| ak.toggling(Attributes::DECRYPT))
    }),
    ("an attestation key without scheme", "evidence-ak-scheme", |b| {
        with_ak(b, |ak| Area { scheme: None, ..ak })
    }),
    ("an attestation key of another TPM", "evidence-ak-name", |b| {
        let honest = b.evidence();
        let other = SoftTpm::new();
        TpmEvidence {
            certify_signature: other.sign(&honest.certify_info),
            ak_public: Area::of_ak(&other.ak()).octets(),
            ..honest
        }
    }),
    ("an endorsement key of another TPM", "evidence-wrong-device", |b| {
        let other = SoftTpm::new();
        let ek_certificate = Some(b.leaf(other.ek(), ek_extensions()).der());
        TpmEvidence { ek_public: Area::of_ek(&other.ek()).octets(), ek_certificate, ..b.evidence() }
    }),
    ("another TPM's certificate", "evidence-ek-certificate-key", |b| {
        let ek_certificate = Some(b.leaf(SoftTpm::new().ek(), ek_extensions()).der());
        TpmEvidence { ek_certificate, ..b.evidence() }
    }),
    ("an endorsement key that signs", "evidence-ek-template", |b| {
        let ek = Area::of_ek(&b.tpm.ek()).toggling(Attributes::SIGN);
        TpmEvidence { ek_public: ek.octets(), ..b.evidence() }
    }),
    ("an endorsement key under another policy", "evidence-ek-template", |b| {
        let ek = Area { policy: vec![3; 32], ..Area::of_ek(&b.tpm.ek()) };
        TpmEvidence { ek_public: ek.octets(), ..b.evidence() }
    }),
    ("no certificate, and the bank doesn't know it", "evidence-ek-unknown", |b| TpmEvidence {
        ek_certificate: None,
        ..b.evidence()
    }),
    ("no certificate, but the bank knows it", "ok", |b| {
        b.is_inventoried = true;
        TpmEvidence { ek_certificate: None, ..b.evidence() }
    }),
    ("no certificate, and the bank doesn't take its own word", "evidence-ek-unknown", |b| {
        (b.is_inventoried, b.rules.accept_ek_by_inventory) = (true, false);
        TpmEvidence { ek_certificate: None, ..b.evidence() }
    }),
    ("a maker that isn't accepted", "evidence-tpm-manufacturer", |b| {
        b.rules.manufacturers = Some(vec![Manufacturer(0x5354_4d20)]);
        b.evidence()
    }),
    ("a maker that is", "ok", |b| {
        b.rules.manufacturers = Some(vec![Manufacturer(0x5354_4d20), Manufacturer(0x4946_5800)]);
        b.evidence()
    }),
    ("a key that the TPM forgets when it restarts", "ok", |b| {
        b.with_area(&b.area().toggling(Attributes::ST_CLEAR))
    }),
];

/// Evidence by an attestation key of another form, for which the enrolment was opened.
fn with_ak(bench: &mut Bench, bend: impl FnOnce(Area) -> Area) -> TpmEvidence {
    let ak = bend(Area::of_ak(&bench.tpm.ak())).octets();
    bench.ak_name = fixtures::name(&ak);
    TpmEvidence { ak_public: ak, ..bench.evidence() }
}

#[test]
fn each_lie_has_its_refusal() {
    for (what, expected, lie) in LIES {
        let mut bench = Bench::new();
        let evidence = lie(&mut bench);
        assert_eq!(bench.code(evidence), *expected, "{what}");
    }
}

/// The device's kind and the evidence's must be one, and of a kind that the policy takes.
#[test]
fn evidence_is_of_the_claimed_kind() {
    let mut bench = Bench::new();
    bench.device.kind = DeviceKind::Piv;
    assert_eq!(bench.code(bench.evidence()), "evidence-device-kind");

    let bench = Bench::new();
    let csr = verified_csr(&bench.key);
    let signature = bench.key.sign(&challenge_message(&CHALLENGE, csr.public_key_der()));
    let anchors = Anchors::new(&bench.anchors()).expect("anchors");
    let (yubikey, tpm) = (YubiKeyRules::default(), TpmRules::default());
    let code = |device: DeviceKind, evidence: Evidence| {
        let device = Device { kind: device, ..bench.device.clone() };
        let claim = Claim {
            csr: &csr,
            device: &device,
            is_inventoried: true,
            ak_name: Some(&bench.ak_name),
            challenge: &CHALLENGE,
            challenge_signature: &signature,
        };
        let rules = Rules { kinds: &DeviceKind::ALL, algorithms: &KEY_KINDS, yubikey: &yubikey, tpm: &tpm };
        verify(&evidence, &claim, &anchors, rules, now()).map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(code(DeviceKind::Tpm, Evidence::Tpm(bench.evidence())), "ok");
    assert_eq!(code(DeviceKind::Tpm, Evidence::Asserted), "evidence-format", "a TPM proves, or it is none");
    assert_eq!(code(DeviceKind::YubiKeyPiv, Evidence::Asserted), "evidence-format");
    assert_eq!(code(DeviceKind::Pkcs11, Evidence::Tpm(bench.evidence())), "evidence-format");
    assert_eq!(code(DeviceKind::Pkcs11, Evidence::Asserted), "ok");
}

/// The attestation's challenge is activated by the TPM that holds both keys, and by no other.
#[test]
fn the_challenge_reaches_only_the_tpm_with_both_keys() {
    let (mine, other) = (SoftTpm::new(), SoftTpm::new());
    let ek = EndorsementKey::parse(&Area::of_ek(&mine.ek()).octets()).expect("an EK");
    let random = zeroize::Zeroizing::new([5; 48]);
    let credential = make_credential(&ek, &mine.ak_name(), &CHALLENGE, &random).expect("a credential");
    assert_eq!(mine.activate(&credential, &mine.ak_name()).as_deref(), Some(&CHALLENGE[..]));
    assert_eq!(mine.activate(&credential, &other.ak_name()), None, "another attestation key");
    assert_eq!(other.activate(&credential, &mine.ak_name()), None, "another endorsement key");
}
