//! Frames on the socket: a big-endian `u32` length, then one CBOR item of exactly that length.
//!
//! No peer makes the other allocate much on its word alone: the claimed length is judged before anything is read, a
//! buffer beyond [`MAX_FRAME`] grows only with the octets that really arrived, and a frame that was begun must end within
//! a time limit.

use std::{io, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::message::{Request, RequestBody};

/// Largest frame for anything but a CRL, in octets without the length field.
pub const MAX_FRAME: usize = 64 * 1024;
/// Largest `TBSCertList`, in octets.
pub const MAX_CRL: usize = 64 * 1024 * 1024;
/// Largest frame of all: a CRL and what surrounds it.
pub const MAX_LARGE_FRAME: usize = MAX_CRL + MAX_FRAME;
/// A structure of Inro nests far less deeply than this.
const CBOR_DEPTH: usize = 32;
/// The request's kind stands within so many octets of the frame's begin.
const KIND_PREFIX: usize = 64;

/// Why a frame can't be read or written. After any of these the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed, or ended inside a frame.
    #[error("the socket failed")]
    Io(#[from] io::Error),
    /// The claimed or written length is beyond the limit.
    #[error("a frame of {length} octets is over the limit of {limit}")]
    TooLarge {
        /// Length in octets.
        length: usize,
        /// Limit in octets.
        limit: usize,
    },
    /// A frame was begun and not finished in time.
    #[error("a frame was begun but not finished within {0:?}")]
    Stalled(Duration),
    /// The body isn't one CBOR item of the expected type.
    #[error("a frame's body is malformed: {0}")]
    Malformed(String),
}

/// What a reader of frames tolerates.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest frame in octets.
    pub frame: usize,
    /// Frames over [`MAX_FRAME`] are only taken when they begin as a `SignCrl` request.
    pub large_only_for_crl: bool,
    /// From the first octet of a frame to its last.
    pub frame_time: Duration,
}

impl Limits {
    /// Limits of the signer, which trusts nobody.
    pub const SIGNER: Self =
        Self { frame: MAX_LARGE_FRAME, large_only_for_crl: true, frame_time: Duration::from_secs(20) };
    /// Limits of a client, which trusts its signer not to send more than a CRL.
    pub const CLIENT: Self =
        Self { frame: MAX_LARGE_FRAME, large_only_for_crl: false, frame_time: Duration::from_mins(1) };
}

/// Reads one frame's body; `None` when the peer closed the connection between frames.
///
/// Waits without limit for a frame to begin, and at most [`Limits::frame_time`] for it to end. Not cancel-safe.
///
/// # Errors
/// See [`FrameError`]; nothing was allocated beyond what arrived.
pub async fn read_frame<R: AsyncRead + Unpin>(
    reader: &mut R,
    limits: &Limits,
) -> Result<Option<Vec<u8>>, FrameError> {
    let frame = read_gated_frame(reader, limits, None).await?;
    Ok(frame.map(|(body, _)| body))
}

/// [`read_frame`], with a gate that bounds how many frames over [`MAX_FRAME`] are in memory at once. The caller keeps
/// the permit as long as the frame.
///
/// # Errors
/// As [`read_frame`]; waiting at the gate counts towards [`Limits::frame_time`].
pub async fn read_gated_frame<R: AsyncRead + Unpin>(
    reader: &mut R,
    limits: &Limits,
    gate: Option<&Arc<Semaphore>>,
) -> Result<Option<(Vec<u8>, Option<OwnedSemaphorePermit>)>, FrameError> {
    let mut length = [0_u8; 4];
    if reader.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        reader.read_exact(&mut length[1..]).await?;
        let length = u32::from_be_bytes(length) as usize;
        let permit = match gate {
            Some(gate) if length > MAX_FRAME && length <= limits.frame => {
                Some(Arc::clone(gate).acquire_owned().await.map_err(io::Error::other)?)
            }
            _ => None,
        };
        Ok((read_body(reader, length, limits).await?, permit))
    };
    match tokio::time::timeout(limits.frame_time, rest).await {
        Ok(frame) => frame.map(Some),
        Err(_) => Err(FrameError::Stalled(limits.frame_time)),
    }
}

async fn read_body<R: AsyncRead + Unpin>(
    reader: &mut R,
    length: usize,
    limits: &Limits,
) -> Result<Vec<u8>, FrameError> {
    if length > limits.frame {
        return Err(FrameError::TooLarge { length, limit: limits.frame });
    }
    // So much may be believed: it is little, and a connection reads one frame at a time.
    let mut body = Vec::with_capacity(length.min(MAX_FRAME));
    if length > MAX_FRAME && limits.large_only_for_crl {
        read_up_to(reader, &mut body, KIND_PREFIX).await?;
        if !begins_as_crl(&body) {
            return Err(FrameError::TooLarge { length, limit: MAX_FRAME });
        }
    }
    read_up_to(reader, &mut body, length).await?;
    Ok(body)
}

/// Appends until `body` holds `length` octets. `take` lets the buffer grow with what arrives.
async fn read_up_to<R: AsyncRead + Unpin>(
    reader: &mut R,
    body: &mut Vec<u8>,
    length: usize,
) -> Result<(), FrameError> {
    let missing = (length - body.len()) as u64;
    let mut rest = reader.take(missing);
    while body.len() < length {
        if rest.read_buf(body).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(())
}

/// Whether the first octets of a frame are those of a `SignCrl` request, whose kind is a CBOR text of seven octets.
fn begins_as_crl(prefix: &[u8]) -> bool {
    prefix.windows(8).any(|window| window == b"\x67SignCrl")
}

/// Decodes a request, and holds it to the limit of its kind.
///
/// # Errors
/// [`FrameError::Malformed`] or [`FrameError::TooLarge`].
pub fn decode_request(body: &[u8]) -> Result<Request, FrameError> {
    let request: Request = decode(body)?;
    let limit = match &request.body {
        RequestBody::SignCrl { .. } => MAX_LARGE_FRAME,
        _ => MAX_FRAME,
    };
    if body.len() > limit {
        return Err(FrameError::TooLarge { length: body.len(), limit });
    }
    Ok(request)
}

/// Decodes one CBOR item that fills `body`.
///
/// # Errors
/// [`FrameError::Malformed`], also for octets after the item.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let mut rest = body;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, CBOR_DEPTH)
        .map_err(|error| FrameError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(FrameError::Malformed("octets after the item".to_owned())) }
}

/// Encodes a message with its length in front.
///
/// # Errors
/// [`FrameError::TooLarge`] when the body exceeds `limit`.
pub fn encode<T: Serialize>(message: &T, limit: usize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    ciborium::into_writer(message, &mut frame).map_err(|error| FrameError::Malformed(error.to_string()))?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(prefix) if length <= limit => {
            frame[..4].copy_from_slice(&prefix.to_be_bytes());
            Ok(frame)
        }
        _ => Err(FrameError::TooLarge { length, limit }),
    }
}

/// Encodes a request within the limit of its kind.
///
/// # Errors
/// [`FrameError::TooLarge`].
pub fn encode_request(request: &Request) -> Result<Vec<u8>, FrameError> {
    let limit = match &request.body {
        RequestBody::SignCrl { .. } => MAX_LARGE_FRAME,
        _ => MAX_FRAME,
    };
    encode(request, limit)
}

/// Writes a frame that [`encode`] made.
///
/// # Errors
/// Those of the socket.
pub async fn write_frame<W: AsyncWrite + Unpin>(writer: &mut W, frame: &[u8]) -> Result<(), FrameError> {
    writer.write_all(frame).await?;
    Ok(())
}

/// Writes frames that [`encode`] made, small ones together: what waits to be sent leaves with one call of the kernel.
///
/// # Errors
/// Those of the socket.
pub async fn write_frames<W: AsyncWrite + Unpin, F: AsRef<[u8]>>(
    writer: &mut W,
    frames: &[F],
) -> Result<(), FrameError> {
    if let [frame] = frames {
        return write_frame(writer, frame.as_ref()).await;
    }
    let mut together = Vec::new();
    for frame in frames.iter().map(AsRef::as_ref) {
        if together.len() + frame.len() > MAX_FRAME && !together.is_empty() {
            writer.write_all(&together).await?;
            together.clear();
        }
        if frame.len() > MAX_FRAME {
            writer.write_all(frame).await?;
        } else {
            together.extend_from_slice(frame);
        }
    }
    writer.write_all(&together).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AuditPosition, KeyLabel};

    fn crl_request(size: usize) -> Request {
        Request {
            number: u64::MAX,
            deadline_ms: u32::MAX,
            body: RequestBody::SignCrl {
                key: KeyLabel("a-key".to_owned()),
                audit_head: AuditPosition { sequence: 7, hash: [7; 32] },
                tbs: vec![1; size],
            },
        }
    }

    #[tokio::test]
    async fn a_request_comes_back_as_it_was_sent() {
        let frame = encode_request(&crl_request(300_000)).expect("within limits");
        let body =
            read_frame(&mut frame.as_slice(), &Limits::SIGNER).await.expect("frame").expect("not the end");
        let request = decode_request(&body).expect("request");
        assert_eq!(request.number, u64::MAX);
        assert!(matches!(request.body, RequestBody::SignCrl { tbs, .. } if tbs.len() == 300_000));
    }

    #[tokio::test]
    async fn a_claim_of_four_gigabytes_is_refused_before_anything_is_read() {
        let mut stream: &[u8] = &[0xff, 0xff, 0xff, 0xff, 1, 2, 3];
        let refused = read_frame(&mut stream, &Limits::SIGNER).await.expect_err("too large");
        assert!(matches!(refused, FrameError::TooLarge { length: 0xffff_ffff, .. }));
        assert_eq!(stream, [1, 2, 3]);
    }

    #[tokio::test]
    async fn only_a_crl_may_be_larger_than_the_common_limit() {
        let mut frame = 1_000_000_u32.to_be_bytes().to_vec();
        frame.resize(1_000_004, 0);
        let mut stream = frame.as_slice();
        let refused = read_frame(&mut stream, &Limits::SIGNER).await.expect_err("not a CRL");
        assert!(matches!(refused, FrameError::TooLarge { limit: MAX_FRAME, .. }));
        assert_eq!(stream.len(), 1_000_000 - KIND_PREFIX, "only the kind was read");

        // One that only pretends is caught when it is decoded.
        let request = Request {
            number: 1,
            deadline_ms: 1,
            body: RequestBody::SignOcsp { key: KeyLabel("gSignCrl".to_owned()), tbs: vec![0; MAX_FRAME] },
        };
        let frame = encode(&request, MAX_LARGE_FRAME).expect("encodes");
        let body = read_frame(&mut frame.as_slice(), &Limits::SIGNER).await;
        let refused = body.and_then(|body| decode_request(&body.expect("frame"))).expect_err("too large");
        assert!(matches!(refused, FrameError::TooLarge { limit: MAX_FRAME, .. }));
    }

    #[tokio::test]
    async fn a_frame_left_half_open_times_out_and_an_idle_connection_does_not() {
        let limits = Limits { frame_time: Duration::from_millis(20), ..Limits::SIGNER };
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(&[0, 0]).await.expect("writes");
        let stalled = read_frame(&mut server, &limits).await.expect_err("stalls");
        assert!(matches!(stalled, FrameError::Stalled(_)));

        let (client, mut server) = tokio::io::duplex(64);
        let idle = tokio::time::timeout(limits.frame_time * 5, read_frame(&mut server, &limits)).await;
        assert!(idle.is_err(), "still waiting");
        drop(client);
        assert!(read_frame(&mut server, &limits).await.expect("end").is_none());
    }

    #[test]
    fn octets_after_the_item_and_broken_items_are_malformed() {
        let mut body = encode(&1_u8, 10).expect("encodes")[4..].to_vec();
        assert_eq!(decode::<u8>(&body).expect("decodes"), 1);
        body.push(0);
        assert!(matches!(decode::<u8>(&body), Err(FrameError::Malformed(_))));
        let bomb = vec![0x81; 10_000];
        assert!(matches!(decode_request(&bomb), Err(FrameError::Malformed(_))));
        // A byte string that claims more than there is.
        assert!(matches!(
            decode::<serde_bytes::ByteBuf>(&[0x5a, 0xff, 0xff, 0xff, 0xff]),
            Err(FrameError::Malformed(_))
        ));
    }
}
