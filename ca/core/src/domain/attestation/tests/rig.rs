//! A maker's hierarchy of our own, its devices, and what a judge needs besides.

use std::sync::LazyLock;

use ca_x509::{
    crl::{CrlEntry, CrlTemplate},
    extension::{self, YUBICO_PIV},
};
use const_oid::ObjectIdentifier;
use der::asn1::OctetString;
use x509_cert::ext::{Extension, pkix::KeyUsages};

use crate::domain::{
    attestation::{
        Anchor, Anchors, Attested, Claim, Evidence, Purpose, Rules, Trust, challenge_message,
        tpm::TpmRules,
        verify,
        yubikey::{YubiKeyEvidence, YubiKeyRules, examine},
    },
    csr::Csr,
    device::{Device, DeviceKind},
    fixtures::{Certificate, Request, TestKey, at, common_name, device, now, raw_extension, verified_csr},
    key_kind::KEY_KINDS,
};

pub(super) const ROOT: &str = "Maker Root";
pub(super) const LINK: &str = "Maker Intermediate";
pub(super) const ISSUER: &str = "Maker PIV Attestation";
pub(super) const DEVICE: &str = "YubiKey PIV Attestation";

pub(super) fn arc(last: u32) -> ObjectIdentifier {
    YUBICO_PIV.push_arc(last).expect("an arc")
}

pub(super) fn ca(path_length: Option<u8>) -> Vec<Extension> {
    vec![
        extension::certificate_authority(path_length).expect("an extension"),
        extension::key_usage(KeyUsages::KeyCertSign | KeyUsages::CRLSign).expect("an extension"),
    ]
}

pub(super) fn firmware(version: [u8; 3]) -> Extension {
    raw_extension(arc(3), false, &version)
}

/// What a slot's certificate of an honest device says.
pub(super) fn honest_slot() -> Vec<Extension> {
    vec![
        firmware([5, 7, 4]),
        raw_extension(arc(7), false, &[2, 4, 0x01, 0xf8, 0x84, 0x5f]),
        raw_extension(arc(8), false, &[2, 3]),
        raw_extension(arc(9), false, &[3]),
    ]
}

pub(super) const SERIAL: &str = "33064031";

/// A maker with a root, a link, a PIV issuer, one device, and the key in that device.
pub(super) struct Maker {
    pub(super) root: TestKey,
    pub(super) link: TestKey,
    pub(super) issuer: TestKey,
    pub(super) f9: TestKey,
    pub(super) key: TestKey,
}

impl Maker {
    pub(super) fn new() -> Self {
        let [root, link, issuer, f9, key] = std::array::from_fn(|_| TestKey::p256());
        Self { root, link, issuer, f9, key }
    }

    pub(super) fn certify(
        by: (&str, &TestKey),
        subject: &str,
        key: &TestKey,
        extensions: Vec<Extension>,
    ) -> Vec<u8> {
        let (issuer, issuer_key) = (common_name(by.0), by.1);
        Certificate {
            issuer,
            issuer_key,
            subject: common_name(subject),
            public_key: key.public_key(),
            extensions,
        }
        .der()
    }

    pub(super) fn root_der(&self) -> Vec<u8> {
        Self::certify((ROOT, &self.root), ROOT, &self.root, ca(Some(3)))
    }

    pub(super) fn link_der(&self) -> Vec<u8> {
        Self::certify((ROOT, &self.root), LINK, &self.link, ca(Some(2)))
    }

    pub(super) fn issuer_der(&self) -> Vec<u8> {
        Self::certify((LINK, &self.link), ISSUER, &self.issuer, ca(Some(1)))
    }

    pub(super) fn f9_with(&self, extensions: Vec<Extension>) -> Vec<u8> {
        Self::certify((ISSUER, &self.issuer), DEVICE, &self.f9, extensions)
    }

    pub(super) fn f9_der(&self) -> Vec<u8> {
        self.f9_with([vec![firmware([5, 7, 4])], ca(Some(0))].concat())
    }

    pub(super) fn slot_with(&self, subject: &str, extensions: Vec<Extension>) -> Vec<u8> {
        Self::certify((DEVICE, &self.f9), subject, &self.key, extensions)
    }

    pub(super) fn anchors(&self) -> Vec<Anchor> {
        vec![
            Anchor { der: self.root_der(), trust: Trust::Root, purpose: Purpose::Link },
            Anchor { der: self.link_der(), trust: Trust::Intermediate, purpose: Purpose::Link },
            Anchor { der: self.issuer_der(), trust: Trust::Intermediate, purpose: Purpose::PivIssuer },
        ]
    }

    pub(super) fn trusted(&self) -> Anchors {
        Anchors::new(&self.anchors()).expect("anchors")
    }

    pub(super) fn evidence(&self) -> YubiKeyEvidence {
        let slot = self.slot_with("YubiKey PIV Attestation 9a", honest_slot());
        YubiKeyEvidence { slot, f9: self.f9_der(), intermediates: Vec::new() }
    }

    pub(super) fn with_slot(&self, extensions: Vec<Extension>) -> YubiKeyEvidence {
        YubiKeyEvidence { slot: self.slot_with("YubiKey PIV Attestation 9a", extensions), ..self.evidence() }
    }

    pub(super) fn code(&self, evidence: &YubiKeyEvidence) -> &'static str {
        examine(evidence, &self.trusted(), now()).map_or_else(|refusal| refusal.code(), |_| "ok")
    }

    /// What is made of a slot's certificate whose extension with this arc has this value, and whose subject ends so.
    pub(super) fn saying(&self, last_arc: u32, value: &[u8], subject: &str) -> &'static str {
        let mut extensions = slot_saying(arc(last_arc), value);
        if extensions.iter().all(|extension| extension.extn_id != arc(last_arc)) {
            extensions.push(raw_extension(arc(last_arc), false, value));
        }
        let slot = self.slot_with(&format!("YubiKey PIV Attestation {subject}"), extensions);
        self.code(&YubiKeyEvidence { slot, ..self.evidence() })
    }

    /// A request that carries the evidence as Yubico's tools write it, and that evidence.
    pub(super) fn request_with_evidence(&self) -> (Vec<u8>, YubiKeyEvidence) {
        let carried = self.evidence();
        let parts = [(1, &carried.slot), (2, &carried.f9)];
        let extensions = parts.map(|(last, der)| raw_extension(arc(last), false, der)).to_vec();
        (Request::asking_for(&self.key, extensions).der(), carried)
    }

    /// The whole verdict, with an honest request and challenge.
    pub(super) fn verdict(
        &self,
        evidence: YubiKeyEvidence,
        policy: &YubiKeyRules,
    ) -> Result<Attested, &'static str> {
        let csr = verified_csr(&self.key);
        let signature = self.key.sign(&challenge_message(&[9; 32], csr.public_key_der()));
        let claimed = device(SERIAL);
        let claim = claim(&csr, &claimed, &signature);
        verify(&Evidence::YubiKeyPiv(evidence), &claim, &self.trusted(), rules(policy), now())
            .map_err(|error| error.code())
    }
}

pub(super) fn claim<'a>(csr: &'a Csr, device: &'a Device, challenge_signature: &'a [u8]) -> Claim<'a> {
    Claim { csr, device, is_inventoried: false, ak_name: None, challenge: &[9; 32], challenge_signature }
}

pub(super) fn rules(yubikey: &YubiKeyRules) -> Rules<'_> {
    static TPM: LazyLock<TpmRules> = LazyLock::new(TpmRules::default);
    Rules { kinds: &[DeviceKind::YubiKeyPiv], algorithms: &KEY_KINDS, yubikey, tpm: &TPM }
}

/// The slot's extensions with another value for one of them.
pub(super) fn slot_saying(oid: ObjectIdentifier, value: &[u8]) -> Vec<Extension> {
    let replaced = raw_extension(oid, false, value);
    honest_slot().into_iter().map(|e| if e.extn_id == oid { replaced.clone() } else { e }).collect()
}

/// The serial number of all certificates here.
pub(super) const EVERY_SERIAL: [u8; 16] = [0x41; 16];

/// A CRL that is in force from one day to another, by one who signs it.
pub(super) fn crl(by: (&str, &TestKey), (from, to): (&str, &str), serials: &[&[u8]]) -> Vec<u8> {
    let entry = |serial: &&[u8]| CrlEntry { serial: serial.to_vec(), revoked_at: at(from), reason: None };
    let template = CrlTemplate {
        issuer: common_name(by.0),
        issuer_key_identifier: OctetString::new([7; 20]).expect("octets"),
        this_update: at(from),
        next_update: at(to),
        number: 1,
        entries: serials.iter().map(entry).collect(),
        algorithm: by.1.algorithm(),
    };
    by.1.signed(&template.to_tbs_der().expect("a TBSCertList"))
}
