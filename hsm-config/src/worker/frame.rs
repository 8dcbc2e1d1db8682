//! One frame: a big-endian `u32` length and a CBOR body.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// A full CRL of a million entries fits.
pub const MAX_FRAME: usize = 128 * 1024 * 1024;

/// Appends a message as a frame. A caller whose message is secret gives a buffer that is wiped and large enough not to
/// be moved while it grows.
///
/// # Errors
/// When the message is larger than [`MAX_FRAME`] or can't be encoded.
pub fn encode<T: Serialize>(message: &T, into: &mut Vec<u8>) -> io::Result<()> {
    let start = into.len();
    into.extend_from_slice(&[0; 4]);
    ciborium::into_writer(message, &mut *into)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
    let length = into.len() - start - 4;
    match u32::try_from(length) {
        Ok(prefix) if length <= MAX_FRAME => {
            into[start..start + 4].copy_from_slice(&prefix.to_be_bytes());
            Ok(())
        }
        _ => {
            into.truncate(start);
            Err(too_large(length))
        }
    }
}

/// Decodes a frame's body.
///
/// # Errors
/// When it isn't exactly one message of this type.
pub fn decode<T: DeserializeOwned>(mut body: &[u8]) -> io::Result<T> {
    let message = ciborium::from_reader(&mut body)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
    if body.is_empty() {
        Ok(message)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the message"))
    }
}

/// Reads a frame; `None` at the end of the stream. The body is wiped when dropped: it may carry a PIN.
///
/// # Errors
/// When the stream ends inside a frame, the frame is larger than [`MAX_FRAME`], or isn't a message of this type.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut prefix = [0; 4];
    match from.read(&mut prefix)? {
        0 => return Ok(None),
        read => from.read_exact(&mut prefix[read..])?,
    }
    let length = check_length(prefix)?;
    let mut body = Zeroizing::new(vec![0; length]);
    from.read_exact(&mut body)?;
    decode(&body).map(Some)
}

/// The length that a prefix announces.
///
/// # Errors
/// When it is more than [`MAX_FRAME`].
pub fn check_length(prefix: [u8; 4]) -> io::Result<usize> {
    match usize::try_from(u32::from_be_bytes(prefix)) {
        Ok(length) if length <= MAX_FRAME => Ok(length),
        _ => Err(too_large(usize::MAX)),
    }
}

/// Writes a message as a frame and flushes.
///
/// # Errors
/// When it can't be encoded or written.
pub fn write<T: Serialize>(message: &T, to: &mut impl Write) -> io::Result<()> {
    let mut frame = Vec::new();
    encode(message, &mut frame)?;
    to.write_all(&frame)?;
    to.flush()
}

fn too_large(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame of {length} bytes is over the limit of {MAX_FRAME}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other() {
        let mut bytes = Vec::new();
        encode(&"one", &mut bytes).expect("encoded");
        encode(&"two", &mut bytes).expect("encoded");
        let mut stream = bytes.as_slice();
        assert_eq!(read::<String>(&mut stream).expect("read"), Some("one".to_owned()));
        assert_eq!(read::<String>(&mut stream).expect("read"), Some("two".to_owned()));
        assert_eq!(read::<String>(&mut stream).expect("read"), None);
    }

    #[test]
    fn refuses_what_is_no_frame() {
        assert!(read::<String>(&mut [0xff, 0xff, 0xff, 0xff, 1].as_slice()).is_err(), "4 GB");
        assert!(read::<String>(&mut [0, 0, 0, 9, 0x63].as_slice()).is_err(), "cut");
        assert!(read::<String>(&mut [0, 0, 0, 3, 0x61, 0x61, 0x61].as_slice()).is_err(), "trailing byte");
        assert!(read::<String>(&mut [0, 0].as_slice()).is_err(), "cut prefix");
    }
}
