//! Strict reading: DER and nothing but DER, within limits, without duplicates.

use ca_x509::time;
use const_oid::{ObjectIdentifier, db::rfc4519};
use der::{Any, Decode, Encode, Tag, Tagged, asn1::PrintableStringRef};
use jiff::Timestamp;
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::{attr::AttributeTypeAndValue, ext::Extension, name::Name, time::Time};

use super::refuse;

/// Reads a structure that is at most `limit` octets and exactly its own DER encoding. The second condition catches
/// what a decoder forgives: non-minimal forms, defaults that are written out, unused bits, superfluous octets.
pub(super) fn strict<T>(what: &str, der: &[u8], limit: usize) -> Result<T, Refusal>
where
    T: for<'a> Decode<'a, Error = der::Error> + Encode,
{
    if der.len() > limit {
        return refuse(
            RefusalCode::TooLarge,
            format!("a {what} of {} octets is over the limit of {limit}", der.len()),
        );
    }
    let value = match T::from_der(der) {
        Ok(value) => value,
        Err(error) => return refuse(RefusalCode::Malformed, format!("not a {what}: {error}")),
    };
    match value.to_der() {
        Ok(again) if again == der => Ok(value),
        _ => refuse(RefusalCode::Malformed, format!("the {what} is not encoded in strict DER")),
    }
}

/// Reads an extension's value as strictly as the structure that it stands in.
pub(super) fn value<T>(what: &str, extension: &Extension) -> Result<T, Refusal>
where
    T: for<'a> Decode<'a, Error = der::Error> + Encode,
{
    let octets = extension.extn_value.as_bytes();
    strict(what, octets, octets.len())
}

/// The structure's extensions, none twice (RFC 5280, 4.2).
pub(super) fn without_duplicates(extensions: &[Extension]) -> Result<(), Refusal> {
    for (position, extension) in extensions.iter().enumerate() {
        if extensions[..position].iter().any(|earlier| earlier.extn_id == extension.extn_id) {
            return refuse(RefusalCode::Malformed, format!("extension {} stands twice", extension.extn_id));
        }
    }
    Ok(())
}

/// The extension with this identifier.
pub(super) fn find(extensions: &[Extension], oid: ObjectIdentifier) -> Option<&Extension> {
    extensions.iter().find(|extension| extension.extn_id == oid)
}

/// Demands that an extension is critical or isn't.
pub(super) fn criticality(what: &str, extension: &Extension, critical: bool) -> Result<(), Refusal> {
    if extension.critical == critical {
        return Ok(());
    }
    let must = if critical { "must be critical" } else { "must not be critical" };
    refuse(RefusalCode::OutsideProfile, format!("{what} {must}"))
}

/// A time, in UTCTime up to 2049 and GeneralizedTime after (RFC 5280, 4.1.2.5 and 5.1.2.4).
pub(super) fn time(what: &str, time: &Time) -> Result<Timestamp, Refusal> {
    let utc = matches!(time, Time::UtcTime(_));
    if utc != (time.to_date_time().year() < 2050) {
        return refuse(RefusalCode::Malformed, format!("{what} is not in the form that its year demands"));
    }
    match time::from_x509(time) {
        Ok(at) => Ok(at),
        Err(_) => refuse(RefusalCode::OutsideValidity, format!("{what} is out of range")),
    }
}

/// Demands that a name is byte for byte the expected one.
pub(super) fn same_name(what: &str, name: &Name, expected: &[u8]) -> Result<(), Refusal> {
    match name.to_der() {
        Ok(der) if der == expected => Ok(()),
        _ => refuse(RefusalCode::WrongIssuer, format!("{what} is {name}, which is not this key's name")),
    }
}

/// The attributes that a subject may have. Among those left out are e-mail addresses and domain names, by which
/// somebody could be taken for another.
const SUBJECT_ATTRIBUTES: [ObjectIdentifier; 10] = [
    rfc4519::C,
    rfc4519::ST,
    rfc4519::L,
    rfc4519::O,
    rfc4519::OU,
    rfc4519::CN,
    rfc4519::SERIAL_NUMBER,
    rfc4519::GIVEN_NAME,
    rfc4519::SN,
    rfc4519::UID,
];

/// A subject is present, of known attributes, one to each relative name, and made of printable text.
pub(super) fn subject(name: &Name) -> Result<(), Refusal> {
    if name.is_empty() {
        return refuse(RefusalCode::OutsideProfile, "the subject is empty");
    }
    for relative in name.iter_rdn() {
        let mut attributes = relative.iter();
        let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
            return refuse(
                RefusalCode::OutsideProfile,
                "a relative name in the subject must have exactly one attribute",
            );
        };
        let oid = attribute.oid;
        if !SUBJECT_ATTRIBUTES.contains(&oid) {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("subject attribute {oid} is not in the profile"),
            );
        }
        let Some(text) = text(&attribute.value) else {
            return refuse(RefusalCode::OutsideProfile, format!("subject attribute {oid} is no text"));
        };
        if text.trim().is_empty() || text.chars().any(is_hidden) {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("subject attribute {oid} is empty or has control characters"),
            );
        }
    }
    Ok(())
}

/// The text of a UTF8String or PrintableString that has no character but its type's.
fn text(value: &Any) -> Option<&str> {
    match value.tag() {
        Tag::Utf8String => std::str::from_utf8(value.value()).ok(),
        Tag::PrintableString => {
            PrintableStringRef::new(value.value()).ok()?;
            std::str::from_utf8(value.value()).ok()
        }
        _ => None,
    }
}

/// Control characters, and those that turn or hide what stands beside them.
fn is_hidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || matches!(code, 0x061c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff)
}

/// A name as others compare it (RFC 5280, 7.1): whatever the string types, upper and lower case and white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparableName(Vec<(ObjectIdentifier, Vec<u8>)>);

/// Makes names comparable. An attribute that is no text stands for itself.
pub(super) fn comparable(name: &Name) -> ComparableName {
    let attribute = |attribute: &AttributeTypeAndValue| {
        let octets = attribute.value.value();
        let folded = match std::str::from_utf8(octets) {
            Ok(text) => {
                let words: Vec<&str> = text.split_whitespace().collect();
                words.join(" ").to_lowercase().into_bytes()
            }
            Err(_) => octets.to_vec(),
        };
        (attribute.oid, folded)
    };
    ComparableName(name.iter().map(attribute).collect())
}
