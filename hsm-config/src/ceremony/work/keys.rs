//! Tasks on keys: made, found, copied, destroyed. Each ends with proof: attributes read back, a signature, or the token's
//! own word that a key is gone.

use std::time::Duration;

use der::Decode;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::super::check::{self, Provenance};
use super::super::error::Fault;
use super::super::facts::{Facts, key_sha256};
use super::super::record::event::{CopyRecord, DestroyedRecord, KeyRecord, Octets, Outcome, Proof};
use super::super::sha256;
use super::super::spec::{KeySpec, Origin, Source};
use super::tokens::{LIMIT, fits};
use super::{Work, unknown};
use crate::worker::handle::CallError;
use crate::worker::protocol::{Answer, Command, KeyAttributes, Leaving, WrappingKey};
use ca_x509::{KeyKind, SignatureAlgorithm, verify};

/// A slow token may look for RSA primes for minutes.
const KEY_LIMIT: Duration = Duration::from_mins(15);

impl Work<'_, '_> {
    /// Makes a key. What an interrupted attempt left is destroyed first: nothing was signed with it.
    pub(super) async fn make_key(
        &mut self,
        name: &str,
        interrupted: bool,
    ) -> Result<(String, Outcome), Fault> {
        let key = self.key(name)?;
        let Origin::New(leaving) = key.origin else { return Err(unknown(name)) };
        if interrupted {
            self.discard(&key.token, key).await?;
        }
        let public = self.generate(key, leaving).await?;
        let record = self.key_record(key, public, Provenance::Made(leaving)).await?;
        let what = format!(
            "made {} key {:?} on token {:?} (CKA_ID {}): {}; public key SHA-256 {}",
            key.algorithm, key.name, key.token, key.id, record.whereabouts, record.public_key_sha256
        );
        Ok((what, Outcome::Key(record)))
    }

    /// Finds a key and proves that it is the one of its certificate, or the one to be destroyed.
    pub(super) async fn find_key(&mut self, name: &str) -> Result<(String, Outcome), Fault> {
        let key = self.key(name)?;
        let command = Command::PublicKey { key: key.id.clone() };
        let answer = self.tokens.ask(&key.token, key, "tell a public key", command, LIMIT).await?;
        let Answer::PublicKey(public) = answer else { return Err(unknown(name)) };
        let record = self.key_record(key, public, Provenance::Found).await?;
        let inconsistent = |fault: String| Fault::Inconsistent { what: name.to_owned(), fault };
        for (certificate, der) in self.certificates_that_exist_of(name) {
            let facts = Facts::of(&der).map_err(inconsistent)?;
            if key_sha256(&facts.public_key) != record.public_key_sha256 {
                return Err(inconsistent(format!("it is not the key of certificate {certificate:?}")));
            }
        }
        let destroyed = self.spec.destructions.iter().find(|destruction| destruction.key == name);
        if destroyed.is_some_and(|wanted| wanted.public_key_sha256 != record.public_key_sha256) {
            let fault = format!(
                "its public key has SHA-256 {}, not the one to be destroyed",
                record.public_key_sha256
            );
            return Err(inconsistent(fault));
        }
        let what = format!(
            "found {} key {:?} on token {:?} (CKA_ID {}) and saw it sign: {}; public key SHA-256 {}",
            key.algorithm, key.name, key.token, key.id, record.whereabouts, record.public_key_sha256
        );
        Ok((what, Outcome::Key(record)))
    }

    /// Copies a key to its second token, encrypted from module to module, and sees it sign there.
    pub(super) async fn copy_key(
        &mut self,
        name: &str,
        interrupted: bool,
    ) -> Result<(String, Outcome), Fault> {
        let key = self.key(name)?;
        let copy = self.spec.copies.iter().find(|copy| copy.key == name).ok_or_else(|| unknown(name))?;
        let to = copy.to.as_str();
        if interrupted {
            self.discard(to, key).await?;
        }
        let own = self.attributes(&key.token, key).await?;
        if own.extractable != Some(true) {
            let fault =
                "it can never leave its token (CKA_EXTRACTABLE is not true): copy it by its vendor's tools"
                    .to_owned();
            return Err(Fault::Inconsistent { what: name.to_owned(), fault });
        }
        self.leader.tell(&format!("copying key {name:?} from token {:?} to token {to:?}", key.token));
        let asked =
            self.tokens.ask(to, key, "make a transport key", Command::MakeTransportKey, KEY_LIMIT).await?;
        let Answer::PublicKey(transport) = asked else { return Err(unknown(name)) };
        let under = if own.wrap_with_trusted == Some(true) {
            self.leader
                .tell(&format!("the security officer of token {:?} trusts a key for the journey", key.token));
            let token = self.token(&key.token)?;
            WrappingKey::Trusted(self.tokens.trusted_key(token, self.pins, transport).await?)
        } else {
            WrappingKey::Fresh(transport)
        };
        let leaving = match (&under, self.token(to)?.wrapped()) {
            (WrappingKey::Trusted(_), confined) => confined,
            (WrappingKey::Fresh(_), _) => Leaving::Wrapped,
        };
        let command = Command::Wrap { key: key.id.clone(), under };
        let Answer::Wrapped(wrapped) = self.tokens.ask(&key.token, key, "wrap a key", command, LIMIT).await?
        else {
            return Err(unknown(name));
        };
        let public_key = self.public_key(name)?;
        let oaep_hash = wrapped.hash;
        let command = Command::Unwrap {
            key: key.id.clone(),
            label: name.to_owned(),
            public_key: public_key.clone(),
            wrapped,
            leaving,
        };
        self.tokens.ask(to, key, "unwrap a key", command, LIMIT).await?;
        let attributes = self.attributes(to, key).await?;
        check::protection(&attributes, Provenance::Copied(leaving))
            .map_err(|fault| Fault::Unprotected { key: name.to_owned(), fault })?;
        let proof = self.proof(to, key, &public_key).await?;
        let whereabouts = check::whereabouts(&attributes).to_owned();
        let what = format!(
            "copied key {name:?} from token {:?} to token {to:?} and saw it sign there: {whereabouts}",
            key.token
        );
        let record = CopyRecord {
            key: name.to_owned(),
            from: key.token.clone(),
            to: to.to_owned(),
            oaep_hash,
            attributes,
            whereabouts,
            proof,
        };
        Ok((what, Outcome::Copy(record)))
    }

    /// Destroys a key, logs in anew and asks for it.
    pub(super) async fn destroy_key(&mut self, name: &str) -> Result<(String, Outcome), Fault> {
        let key = self.key(name)?;
        let found =
            self.progress.keys().find(|record| record.name == name).cloned().ok_or_else(|| unknown(name))?;
        let destroyed = self.discard(&key.token, key).await?;
        let token = self.token(&key.token)?;
        self.tokens.reopen(token, self.pins).await?;
        let answer = self.tokens.worker(&key.token)?.attributes(&key.id, LIMIT).await;
        let answer = match answer {
            Err(CallError::Command(error)) if error.code == "KEY_NOT_FOUND" => error.to_string(),
            Err(error) => {
                let doing = format!("tell whether a key is gone ({name:?})");
                return Err(Fault::Token { token: key.token.clone(), doing, cause: error });
            }
            Ok(_) => {
                let fault = "it is still there after the token destroyed it".to_owned();
                return Err(Fault::Inconsistent { what: name.to_owned(), fault });
            }
        };
        let did = if destroyed { "destroyed" } else { "no longer found:" };
        let what = format!(
            "{did} key {name:?} on token {:?} (CKA_ID {}), logged in anew and asked for it: {answer}; public key SHA-256 {}",
            key.token, key.id, found.public_key_sha256
        );
        let record = DestroyedRecord {
            key: name.to_owned(),
            token: key.token.clone(),
            id: key.id.to_string(),
            public_key_sha256: found.public_key_sha256,
            answer,
        };
        Ok((what, Outcome::Destroyed(record)))
    }

    /// Destroys a key if it is there, and tells whether it was. That it isn't is believed of a fresh login only: one that
    /// was lost doesn't show private keys. A key of another name, or one that doesn't sign as the recorded one does, is
    /// none of this ceremony's.
    pub(super) async fn discard(&mut self, token: &str, key: &KeySpec) -> Result<bool, Fault> {
        let mut found = self.tokens.attributes(token, key).await?;
        if found.is_none() {
            self.tokens.reopen(self.token(token)?, self.pins).await?;
            found = self.tokens.attributes(token, key).await?;
        }
        let Some(attributes) = found else { return Ok(false) };
        if attributes.label.as_deref() != Some(&key.name) {
            let fault = format!("the token has another key with ID {}: {:?}", key.id, attributes.label);
            return Err(Fault::Inconsistent { what: key.name.clone(), fault });
        }
        let recorded = self.progress.keys().find(|record| record.name == key.name);
        if let Some(public) = recorded.map(|record| record.public_key.0.clone()) {
            self.proof(token, key, &public).await?;
        }
        let command = Command::DestroyKey { key: key.id.clone() };
        self.tokens.ask(token, key, "destroy a key", command, LIMIT).await?;
        Ok(true)
    }

    async fn attributes(&self, token: &str, key: &KeySpec) -> Result<KeyAttributes, Fault> {
        self.tokens.attributes(token, key).await?.ok_or_else(|| Fault::Inconsistent {
            what: key.name.clone(),
            fault: format!("token {token:?} holds no key with ID {}", key.id),
        })
    }

    async fn key_record(
        &self,
        key: &KeySpec,
        public: Vec<u8>,
        provenance: Provenance,
    ) -> Result<KeyRecord, Fault> {
        let attributes = self.attributes(&key.token, key).await?;
        let unfit = |fault| Fault::Unprotected { key: key.name.clone(), fault };
        check::protection(&attributes, provenance).map_err(unfit)?;
        let info = SubjectPublicKeyInfoOwned::from_der(&public).map_err(|e| unfit(e.to_string()))?;
        fits(key.algorithm, &info).map_err(unfit)?;
        let proof = self.proof(&key.token, key, &public).await?;
        Ok(KeyRecord {
            name: key.name.clone(),
            token: key.token.clone(),
            id: key.id.to_string(),
            algorithm: key.algorithm,
            made: matches!(provenance, Provenance::Made(_)),
            public_key_sha256: sha256(&public),
            public_key: Octets(public),
            whereabouts: check::whereabouts(&attributes).to_owned(),
            attributes,
            proof,
        })
    }

    /// Sees a private key at work.
    async fn proof(&self, token: &str, key: &KeySpec, public: &[u8]) -> Result<Proof, Fault> {
        let inconsistent = |fault: String| Fault::Inconsistent { what: key.name.clone(), fault };
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| inconsistent("there is no randomness".to_owned()))?;
        let text = format!("{}{} on {token}: {}", Proof::PREFIX, key.name, hex::encode(random));
        let signature = self.tokens.sign_on(token, key, text.clone().into_bytes()).await?;
        let info = SubjectPublicKeyInfoOwned::from_der(public).map_err(|e| inconsistent(e.to_string()))?;
        let kind = KeyKind::of(&info).map_err(|e| inconsistent(e.to_string()))?;
        verify::verify(&info, SignatureAlgorithm::for_key(kind), text.as_bytes(), &signature).map_err(
            |e| inconsistent(format!("on token {token:?} it signed what its public key doesn't verify: {e}")),
        )?;
        Ok(Proof { text, signature: Octets(signature) })
    }

    /// Makes a key and keeps telling that it does.
    async fn generate(&mut self, key: &KeySpec, leaving: Leaving) -> Result<Vec<u8>, Fault> {
        self.leader.tell(&format!("making {} key {:?} on token {:?}", key.algorithm, key.name, key.token));
        let (id, label) = (key.id.clone(), key.name.clone());
        let command = Command::GenerateKeyPair { key: id, label, algorithm: key.algorithm, leaving };
        let began = Instant::now();
        let mut ticks = interval_at(began + Duration::from_secs(2), Duration::from_secs(2));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let making = self.tokens.ask(&key.token, key, "make a key", command, KEY_LIMIT);
        tokio::pin!(making);
        let answer = loop {
            tokio::select! {
                answer = &mut making => break answer?,
                _ = ticks.tick() => {
                    self.leader.tell(&format!("  still making key {:?}, {} s", key.name, began.elapsed().as_secs()));
                }
            }
        };
        match answer {
            Answer::PublicKey(public) => Ok(public),
            _ => Err(unknown(&key.name)),
        }
    }

    /// The certificates of a key that exist, and those that are renewed with it.
    fn certificates_that_exist_of(&self, key: &str) -> Vec<(String, Vec<u8>)> {
        let own = self.spec.certificates.iter().filter(|certificate| certificate.key() == Some(key));
        let files = own.filter_map(|certificate| {
            let file = match &certificate.source {
                Source::Existing { file, .. } => file,
                Source::Issued(issued) => issued.renews.as_ref()?,
            };
            Some((file.name(), file.der.clone()))
        });
        files.collect()
    }

    /// The public key that a key was made or found with, DER.
    pub(super) fn public_key(&self, key: &str) -> Result<Vec<u8>, Fault> {
        let record = self.progress.keys().find(|record| record.name == key);
        record.map(|record| record.public_key.0.clone()).ok_or_else(|| unknown(key))
    }

    /// The same, taken apart.
    pub(super) fn public_key_info(&self, key: &str) -> Result<SubjectPublicKeyInfoOwned, Fault> {
        SubjectPublicKeyInfoOwned::from_der(&self.public_key(key)?).map_err(|_| unknown(key))
    }
}
