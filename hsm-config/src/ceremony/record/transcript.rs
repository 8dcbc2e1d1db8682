//! What a log amounts to: where a ceremony stands, and the transcript of it. It holds no secret.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::event::{
    CertificateRecord, CopyRecord, CrlRecord, DestroyedRecord, Event, FileRecord, Header, KeyRecord, Octets,
    Outcome, PersonRecord, RequestRecord, SignerRecord, Task, TokenRecord,
};
use super::log::{Chain, Entry};

/// Everything that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transcript {
    /// Version of this format.
    pub format: u32,
    /// What it records.
    pub kind: Kind,
    /// What the ceremony is for.
    pub purpose: crate::ceremony::spec::Kind,
    /// The ceremony's title.
    pub ceremony: String,
    /// The program and its version.
    pub program: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Hash of the specification, hexadecimal.
    pub spec_sha256: String,
    /// Who was present, by the specification.
    pub present: Vec<PersonRecord>,
    /// The files that the specification brought in.
    pub inputs: Vec<FileRecord>,
    /// The tokens used.
    pub tokens: Vec<TokenRecord>,
    /// The keys made and used.
    pub keys: Vec<KeyRecord>,
    /// The keys copied.
    pub copies: Vec<CopyRecord>,
    /// The requests signed.
    pub requests: Vec<RequestRecord>,
    /// The certificates signed.
    pub certificates: Vec<CertificateRecord>,
    /// The CRLs signed.
    pub crls: Vec<CrlRecord>,
    /// The keys destroyed.
    pub destroyed: Vec<DestroyedRecord>,
    /// Every step in its order.
    pub steps: Vec<Step>,
    /// The files written, except the transcript's own.
    pub files: Vec<FileRecord>,
    /// Whose keys sign this transcript.
    pub signers: Vec<SignerRecord>,
    /// What stopped it last, if something did.
    pub failure: Option<String>,
    /// How many lines the log has.
    pub log_lines: usize,
    /// SHA-256 of the log's last line, on which all others hang, hexadecimal.
    pub log_sha256: String,
}

/// What a transcript records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A ceremony that was completed.
    Ceremony,
    /// A rehearsal on throw-away tokens. Its keys and certificates no longer exist.
    Rehearsal,
    /// A ceremony that stopped half-way.
    Incomplete,
    /// A ceremony that was taken back.
    RolledBack,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub what: String,
}

/// A task that began and isn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The task.
    pub task: Task,
    /// What it will sign, if something.
    pub tbs: Option<Vec<u8>>,
}

/// Where a ceremony stands.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// What is done and wasn't taken back.
    pub done: BTreeSet<Task>,
    /// What began and isn't done.
    pub begun: Option<Begun>,
    /// What was taken back.
    pub undone: BTreeSet<Task>,
    /// Everything that was made so far.
    pub outcomes: Vec<Outcome>,
    /// The tokens as they were opened, the last time of each.
    pub tokens: Vec<TokenRecord>,
    /// Files and signers, once it is finished.
    pub finished: Option<(Vec<FileRecord>, Vec<SignerRecord>)>,
    /// Whether it was taken back.
    pub rolled_back: bool,
    /// What stopped it last.
    pub failure: Option<String>,
}

impl Progress {
    /// Reads a log's lines.
    pub fn of(entries: &[Entry]) -> Self {
        let mut progress = Self::default();
        for entry in entries {
            progress.note(&entry.event);
        }
        progress
    }

    /// One more line.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Began(_) | Event::Entrusted { .. } => {}
            Event::Resumed => self.failure = None,
            Event::Opened(token) => {
                self.tokens.retain(|known| known.name != token.name);
                self.tokens.push(token.clone());
            }
            Event::Begun { task, tbs } => {
                let tbs = tbs.as_ref().map(|Octets(tbs)| tbs.clone());
                self.begun = Some(Begun { task: task.clone(), tbs });
            }
            Event::Done { task, outcome } => {
                self.begun = None;
                self.done.insert(task.clone());
                self.outcomes.push((**outcome).clone());
            }
            Event::Stopped { failure } => self.failure = Some(failure.clone()),
            Event::Undone { task } => {
                self.undone.insert(task.clone());
            }
            Event::RolledBack => self.rolled_back = true,
            Event::Finished { files, signers } => {
                self.failure = None;
                self.finished = Some((files.clone(), signers.clone()));
            }
        }
    }

    /// The keys made and found.
    pub fn keys(&self) -> impl Iterator<Item = &KeyRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Key(key) => Some(key),
            _ => None,
        })
    }

    /// The certificates signed.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Certificate(certificate) => Some(certificate),
            _ => None,
        })
    }

    /// The requests signed.
    pub fn requests(&self) -> impl Iterator<Item = &RequestRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Request(request) => Some(request),
            _ => None,
        })
    }

    /// The CRLs signed.
    pub fn crls(&self) -> impl Iterator<Item = &CrlRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Crl(crl) => Some(crl),
            _ => None,
        })
    }

    /// The keys copied.
    pub fn copies(&self) -> impl Iterator<Item = &CopyRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Copy(copy) => Some(copy),
            _ => None,
        })
    }

    /// The keys destroyed.
    pub fn destroyed(&self) -> impl Iterator<Item = &DestroyedRecord> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Destroyed(destroyed) => Some(destroyed),
            _ => None,
        })
    }
}

impl Transcript {
    /// What a log amounts to; `None` for one without a beginning, which [`Chain::parse`] doesn't return.
    pub fn of(chain: &Chain) -> Option<Self> {
        let Chain { entries, head, .. } = chain;
        let first = entries.first()?;
        let Event::Began(header) = &first.event else { return None };
        let Header { format, rehearsal, purpose, ceremony, program, spec_sha256, present, inputs } =
            (**header).clone();
        let progress = Progress::of(entries);
        let ended = progress.finished.is_some() || progress.rolled_back;
        let finished = entries.last().filter(|_| ended).map(|entry| entry.at);
        let kind = match (&progress.finished, progress.rolled_back) {
            (_, true) => Kind::RolledBack,
            (None, _) => Kind::Incomplete,
            (Some(_), _) if rehearsal => Kind::Rehearsal,
            (Some(_), _) => Kind::Ceremony,
        };
        let steps = entries.iter().filter(|entry| !matches!(entry.event, Event::Begun { .. }));
        let steps = steps.map(|entry| Step { at: entry.at, what: entry.what.clone() }).collect();
        Some(Self {
            format,
            kind,
            purpose,
            ceremony,
            program,
            started: first.at,
            finished,
            spec_sha256,
            present,
            inputs,
            keys: progress.keys().cloned().collect(),
            copies: progress.copies().cloned().collect(),
            requests: progress.requests().cloned().collect(),
            certificates: progress.certificates().cloned().collect(),
            crls: progress.crls().cloned().collect(),
            destroyed: progress.destroyed().cloned().collect(),
            tokens: progress.tokens,
            steps,
            files: progress.finished.as_ref().map_or_else(Vec::new, |(files, _)| files.clone()),
            signers: progress.finished.map_or_else(Vec::new, |(_, signers)| signers),
            failure: progress.failure,
            log_lines: entries.len(),
            log_sha256: head.clone(),
        })
    }

    /// The record as JSON.
    ///
    /// # Errors
    /// None in practice; `serde_json`'s.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}
