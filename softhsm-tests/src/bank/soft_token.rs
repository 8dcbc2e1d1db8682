//! Tokens that exist only on paper, and the enrolment API without an agent: for clients that lie, and for load.
//!
//! The key lives in this process. The evidence is what a virtual YubiKey of the profile would attest of it, honest or
//! misbehaving, so that the authority has nothing but its own checks to find out.

use std::time::Duration;

use anyhow::{Context, Result};
use ca_wire::{
    Base64Url,
    enrolment::{
        Certified, Certify, Confirm, DeviceClaim, Evidence, Open, Opened, challenge_message, renewal_message,
    },
    problem::Problem,
};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _, SigningKey as _};
use reqwest::blocking::{Client, RequestBuilder};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{Bank, LOGIN_PASSWORD, network::KEPT};
use crate::{
    openssl::openssl_with_input,
    virtual_yubikey::{
        Algorithm, PinPolicy, PrivateKey, Profile, TouchPolicy,
        attestation::{AttestationKey, Statement},
    },
};

/// The agent version that these clients claim.
const AGENT_VERSION: &str = "0.1.0";

/// A token without a card.
pub struct SoftToken {
    /// What it claims to be.
    pub profile: Profile,
    /// Where its key is said to be.
    pub slot: u8,
    attestation: AttestationKey,
    key: PrivateKey,
    /// `None` where rcgen signs with no such key: RSA below 2048 bits.
    pair: Option<KeyPair>,
}

impl SoftToken {
    /// A token of this profile with a new key, P-256 or RSA-2048 as the firmware allows.
    ///
    /// # Errors
    /// When key or attestation can't be made.
    pub fn new(bank: &Bank, profile: Profile) -> Result<Self> {
        let algorithm = if profile.firmware.0 >= 5 && profile.firmware.1 >= 7 {
            Algorithm::P256
        } else {
            Algorithm::Rsa2048
        };
        Self::with_algorithm(bank, profile, algorithm)
    }

    /// The same with a key of this kind.
    ///
    /// # Errors
    /// When key or attestation can't be made.
    pub fn with_algorithm(bank: &Bank, profile: Profile, algorithm: Algorithm) -> Result<Self> {
        let authority = bank.attestation().authority(profile.firmware);
        let attestation = authority.attestation_key(&profile).context("making an attestation key")?;
        let key = PrivateKey::generate(algorithm).context("generating a key")?;
        let pair = match algorithm {
            Algorithm::Rsa1024 => None,
            _ => Some(KeyPair::try_from(key.to_pkcs8()?).context("reading a key")?),
        };
        Ok(Self { profile, slot: 0x9a, attestation, key, pair })
    }

    /// A token with a new P-256 key, whose f9 key others of its batch have as well: made in a millisecond.
    ///
    /// # Errors
    /// When the key can't be made.
    pub fn of_batch(attestation: &AttestationKey, profile: Profile) -> Result<Self> {
        let key = PrivateKey::generate(Algorithm::P256).context("generating a key")?;
        let pair = KeyPair::try_from(key.to_pkcs8()?).context("reading a key")?;
        Ok(Self { profile, slot: 0x9a, attestation: attestation.clone(), key, pair: Some(pair) })
    }

    /// The same device with a new key in another slot.
    ///
    /// # Errors
    /// When the key can't be made.
    pub fn with_key_in(&self, slot: u8) -> Result<Self> {
        Ok(Self { slot, ..Self::of_batch(&self.attestation, self.profile.clone())? })
    }

    /// The evidence for its key.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn evidence(&self) -> Result<Evidence> {
        let honest = PinPolicy::Once;
        let never = self.profile.has(&crate::virtual_yubikey::Misbehaviour::PinPolicyNever);
        let statement = Statement {
            slot: self.slot,
            key: &self.key,
            pin_policy: if never { PinPolicy::Never } else { honest },
            touch_policy: TouchPolicy::Never,
        };
        let slot = self.attestation.attest(&statement, &self.profile).context("attesting")?;
        let (_, f9) = self.attestation.to_parts().context("reading f9")?;
        Ok(Evidence::YubikeyPiv { slot: Base64Url(slot), f9: Base64Url(f9), intermediates: Vec::new() })
    }

    /// A certification request that asks for what `adjust` puts in, DER.
    ///
    /// # Errors
    /// When it can't be built.
    pub fn request(&self, adjust: impl FnOnce(&mut CertificateParams)) -> Result<Vec<u8>> {
        let mut parameters = CertificateParams::new(Vec::new()).context("composing a request")?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        adjust(&mut parameters);
        Ok(parameters.serialize_request(self.pair()?).context("signing a request")?.der().to_vec())
    }

    /// The same by `openssl req`, which signs with any key; it asks for nothing.
    ///
    /// # Errors
    /// When openssl can't.
    pub fn request_by_openssl(&self) -> Result<Vec<u8>> {
        let arguments =
            ["req", "-new", "-subj", "/", "-keyform", "DER", "-key", "/dev/stdin", "-outform", "DER"];
        openssl_with_input(&arguments, &self.key.to_pkcs8()?)
    }

    fn pair(&self) -> Result<&KeyPair> {
        self.pair.as_ref().context("rcgen signs with no key of this kind")
    }

    /// The signature over an enrolment's challenge.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn answer(&self, challenge: &[u8]) -> Result<Vec<u8>> {
        let message = challenge_message(challenge, &self.pair()?.subject_public_key_info());
        self.pair()?.sign(&message).context("signing the challenge")
    }

    /// Step 2 as an honest agent would send it.
    ///
    /// # Errors
    /// When a part can't be made.
    pub fn certify(&self, opened: &Opened) -> Result<Certify> {
        Ok(Certify {
            csr: Base64Url(self.request(|_| {})?),
            evidence: self.evidence()?,
            challenge_signature: Base64Url(self.answer(challenge(opened)?)?),
            predecessor_signature: None,
        })
    }

    /// Step 2 of a renewal as an honest agent would send it: `old` holds the certificate that is renewed.
    ///
    /// # Errors
    /// When a part can't be made.
    pub fn certify_renewal(&self, opened: &Opened, old: &Self) -> Result<Certify> {
        let word = old.word_for(self, challenge(opened)?)?;
        Ok(Certify { predecessor_signature: Some(Base64Url(word)), ..self.certify(opened)? })
    }

    /// What this token's key signs so that `new` takes its place.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn word_for(&self, new: &Self, challenge: &[u8]) -> Result<Vec<u8>> {
        let message = renewal_message(challenge, &new.pair()?.subject_public_key_info());
        self.pair()?.sign(&message).context("signing for a successor")
    }

    /// Its key, PKCS#8 PEM: for browsers without a card.
    ///
    /// # Errors
    /// When rcgen can't write it.
    pub fn key_pem(&self) -> Result<String> {
        Ok(self.pair()?.serialize_pem())
    }

    /// The device that it claims to be.
    pub fn claim(&self) -> DeviceClaim {
        DeviceClaim {
            kind: "yubikey-piv".to_owned(),
            serial: self.profile.serial.to_string(),
            firmware: self.profile.firmware.to_string(),
        }
    }
}

/// The challenge, which only a TPM doesn't get in clear.
///
/// # Errors
/// When it isn't there.
pub fn challenge(opened: &Opened) -> Result<&[u8]> {
    Ok(&opened.challenge.as_ref().context("a challenge in clear")?.0)
}

/// A subject with a common name, for [`SoftToken::request`].
pub fn named(name: &str) -> impl FnOnce(&mut CertificateParams) + '_ {
    move |parameters| parameters.distinguished_name.push(DnType::CommonName, name)
}

/// What the API said: its answer, or its refusal.
pub type Answer<T> = std::result::Result<T, Box<Problem>>;

/// A client of the enrolment API.
#[derive(Clone, Debug)]
pub struct EnrolmentClient {
    http: Client,
    base: String,
}

impl EnrolmentClient {
    /// For this bank; it keeps its connections alive.
    ///
    /// # Errors
    /// When the bank's server certificate can't be read.
    pub fn new(bank: &Bank) -> Result<Self> {
        let trust = std::fs::read(bank.path("tls/ca.pem")).context("reading the server's authority")?;
        let authority = reqwest::Certificate::from_pem(&trust).context("reading the server's authority")?;
        let http = Client::builder()
            .tls_certs_only([authority])
            .timeout(Duration::from_secs(30))
            .pool_idle_timeout(KEPT)
            .no_proxy()
            .build()
            .context("building a client")?;
        Ok(Self { http, base: format!("{}/api/v1/enrolments", bank.urls().public) })
    }

    /// Step 1 with the password that everybody has.
    ///
    /// # Errors
    /// When there is no answer of the API's.
    pub fn open(&self, user: &str, token: &SoftToken, key: &str) -> Result<Answer<Opened>> {
        self.open_with(&Self::opening(user, token), key)
    }

    /// What [`open`](Self::open) sends.
    pub fn opening(user: &str, token: &SoftToken) -> Open {
        Open {
            user_id: user.to_owned(),
            password: LOGIN_PASSWORD.to_owned(),
            acquisition_code: None,
            device: token.claim(),
            tpm: None,
            renews: None,
            agent_version: AGENT_VERSION.to_owned(),
        }
    }

    /// Step 1 as given.
    ///
    /// # Errors
    /// When there is no answer of the API's.
    pub fn open_with(&self, open: &Open, key: &str) -> Result<Answer<Opened>> {
        Self::send(self.http.post(&self.base), key, open)
    }

    /// Step 2.
    ///
    /// # Errors
    /// When there is no answer of the API's.
    pub fn certify(&self, opened: &Opened, certify: &Certify, key: &str) -> Result<Answer<Certified>> {
        let url = format!("{}/{}/certificate", self.base, opened.enrolment_id);
        Self::send(self.http.post(url).bearer_auth(&opened.bearer), key, certify)
    }

    /// Step 3.
    ///
    /// # Errors
    /// When there is no answer of the API's.
    pub fn confirm(&self, opened: &Opened, certified: &Certified, key: &str) -> Result<Answer<()>> {
        let url = format!("{}/{}/confirmation", self.base, opened.enrolment_id);
        let hash = Sha256::digest(&certified.certificate.0).to_vec();
        let body = Confirm { certificate_sha256: Base64Url(hash) };
        let response = self.http.post(url).bearer_auth(&opened.bearer).header("idempotency-key", key);
        let response = response.json(&body).send().context("asking the enrolment API")?;
        if response.status().is_success() {
            return Ok(Ok(()));
        }
        Ok(Err(Box::new(response.json().context("reading a refusal")?)))
    }

    /// All three steps.
    ///
    /// # Errors
    /// When there is no answer of the API's.
    pub fn enroll(&self, user: &str, token: &SoftToken, key: &str) -> Result<Answer<Certified>> {
        let opened = match self.open(user, token, key)? {
            Ok(opened) => opened,
            Err(problem) => return Ok(Err(problem)),
        };
        let certified = match self.certify(&opened, &token.certify(&opened)?, key)? {
            Ok(certified) => certified,
            Err(problem) => return Ok(Err(problem)),
        };
        Ok(self.confirm(&opened, &certified, key)?.map(|()| certified))
    }

    fn send<T: DeserializeOwned>(
        request: RequestBuilder,
        key: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>> {
        let request = request.header("idempotency-key", key).json(body);
        let response = request.send().context("asking the enrolment API")?;
        let status = response.status();
        let body = response.bytes().context("reading the enrolment API's answer")?;
        let shown = || format!("{status}: {}", String::from_utf8_lossy(&body));
        if status.is_success() {
            return Ok(Ok(serde_json::from_slice(&body).with_context(shown)?));
        }
        Ok(Err(serde_json::from_slice(&body).with_context(shown)?))
    }
}
