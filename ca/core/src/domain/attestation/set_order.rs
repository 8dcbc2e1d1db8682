//! DER whose SETs aren't sorted. X.690, 11.6 asks for an order that some makers' certificates don't have (in names of
//! several attributes); what is read is the sorted form, what is signed stays as it came.

use der::{Decode, Header, Reader, SliceReader, Tag};

/// No genuine certificate is nested deeper.
const MAX_DEPTH: usize = 16;

/// The same value with the elements of every SET in DER's order.
///
/// # Errors
/// A `der` error when it isn't one DER value otherwise, or is nested deeper than any certificate.
pub(super) fn sorted(der: &[u8]) -> der::Result<Vec<u8>> {
    let mut out = der.to_vec();
    sort_within(&mut out, MAX_DEPTH)?;
    Ok(out)
}

/// Sorts the SETs in octets that are any number of DER values in a row.
fn sort_within(octets: &mut [u8], depth_left: usize) -> der::Result<()> {
    for value in values(octets)? {
        if !value.is_constructed {
            continue;
        }
        let depth_left = depth_left.checked_sub(1).ok_or(der::ErrorKind::Overlength)?;
        let content = octets.get_mut(value.content_at..value.end).ok_or(der::ErrorKind::Failed)?;
        sort_within(content, depth_left)?;
        if value.is_set {
            let mut elements: Vec<Vec<u8>> =
                values(content)?.iter().map(|element| content[element.start..element.end].to_vec()).collect();
            elements.sort();
            content.copy_from_slice(&elements.concat());
        }
    }
    Ok(())
}

struct Value {
    start: usize,
    content_at: usize,
    end: usize,
    is_constructed: bool,
    is_set: bool,
}

fn values(octets: &[u8]) -> der::Result<Vec<Value>> {
    let mut reader = SliceReader::new(octets)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        let start = position(&reader)?;
        let header = Header::decode(&mut reader)?;
        let content_at = position(&reader)?;
        reader.read_slice(header.length())?;
        let (tag, end) = (header.tag(), position(&reader)?);
        let is_constructed = match tag {
            Tag::Sequence | Tag::Set => true,
            Tag::Application { constructed, .. }
            | Tag::ContextSpecific { constructed, .. }
            | Tag::Private { constructed, .. } => constructed,
            _ => false,
        };
        found.push(Value { start, content_at, end, is_constructed, is_set: tag == Tag::Set });
    }
    Ok(found)
}

fn position(reader: &SliceReader<'_>) -> der::Result<usize> {
    usize::try_from(reader.position())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sets_are_sorted_at_any_depth() {
        // SEQUENCE { INTEGER 2, SET { [0] { SET { INTEGER 2, INTEGER 1 } }, INTEGER 9 }, INTEGER 1 }
        let unsorted =
            [0x30, 0x15, 2, 1, 2, 0x31, 0x0d, 0xa0, 0x08, 0x31, 6, 2, 1, 2, 2, 1, 1, 2, 1, 9, 2, 1, 1];
        let expected =
            [0x30, 0x15, 2, 1, 2, 0x31, 0x0d, 2, 1, 9, 0xa0, 0x08, 0x31, 6, 2, 1, 1, 2, 1, 2, 2, 1, 1];
        assert_eq!(sorted(&unsorted).expect("DER"), expected);
        assert_eq!(sorted(&expected).expect("DER"), expected, "what is sorted stays");
    }

    #[test]
    fn what_is_no_der_or_too_deep_is_refused() {
        let nested = |depth: usize| {
            (0..depth).fold(vec![5, 0], |inner, _| {
                let mut outer = vec![0x30, u8::try_from(inner.len()).expect("short")];
                outer.extend(inner);
                outer
            })
        };
        assert!(sorted(&nested(16)).is_ok());
        assert!(sorted(&nested(17)).is_err());
        for bad in [&[0x30_u8, 2, 2][..], &[0x31, 0x80, 0, 0], &[0x30, 4, 2, 9, 1, 1]] {
            assert!(sorted(bad).is_err(), "{bad:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn it_never_panics(octets: Vec<u8>) {
            let _ = sorted(&octets);
        }
    }
}
