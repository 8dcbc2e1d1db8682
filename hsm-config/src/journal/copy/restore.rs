//! A journal from a copy, and how far a copy is behind.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use uuid::Uuid;

use super::{CopyError, acknowledged, error::failed, identifier, source};
use crate::journal::{
    files::{beside, folder},
    verify::{self, Report},
};

/// Puts a journal in place from a copy, after every entry of it was read and checked.
///
/// # Errors
/// [`CopyError`]; then there is no new journal.
pub fn restore(copy: &Path, journal: &Path) -> Result<Report, CopyError> {
    for path in [journal.to_owned(), beside(journal, ".checkpoint"), beside(journal, ".acknowledged")] {
        if path.symlink_metadata().is_ok() {
            return Err(CopyError::Exists(path));
        }
    }
    let report = verify::verify(copy)?;
    let temporary = beside(journal, ".restored");
    let writing = failed(&temporary);
    let _ = std::fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(&writing)?;
    let mut source = File::open(copy).map_err(failed(copy))?.take(report.octets);
    io::copy(&mut source, &mut file).and_then(|_| file.sync_all()).map_err(&writing)?;
    std::fs::hard_link(&temporary, journal)
        .and_then(|()| std::fs::remove_file(&temporary))
        .and_then(|()| File::open(folder(journal))?.sync_all())
        .map_err(failed(journal))?;
    Ok(report)
}

/// What is beside a journal, read in a moment.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Stat {
    /// The journal's identifier.
    pub journal: Uuid,
    /// Octets of the file.
    pub octets: u64,
    /// Acknowledged entries; `None` when no signer has said so, as beside a copy.
    pub entries: Option<u64>,
    /// The last acknowledged entry's hash, in hexadecimal.
    pub head: Option<String>,
    /// Octets that a copy has not got; `None` when none was named.
    pub copy_behind_octets: Option<u64>,
}

/// Looks at a journal and perhaps at its copy, without reading either.
///
/// # Errors
/// [`CopyError`], also when the copy is another journal's.
pub fn stat(journal: &Path, copy: Option<&Path>) -> Result<Stat, CopyError> {
    let (file, header) = source(journal)?;
    let octets = file.metadata().map_err(failed(journal))?.len();
    let mark = acknowledged(journal, &header).ok();
    let copy_behind_octets = match copy {
        None => None,
        Some(path) => {
            let (copy, own) = source(path)?;
            if own != header {
                let (of, journal) = (identifier(&own), identifier(&header));
                return Err(CopyError::Foreign { copy: path.to_owned(), of, journal });
            }
            let copied = copy.metadata().map_err(failed(path))?.len();
            Some(mark.map_or(octets, |mark| mark.end).saturating_sub(copied))
        }
    };
    Ok(Stat {
        journal: identifier(&header),
        octets,
        entries: mark.map(|mark| mark.entries),
        head: mark.map(|mark| hex::encode(mark.head)),
        copy_behind_octets,
    })
}
