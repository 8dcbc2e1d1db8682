//! Key ceremonies: from one reviewable specification to tokens, keys, certificates, CRLs and a transcript that can be
//! checked for as long as the certificates are kept.
//!
//! ```text
//! specification → lint → plan      what would be done, against the tokens as they are
//!                      → rehearse  all of it, on throw-away tokens
//!                      → run       → transcript, signed by keys and people → verify
//!                          interrupted → run --resume | rollback
//! ```
//! A ceremony never overwrites: a token label, key or file that exists stops it before anything is changed. It drives
//! tokens through worker processes only, one per token, each with the token's own environment. Each task is noted in a log
//! before it begins and after it is done ([`record`]), in a folder beside the output that becomes the output at the end.

pub mod attestation;
mod check;
mod error;
mod facts;
pub mod fingerprint;
mod folder;
mod lint;
mod output;
pub mod plan;
mod profile;
pub mod record;
mod rehearsal;
pub mod spec;
mod work;

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use der::pem::{self, LineEnding};
use jiff::Timestamp;

pub use error::{CeremonyError, Fault};
pub use lint::machine;
pub use record::verify::verify;
pub use spec::mistake::Mistake;
pub use spec::parse::parse;
pub use work::Leader;

use crate::clock;
use crate::custody::People;
use folder::{beside, create, in_the_way, interrupted, is_blank, open, published, remove, unfinished};
use output::Artefact;
use record::event::{Event, FileRecord, Header, PersonRecord, SignerRecord, Task};
use record::transcript::{Progress, Transcript};
use record::{JSON, LOG, TEXT};
use spec::Spec;
use work::pins::Pins;
use work::tokens::{Obstacle, Tokens};
use work::{Finished, Work};

/// A specification as read from its file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub spec: Spec,
    /// The file's content, which is copied beside the output.
    pub text: String,
}

/// What a ceremony or rehearsal leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The folder with its files.
    pub folder: PathBuf,
    /// What happened.
    pub transcript: Transcript,
    /// SHA-256 of the transcript's files, to be read out and noted by those present.
    pub transcript_files: Vec<FileRecord>,
    /// Whose signatures under the transcript are still to come, from elsewhere.
    pub awaited: Vec<SignerRecord>,
}

/// How [`run`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning; an interrupted ceremony stands in the way.
    Afresh,
    /// Where it was interrupted.
    Resuming,
}

/// Reads and checks a specification.
///
/// # Errors
/// [`CeremonyError::Unreadable`], or [`CeremonyError::Mistakes`] with all of them.
pub fn load(path: &Path) -> Result<Loaded, CeremonyError> {
    let text = fs::read_to_string(path)
        .map_err(|cause| CeremonyError::Unreadable { path: path.to_owned(), cause })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let spec = parse(&text, folder).map_err(CeremonyError::Mistakes)?;
    Ok(Loaded { spec, text })
}

/// Looks at the tokens and tells what would be done, and what stands in the way of it. Changes nothing.
///
/// # Errors
/// [`CeremonyError`].
pub async fn plan(
    loaded: &Loaded,
    out: &Path,
    leader: &mut dyn Leader,
    people: &mut dyn People,
) -> Result<plan::Plan, CeremonyError> {
    let mistakes = machine(&loaded.spec);
    if !mistakes.is_empty() {
        return Err(CeremonyError::Mistakes(mistakes));
    }
    let log = unfinished(out).join(LOG);
    let progress = if log.exists() { Progress::of(&open(&log)?.chain.entries) } else { Progress::default() };
    let pins = Pins::gather(&loaded.spec, people)?;
    let (mut tokens, obstacles) = look(&loaded.spec, &pins, &progress, leader).await?;
    tokens.close().await;
    let mut plan = plan::Plan::new(&loaded.spec, &progress, &obstacles);
    plan.in_the_way.extend(output::obstacle(out));
    Ok(plan)
}

/// Holds the ceremony and puts its files into `out`, which must be absent or empty.
///
/// # Errors
/// [`CeremonyError`]; which of them left something changed is said there.
pub async fn run(
    loaded: &Loaded,
    out: &Path,
    start: Start,
    leader: &mut dyn Leader,
    people: &mut dyn People,
) -> Result<Outcome, CeremonyError> {
    let spec = &loaded.spec;
    let mistakes = machine(spec);
    if !mistakes.is_empty() {
        return Err(CeremonyError::Mistakes(mistakes));
    }
    let folder = unfinished(out);
    if let Some(outcome) = published(out, &folder) {
        return Ok(outcome);
    }
    if let Some(obstacle) = output::obstacle(out) {
        return Err(CeremonyError::Refused(vec![obstacle]));
    }
    if is_blank(&folder) {
        remove(&folder);
    }
    let log = match start {
        Start::Resuming => Some(interrupted(loaded, &folder)?),
        Start::Afresh if folder.exists() => return Err(CeremonyError::Refused(vec![in_the_way(&folder)])),
        Start::Afresh => None,
    };
    let progress = log.as_ref().map_or_else(Progress::default, |log| Progress::of(&log.chain.entries));
    let pins = Pins::gather(spec, people)?;
    let (mut tokens, obstacles) = look(spec, &pins, &progress, leader).await?;
    if !obstacles.is_empty() {
        tokens.close().await;
        return Err(CeremonyError::Refused(obstacles.into_iter().map(|obstacle| obstacle.text).collect()));
    }
    let log = match log {
        Some(log) => log,
        None => create(&folder)?,
    };
    let mut work = Work::new((spec, &pins), false, log, tokens, leader);
    match hold(&mut work, loaded, start).await {
        Ok(finished) => publish(out, &folder, finished, &mut work).await,
        Err(cause) => {
            work.tokens.close().await;
            Err(stopped(&work, folder, cause))
        }
    }
}

/// Does everything that [`run`] does on throw-away software tokens with PINs of their own, and leaves only
/// `rehearsal.json` and `rehearsal.txt` in `out`. Keys and certificates that exist have stand-ins. Modules other than
/// SoftHSM's need `stand_in`, a SoftHSM library.
///
/// # Errors
/// [`CeremonyError`]; nothing but temporary files was changed.
pub async fn rehearse(
    loaded: &Loaded,
    out: &Path,
    stand_in: Option<&Path>,
    leader: &mut dyn Leader,
) -> Result<Outcome, CeremonyError> {
    let stage = rehearsal::Stage::new(&loaded.spec, stand_in, leader).await?;
    let failed = |cause| CeremonyError::Failed(Box::new(cause));
    let progress = Progress::default();
    let (mut tokens, obstacles) = look(&stage.spec, &stage.pins, &progress, leader).await?;
    if !obstacles.is_empty() {
        tokens.close().await;
        return Err(CeremonyError::Refused(obstacles.into_iter().map(|obstacle| obstacle.text).collect()));
    }
    let log = create(&stage.folder())?;
    let mut work = Work::new((&stage.spec, &stage.pins), true, log, tokens, leader);
    let finished = hold(&mut work, loaded, Start::Afresh).await;
    work.tokens.close().await;
    let finished = finished.map_err(failed)?;
    let kept: Vec<Artefact> = finished.artefacts.iter().filter_map(rehearsed).collect();
    output::replace(out, &kept).map_err(failed)?;
    work.leader.tell("all throw-away tokens are thrown away");
    let transcript_files =
        kept.iter().map(|file| FileRecord { name: file.name.clone(), sha256: sha256(&file.content) });
    Ok(Outcome {
        folder: out.to_owned(),
        transcript: finished.transcript,
        transcript_files: transcript_files.collect(),
        awaited: Vec::new(),
    })
}

/// Takes an interrupted ceremony back: destroys the keys and empties the tokens that it made, and keeps the transcript of
/// that in a folder beside `out`.
///
/// # Errors
/// [`CeremonyError`].
pub async fn roll_back(
    loaded: &Loaded,
    out: &Path,
    leader: &mut dyn Leader,
    people: &mut dyn People,
) -> Result<Outcome, CeremonyError> {
    let spec = &loaded.spec;
    let folder = unfinished(out);
    let log = interrupted(loaded, &folder)?;
    let progress = Progress::of(&log.chain.entries);
    let destruction = |task: &Task| matches!(task, Task::DestroyKey(_));
    let why = if progress.done.iter().any(destruction) {
        Some("a key was destroyed, which nothing brings back")
    } else if progress.begun.as_ref().is_some_and(|begun| destruction(&begun.task)) {
        Some("the destruction of a key has begun, which nothing brings back if it was done")
    } else {
        progress.finished.as_ref().map(|_| "everything is done")
    };
    if let Some(why) = why {
        let obstacle = format!("{why}: go on with `inro-hsm ceremony run --resume`");
        return Err(CeremonyError::Refused(vec![obstacle]));
    }
    let pins = Pins::gather(spec, people)?;
    let failed = |cause| CeremonyError::NotRolledBack(Box::new(cause));
    let tokens = Tokens::for_rollback(spec, &pins, &progress, leader).await.map_err(failed)?;
    let mut work = Work::new((spec, &pins), false, log, tokens, leader);
    let result = if work.progress.rolled_back { Ok(()) } else { work.roll_back().await };
    work.tokens.close().await;
    result.map_err(failed)?;
    let transcript = Transcript::of(&work.log.chain).ok_or_else(|| failed(Fault::Interrupted))?;
    let (_, files) = work.transcript_artefacts(&transcript).map_err(failed)?;
    let stamp = transcript.started.strftime("%Y%m%dT%H%M%SZ");
    let kept = beside(out, &format!(".rolled-back-{stamp}"));
    if output::obstacle(&kept).is_none() {
        output::publish(&kept, &files).map_err(failed)?;
    }
    remove(&folder);
    let transcript_files = files
        .iter()
        .map(|file| FileRecord { name: file.name.clone(), sha256: sha256(&file.content) })
        .collect();
    Ok(Outcome { folder: kept, transcript, transcript_files, awaited: Vec::new() })
}

/// Everything between the first look and the files.
async fn hold(work: &mut Work<'_, '_>, loaded: &Loaded, start: Start) -> Result<Finished, Fault> {
    match start {
        Start::Afresh => {
            let header = header(loaded, work.rehearsal);
            work.note(format!("began: {}", header.ceremony), Event::Began(Box::new(header)))?;
            let began = work.started();
            work.leader.tell(&format!("certificates begin now, which is {began} by this host's clock"));
        }
        Start::Resuming => work.note("goes on after an interruption".to_owned(), Event::Resumed)?,
    }
    work.perform().await?;
    work.finish(&loaded.text).await
}

fn header(loaded: &Loaded, rehearsal: bool) -> Header {
    let Loaded { spec, text } = loaded;
    let present = spec.present.iter().map(|person| PersonRecord {
        name: person.name.clone(),
        role: person.role.clone(),
        certificate_sha256: person.signs.as_ref().map(|signs| sha256(&signs.certificate.der)),
    });
    let record = |input: &spec::Input| FileRecord { name: input.name(), sha256: sha256(&input.der) };
    Header {
        format: 2,
        rehearsal,
        purpose: spec.kind,
        ceremony: spec.name.clone(),
        program: concat!("inro-hsm ", env!("CARGO_PKG_VERSION")).to_owned(),
        spec_sha256: sha256(text.as_bytes()),
        present: present.collect(),
        inputs: spec.inputs().into_iter().map(record).collect(),
    }
}

async fn look(
    spec: &Spec,
    pins: &Pins,
    progress: &Progress,
    leader: &mut dyn Leader,
) -> Result<(Tokens, Vec<Obstacle>), CeremonyError> {
    let looked = Tokens::inspect(spec, pins, progress, leader).await;
    looked.map_err(|cause| CeremonyError::Failed(Box::new(cause)))
}

async fn publish(
    out: &Path,
    folder: &Path,
    finished: Finished,
    work: &mut Work<'_, '_>,
) -> Result<Outcome, CeremonyError> {
    work.tokens.close().await;
    let Finished { artefacts, transcript, transcript_files, awaited } = finished;
    work.leader.tell(&format!("everything is signed and checked; writing {}", out.display()));
    if let Err(cause) = output::publish(out, &artefacts) {
        return Err(CeremonyError::HalfWay { folder: folder.to_owned(), cause: Box::new(cause) });
    }
    remove(folder);
    Ok(Outcome { folder: out.to_owned(), transcript, transcript_files, awaited })
}

/// A ceremony that changed nothing leaves nothing; any other can be resumed or taken back.
fn stopped(work: &Work<'_, '_>, folder: PathBuf, cause: Fault) -> CeremonyError {
    let cause = Box::new(cause);
    let changes =
        |event: &Event| matches!(event, Event::Begun { task, .. } if !matches!(task, Task::FindKey(_)));
    if work.log.chain.entries.iter().any(|entry| changes(&entry.event)) {
        CeremonyError::HalfWay { folder, cause }
    } else {
        remove(&folder);
        CeremonyError::Failed(cause)
    }
}

/// What a rehearsal keeps, under names of its own.
fn rehearsed(artefact: &Artefact) -> Option<Artefact> {
    let name = match artefact.name.as_str() {
        JSON => "rehearsal.json",
        TEXT => "rehearsal.txt",
        _ => return None,
    };
    Some(Artefact::internal(name, artefact.content.clone()))
}

/// This second. A clock that jumps while a ceremony is held isn't followed.
fn now() -> Timestamp {
    let now = clock::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// SHA-256 in hexadecimal.
fn sha256(data: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, data))
}

fn to_pem(label: &'static str, der: &[u8]) -> String {
    // Fails on lengths that nothing here ever has.
    pem::encode_string(label, LineEnding::LF, der).unwrap_or_default()
}
