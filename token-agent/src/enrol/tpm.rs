//! This computer's TPM as the home of a key: a place instead of a slot, a PIN that belongs to the key, a challenge that
//! only the right TPM can open.

use agent_tpm::{Algorithm, Identity, Key, Place as TpmPlace, Tpm, TpmError};
use ca_wire::{
    Base64Url,
    enrolment::{
        Certify, DeviceClaim, Evidence, KeyRequirements, Opened, TpmCredential, TpmIdentity,
        challenge_message,
    },
};
use der::Decode;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use super::{
    EnrolError, Order, Person, Predecessor, Step,
    home::{Claim, Home, Issued, KeyAtHome, Place},
    record::{KeyRecord, RecordFile},
    request::certification_request,
};
use crate::{
    custodian::Custodian,
    secret::Pin,
    token::KeyAlgorithm,
    tpm::{Machine, sign, verified_pin},
};

/// The kind of device that the CA's API names.
const KIND: &str = "tpm";

/// An opened TPM.
pub(super) struct TpmHome<'a> {
    machine: &'a Machine,
    order: &'a Order,
    tpm: Box<dyn Tpm>,
    identity: Identity,
    /// The attestation key's public area.
    attestation_key: Vec<u8>,
}

/// A TPM with the user's key.
struct TpmKey<'a> {
    home: TpmHome<'a>,
    key: Key,
    algorithm: KeyAlgorithm,
    public_key: SubjectPublicKeyInfoOwned,
    pin: Pin,
    /// The predecessor's key.
    old: Option<Key>,
}

impl<'a> TpmHome<'a> {
    pub(super) fn open(
        machine: &'a Machine,
        order: &'a Order,
        mut tpm: Box<dyn Tpm>,
    ) -> Result<Self, EnrolError> {
        let identity = tpm.identity()?;
        let attestation_key = tpm.attestation_key()?;
        Ok(Self { machine, order, tpm, identity, attestation_key })
    }

    pub(super) fn serial(&self) -> &str {
        &self.identity.serial
    }

    fn keys_at(&mut self, place: TpmPlace) -> Result<Option<Key>, TpmError> {
        Ok(self.tpm.keys()?.into_iter().find(|key| key.place == place))
    }

    /// The key that was generated for the enrolment under way, if it was.
    fn begun(&mut self, record: &KeyRecord) -> Result<(TpmPlace, Option<Key>), EnrolError> {
        let number = record.slot.parse().ok().and_then(TpmPlace::new);
        let place = number.ok_or_else(|| EnrolError::RulesMalformed(record.slot.clone()))?;
        let found = self.keys_at(place)?;
        match &record.generated {
            None => Ok((place, found)),
            Some(generated) => match found.filter(|key| fingerprint(&key.spki) == *generated) {
                Some(key) => Ok((place, Some(key))),
                None => Err(TpmError::KeyGone(place).into()),
            },
        }
    }

    fn free_place(&mut self) -> Result<TpmPlace, EnrolError> {
        let taken: Vec<TpmPlace> = self.tpm.keys()?.into_iter().map(|key| key.place).collect();
        Ok(TpmPlace::all().find(|place| !taken.contains(place)).ok_or(TpmError::NoPlace)?)
    }

    /// The key of the certificate that is renewed, where it still is.
    fn predecessor(&mut self) -> Result<Option<Key>, EnrolError> {
        let Some(old) = &self.order.renews else { return Ok(None) };
        Ok(self.tpm.keys()?.into_iter().find(|key| key.spki == old.spki))
    }

    /// Finds the key of before the interruption, or generates one. A renewal's key gets its predecessor's PIN.
    fn obtain(
        &mut self,
        person: &mut dyn Person,
        rules: &KeyRequirements,
        record: &mut RecordFile,
        old: Option<&Key>,
    ) -> Result<(Key, Pin), EnrolError> {
        let (place, found, algorithm) = match record.key.clone() {
            Some(begun) => {
                let algorithm = KeyAlgorithm::parse(&begun.algorithm).and_then(of_tpm);
                let algorithm =
                    algorithm.ok_or_else(|| EnrolError::RulesMalformed(begun.algorithm.clone()))?;
                let (place, found) = self.begun(&begun)?;
                (place, found, algorithm)
            }
            None => (self.free_place()?, None, choose_algorithm(rules, self.order)?),
        };
        if let Some(key) = found {
            person.tell(Step::TpmKeyFound { place });
            let pin = verified_pin(self.tpm.as_mut(), &key, person)?;
            remember(record, &key)?;
            return Ok((key, pin));
        }
        let pin = match old {
            Some(old) => verified_pin(self.tpm.as_mut(), old, person)?,
            None if self.order.renews.is_some() => return Err(EnrolError::PredecessorGone),
            None => {
                person.tell(Step::ChoosePin);
                person.new_pin()?
            }
        };
        record.key = Some(KeyRecord {
            slot: place.to_string(),
            algorithm: in_agent(algorithm).to_string(),
            replaces: None,
            generated: None,
            public_key: None,
        });
        record.save()?;
        person.tell(Step::GeneratingTpmKey { algorithm: in_agent(algorithm) });
        let key = self.tpm.generate(place, algorithm, pin.expose())?;
        remember(record, &key)?;
        Ok((key, pin))
    }
}

impl Home for TpmHome<'_> {
    fn claim(&self) -> Claim {
        Claim {
            device: DeviceClaim {
                kind: KIND.to_owned(),
                serial: self.identity.serial.clone(),
                firmware: self.identity.firmware.clone(),
            },
            tpm: Some(TpmIdentity {
                ek_public: Base64Url(self.identity.ek_public.clone()),
                ek_certificate: self.identity.ek_certificate.clone().map(Base64Url),
                ek_intermediates: Vec::new(),
                ak_public: Base64Url(self.attestation_key.clone()),
                ak_certificates: Vec::new(),
            }),
        }
    }

    fn key<'h>(
        mut self: Box<Self>,
        person: &mut dyn Person,
        rules: &KeyRequirements,
        record: &mut RecordFile,
        _: Option<&Custodian<'_>>,
        _: Timestamp,
    ) -> Result<Box<dyn KeyAtHome + 'h>, EnrolError>
    where
        Self: 'h,
    {
        let old = self.predecessor()?;
        let (key, pin) = self.obtain(person, rules, record, old.as_ref())?;
        let public_key = SubjectPublicKeyInfoOwned::from_der(&key.spki).map_err(EnrolError::Encoding)?;
        let algorithm = in_agent(key.algorithm);
        Ok(Box::new(TpmKey { home: *self, key, algorithm, public_key, pin, old }))
    }
}

impl TpmKey<'_> {
    /// A signature that is right.
    fn sign(&mut self, message: &[u8]) -> Result<Vec<u8>, EnrolError> {
        let signature = sign(self.home.tpm.as_mut(), &self.key, &self.pin, message)?;
        ca_x509::verify::verify(&self.public_key, self.algorithm.signature(), message, &signature)
            .map_err(|_| EnrolError::SignatureWrong)?;
        Ok(signature)
    }

    /// The predecessor's key's signature for the new key. Its PIN may have been changed since the new key got it.
    fn sign_renewal(
        &mut self,
        person: &mut dyn Person,
        challenge: &[u8],
    ) -> Result<Option<Base64Url>, EnrolError> {
        let Some(old) = &self.home.order.renews else { return Ok(None) };
        let key = self.old.as_ref().ok_or(EnrolError::PredecessorGone)?;
        person.tell(Step::SigningRenewal);
        let message = Predecessor::message(challenge, &self.key.spki);
        let tpm = self.home.tpm.as_mut();
        let signature = match sign(tpm, key, &self.pin, &message) {
            Err(TpmError::PinWrong { .. }) => {
                let pin = verified_pin(tpm, key, person)?;
                sign(tpm, key, &pin, &message)?
            }
            other => other?,
        };
        old.verify(&message, &signature)?;
        Ok(Some(Base64Url(signature)))
    }

    /// Opens what the server sealed for this TPM.
    fn challenge(&mut self, credential: Option<&TpmCredential>) -> Result<Zeroizing<Vec<u8>>, EnrolError> {
        let credential =
            credential.ok_or_else(|| EnrolError::RulesMalformed("no TPM credential".to_owned()))?;
        Ok(self.home.tpm.activate(&credential.credential_blob.0, &credential.encrypted_secret.0)?)
    }
}

impl KeyAtHome for TpmKey<'_> {
    fn public_key(&self) -> &[u8] {
        &self.key.spki
    }

    fn predecessor(&self) -> Option<String> {
        self.old.as_ref().map(|key| key.place.to_string())
    }

    fn evidence(
        &mut self,
        person: &mut dyn Person,
        user_id: &str,
        opened: &Opened,
    ) -> Result<Certify, EnrolError> {
        person.tell(Step::Attesting);
        let challenge = self.challenge(opened.tpm_credential.as_ref())?;
        let message = challenge_message(&challenge, &self.key.spki);
        let qualifying: [u8; 32] = Sha256::digest(&message).into();
        let certified = self.home.tpm.certify(&self.key, self.pin.expose(), &qualifying)?;
        person.tell(Step::Signing);
        let (public_key, algorithm) = (self.public_key.clone(), self.algorithm.signature());
        let csr = certification_request(&public_key, algorithm, user_id, |message| self.sign(message))?;
        let challenge_signature = self.sign(&message)?;
        let predecessor_signature = self.sign_renewal(person, &challenge)?;
        let identity = &self.home.identity;
        Ok(Certify {
            csr: Base64Url(csr),
            evidence: Evidence::Tpm {
                ek_public: Base64Url(identity.ek_public.clone()),
                ek_certificate: identity.ek_certificate.clone().map(Base64Url),
                ek_intermediates: Vec::new(),
                ak_public: Base64Url(self.home.attestation_key.clone()),
                ak_certificates: Vec::new(),
                key_public: Base64Url(self.key.public.clone()),
                certify_info: Base64Url(certified.info),
                certify_signature: Base64Url(certified.signature),
            },
            challenge_signature: Base64Url(challenge_signature),
            predecessor_signature,
        })
    }

    fn install(
        mut self: Box<Self>,
        person: &mut dyn Person,
        issued: &Issued,
        _: Timestamp,
    ) -> Result<Place, EnrolError> {
        person.tell(Step::KeepingCertificate);
        let TpmHome { machine, order, tpm, identity, .. } = &mut self.home;
        let entry = agent_tpm::Entry {
            version: 1,
            tpm: identity.serial.clone(),
            address: machine.address.to_string(),
            place: self.key.place,
            key_name: hex::encode(&self.key.name),
            storage_name: hex::encode(tpm.storage_name()?),
            user_id: order.user_id.clone(),
            certificate: issued.certificate.clone(),
        };
        machine.shelf.put(&entry)?;
        machine.shelf.forget_predecessors(&entry)?;
        tpm.publish(&self.key, &issued.certificate)?;
        if machine.shelf.of_key(&self.key)?.as_ref() == Some(&entry) {
            Ok(Place::Tpm { identity: identity.clone(), place: self.key.place })
        } else {
            Err(EnrolError::NotKept)
        }
    }
}

/// The elliptic-curve key where it is permitted: RSA keys are made and used slowly in TPMs, and what they sign with for
/// TLS 1.3 differs from maker to maker.
fn choose_algorithm(rules: &KeyRequirements, order: &Order) -> Result<Algorithm, EnrolError> {
    let named = || rules.algorithms.iter().filter_map(|name| KeyAlgorithm::parse(name));
    let permitted = [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048]
        .into_iter()
        .filter(|algorithm| named().any(|other| other == *algorithm));
    let mut wanted =
        permitted.filter(|algorithm| order.algorithm.is_none_or(|ordered| ordered == *algorithm));
    let model = "TPM".to_owned();
    match (wanted.next().and_then(of_tpm), order.algorithm) {
        (Some(algorithm), _) => Ok(algorithm),
        (None, Some(algorithm)) => Err(EnrolError::AlgorithmNotPermitted { algorithm, model }),
        (None, None) => Err(EnrolError::NoAlgorithm { model, permitted: rules.algorithms.join(", ") }),
    }
}

fn of_tpm(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    match algorithm {
        KeyAlgorithm::P256 => Some(Algorithm::P256),
        KeyAlgorithm::Rsa2048 => Some(Algorithm::Rsa2048),
        _ => None,
    }
}

fn in_agent(algorithm: Algorithm) -> KeyAlgorithm {
    match algorithm {
        Algorithm::P256 => KeyAlgorithm::P256,
        Algorithm::Rsa2048 => KeyAlgorithm::Rsa2048,
    }
}

fn remember(record: &mut RecordFile, key: &Key) -> Result<(), EnrolError> {
    if let Some(begun) = record.key.as_mut() {
        begun.generated = Some(fingerprint(&key.spki));
    }
    Ok(record.save()?)
}

fn fingerprint(public_key: &[u8]) -> String {
    hex::encode(Sha256::digest(public_key))
}
