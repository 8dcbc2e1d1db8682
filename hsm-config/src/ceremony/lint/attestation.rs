//! Evidence that an administrator's key was made in a token: which certificates need it, and that it holds.

use super::super::attestation;
use super::super::spec::{CertificateSpec, Issued, Profile, SubjectKey};
use super::Mistakes;

pub(super) fn check(certificate: &CertificateSpec, issued: &Issued, path: &str, mistakes: &mut Mistakes) {
    let place = format!("{path}.attestation");
    let needed = certificate.profile == Profile::Administrator;
    match (&issued.attestation, &issued.subject_key) {
        (None, _) if needed => {
            let remedy = "name the key's attestation: { slot = FILE, device = FILE, makers = [FILES] }";
            mistakes.add(place, "is missing", remedy);
        }
        (Some(_), _) if !needed => {
            mistakes.add(place, "has no place in this profile", "remove it");
        }
        (Some(evidence), SubjectKey::Requested { request, .. }) => {
            let unread =
                evidence.slot.der.is_empty() || evidence.device.der.is_empty() || request.der.is_empty();
            if unread || evidence.makers.iter().any(|maker| maker.der.is_empty()) {
                return;
            }
            if let Err(problem) = attestation::examine(evidence, request) {
                let remedy =
                    "have the key made in the token again, with its attestation, and trust nothing else";
                mistakes.add(place, problem, remedy);
            }
        }
        _ => {}
    }
}
