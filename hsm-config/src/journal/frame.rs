//! Frames and the chain of hashes.
//!
//! The file begins with a header (magic, random identifier, SHA-256 of both: the chain's genesis). Each frame is
//! ```text
//! length u32 BE | check 4 | hash 32 | body
//! check = first 4 octets of SHA-256(previous hash || length)
//! hash  = SHA-256(previous hash || body)
//! ```
//! The check is what tells a torn end from a damaged length: without it a flipped bit in the last length would look
//! like an incomplete frame and cost an acknowledged entry.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
};

use aws_lc_rs::{digest, rand};
use uuid::Uuid;

/// Largest body: the largest CRL and what surrounds it.
pub const MAX_BODY: usize = 80 * 1024 * 1024;
/// Octets before the first frame.
pub(super) const HEADER: usize = 56;
/// Octets of a frame before its body.
pub(super) const FRAME_HEAD: usize = 40;

const MAGIC: [u8; 8] = *b"INROJNL1";

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// Where a frame stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// Octets with head and body.
    pub(super) length: u64,
}

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A header with a random identifier, so that no two journals share a chain.
pub(super) fn new_header() -> io::Result<[u8; HEADER]> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    rand::fill(&mut header[8..24]).map_err(|_| io::Error::other("no randomness"))?;
    let genesis = sha256(&[&header[..24]]);
    header[24..].copy_from_slice(&genesis);
    Ok(header)
}

/// The genesis hash of a header; `None` when it isn't one.
pub(super) fn genesis(header: &[u8; HEADER]) -> Option<Hash> {
    let genesis = sha256(&[&header[..24]]);
    (header[..8] == MAGIC && header[24..] == genesis).then_some(genesis)
}

/// The random identifier in a file's header.
pub(super) fn identifier(file: &File) -> io::Result<Uuid> {
    let mut identifier = [0; 16];
    file.read_exact_at(&mut identifier, 8)?;
    Ok(Uuid::from_bytes(identifier))
}

/// Appends a frame to `buffer` and returns its hash, the next frame's previous.
pub(super) fn append(buffer: &mut Vec<u8>, previous: &Hash, body: &[u8]) -> io::Result<Hash> {
    let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "an entry is too large for the journal");
    let length = u32::try_from(body.len()).map_err(|_| too_large())?;
    if body.len() > MAX_BODY {
        return Err(too_large());
    }
    let hash = sha256(&[previous, body]);
    put(buffer, previous, length, &hash, body);
    Ok(hash)
}

fn put(buffer: &mut Vec<u8>, previous: &Hash, length: u32, hash: &Hash, body: &[u8]) {
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(&check(previous, length));
    buffer.extend_from_slice(hash);
    buffer.extend_from_slice(body);
}

/// Whether the first eight octets of a frame are of one that follows `previous`.
pub(super) fn follows(start: [u8; 8], previous: &Hash) -> bool {
    let (length, claimed) = start.split_at(4);
    *claimed == check(previous, u32::from_be_bytes([length[0], length[1], length[2], length[3]]))
}

fn check(previous: &Hash, length: u32) -> [u8; 4] {
    let hash = sha256(&[previous, &length.to_be_bytes()]);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// What comes next in the file.
#[derive(Debug)]
pub(super) enum Next {
    /// A frame whose hash fits.
    Frame(Place, Hash),
    /// The file ends here, between frames.
    End,
    /// The file ends inside a frame, or in octets that were reserved but never written: what a crash leaves.
    Torn {
        /// Octets after the last complete frame.
        octets: u64,
    },
    /// The file was changed.
    Damaged(&'static str),
}

/// Reads frames in order and checks the chain.
pub(super) struct Scanner<R> {
    reader: R,
    offset: u64,
    previous: Hash,
}

impl<R: Read> Scanner<R> {
    /// `reader` stands after the header.
    pub(super) fn new(reader: R, genesis: Hash) -> Self {
        Self::after(reader, HEADER as u64, genesis)
    }

    /// `reader` stands at `offset`, after a frame with the hash `previous`.
    pub(super) fn after(reader: R, offset: u64, previous: Hash) -> Self {
        Self { reader, offset, previous }
    }

    /// What it reads from.
    pub(super) fn reader(&self) -> &R {
        &self.reader
    }

    /// Reads the next frame and appends all of it to `frames`.
    pub(super) fn next_whole(&mut self, body: &mut Vec<u8>, frames: &mut Vec<u8>) -> io::Result<Next> {
        let previous = self.previous;
        body.clear();
        let next = self.next(body)?;
        if let Next::Frame(place, hash) = &next {
            let length = u32::try_from(place.length - FRAME_HEAD as u64).map_err(io::Error::other)?;
            put(frames, &previous, length, hash, body);
        }
        Ok(next)
    }

    /// Reads the next frame and appends its body to `bodies`.
    pub(super) fn next(&mut self, bodies: &mut Vec<u8>) -> io::Result<Next> {
        let mut head = [0; FRAME_HEAD];
        let read = fill(&mut self.reader, &mut head)?;
        if read == 0 {
            return Ok(Next::End);
        }
        let (length, claimed_check) = head[..8].split_at(4);
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        if read >= 8 && *claimed_check != check(&self.previous, length) {
            return self.zeros_or_damage(&head[..read]);
        }
        if read < FRAME_HEAD {
            return Ok(Next::Torn { octets: read as u64 });
        }
        if length as usize > MAX_BODY {
            return Ok(Next::Damaged("its length is impossible"));
        }
        let start = bodies.len();
        bodies.resize(start + length as usize, 0);
        let body = fill(&mut self.reader, &mut bodies[start..])?;
        if body < length as usize {
            return Ok(Next::Torn { octets: (read + body) as u64 });
        }
        let hash = sha256(&[&self.previous, &bodies[start..]]);
        if hash != head[8..] {
            return Ok(Next::Damaged("its hash doesn't fit its content and the entry before it"));
        }
        let place = Place { offset: self.offset, length: (FRAME_HEAD + body) as u64 };
        self.offset += place.length;
        self.previous = hash;
        Ok(Next::Frame(place, hash))
    }

    /// A file system may grow a file before it writes the octets; after a power cut they are zero to the end. What else
    /// fails its check is forgiven by those alone who know that nobody was told of it.
    fn zeros_or_damage(&mut self, head: &[u8]) -> io::Result<Next> {
        let mut octets = head.len() as u64;
        let mut zero = head.iter().all(|octet| *octet == 0);
        let mut buffer = [0; 4096];
        while zero {
            let read = fill(&mut self.reader, &mut buffer)?;
            if read == 0 {
                return Ok(Next::Torn { octets });
            }
            octets += read as u64;
            zero = buffer[..read].iter().all(|octet| *octet == 0);
        }
        Ok(Next::Damaged("its length is damaged"))
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads one frame that the index knows: its hash and its body.
pub(super) fn read_at(file: &File, place: Place) -> io::Result<(Hash, Vec<u8>)> {
    let hash = read_hash(file, place)?;
    let length = usize::try_from(place.length).map_err(|_| io::ErrorKind::InvalidData)? - FRAME_HEAD;
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, place.offset + FRAME_HEAD as u64)?;
    Ok((hash, body))
}

/// The hash before a frame: that of the frame before it, or the header's where there is none.
pub(super) fn read_previous(file: &File, before: Option<Place>) -> io::Result<Hash> {
    let Some(before) = before else {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        return Ok(genesis(&header).ok_or(io::ErrorKind::InvalidData)?);
    };
    read_hash(file, before)
}

/// [`read_at`], checked once more against the hash before it, which comes first.
pub(super) fn read_checked(
    file: &File,
    place: Place,
    before: Option<Place>,
) -> io::Result<(Hash, Hash, Vec<u8>)> {
    let previous = read_previous(file, before)?;
    let (hash, body) = read_at(file, place)?;
    if sha256(&[&previous, &body]) != hash {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an entry no longer is what was written"));
    }
    Ok((previous, hash, body))
}

/// Reads the hash of one frame that the index knows.
pub(super) fn read_hash(file: &File, place: Place) -> io::Result<Hash> {
    let mut hash = [0; 32];
    file.read_exact_at(&mut hash, place.offset + 8)?;
    Ok(hash)
}
