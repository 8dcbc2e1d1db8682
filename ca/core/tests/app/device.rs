//! A maker of YubiKeys and what its devices attest, by rcgen with the maker's extensions.

use ca_core::domain::{
    attestation::{
        Anchor, Anchors, Evidence, Purpose, Trust, challenge_message,
        yubikey::{Firmware, YubiKeyEvidence},
    },
    device::{Device, DeviceKind},
    ids::TokenSerial,
};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, PublicKeyData, SigningKey,
};

use crate::pki::{ca_params, params};

/// A maker: its root, and one batch's f9 key.
pub(crate) struct Maker {
    pub(crate) root: Vec<u8>,
    f9: Vec<u8>,
    f9_key: KeyPair,
    f9_params: CertificateParams,
}

/// What a device attests, adjustable to lie.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) serial: u32,
    pub(crate) firmware: [u8; 3],
    pub(crate) slot: &'static str,
    pub(crate) pin_policy: u8,
}

impl Statement {
    pub(crate) fn of(serial: u32) -> Self {
        Self { serial, firmware: [5, 7, 2], slot: "9a", pin_policy: 2 }
    }
}

/// A token with a key in it.
pub(crate) struct Token {
    pub(crate) key: KeyPair,
    pub(crate) evidence: Evidence,
}

pub(crate) const FIRMWARE: Firmware = Firmware::new(5, 7, 2);

pub(crate) fn device(serial: u32) -> Device {
    let serial = TokenSerial::parse(&serial.to_string()).expect("a serial number");
    Device { kind: DeviceKind::YubiKeyPiv, serial }
}

impl Maker {
    pub(crate) fn new() -> Self {
        let root_key = KeyPair::generate().expect("a key");
        let root_params = ca_params("Test PIV Root");
        let root = root_params.self_signed(&root_key).expect("a root").der().to_vec();
        let f9_key = KeyPair::generate().expect("a key");
        let mut f9_params = ca_params("Test PIV Attestation");
        f9_params.custom_extensions.push(yubico(3, vec![5, 7, 2]));
        let issuer = rcgen::Issuer::from_params(&root_params, &root_key);
        let f9 = f9_params.signed_by(&f9_key, &issuer).expect("f9").der().to_vec();
        Self { root, f9, f9_key, f9_params }
    }

    pub(crate) fn anchors(&self) -> Anchors {
        let anchor = Anchor { der: self.root.clone(), trust: Trust::Root, purpose: Purpose::PivIssuer };
        Anchors::new(&[anchor]).expect("anchors")
    }

    /// Generates a key in a device and attests it.
    pub(crate) fn token(&self, statement: &Statement) -> Token {
        let key = KeyPair::generate().expect("a key");
        let evidence = self.attest(&key, statement);
        Token { key, evidence }
    }

    fn attest(&self, key: &impl PublicKeyData, statement: &Statement) -> Evidence {
        let mut slot = params(&format!("YubiKey PIV Attestation {}", statement.slot));
        let serial = der::Encode::to_der(&statement.serial).expect("an INTEGER");
        slot.custom_extensions = vec![
            yubico(3, statement.firmware.to_vec()),
            yubico(7, serial),
            yubico(8, vec![statement.pin_policy, 1]),
            yubico(9, vec![1]),
        ];
        let issuer = rcgen::Issuer::from_params(&self.f9_params, &self.f9_key);
        let slot = slot.signed_by(key, &issuer).expect("an attestation").der().to_vec();
        Evidence::YubiKeyPiv(YubiKeyEvidence { slot, f9: self.f9.clone(), intermediates: Vec::new() })
    }
}

impl Token {
    /// A request without a subject, as the agent makes it.
    pub(crate) fn request(&self) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.key).expect("a request").der().to_vec()
    }

    /// A request in another name.
    pub(crate) fn request_as(&self, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serialize_request(&self.key).expect("a request").der().to_vec()
    }

    pub(crate) fn answer(&self, challenge: &[u8; 32]) -> Vec<u8> {
        let message = challenge_message(challenge, &self.key.subject_public_key_info());
        self.key.sign(&message).expect("a signature")
    }
}

fn yubico(arc: u64, content: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, arc], content)
}
