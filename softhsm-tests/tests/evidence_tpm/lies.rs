//! What is sent to the authority instead of the truth: by a program that has no TPM and forges everything that a TPM
//! would say, over the real API. Each lie has its refusal and a row in the trail, and nothing is signed.

use ca_core::{
    domain::attestation::tpm::{Attributes, Credential, TpmEvidence, qualifying_data, serial},
    testing::tpm::{Area, Attestation, SoftTpm, name},
};
use ca_wire::{
    Base64Url,
    enrolment::{Certify, DeviceClaim, Evidence, Open, Opened, TpmIdentity, challenge_message},
    problem::{Code, Problem},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData, SigningKey};
use softhsm_tests::bank::{EnrolmentClient, LOGIN_PASSWORD, NewUser};
use x509_cert::{der::Decode, spki::SubjectPublicKeyInfoOwned};

use crate::house::{CONTRACT, House};

const USER: &str = "tpm-liar-1";

/// Somebody with a password, a key in software, and two more keys that they call a TPM.
struct Forger<'a> {
    house: &'a House,
    client: EnrolmentClient,
    tpm: SoftTpm,
    key: KeyPair,
}

impl Forger<'_> {
    fn device(&self) -> DeviceClaim {
        let serial = serial(&self.tpm.ek()).expect("a serial").to_string();
        DeviceClaim { kind: "tpm".to_owned(), serial, firmware: "1".to_owned() }
    }

    fn identity(&self) -> TpmIdentity {
        TpmIdentity {
            ek_public: Base64Url(Area::of_ek(&self.tpm.ek()).octets()),
            ek_certificate: None,
            ek_intermediates: Vec::new(),
            ak_public: Base64Url(Area::of_ak(&self.tpm.ak()).octets()),
            ak_certificates: Vec::new(),
        }
    }

    fn opening(&self) -> Open {
        Open {
            user_id: USER.to_owned(),
            password: LOGIN_PASSWORD.to_owned(),
            acquisition_code: None,
            device: self.device(),
            tpm: Some(self.identity()),
            renews: None,
            agent_version: "0.1.0".to_owned(),
        }
    }

    fn opened(&self, key: &str) -> (Opened, [u8; 32]) {
        let opened = self.client.open_with(&self.opening(), key).expect("an answer").expect("an enrolment");
        assert_eq!(opened.challenge, None, "the challenge is in the clear");
        let credential = opened.tpm_credential.as_ref().expect("a credential");
        let credential = Credential {
            credential_blob: credential.credential_blob.0.clone(),
            encrypted_secret: credential.encrypted_secret.0.clone(),
        };
        let challenge = self.tpm.activate(&credential, &self.tpm.ak_name()).expect("activated");
        (opened, challenge.try_into().expect("32 octets"))
    }

    fn spki(&self) -> SubjectPublicKeyInfoOwned {
        SubjectPublicKeyInfoOwned::from_der(&self.key.subject_public_key_info()).expect("an SPKI")
    }

    fn area(&self) -> Area {
        Area::of_user(&self.spki())
    }

    /// Evidence about this area for this challenge, by an attestation that may be bent.
    fn evidence(
        &self,
        challenge: &[u8; 32],
        area: &Area,
        bend: impl FnOnce(Attestation) -> Attestation,
    ) -> TpmEvidence {
        let data = qualifying_data(challenge, &self.key.subject_public_key_info());
        self.tpm.evidence_with(area.octets(), |area| bend(Attestation::of(area, &data)))
    }

    fn certify(&self, challenge: &[u8; 32], evidence: TpmEvidence) -> Certify {
        let mut request = CertificateParams::new(Vec::new()).expect("parameters");
        request.distinguished_name = DistinguishedName::new();
        let message = challenge_message(challenge, &self.key.subject_public_key_info());
        Certify {
            csr: Base64Url(request.serialize_request(&self.key).expect("a request").der().to_vec()),
            evidence: on_the_wire(evidence),
            challenge_signature: Base64Url(self.key.sign(&message).expect("a signature")),
            predecessor_signature: None,
        }
    }

    /// The reasons of the trail's refusals.
    fn refusals(&self) -> Vec<String> {
        let rows = self.house.bank.audit_rows("certification.refused").expect("the trail");
        rows.iter().map(|row| row["details"]["why"].as_str().expect("a reason").to_owned()).collect()
    }
}

fn on_the_wire(evidence: TpmEvidence) -> Evidence {
    let all = |octets: Vec<Vec<u8>>| octets.into_iter().map(Base64Url).collect();
    Evidence::Tpm {
        ek_public: Base64Url(evidence.ek_public),
        ek_certificate: evidence.ek_certificate.map(Base64Url),
        ek_intermediates: all(evidence.ek_intermediates),
        ak_public: Base64Url(evidence.ak_public),
        ak_certificates: all(evidence.ak_certificates),
        key_public: Base64Url(evidence.key_public),
        certify_info: Base64Url(evidence.certify_info),
        certify_signature: Base64Url(evidence.certify_signature),
    }
}

fn refused<T>(answer: Result<T, Box<Problem>>, what: &str) -> Problem {
    match answer {
        Ok(_) => panic!("{what} was taken"),
        Err(problem) => *problem,
    }
}

type Lie = (&'static str, fn(&Forger<'_>, &[u8; 32]) -> TpmEvidence);

const LIES: [Lie; 10] = [
    ("evidence-key-attributes", |f, challenge| {
        f.evidence(challenge, &f.area().toggling(Attributes::FIXED_TPM), |honest| honest)
    }),
    ("evidence-key-attributes", |f, challenge| {
        f.evidence(challenge, &f.area().toggling(Attributes::SENSITIVE_DATA_ORIGIN), |honest| honest)
    }),
    ("evidence-certify-name", |f, challenge| {
        let other = name(&f.area().toggling(Attributes::FIXED_PARENT).octets());
        f.evidence(challenge, &f.area(), |honest| Attestation { name: other, ..honest })
    }),
    ("evidence-certify-magic", |f, challenge| {
        f.evidence(challenge, &f.area(), |honest| Attestation { magic: 0, ..honest })
    }),
    ("evidence-certify-type", |f, challenge| {
        f.evidence(challenge, &f.area(), |honest| Attestation { kind: 0x8018, ..honest })
    }),
    ("evidence-certify-qualifying-data", |f, _| f.evidence(&[7; 32], &f.area(), |honest| honest)),
    ("evidence-certify-signature", |f, challenge| {
        let honest = f.evidence(challenge, &f.area(), |honest| honest);
        TpmEvidence { certify_signature: SoftTpm::new().sign(&honest.certify_info), ..honest }
    }),
    ("evidence-ak-name", |f, challenge| {
        let honest = f.evidence(challenge, &f.area(), |honest| honest);
        TpmEvidence { ak_public: Area::of_ak(&SoftTpm::new().ak()).octets(), ..honest }
    }),
    ("evidence-tpm-malformed", |f, challenge| {
        let honest = f.evidence(challenge, &f.area(), |honest| honest);
        TpmEvidence { key_public: honest.key_public[..33].to_vec(), ..honest }
    }),
    ("evidence-malformed", |f, challenge| {
        let honest = f.evidence(challenge, &f.area(), |honest| honest);
        TpmEvidence { ek_certificate: Some(vec![0x30, 0x80]), ..honest }
    }),
];

#[test]
fn every_lie_is_refused_recorded_and_signs_nothing() {
    let house = House::open("tpm-lies");
    let client = EnrolmentClient::new(&house.bank).expect("a client");
    let key = KeyPair::generate().expect("a key");
    let forger = Forger { house: &house, client, tpm: SoftTpm::new(), key };
    let user = NewUser { id: USER, contract: CONTRACT, role: "general", name: "試験 花子", token: None };
    house.bank.register_user(&user).expect("a user");
    let serial = forger.device().serial;
    let list = house.bank.path("tpms.csv");
    std::fs::write(&list, format!("EK SHA256\n{serial}\n")).expect("a list");
    house.bank.operator(&["token", "import", &list.to_string_lossy()]).expect("known to the bank");
    let assign = ["user", "assign-token", USER, "--kind", "tpm", "--serial", &serial];
    house.bank.operator(&assign).expect("assigned");

    for (index, (expected, lie)) in LIES.iter().enumerate() {
        let key = format!("tpm-lie-key-{index:08}");
        let (opened, challenge) = forger.opened(&key);
        let certify = forger.certify(&challenge, lie(&forger, &challenge));
        let problem = refused(forger.client.certify(&opened, &certify, &key).expect("an answer"), expected);
        assert_eq!(problem.code, Code::EvidenceRefused, "{expected}: {problem:?}");
        assert_eq!(forger.refusals().len(), index + 1, "{expected}");
    }
    let mut found = forger.refusals();
    let mut expected: Vec<&str> = LIES.iter().map(|(code, _)| *code).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);

    // The first step: another TPM's keys, and none.
    let elsewhere = Open {
        tpm: Some(TpmIdentity {
            ek_public: Base64Url(Area::of_ek(&SoftTpm::new().ek()).octets()),
            ..forger.identity()
        }),
        ..forger.opening()
    };
    let problem =
        refused(forger.client.open_with(&elsewhere, "tpm-lie-elsewhere").expect("an answer"), "another TPM");
    assert_eq!(problem.code, Code::WrongDevice, "{problem:?}");
    let without = Open { tpm: None, ..forger.opening() };
    let problem =
        refused(forger.client.open_with(&without, "tpm-lie-without-1").expect("an answer"), "no TPM");
    assert_eq!(problem.code, Code::EvidenceRefused, "{problem:?}");

    assert!(
        house.bank.audit_rows("certificate.intended").expect("the trail").is_empty(),
        "something was issued"
    );

    // The same keys with the truth: what the bank assigned by its hash, it vouches for.
    let (opened, challenge) = forger.opened("tpm-truth-000001");
    let honest = forger.evidence(&challenge, &forger.area(), |honest| honest);
    let certify = forger.certify(&challenge, honest);
    forger.client.certify(&opened, &certify, "tpm-truth-000001").expect("an answer").expect("a certificate");
}
