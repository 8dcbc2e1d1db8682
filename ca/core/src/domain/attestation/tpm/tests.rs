//! A TPM maker of our own, its TPMs, and the attacks on them. Genuine TPMs are tested in `tests/evidence_genuine/`, a TPM
//! that talks in `softhsm-tests`.

mod certificates;
mod lies;
mod parsers;

use ca_x509::{extension, name::NameBuilder};
use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_CE_EXT_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME},
};
use der::Encode;
use jiff::Timestamp;
use x509_cert::{
    ext::{
        Extension,
        pkix::{ExtendedKeyUsage, KeyUsages, SubjectAltName, name::GeneralName},
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    fixtures::{Area, Attestation, SoftTpm},
    *,
};
use crate::domain::{
    attestation::{
        Anchor, Anchors, Attested, Claim, Evidence, Particulars, Purpose, Rules, Trust, challenge_message,
        verify, yubikey::YubiKeyRules,
    },
    csr::Csr,
    device::{Assurance, Device, DeviceKind},
    fixtures::{Certificate, TestKey, common_name, now, raw_extension, verified_csr},
    key_kind::KEY_KINDS,
};

const CHALLENGE: [u8; 32] = [9; 32];
const ROOT: &str = "TPM Maker Root";
const ISSUER: &str = "TPM Maker EK CA";
const EK_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
const AK_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");

/// A maker's hierarchy, a TPM of it, and a user's key.
struct Bench {
    root: TestKey,
    issuer: TestKey,
    tpm: SoftTpm,
    key: TestKey,
    /// What the bank has in its inventory, opened the enrolment with, and asks of TPMs.
    is_inventoried: bool,
    ak_name: Vec<u8>,
    device: Device,
    rules: TpmRules,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let tpm = SoftTpm::new();
        Self {
            root: TestKey::p256(),
            issuer: TestKey::p256(),
            key: TestKey::p256(),
            is_inventoried: false,
            ak_name: tpm.ak_name(),
            device: device_of(&tpm),
            rules: TpmRules::default(),
            now: now(),
            tpm,
        }
    }

    fn root_der(&self) -> Vec<u8> {
        self.authority(ROOT, &self.root.public_key(), ca(Some(1)))
    }

    fn issuer_der(&self) -> Vec<u8> {
        self.authority(ISSUER, &self.issuer.public_key(), ca(Some(0)))
    }

    fn authority(&self, name: &str, key: &SubjectPublicKeyInfoOwned, extensions: Vec<Extension>) -> Vec<u8> {
        Certificate {
            issuer: common_name(ROOT),
            issuer_key: &self.root,
            subject: common_name(name),
            public_key: key.clone(),
            extensions,
        }
        .der()
    }

    fn anchors(&self) -> Vec<Anchor> {
        let purpose = Purpose::TpmMaker;
        vec![
            Anchor { der: self.root_der(), trust: Trust::Root, purpose },
            Anchor { der: self.issuer_der(), trust: Trust::Intermediate, purpose },
        ]
    }

    /// A certificate by the maker, with an empty subject.
    fn leaf(&self, key: SubjectPublicKeyInfoOwned, extensions: Vec<Extension>) -> Certificate<'_> {
        Certificate {
            issuer: common_name(ISSUER),
            issuer_key: &self.issuer,
            subject: Name::default(),
            public_key: key,
            extensions,
        }
    }

    fn ek_certificate(&self) -> Vec<u8> {
        self.leaf(self.tpm.ek(), ek_extensions()).der()
    }

    /// What an honest agent sends.
    fn evidence(&self) -> TpmEvidence {
        self.certified(self.tpm.evidence(&self.key.public_key(), &CHALLENGE))
    }

    fn certified(&self, evidence: TpmEvidence) -> TpmEvidence {
        TpmEvidence { ek_certificate: Some(self.ek_certificate()), ..evidence }
    }

    fn area(&self) -> Area {
        Area::of_user(&self.key.public_key())
    }

    fn honest_attestation(&self, area: &[u8]) -> Attestation {
        let spki = self.key.public_key().to_der().expect("DER");
        Attestation::of(area, &qualifying_data(&CHALLENGE, &spki))
    }

    /// Evidence of a key with this area.
    fn with_area(&self, area: &Area) -> TpmEvidence {
        self.certified(self.tpm.evidence_with(area.octets(), |area| self.honest_attestation(area)))
    }

    /// Evidence with this attestation.
    fn with_attestation(&self, bend: impl FnOnce(Attestation) -> Attestation) -> TpmEvidence {
        let octets = self.area().octets();
        self.certified(self.tpm.evidence_with(octets, |area| bend(self.honest_attestation(area))))
    }

    fn verdict(&self, evidence: TpmEvidence) -> Result<Attested, &'static str> {
        self.verdict_by(evidence, &self.anchors())
    }

    fn verdict_by(&self, evidence: TpmEvidence, anchors: &[Anchor]) -> Result<Attested, &'static str> {
        let csr: Csr = verified_csr(&self.key);
        let signature = self.key.sign(&challenge_message(&CHALLENGE, csr.public_key_der()));
        let claim = Claim {
            csr: &csr,
            device: &self.device,
            is_inventoried: self.is_inventoried,
            ak_name: Some(&self.ak_name),
            challenge: &CHALLENGE,
            challenge_signature: &signature,
        };
        let rules = Rules {
            kinds: &[DeviceKind::Tpm],
            algorithms: &KEY_KINDS,
            yubikey: &YubiKeyRules::default(),
            tpm: &self.rules,
        };
        let anchors = Anchors::new(anchors).expect("anchors");
        verify(&Evidence::Tpm(evidence), &claim, &anchors, rules, self.now).map_err(|error| error.code())
    }

    fn code(&self, evidence: TpmEvidence) -> &'static str {
        self.verdict(evidence).map_or_else(|code| code, |_| "ok")
    }
}

fn device_of(tpm: &SoftTpm) -> Device {
    let serial = serial(&tpm.ek()).expect("a serial");
    Device { kind: DeviceKind::Tpm, serial }
}

fn ca(path_length: Option<u8>) -> Vec<Extension> {
    vec![
        extension::certificate_authority(path_length).expect("an extension"),
        extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("an extension"),
    ]
}

fn purposes(oids: &[ObjectIdentifier]) -> Extension {
    let der = ExtendedKeyUsage(oids.to_vec()).to_der().expect("DER");
    raw_extension(ID_CE_EXT_KEY_USAGE, false, &der)
}

/// The critical directoryName: manufacturer, model and version, each an RDN.
fn tpm_name(manufacturer: &str) -> Extension {
    let attributes =
        [("2.23.133.2.1", manufacturer), ("2.23.133.2.2", "SLB 9672"), ("2.23.133.2.3", "id:00100016")];
    let name = attributes
        .into_iter()
        .fold(NameBuilder::new(), |name, (oid, text)| name.attribute(ObjectIdentifier::new_unwrap(oid), text))
        .build()
        .expect("a name");
    let names = SubjectAltName(vec![GeneralName::DirectoryName(name)]);
    raw_extension(ID_CE_SUBJECT_ALT_NAME, true, &names.to_der().expect("DER"))
}

fn ek_extensions() -> Vec<Extension> {
    vec![
        extension::end_entity().expect("an extension"),
        extension::key_usage(KeyUsages::KeyAgreement).expect("an extension"),
        purposes(&[EK_USAGE]),
        tpm_name("id:49465800"),
    ]
}

fn ak_extensions() -> Vec<Extension> {
    vec![
        extension::end_entity().expect("an extension"),
        extension::key_usage(KeyUsages::DigitalSignature).expect("an extension"),
        purposes(&[AK_USAGE]),
        tpm_name("id:49465800"),
    ]
}

#[test]
fn an_honest_tpm_is_attested_with_everything_it_says() {
    let bench = Bench::new();
    let attested = bench.verdict(bench.evidence()).expect("attested");
    assert_eq!(attested.device, bench.device);
    assert_eq!(attested.assurance, Assurance::Attested, "that there is a PIN isn't proven");
    let decoded = attested.decoded();
    for line in [
        "device=tpm",
        "voucher=ek-certificate",
        "manufacturer=IFX",
        "model=SLB 9672",
        "version=00100016",
        "voucher_expired=false",
        "attributes=fixedTPM|fixedParent|sensitiveDataOrigin|userWithAuth|sign",
        "signature_hash=sha256",
        "assurance=attested",
    ] {
        assert!(decoded.lines().any(|found| found == line), "{line} is not in\n{decoded}");
    }
    assert!(matches!(attested.particulars, Particulars::Tpm(_)));
}

#[test]
fn evidence_is_the_same_after_it_was_stored() {
    let bench = Bench::new();
    let evidence = TpmEvidence {
        ek_intermediates: vec![bench.issuer_der()],
        ak_certificates: vec![vec![1], vec![2]],
        ..bench.evidence()
    };
    for evidence in [evidence.clone(), TpmEvidence { ek_certificate: None, ..evidence }] {
        assert_eq!(TpmEvidence::from_parts(&evidence.parts()), Some(evidence));
    }
}

#[test]
fn makers_are_named_as_the_tcg_registered_them() {
    for (number, name) in [
        (0x4946_5800, "IFX"),
        (0x5354_4d20, "STM"),
        (0x414d_4400, "AMD"),
        (0x494e_5443, "INTC"),
        (0x0000_1014, "00001014"),
        (0x4100_4400, "41004400"),
        (0, "00000000"),
        (0xffff_f1d0, "FFFFF1D0"),
    ] {
        assert_eq!(Manufacturer(number).to_string(), name);
    }
}
