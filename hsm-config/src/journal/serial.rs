//! Serial numbers as keys of the index, and the few fields it needs out of to-be-signed structures.
//!
//! Only what the signer itself has parsed and signed is read here, so this takes the shortest way through the DER.

use std::fmt;

use ca_x509::{crl, time};
use der::{Decode, Header, Reader, SliceReader, Tag};
use jiff::Timestamp;
use x509_cert::{
    certificate::Rfc5280,
    ext::Extensions,
    time::{Time, Validity},
};

/// A serial number: positive, at most 20 content octets (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial {
    octets: [u8; 20],
    length: u8,
}

/// Octets that are no serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a serial number is a positive INTEGER of at most 20 octets in its shortest form")]
pub struct SerialError;

impl Serial {
    /// Takes the content octets of the INTEGER.
    ///
    /// # Errors
    /// [`SerialError`] when they are empty, zero, negative, not minimal or more than 20.
    pub fn from_content(content: &[u8]) -> Result<Self, SerialError> {
        let minimal = match content {
            [] | [0] | [0x80..=0xff, ..] => false,
            [0, next, ..] => *next >= 0x80,
            _ => true,
        };
        if !minimal || content.len() > 20 {
            return Err(SerialError);
        }
        let mut octets = [0; 20];
        octets[..content.len()].copy_from_slice(content);
        Ok(Self { octets, length: u8::try_from(content.len()).map_err(|_| SerialError)? })
    }

    /// As a key of one length, in the order of serial numbers.
    pub(super) fn to_key(self) -> [u8; 21] {
        let mut key = [self.length; 21];
        key[..20].copy_from_slice(&self.octets);
        key
    }

    /// Of what [`Serial::to_key`] gave.
    pub(super) fn of_key(key: &[u8; 21]) -> Self {
        let mut octets = [0; 20];
        octets.copy_from_slice(&key[..20]);
        Self { octets, length: key[20].min(20) }
    }

    /// The content octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Steps into the outer SEQUENCE.
fn in_sequence<'a, T>(
    der: &'a [u8],
    read: impl FnOnce(&mut SliceReader<'a>) -> der::Result<T>,
) -> der::Result<T> {
    let mut reader = SliceReader::new(der)?;
    let header = Header::decode(&mut reader)?;
    header.tag().assert_eq(Tag::Sequence)?;
    read(&mut reader)
}

/// Reads one value: its tag and its content.
fn value<'a>(reader: &mut SliceReader<'a>) -> der::Result<(Tag, &'a [u8])> {
    let header = Header::decode(reader)?;
    Ok((header.tag(), reader.read_slice(header.length())?))
}

/// The serial number of a `TBSCertificate`.
pub(super) fn of_certificate(tbs: &[u8]) -> der::Result<Serial> {
    in_sequence(tbs, |reader| {
        let (mut tag, mut content) = value(reader)?;
        if tag.is_context_specific() {
            (tag, content) = value(reader)?;
        }
        tag.assert_eq(Tag::Integer)?;
        Serial::from_content(content).map_err(|_| Tag::Integer.value_error().into())
    })
}

/// notAfter of a `TBSCertificate`.
///
/// # Errors
/// A `der` error when it isn't one.
pub fn not_after(tbs: &[u8]) -> der::Result<Timestamp> {
    in_sequence(tbs, |reader| {
        if Tag::peek(reader)?.is_context_specific() {
            reader.tlv_bytes()?;
        }
        for _serial_algorithm_issuer in 0..3 {
            reader.tlv_bytes()?;
        }
        let validity = Validity::<Rfc5280>::decode(reader)?;
        time::from_x509(&validity.not_after).map_err(|_| der::ErrorKind::DateTime.into())
    })
}

/// `cRLNumber` and thisUpdate of a `TBSCertList`, without a look at its entries.
pub(super) fn of_crl(tbs: &[u8]) -> der::Result<(u64, Timestamp)> {
    in_sequence(tbs, |reader| {
        for _version_algorithm_issuer in 0..3 {
            reader.tlv_bytes()?;
        }
        let this_update = Time::decode(reader)?;
        let this_update = time::from_x509(&this_update).map_err(|_| der::ErrorKind::DateTime)?;
        while !reader.is_finished() {
            let (tag, content) = value(reader)?;
            if tag.is_context_specific() {
                let extensions = Extensions::from_der(content)?;
                let number = crl::number(&extensions).ok_or(Tag::Integer.value_error())?;
                return Ok((number, this_update));
            }
        }
        Err(Tag::Integer.value_error().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_has_one_form() {
        assert!(Serial::from_content(&[0, 0x80]).is_ok());
        assert!(Serial::from_content(&[0x7f; 20]).is_ok());
        for bad in [&[][..], &[0], &[0, 1], &[0x80], &[0xff; 8], &[1; 21]] {
            assert_eq!(Serial::from_content(bad), Err(SerialError), "{bad:?}");
        }
        let long = Serial::from_content(&[1, 0]).expect("a serial number");
        let short = Serial::from_content(&[1]).expect("a serial number");
        assert_ne!(long, short);
        assert_eq!(long.to_string(), "0100");
    }
}
