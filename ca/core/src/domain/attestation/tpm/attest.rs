//! `TPMS_ATTEST` (TPM 2.0 Part 2, 10.12.12) as `TPM2_Certify` makes it: an attestation key's word for another key of its TPM.

use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{
    public::Public,
    reader::{Malformed, Reader},
    refusal::TpmRefusal,
    signature::Signature,
};

/// `TPM_GENERATED_VALUE`: what begins everything that a TPM made itself. A restricted key signs nothing else with it.
const MAGIC: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`.
const CERTIFY: u16 = 0x8017;
/// An attestation has at most so many octets; genuine ones have under 250.
const MAX_ATTEST_BYTES: usize = 1024;

/// What an attestation key says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certify<'a> {
    /// What the caller wanted in it.
    pub(super) extra_data: &'a [u8],
    /// The key's Name.
    pub(super) name: &'a [u8],
}

impl<'a> Certify<'a> {
    /// Reads it.
    pub(super) fn parse(octets: &'a [u8]) -> Result<Self, TpmRefusal> {
        let malformed = |Malformed| TpmRefusal::Malformed { which: "attestation" };
        if octets.len() > MAX_ATTEST_BYTES {
            return Err(malformed(Malformed));
        }
        let mut reader = Reader::new(octets);
        if reader.u32().map_err(malformed)? != MAGIC {
            return Err(TpmRefusal::Magic);
        }
        if reader.u16().map_err(malformed)? != CERTIFY {
            return Err(TpmRefusal::Type);
        }
        Self::body(reader).map_err(malformed)
    }

    fn body(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let _qualified_signer = reader.sized()?;
        let extra_data = reader.sized()?;
        let (_clock, _reset_count, _restart_count) = (reader.u64()?, reader.u32()?, reader.u32()?);
        // TPMI_YES_NO: whether the clock may have gone back.
        if reader.u8()? > 1 {
            return Err(Malformed);
        }
        let _firmware_version = reader.u64()?;
        let name = reader.sized()?;
        let _qualified_name = reader.sized()?;
        reader.finish()?;
        Ok(Self { extra_data, name })
    }
}

/// The key that the attestation key `ak` certified: `info` is what it signed about the area `key_public`, for whoever asked
/// with the `qualifying_data` for that key.
///
/// # Errors
/// The first [`TpmRefusal`].
pub fn certified_key(
    ak: &SubjectPublicKeyInfoOwned,
    signature: &Signature,
    info: &[u8],
    key_public: &[u8],
    qualifying_data: impl FnOnce(&SubjectPublicKeyInfoOwned) -> Option<Vec<u8>>,
) -> Result<Public, TpmRefusal> {
    let certify = Certify::parse(info)?;
    if !signature.is_by(ak, info) {
        return Err(TpmRefusal::CertifySignature);
    }
    let key = Public::parse(key_public, "key's public area")?;
    if certify.name != key.name() {
        return Err(TpmRefusal::Name);
    }
    if qualifying_data(&key.key).is_none_or(|expected| certify.extra_data != expected) {
        return Err(TpmRefusal::QualifyingData);
    }
    Ok(key)
}
