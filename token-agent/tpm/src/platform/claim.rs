//! What the Platform Crypto Provider and the TPM answer, as octets. Numbers of the TPM are big-endian, Windows' own are
//! little-endian.

use crate::{Certification, TpmError};

/// `TPM_ALG_ECDSA` and `TPM_ALG_SHA256` (Part 2, 6.3): how an attestation key on P-256 signs.
const ECDSA_SHA256: [u8; 4] = [0x00, 0x18, 0x00, 0x0b];
/// Octets of each half of a signature by a key on P-256.
const HALF: usize = 32;

/// Octets that are read from the front.
pub(super) struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// `None` when fewer are left.
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    #[cfg(windows)]
    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// What stands behind its size, as in every `TPM2B` structure.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = self.u16()?;
        self.take(size.into())
    }

    /// A number of Windows'.
    fn size(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }
}

/// A `TPM2B` structure.
pub(super) fn sized(octets: &[u8]) -> Option<Vec<u8>> {
    let size = u16::try_from(octets.len()).ok()?;
    Some([&size.to_be_bytes()[..], octets].concat())
}

/// The claim of one key about another, `NCRYPT_CLAIM_AUTHORITY_AND_SUBJECT`: a head of seven numbers that begins with `KAST`;
/// `KADS`, a version, its own size and the sizes of three parts; `TPMS_ATTEST`, the signature, the provider's own form of the
/// key.
///
/// # Errors
/// [`TpmError::Malformed`].
pub(super) fn certification(claim: &[u8]) -> Result<Certification, TpmError> {
    read(claim).ok_or(TpmError::Malformed("a question for a claim"))
}

fn read(claim: &[u8]) -> Option<Certification> {
    let mut head = Answer::new(claim);
    (head.take(4)? == b"KAST").then_some(())?;
    let [_version, _kind, head_size] = [head.size()?, head.size()?, head.size()?];
    let mut body = Answer::new(claim.get(head_size..)?);
    (body.take(4)? == b"KADS").then_some(())?;
    let [_version, body_head] = [body.size()?, body.size()?];
    let [info, signature] = [body.size()?, body.size()?];
    let mut parts = Answer::new(claim.get(head_size.checked_add(body_head)?..)?);
    Some(Certification { info: parts.take(info)?.to_vec(), signature: as_tpm(parts.take(signature)?)? })
}

/// `TPMT_SIGNATURE` of a signature that may be only its two numbers.
fn as_tpm(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.starts_with(&ECDSA_SHA256) {
        return Some(signature.to_vec());
    }
    let (r, s) = signature.split_at_checked(HALF).filter(|(_, s)| s.len() == HALF)?;
    Some([&ECDSA_SHA256[..], &sized(r)?, &sized(s)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(info: &[u8], signature: &[u8]) -> Vec<u8> {
        let number = |number: usize| u32::try_from(number).expect("a small number").to_le_bytes();
        let numbers = |all: &[usize]| all.iter().flat_map(|one| number(*one)).collect::<Vec<u8>>();
        let key = [7; 9];
        let parts = [info, signature, &key].concat();
        let body =
            [b"KADS".to_vec(), numbers(&[1, 24, info.len(), signature.len(), key.len()]), parts].concat();
        [b"KAST".to_vec(), numbers(&[1, 3, 28, 0, body.len(), 0]), body].concat()
    }

    #[test]
    fn a_claim_holds_what_the_tpm_attests_and_its_signature() {
        let raw = [[1; HALF], [2; HALF]].concat();
        let wrapped = [&ECDSA_SHA256[..], &[0, 32], &[1; HALF], &[0, 32], &[2; HALF]].concat();
        for signature in [&raw, &wrapped] {
            let read = certification(&claim(b"attested", signature)).expect("a claim");
            assert_eq!(read.info, b"attested");
            assert_eq!(read.signature, wrapped);
        }
    }

    #[test]
    fn a_claim_that_is_cut_anywhere_or_of_another_kind_is_refused() {
        let whole = claim(b"attested", &[1; 2 * HALF]);
        for length in 0..whole.len() - 9 {
            assert!(certification(&whole[..length]).is_err(), "{length} octets were taken");
        }
        assert!(certification(&claim(b"attested", &[1; 63])).is_err());
        let other = [b"XAST", &whole[4..]].concat();
        assert!(certification(&other).is_err());
    }

    #[test]
    fn sizes_beyond_the_claim_are_refused() {
        let mut lying = claim(b"attested", &[1; 2 * HALF]);
        lying[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(certification(&lying).is_err());
        let mut lying = claim(b"attested", &[1; 2 * HALF]);
        lying[36..40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(certification(&lying).is_err());
    }

    #[test]
    fn a_structure_carries_its_size() {
        let octets = sized(&[9; 300]).expect("short enough");
        assert_eq!(Answer::new(&octets).sized(), Some(&[9; 300][..]));
        assert_eq!(sized(&vec![0; 70_000]), None);
    }
}
