//! The receiving end of a stream.

use std::{
    io::{BufRead, BufReader, Cursor, Read},
    path::Path,
};

use super::{CopyError, PIECE, Position, Sink, error::failed, file::Copy};
use crate::journal::{
    OpenError,
    frame::{self, HEADER, Next, Scanner},
};

/// Appends a stream that [`Copying::to_stream`](super::Copying::to_stream) wrote to a copy, until the stream ends. It may begin with the first entry
/// or after the copy's last one. Each time that nothing more has arrived yet, what did is synced and `told`.
///
/// # Errors
/// [`CopyError`]; entries that were received whole before are kept.
pub fn receive(
    stream: impl Read,
    copy: &Path,
    mut told: impl FnMut(Position),
) -> Result<Position, CopyError> {
    let from = Path::new("-");
    let mut stream = BufReader::with_capacity(PIECE, stream);
    let mut header = [0; HEADER];
    stream.read_exact(&mut header).map_err(failed(from))?;
    let genesis = frame::genesis(&header).ok_or_else(|| OpenError::NoJournal { path: from.to_owned() })?;
    let mut copy = Copy::open(copy, &header)?;
    if stream.fill_buf().map_err(failed(from))?.is_empty() {
        return copy.filled().map(|()| copy.at);
    }
    let mut start = [0; 8];
    stream.read_exact(&mut start).map_err(|_| CopyError::Cut(copy.at.entries + 1))?;
    let mut at = if frame::follows(start, &copy.at.head) {
        copy.at
    } else if frame::follows(start, &genesis) {
        Position::start(genesis)
    } else {
        return Err(CopyError::Gap { copy: copy.path, entries: copy.at.entries });
    };
    let mut scanner = Scanner::after(Cursor::new(start).chain(stream), at.end, at.head);
    let (mut body, mut frames) = (Vec::new(), Vec::new());
    loop {
        let next = scanner.next_whole(&mut body, &mut frames).map_err(failed(from))?;
        if let Next::Frame(place, hash) = next {
            at.take(place, hash);
            if at.entries <= copy.at.entries {
                frames.clear();
                if at.entries == copy.at.entries && at.head != copy.at.head {
                    return Err(CopyError::Diverged { copy: copy.path, parting: at.entries });
                }
                continue;
            }
        }
        let waiting = scanner.reader().get_ref().1.buffer().is_empty();
        let ended = !matches!(next, Next::Frame(..));
        if ended || waiting || frames.len() >= PIECE {
            copy.put(&frames)?;
            frames.clear();
            if ended || waiting {
                copy.sync()?;
                told(at);
            }
        }
        match next {
            Next::Frame(..) => {}
            Next::End => return copy.filled().map(|()| at),
            Next::Torn { .. } => return Err(CopyError::Cut(at.entries + 1)),
            Next::Damaged(fault) => {
                let fault = fault.to_owned();
                return Err(CopyError::Source { path: from.to_owned(), sequence: at.entries + 1, fault });
            }
        }
    }
}
