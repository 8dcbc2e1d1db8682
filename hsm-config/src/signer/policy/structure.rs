//! Strict reading: DER and nothing but DER, within limits, without duplicates.

use ca_x509::time;
use const_oid::ObjectIdentifier;
use der::{Decode, Encode, Tag, Tagged};
use jiff::Timestamp;
use signer_protocol::message::{Refusal, RefusalCode};
use x509_cert::{ext::Extension, name::Name, time::Time};

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

/// A subject is present and made of printable text.
pub(super) fn subject(name: &Name) -> Result<(), Refusal> {
    if name.is_empty() {
        return refuse(RefusalCode::OutsideProfile, "the subject is empty");
    }
    for attribute in name.iter() {
        let textual =
            matches!(attribute.value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
        let text = std::str::from_utf8(attribute.value.value()).ok().filter(|_| textual);
        let Some(text) = text else {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("subject attribute {} is no text", attribute.oid),
            );
        };
        if text.is_empty() || text.chars().any(char::is_control) {
            return refuse(
                RefusalCode::OutsideProfile,
                format!("subject attribute {} is empty or has control characters", attribute.oid),
            );
        }
    }
    Ok(())
}
