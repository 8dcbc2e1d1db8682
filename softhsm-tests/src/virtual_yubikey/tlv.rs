//! The BER-TLV subset that PIV commands use (ISO 7816-4, NIST SP 800-73-4): tags of up to two bytes, definite lengths.
//!
//! Certificates are not built here; those come from `x509-cert`.

/// One element: its tag (one or two bytes) and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    /// The tag, `0x7f49` for a two-byte one.
    pub tag: u16,
    /// The value's bytes.
    pub value: &'a [u8],
}

/// Takes one element off the front of `input`; `None` when it is cut short or malformed.
pub(super) fn take(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&first, mut rest) = input.split_first()?;
    let mut tag = u16::from(first);
    if first & 0x1f == 0x1f {
        let (&second, after) = rest.split_first()?;
        tag = tag << 8 | u16::from(second);
        rest = after;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let bytes = rest.first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*bytes)), &rest[2..])
        }
        _ => return None,
    };
    let value = rest.get(..length)?;
    Some((Element { tag, value }, &rest[length..]))
}

/// Every element of `input`; `None` unless it is made of whole elements.
pub(super) fn all(mut input: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    while !input.is_empty() {
        let (element, rest) = take(input)?;
        elements.push(element);
        input = rest;
    }
    Some(elements)
}

/// The value of the first element with `tag`.
pub(super) fn find<'a>(elements: &[Element<'a>], tag: u16) -> Option<&'a [u8]> {
    elements.iter().find(|element| element.tag == tag).map(|element| element.value)
}

/// Appends one element to `out`.
pub(super) fn put(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let [high, low] = tag.to_be_bytes();
    if high != 0 {
        out.push(high);
    }
    out.push(low);
    // PIV objects are at most 3 kB, so two length bytes are always enough.
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    match value.len() {
        0..=0x7f => out.push(length[1]),
        0x80..=0xff => out.extend([0x81, length[1]]),
        _ => out.extend([0x82, length[0], length[1]]),
    }
    out.extend_from_slice(value);
}

/// One element by itself.
pub(super) fn wrap(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + 5);
    put(&mut out, tag, value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_survive_a_round_trip() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 3000] {
            let value = vec![0xa5; length];
            let mut encoded = wrap(0x7f49, &value);
            put(&mut encoded, 0x81, &[1]);
            let elements = all(&encoded).expect("well formed");
            assert_eq!(find(&elements, 0x7f49), Some(value.as_slice()));
            assert_eq!(find(&elements, 0x81), Some([1].as_slice()));
        }
    }

    #[test]
    fn cut_and_indefinite_elements_are_refused() {
        for bad in [&[0x53][..], &[0x53, 0x02, 0x00], &[0x53, 0x80, 0x00, 0x00], &[0x53, 0x82, 0x01], &[0x7f]]
        {
            assert_eq!(all(bad), None, "{bad:02x?}");
        }
    }
}
