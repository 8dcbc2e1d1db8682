//! Who vouches for keys: the test vendor's hierarchies, the device's f9 key, and the attestation of a slot.
//!
//! Both generations have the genuine shape (names of the test vendor apart): a verifier that takes these
//! certificates needs only other trust anchors to take a real device's.

use std::{fs, path::Path};

use rsa::{
    RsaPrivateKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use x509_cert::{
    Certificate,
    der::{Encode, EncodePem},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{
    certificate::{
        self, Content, Generation, certificate_authority, certificate_signing, issue, key_identifiers,
        vendor_extension,
    },
    error::CardError,
    key::{Algorithm, PinPolicy, PrivateKey, TouchPolicy},
    profile::{Firmware, Misbehaviour, Profile},
};

const FIRST_ROOT: &str = "CN=Inro Test PIV Root CA Serial 1";
const SECOND_ROOT: &str = "CN=Inro Test Attestation Root 1";
const SECOND_INTERMEDIATE: &str = "CN=Inro Test Attestation Intermediate B 1";
const SECOND_ISSUER: &str = "CN=Inro Test PIV Attestation B 1";

/// What can certify f9 keys of one generation.
#[derive(Clone, Debug)]
pub struct AttestationAuthority {
    generation: Generation,
    key: RsaPrivateKey,
    /// The issuer of f9 certificates first, the root last.
    chain: Vec<Certificate>,
}

impl AttestationAuthority {
    /// A new hierarchy of this generation, with new keys.
    ///
    /// # Errors
    /// When keys or certificates can't be made.
    pub fn create(generation: Generation) -> Result<Self, CardError> {
        match generation {
            Generation::First => Self::create_root(generation, FIRST_ROOT, 1),
            Generation::Second => Self::create_root(generation, SECOND_ROOT, 3)?
                .create_below(SECOND_INTERMEDIATE, 2)?
                .create_below(SECOND_ISSUER, 1),
        }
    }

    fn create_root(generation: Generation, subject: &str, path_length: u8) -> Result<Self, CardError> {
        let key = rsa_key()?;
        let public_key = public_key(&key)?;
        let mut extensions = key_identifiers(&public_key, None)?;
        extensions.push(certificate_authority(path_length)?);
        extensions.push(certificate_signing()?);
        let issuer = certificate::name(subject)?;
        let content = Content { subject: subject.to_owned(), issuer, extensions, generation, public_key };
        let root = issue(content, &key)?;
        Ok(Self { generation, key, chain: vec![root] })
    }

    fn create_below(self, subject: &str, path_length: u8) -> Result<Self, CardError> {
        let key = rsa_key()?;
        let public_key = public_key(&key)?;
        let mut extensions = key_identifiers(&public_key, Some(&self::public_key(&self.key)?))?;
        extensions.push(certificate_authority(path_length)?);
        extensions.push(certificate_signing()?);
        let issuer = self.issuer().tbs_certificate().subject().clone();
        let generation = self.generation;
        let content = Content { subject: subject.to_owned(), issuer, extensions, generation, public_key };
        let mut chain = vec![issue(content, &self.key)?];
        chain.extend(self.chain);
        Ok(Self { generation, key, chain })
    }

    /// Reads a hierarchy: PEM certificates, the issuer of f9 certificates first and the root last, and that
    /// issuer's RSA key as PKCS#8 PEM. A single certificate makes a first-generation hierarchy.
    ///
    /// # Errors
    /// When a file can't be read or isn't what it should be.
    pub fn load(certificates: &Path, key: &Path) -> Result<Self, CardError> {
        let pem = fs::read(certificates).map_err(CardError::file(certificates))?;
        let chain = Certificate::load_pem_chain(&pem)?;
        let generation = if chain.len() == 1 { Generation::First } else { Generation::Second };
        let pem = fs::read_to_string(key).map_err(CardError::file(key))?;
        let key = RsaPrivateKey::from_pkcs8_pem(&pem).map_err(|_| CardError::StoredKey)?;
        if chain.is_empty() {
            return Err(CardError::Encoding(
                x509_cert::der::ErrorKind::Incomplete { expected_len: 1_u8.into(), actual_len: 0_u8.into() }
                    .into(),
            ));
        }
        Ok(Self { generation, key, chain })
    }

    fn save(&self, directory: &Path, stem: &str) -> Result<(), CardError> {
        let key = self.key.to_pkcs8_pem(LineEnding::LF).map_err(|_| CardError::StoredKey)?;
        write(&directory.join(format!("{stem}.key")), &key)?;
        write(&directory.join(format!("{stem}.pem")), &pem_of(&self.chain)?)
    }

    fn issuer(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The trust anchor, as PEM.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn root_pem(&self) -> Result<String, CardError> {
        pem_of(&self.chain[self.chain.len() - 1..])
    }

    /// What lies between root and f9, as PEM; empty for the first generation.
    ///
    /// # Errors
    /// When it can't be encoded.
    pub fn intermediates_pem(&self) -> Result<String, CardError> {
        pem_of(&self.chain[..self.chain.len() - 1])
    }

    /// A hierarchy with the same names and other keys.
    fn look_alike(&self) -> Result<Self, CardError> {
        Self::create(self.generation)
    }

    /// What the factory does: a key for slot f9 and its certificate.
    ///
    /// # Errors
    /// When key or certificate can't be made.
    pub fn attestation_key(&self, profile: &Profile) -> Result<AttestationKey, CardError> {
        let generation = self.generation;
        let key = rsa_key()?;
        let public_key = public_key(&key)?;
        let subject = match generation {
            Generation::First => "CN=Yubico PIV Attestation",
            Generation::Second => "CN=YubiKey PIV Attestation",
        };
        let mut extensions = vec![vendor_extension(3, &profile.firmware.bytes())?];
        if profile.fips {
            extensions.push(vendor_extension(10, &7_u8.to_der()?)?);
        }
        if profile.cspn {
            extensions.push(vendor_extension(11, &1_u8.to_der()?)?);
        }
        if !profile.has(&Misbehaviour::AttestationWithoutBasicConstraints) {
            extensions.push(certificate_authority(0)?);
        }
        let (issuer, signer) = if profile.has(&Misbehaviour::AttestationKeyReplaced) {
            (certificate::name(subject)?, key.clone())
        } else if profile.has(&Misbehaviour::LookAlikeRoot) {
            let other = self.look_alike()?;
            (other.issuer().tbs_certificate().subject().clone(), other.key)
        } else if profile.has(&Misbehaviour::ForeignRoot) {
            let other = Self::create_root(generation, "CN=Some Other Vendor PIV Root", 1)?;
            (other.issuer().tbs_certificate().subject().clone(), other.key)
        } else {
            (self.issuer().tbs_certificate().subject().clone(), self.key.clone())
        };
        let content = Content { subject: subject.to_owned(), issuer, extensions, generation, public_key };
        let certificate = issue(content, &signer)?;
        Ok(AttestationKey { key, certificate })
    }
}

/// The test vendor: both generations.
#[derive(Clone, Debug)]
pub struct AttestationRoots {
    /// For firmware up to 5.7.3.
    pub first: AttestationAuthority,
    /// For firmware from 5.7.4.
    pub second: AttestationAuthority,
}

impl AttestationRoots {
    /// New hierarchies, only in memory.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn create() -> Result<Self, CardError> {
        Ok(Self {
            first: AttestationAuthority::create(Generation::First)?,
            second: AttestationAuthority::create(Generation::Second)?,
        })
    }

    /// Writes `first.pem`, `first.key`, `second.pem`, `second.key`, and for verifiers `anchors.pem` (both roots)
    /// and `intermediates.pem` into `directory`, which is made where it doesn't exist.
    ///
    /// # Errors
    /// When something can't be written.
    pub fn save(&self, directory: &Path) -> Result<(), CardError> {
        fs::create_dir_all(directory).map_err(CardError::file(directory))?;
        self.first.save(directory, "first")?;
        self.second.save(directory, "second")?;
        write(&directory.join("anchors.pem"), &(self.first.root_pem()? + &self.second.root_pem()?))?;
        write(&directory.join("intermediates.pem"), &self.second.intermediates_pem()?)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// When a file is missing or isn't what it should be.
    pub fn load(directory: &Path) -> Result<Self, CardError> {
        let load = |stem: &str| {
            AttestationAuthority::load(
                &directory.join(format!("{stem}.pem")),
                &directory.join(format!("{stem}.key")),
            )
        };
        Ok(Self { first: load("first")?, second: load("second")? })
    }

    /// The one that certifies devices of this firmware.
    pub fn authority(&self, firmware: Firmware) -> &AttestationAuthority {
        if firmware >= Firmware::NEW_ATTESTATION { &self.second } else { &self.first }
    }
}

/// The key of slot f9 with its certificate.
#[derive(Clone, Debug)]
pub struct AttestationKey {
    key: RsaPrivateKey,
    certificate: Certificate,
}

/// What an attestation says of a key.
pub struct Statement<'a> {
    /// The slot it lives in.
    pub slot: u8,
    /// The key.
    pub key: &'a PrivateKey,
    /// When the PIN is asked for.
    pub pin_policy: PinPolicy,
    /// When a touch is asked for.
    pub touch_policy: TouchPolicy,
}

impl AttestationKey {
    /// Puts stored parts together again; `certificate` is DER.
    ///
    /// # Errors
    /// When one isn't what it should be.
    pub fn from_parts(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, CardError> {
        let key = RsaPrivateKey::from_pkcs8_der(pkcs8).map_err(|_| CardError::StoredKey)?;
        Ok(Self { key, certificate: x509_cert::der::Decode::from_der(certificate)? })
    }

    /// Key (PKCS#8) and certificate (DER).
    ///
    /// # Errors
    /// When one can't be encoded.
    pub fn to_parts(&self) -> Result<(Vec<u8>, Vec<u8>), CardError> {
        let key = self.key.to_pkcs8_der().map_err(|_| CardError::StoredKey)?;
        Ok((key.as_bytes().to_vec(), self.certificate.to_der()?))
    }

    /// The attestation certificate of a slot, DER.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn attest(&self, statement: &Statement<'_>, profile: &Profile) -> Result<Vec<u8>, CardError> {
        let mut told = Told::honest(statement, profile)?;
        for misbehaviour in &profile.misbehaviours {
            told.distort(misbehaviour)?;
        }
        let generation = if profile.firmware >= Firmware::NEW_ATTESTATION {
            Generation::Second
        } else {
            Generation::First
        };
        let content = Content {
            subject: format!("CN=YubiKey PIV Attestation {:02x}", told.slot),
            issuer: self.certificate.tbs_certificate().subject().clone(),
            extensions: told.extensions(profile)?,
            generation,
            public_key: told.public_key,
        };
        let certificate = match told.signer {
            Some(other) => issue(content, &other)?,
            None => issue(content, &self.key)?,
        };
        Ok(certificate.to_der()?)
    }
}

/// What an attestation will say, before and after the lies.
struct Told {
    slot: u8,
    serial: Option<u32>,
    firmware: Firmware,
    policies: Vec<[u8; 2]>,
    public_key: SubjectPublicKeyInfoOwned,
    signer: Option<RsaPrivateKey>,
}

impl Told {
    fn honest(statement: &Statement<'_>, profile: &Profile) -> Result<Self, CardError> {
        Ok(Self {
            slot: statement.slot,
            // Firmware 4 attests no serial number.
            serial: (profile.firmware >= Firmware(5, 0, 0)).then_some(profile.serial),
            firmware: profile.firmware,
            policies: vec![[statement.pin_policy as u8, statement.touch_policy as u8]],
            public_key: statement.key.public_key_info()?,
            signer: None,
        })
    }

    fn distort(&mut self, misbehaviour: &Misbehaviour) -> Result<(), CardError> {
        match misbehaviour {
            Misbehaviour::AttestedSerial(serial) => self.serial = Some(*serial),
            Misbehaviour::NoAttestedSerial => self.serial = None,
            Misbehaviour::AttestedFirmware(firmware) => self.firmware = *firmware,
            Misbehaviour::AttestedSlot(slot) => self.slot = *slot,
            Misbehaviour::PolicyMissing => self.policies.clear(),
            Misbehaviour::PolicyTwice => {
                self.policies.push([PinPolicy::Never as u8, TouchPolicy::Never as u8]);
            }
            Misbehaviour::AttestAnotherKey => {
                self.public_key = PrivateKey::generate(Algorithm::P256)?.public_key_info()?;
            }
            Misbehaviour::SlotNotSignedByAttestationKey => self.signer = Some(rsa_key()?),
            _ => {}
        }
        Ok(())
    }

    fn extensions(&self, profile: &Profile) -> Result<Vec<x509_cert::ext::Extension>, CardError> {
        let mut extensions = vec![vendor_extension(3, &self.firmware.bytes())?];
        if let Some(serial) = self.serial {
            extensions.push(vendor_extension(7, &serial.to_der()?)?);
        }
        for policy in &self.policies {
            extensions.push(vendor_extension(8, policy)?);
        }
        if profile.firmware >= Firmware(5, 0, 0) {
            extensions.push(vendor_extension(9, &[profile.form_octet()])?);
        }
        Ok(extensions)
    }
}

fn rsa_key() -> Result<RsaPrivateKey, CardError> {
    match PrivateKey::generate(Algorithm::Rsa2048)? {
        PrivateKey::Rsa(key) => Ok(*key),
        _ => Err(CardError::KeyGeneration),
    }
}

fn public_key(key: &RsaPrivateKey) -> Result<SubjectPublicKeyInfoOwned, CardError> {
    Ok(SubjectPublicKeyInfoOwned::from_key(&key.to_public_key())?)
}

fn pem_of(chain: &[Certificate]) -> Result<String, CardError> {
    let mut text = String::new();
    for certificate in chain {
        text.push_str(&certificate.to_pem(LineEnding::LF)?);
    }
    Ok(text)
}

fn write(path: &Path, text: &str) -> Result<(), CardError> {
    fs::write(path, text).map_err(CardError::file(path))
}
