//! What must hold between the parts of a specification, and between it and this machine.

use std::collections::BTreeMap;

use ca_x509::publication::is_publishable;
use jiff::Timestamp;

use super::mistake::{Mistake, Mistakes};
use super::spec::{CertificateSpec, CrlSpec, Lifetime, Profile, Spec, Subject, TokenSpec};
use crate::token::Pin;

/// `anyPolicy` (RFC 5280, 4.2.1.4).
const ANY_POLICY: &str = "2.5.29.32.0";

/// Checks a specification in itself. Values that the parser left empty were reported by it.
pub(super) fn check(spec: &Spec, mistakes: &mut Mistakes) {
    if spec.present.len() < 2 {
        mistakes.add(
            "present",
            "names fewer than two people",
            "name everybody who attends: nobody holds a ceremony alone",
        );
    }
    for (section, empty) in [("token", spec.tokens.is_empty()), ("key", spec.keys.is_empty())] {
        if empty {
            mistakes.add(section, "is missing", format!("add a section [[{section}]]"));
        }
    }
    unique("token", spec.tokens.iter().map(|token| &token.name), mistakes);
    unique("key", spec.keys.iter().map(|key| &key.name), mistakes);
    unique("certificate", spec.certificates.iter().map(|certificate| &certificate.name), mistakes);
    unique("crl", spec.crls.iter().map(|crl| &crl.issuer), mistakes);
    tokens(spec, mistakes);
    keys(spec, mistakes);
    let roots = spec.certificates.iter().filter(|certificate| certificate.profile == Profile::Root).count();
    if roots != 1 {
        let remedy = "describe exactly one certificate with profile = \"root\"";
        mistakes.add("certificate", format!("has {roots} roots"), remedy);
    }
    for certificate in &spec.certificates {
        let mut certificate =
            Check { path: format!("certificate.{}", certificate.name), certificate, spec, mistakes };
        certificate.references();
        certificate.subject();
        certificate.lifetime();
        certificate.extensions();
    }
    crls(spec, mistakes);
}

fn unique<'a>(section: &str, names: impl Iterator<Item = &'a String>, mistakes: &mut Mistakes) {
    let mut seen = BTreeMap::new();
    for name in names.filter(|name| !name.is_empty()) {
        *seen.entry(name).or_insert(0) += 1;
    }
    for (name, count) in seen.into_iter().filter(|(_, count)| *count > 1) {
        mistakes.add(
            format!("{section}.{name}"),
            format!("is described {count} times"),
            "give each its own name",
        );
    }
}

fn tokens(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, token) in spec.tokens.iter().enumerate() {
        let path = |key: &str| format!("token.{}.{key}", token.name);
        if token.label.len() > 32 {
            mistakes.add(path("label"), "is longer than 32 bytes", "shorten it");
        }
        if token.label.trim_end() != token.label {
            mistakes.add(path("label"), "ends in a blank, which tokens drop", "remove it");
        }
        let same = |other: &&TokenSpec| other.access == token.access && other.label == token.label;
        if let Some(other) = spec.tokens[..index].iter().find(same) {
            mistakes.add(
                path("label"),
                format!("is that of token {:?} as well", other.name),
                "give each token its own label",
            );
        }
        if token.initialise.as_ref().is_some_and(|initialise| initialise.so_pin_file == token.pin_file) {
            mistakes.add(
                path("so_pin_file"),
                "is the same file as pin_file",
                "give officer and user a PIN each",
            );
        }
        if spec.keys.iter().all(|key| key.token != token.name) {
            mistakes.add(format!("token.{}", token.name), "holds no key", "remove it or put a key on it");
        }
    }
}

fn keys(spec: &Spec, mistakes: &mut Mistakes) {
    for (index, key) in spec.keys.iter().enumerate() {
        let path = |name: &str| format!("key.{}.{name}", key.name);
        if !key.token.is_empty() && spec.token(&key.token).is_none() {
            mistakes.add(
                path("token"),
                format!("{:?} is no token", key.token),
                "name a token of this specification",
            );
        }
        let same = |other: &&super::spec::KeySpec| other.token == key.token && other.id == key.id;
        if let Some(other) = spec.keys[..index].iter().find(same) {
            let problem = format!("is that of key {:?} on the same token", other.name);
            mistakes.add(path("id"), problem, "give each key its own ID");
        }
        let users: Vec<&CertificateSpec> =
            spec.certificates.iter().filter(|certificate| certificate.key == key.name).collect();
        match users.as_slice() {
            [] => mistakes.add(
                format!("key.{}", key.name),
                "is certified by no certificate",
                "remove it or describe its certificate",
            ),
            [one]
                if one.profile == Profile::Root
                    && spec.keys.iter().filter(|k| k.token == key.token).count() > 1 =>
            {
                mistakes.add(
                    path("token"),
                    "holds other keys besides the root's",
                    "give the root a token of its own",
                );
            }
            [_] => {}
            more => {
                let problem = format!("is certified by {} certificates", more.len());
                mistakes.add(format!("key.{}", key.name), problem, "give each certificate its own key");
            }
        }
    }
}

struct Check<'a> {
    path: String,
    certificate: &'a CertificateSpec,
    spec: &'a Spec,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, problem: impl Into<String>, remedy: &str) {
        self.mistakes.add(format!("{}.{key}", self.path), problem, remedy);
    }

    fn references(&mut self) {
        let certificate = self.certificate;
        if !certificate.key.is_empty() && self.spec.key(&certificate.key).is_none() {
            self.mistake(
                "key",
                format!("{:?} is no key", certificate.key),
                "name a key of this specification",
            );
        }
        if certificate.profile == Profile::Root || certificate.issuer.is_empty() {
            return;
        }
        match self.spec.certificate(&certificate.issuer) {
            None => {
                let problem = format!("{:?} is no certificate", certificate.issuer);
                self.mistake("issuer", problem, "name a certificate of this specification");
            }
            Some(issuer) if certificate.profile.is_issuing() && issuer.profile != Profile::Root => {
                self.mistake("issuer", format!("{:?} is not the root", issuer.name), "name the root");
            }
            Some(issuer) if !issuer.profile.is_authority() => {
                self.mistake("issuer", format!("{:?} is no authority", issuer.name), "name an authority");
            }
            Some(_) => {}
        }
    }

    fn subject(&mut self) {
        let Subject { country, organization, organizational_unit, common_name } = &self.certificate.subject;
        let capitals = country.len() == 2 && country.chars().all(|c| c.is_ascii_uppercase());
        if !country.is_empty() && !capitals {
            self.mistake(
                "subject.country",
                format!("{country:?} is no country code"),
                "write two capital letters (ISO 3166)",
            );
        }
        let texts = [
            ("subject.organization", Some(organization)),
            ("subject.organizational_unit", organizational_unit.as_ref()),
            ("subject.common_name", Some(common_name)),
        ];
        for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
            // RFC 5280, appendix A.1: ub-organization-name, ub-organizational-unit-name, ub-common-name.
            if text.chars().count() > 64 {
                self.mistake(key, "is longer than 64 characters", "shorten it (RFC 5280, appendix A)");
            }
            if text.chars().any(unseen) || text.trim() != text {
                self.mistake(
                    key,
                    "has control characters, direction marks or blanks at its ends",
                    "remove them",
                );
            }
        }
        let same = |other: &&CertificateSpec| {
            other.name < self.certificate.name && other.subject == self.certificate.subject
        };
        if let Some(other) = self.spec.certificates.iter().find(same) {
            self.mistake(
                "subject",
                format!("is that of certificate {:?}", other.name),
                "give each its own common name",
            );
        }
    }

    fn lifetime(&mut self) {
        let (amount, limit, unit) = match (self.certificate.lifetime, self.certificate.profile) {
            (Lifetime::Years(years), Profile::Root) => (years, 30, "years"),
            (Lifetime::Years(years), Profile::Issuing | Profile::StaffIssuing) => (years, 20, "years"),
            (Lifetime::Years(years), Profile::OcspResponder) => (years, 0, "years"),
            (Lifetime::Days(days), Profile::OcspResponder) => (days, 366, "days"),
            (Lifetime::Days(days), _) => (days, 11_000, "days"),
        };
        if limit == 0 {
            self.mistake(
                "validity",
                "is in years",
                "write days: a responder can't be revoked, so it lives a few months, such as { days = 90 }",
            );
        } else if !(1..=limit).contains(&amount) {
            self.mistake("validity", format!("is {amount} {unit}"), &format!("choose 1 to {limit} {unit}"));
        }
        // Any date serves; today's makes the message true.
        let now = Timestamp::now();
        let end = |certificate: &CertificateSpec| certificate.lifetime.not_after(now).ok();
        let issuer = self.spec.certificate(&self.certificate.issuer);
        if let (Some(own), Some(issuer)) = (end(self.certificate), issuer.and_then(end))
            && own > issuer
        {
            self.mistake("validity", "ends after its issuer's", "shorten it, or lengthen the issuer's");
        }
    }

    fn extensions(&mut self) {
        let certificate = self.certificate;
        let urls = [
            ("crl_url", certificate.crl_url.as_deref()),
            ("ca_issuers_url", certificate.ca_issuers_url.as_deref()),
            ("ocsp_url", certificate.ocsp_url.as_deref()),
        ];
        for (key, url) in urls {
            match url.filter(|url| !url.is_empty()) {
                Some(_) if !certificate.profile.is_issuing() => {
                    self.mistake(
                        key,
                        "has no place in this profile",
                        "remove it: only issuing authorities carry it",
                    );
                }
                Some(url) if !is_publishable(url) => {
                    let remedy = "write a plain URL such as \"http://pki.bank.example/root.crl\": relying parties fetch it without TLS";
                    let problem = format!(
                        "{url:?} is not a plain http URL with an IP address or a fully qualified name"
                    );
                    self.mistake(key, problem, remedy);
                }
                None if certificate.profile.is_issuing() && url.is_none() && key != "ocsp_url" => {
                    self.mistake(
                        key,
                        "is missing",
                        "say where relying parties find it, such as \"http://pki.bank.example/root.crl\"",
                    );
                }
                _ => {}
            }
        }
        if !certificate.profile.is_issuing() && !certificate.policies.is_empty() {
            self.mistake(
                "policies",
                "has no place in this profile",
                "remove it: only issuing authorities carry policies",
            );
        }
        if certificate.profile == Profile::Issuing && certificate.policies.is_empty() {
            self.mistake(
                "policies",
                "is missing",
                "list the assurance policies that its users' certificates will carry",
            );
        }
        if certificate.policies.iter().any(|oid| oid.to_string() == ANY_POLICY) {
            self.mistake("policies", "has anyPolicy", "list the policies one by one");
        }
    }
}

/// Characters that make a name look other than it is.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn crls(spec: &Spec, mistakes: &mut Mistakes) {
    for CrlSpec { issuer, next_update_days } in &spec.crls {
        let path = |key: &str| format!("crl.{issuer}.{key}");
        let Some(certificate) =
            spec.certificate(issuer).filter(|certificate| certificate.profile.is_authority())
        else {
            if !issuer.is_empty() {
                mistakes.add(
                    path("issuer"),
                    format!("{issuer:?} is no authority"),
                    "name the certificate of an authority",
                );
            }
            continue;
        };
        let limit = if certificate.profile == Profile::Root { 366 } else { 7 };
        if !(1..=limit).contains(next_update_days) {
            let remedy = format!("choose 1 to {limit} days");
            mistakes.add(path("next_update_days"), format!("is {next_update_days}"), remedy);
        }
    }
    for certificate in spec.certificates.iter().filter(|certificate| certificate.profile.is_authority()) {
        if spec.crls.iter().all(|crl| crl.issuer != certificate.name) {
            let remedy = format!("add a section [[crl]] with issuer = {:?}", certificate.name);
            mistakes.add(format!("certificate.{}", certificate.name), "has no first CRL", remedy);
        }
    }
}

/// Checks what the specification needs from this machine: modules and PIN files. Changes nothing.
pub fn machine(spec: &Spec) -> Vec<Mistake> {
    let mut mistakes = Mistakes::default();
    vendors(spec, &mut mistakes);
    for token in &spec.tokens {
        modules(token, &mut mistakes);
        let so_pin_file =
            token.initialise.as_ref().map(|initialise| ("so_pin_file", &initialise.so_pin_file));
        for (key, path) in [("pin_file", &token.pin_file)].into_iter().chain(so_pin_file) {
            if let Err(error) = Pin::from_file(path) {
                let problem = format!("names {}, which {}", error.path.display(), error.fault);
                mistakes.add(format!("token.{}.{key}", token.name), problem, error.fault.remedy());
            }
        }
    }
    mistakes.0
}

/// What the vendors' profiles say against the specification: a ceremony should not find it out from the token.
fn vendors(spec: &Spec, mistakes: &mut Mistakes) {
    for token in &spec.tokens {
        let vendor = &token.access.vendor;
        if let (Some(_), Some(with)) = (&token.initialise, &vendor.token.initialise_with)
            && !vendor.token.initialise
        {
            let problem = format!("can't be initialised through PKCS#11, {} has other ways", vendor.product);
            let remedy = format!("initialise it ({with}), remove so_pin_file and set initialise = false");
            mistakes.add(format!("token.{}", token.name), problem, remedy);
        }
        for key in spec.keys.iter().filter(|key| key.token == token.name) {
            let place = |what: &str| format!("key.{}.{what}", key.name);
            if !vendor.keys.algorithms.contains(&key.algorithm) {
                let known: Vec<String> = vendor.keys.algorithms.iter().map(ToString::to_string).collect();
                let problem = format!("is {}, which {} doesn't make", key.algorithm, vendor.product);
                mistakes.add(place("algorithm"), problem, format!("choose among {}", known.join(", ")));
            }
            let octets = key.id.as_bytes().len();
            if octets > vendor.keys.longest_id {
                let problem = format!("has {octets} bytes, more than {} keeps", vendor.product);
                let remedy = format!("choose an ID of at most {} bytes", vendor.keys.longest_id);
                mistakes.add(place("id"), problem, remedy);
            }
        }
    }
}

/// Checks the modules alone, for a rehearsal.
pub(super) fn modules(token: &TokenSpec, mistakes: &mut Mistakes) {
    for (problem, remedy) in token.access.mistakes() {
        mistakes.add(format!("token.{}", token.name), problem, remedy);
    }
}
