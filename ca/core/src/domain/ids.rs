//! Typed identifiers: each is parsed once, at the boundary, and can't be mistaken for another.

use std::fmt;

use der::Decode;
use jiff::Timestamp;
use uuid::Uuid;

/// An identifier that doesn't have its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {form}")]
pub struct InvalidId {
    what: &'static str,
    form: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $form:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Parses ", $what, ": ", $form, ".")]
            ///
            /// # Errors
            /// [`InvalidId`] for any other form.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { what: $what, form: $form })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn made_of(text: &str, lengths: std::ops::RangeInclusive<usize>, allowed: fn(u8) -> bool) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(allowed)
}

text_id! {
    /// The number of a contract (契約番号), the OU of its users' certificates.
    ContractNumber, "a contract number", "4 to 20 ASCII digits or capital letters",
    |t| made_of(t, 4..=20, |b| b.is_ascii_digit() || b.is_ascii_uppercase())
}
text_id! {
    /// A user ID (ログインID): unique in the bank, never changed, never reused. The UID of the user's certificates.
    UserId, "a user ID", "4 to 32 of a-z, 0-9, '-', '_', '.', beginning with a letter or digit",
    |t| made_of(t, 4..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        && t.as_bytes()[0].is_ascii_alphanumeric()
}
text_id! {
    /// The serial number of a token as its maker prints it, such as a YubiKey's decimal number. A TPM has none: its
    /// is SHA-256 over the `SubjectPublicKeyInfo` (DER) of its endorsement key, 64 lower-case hexadecimal digits.
    TokenSerial, "a token serial", "1 to 64 of 0-9, A-Z, a-z, '-', ':', without leading zeros except in a TPM's hash",
    |t| made_of(t, 1..=64, |b| b.is_ascii_alphanumeric() || b"-:".contains(&b))
        && (!t.starts_with('0') || made_of(t, 64..=64, |b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}
text_id! {
    /// The client's key for one attempt: a repeat with the same key returns the first result.
    IdempotencyKey, "an idempotency key", "16 to 64 of 0-9, A-Z, a-z, '-', '_'",
    |t| made_of(t, 16..=64, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}
text_id! {
    /// A certificate issuer by the name that the configuration gives it, such as `customer`.
    IssuerId, "an issuer name", "1 to 32 of a-z, 0-9, '-'",
    |t| made_of(t, 1..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

text_id! {
    /// A signer by the name that its configuration gives it, such as `customer-a`: one journal, at one node.
    SignerName, "a signer name", "1 to 64 of a-z, 0-9, '-'",
    |t| made_of(t, 1..=64, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

text_id! {
    /// One of the bank's own machines by the name that the configuration gives it, such as `branch-terminals`.
    MachineId, "a machine name", "1 to 32 of a-z, 0-9, '-'",
    |t| made_of(t, 1..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

text_id! {
    /// A policy by the name that its author gives it, such as `fips-only`.
    PolicyName, "a policy name", "1 to 32 of a-z, 0-9, '-'",
    |t| made_of(t, 1..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

impl PolicyName {
    /// The bank's own, which the configuration holds; no policy of the ledger has this name.
    pub fn bank() -> Self {
        Self("bank".to_owned())
    }
}

text_id! {
    /// A member of the bank's staff: never changed, never another person's.
    StaffId, "a staff ID", "2 to 32 of a-z, 0-9, '-', '_', '.', beginning with a letter or digit",
    |t| made_of(t, 2..=32, |b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
        && t.as_bytes()[0].is_ascii_alphanumeric()
}

/// One enrolment, from the challenge to the confirmation. It is also the intent's name at the signer: one enrolment
/// leads to at most one certificate. (A responder's renewal is named by one as well, without an enrolment.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnrolmentId(pub Uuid);

impl EnrolmentId {
    /// One that begins with its time (RFC 9562, 5.7): what is entered in a row stands side by side in the ledger's indexes,
    /// so that a commit changes few of their pages. It is unique, and nothing rests on its being hard to guess.
    pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }
}

impl fmt::Display for EnrolmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A certificate's serial number: content octets of the INTEGER, positive, minimal, at most 20 (RFC 5280, 4.1.2.2).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// Takes the content octets.
    ///
    /// # Errors
    /// [`InvalidId`] when they are empty, negative, zero, not minimal, or more than 20.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidId> {
        let minimal = match bytes {
            [] | [0] | [0x80..=0xff, ..] => false,
            [0, next, ..] => *next >= 0x80,
            _ => true,
        };
        if minimal && bytes.len() <= 20 {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(InvalidId {
                what: "a serial number",
                form: "a positive INTEGER of at most 20 octets in its shortest form",
            })
        }
    }

    /// Parses exactly what [`Display`](fmt::Display) prints: lower-case hexadecimal digits in pairs.
    ///
    /// # Errors
    /// [`InvalidId`] for signs, separators, capital letters or superfluous zeros.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let canonical = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bytes = hex::decode(text).ok().filter(|_| canonical);
        Self::from_bytes(&bytes.unwrap_or_default()).map_err(|_| InvalidId {
            what: "a serial number",
            form: "written in lower-case hexadecimal digits in pairs, as a positive INTEGER of at most 20 octets in its \
                   shortest form: no sign, no prefix, no separators",
        })
    }

    /// The serial number that a certificate's DER carries; `None` when that is no certificate, or its number has another
    /// form.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        Self::from_bytes(certificate.tbs_certificate().serial_number().as_bytes()).ok()
    }

    /// The content octets, big-endian.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_have_one_spelling() {
        assert_eq!(SerialNumber::parse("00ff01").map(|s| s.to_string()), Ok("00ff01".to_owned()));
        for bad in ["", "0", "00", "0001", "ff", "-01", "+01", "0X01", "7F", "0x7f", " 7f", "7f "] {
            assert!(SerialNumber::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(SerialNumber::from_bytes(&[0x7f; 20]).is_ok());
        assert!(SerialNumber::from_bytes(&[0x7f; 21]).is_err());
    }

    #[test]
    fn only_a_tpms_hash_begins_with_a_zero() {
        let hash = format!("0{}", "a".repeat(63));
        for good in ["33064031", "A-1:b", hash.as_str()] {
            assert!(TokenSerial::parse(good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "0", "0012", &hash[..63], &hash.to_uppercase(), &format!("{hash}0"), "a b"] {
            assert!(TokenSerial::parse(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn user_ids_are_plain() {
        assert!(UserId::parse("hokkai-01").is_ok());
        for bad in ["abc", "Hokkai", "-abcd", "a b c d", "利用者一号", "abcd\n", &"a".repeat(33)] {
            assert!(UserId::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
