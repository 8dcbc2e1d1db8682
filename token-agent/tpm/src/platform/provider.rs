//! Users' keys, the attestation key and the endorsement key, as the Platform Crypto Provider has them.

use der::{Encode, Reader, SliceReader};
use sha2::{Digest as _, Sha256};
use windows_sys::Win32::Security::Cryptography::{
    NCRYPT_LENGTH_PROPERTY, NCRYPT_PCP_CHANGEPASSWORD_PROPERTY, NCRYPT_PCP_KEY_USAGE_POLICY_PROPERTY,
    NCRYPT_PCP_PLATFORMHANDLE_PROPERTY, NCRYPT_PCP_RSA_EKNVCERT_PROPERTY,
    NCRYPT_PCP_TPM12_IDACTIVATION_PROPERTY,
};
use zeroize::Zeroizing;

use super::{
    claim,
    cng::{self, Provider, Status},
    store::Store,
    tbs::{Object, Property, Services, present},
};
use crate::{Algorithm, Certification, Identity, Key, Lockout, Place, Scheme, Tpm, TpmError, ecdsa};

/// The provider's name for the attestation key; each of Windows' users has one of their own.
const ATTESTATION_KEY: &str = "Inro attestation key";
/// `NCRYPT_PCP_IDENTITY_KEY`: a restricted signing key.
const IDENTITY_KEY: u32 = 8;
/// Where Windows keeps the endorsement key and the storage key (Registry of Reserved TPM 2.0 Handles).
const ENDORSEMENT: u32 = 0x8101_0001;
const STORAGE: u32 = 0x8100_0001;

/// Codes of winerror.h.
mod code {
    /// `NTE_BAD_KEYSET`, `NTE_NOT_FOUND`: there is no key of that name.
    pub(super) const NO_KEY: [u32; 2] = [0x8009_0016, 0x8009_0011];
    /// `NTE_EXISTS`.
    pub(super) const EXISTS: u32 = 0x8009_000f;
    /// `TPM_20_E_AUTH_FAIL`, `TPM_20_E_BAD_AUTH`, `SCARD_W_WRONG_CHV`.
    pub(super) const PIN_WRONG: [u32; 3] = [0x8028_008e, 0x8028_00a2, 0x8010_006b];
    /// `TPM_20_E_LOCKOUT`, `PCP_E_TPM_LOCKED_OUT`… as the TPM and as the provider say it.
    pub(super) const LOCKED: [u32; 2] = [0x8028_0921, 0x8028_0803];
    /// `E_ACCESSDENIED`, `TPM_E_COMMAND_BLOCKED`, `TBS_E_ACCESS_DENIED`, `NTE_PERM`.
    pub(super) const NOT_PERMITTED: [u32; 4] = [0x8007_0005, 0x8028_0400, 0x8028_4012, 0x8009_0010];
    /// `TPM_20_E_INTEGRITY`, `TPM_20_E_VALUE`, `TPM_20_E_SIZE`: a credential that was made for another TPM.
    pub(super) const OTHER_CREDENTIAL: [u32; 3] = [0x8028_009f, 0x8028_0084, 0x8028_0095];
}

/// The TPM of this Windows.
pub(crate) struct PlatformTpm {
    // Before the provider, which its way to the TPM belongs to.
    services: Services,
    provider: Provider,
    address: String,
}

impl PlatformTpm {
    pub(crate) fn open(address: String) -> Result<Self, TpmError> {
        let absent = |address: &str, code: u32| TpmError::Absent {
            address: address.to_owned(),
            source: Box::new(Status(code)),
        };
        present().map_err(|code| absent(&address, code))?;
        let open = || {
            let provider = Provider::open()?;
            let services = Services::new(provider.pointer(NCRYPT_PCP_PLATFORMHANDLE_PROPERTY)?);
            Ok((services, provider))
        };
        let (services, provider) = open().map_err(|Status(code)| absent(&address, code))?;
        Ok(Self { services, provider, address })
    }

    fn failed(&self, action: &'static str) -> impl Fn(Status) -> TpmError + '_ {
        move |status| {
            let Status(code) = status;
            if code::PIN_WRONG.contains(&code) {
                let left = self.services.lockout().map_or(0, |lockout| lockout.tries_left());
                return TpmError::PinWrong { tries_left: left };
            }
            if code::LOCKED.contains(&code) {
                let seconds = self.services.lockout().map_or(0, |lockout| lockout.seconds);
                return TpmError::Locked { seconds };
            }
            if code::NOT_PERMITTED.contains(&code) {
                let source = std::io::Error::other(status);
                return TpmError::NotPermitted { address: self.address.clone(), source };
            }
            TpmError::Failed { action, source: Box::new(status) }
        }
    }

    /// The key of this name as the TPM holds it; `None` where there is none.
    fn find(&self, name: &str) -> Result<Option<(cng::Key, Object)>, TpmError> {
        let key = match self.provider.key(name) {
            Ok(key) => key,
            Err(Status(code)) if code::NO_KEY.contains(&code) => return Ok(None),
            Err(status) => return Err(self.failed("find a key")(status)),
        };
        let object = self.object(&key)?;
        Ok(Some((key, object)))
    }

    fn object(&self, key: &cng::Key) -> Result<Object, TpmError> {
        let octets = key.property(NCRYPT_PCP_PLATFORMHANDLE_PROPERTY).map_err(self.failed("load a key"))?;
        let octets = octets.get(..4).and_then(|octets| octets.try_into().ok());
        let handle = octets.map(u32::from_le_bytes).ok_or(TpmError::Malformed("a question for a handle"))?;
        self.services.read_public(handle)
    }

    /// A user's key, while it is the same.
    fn same(&self, key: &Key) -> Result<cng::Key, TpmError> {
        let found = self.find(&name_of(key.place))?.filter(|(_, object)| object.name == key.name);
        found.map(|(found, _)| found).ok_or(TpmError::KeyGone(key.place))
    }

    /// The same, ready to be used with this PIN.
    fn user_key(&self, key: &Key, pin: &[u8]) -> Result<cng::Key, TpmError> {
        let found = self.same(key)?;
        found.pin(&text(pin)?).map_err(self.failed("take the PIN"))?;
        Ok(found)
    }

    fn attestation(&self) -> Result<(cng::Key, Object), TpmError> {
        if let Some(found) = self.find(ATTESTATION_KEY)? {
            return Ok(found);
        }
        let make = || {
            let key = self.provider.new_key(ATTESTATION_KEY, Algorithm::P256)?;
            key.set(NCRYPT_PCP_KEY_USAGE_POLICY_PROPERTY, &IDENTITY_KEY.to_le_bytes())?;
            key.finish()?;
            Ok(key)
        };
        let key = make().map_err(self.failed("make its attestation key"))?;
        let object = self.object(&key)?;
        Ok((key, object))
    }

    fn read(place: Place, object: Object) -> Result<Key, TpmError> {
        let (spki, algorithm) = public_key(&object.public)?;
        let Object { public, name } = object;
        Ok(Key { place, handle: place.number().into(), name, public, algorithm, spki })
    }

    /// The maker's certificate of the endorsement key, from the TPM or from where Windows fetched it.
    fn endorsement_certificate(&self, spki: &[u8]) -> Option<Vec<u8>> {
        let store = Store::of(self.provider.pointer(NCRYPT_PCP_RSA_EKNVCERT_PROPERTY).ok()?)?;
        let found = store.certificates().into_iter();
        // Of the key that counts, without what fills the index up.
        let mut found = found.filter(|der| der.windows(spki.len()).any(|part| part == spki));
        let certificate = found.next()?;
        let only = SliceReader::new(&certificate).ok()?.tlv_bytes().ok()?.to_vec();
        Some(only)
    }
}

impl Tpm for PlatformTpm {
    fn identity(&mut self) -> Result<Identity, TpmError> {
        let ek = self.services.read_public(ENDORSEMENT)?;
        let (spki, _) = public_key(&ek.public)?;
        let [first, second] =
            [Property::Firmware1, Property::Firmware2].map(|part| self.services.property(part));
        Ok(Identity {
            serial: hex::encode(Sha256::digest(&spki)),
            manufacturer: Identity::letters(self.services.property(Property::Manufacturer)?),
            firmware: Identity::numbers(first?, second?),
            ek_certificate: self.endorsement_certificate(&spki),
            ek_public: ek.public,
        })
    }

    fn attestation_key(&mut self) -> Result<Vec<u8>, TpmError> {
        Ok(self.attestation()?.1.public)
    }

    fn activate(&mut self, blob: &[u8], secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let (key, _) = self.attestation()?;
        let both = claim::sized(blob).zip(claim::sized(secret)).ok_or(TpmError::OtherCredential)?;
        let activate = || {
            key.set(NCRYPT_PCP_TPM12_IDACTIVATION_PROPERTY, &[both.0, both.1].concat())?;
            key.property(NCRYPT_PCP_TPM12_IDACTIVATION_PROPERTY)
        };
        activate().map_err(|status| match status {
            Status(code) if code::OTHER_CREDENTIAL.contains(&code) => TpmError::OtherCredential,
            other => self.failed("activate the challenge")(other),
        })
    }

    fn keys(&mut self) -> Result<Vec<Key>, TpmError> {
        let mut keys = Vec::new();
        for place in Place::all() {
            if let Some((_, object)) = self.find(&name_of(place))? {
                keys.push(Self::read(place, object)?);
            }
        }
        Ok(keys)
    }

    fn generate(&mut self, place: Place, algorithm: Algorithm, pin: &[u8]) -> Result<Key, TpmError> {
        let pin = text(pin)?;
        let make = || {
            let key = self.provider.new_key(&name_of(place), algorithm)?;
            if algorithm == Algorithm::Rsa2048 {
                key.set(NCRYPT_LENGTH_PROPERTY, &2048_u32.to_le_bytes())?;
            }
            key.pin(&pin)?;
            key.finish()?;
            Ok(key)
        };
        let key = make().map_err(|status| match status {
            Status(code::EXISTS) => TpmError::PlaceTaken(place),
            other => self.failed("generate the key")(other),
        })?;
        Self::read(place, self.object(&key)?)
    }

    fn certify(&mut self, key: &Key, pin: &[u8], qualifying: &[u8; 32]) -> Result<Certification, TpmError> {
        let user = self.user_key(key, pin)?;
        let (attestation, _) = self.attestation()?;
        let claimed = user.claim(&attestation, qualifying).map_err(self.failed("certify the key"))?;
        claim::certification(&claimed)
    }

    fn sign(&mut self, key: &Key, pin: &[u8], scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, TpmError> {
        let user = self.user_key(key, pin)?;
        let signed = user.sign(scheme, digest).ok_or(TpmError::NotCapable("a digest of that size"))?;
        let signature = signed.map_err(self.failed("sign"))?;
        match (key.algorithm, scheme) {
            (Algorithm::P256, Scheme::Ecdsa) => {
                let (r, s) = signature.split_at(signature.len() / 2);
                ecdsa::signature(r, s).map_err(|_| TpmError::Malformed("sign"))
            }
            (Algorithm::Rsa2048, Scheme::Pkcs1 | Scheme::Pss) => Ok(signature),
            _ => Err(TpmError::NotCapable("such signatures with this kind of key")),
        }
    }

    /// By a signature over nothing of anybody's.
    fn verify_pin(&mut self, key: &Key, pin: &[u8]) -> Result<(), TpmError> {
        self.sign(key, pin, key.algorithm.scheme(), &[0; 32]).map(drop)
    }

    fn change_pin(&mut self, key: &Key, current: &[u8], new: &[u8]) -> Result<Key, TpmError> {
        self.verify_pin(key, current)?;
        let user = self.user_key(key, current)?;
        let changed = user.set_text(NCRYPT_PCP_CHANGEPASSWORD_PROPERTY, &text(new)?);
        changed.map_err(self.failed("change the PIN"))?;
        Ok(key.clone())
    }

    fn erase(&mut self, key: &Key) -> Result<(), TpmError> {
        self.same(key)?.delete().map_err(self.failed("erase the key"))?;
        if let Ok(store) = Store::own() {
            store.forget(&key.spki);
        }
        Ok(())
    }

    fn lockout(&mut self) -> Result<Lockout, TpmError> {
        self.services.lockout()
    }

    fn storage_name(&mut self) -> Result<Vec<u8>, TpmError> {
        self.services.read_public(STORAGE).map(|object| object.name)
    }

    fn publish(&mut self, key: &Key, certificate: &[u8]) -> Result<(), TpmError> {
        let kept = Store::own().and_then(|store| store.keep(certificate, &name_of(key.place)));
        kept.map_err(|error| TpmError::Failed {
            action: "show the certificate to browsers",
            source: error.into(),
        })
    }
}

/// The provider's name for a user's key.
fn name_of(place: Place) -> String {
    format!("Inro key {place}")
}

/// The PIN as the provider takes it. The agent's PINs are of printable ASCII characters.
fn text(pin: &[u8]) -> Result<Zeroizing<String>, TpmError> {
    let text = std::str::from_utf8(pin).map_err(|_| TpmError::NotCapable("such a PIN"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// DER of a public area's key, and its kind.
fn public_key(public: &[u8]) -> Result<(Vec<u8>, Algorithm), TpmError> {
    const ACTION: &str = "a question for a public key";
    let malformed = || TpmError::Malformed(ACTION);
    let read = ca_core::domain::attestation::tpm::Public::parse(public, ACTION).map_err(|_| malformed())?;
    let algorithm = match ca_x509::KeyKind::of(&read.key) {
        Ok(ca_x509::KeyKind::P256) => Algorithm::P256,
        Ok(ca_x509::KeyKind::Rsa { .. }) => Algorithm::Rsa2048,
        _ => return Err(malformed()),
    };
    Ok((read.key.to_der().map_err(|_| malformed())?, algorithm))
}
