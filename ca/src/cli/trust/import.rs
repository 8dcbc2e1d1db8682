//! Makers' certificates into the draft.

use std::path::{Path, PathBuf};

use ca_core::{
    app::trust::TrustDesk,
    domain::{
        attestation::{Anchor, ChainError, MakerCertificate, Purpose, Trust},
        trust::{Bundle, TrustedAnchor, sha256},
    },
};
use jiff::Timestamp;
use serde::Serialize;

use super::{Adding, Maker, draft};
use crate::{
    cli::{
        exit::{CliError, Exit},
        output::{Output, table},
    },
    material::trust::{
        import::{Found, haul},
        known::{self, Known},
        purpose_by_name,
    },
};

/// What became of a certificate or a file.
#[derive(Clone, Debug, Serialize)]
struct Line {
    from: String,
    sha256: Option<String>,
    subject: Option<String>,
    /// `added`, `known`, `passed`, `unknown` or `fault`.
    what: &'static str,
    why: String,
}

#[derive(Serialize)]
struct Report<'a> {
    draft: String,
    added: usize,
    unknown: Vec<&'a str>,
    lines: &'a [Line],
}

/// A certificate that was read.
struct Candidate {
    found: Found,
    sha256: [u8; 32],
    certificate: MakerCertificate,
}

struct Importer<'a> {
    bundle: Bundle,
    maker: Maker,
    adding: &'a Adding,
    now: Timestamp,
    lines: Vec<Line>,
    added: usize,
}

pub(super) async fn run(
    desk: &TrustDesk,
    maker: Maker,
    files: &[PathBuf],
    adding: &Adding,
    output: Output,
) -> Result<(), CliError> {
    let bundle = draft::open(desk, &adding.draft.draft).await?;
    let mut importer = Importer { bundle, maker, adding, now: desk.clock.now(), lines: Vec::new(), added: 0 };
    let haul = haul(files);
    for fault in haul.faults {
        importer.line((fault.from, None), "fault", fault.problem);
    }
    let mut candidates: Vec<Candidate> =
        haul.found.into_iter().filter_map(|found| importer.read(found)).collect();
    candidates.retain(|candidate| !importer.settle(candidate));
    importer.vouched_for(&mut candidates);
    for left in &candidates {
        importer.left(left);
    }
    importer.end(output)
}

pub(super) async fn add(
    desk: &TrustDesk,
    file: &Path,
    (purpose, source): (Purpose, &str),
    adding: &Adding,
    output: Output,
) -> Result<(), CliError> {
    let bundle = draft::open(desk, &adding.draft.draft).await?;
    let maker = if purpose == Purpose::TpmMaker { Maker::Tpm } else { Maker::Yubico };
    let mut importer = Importer { bundle, maker, adding, now: desk.clock.now(), lines: Vec::new(), added: 0 };
    let haul = haul(&[file.to_owned()]);
    for fault in haul.faults {
        importer.line((fault.from, None), "fault", fault.problem);
    }
    for candidate in haul.found.into_iter().filter_map(|found| importer.read(found)).collect::<Vec<_>>() {
        if adding.accept.contains(&candidate.sha256) {
            importer.take(&candidate, purpose, source, "named by --accept");
        } else {
            importer.left(&candidate);
        }
    }
    importer.end(output)
}

impl Importer<'_> {
    fn line(&mut self, (from, of): (String, Option<&Candidate>), what: &'static str, why: impl Into<String>) {
        let sha256 = of.map(|candidate| hex::encode(candidate.sha256));
        let subject = of.map(|candidate| candidate.certificate.subject());
        self.lines.push(Line { from, sha256, subject, what, why: why.into() });
    }

    fn about(&mut self, candidate: &Candidate, what: &'static str, why: impl Into<String>) {
        self.line((candidate.found.from.clone(), Some(candidate)), what, why);
    }

    /// A CA certificate that is valid now; everything else is told and left.
    fn read(&mut self, found: Found) -> Option<Candidate> {
        let certificate = match MakerCertificate::read(&found.der) {
            Ok(certificate) => certificate,
            Err(error) => {
                self.line(
                    (found.from, None),
                    "fault",
                    format!("it isn't a certificate that can be read: {error}"),
                );
                return None;
            }
        };
        let candidate = Candidate { sha256: sha256(&found.der), found, certificate };
        let accepted = self.adding.accept.contains(&candidate.sha256);
        // A TPM maker's root is believed for its octets: that it signed itself over SHA-1 says nothing.
        let by_octets = self.maker == Maker::Tpm && candidate.certificate.trust() == Trust::Root;
        match candidate.certificate.check_ca() {
            Ok(()) => {}
            Err(ChainError::Algorithm) if by_octets => {}
            Err(error) => {
                let more = if error == ChainError::Algorithm { " (such as one over SHA-1)" } else { "" };
                self.about(&candidate, "fault", format!("{error}{more}"));
                return None;
            }
        }
        if candidate.certificate.check_time(self.now).is_err() && !accepted {
            self.about(&candidate, "fault", "it isn't valid at this time; --accept takes it all the same");
            return None;
        }
        Some(candidate)
    }

    /// What is decided without a look at the others.
    fn settle(&mut self, candidate: &Candidate) -> bool {
        let standing = self.bundle.find(&candidate.sha256);
        let accepted = self.adding.accept.contains(&candidate.sha256);
        match (standing.map(|anchor| anchor.retired_at), known::find(&candidate.sha256)) {
            (Some(None), _) => self.about(candidate, "known", "it is in the bundle"),
            (Some(Some(at)), _) if !accepted => {
                self.about(candidate, "passed", format!("it was retired at {at}; --accept takes it back"));
            }
            (_, Some(known)) if self.is_theirs(known) => {
                let why = if known.confirmed {
                    format!("published by {}", known.maker)
                } else {
                    format!(
                        "known as {}'s from collections alone: compare it with what they publish",
                        known.maker
                    )
                };
                self.take(candidate, known.purpose, &known.source, &why);
            }
            _ if accepted => {
                let purpose = match self.maker {
                    Maker::Tpm => Purpose::TpmMaker,
                    Maker::Yubico => purpose_by_name(&candidate.found.der).unwrap_or(Purpose::Link),
                };
                let from = candidate.found.from.clone();
                self.take(candidate, purpose, &from, "named by --accept");
            }
            _ => return false,
        }
        true
    }

    fn is_theirs(&self, known: &Known) -> bool {
        (self.maker == Maker::Tpm) == (known.purpose == Purpose::TpmMaker)
    }

    /// TPM makers have hundreds of intermediates: each counts when a standing anchor signed it, by its key.
    fn vouched_for(&mut self, candidates: &mut Vec<Candidate>) {
        if self.maker != Maker::Tpm {
            return;
        }
        loop {
            let standing = self.bundle.standing();
            let of_makers = standing.iter().filter(|anchor| anchor.purpose == Purpose::TpmMaker);
            let above: Vec<MakerCertificate> =
                of_makers.filter_map(|anchor| MakerCertificate::read(&anchor.der).ok()).collect();
            let is_vouched_for = |candidate: &Candidate| {
                candidate.certificate.trust() == Trust::Intermediate
                    && above.iter().any(|above| candidate.certificate.is_issued_by(above))
            };
            let (vouched, left): (Vec<_>, Vec<_>) = candidates.drain(..).partition(is_vouched_for);
            *candidates = left;
            if vouched.is_empty() {
                return;
            }
            for candidate in vouched {
                let from = candidate.found.from.clone();
                let why = format!("signed by {}", candidate.certificate.issuer());
                self.take(&candidate, Purpose::TpmMaker, &from, &why);
            }
        }
    }

    fn take(&mut self, candidate: &Candidate, purpose: Purpose, source: &str, why: &str) {
        let note = if self.adding.note.is_empty() { why.to_owned() } else { self.adding.note.clone() };
        match self.bundle.anchors.iter_mut().find(|anchor| anchor.sha256() == candidate.sha256) {
            Some(anchor) if anchor.retired_at.is_none() => {
                return self.about(candidate, "known", "it is in the bundle");
            }
            Some(anchor) => {
                anchor.retired_at = None;
                anchor.anchor.purpose = purpose;
                anchor.note = [anchor.note.as_str(), "taken back", &note].join("; ");
            }
            None => self.bundle.anchors.push(TrustedAnchor {
                anchor: Anchor {
                    der: candidate.found.der.clone(),
                    trust: candidate.certificate.trust(),
                    purpose,
                },
                source: source.to_owned(),
                note,
                added_at: self.now,
                retired_at: None,
            }),
        }
        self.added += 1;
        self.about(candidate, "added", why);
    }

    /// What nobody vouches for.
    fn left(&mut self, candidate: &Candidate) {
        if self.maker == Maker::Yubico && candidate.certificate.trust() == Trust::Intermediate {
            return self.about(candidate, "passed", "not one of Yubico's for PIV attestation");
        }
        let why = match candidate.certificate.trust() {
            Trust::Root => {
                "Inro doesn't know it: compare the SHA-256 with what its maker publishes, then --accept it"
            }
            Trust::Intermediate => "no root in the bundle leads to it: import its root first, or --accept it",
        };
        self.about(candidate, "unknown", why);
    }

    fn end(mut self, output: Output) -> Result<(), CliError> {
        let path = &self.adding.draft.draft;
        if self.added > 0 {
            let line = format!("added {} anchors", self.added);
            draft::comment(&mut self.bundle, &line);
            draft::save(path, &self.bundle)?;
        }
        let unknown = self.lines.iter().filter(|line| line.what == "unknown");
        let unknown: Vec<&str> = unknown.filter_map(|line| line.sha256.as_deref()).collect();
        let report =
            Report { draft: path.display().to_string(), added: self.added, unknown, lines: &self.lines };
        output.result(&report, |out| {
            let mut rows = vec![["WHAT", "SHA-256", "SUBJECT", "FROM", "WHY"].map(String::from).to_vec()];
            rows.extend(self.lines.iter().map(|line| {
                let sha256 = line.sha256.clone().unwrap_or_else(|| "-".to_owned());
                let sha256 = if line.what == "unknown" { sha256 } else { sha256.chars().take(16).collect() };
                let subject = line.subject.clone().unwrap_or_else(|| "-".to_owned());
                vec![line.what.to_owned(), sha256, subject, line.from.clone(), line.why.clone()]
            }));
            table(out, &rows)?;
            match self.added {
                0 => writeln!(out, "Nothing was added."),
                added => {
                    writeln!(out, "{added} anchors were added.")?;
                    draft::next(out, path)
                }
            }
        })?;
        let any = |what: &[&str]| self.lines.iter().any(|line| what.contains(&line.what));
        if self.added == 0 && any(&["unknown", "fault"]) && !any(&["known"]) {
            let why = anyhow::anyhow!("none of the certificates could be added");
            return Err(CliError::new(Exit::Refused, why));
        }
        Ok(())
    }
}
