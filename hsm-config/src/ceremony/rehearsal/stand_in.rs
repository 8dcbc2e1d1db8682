//! Stand-ins: tokens that are ready get their keys here, and certificates and CRLs that exist are made again with those
//! keys, saying everything else that the real ones say.

use std::collections::BTreeMap;

use der::Decode;
use x509_cert::certificate::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::super::error::Fault;
use super::super::facts::{Facts, key_sha256};
use super::super::spec::{Input, KeySpec, Source, Spec};
use super::super::work::Leader;
use super::super::work::pins::Pins;
use super::super::work::previous::{Previous, after};
use super::super::work::tokens::{LIMIT, key_fault, login, start};
use crate::token::TokenSelection;
use crate::worker::handle::Worker;
use crate::worker::protocol::{Answer, Command, Leaving};
use ca_x509::certificate::CertificateTemplate;
use ca_x509::crl::CrlTemplate;
use ca_x509::{KeyKind, SignatureAlgorithm, extension, signed};
use const_oid::AssociatedOid;

/// Makes everything ready that the real ceremony finds ready.
pub(super) async fn prepare(spec: &mut Spec, pins: &Pins, leader: &mut dyn Leader) -> Result<(), Fault> {
    let mut understudies =
        Understudies { workers: BTreeMap::new(), keys: BTreeMap::new(), originals: Vec::new() };
    let result = understudies.everything(spec, pins, leader).await;
    for (_, worker) in std::mem::take(&mut understudies.workers) {
        worker.stop().await;
    }
    result
}

struct Understudies {
    workers: BTreeMap<String, Worker>,
    /// The keys made here, with their public halves.
    keys: BTreeMap<String, (KeySpec, SubjectPublicKeyInfoOwned)>,
    /// Certificates that exist, as they really are, and as they are here with their keys.
    originals: Vec<(Facts, Facts, Option<String>)>,
}

impl Understudies {
    async fn everything(
        &mut self,
        spec: &mut Spec,
        pins: &Pins,
        leader: &mut dyn Leader,
    ) -> Result<(), Fault> {
        for token in spec.tokens.iter().filter(|token| token.initialise.is_none()) {
            let TokenSelection::Label(label) = &token.selection else { continue };
            leader.tell(&format!("making a stand-in for token {:?}", token.name));
            let worker = start(token, None).await?;
            let command = Command::InitToken {
                slot: None,
                label: label.clone(),
                so_pin: pins.officer(token),
                pin: pins.user(token),
            };
            let failed =
                |cause| Fault::Token { token: token.name.clone(), doing: "be initialised".into(), cause };
            worker.call(command, LIMIT).await.map_err(failed)?;
            worker.stop().await;
            self.workers
                .insert(token.name.clone(), start(token, Some(login(token, pins.user(token)))).await?);
        }
        for key in spec.keys.iter().filter(|key| !key.is_new()) {
            leader.tell(&format!("making a stand-in for key {:?}", key.name));
            let copied = spec.copies.iter().any(|copy| copy.key == key.name);
            // Confined as the real one is, as far as the specification tells: it names the officer for that alone.
            let leaving = match spec.token(&key.token) {
                Some(token) if copied && token.so_pin.is_some() => token.wrapped(),
                _ if copied => Leaving::Wrapped,
                _ => Leaving::Never,
            };
            self.make(key, leaving).await?;
        }
        for destruction in &mut spec.destructions {
            if let Some((_, public_key)) = self.keys.get(&destruction.key) {
                destruction.public_key_sha256 = key_sha256(public_key);
            }
        }
        for certificate in &mut spec.certificates {
            match &mut certificate.source {
                Source::Existing { file, key } => self.certificate(file, key.as_deref()).await?,
                Source::Issued(issued) => {
                    if let (Some(file), Some(key)) = (&mut issued.renews, issued.subject_key.on_token()) {
                        self.certificate(file, Some(key)).await?;
                    }
                }
            }
        }
        for crl in &mut spec.crls {
            if let Some(previous) = &mut crl.previous {
                self.crl(previous).await?;
            }
        }
        Ok(())
    }

    async fn make(&mut self, key: &KeySpec, leaving: Leaving) -> Result<(), Fault> {
        let Some(worker) = self.workers.get(&key.token) else { return Ok(()) };
        let (id, label) = (key.id.clone(), key.name.clone());
        let command = Command::GenerateKeyPair { key: id, label, algorithm: key.algorithm, leaving };
        let answer =
            worker.call(command, 15 * LIMIT).await.map_err(key_fault(&key.token, key, "make a key"))?;
        if let Answer::PublicKey(public) = answer {
            let public = SubjectPublicKeyInfoOwned::from_der(&public).map_err(|e| fault(&key.name, &e))?;
            self.keys.insert(key.name.clone(), (key.clone(), public));
        }
        Ok(())
    }

    /// Makes a certificate again for the stand-in of its key, signed by the stand-in of its issuer; where that isn't on the
    /// stage, by its own.
    async fn certificate(&mut self, file: &mut Input, key: Option<&str>) -> Result<(), Fault> {
        let name = file.name();
        let original = Facts::of(&file.der).map_err(|e| fault(&name, &e))?;
        let own = key.and_then(|key| self.keys.get(key));
        let issuer =
            self.originals.iter().find(|(real, _, key)| real.subject == original.issuer && key.is_some());
        let issuer_key = issuer.and_then(|(_, _, key)| key.as_deref()).filter(|_| !original.self_signed);
        let Some(signer) = issuer_key.or(key).filter(|key| self.keys.contains_key(*key)) else {
            return Ok(());
        };
        let public_key = own.map_or(&original.public_key, |(_, public_key)| public_key).clone();
        let identifier = ca_x509::key::identifier(&public_key).map_err(|e| fault(&name, &e))?;
        let authority = match issuer {
            Some((_, stand_in, _)) if !original.self_signed => stand_in.key_identifier.clone(),
            _ => identifier.clone(),
        };
        let certificate = Certificate::from_der(&file.der).map_err(|e| fault(&name, &e))?;
        let tbs = certificate.tbs_certificate();
        let adapted = |old: &Extension| match old.extn_id {
            SubjectKeyIdentifier::OID => extension::subject_key_identifier(identifier.clone()),
            AuthorityKeyIdentifier::OID => extension::authority_key_identifier(authority.clone()),
            _ => Ok(old.clone()),
        };
        let extensions = tbs.extensions().map_or(&[][..], Vec::as_slice).iter().map(adapted);
        let template = CertificateTemplate {
            serial: original.serial.clone(),
            issuer: original.issuer.clone(),
            subject: original.subject.clone(),
            not_before: original.not_before,
            not_after: original.not_after,
            public_key,
            extensions: extensions.collect::<der::Result<_>>().map_err(|e| fault(&name, &e))?,
            algorithm: self.algorithm(signer)?,
        };
        let tbs = template.to_tbs_der().map_err(|e| fault(&name, &e))?;
        file.der = self.sign(signer, &tbs).await?;
        let stand_in = Facts::of(&file.der).map_err(|e| fault(&name, &e))?;
        self.originals.push((original, stand_in, key.map(str::to_owned)));
        Ok(())
    }

    /// Signs a CRL again with the stand-in of its issuer's key.
    async fn crl(&mut self, file: &mut Input) -> Result<(), Fault> {
        let name = file.name();
        let previous = Previous::read(&file.der).map_err(|e| fault(&name, &e))?;
        let issuer =
            self.originals.iter().find(|(real, _, key)| real.subject == previous.issuer && key.is_some());
        let Some((_, stand_in, Some(key))) = issuer else { return Ok(()) };
        let template = CrlTemplate {
            issuer: previous.issuer,
            issuer_key_identifier: stand_in.key_identifier.clone(),
            this_update: previous.this_update,
            next_update: previous.next_update,
            number: previous.number,
            entries: Vec::new(),
            algorithm: self.algorithm(key)?,
        };
        let tbs = after(&template, previous.entries).map_err(|e| fault(&name, &e))?;
        file.der = self.sign(key, &tbs).await?;
        Ok(())
    }

    fn algorithm(&self, key: &str) -> Result<SignatureAlgorithm, Fault> {
        let (_, public_key) = self.keys.get(key).ok_or_else(|| fault(key, &"there is no stand-in"))?;
        let kind = KeyKind::of(public_key).map_err(|e| fault(key, &e))?;
        Ok(SignatureAlgorithm::for_key(kind))
    }

    async fn sign(&self, key: &str, tbs: &[u8]) -> Result<Vec<u8>, Fault> {
        let (spec, _) = self.keys.get(key).ok_or_else(|| fault(key, &"there is no stand-in"))?;
        let worker = self.workers.get(&spec.token).ok_or_else(|| fault(key, &"there is no stand-in"))?;
        let signature = worker.sign(&spec.id, spec.algorithm.mechanism(), tbs.to_vec(), LIMIT).await;
        let signature = signature.map_err(key_fault(&spec.token, spec, "sign"))?;
        signed::assemble(tbs, self.algorithm(key)?, &signature).map_err(|e| fault(key, &e))
    }
}

fn fault(what: &str, cause: &dyn std::fmt::Display) -> Fault {
    Fault::Inconsistent { what: what.to_owned(), fault: format!("no stand-in can be made of it: {cause}") }
}
