//! The end of a ceremony: the files, the transcript, and everybody's signature under it.

use super::super::error::Fault;
use super::super::output::Artefact;
use super::super::record::event::{Event, FileRecord, SignerRecord};
use super::super::record::transcript::Transcript;
use super::super::record::{JSON, LOG, TEXT, signature_file};
use super::super::spec::{KeySpec, Signs, Source, SubjectKey, WitnessToken};
use super::super::{sha256, to_pem};
use super::tokens::LIMIT;
use super::{Work, unknown};
use crate::token::{Pin, SignatureMechanism};
use crate::worker::handle::{Launch, Worker};
use crate::worker::protocol::{Login, Setup};
use ca_x509::KeyKind;
use ca_x509::cms::{self, Unsigned};

/// What a finished ceremony publishes.
pub(in super::super) struct Finished {
    /// Its files.
    pub(in super::super) artefacts: Vec<Artefact>,
    /// What happened.
    pub(in super::super) transcript: Transcript,
    /// SHA-256 of the transcript's forms, to be read out and noted by those present.
    pub(in super::super) transcript_files: Vec<FileRecord>,
    /// Whose signatures are still to come, from elsewhere.
    pub(in super::super) awaited: Vec<SignerRecord>,
}

/// Somebody who signs the transcript.
enum Signer<'a> {
    Key(&'a KeySpec),
    Witness(usize, &'a WitnessToken),
    Elsewhere,
}

impl<'a> Work<'a, '_> {
    /// Closes the log and puts everything together.
    pub(in super::super) async fn finish(&mut self, spec_text: &str) -> Result<Finished, Fault> {
        let mut artefacts = self.artefacts();
        artefacts.push(Artefact::public("ceremony.toml", spec_text.as_bytes().to_vec()));
        let signers = self.signers();
        if self.progress.finished.is_none() {
            for (what, set) in self.pins.prove()? {
                self.note(what, Event::Entrusted { set })?;
            }
            let record =
                |file: &Artefact| FileRecord { name: file.name.clone(), sha256: sha256(&file.content) };
            let files = artefacts.iter().map(record).collect();
            let signers = signers.iter().map(|(record, ..)| record.clone()).collect();
            let what = format!("everything is done and checked; {} files", artefacts.len());
            self.note(what, Event::Finished { files, signers })?;
        }
        let transcript = Transcript::of(&self.log.chain).ok_or_else(|| unknown(LOG))?;
        let (json, own) = self.transcript_artefacts(&transcript)?;
        let transcript_files = own
            .iter()
            .map(|file| FileRecord { name: file.name.clone(), sha256: sha256(&file.content) })
            .collect();
        artefacts.extend(own);
        let mut awaited = Vec::new();
        for (record, certificate, signer) in signers {
            match self.sign_transcript(&certificate, &signer, &json, &record).await? {
                Some(file) => artefacts.push(Artefact::public(record.file, file)),
                None => awaited.push(record),
            }
        }
        Ok(Finished { artefacts, transcript, transcript_files, awaited })
    }

    /// The transcript in its three forms, the JSON apart.
    pub(in super::super) fn transcript_artefacts(
        &self,
        transcript: &Transcript,
    ) -> Result<(Vec<u8>, Vec<Artefact>), Fault> {
        let encoding = |cause: String| Fault::Encoding { what: JSON.to_owned(), cause };
        let json = transcript.to_json().map_err(|e| encoding(e.to_string()))?;
        let text = transcript.to_text(&sha256(&json)).into_bytes();
        let log = std::fs::read(self.log.path())
            .map_err(|cause| Fault::Write { path: self.log.path().to_owned(), cause })?;
        let files = vec![
            Artefact::internal(JSON, json.clone()),
            Artefact::internal(TEXT, text),
            Artefact::internal(LOG, log),
        ];
        Ok((json, files))
    }

    /// The files: every certificate, request and CRL, the authorities' certificates in one file, and what came in.
    fn artefacts(&self) -> Vec<Artefact> {
        let mut files = Vec::new();
        let mut chain = String::new();
        for certificate in &self.spec.certificates {
            let Some(der) = self.certificate_der(&certificate.name) else { continue };
            let text = to_pem("CERTIFICATE", &der);
            if certificate.profile.is_authority() {
                chain.insert_str(0, &text);
            }
            files.push(Artefact::public(format!("{}.pem", certificate.name), text.into_bytes()));
            if let Source::Issued(issued) = &certificate.source
                && let SubjectKey::Requested { request, .. } = &issued.subject_key
            {
                let text = to_pem("CERTIFICATE REQUEST", &request.der);
                files.push(Artefact::public(format!("{}.csr", certificate.name), text.into_bytes()));
            }
        }
        if !chain.is_empty() {
            files.push(Artefact::public("chain.pem", chain.into_bytes()));
        }
        for request in self.progress.requests() {
            let text = to_pem("CERTIFICATE REQUEST", &request.der.0);
            files.push(Artefact::public(format!("{}.csr", request.name), text.into_bytes()));
        }
        for crl in self.progress.crls() {
            files.push(Artefact::public(format!("{}.crl", crl.issuer), crl.der.0.clone()));
        }
        for crl in &self.spec.crls {
            if let Some(previous) = &crl.previous {
                files.push(Artefact::public(format!("previous-{}.crl", crl.issuer), previous.der.clone()));
            }
        }
        files
    }

    /// Every key that was made or used and still is there, by its certificate, and everybody present who has one.
    fn signers(&self) -> Vec<(SignerRecord, Vec<u8>, Signer<'a>)> {
        let record = |file: String, who: String, der: &[u8]| SignerRecord {
            file: signature_file(&file),
            who,
            certificate_sha256: sha256(der),
        };
        let mut signers = Vec::new();
        for key in &self.spec.keys {
            let destroyed = self.progress.destroyed().any(|destroyed| destroyed.key == key.name);
            let certificate = self.spec.certificate_of(&key.name).filter(|_| !destroyed);
            let Some(certificate) = certificate else { continue };
            let Some(der) = self.certificate_der(&certificate.name) else { continue };
            let who = format!("key {:?}", key.name);
            signers.push((record(certificate.name.clone(), who, &der), der, Signer::Key(key)));
        }
        for (index, person) in self.spec.present.iter().enumerate() {
            let Some(Signs { certificate, token }) = &person.signs else { continue };
            let signer = match token {
                Some(token) if !self.rehearsal => Signer::Witness(index, token),
                _ => Signer::Elsewhere,
            };
            let who = format!("{} ({})", person.name, person.role);
            let der = certificate.der.clone();
            signers.push((record(format!("present-{}", index + 1), who, &der), der, signer));
        }
        signers
    }

    /// One signature file; `None` when it is made elsewhere.
    async fn sign_transcript(
        &mut self,
        certificate: &[u8],
        signer: &Signer<'_>,
        json: &[u8],
        record: &SignerRecord,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let fault = |fault: String| Fault::Inconsistent { what: record.file.clone(), fault };
        let authorities =
            self.spec.certificates.iter().filter(|certificate| certificate.profile.is_authority());
        let chain: Vec<Vec<u8>> =
            authorities.filter_map(|authority| self.certificate_der(&authority.name)).collect();
        let unsigned = Unsigned::new(certificate, &chain, json).map_err(fault)?;
        let message = unsigned.to_be_signed().map_err(|e| fault(e.to_string()))?;
        let signature = match signer {
            Signer::Key(key) => self.tokens.sign(key, message).await?,
            Signer::Witness(index, token) => {
                self.leader.tell(&format!("{} signs the transcript", record.who));
                let pin = self.pins.witness(*index);
                sign_as_witness(token, pin, certificate, message, &record.who).await?
            }
            Signer::Elsewhere => return Ok(None),
        };
        let file = unsigned.signed(&signature).map_err(|e| fault(e.to_string()))?;
        cms::check(&file, json).map_err(fault)?;
        Ok(Some(file))
    }
}

async fn sign_as_witness(
    token: &WitnessToken,
    pin: Pin,
    certificate: &[u8],
    message: Vec<u8>,
    who: &str,
) -> Result<Vec<u8>, Fault> {
    let launch = Launch::this_program(token.access.clone());
    let login = Login { token: token.selection.clone(), pin: pin.copy(), lanes: 1, queue: 4 };
    let setup = Setup { module: token.access.module.clone(), login: Some(login) };
    let worker = Worker::start(&launch, setup, LIMIT).await;
    let worker = worker.map_err(|cause| Fault::Start { token: who.to_owned(), cause })?;
    let kind = super::super::facts::Facts::of(certificate).and_then(|facts| facts.key_kind());
    let mechanism = match kind.map_err(|fault| Fault::Inconsistent { what: who.to_owned(), fault })? {
        KeyKind::P384 => SignatureMechanism::EcdsaP384Sha384,
        KeyKind::P256 => SignatureMechanism::EcdsaP256Sha256,
        KeyKind::Rsa { .. } => SignatureMechanism::RsaPkcs1Sha256,
    };
    // Slot 9c of a PIV token, and any other key whose PIN policy says so, wants the PIN for this very signature.
    let signature = worker.sign_asked(&token.id, mechanism, message, pin, LIMIT).await;
    worker.stop().await;
    signature.map_err(|cause| Fault::Token {
        token: who.to_owned(),
        doing: "sign the transcript".into(),
        cause,
    })
}
