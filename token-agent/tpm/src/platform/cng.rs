//! CNG's key storage functions, as far as they are needed, without pointers.

#![expect(
    unsafe_code,
    reason = "CNG is an interface of C; handles are freed with what owns them, and each length is its slice's"
)]

use std::{ffi::c_void, ptr};

use windows_sys::{
    Win32::Security::Cryptography::{
        BCRYPT_ECDSA_P256_ALGORITHM, BCRYPT_PKCS1_PADDING_INFO, BCRYPT_PSS_PADDING_INFO,
        BCRYPT_RSA_ALGORITHM, BCRYPT_SHA1_ALGORITHM, BCRYPT_SHA256_ALGORITHM, BCRYPT_SHA384_ALGORITHM,
        BCRYPT_SHA512_ALGORITHM, BCryptBuffer, BCryptBufferDesc, MS_PLATFORM_KEY_STORAGE_PROVIDER,
        NCRYPT_CLAIM_AUTHORITY_AND_SUBJECT, NCRYPT_PAD_PKCS1_FLAG, NCRYPT_PAD_PSS_FLAG, NCRYPT_PIN_PROPERTY,
        NCRYPT_SILENT_FLAG, NCRYPTBUFFER_CLAIM_KEYATTESTATION_NONCE, NCRYPTBUFFER_VERSION, NCryptCreateClaim,
        NCryptCreatePersistedKey, NCryptDeleteKey, NCryptFinalizeKey, NCryptFreeObject, NCryptGetProperty,
        NCryptOpenKey, NCryptOpenStorageProvider, NCryptSetProperty, NCryptSignHash,
    },
    core::PCWSTR,
};
use zeroize::Zeroizing;

use crate::{Algorithm, Scheme};

/// What a function of CNG said instead of doing it: an `HRESULT` or a code of the TPM in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CNG says {0:#010x}")]
pub(super) struct Status(pub(super) u32);

/// 0 when done.
fn done(status: i32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status.cast_unsigned())) }
}

/// UTF-16 with the NUL at its end, wiped afterwards: it may be a PIN.
pub(super) fn wide(text: &str) -> Zeroizing<Vec<u16>> {
    Zeroizing::new(text.encode_utf16().chain([0]).collect())
}

fn length(octets: &[u8]) -> u32 {
    u32::try_from(octets.len()).unwrap_or(u32::MAX)
}

/// A provider or a key; closed when dropped.
struct Handle(usize);

impl Drop for Handle {
    fn drop(&mut self) {
        if self.0 != 0 {
            // SAFETY: the handle is open and nobody uses it any more.
            unsafe { NCryptFreeObject(self.0) };
        }
    }
}

impl Handle {
    fn property(&self, name: PCWSTR) -> Result<Zeroizing<Vec<u8>>, Status> {
        let mut size = 0;
        // SAFETY: without a buffer only the size is written.
        done(unsafe { NCryptGetProperty(self.0, name, ptr::null_mut(), 0, &raw mut size, 0) })?;
        let mut octets = Zeroizing::new(vec![0; size as usize]);
        // SAFETY: the buffer has `size` octets.
        done(unsafe { NCryptGetProperty(self.0, name, octets.as_mut_ptr(), size, &raw mut size, 0) })?;
        octets.truncate(size as usize);
        Ok(octets)
    }

    fn set(&self, name: PCWSTR, value: &[u8]) -> Result<(), Status> {
        // SAFETY: the value is only read, and has the length that is given.
        done(unsafe { NCryptSetProperty(self.0, name, value.as_ptr(), length(value), NCRYPT_SILENT_FLAG) })
    }

    fn set_text(&self, name: PCWSTR, text: &str) -> Result<(), Status> {
        let octets = wide(text).iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
        self.set(name, &Zeroizing::new(octets))
    }
}

/// The Platform Crypto Provider.
pub(super) struct Provider(Handle);

impl Provider {
    pub(super) fn open() -> Result<Self, Status> {
        let mut handle = 0;
        // SAFETY: the name is a constant with its NUL; the handle is written before it is read.
        done(unsafe { NCryptOpenStorageProvider(&raw mut handle, MS_PLATFORM_KEY_STORAGE_PROVIDER, 0) })?;
        Ok(Self(Handle(handle)))
    }

    pub(super) fn property(&self, name: PCWSTR) -> Result<Zeroizing<Vec<u8>>, Status> {
        self.0.property(name)
    }

    /// A handle's value, such as the TPM Base Services' context or a certificate store: a pointer.
    pub(super) fn pointer(&self, name: PCWSTR) -> Result<*mut c_void, Status> {
        let octets = self.property(name)?;
        let mut value = [0; size_of::<usize>()];
        let known = octets.len().min(value.len());
        value[..known].copy_from_slice(&octets[..known]);
        Ok(ptr::with_exposed_provenance_mut(usize::from_le_bytes(value)))
    }

    pub(super) fn key(&self, name: &str) -> Result<Key, Status> {
        let name = wide(name);
        let mut handle = 0;
        // SAFETY: the name ends with its NUL; the provider is open.
        done(unsafe { NCryptOpenKey(self.0.0, &raw mut handle, name.as_ptr(), 0, NCRYPT_SILENT_FLAG) })?;
        Ok(Key(Handle(handle)))
    }

    /// A key that isn't there yet; [`Key::finish`] generates it.
    pub(super) fn new_key(&self, name: &str, algorithm: Algorithm) -> Result<Key, Status> {
        let name = wide(name);
        let algorithm = match algorithm {
            Algorithm::P256 => BCRYPT_ECDSA_P256_ALGORITHM,
            Algorithm::Rsa2048 => BCRYPT_RSA_ALGORITHM,
        };
        let mut handle = 0;
        // SAFETY: both names end with their NULs; the provider is open.
        done(unsafe { NCryptCreatePersistedKey(self.0.0, &raw mut handle, algorithm, name.as_ptr(), 0, 0) })?;
        Ok(Key(Handle(handle)))
    }
}

/// A key of the provider.
pub(super) struct Key(Handle);

impl Key {
    pub(super) fn property(&self, name: PCWSTR) -> Result<Zeroizing<Vec<u8>>, Status> {
        self.0.property(name)
    }

    pub(super) fn set(&self, name: PCWSTR, value: &[u8]) -> Result<(), Status> {
        self.0.set(name, value)
    }

    pub(super) fn set_text(&self, name: PCWSTR, text: &str) -> Result<(), Status> {
        self.0.set_text(name, text)
    }

    /// Before [`Self::finish`] the key's PIN, afterwards the one to use it with.
    pub(super) fn pin(&self, pin: &str) -> Result<(), Status> {
        self.set_text(NCRYPT_PIN_PROPERTY, pin)
    }

    /// Generates it.
    pub(super) fn finish(&self) -> Result<(), Status> {
        // SAFETY: the key is open.
        done(unsafe { NCryptFinalizeKey(self.0.0, NCRYPT_SILENT_FLAG) })
    }

    pub(super) fn delete(mut self) -> Result<(), Status> {
        // SAFETY: the key is open; the function closes it where it succeeds.
        done(unsafe { NCryptDeleteKey(self.0.0, NCRYPT_SILENT_FLAG) })?;
        self.0.0 = 0;
        Ok(())
    }

    /// `r` and `s` in 32 octets each, or the octets of an RSA signature. `None` for a digest of an unknown size.
    pub(super) fn sign(&self, scheme: Scheme, digest: &[u8]) -> Option<Result<Vec<u8>, Status>> {
        let hash = match digest.len() {
            20 => BCRYPT_SHA1_ALGORITHM,
            32 => BCRYPT_SHA256_ALGORITHM,
            48 => BCRYPT_SHA384_ALGORITHM,
            64 => BCRYPT_SHA512_ALGORITHM,
            _ => return None,
        };
        let pkcs1 = BCRYPT_PKCS1_PADDING_INFO { pszAlgId: hash };
        let pss = BCRYPT_PSS_PADDING_INFO { pszAlgId: hash, cbSalt: length(digest) };
        let (padding, flag): (*const c_void, _) = match scheme {
            Scheme::Ecdsa => (ptr::null(), 0),
            Scheme::Pkcs1 => ((&raw const pkcs1).cast(), NCRYPT_PAD_PKCS1_FLAG),
            Scheme::Pss => ((&raw const pss).cast(), NCRYPT_PAD_PSS_FLAG),
        };
        Some(self.sign_padded(padding, flag | NCRYPT_SILENT_FLAG, digest))
    }

    fn sign_padded(&self, padding: *const c_void, flags: u32, digest: &[u8]) -> Result<Vec<u8>, Status> {
        // More than any key of a TPM's.
        let mut signature = vec![0; 512];
        let (room, mut size) = (length(&signature), 0);
        // SAFETY: digest and buffer have the lengths that are given; the padding outlives the call and is of the flag's kind.
        done(unsafe {
            NCryptSignHash(
                self.0.0,
                padding,
                digest.as_ptr(),
                length(digest),
                signature.as_mut_ptr(),
                room,
                &raw mut size,
                flags,
            )
        })?;
        signature.truncate(size as usize);
        Ok(signature)
    }

    /// What the attestation key claims of this key, with the nonce in it.
    pub(super) fn claim(&self, attestation: &Self, nonce: &[u8; 32]) -> Result<Vec<u8>, Status> {
        let mut nonce = *nonce;
        let mut buffer = BCryptBuffer {
            cbBuffer: length(&nonce),
            BufferType: NCRYPTBUFFER_CLAIM_KEYATTESTATION_NONCE,
            pvBuffer: nonce.as_mut_ptr().cast(),
        };
        let parameters =
            BCryptBufferDesc { ulVersion: NCRYPTBUFFER_VERSION, cBuffers: 1, pBuffers: &raw mut buffer };
        let claim = |buffer: *mut u8, room: u32, size: &mut u32| {
            // SAFETY: both keys are open, the parameters outlive the call, the buffer has as much room as is said.
            done(unsafe {
                NCryptCreateClaim(
                    self.0.0,
                    attestation.0.0,
                    NCRYPT_CLAIM_AUTHORITY_AND_SUBJECT,
                    &raw const parameters,
                    buffer,
                    room,
                    size,
                    0,
                )
            })
        };
        let mut size = 0;
        claim(ptr::null_mut(), 0, &mut size)?;
        let mut octets = vec![0; size as usize];
        claim(octets.as_mut_ptr(), length(&octets), &mut size)?;
        octets.truncate(size as usize);
        Ok(octets)
    }
}
