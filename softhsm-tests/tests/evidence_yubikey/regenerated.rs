//! Slot freshness: evidence for a key that has since been overwritten is worth nothing, since only a key that still
//! exists signs the request and the enrolment's challenge. All of it on a virtual YubiKey behind a real pcscd.

use ca_wire::{
    Base64Url,
    enrolment::{Certify, Evidence, Opened, challenge_message},
    problem::Code,
};
use ca_x509::name::NameBuilder;
use der::{
    Decode, Encode,
    asn1::{BitString, SetOfVec},
};
use sha2::{Digest, Sha256};
use softhsm_tests::{
    bank::Desk,
    probe::{Probe, Request},
    virtual_yubikey::Profile,
};
use x509_cert::{
    request::{CertReq, CertReqInfo, Version},
    spki::SubjectPublicKeyInfoOwned,
};

use crate::rig::{House, NEW};

const SERIAL: u32 = 44_000_001;

/// A key in slot 9a, at the time when it was there.
struct Generation {
    public_key: SubjectPublicKeyInfoOwned,
    evidence: Evidence,
}

struct Card {
    // Before the desk's pcscd goes.
    probe: Probe,
    desk: Desk,
}

impl Card {
    fn new(house: &House) -> Self {
        let profiles = vec![Profile::new(SERIAL, NEW)];
        let desk =
            Desk::new(&house.scratch.join("desk"), house.bank.attestation(), profiles).expect("a desk");
        let mut probe = desk.pcscd.probe().expect("a probe");
        probe.tell(&Request::Open { serial: SERIAL }).expect("opened");
        probe.tell(&Request::VerifyPin { pin: "123456".into() }).expect("the factory's PIN");
        probe.tell(&Request::Authenticate { protected: false }).expect("the factory's key");
        Self { probe, desk }
    }

    /// Generates a key over whatever was in the slot, and attests it.
    fn generate(&mut self) -> Generation {
        let slot = || "9a".to_owned();
        let generate = Request::Generate { slot: slot(), algorithm: "p256".into(), pin: 2, touch: 1 };
        let public_key = self.probe.ask_bytes(&generate).expect("a key");
        let attested = self.probe.ask_bytes(&Request::Attest { slot: slot() }).expect("an attestation");
        let (_, f9) = self.desk.keys[0].state().attestation.to_parts().expect("f9");
        Generation {
            public_key: SubjectPublicKeyInfoOwned::from_der(&public_key).expect("a public key"),
            evidence: Evidence::YubikeyPiv {
                slot: Base64Url(attested),
                f9: Base64Url(f9),
                intermediates: Vec::new(),
            },
        }
    }

    /// By the key that is in the slot now.
    fn sign(&mut self, message: &[u8]) -> Vec<u8> {
        let input = hex::encode(Sha256::digest(message));
        let sign = Request::Sign { slot: "9a".into(), algorithm: "p256".into(), input };
        self.probe.ask_bytes(&sign).expect("a signature")
    }

    /// A request for this key, signed by the one in the slot.
    fn request(&mut self, user: &str, key: &Generation) -> Vec<u8> {
        let info = CertReqInfo {
            version: Version::V1,
            subject: NameBuilder::new().user_id(user).build().expect("a name"),
            public_key: key.public_key.clone(),
            attributes: SetOfVec::new(),
        };
        let signature = self.sign(&info.to_der().expect("DER"));
        let request = CertReq {
            info,
            algorithm: ca_x509::SignatureAlgorithm::EcdsaSha256.identifier(),
            signature: BitString::from_bytes(&signature).expect("a signature"),
        };
        request.to_der().expect("DER")
    }

    /// The enrolment's challenge for this key, signed by the one in the slot.
    fn answer(&mut self, opened: &Opened, key: &Generation) -> Vec<u8> {
        let challenge = opened.challenge.as_ref().expect("a challenge");
        self.sign(&challenge_message(&challenge.0, &key.public_key.to_der().expect("DER")))
    }
}

#[test]
fn evidence_for_a_key_that_was_overwritten_is_refused() {
    let house = House::open("regenerated");
    let user = house.user(SERIAL);
    let token = house.token(Profile::new(SERIAL, NEW));
    let mut card = Card::new(&house);

    let old = card.generate();
    let request_of_old = card.request(&user, &old);
    let new = card.generate();
    assert_ne!(old.public_key, new.public_key);

    let mut attempt =
        |what: &str, key: &str, csr: &dyn Fn(&mut Card) -> Vec<u8>, answers: &Generation, expected| {
            let opened = house.opened(&user, &token, key);
            let certify = Certify {
                csr: Base64Url(csr(&mut card)),
                evidence: old.evidence.clone(),
                challenge_signature: Base64Url(card.answer(&opened, answers)),
                predecessor_signature: None,
            };
            house.refused(what, (&user, key), &opened, &certify, expected);
        };
    let evidence = Code::EvidenceRefused;
    attempt(
        "the new key with the old one's evidence",
        "regenerated-key-01",
        &|card| card.request(&user, &new),
        &new,
        (evidence, "evidence-key-mismatch"),
    );
    attempt(
        "a request for the old key that the new one signs",
        "regenerated-key-02",
        &|card| card.request(&user, &old),
        &old,
        (Code::CsrRefused, "csr-signature"),
    );
    attempt(
        "an old request, and the challenge signed by the new key",
        "regenerated-key-03",
        &|_| request_of_old.clone(),
        &old,
        (evidence, "evidence-challenge-signature"),
    );

    // What the card says of the key that it has now is true.
    let opened = house.opened(&user, &token, "regenerated-key-04");
    let certify = Certify {
        csr: Base64Url(card.request(&user, &new)),
        evidence: new.evidence.clone(),
        challenge_signature: Base64Url(card.answer(&opened, &new)),
        predecessor_signature: None,
    };
    house.client.certify(&opened, &certify, "regenerated-key-04").expect("an answer").expect("a certificate");
    assert_eq!(house.signatures(), 1);
}
