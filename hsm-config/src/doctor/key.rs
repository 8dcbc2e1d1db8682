//! A key: whether the token protects it, whether it is its certificate's, whether it signs, and how fast.

use std::time::Duration;

use ca_x509::verify::verify;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::finding::Report;
use super::{Subject, SubjectKey};
use crate::token::{TokenSelection, key::PROBE};
use crate::vendor::Profile;
use crate::worker::handle::{CallError, Worker};
use crate::worker::look::{Look, Seen};
use crate::worker::protocol::{Answer, Command, KeyAttributes};

/// Signatures that the latency is measured by.
const SIGNATURES: usize = 20;
/// An issuing certificate is renewed in a ceremony, which takes a year to bring about.
const ISSUER_EXPIRES: SignedDuration = SignedDuration::from_hours(400 * 24);
/// A responder's is renewed by a job, long before this.
const RESPONDER_EXPIRES: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Everything about one key.
pub(super) async fn examine(subject: &Subject, key: &SubjectKey, worker: &Worker, report: &mut Report) {
    let limit = subject.sign_deadline;
    certificate(key, report);
    let public = match worker.public_key(&key.id, limit).await {
        Ok(public) => public,
        Err(error) => return absent(subject, key, &error, report),
    };
    if public == key.public_key_der {
        report.fine("key", &key.label, format!("CKA_ID {} is its certificate's key", key.id));
    } else {
        report.fail(
            "key",
            &key.label,
            format!("the key with CKA_ID {} is not the one in its certificate", key.id),
            "correct id or certificate in the configuration; if both are right, the key was replaced: treat it as an \
             incident",
        );
        return;
    }
    match worker.attributes(&key.id, limit).await {
        Ok(attributes) => protection(&subject.access.vendor, &key.label, &attributes, report),
        Err(error) => report.fail("protection", &key.label, error.to_string(), "see the module's own log"),
    }
    point(subject, key, worker, report).await;
    signatures(subject, key, worker, report).await;
}

fn absent(subject: &Subject, key: &SubjectKey, error: &CallError, report: &mut Report) {
    let on = match &subject.token {
        Some(TokenSelection::Label(name) | TokenSelection::Serial(name)) => name.as_str(),
        None => "the token",
    };
    report.fail(
        "key",
        &key.label,
        format!("no key pair with CKA_ID {} can be read: {error}", key.id),
        format!("see what is there: inro-hsm keys; correct id, or bring the key to {on} (backup, cloning)"),
    );
}

fn certificate(key: &SubjectKey, report: &mut Report) {
    let left = key.not_after.duration_since(Timestamp::now());
    let (warning, remedy) = if key.issues {
        (ISSUER_EXPIRES, "renew the issuing CA in a ceremony")
    } else {
        (
            RESPONDER_EXPIRES,
            "the authority renews it by itself; the configuration may go on naming the old one",
        )
    };
    let found = format!("its certificate ends at {}, in {} days", key.not_after, left.as_hours() / 24);
    if left.is_negative() && key.issues {
        report.fail("certificate", &key.label, format!("its certificate ended at {}", key.not_after), remedy);
    } else if left.is_negative() {
        report.note(
            "certificate",
            &key.label,
            format!("its certificate ended at {}; {remedy}", key.not_after),
        );
    } else if left < warning && key.issues {
        report.warn("certificate", &key.label, found, remedy);
    } else {
        report.fine("certificate", &key.label, found);
    }
}

/// What is said of a private key: its name, what the token answers, and what it should.
pub(crate) fn claims(attributes: &KeyAttributes) -> [(&'static str, Option<bool>, bool); 12] {
    [
        ("CKA_TOKEN", attributes.token, true),
        ("CKA_PRIVATE", attributes.private, true),
        ("CKA_SENSITIVE", attributes.sensitive, true),
        ("CKA_ALWAYS_SENSITIVE", attributes.always_sensitive, true),
        ("CKA_EXTRACTABLE", attributes.extractable, false),
        ("CKA_NEVER_EXTRACTABLE", attributes.never_extractable, true),
        ("CKA_LOCAL", attributes.local, true),
        ("CKA_SIGN", attributes.sign, true),
        ("CKA_DECRYPT", attributes.decrypt, false),
        ("CKA_UNWRAP", attributes.unwrap, false),
        ("CKA_DERIVE", attributes.derive, false),
        ("CKA_WRAP_WITH_TRUSTED", attributes.wrap_with_trusted, false),
    ]
}

fn protection(vendor: &Profile, label: &str, attributes: &KeyAttributes, report: &mut Report) {
    let mut bad = Vec::new();
    for (name, value, wanted) in claims(attributes) {
        let finding = match value {
            // It only matters for a key that can be wrapped.
            _ if name == "CKA_WRAP_WITH_TRUSTED" => continue,
            Some(value) if value == wanted => continue,
            Some(value) => format!("{name} is {value}"),
            None if vendor.keys.silent.iter().any(|silent| silent == name) => {
                report.note(
                    "protection",
                    label,
                    format!("the token doesn't tell {name}, which its profile knows"),
                );
                continue;
            }
            None => format!("the token doesn't tell {name}"),
        };
        bad.push((name, finding));
    }
    confinement(vendor, label, attributes, report);
    if bad.is_empty() {
        return report.fine(
            "protection",
            label,
            "made on this token, sensitive and never extractable, and signs only, by the token's own word",
        );
    }
    for (name, finding) in bad {
        match name {
            "CKA_EXTRACTABLE" | "CKA_NEVER_EXTRACTABLE" | "CKA_LOCAL" | "CKA_ALWAYS_SENSITIVE" => report.warn(
                "protection",
                label,
                finding,
                "right for a key that a ceremony made to be wrapped for a second HSM, or brought from one; see its \
                 transcript. Of any other key a copy may exist: make a new one and roll over",
            ),
            "CKA_DECRYPT" | "CKA_UNWRAP" | "CKA_DERIVE" => report.warn(
                "protection",
                label,
                finding,
                "a CA's key signs and does nothing else: set it to false, or make a new key in a ceremony",
            ),
            _ => report.fail(
                "protection",
                label,
                finding,
                "don't use it: make a new key in a ceremony, which insists on this",
            ),
        }
    }
}

/// For whom a key can be wrapped that can be wrapped at all.
fn confinement(vendor: &Profile, label: &str, attributes: &KeyAttributes, report: &mut Report) {
    if attributes.extractable != Some(true) {
        return;
    }
    if attributes.wrap_with_trusted == Some(true) {
        return report.note(
            "wrapping",
            label,
            "CKA_WRAP_WITH_TRUSTED: it can be wrapped under keys alone that the security officer trusts; the user's PIN alone \
             doesn't bring it off this token",
        );
    }
    let remedy = if vendor.backup.trusted {
        "keep its PIN with custodians; make its successor in a ceremony, which confines it to keys that the security officer \
         trusts"
    } else {
        "keep its PIN with custodians: this product's keys can't be confined to trusted ones through PKCS #11"
    };
    report.warn(
        "wrapping",
        label,
        "CKA_WRAP_WITH_TRUSTED is not set: whoever has the user's PIN can wrap it for a key of their own",
        remedy,
    );
}

async fn point(subject: &Subject, key: &SubjectKey, worker: &Worker, report: &mut Report) {
    let Some(expected) = subject.access.vendor.keys.ec_point else { return };
    let look = Command::Look(Look::Point { key: key.id.clone() });
    if let Ok(Answer::Seen(Seen::Point(Some(found)))) = worker.call(look, subject.sign_deadline).await
        && found != expected
    {
        report.note(
            "key",
            &key.label,
            format!(
                "its CKA_EC_POINT comes {found}, where the profile says {expected}: both are understood, correct the profile"
            ),
        );
    }
}

async fn signatures(subject: &Subject, key: &SubjectKey, worker: &Worker, report: &mut Report) {
    let mut times = Vec::with_capacity(SIGNATURES);
    for _ in 0..SIGNATURES {
        let began = Instant::now();
        let made = worker.sign(&key.id, key.algorithm.into(), PROBE.to_vec(), subject.sign_deadline).await;
        times.push(began.elapsed());
        let octets = match made {
            Ok(octets) => octets,
            Err(error) => {
                return report.fail(
                    "signature",
                    &key.label,
                    format!("doesn't sign: {error}"),
                    "see the module's own log; sign with the vendor's tool to tell Inro and HSM apart",
                );
            }
        };
        if verify(&key.public_key, key.algorithm, PROBE, &octets).is_err() {
            return report.fail(
                "signature",
                &key.label,
                "made a signature that its certificate doesn't verify",
                "don't use this HSM before its vendor has explained it: the signer refuses every such signature",
            );
        }
    }
    report.fine("signature", &key.label, format!("{SIGNATURES} signatures verify"));
    latency(subject, key, &mut times, report);
}

fn latency(subject: &Subject, key: &SubjectKey, times: &mut [Duration], report: &mut Report) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let found = format!(
        "a signature takes {}, the slowest of {SIGNATURES} {}",
        milliseconds(median),
        milliseconds(worst)
    );
    if worst > subject.sign_deadline / 2 {
        report.warn(
            "latency",
            &key.label,
            found,
            format!(
                "see what else uses the HSM; sign_seconds = {} counts a slower one as hanging",
                subject.sign_deadline.as_secs()
            ),
        );
    } else {
        report.fine("latency", &key.label, found);
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}
