//! From the draft to the certificate, with OpenSSL as judge of the result.

use std::{fs, path::Path, process::Command};

use super::*;
use crate::domain::{
    anchor::MayIssue,
    audit::AuditPosition,
    crl::{self, CrlPolicy},
    device::Assurance,
    fixtures::{
        Request, TestKey, at, attested, contract, issuer, issuer_until, now, profile, signer_name, user,
        verified_csr,
    },
    receipt::{IntentReceipt, JournalPosition, JournaledSignature},
    revocation::{Revocation, RevocationReason},
    serial,
    user::Role,
};

const RECEIPT: IntentReceipt = IntentReceipt { audit_head: AuditPosition { sequence: 3, hash: [3; 32] } };
const POSITION: JournalPosition = JournalPosition { sequence: 1, hash: [4; 32] };

struct Bench {
    issuer_key: TestKey,
    profile: Profile,
    csr: Csr,
    contract: Contract,
    user: User,
    attested: Attested,
    signer: SignerName,
    serial: SerialNumber,
}

impl Bench {
    fn new(issuer_key: TestKey) -> Self {
        let profile = profile(issuer(&issuer_key));
        Self {
            issuer_key,
            profile,
            csr: verified_csr(&TestKey::p256()),
            contract: contract(),
            user: user("hokkai-01", Role::General),
            attested: attested(Assurance::AttestedWithPin),
            signer: signer_name(),
            serial: serial::from_random([5; 16]),
        }
    }

    fn order(&self) -> Order<'_> {
        Order {
            intent: EnrolmentId(uuid::Uuid::from_u128(1)),
            profile: &self.profile,
            contract: &self.contract,
            user: &self.user,
            csr: &self.csr,
            attested: &self.attested,
            renews: None,
            signer: &self.signer,
            serial: &self.serial,
            now: now(),
        }
    }

    fn recorded(&self) -> Recorded {
        draft(&self.order()).expect("a draft").lint().expect("no findings").recorded(RECEIPT)
    }

    fn signature(&self, message: &[u8]) -> JournaledSignature {
        JournaledSignature { signature: self.issuer_key.sign(message), position: POSITION }
    }

    fn issued(&self) -> Issued {
        let recorded = self.recorded();
        let signature = self.signature(&recorded.record().tbs);
        recorded.signed(signature).verify(self.profile.issuer()).expect("an issued certificate")
    }
}

fn may_issue() -> MayIssue {
    MayIssue::after(AuditPosition::GENESIS, None)
}

/// Rule 2, 有効期間, and what the certificate and its row say.
#[test]
fn what_is_ordered_is_what_is_issued() {
    let bench = Bench::new(TestKey::p384());
    let linted = draft(&bench.order()).expect("a draft").lint().expect("no findings");
    let record = linted.record(may_issue());
    assert_eq!(record.not_before, now());
    assert_eq!(record.not_after, at("2027-11-24T23:59:59+09:00"));
    assert_eq!((&record.user, &record.device), (&bench.user.id, &bench.attested.device));
    assert_eq!(record.state, CertificateState::Intended);
    let recorded = linted.recorded(RECEIPT);
    assert_eq!(recorded.audit_head(), RECEIPT.audit_head);
    let issued = bench.issued();
    assert_eq!(issued.position(), POSITION);
    let delivered = issued
        .delivered(IssuedReceipt {
            audit_head: AuditPosition { sequence: 5, hash: [5; 32] },
            is_revoked: false,
        })
        .expect("it stands");
    assert_eq!(*delivered.serial(), bench.serial);
}

/// Rule 2: "refused, never shortened, if that is beyond the issuer's own notAfter".
#[test]
fn rule_2_an_expiring_issuer_refuses() {
    let mut bench = Bench::new(TestKey::p256());
    bench.profile = profile(issuer_until(&bench.issuer_key, "2027-11-24T14:59:58Z"));
    let refused = draft(&bench.order()).expect_err("beyond the issuer");
    assert_eq!(refused.code(), "draft-issuer-expires");
    let early = Order { now: at("2025-12-31T23:59:59Z"), ..bench.order() };
    assert_eq!(draft(&early).expect_err("before the issuer").code(), "draft-issuer-not-yet-valid");
}

#[test]
fn the_authoritys_own_key_and_bad_names_are_refused() {
    let mut bench = Bench::new(TestKey::p256());
    let request = Request::plain(&bench.issuer_key).der();
    bench.csr = crate::domain::csr::verify(&request, &bench.user.id).expect("a request");
    assert_eq!(draft(&bench.order()).expect_err("the issuer's key").code(), "draft-issuers-key");

    // The root's, a responder's, another issuer's.
    for own in [TestKey::p384(), TestKey::rsa_2048()] {
        let mut bench = Bench::new(TestKey::p256());
        bench.csr =
            crate::domain::csr::verify(&Request::plain(&own).der(), &bench.user.id).expect("a request");
        assert!(draft(&bench.order()).is_ok(), "it is a stranger's");
        bench.profile = bench.profile.with_own_keys([TestKey::p256().public_key(), own.public_key()]);
        assert_eq!(draft(&bench.order()).expect_err("an own key").code(), "draft-issuers-key");
    }

    let mut bench = Bench::new(TestKey::p256());
    bench.user.display_name = "山田\u{202e}太郎".to_owned();
    assert_eq!(draft(&bench.order()).expect_err("a reordered name").code(), "draft-subject");
}

#[test]
fn corrupt_and_foreign_signatures_do_not_pass() {
    let bench = Bench::new(TestKey::p256());
    let recorded = || bench.recorded();
    let by_another = TestKey::p256().sign(recorded().record().tbs.as_slice());
    let over_another = bench.issuer_key.sign(b"something else");
    for signature in [by_another, over_another, Vec::new(), vec![0; 70]] {
        let signed = recorded().signed(JournaledSignature { signature, position: POSITION });
        assert!(matches!(signed.verify(bench.profile.issuer()), Err(SignatureError::Wrong(_))));
    }
    let signature = bench.signature(recorded().record().tbs.as_slice());
    let other = Bench::new(TestKey::p256());
    let refused = recorded().signed(signature).verify(other.profile.issuer());
    assert!(matches!(refused, Err(SignatureError::Wrong(_))), "the right signature, another issuer's key");
}

#[test]
fn a_crash_is_resumed_with_the_same_bytes_only() {
    let bench = Bench::new(TestKey::p256());
    let linted = draft(&bench.order()).expect("a draft").lint().expect("no findings");
    let record = linted.record(may_issue()).clone();
    let resumed =
        |row: &CertificateRecord| Recorded::resumed(row.clone(), AuditPosition::GENESIS, may_issue());
    assert_eq!(resumed(&record).expect("an open intent").record().tbs, record.tbs);
    let signature = bench.signature(&record.tbs);

    let adopted = |tbs: &[u8]| Signed::adopted(record.clone(), tbs, signature.clone());
    let adopted_same = adopted(&record.tbs).expect("the same bytes");
    assert!(adopted_same.verify(bench.profile.issuer()).is_ok());
    let other = [&record.tbs[..], &[0]].concat();
    assert_eq!(adopted(&other).expect_err("other bytes"), OtherBytes(record.intent));

    for state in [
        CertificateState::Abandoned,
        CertificateState::Revoked { der: None, at: now(), reason: RevocationReason::Superseded },
    ] {
        let row = CertificateRecord { state, ..record.clone() };
        assert!(resumed(&row).is_none());
        assert_eq!(Delivered::from_ledger(&row), None);
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success() || arguments.contains(&"-crl_check"), "openssl {arguments:?}: {text}");
    text
}

/// OpenSSL reads the certificate as it was meant, and verifies it strictly, with a CRL, demanding the policy.
#[test]
fn openssl_agrees_about_certificate_and_crl() {
    for issuer_key in [TestKey::p256(), TestKey::p384(), TestKey::rsa_2048()] {
        let bench = Bench::new(issuer_key);
        let (certificate, issuer) = (bench.issued(), bench.profile.issuer());
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        fs::write(folder.join("user.der"), certificate.der()).expect("written");
        fs::write(folder.join("ca.der"), issuer.der()).expect("written");
        for name in ["user", "ca"] {
            let (from, to) = (format!("{name}.der"), format!("{name}.pem"));
            openssl(folder, &["x509", "-inform", "DER", "-in", &from, "-out", &to]);
        }
        let text = openssl(
            folder,
            &["x509", "-in", "user.pem", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus"],
        );
        for expected in [
            "Subject: C=JP,O=北海商事株式会社,OU=1234567,UID=hokkai-01,CN=山田 太郎",
            "Not After : Nov 24 14:59:59 2027 GMT",
            "TLS Web Client Authentication",
            "Policy: 2.25.88.3",
            "URI:http://crl.example/customer-0.crl",
            "OCSP - URI:http://ocsp.example/customer",
            "CA Issuers - URI:http://crl.example/customer.cer",
            "CA:FALSE",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        let revoked = Revocation {
            issuer: issuer.id().clone(),
            serial: bench.serial.clone(),
            at: now(),
            reason: RevocationReason::KeyCompromise,
            not_after: certificate.record().not_after,
        };
        for (revocations, verdict) in [(vec![], "user.pem: OK"), (vec![revoked], "certificate revoked")] {
            let crl =
                crl::draft(issuer, &CrlPolicy::default(), 7, &revocations, None, now()).expect("a draft");
            let signature = bench.signature(crl.tbs());
            let crl = crl.signed(&signature, issuer).expect("a CRL");
            fs::write(folder.join("crl.der"), &crl.der).expect("written");
            openssl(folder, &["crl", "-inform", "DER", "-in", "crl.der", "-out", "crl.pem"]);
            let when = now().as_second().to_string();
            let text = openssl(
                folder,
                &[
                    "verify",
                    "-x509_strict",
                    "-crl_check",
                    "-attime",
                    &when,
                    "-policy",
                    "2.25.88.3",
                    "-explicit_policy",
                    "-purpose",
                    "sslclient",
                    "-CAfile",
                    "ca.pem",
                    "-CRLfile",
                    "crl.pem",
                    "user.pem",
                ],
            );
            assert!(text.contains(verdict), "{verdict}: {text}");
        }
    }
}
