//! Certificates: those that exist are what they are said to be, those to be signed fit their profile and their issuer.

use const_oid::ObjectIdentifier;
use jiff::Timestamp;
use x509_cert::name::Name;

use ca_x509::publication::is_publishable;

use super::super::facts::{Facts, Requested};
use super::super::profile;
use super::super::spec::{
    CertificateSpec, Input, Issued, Kind, Lifetime, Profile, Source, Spec, Subject, SubjectKey,
};
use super::{Mistakes, attestation, authority};
use crate::{ceremony::check, clock};

/// `anyPolicy` (RFC 5280, 4.2.1.4).
const ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32.0");

pub(super) fn check(spec: &Spec, mistakes: &mut Mistakes) {
    for certificate in &spec.certificates {
        let path = format!("certificate.{}", certificate.name);
        match &certificate.source {
            Source::Existing { file, key } => {
                existing(spec, certificate, file, key.as_deref(), &path, mistakes);
            }
            Source::Issued(issued) => Check { path, certificate, issued, spec, mistakes }.check(),
        }
    }
    for request in &spec.requests {
        let path = format!("request.{}", request.name);
        if !request.key.is_empty() && spec.key(&request.key).is_none() {
            let problem = format!("{:?} is no key", request.key);
            mistakes.add(format!("{path}.key"), problem, "name a key of this specification");
        }
        subject(&request.subject, &path, mistakes);
    }
}

fn existing(
    spec: &Spec,
    certificate: &CertificateSpec,
    file: &Input,
    key: Option<&str>,
    path: &str,
    mistakes: &mut Mistakes,
) {
    if key.is_some_and(|key| !key.is_empty() && spec.key(key).is_none()) {
        let remedy = "name a key of this specification, or remove it";
        mistakes.add(format!("{path}.key"), format!("{:?} is no key", key.unwrap_or_default()), remedy);
    }
    if file.der.is_empty() {
        return;
    }
    let verdict = Facts::of(&file.der).and_then(|facts| {
        let root = certificate.profile == Profile::Root;
        if facts.authority != certificate.profile.is_authority() {
            return Err("is an authority's and should not be, or the reverse".to_owned());
        }
        if facts.self_signed != root {
            return Err("signs itself and should not, or the reverse".to_owned());
        }
        if facts.not_after < clock::now() && spec.kind != Kind::Retire {
            return Err(format!("ended on {}", facts.not_after));
        }
        if facts.not_before > clock::now() {
            return Err(format!("begins on {}: is this host's clock right?", facts.not_before));
        }
        Ok(())
    });
    if let Err(problem) = verdict {
        let problem = format!("names {}, which {problem}", file.path.display());
        mistakes.add(format!("{path}.existing"), problem, "name the certificate that this profile describes");
    }
}

struct Check<'a> {
    path: String,
    certificate: &'a CertificateSpec,
    issued: &'a Issued,
    spec: &'a Spec,
    mistakes: &'a mut Mistakes,
}

impl Check<'_> {
    fn mistake(&mut self, key: &str, problem: impl Into<String>, remedy: &str) {
        self.mistakes.add(format!("{}.{key}", self.path), problem, remedy);
    }

    fn check(&mut self) {
        self.subject_key();
        self.issuer();
        if let Some(own) = &self.issued.subject {
            subject(own, &self.path, self.mistakes);
            self.subject_is_its_own(own);
        }
        self.lifetime();
        self.urls();
        self.policies();
        self.renewal();
        attestation::check(self.certificate, self.issued, &self.path, self.mistakes);
    }

    fn subject_key(&mut self) {
        match &self.issued.subject_key {
            SubjectKey::OnToken(key) => {
                if !key.is_empty() && self.spec.key(key).is_none() {
                    let problem = format!("{key:?} is no key");
                    self.mistake("key", problem, "name a key of this specification");
                }
                if matches!(self.certificate.profile, Profile::Intermediate | Profile::Administrator) {
                    let remedy = "name the file of the certification request that its owner made";
                    self.mistake("request", "is missing", remedy);
                }
            }
            SubjectKey::Requested { request, .. } => {
                if matches!(self.certificate.profile, Profile::Root | Profile::OcspResponder) {
                    self.mistake("request", "has no place in this profile", "name the key instead");
                } else if !request.der.is_empty() {
                    self.request(request);
                }
            }
            SubjectKey::Of(root) => self.link(root),
        }
    }

    fn request(&mut self, request: &Input) {
        let verdict = Requested::of(&request.der).and_then(|requested| {
            let wanted = self.issued.subject.as_ref().and_then(|subject| profile::name(subject).ok());
            if wanted.is_none_or(|wanted| wanted == requested.subject) {
                return Ok(());
            }
            Err(format!("asks for the subject {:?}", ca_x509::name::shown(&requested.subject)))
        });
        if let Err(problem) = verdict {
            let problem = format!("names {}, which {problem}", request.path.display());
            self.mistake(
                "request",
                problem,
                "have its owner make a request with this very subject, or correct one of them",
            );
        }
    }

    /// A link joins two roots of one name (RFC 4210, 4.4): a link to another name would count as an intermediate, which
    /// the roots' path length excludes.
    fn link(&mut self, of: &str) {
        let root = |name: &str| self.spec.certificate(name).filter(|c| c.profile == Profile::Root);
        let (subject, issuer) = (root(of), root(&self.issued.issuer));
        if subject.is_none() && !of.is_empty() {
            self.mistake("of", format!("{of:?} is no root"), "name the root whose key it certifies");
        }
        if let (Some(subject), Some(issuer)) = (subject, issuer) {
            if subject.name == issuer.name {
                self.mistake("of", "is its issuer", "name the other root");
            } else if name(subject) != name(issuer) {
                self.mistake(
                    "of",
                    "has another subject than the issuer",
                    "give the new root the old one's subject",
                );
            }
        }
    }

    fn issuer(&mut self) {
        let (profile, name) = (self.certificate.profile, self.issued.issuer.as_str());
        if profile == Profile::Root || name.is_empty() {
            return;
        }
        let Some(issuer) = self.spec.certificate(name) else {
            let problem = format!("{name:?} is no certificate");
            return self.mistake("issuer", problem, "name a certificate of this specification");
        };
        if (profile.is_below_root() || profile == Profile::Link) && issuer.profile != Profile::Root {
            self.mistake("issuer", format!("{name:?} is not a root"), "name the root");
        } else if !issuer.profile.is_authority() || issuer.profile == Profile::Link {
            self.mistake("issuer", format!("{name:?} is no authority"), "name an authority");
        } else if profile == Profile::Administrator && issuer.profile != Profile::StaffIssuing {
            let problem = format!("{name:?} doesn't issue to staff");
            self.mistake("issuer", problem, "name the staff issuing authority");
        } else if issuer.key().is_none() {
            let remedy = "name its key in its section";
            self.mistake("issuer", format!("{name:?} has no key on a token of this ceremony"), remedy);
        }
    }

    /// Two authorities of one name could be told apart by their keys alone. A root that takes over has to have the
    /// old one's name; a renewed certificate keeps its own.
    fn subject_is_its_own(&mut self, own: &Subject) {
        let profile = self.certificate.profile;
        let mut others = self.spec.certificates.iter().filter(|other| other.name != self.certificate.name);
        if self.spec.kind == Kind::RollRoot && profile == Profile::Root {
            let old = others.find(|other| other.profile == Profile::Root);
            if old.is_some_and(|old| name(old) != profile::name(own).ok()) {
                let remedy =
                    "write the old root's: relying parties then find their way from one to the other";
                self.mistake("subject", "is not that of the old root", remedy);
            }
            return;
        }
        let own_name = profile::name(own).ok();
        let twin = others.find(|other| {
            let exists = other.existing().is_some();
            name(other) == own_name && (exists || other.name < self.certificate.name)
        });
        if let Some(twin) = twin {
            let problem = format!("is that of certificate {:?}", twin.name);
            self.mistake("subject", problem, "give each its own common name");
        }
    }

    fn lifetime(&mut self) {
        let Some(lifetime) = self.issued.lifetime else { return };
        let profile = self.certificate.profile;
        let brief = matches!(profile, Profile::OcspResponder | Profile::Administrator);
        let (amount, limit, unit) = match (lifetime, profile) {
            (Lifetime::Years(_), Profile::OcspResponder) => {
                let remedy = "write days: a responder can't be revoked, so it lives a few months, such as { days = 90 }";
                return self.mistake("validity", "is in years", remedy);
            }
            (Lifetime::Years(years), Profile::Root) => (years, 30, "years"),
            (Lifetime::Years(years), Profile::Administrator) => (years, 1, "years"),
            (Lifetime::Years(years), _) => (years, 20, "years"),
            (Lifetime::Days(days), _) => (days, if brief { 366 } else { 11_000 }, "days"),
        };
        if !(1..=limit).contains(&amount) {
            self.mistake("validity", format!("is {amount} {unit}"), &format!("choose 1 to {limit} {unit}"));
        }
        // Any date serves; today's makes the message true.
        let now = clock::now();
        let issuer = self.spec.certificate(&self.issued.issuer).and_then(|issuer| end(issuer, now));
        if let (Ok(own), Some(issuer)) = (lifetime.not_after(now), issuer)
            && own > issuer
        {
            self.mistake(
                "validity",
                format!("ends after its issuer's ({issuer})"),
                "shorten it, or lengthen the issuer's",
            );
        }
    }

    fn urls(&mut self) {
        let issued = self.issued;
        let profile = self.certificate.profile;
        let carries = profile.is_below_root() || matches!(profile, Profile::Link | Profile::Administrator);
        let urls = [
            ("crl_url", issued.crl_url.as_deref()),
            ("ca_issuers_url", issued.ca_issuers_url.as_deref()),
            ("ocsp_url", issued.ocsp_url.as_deref()),
        ];
        for (key, url) in urls {
            match url.filter(|url| !url.is_empty()) {
                Some(_) if !carries => {
                    let remedy = "remove it: only certificates that can be revoked carry it";
                    self.mistake(key, "has no place in this profile", remedy);
                }
                Some(url) if !is_publishable(url) => {
                    let remedy = "write a plain URL such as \"http://pki.bank.example/root.crl\": relying parties fetch it without TLS";
                    let problem = format!(
                        "{url:?} is not a plain http URL with an IP address or a fully qualified name"
                    );
                    self.mistake(key, problem, remedy);
                }
                None if carries && url.is_none() && key != "ocsp_url" => {
                    let remedy =
                        "say where relying parties find it, such as \"http://pki.bank.example/root.crl\"";
                    self.mistake(key, "is missing", remedy);
                }
                _ => {}
            }
        }
    }

    fn policies(&mut self) {
        let profile = self.certificate.profile;
        let carries = profile.is_below_root() || profile == Profile::Administrator;
        if !carries && !self.issued.policies.is_empty() {
            let remedy = "remove it: only authorities below the root and administrators carry policies";
            self.mistake("policies", "has no place in this profile", remedy);
        }
        if profile == Profile::Issuing && self.issued.policies.is_empty() {
            let remedy = "list the assurance policies that its users' certificates will carry";
            self.mistake("policies", "is missing", remedy);
        }
        if self.issued.policies.contains(&ANY_POLICY) {
            self.mistake("policies", "has anyPolicy", "list the policies one by one");
        }
    }

    fn renewal(&mut self) {
        let Some(old) = &self.issued.renews else {
            if self.spec.kind == Kind::Renew {
                let remedy = "name the file of the certificate that it takes the place of";
                self.mistake("renews", "is missing", remedy);
            }
            return;
        };
        if self.spec.kind != Kind::Renew {
            return self.mistake(
                "renews",
                "is given in another kind of ceremony",
                "write kind = \"renew\", or remove it",
            );
        }
        if old.der.is_empty() {
            return;
        }
        let issuer = authority(self.spec, &self.issued.issuer).and_then(CertificateSpec::existing);
        let verdict = Facts::of(&old.der).and_then(|facts| {
            let wanted = self.issued.subject.as_ref().and_then(|subject| profile::name(subject).ok());
            if wanted.is_some_and(|wanted| wanted != facts.subject) {
                return Err(format!("has another subject: {}", ca_x509::name::shown(&facts.subject)));
            }
            match issuer {
                Some(issuer) if !issuer.der.is_empty() => check::signed_by(&old.der, &issuer.der),
                _ => Ok(()),
            }
        });
        if let Err(problem) = verdict {
            let problem = format!("names {}, which {problem}", old.path.display());
            self.mistake("renews", problem, "name the certificate that ends, and write its subject");
        }
    }
}

fn subject(subject: &Subject, path: &str, mistakes: &mut Mistakes) {
    let Subject { country, organization, organizational_unit, user_id, common_name } = subject;
    let mut mistake = |key: &str, problem: String, remedy: &str| {
        mistakes.add(format!("{path}.subject.{key}"), problem, remedy);
    };
    let capitals = country.len() == 2 && country.chars().all(|c| c.is_ascii_uppercase());
    if !country.is_empty() && !capitals {
        mistake("country", format!("{country:?} is no country code"), "write two capital letters (ISO 3166)");
    }
    let texts = [
        ("organization", Some(organization)),
        ("organizational_unit", organizational_unit.as_ref()),
        ("user_id", user_id.as_ref()),
        ("common_name", Some(common_name)),
    ];
    for (key, text) in texts.into_iter().filter_map(|(key, text)| Some((key, text?))) {
        // RFC 5280, appendix A.1: ub-organization-name, ub-organizational-unit-name, ub-common-name.
        if text.chars().count() > 64 {
            mistake(key, "is longer than 64 characters".into(), "shorten it (RFC 5280, appendix A)");
        }
        if text.chars().any(unseen) || text.trim() != text {
            mistake(
                key,
                "has control characters, direction marks or blanks at its ends".into(),
                "remove them",
            );
        }
    }
}

/// Characters that make a name look other than it is.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A certificate's subject, whether it exists or not.
fn name(certificate: &CertificateSpec) -> Option<Name> {
    match &certificate.source {
        Source::Existing { file, .. } => Facts::of(&file.der).ok().map(|facts| facts.subject),
        Source::Issued(issued) => profile::name(issued.subject.as_ref()?).ok(),
    }
}

/// When a certificate ends that exists or is signed at `now`.
fn end(certificate: &CertificateSpec, now: Timestamp) -> Option<Timestamp> {
    match &certificate.source {
        Source::Existing { file, .. } => Facts::of(&file.der).ok().map(|facts| facts.not_after),
        Source::Issued(issued) => issued.lifetime?.not_after(now).ok(),
    }
}
