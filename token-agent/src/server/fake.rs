//! The bank's server in memory, for unit tests: it keeps the contract of `ca_wire::enrolment`, issues with an authority
//! of its own, and can lose a request or its answer.

mod custody;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use ca_wire::{
    Base64Url,
    enrolment::{
        Certified, Certify, Confirm, Evidence, KeyRequirements, Opened, challenge_message, renewal_message,
    },
    problem::Code,
    token::{Approvers, Erasure, KeptPuk, Occasion, Released, UnblockState, Unblocking},
    version::AgentVersions,
};
use ca_x509::{KeyKind, SignatureAlgorithm, signed::Signed};
use der::{Decode, Encode};
use jiff::{Timestamp, ToSpan, civil::Date};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use uuid::Uuid;
use x509_cert::{Certificate, request::CertReq};

use super::{EnrolmentApi, OpenRequest, Refusal, ServerError, Session};

/// What goes wrong at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The request doesn't arrive.
    Request(usize),
    /// The request is carried out, the answer doesn't arrive.
    Answer(usize),
}

struct Enrolment {
    id: Uuid,
    user_id: String,
    challenge: Vec<u8>,
    key: Option<Vec<u8>>,
    renews: Option<String>,
    certified: Option<Certified>,
    confirmed: bool,
}

/// The server.
pub(crate) struct FakeServer {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
    enrolments: RefCell<HashMap<String, Enrolment>>,
    /// The keys of the certificates that were issued, by serial number.
    certificates: RefCell<HashMap<String, SubjectPublicKeyInfoOwned>>,
    /// The serial numbers of those whose successor was confirmed.
    pub(crate) superseded: RefCell<HashSet<String>>,
    /// The idempotency keys of renewals that were taken back.
    lapsed: RefCell<HashSet<String>>,
    /// The first and the day after the last of what is issued; rcgen's own without.
    pub(crate) validity: Cell<Option<(Date, Date)>>,
    pub(crate) slots: RefCell<Vec<String>>,
    pub(crate) issued: Cell<usize>,
    /// Whether PUKs are deposited.
    pub(crate) keeps_puks: Cell<bool>,
    /// The PUKs in custody, by deposit, in their order.
    pub(crate) puks: RefCell<Vec<(Uuid, String)>>,
    /// Requests to unblock, by idempotency key.
    pub(crate) unblockings: RefCell<HashMap<String, Unblocking>>,
    /// What was erased, as it was told.
    pub(crate) erasures: RefCell<Vec<Erasure>>,
    /// What becomes of a request when it is looked at.
    pub(crate) decision: Cell<UnblockState>,
    pub(crate) requests: Cell<usize>,
    pub(crate) loss: Cell<Option<Loss>>,
    /// Answers step 2 once with this refusal.
    pub(crate) refuse: Cell<Option<Code>>,
    pub(crate) lowest: Cell<&'static str>,
    pub(crate) algorithms: RefCell<Vec<String>>,
}

impl FakeServer {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name.push(DnType::CommonName, "Bank CA");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = parameters.self_signed(&key).expect("a certificate").der().to_vec();
        Self {
            issuer: Issuer::new(parameters, key),
            root,
            enrolments: RefCell::default(),
            certificates: RefCell::default(),
            superseded: RefCell::default(),
            lapsed: RefCell::default(),
            validity: Cell::new(None),
            slots: RefCell::new(vec!["9a".to_owned(), "9c".to_owned()]),
            issued: Cell::new(0),
            keeps_puks: Cell::new(false),
            puks: RefCell::default(),
            unblockings: RefCell::default(),
            erasures: RefCell::default(),
            decision: Cell::new(UnblockState::Approved),
            requests: Cell::new(0),
            loss: Cell::new(None),
            refuse: Cell::new(None),
            lowest: Cell::new("0.1.0"),
            algorithms: RefCell::new(vec!["p256".to_owned(), "rsa2048".to_owned()]),
        }
    }

    /// Enrolments that were confirmed.
    pub(crate) fn confirmed(&self) -> usize {
        self.enrolments.borrow().values().filter(|enrolment| enrolment.confirmed).count()
    }

    /// Takes back the renewals that were never confirmed.
    pub(crate) fn lapse(&self) {
        let mut enrolments = self.enrolments.borrow_mut();
        let unconfirmed = |enrolment: &Enrolment| {
            enrolment.renews.is_some() && enrolment.key.is_some() && !enrolment.confirmed
        };
        let keys =
            enrolments.iter().filter(|(_, enrolment)| unconfirmed(enrolment)).map(|(key, _)| key.clone());
        self.lapsed.borrow_mut().extend(keys.collect::<Vec<_>>());
        enrolments.retain(|_, enrolment| !unconfirmed(enrolment));
    }

    fn serve<T>(&self, answer: impl FnOnce() -> Result<T, ServerError>) -> Result<T, ServerError> {
        let number = self.requests.get();
        self.requests.set(number + 1);
        if self.loss.get() == Some(Loss::Request(number)) {
            return Err(ServerError::NotUnderstood(502));
        }
        let answer = answer();
        if self.loss.get() == Some(Loss::Answer(number)) {
            Err(ServerError::NotUnderstood(502))
        } else {
            answer
        }
    }

    fn issue(&self, user_id: &str, spki: &[u8]) -> Certified {
        self.issued.set(self.issued.get() + 1);
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        let uid = DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(uid, user_id);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some((first, end)) = self.validity.get() {
            let time = |day: Date| {
                rcgen::date_time_ymd(day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
            };
            (parameters.not_before, parameters.not_after) = (time(first), time(end));
        }
        let key = rcgen::SubjectPublicKeyInfo::from_der(spki).expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        let parsed = Certificate::from_der(certificate.der()).expect("a certificate");
        let tbs = parsed.tbs_certificate();
        let serial = hex::encode(tbs.serial_number().as_bytes());
        self.certificates.borrow_mut().insert(serial, tbs.subject_public_key_info().clone());
        let chain = vec![Base64Url(self.root.clone())];
        Certified { certificate: Base64Url(certificate.der().to_vec()), chain }
    }
}

/// A refusal with this code.
pub(crate) fn refusal(code: Code) -> ServerError {
    ServerError::Refused(Refusal {
        code: Some(code),
        name: code.as_str().to_owned(),
        detail: None,
        retry_at: None,
        support_id: None,
    })
}

impl EnrolmentApi for FakeServer {
    fn origin(&self) -> &'static str {
        "https://bank.example"
    }

    fn versions(&self) -> Result<AgentVersions, ServerError> {
        self.serve(|| {
            Ok(AgentVersions {
                lowest: self.lowest.get().to_owned(),
                newest: "0.1.0".to_owned(),
                download: "https://bank.example/agent".to_owned(),
                server_time: Timestamp::now(),
            })
        })
    }

    fn open(&self, idempotency_key: &str, request: &OpenRequest<'_>) -> Result<Opened, ServerError> {
        self.serve(|| {
            if request.password.expose() != "right" {
                return Err(refusal(Code::AuthenticationFailed));
            }
            if self.lapsed.borrow().contains(idempotency_key) {
                return Err(refusal(Code::IdempotencyKey));
            }
            let mut enrolments = self.enrolments.borrow_mut();
            // A repetition is answered as before, whatever became of the predecessor.
            if let Some(serial) = request.renews.filter(|_| !enrolments.contains_key(idempotency_key)) {
                let known = self.certificates.borrow().contains_key(serial);
                if !known || self.superseded.borrow().contains(serial) {
                    return Err(refusal(Code::PredecessorInvalid));
                }
            }
            let fresh = || Enrolment {
                id: Uuid::new_v4(),
                user_id: request.user_id.to_owned(),
                challenge: Vec::new(),
                key: None,
                renews: request.renews.map(str::to_owned),
                certified: None,
                confirmed: false,
            };
            let enrolment = enrolments.entry(idempotency_key.to_owned()).or_insert_with(fresh);
            enrolment.challenge = rand::random::<[u8; 32]>().to_vec();
            Ok(Opened {
                enrolment_id: enrolment.id,
                bearer: "bearer".to_owned(),
                challenge: Some(Base64Url(enrolment.challenge.clone())),
                tpm_credential: None,
                expires_at: Timestamp::now() + 1.hour(),
                key: KeyRequirements {
                    slots: self.slots.borrow().clone(),
                    algorithms: self.algorithms.borrow().clone(),
                    pin_policy: "once".to_owned(),
                    touch_policy: "never".to_owned(),
                    puk: if self.keeps_puks.get() { "kept" } else { "forgotten" }.to_owned(),
                },
                certified: enrolment.certified.clone(),
            })
        })
    }

    fn certify(&self, session: &Session, request: &Certify) -> Result<Certified, ServerError> {
        self.serve(|| {
            if let Some(code) = self.refuse.take() {
                return Err(refusal(code));
            }
            let csr = CertReq::from_der(&request.csr.0).expect("a CSR");
            let spki = csr.info.public_key.clone();
            Signed::parse(&request.csr.0).expect("a CSR").verify(&spki).expect("possession of the key");
            let mut enrolments = self.enrolments.borrow_mut();
            let enrolment = enrolments.get_mut(&session.idempotency_key).expect("an enrolment");
            let key = spki.to_der().expect("DER");
            let message = challenge_message(&enrolment.challenge, &key);
            let algorithm = SignatureAlgorithm::for_key(KeyKind::of(&spki).expect("a kind"));
            ca_x509::verify::verify(&spki, algorithm, &message, &request.challenge_signature.0)
                .expect("the challenge's signature");
            assert_eq!(enrolment.renews.is_some(), request.predecessor_signature.is_some());
            if let (Some(serial), Some(signature)) = (&enrolment.renews, &request.predecessor_signature) {
                let message = renewal_message(&enrolment.challenge, &key);
                let old = self.certificates.borrow()[serial].clone();
                let algorithm = SignatureAlgorithm::for_key(KeyKind::of(&old).expect("a kind"));
                ca_x509::verify::verify(&old, algorithm, &message, &signature.0)
                    .expect("the predecessor's signature");
            }
            let Evidence::YubikeyPiv { slot, .. } = &request.evidence else { panic!("a card's evidence") };
            let attested = x509_cert::Certificate::from_der(&slot.0).expect("an attestation");
            assert_eq!(*attested.tbs_certificate().subject_public_key_info(), spki);
            if enrolment.key.is_none() && self.certificates.borrow().values().any(|used| *used == spki) {
                return Err(refusal(Code::DeviceInUse));
            }
            if enrolment.key.get_or_insert_with(|| key.clone()) != &key {
                return Err(refusal(Code::IdempotencyKey));
            }
            if enrolment.certified.is_none() {
                enrolment.certified = Some(self.issue(&enrolment.user_id, &key));
            }
            Ok(enrolment.certified.clone().expect("just issued"))
        })
    }

    fn confirm(&self, session: &Session, request: &Confirm) -> Result<(), ServerError> {
        self.serve(|| {
            let mut enrolments = self.enrolments.borrow_mut();
            let enrolment = enrolments.get_mut(&session.idempotency_key).expect("an enrolment");
            let certified = enrolment.certified.as_ref().expect("a certificate");
            let right = Sha256::digest(&certified.certificate.0).to_vec();
            assert_eq!(request.certificate_sha256.0, right, "the certificate on the token is the one issued");
            self.superseded.borrow_mut().extend(enrolment.renews.clone());
            enrolment.confirmed = true;
            Ok(())
        })
    }
}
