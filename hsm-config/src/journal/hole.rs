//! What a power cut leaves where a file system makes a file longer before it has written the octets: blocks of zeros.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use super::frame::{self, FRAME_HEAD, Hash};

/// What a file system writes or doesn't; some have larger blocks, of which each is some of these.
pub(super) const BLOCK: usize = 4096;

/// Whether the frame at `offset`, which doesn't check, lacks a block of what its checks are of. A frame without one was
/// changed, whatever comes after it.
pub(super) fn in_frame(file: &File, offset: u64, previous: &Hash) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut start = [0; 8];
    file.read_exact_at(&mut start, offset)?;
    let (mut at, end) = if frame::follows(start, previous) {
        // The block that the frame begins in was written.
        let body = u32::from_be_bytes([start[0], start[1], start[2], start[3]]);
        (block(offset, length).end, offset + FRAME_HEAD as u64 + u64::from(body))
    } else {
        (offset, offset + start.len() as u64)
    };
    let mut octets = [0; BLOCK];
    while at < end.min(length) {
        let block = block(at, length);
        let octets = &mut octets[..usize::try_from(block.end - at).map_err(io::Error::other)?];
        file.read_exact_at(octets, at)?;
        if is_hole(octets) {
            return Ok(true);
        }
        at = block.end;
    }
    Ok(false)
}

pub(super) fn is_hole(octets: &[u8]) -> bool {
    octets.iter().all(|octet| *octet == 0)
}

/// The rest of its block from `at` on, in a file of this length.
fn block(at: u64, length: u64) -> Range<u64> {
    at..(at + 1).next_multiple_of(BLOCK as u64).min(length)
}
