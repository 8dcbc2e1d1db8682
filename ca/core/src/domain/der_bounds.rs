//! Bounds on foreign DER before anything recursive or allocating looks at it.

use der::{Decode, Header, Reader, SliceReader, Tag};

/// Checks that `der` is one DER value with definite, minimal lengths, nested no deeper than `max_depth`.
///
/// # Errors
/// A `der` error otherwise, also for trailing bytes.
pub(super) fn check_depth(der: &[u8], max_depth: usize) -> der::Result<()> {
    let mut reader = SliceReader::new(der)?;
    value(&mut reader, max_depth)?;
    reader.finish()
}

fn value<'a>(reader: &mut SliceReader<'a>, depth_left: usize) -> der::Result<()> {
    let header = Header::decode(reader)?;
    let content: &'a [u8] = reader.read_slice(header.length())?;
    if !is_constructed(header.tag()) {
        return Ok(());
    }
    let depth_left = depth_left.checked_sub(1).ok_or(der::ErrorKind::Overlength)?;
    let mut inner = SliceReader::new(content)?;
    while !inner.is_finished() {
        value(&mut inner, depth_left)?;
    }
    Ok(())
}

fn is_constructed(tag: Tag) -> bool {
    match tag {
        Tag::Sequence | Tag::Set => true,
        Tag::Application { constructed, .. }
        | Tag::ContextSpecific { constructed, .. }
        | Tag::Private { constructed, .. } => constructed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `levels` SEQUENCEs, one in the other.
    fn nested(levels: usize) -> Vec<u8> {
        (0..levels).fold(Vec::new(), |inner, _| {
            let mut out = vec![0x30];
            match inner.len() {
                short @ 0..=0x7f => out.push(short.to_le_bytes()[0]),
                length => {
                    let bytes = length.to_be_bytes();
                    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
                    out.push(0x80 | (8 - first).to_le_bytes()[0]);
                    out.extend(&bytes[first..]);
                }
            }
            out.extend(inner);
            out
        })
    }

    #[test]
    fn depth_is_counted_and_bounded() {
        assert!(check_depth(&nested(16), 16).is_ok());
        assert!(check_depth(&nested(17), 16).is_err());
        assert!(check_depth(&nested(5_000), 16).is_err());
    }

    #[test]
    fn ber_forms_and_trailing_bytes_are_refused() {
        for bad in [
            &[0x30, 0x80, 0x00, 0x00][..],         // indefinite length
            &[0x30, 0x81, 0x02, 0x05, 0x00],       // length in the long form without need
            &[0x30, 0x02, 0x05, 0x00, 0x00],       // trailing byte
            &[0x30, 0x04, 0x05, 0x00],             // cut short
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], // claims 4 GB
            &[],
        ] {
            assert!(check_depth(bad, 16).is_err(), "{bad:02x?}");
        }
    }
}
