//! Tasks that sign: requests, certificates, CRLs. What will be signed is settled and noted first, so that an interrupted
//! task signs the same again and no second certificate comes of it. Nothing is kept that wasn't verified.

use aws_lc_rs::rand;
use der::asn1::SetOfVec;
use der::{Decode, Encode};
use jiff::{SignedDuration, Timestamp};
use x509_cert::certificate::TbsCertificate;
use x509_cert::crl::TbsCertList;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::request::{CertReqInfo, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::super::attestation::{self, Attested};
use super::super::error::Fault;
use super::super::facts::{Facts, Requested};
use super::super::record::event::{
    CertificateRecord, Compared, ComparedRequest, CrlRecord, Octets, Outcome, RequestRecord,
};
use super::super::spec::{CertificateSpec, CrlSpec, Issued, KeySpec, SubjectKey};
use super::super::{check, now, profile, sha256};
use super::previous::{Previous, after};
use super::{Work, unknown};
use ca_x509::certificate::CertificateTemplate;
use ca_x509::crl::{CrlEntry, CrlTemplate};
use ca_x509::{KeyKind, SignatureAlgorithm, key, signed, time};

/// An authority that signs.
struct Authority<'a> {
    /// Its certificate; `None` while a root signs itself.
    certificate: Option<Facts>,
    der: Option<Vec<u8>>,
    key: &'a KeySpec,
    algorithm: SignatureAlgorithm,
}

impl<'a> Work<'a, '_> {
    /// The certification request to be signed.
    pub(super) fn request_tbs(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let request =
            self.spec.requests.iter().find(|request| request.name == name).ok_or_else(|| unknown(name))?;
        let info = CertReqInfo {
            version: Version::V1,
            subject: profile::name(&request.subject).map_err(|e| encoding(name, &e))?,
            public_key: self.public_key_info(&request.key)?,
            attributes: SetOfVec::new(),
        };
        info.to_der().map_err(|e| encoding(name, &e))
    }

    /// Signs a certification request.
    pub(super) async fn request(&mut self, name: &str, tbs: &[u8]) -> Result<(String, Outcome), Fault> {
        let request =
            self.spec.requests.iter().find(|request| request.name == name).ok_or_else(|| unknown(name))?;
        let key = self.key(&request.key)?;
        let algorithm = algorithm(&self.public_key_info(&request.key)?, name)?;
        let signature = self.tokens.sign(key, tbs.to_vec()).await?;
        let der = signed::assemble(tbs, algorithm, &signature).map_err(|e| encoding(name, &e))?;
        let requested = Requested::of(&der).map_err(|fault| inconsistent(name, fault))?;
        let record = RequestRecord {
            name: name.to_owned(),
            subject: requested.subject.to_string(),
            key: request.key.clone(),
            sha256: sha256(&der),
            der: Octets(der),
        };
        let what = format!(
            "signed certification request {name:?} with key {:?}; SHA-256 {}",
            request.key, record.sha256
        );
        Ok((what, Outcome::Request(record)))
    }

    /// The certificate to be signed.
    pub(super) fn certificate_tbs(&self, name: &str) -> Result<Vec<u8>, Fault> {
        let certificate = self.certificate(name)?;
        let issued = certificate.issued().ok_or_else(|| unknown(name))?;
        let authority = self.authority(&issued.issuer)?;
        let public_key = self.subject_key(name, issued)?;
        let not_before = self.started();
        let subject = match (&issued.subject, &issued.subject_key) {
            (Some(subject), _) => profile::name(subject).map_err(|e| encoding(name, &e))?,
            (None, SubjectKey::Of(root)) => self.facts(root)?.subject,
            (None, _) => return Err(unknown(name)),
        };
        let own_identifier = || key::identifier(&public_key).map_err(|e| encoding(name, &e));
        let identifier = match &authority.certificate {
            Some(facts) => facts.key_identifier.clone(),
            None => own_identifier()?,
        };
        let attested = attested(name, issued)?;
        let extensions =
            profile::extensions(certificate.profile, issued, &public_key, identifier, attested.as_ref());
        let template = CertificateTemplate {
            serial: serial_number(name)?,
            issuer: authority
                .certificate
                .as_ref()
                .map_or_else(|| subject.clone(), |facts| facts.subject.clone()),
            subject,
            not_before,
            not_after: self.not_after(name, issued, &authority, not_before)?,
            extensions: extensions.map_err(|e| encoding(name, &e))?,
            public_key,
            algorithm: authority.algorithm,
        };
        template.to_tbs_der().map_err(|e| encoding(name, &e))
    }

    /// Signs a certificate.
    pub(super) async fn issue(&mut self, name: &str, tbs: &[u8]) -> Result<(String, Outcome), Fault> {
        let certificate = self.certificate(name)?;
        let issued = certificate.issued().ok_or_else(|| unknown(name))?;
        let request = self.compared.take();
        let authority = self.authority(&issued.issuer)?;
        let signature = self.tokens.sign(authority.key, tbs.to_vec()).await?;
        let der = signed::assemble(tbs, authority.algorithm, &signature).map_err(|e| encoding(name, &e))?;
        let issuer_der = authority.der.as_deref().unwrap_or(&der);
        check::certificate(certificate.profile, &der, issuer_der, &self.subject_key(name, issued)?)
            .map_err(|fault| inconsistent(name, fault))?;
        let facts = Facts::of(&der).map_err(|fault| inconsistent(name, fault))?;
        let fingerprint = sha256(&der);
        let what = format!(
            "signed certificate {name:?} with key {:?} and verified it; SHA-256 {fingerprint}",
            authority.key.name
        );
        let record = CertificateRecord {
            name: name.to_owned(),
            profile: certificate.profile,
            subject: facts.subject.to_string(),
            issuer: facts.issuer.to_string(),
            issued_by: issued.issuer.clone(),
            key: certificate.key().map(str::to_owned),
            request,
            attested: attested(name, issued)?,
            serial: hex::encode(&facts.serial),
            not_before: facts.not_before,
            not_after: facts.not_after,
            sha256: fingerprint,
            der: Octets(der),
        };
        Ok((what, Outcome::Certificate(record)))
    }

    /// The CRL to be signed.
    pub(super) fn crl_tbs(&self, issuer: &str) -> Result<Vec<u8>, Fault> {
        let crl = self.crl_spec(issuer)?;
        let what = format!("CRL of {issuer}");
        let authority = self.authority(issuer)?;
        let facts = authority.certificate.ok_or_else(|| unknown(issuer))?;
        let this_update = now();
        let previous = Previous::of(crl).map_err(|fault| inconsistent(&what, fault))?;
        if previous.as_ref().is_some_and(|previous| previous.this_update > this_update) {
            return Err(inconsistent(
                &what,
                "the previous CRL is from the future: correct the clock".to_owned(),
            ));
        }
        let (number, earlier) =
            previous.map_or((0, Vec::new()), |previous| (previous.number, previous.entries));
        let entries = crl.revocations.iter().map(|revocation| CrlEntry {
            serial: revocation.serial.clone(),
            revoked_at: revocation.at.unwrap_or(this_update),
            reason: Some(revocation.reason).filter(|reason| *reason != CrlReason::Unspecified),
        });
        let lifetime = SignedDuration::from_hours(24 * crl.next_update_days);
        let template = CrlTemplate {
            issuer: facts.subject,
            issuer_key_identifier: facts.key_identifier,
            this_update,
            next_update: this_update.checked_add(lifetime).map_err(|e| encoding(&what, &e))?,
            number: number + 1,
            entries: entries.collect(),
            algorithm: authority.algorithm,
        };
        after(&template, earlier).map_err(|e| encoding(&what, &e))
    }

    /// Signs a CRL.
    pub(super) async fn crl(&mut self, issuer: &str, tbs: &[u8]) -> Result<(String, Outcome), Fault> {
        let crl = self.crl_spec(issuer)?;
        let what = format!("CRL of {issuer}");
        let authority = self.authority(issuer)?;
        let previous = Previous::of(crl).map_err(|fault| inconsistent(&what, fault))?;
        let (number, entries) = previous.map_or((0, 0), |previous| (previous.number, previous.entries.len()));
        let expected = check::CrlExpected { number: number + 1, entries: entries + crl.revocations.len() };
        let list: TbsCertList = TbsCertList::from_der(tbs).map_err(|e| encoding(&what, &e))?;
        let signature = self.tokens.sign(authority.key, tbs.to_vec()).await?;
        let der = signed::assemble(tbs, authority.algorithm, &signature).map_err(|e| encoding(&what, &e))?;
        check::crl(&der, authority.der.as_deref().unwrap_or_default(), expected)
            .map_err(|fault| inconsistent(&what, fault))?;
        let at = |time| time::from_x509(time).map_err(|e| encoding(&what, &e));
        let next_update = list.next_update.as_ref().map_or(Ok(Timestamp::MAX), at)?;
        let first = if expected.number == 1 { "first " } else { "" };
        let sentence = format!(
            "signed the {first}{what}, number {} with {} certificates, and verified it; next due {next_update}",
            expected.number, expected.entries
        );
        let revoked = crl
            .revocations
            .iter()
            .map(|revocation| format!("{} ({:?})", hex::encode(&revocation.serial), revocation.reason));
        let record = CrlRecord {
            issuer: issuer.to_owned(),
            number: expected.number,
            entries: expected.entries,
            revoked: revoked.collect(),
            this_update: at(&list.this_update)?,
            next_update,
            sha256: sha256(&der),
            der: Octets(der),
        };
        Ok((sentence, Outcome::Crl(record)))
    }

    fn certificate(&self, name: &str) -> Result<&'a CertificateSpec, Fault> {
        self.spec.certificate(name).ok_or_else(|| unknown(name))
    }

    fn crl_spec(&self, issuer: &str) -> Result<&'a CrlSpec, Fault> {
        self.spec.crls.iter().find(|crl| crl.issuer == issuer).ok_or_else(|| unknown(issuer))
    }

    /// A certificate's DER, whether it exists or was signed a moment ago.
    pub(super) fn certificate_der(&self, name: &str) -> Option<Vec<u8>> {
        let existing = self.spec.certificate(name).and_then(CertificateSpec::existing);
        let signed = || self.progress.certificates().find(|record| record.name == name);
        existing.map(|file| file.der.clone()).or_else(|| signed().map(|record| record.der.0.clone()))
    }

    fn facts(&self, name: &str) -> Result<Facts, Fault> {
        let der = self.certificate_der(name).ok_or_else(|| unknown(name))?;
        Facts::of(&der).map_err(|fault| inconsistent(name, fault))
    }

    /// The authority of this name, which may be about to sign itself.
    fn authority(&self, name: &str) -> Result<Authority<'a>, Fault> {
        let certificate = self.certificate(name)?;
        let key = self.key(certificate.key().ok_or_else(|| unknown(name))?)?;
        let algorithm = algorithm(&self.public_key_info(&key.name)?, name)?;
        let der = self.certificate_der(name);
        let facts = der.as_deref().map(Facts::of).transpose().map_err(|fault| inconsistent(name, fault))?;
        Ok(Authority { certificate: facts, der, key, algorithm })
    }

    /// The key that a certificate certifies.
    fn subject_key(&self, name: &str, issued: &Issued) -> Result<SubjectPublicKeyInfoOwned, Fault> {
        match &issued.subject_key {
            SubjectKey::OnToken(key) => self.public_key_info(key),
            SubjectKey::Requested { request, .. } => {
                let requested = Requested::of(&request.der).map_err(|fault| inconsistent(name, fault))?;
                Ok(requested.public_key)
            }
            SubjectKey::Of(root) => Ok(self.facts(root)?.public_key),
        }
    }

    /// A link ends with the earlier of the two roots.
    fn not_after(
        &self,
        name: &str,
        issued: &Issued,
        authority: &Authority<'_>,
        not_before: Timestamp,
    ) -> Result<Timestamp, Fault> {
        if let Some(lifetime) = issued.lifetime {
            return lifetime.not_after(not_before).map_err(|e| encoding(name, &e));
        }
        let SubjectKey::Of(root) = &issued.subject_key else { return Err(unknown(name)) };
        let ends =
            [Some(self.facts(root)?.not_after), authority.certificate.as_ref().map(|facts| facts.not_after)];
        ends.into_iter().flatten().min().ok_or_else(|| unknown(name))
    }

    /// Makes sure that a request is the one that its owner made.
    pub(super) fn compare(&mut self, name: &str) -> Result<Option<ComparedRequest>, Fault> {
        let issued = self.certificate(name)?.issued().ok_or_else(|| unknown(name))?;
        let SubjectKey::Requested { request, sha256: said } = &issued.subject_key else { return Ok(None) };
        let own = sha256(&request.der);
        let (heard, compared) = match said {
            Some(said) => (Some(said.clone()), Compared::WithSpecification),
            None if self.rehearsal => (Some(own.clone()), Compared::Rehearsed),
            None => (self.leader.fingerprint(name, &request.name()), Compared::Typed),
        };
        match heard {
            Some(heard) if heard == own => Ok(Some(ComparedRequest { sha256: own, compared })),
            Some(heard) => Err(Fault::Fingerprint { what: request.name(), heard }),
            None => Err(Fault::NotCompared { certificate: name.to_owned(), request: request.name() }),
        }
    }
}

fn attested(name: &str, issued: &Issued) -> Result<Option<Attested>, Fault> {
    let (Some(evidence), SubjectKey::Requested { request, .. }) = (&issued.attestation, &issued.subject_key)
    else {
        return Ok(None);
    };
    let attested = attestation::examine(evidence, request);
    attested.map(Some).map_err(|fault| inconsistent(name, format!("the attestation {fault}")))
}

/// What a settled certificate says of itself, for people who decide whether to have it signed.
pub(super) fn describe(tbs: &[u8]) -> Option<String> {
    let certificate = TbsCertificate::from_der(tbs).ok()?;
    let end = time::from_x509(&certificate.validity().not_after).ok()?;
    Some(format!("{}, until {end}", ca_x509::name::shown(certificate.subject())))
}

fn algorithm(public_key: &SubjectPublicKeyInfoOwned, what: &str) -> Result<SignatureAlgorithm, Fault> {
    Ok(SignatureAlgorithm::for_key(KeyKind::of(public_key).map_err(|e| encoding(what, &e))?))
}

/// 126 random bits, positive and of full length (RFC 5280, 4.1.2.2).
fn serial_number(what: &str) -> Result<Vec<u8>, Fault> {
    let mut serial = vec![0; 16];
    rand::fill(&mut serial).map_err(|e| encoding(what, &e))?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

fn encoding(what: &str, cause: &dyn std::fmt::Display) -> Fault {
    Fault::Encoding { what: what.to_owned(), cause: cause.to_string() }
}

fn inconsistent(what: &str, fault: String) -> Fault {
    Fault::Inconsistent { what: what.to_owned(), fault }
}
