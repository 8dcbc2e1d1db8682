//! The folder of a ceremony that isn't finished: where it is, whose it is, and when it goes.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::error::CeremonyError;
use super::output;
use super::record::event::{Event, FileRecord, SignerRecord};
use super::record::log::{self, Log, OpenError};
use super::record::transcript::Transcript;
use super::record::{JSON, LOG, TEXT};
use super::{Loaded, Outcome, header, now, sha256};

/// A clock may be put right by so much.
const CORRECTION: SignedDuration = SignedDuration::from_mins(1);

/// What a ceremony left that was interrupted after the very last step: its log is in the output already.
pub(super) fn published(out: &Path, folder: &Path) -> Option<Outcome> {
    let own = fs::read(folder.join(LOG)).ok()?;
    let log = fs::read(out.join(LOG)).ok().filter(|log| *log == own)?;
    let transcript = Transcript::of(&log::Chain::parse(&log).ok()?)?;
    let hash = |name: &str| {
        let content = fs::read(out.join(name)).ok()?;
        Some(FileRecord { name: name.to_owned(), sha256: sha256(&content) })
    };
    let transcript_files = [JSON, TEXT, LOG].into_iter().filter_map(hash).collect();
    let absent = |signer: &&SignerRecord| !out.join(&signer.file).exists();
    let awaited = transcript.signers.iter().filter(absent).cloned().collect();
    remove(folder);
    Some(Outcome { folder: out.to_owned(), transcript, transcript_files, awaited })
}

/// Whether a log's folder is there, and nothing was noted in it yet.
pub(super) fn is_blank(folder: &Path) -> bool {
    folder.exists() && !fs::read(folder.join(LOG)).is_ok_and(|log| log.contains(&b'\n'))
}

/// The log of an interrupted ceremony, if it is one of this very specification.
pub(super) fn interrupted(loaded: &Loaded, folder: &Path) -> Result<Log, CeremonyError> {
    let path = folder.join(LOG);
    if !path.exists() {
        let obstacle = format!("there is no interrupted ceremony in {}", folder.display());
        return Err(CeremonyError::Refused(vec![obstacle]));
    }
    let log = open(&path)?;
    let Some(Event::Began(began)) = log.chain.entries.first().map(|entry| &entry.event) else {
        return Err(CeremonyError::Refused(vec![format!("{} has no beginning", path.display())]));
    };
    let header = header(loaded, false);
    if began.spec_sha256 == header.spec_sha256 && began.inputs == header.inputs {
        return match log.chain.entries.last().and_then(|last| set_back(last.at, now())) {
            Some(obstacle) => Err(CeremonyError::Refused(vec![obstacle])),
            None => Ok(log),
        };
    }
    let obstacle = format!(
        "the interrupted ceremony in {} was of another specification, or of other files: give those it began with",
        folder.display()
    );
    Err(CeremonyError::Refused(vec![obstacle]))
}

/// Why a clock can't go on from the last line of a log.
fn set_back(last: Timestamp, now: Timestamp) -> Option<String> {
    (last.duration_since(now) > CORRECTION).then(|| {
        format!("this host's clock says {now}, and the last step of the interrupted ceremony is of {last}: set the clock right")
    })
}

pub(super) fn open(path: &Path) -> Result<Log, CeremonyError> {
    Log::open(path).map_err(|cause| CeremonyError::Log { path: path.to_owned(), cause })
}

pub(super) fn create(folder: &Path) -> Result<Log, CeremonyError> {
    let path = folder.join(LOG);
    let fault = |cause: OpenError| CeremonyError::Log { path: path.clone(), cause };
    output::private(folder).map_err(|e| fault(e.into()))?;
    Log::create(&path).map_err(fault)
}

pub(super) fn in_the_way(folder: &Path) -> String {
    format!(
        "an interrupted ceremony is in {}: go on with --resume, or take it back with `inro-hsm ceremony rollback`",
        folder.display()
    )
}

/// Where a ceremony's log is until it is finished.
pub(super) fn unfinished(out: &Path) -> PathBuf {
    beside(out, ".unfinished")
}

pub(super) fn beside(out: &Path, suffix: &str) -> PathBuf {
    let mut folder = out.as_os_str().to_owned();
    folder.push(suffix);
    PathBuf::from(folder)
}

/// Removes a log that is in the output by now, or of a ceremony that changed nothing.
pub(super) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!("{} can't be removed: {error}", folder.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_told_and_a_small_correction_borne() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).expect("a time");
        assert_eq!(set_back(at(0), at(86_400)), None, "resumed the next day");
        assert_eq!(set_back(at(30), at(0)), None);
        assert!(set_back(at(86_400), at(0)).is_some_and(|obstacle| obstacle.contains("set the clock right")));
    }
}
