//! Key ceremonies: from one reviewable specification to tokens, keys, certificates, first CRLs and a transcript.
//!
//! A ceremony never overwrites: a token label, key or file that exists stops it before anything is changed. It drives
//! tokens through worker processes only, one per token, each with the token's own environment.

mod check;
mod error;
mod issue;
mod lint;
mod mistake;
mod output;
mod parse;
mod profile;
mod rehearsal;
mod section;
pub mod spec;
mod tokens;
pub mod transcript;

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use jiff::Timestamp;

pub use error::{CeremonyError, Fault};
pub use lint::machine;
pub use mistake::Mistake;
pub use parse::parse;

use issue::Issuer;
use output::Artefact;
use spec::Spec;
use tokens::{Pins, Tokens};
use transcript::{FileRecord, Kind, Step, Transcript};

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
}

/// Told of each step, in words for people.
pub type Tell<'a> = dyn FnMut(&str) + 'a;

/// Reads and checks a specification.
///
/// # Errors
/// [`CeremonyError::Unreadable`], or [`CeremonyError::Mistakes`] with all of them.
pub fn load(path: &Path) -> Result<Loaded, CeremonyError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| CeremonyError::Unreadable { path: path.to_owned(), cause })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let spec = parse(&text, folder).map_err(CeremonyError::Mistakes)?;
    Ok(Loaded { spec, text })
}

/// Holds the ceremony and puts its files into `out`, which must be absent or empty.
///
/// # Errors
/// [`CeremonyError`]; which of them left something changed is said there.
pub async fn run(loaded: &Loaded, out: &Path, tell: &mut Tell<'_>) -> Result<Outcome, CeremonyError> {
    let mistakes = machine(&loaded.spec);
    if !mistakes.is_empty() {
        return Err(CeremonyError::Mistakes(mistakes));
    }
    if let Some(obstacle) = output::obstacle(out) {
        return Err(CeremonyError::Refused(vec![obstacle]));
    }
    let pins = Pins::from_files(&loaded.spec).map_err(CeremonyError::Mistakes)?;
    let mut ceremony = Ceremony::new(&loaded.spec, &loaded.text, Kind::Ceremony, tell);
    let mut tokens = Tokens::inspect(&loaded.spec, &pins, ceremony.tell).await?;
    match ceremony.perform(&mut tokens, &pins).await.and_then(|artefacts| ceremony.publish(out, artefacts)) {
        Ok(outcome) => Ok(outcome),
        Err(cause) if ceremony.changed => Err(ceremony.abandon(out, cause)),
        Err(cause) => Err(CeremonyError::Failed(Box::new(cause))),
    }
}

/// Does everything that [`run`] does on throw-away software tokens with PINs of their own, and leaves only
/// `rehearsal.json` and `rehearsal.txt` in `out`. Modules other than SoftHSM's need `stand_in`, a SoftHSM library.
///
/// # Errors
/// [`CeremonyError`]; nothing but temporary files was changed.
pub async fn rehearse(
    loaded: &Loaded,
    out: &Path,
    stand_in: Option<&Path>,
    tell: &mut Tell<'_>,
) -> Result<Outcome, CeremonyError> {
    let stage = rehearsal::Stage::new(&loaded.spec, stand_in)?;
    let mut ceremony = Ceremony::new(&stage.spec, &loaded.text, Kind::Rehearsal, tell);
    let mut tokens = Tokens::inspect(&stage.spec, &stage.pins, ceremony.tell).await?;
    let result = ceremony.perform(&mut tokens, &stage.pins).await;
    result
        .and_then(|artefacts| ceremony.keep_transcript(out, &artefacts))
        .map_err(|e| CeremonyError::Failed(Box::new(e)))
}

/// A ceremony in progress.
struct Ceremony<'a, 't> {
    spec: &'a Spec,
    spec_text: &'a str,
    transcript: Transcript,
    changed: bool,
    tell: &'a mut Tell<'t>,
}

impl<'a, 't> Ceremony<'a, 't> {
    fn new(spec: &'a Spec, spec_text: &'a str, kind: Kind, tell: &'a mut Tell<'t>) -> Self {
        let transcript = Transcript {
            format: 1,
            kind,
            ceremony: spec.name.clone(),
            program: concat!("inro-hsm ", env!("CARGO_PKG_VERSION")).to_owned(),
            started: now(),
            finished: None,
            spec_sha256: sha256(spec_text.as_bytes()),
            present: spec.present.clone(),
            tokens: Vec::new(),
            keys: Vec::new(),
            certificates: Vec::new(),
            crls: Vec::new(),
            steps: Vec::new(),
            files: Vec::new(),
            failure: None,
        };
        Self { spec, spec_text, transcript, changed: false, tell }
    }

    /// Records a step that was done.
    fn step(&mut self, what: String) {
        (self.tell)(&what);
        self.transcript.steps.push(Step { at: now(), what });
    }

    /// Initialises tokens, makes keys, signs everything and checks it. Ctrl-C ends it between two steps of a token.
    async fn perform(&mut self, tokens: &mut Tokens, pins: &Pins) -> Result<Vec<Artefact>, Fault> {
        let everything = async {
            tokens.open(self, pins).await?;
            let keys = tokens.make_keys(self).await?;
            let mut issuer = Issuer::new(keys);
            issuer.certificates(self, tokens).await?;
            issuer.crls(self, tokens).await?;
            Ok(issuer.artefacts())
        };
        let result = tokio::select! {
            result = everything => result,
            _ = tokio::signal::ctrl_c() => Err(Fault::Interrupted),
        };
        tokens.close().await;
        let mut artefacts = result?;
        artefacts.push(Artefact::public("ceremony.toml", self.spec_text.as_bytes().to_vec()));
        for Artefact { name, content, .. } in &artefacts {
            self.transcript.files.push(FileRecord { name: name.clone(), sha256: sha256(content) });
        }
        Ok(artefacts)
    }

    fn publish(&mut self, out: &Path, mut artefacts: Vec<Artefact>) -> Result<Outcome, Fault> {
        self.step(format!("everything is signed and checked; writing {}", out.display()));
        let transcripts = self.transcripts("transcript")?;
        let outcome = self.outcome(out, &transcripts);
        artefacts.extend(transcripts);
        output::publish(out, &artefacts)?;
        Ok(outcome)
    }

    /// Keeps nothing of a rehearsal but its transcript.
    fn keep_transcript(&mut self, out: &Path, artefacts: &[Artefact]) -> Result<Outcome, Fault> {
        let count = artefacts.len();
        self.step(format!("rehearsed to the end; {count} files and all tokens are thrown away"));
        let transcripts = self.transcripts("rehearsal")?;
        output::replace(out, &transcripts)?;
        Ok(self.outcome(out, &transcripts))
    }

    /// Records what was done before it failed.
    fn abandon(&mut self, out: &Path, cause: Fault) -> CeremonyError {
        self.transcript.kind = Kind::Incomplete;
        self.transcript.failure = Some(chain(&cause));
        let stamp = self.transcript.started.strftime("%Y%m%dT%H%M%SZ");
        let mut folder = out.as_os_str().to_owned();
        folder.push(format!(".incomplete-{stamp}"));
        let folder = PathBuf::from(folder);
        let kept =
            self.transcripts("transcript").and_then(|transcripts| output::publish(&folder, &transcripts));
        if let Err(error) = kept {
            tracing::error!("the transcript of what was done can't be kept: {}", chain(&error));
        }
        CeremonyError::HalfWay { transcript: folder, cause: Box::new(cause) }
    }

    fn transcripts(&mut self, stem: &str) -> Result<Vec<Artefact>, Fault> {
        self.transcript.finished = Some(now());
        let json = self
            .transcript
            .to_json()
            .map_err(|e| Fault::Encoding { what: stem.into(), cause: e.to_string() })?;
        let text = self.transcript.to_text(&sha256(&json)).into_bytes();
        Ok(vec![
            Artefact::internal(format!("{stem}.json"), json),
            Artefact::internal(format!("{stem}.txt"), text),
        ])
    }

    fn outcome(&self, folder: &Path, transcripts: &[Artefact]) -> Outcome {
        let record = |file: &Artefact| FileRecord { name: file.name.clone(), sha256: sha256(&file.content) };
        Outcome {
            folder: folder.to_owned(),
            transcript: self.transcript.clone(),
            transcript_files: transcripts.iter().map(record).collect(),
        }
    }
}

/// This second.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// SHA-256 in hexadecimal.
fn sha256(data: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, data))
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
