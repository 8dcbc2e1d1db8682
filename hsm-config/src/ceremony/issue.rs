//! Signing: certificates from the root down, then each authority's first CRL. Nothing is kept that wasn't verified.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use der::asn1::OctetString;
use der::pem::{self, LineEnding};
use jiff::{SignedDuration, Timestamp};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::error::Fault;
use super::output::Artefact;
use super::spec::{CertificateSpec, CrlSpec, KeySpec, Profile};
use super::tokens::Tokens;
use super::transcript::{CertificateRecord, CrlRecord};
use super::{Ceremony, check, now, profile, sha256};
use ca_x509::certificate::CertificateTemplate;
use ca_x509::crl::CrlTemplate;
use ca_x509::{KeyKind, SignatureAlgorithm, key, signed};

/// A certificate that was signed and checked.
struct Issued {
    name: String,
    profile: Profile,
    der: Vec<u8>,
}

/// What was signed so far.
pub(super) struct Issuer {
    keys: BTreeMap<String, SubjectPublicKeyInfoOwned>,
    certificates: Vec<Issued>,
    crls: Vec<(String, Vec<u8>)>,
}

/// An authority that signs: its specification, key and public key.
struct Authority<'a> {
    certificate: &'a CertificateSpec,
    key: &'a KeySpec,
    public_key: SubjectPublicKeyInfoOwned,
    algorithm: SignatureAlgorithm,
}

impl Issuer {
    /// Nothing is signed yet.
    pub(super) fn new(keys: BTreeMap<String, SubjectPublicKeyInfoOwned>) -> Self {
        Self { keys, certificates: Vec::new(), crls: Vec::new() }
    }

    /// Signs all certificates, issuers first.
    pub(super) async fn certificates(
        &mut self,
        ceremony: &mut Ceremony<'_, '_>,
        tokens: &Tokens,
    ) -> Result<(), Fault> {
        let not_before = now();
        let spec = ceremony.spec;
        for certificate in &spec.certificates {
            self.certificate(ceremony, tokens, certificate, not_before).await?;
        }
        Ok(())
    }

    async fn certificate(
        &mut self,
        ceremony: &mut Ceremony<'_, '_>,
        tokens: &Tokens,
        certificate: &CertificateSpec,
        not_before: Timestamp,
    ) -> Result<(), Fault> {
        let name = certificate.name.as_str();
        let issuer = self.authority(ceremony, &certificate.issuer)?;
        let public_key = self.public_key(name, &certificate.key)?;
        let template = template(certificate, &issuer, &public_key, not_before)?;
        let tbs = template.to_tbs_der().map_err(|e| encoding(name, &e))?;
        let signature = tokens.sign(issuer.key, tbs.clone()).await?;
        let der = signed::assemble(&tbs, issuer.algorithm, &signature).map_err(|e| encoding(name, &e))?;
        let issuer_der = self.certificates.iter().find(|issued| issued.name == certificate.issuer);
        let issuer_der = issuer_der.map_or(der.as_slice(), |issued| issued.der.as_slice());
        check::certificate(certificate, &der, issuer_der, &public_key)
            .map_err(|fault| Fault::Inconsistent { what: name.to_owned(), fault })?;
        let fingerprint = sha256(&der);
        ceremony.step(format!(
            "signed certificate {name:?} with key {:?} and verified it; SHA-256 {fingerprint}",
            issuer.key.name
        ));
        ceremony.transcript.certificates.push(CertificateRecord {
            name: name.to_owned(),
            profile: certificate.profile,
            subject: template.subject.to_string(),
            issuer: template.issuer.to_string(),
            key: certificate.key.clone(),
            serial: hex::encode(&template.serial),
            not_before: template.not_before,
            not_after: template.not_after,
            sha256: fingerprint,
        });
        self.certificates.push(Issued { name: name.to_owned(), profile: certificate.profile, der });
        Ok(())
    }

    /// Signs the first CRL of each authority.
    pub(super) async fn crls(
        &mut self,
        ceremony: &mut Ceremony<'_, '_>,
        tokens: &Tokens,
    ) -> Result<(), Fault> {
        let this_update = now();
        let spec = ceremony.spec;
        for crl in &spec.crls {
            self.crl(ceremony, tokens, crl, this_update).await?;
        }
        Ok(())
    }

    async fn crl(
        &mut self,
        ceremony: &mut Ceremony<'_, '_>,
        tokens: &Tokens,
        crl: &CrlSpec,
        this_update: Timestamp,
    ) -> Result<(), Fault> {
        let what = format!("CRL of {}", crl.issuer);
        let issuer = self.authority(ceremony, &crl.issuer)?;
        let lifetime = SignedDuration::from_hours(24 * crl.next_update_days);
        let template = CrlTemplate {
            issuer: profile::name(&issuer.certificate.subject).map_err(|e| encoding(&what, &e))?,
            issuer_key_identifier: issuer.key_identifier(&what)?,
            this_update,
            next_update: this_update.checked_add(lifetime).map_err(|e| encoding(&what, &e))?,
            number: 1,
            entries: Vec::new(),
            algorithm: issuer.algorithm,
        };
        let tbs = template.to_tbs_der().map_err(|e| encoding(&what, &e))?;
        let signature = tokens.sign(issuer.key, tbs.clone()).await?;
        let der = signed::assemble(&tbs, issuer.algorithm, &signature).map_err(|e| encoding(&what, &e))?;
        let issuer_der =
            self.certificates.iter().find(|issued| issued.name == crl.issuer).map(|issued| &issued.der);
        check::crl(&der, issuer_der.map_or(&[], Vec::as_slice))
            .map_err(|fault| Fault::Inconsistent { what: what.clone(), fault })?;
        ceremony.step(format!("signed the first {what} and verified it; next due {}", template.next_update));
        ceremony.transcript.crls.push(CrlRecord {
            issuer: crl.issuer.clone(),
            number: template.number,
            this_update,
            next_update: template.next_update,
            sha256: sha256(&der),
        });
        self.crls.push((crl.issuer.clone(), der));
        Ok(())
    }

    /// The files: every certificate, every CRL, and the authorities' certificates in one file, the root last.
    pub(super) fn artefacts(&self) -> Vec<Artefact> {
        let mut files = Vec::new();
        let mut chain = String::new();
        for issued in self.certificates.iter().rev() {
            let text = to_pem(&issued.der);
            if issued.profile.is_authority() {
                chain.push_str(&text);
            }
            files.push(Artefact::public(format!("{}.pem", issued.name), text.into_bytes()));
        }
        files.reverse();
        files.push(Artefact::public("chain.pem", chain.into_bytes()));
        for (issuer, der) in &self.crls {
            files.push(Artefact::public(format!("{issuer}.crl"), der.clone()));
        }
        files
    }

    fn authority<'a>(&self, ceremony: &Ceremony<'a, '_>, name: &str) -> Result<Authority<'a>, Fault> {
        let certificate = ceremony.spec.certificate(name).ok_or_else(|| unknown(name))?;
        let key = ceremony.spec.key(&certificate.key).ok_or_else(|| unknown(name))?;
        let public_key = self.public_key(name, &certificate.key)?;
        let kind = KeyKind::of(&public_key).map_err(|e| encoding(name, &e))?;
        Ok(Authority { certificate, key, public_key, algorithm: SignatureAlgorithm::for_key(kind) })
    }

    fn public_key(&self, certificate: &str, key: &str) -> Result<SubjectPublicKeyInfoOwned, Fault> {
        self.keys.get(key).cloned().ok_or_else(|| unknown(certificate))
    }
}

impl Authority<'_> {
    fn key_identifier(&self, what: &str) -> Result<OctetString, Fault> {
        key::identifier(&self.public_key).map_err(|e| encoding(what, &e))
    }
}

fn template(
    certificate: &CertificateSpec,
    issuer: &Authority<'_>,
    public_key: &SubjectPublicKeyInfoOwned,
    not_before: Timestamp,
) -> Result<CertificateTemplate, Fault> {
    let name = certificate.name.as_str();
    let extensions = profile::extensions(certificate, public_key, issuer.key_identifier(name)?);
    Ok(CertificateTemplate {
        serial: serial_number(name)?,
        issuer: profile::name(&issuer.certificate.subject).map_err(|e| encoding(name, &e))?,
        subject: profile::name(&certificate.subject).map_err(|e| encoding(name, &e))?,
        not_before,
        not_after: certificate.lifetime.not_after(not_before).map_err(|e| encoding(name, &e))?,
        public_key: public_key.clone(),
        extensions: extensions.map_err(|e| encoding(name, &e))?,
        algorithm: issuer.algorithm,
    })
}

/// 126 random bits, positive and of full length (RFC 5280, 4.1.2.2).
fn serial_number(what: &str) -> Result<Vec<u8>, Fault> {
    let mut serial = vec![0; 16];
    rand::fill(&mut serial).map_err(|e| encoding(what, &e))?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

fn to_pem(der: &[u8]) -> String {
    // Fails on lengths that a certificate never has.
    pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
}

fn encoding(what: &str, cause: &dyn std::fmt::Display) -> Fault {
    Fault::Encoding { what: what.to_owned(), cause: cause.to_string() }
}

fn unknown(what: &str) -> Fault {
    Fault::Inconsistent { what: what.to_owned(), fault: "its key was not made".into() }
}
