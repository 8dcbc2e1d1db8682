//! CRLs: each authority whose key is at hand has one, their numbers rise, and nothing is revoked twice.

use der::Decode;
use x509_cert::crl::CertificateList;

use super::super::facts::Facts;
use super::super::spec::{CertificateSpec, CrlSpec, Input, Kind};
use super::super::work::previous::Previous;
use super::{Mistakes, Profile, Spec, authority};
use crate::ceremony::check;

pub(super) fn check(spec: &Spec, mistakes: &mut Mistakes) {
    for crl in &spec.crls {
        let mut crl = Check { path: format!("crl.{}", crl.issuer), crl, mistakes };
        crl.check(spec);
    }
    if !matches!(spec.kind, Kind::NewAuthority | Kind::RollIssuing | Kind::RollRoot) {
        return;
    }
    let with_key = spec.certificates.iter().filter(|c| c.profile.is_authority() && c.key().is_some());
    for certificate in with_key.filter(|certificate| certificate.profile != Profile::Link) {
        if spec.crls.iter().all(|crl| crl.issuer != certificate.name) {
            let remedy = format!("add a section [[crl]] with issuer = {:?}", certificate.name);
            let problem =
                if certificate.issued().is_some() { "has no first CRL" } else { "has no further CRL" };
            mistakes.add(format!("certificate.{}", certificate.name), problem, remedy);
        }
    }
}

struct Check<'a> {
    path: String,
    crl: &'a CrlSpec,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, problem: impl Into<String>, remedy: &str) {
        self.mistakes.add(format!("{}.{key}", self.path), problem, remedy);
    }

    fn check(&mut self, spec: &Spec) {
        let CrlSpec { issuer, next_update_days, .. } = self.crl;
        let Some(certificate) = authority(spec, issuer) else {
            if !issuer.is_empty() {
                let problem = format!("{issuer:?} is no authority");
                self.mistake("issuer", problem, "name the certificate of an authority");
            }
            return;
        };
        if certificate.key().is_none() {
            let remedy = "name its key in the certificate's section, or remove the CRL";
            self.mistake("issuer", format!("{issuer:?} has no key on a token of this ceremony"), remedy);
        }
        let limit = if certificate.profile == Profile::Root { 366 } else { 7 };
        if !(1..=limit).contains(next_update_days) {
            let remedy = format!("choose 1 to {limit} days");
            self.mistake("next_update_days", format!("is {next_update_days}"), &remedy);
        }
        self.previous(spec.kind, certificate);
        self.revocations(certificate);
    }

    /// The CRL before this one is needed, to go on from its number and entries.
    fn previous(&mut self, kind: Kind, certificate: &CertificateSpec) {
        match (&self.crl.previous, certificate.existing()) {
            (Some(_), None) => {
                let problem = "is given for an authority that has none yet";
                self.mistake("previous", problem, "remove it: the first CRL has number 1");
            }
            // An authority that was certified elsewhere a moment ago has its first CRL here.
            (None, Some(_)) if kind != Kind::Install => {
                let remedy = "name the authority's latest CRL: the next goes on from its number and entries";
                self.mistake("previous", "is missing", remedy);
            }
            (Some(previous), Some(issuer)) if !previous.der.is_empty() && !issuer.der.is_empty() => {
                let usable = check::previous_crl(&previous.der, &issuer.der)
                    .and_then(|_| Previous::read(&previous.der).map(drop));
                if let Err(problem) = usable {
                    let problem = format!("names {}, which {problem}", previous.path.display());
                    self.mistake("previous", problem, "name the authority's latest CRL");
                }
            }
            _ => {}
        }
    }

    fn revocations(&mut self, certificate: &CertificateSpec) {
        let listed = self.crl.previous.as_ref().map_or_else(Vec::new, |previous| serials(&previous.der));
        for (index, revocation) in self.crl.revocations.iter().enumerate() {
            let key = format!("revoke[{}]", index + 1);
            if revocation.serial.is_empty() {
                continue;
            }
            if listed.contains(&revocation.serial) {
                self.mistake(
                    &key,
                    "is on the previous CRL already",
                    "remove it: it stays on every further CRL",
                );
            }
            let before = &self.crl.revocations[..index];
            if before.iter().any(|other| other.serial == revocation.serial) {
                self.mistake(&key, "revokes the same certificate again", "remove it");
            }
            let both = (revocation.certificate.as_ref(), certificate.existing());
            if let (Some(revoked), Some(issuer)) = both
                && let Err(problem) = issued_by(revoked, issuer)
            {
                self.mistake(&key, problem, "name a certificate of this authority");
            }
        }
    }
}

/// The serial numbers on a CRL.
fn serials(der: &[u8]) -> Vec<Vec<u8>> {
    let list: Option<CertificateList> = CertificateList::from_der(der).ok();
    let entries = list.and_then(|list| list.tbs_cert_list.revoked_certificates).unwrap_or_default();
    entries.iter().map(|entry| entry.serial_number.as_bytes().to_vec()).collect()
}

fn issued_by(certificate: &Input, issuer: &Input) -> Result<(), String> {
    let name = certificate.path.display();
    let facts = Facts::of(&certificate.der).map_err(|problem| format!("names {name}, which {problem}"))?;
    let issuer = Facts::of(&issuer.der)?;
    if facts.issuer == issuer.subject {
        Ok(())
    } else {
        Err(format!("names {name}, which another authority issued"))
    }
}
