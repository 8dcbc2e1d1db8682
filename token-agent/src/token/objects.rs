//! The PIV data objects that the agent reads and writes on any card (NIST SP 800-73-4 part 1, appendix A; for the management
//! key, Yubico's convention). Inside an object stand BER-TLV items with one-octet tags.

use std::io::Read;

use der::{AnyRef, Decode, Encode, Length, Reader, SliceReader, Tag, TagNumber, Tagged};
use flate2::read::GzDecoder;
use yubikey::ObjectId;
use zeroize::Zeroizing;

use crate::token::{Identifiers, Slot, TokenError};

/// The CHUID.
pub(super) const CHUID: ObjectId = 0x005f_c102;
/// The card capability container.
pub(super) const CCC: ObjectId = 0x005f_c107;
/// Printed information, readable only after the PIN: the management key is kept there.
pub(super) const PRINTED: ObjectId = 0x005f_c109;

/// The largest object that a YubiKey takes, less the header.
const LARGEST: usize = 3049;
/// No certificate of a token unpacks to more.
const LARGEST_UNPACKED: u64 = 16 * 1024;

/// What stands around an object.
pub(super) const OBJECT: u8 = 0x53;
/// What stands around the items of GENERAL AUTHENTICATE.
pub(super) const DYNAMIC_AUTHENTICATION: u8 = 0x7c;
/// The number of the tag 7F49, around a public key.
const PUBLIC_KEY: TagNumber = TagNumber(0x49);
const CERTIFICATE: u8 = 0x70;
const CERTIFICATE_INFO: u8 = 0x71;
const CHECKSUM: u8 = 0xfe;
const PROTECTED: u8 = 0x88;
const PROTECTED_KEY: u8 = 0x89;

/// The object that holds a slot's certificate.
pub(super) fn certificate_object(slot: Slot) -> ObjectId {
    match slot.number() {
        0x9a => 0x005f_c105,
        0x9c => 0x005f_c10a,
        0x9d => 0x005f_c10b,
        0x9e => 0x005f_c101,
        0xf9 => 0x005f_ff01,
        retired => 0x005f_c10d + ObjectId::from(retired - 0x82),
    }
}

/// Takes a certificate out of its object; whatever isn't one, comes back as it is, `None` when the object is empty.
pub(super) fn unwrap_certificate(object: &[u8]) -> Option<Vec<u8>> {
    if object.is_empty() {
        return None;
    }
    let unwrapped = items(object).and_then(|items| {
        let value = |tag| items.iter().find(|item| item.0 == tag).map(|item| item.1);
        let certificate = value(CERTIFICATE)?;
        let packed = value(CERTIFICATE_INFO).and_then(<[u8]>::first).is_some_and(|info| info & 1 == 1);
        if packed { unpack(certificate) } else { Some(certificate.to_vec()) }
    });
    match unwrapped {
        Some(certificate) if certificate.is_empty() => None,
        Some(certificate) => Some(certificate),
        None => Some(object.to_vec()),
    }
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(packed).take(LARGEST_UNPACKED).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// The object for a certificate.
pub(super) fn wrap_certificate(slot: Slot, certificate: &[u8]) -> Result<Vec<u8>, TokenError> {
    let too_large = TokenError::TooLarge { slot, octets: certificate.len() };
    let object = [item(CERTIFICATE, certificate), item(CERTIFICATE_INFO, &[0]), item(CHECKSUM, &[])];
    let object = object.into_iter().collect::<Option<Vec<_>>>().map(|items| items.concat());
    object.filter(|object| object.len() <= LARGEST).ok_or(too_large)
}

/// The management key kept in printed information: `None` when there is none.
///
/// # Errors
/// [`TokenError::PrintedObjectTaken`] when the object holds something else.
pub(super) fn protected_key(printed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, TokenError> {
    let items = protected_items(printed)?;
    let key = items.into_iter().find(|item| item.0 == PROTECTED_KEY);
    Ok(key.map(|(_, value)| Zeroizing::new(value.to_vec())))
}

/// Printed information with another management key in it; what else stood there stays.
///
/// # Errors
/// [`TokenError::PrintedObjectTaken`] as [`protected_key`].
pub(super) fn with_protected_key(printed: &[u8], key: &[u8]) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let mut inner = Zeroizing::new(Vec::with_capacity(printed.len() + key.len() + 8));
    let kept = protected_items(printed)?.into_iter().filter(|item| item.0 != PROTECTED_KEY);
    for (tag, value) in kept.chain([(PROTECTED_KEY, key)]) {
        let encoded = Zeroizing::new(item(tag, value).ok_or(TokenError::PrintedObjectTaken)?);
        inner.extend_from_slice(&encoded);
    }
    item(PROTECTED, &inner).map(Zeroizing::new).ok_or(TokenError::PrintedObjectTaken)
}

fn protected_items(printed: &[u8]) -> Result<Vec<(u8, &[u8])>, TokenError> {
    let outer = items(printed).ok_or(TokenError::PrintedObjectTaken)?;
    match outer.as_slice() {
        [] => Ok(Vec::new()),
        [(PROTECTED, inner)] => items(inner).ok_or(TokenError::PrintedObjectTaken),
        _ => Err(TokenError::PrintedObjectTaken),
    }
}

/// The CHUID's object: the FASC-N of a card outside the federal scheme, the GUID, the expiry, no signature.
pub(super) fn chuid(identifiers: &Identifiers) -> Vec<u8> {
    let fasc_n = [
        0xd4, 0xe7, 0x39, 0xda, 0x73, 0x9c, 0xed, 0x39, 0xce, 0x73, 0x9d, 0x83, 0x68, 0x58, 0x21, 0x08, 0x42,
        0x10, 0x84, 0x21, 0xc8, 0x42, 0x10, 0xc3, 0xeb,
    ];
    [
        &[0x30, 25],
        fasc_n.as_slice(),
        &[0x34, 16],
        &identifiers.guid,
        &[0x35, 8],
        &identifiers.expiry,
        &[0x3e, 0, CHECKSUM, 0],
    ]
    .concat()
}

/// The CCC's object: GSC-IS registered application provider, a dummy manufacturer, a Java card, the identifier, and
/// the version numbers and empty fields that SP 800-73-4 requires.
pub(super) fn ccc(identifiers: &Identifiers) -> Vec<u8> {
    [
        &[0xf0, 21, 0xa0, 0x00, 0x00, 0x01, 0x16, 0xff, 0x02],
        identifiers.card_id.as_slice(),
        &[0xf1, 1, 0x21, 0xf2, 1, 0x21, 0xf3, 0, 0xf4, 1, 0x00, 0xf5, 1, 0x10, 0xf6, 0, 0xf7, 0],
        &[0xfa, 0, 0xfb, 0, 0xfc, 0, 0xfd, 0, CHECKSUM, 0],
    ]
    .concat()
}

/// The items in a row, with their tags of one octet. Some of these tags aren't ASN.1's.
pub(super) fn items(bytes: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut items = Vec::new();
    while !reader.is_finished() {
        let tag = reader.read_byte().ok()?;
        let length = Length::decode(&mut reader).ok()?;
        items.push((tag, reader.read_slice(length).ok()?));
    }
    Some(items)
}

/// What the only item holds, which has this tag.
pub(super) fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match items(bytes)?.as_slice() {
        [(found, value)] if *found == tag => Some(value),
        _ => None,
    }
}

/// What the public key's template holds, which is all there is.
pub(super) fn inside_public_key(bytes: &[u8]) -> Option<&[u8]> {
    let template = AnyRef::from_der(bytes).ok()?;
    let is_public_key = template.tag() == Tag::Application { constructed: true, number: PUBLIC_KEY };
    is_public_key.then(|| template.value())
}

/// One item.
pub(super) fn item(tag: u8, value: &[u8]) -> Option<Vec<u8>> {
    let tag = Tag::from_der(&[tag]).ok()?;
    AnyRef::new(tag, value).and_then(|any| any.to_der()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn slot() -> Slot {
        Slot::parse("9a").expect("a slot")
    }

    #[test]
    fn a_certificate_comes_back_as_it_went() {
        let certificate = vec![0x30; 900];
        let object = wrap_certificate(slot(), &certificate).expect("an object");
        assert_eq!(object[..4], [0x70, 0x82, 0x03, 0x84]);
        assert_eq!(object[904..], [0x71, 1, 0, 0xfe, 0]);
        assert_eq!(unwrap_certificate(&object), Some(certificate));
        let too_large = wrap_certificate(slot(), &[0x30; 3049]);
        assert!(matches!(too_large, Err(TokenError::TooLarge { octets: 3049, .. })));
    }

    #[test]
    fn packed_certificates_are_unpacked_within_bounds() {
        let pack = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).expect("packing");
            let packed = encoder.finish().expect("packing");
            [item(0x70, &packed).expect("an item"), vec![0x71, 1, 1, 0xfe, 0]].concat()
        };
        assert_eq!(unwrap_certificate(&pack(&[0x30; 900])), Some(vec![0x30; 900]));
        let bomb = unwrap_certificate(&pack(&vec![0; 1 << 20])).expect("something");
        assert_eq!(bomb.len(), 16 * 1024);
    }

    #[test]
    fn nothing_and_rubbish_are_told_apart() {
        assert_eq!(unwrap_certificate(&[]), None);
        assert_eq!(unwrap_certificate(&[0x70, 0, 0x71, 1, 0, 0xfe, 0]), None);
        assert_eq!(unwrap_certificate(b"rubbish"), Some(b"rubbish".to_vec()));
    }

    #[test]
    fn the_management_key_is_kept_as_ykman_keeps_it() {
        let printed = with_protected_key(&[], &[7; 24]).expect("an object");
        assert_eq!(printed[..4], [0x88, 26, 0x89, 24]);
        assert_eq!(*protected_key(&printed).expect("readable").expect("a key"), vec![7; 24]);
        assert!(protected_key(&[]).expect("readable").is_none());

        let flagged = [0x88, 3, 0x81, 1, 1];
        let both = with_protected_key(&flagged, &[7; 24]).expect("an object");
        assert_eq!(both[..7], [0x88, 29, 0x81, 1, 1, 0x89, 24]);
        let foreign = [0x01, 4, b'N', b'a', b'm', b'e'];
        assert!(matches!(protected_key(&foreign), Err(TokenError::PrintedObjectTaken)));
    }

    #[test]
    fn chuid_and_ccc_have_their_lengths() {
        let identifiers = Identifiers { guid: [1; 16], card_id: [2; 14], expiry: *b"20361231" };
        let written = chuid(&identifiers);
        let read = items(&written).expect("items");
        assert_eq!(read.iter().map(|item| item.0).collect::<Vec<_>>(), [0x30, 0x34, 0x35, 0x3e, 0xfe]);
        assert_eq!(read[1].1, [1; 16]);
        assert!(items(&written[..40]).is_none(), "cut short");
        assert_eq!(chuid(&identifiers).len(), 59);
        assert_eq!(ccc(&identifiers).len(), 51);
    }

    #[test]
    fn hostile_objects_are_read_without_a_panic() {
        let certificate = vec![0x30; 900];
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packed, &certificate).expect("packed");
        let packed = packed.finish().expect("packed");
        let object = [item(CERTIFICATE, &packed).expect("an item"), vec![CERTIFICATE_INFO, 1, 1]].concat();
        let samples = [
            object,
            wrap_certificate(slot(), &certificate).expect("an object"),
            with_protected_key(&[], &[7; 24]).expect("an object").to_vec(),
            // A public key's template, as GENERATE answers.
            [&[0x7f, 0x49, 0x43, 0x86, 0x41, 4], [9; 64].as_slice()].concat(),
        ];
        crate::hostile::bombard(&samples, |octets| {
            let unwrapped = unwrap_certificate(octets).unwrap_or_default();
            assert!(unwrapped.len() as u64 <= LARGEST_UNPACKED.max(octets.len() as u64));
            let _ = (protected_key(octets), with_protected_key(octets, &[7; 24]));
            let _ = (items(octets), inside(octets, PROTECTED), inside_public_key(octets));
        });
    }

    #[test]
    fn every_slot_has_its_object() {
        let objects: std::collections::HashSet<_> = Slot::all().map(certificate_object).collect();
        assert_eq!(objects.len(), 24);
        let last = Slot::parse("95").expect("a slot");
        assert_eq!(certificate_object(last), 0x005f_c120);
    }
}
