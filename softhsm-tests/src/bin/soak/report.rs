//! What is known of each fault by its last run, in two files: `report.json`, which the next soak goes on from, and
//! `report.md`, for people.

use std::{
    fmt::{self, Display, Write as _},
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use softhsm_tests::soak::Outcome;

const JSON: &str = "report.json";
const TEXT: &str = "report.md";
/// Where a report goes that this program can't go on from.
const OLD: &str = "report.old.json";
/// Violations that are shown while it runs; the report has them all.
const SHOWN: usize = 20;

/// The report in its folder.
pub(crate) struct Report {
    folder: PathBuf,
    faults: Vec<Entry>,
}

/// One fault's last run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    fault: String,
    /// When it ended.
    at: Timestamp,
    small: bool,
    seed: u64,
    #[serde(flatten)]
    how: How,
    /// The scenario's own files, where it didn't hold.
    #[serde(default)]
    pub(crate) files: Option<PathBuf>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    /// To its end.
    Found(Found),
    /// Not so far; why.
    Error(String),
}

/// What a scenario found that ran to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// What was done and what must hold.
    pub(crate) invariant: String,
    /// What was counted and measured.
    pub(crate) figures: Map<String, Value>,
    /// What did not hold.
    pub(crate) violations: Vec<String>,
    /// How long it took.
    pub(crate) seconds: u64,
}

impl From<Outcome> for Found {
    fn from(outcome: Outcome) -> Self {
        let Outcome { invariant, figures, violations, seconds, .. } = outcome;
        Self { invariant: invariant.to_owned(), figures, violations, seconds }
    }
}

impl Entry {
    /// How a fault's run ended.
    pub(crate) fn new(fault: &str, at: Timestamp, seed: u64, small: bool, run: Result<Found>) -> Self {
        let how = run.map_or_else(|error| How::Error(format!("{error:#}")), How::Found);
        Self { fault: fault.to_owned(), at, small, seed, how, files: None }
    }

    /// Whether it ran to its end, and nothing was violated.
    pub(crate) fn held(&self) -> bool {
        matches!(&self.how, How::Found(found) if found.violations.is_empty())
    }

    fn verdict(&self) -> &'static str {
        match &self.how {
            How::Found(_) if self.held() => "held",
            How::Found(_) => "DID NOT HOLD",
            How::Error(_) => "COULD NOT BE RUN TO ITS END",
        }
    }

    fn text(&self, text: &mut String) -> fmt::Result {
        let size = if self.small { "small" } else { "full size" };
        writeln!(text, "\n## {} {}\n", self.fault, self.verdict())?;
        writeln!(text, "{size}, {:.0}, seed {}.", self.at, self.seed)?;
        match &self.how {
            How::Error(error) => writeln!(text, "\n{error}")?,
            How::Found(found) => {
                writeln!(text, "{}.\n", found.invariant)?;
                writeln!(text, "| figure | value |\n| --- | --- |\n| seconds | {} |", found.seconds)?;
                for (name, value) in &found.figures {
                    writeln!(text, "| {} | {value} |", name.replace('_', " "))?;
                }
                for violation in &found.violations {
                    writeln!(text, "\n- {violation}")?;
                }
            }
        }
        self.files.iter().try_for_each(|files| writeln!(text, "\nFiles: {}", files.display()))
    }
}

/// A line while it runs, and some more when it didn't hold.
impl Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict())?;
        if let How::Found(found) = &self.how {
            write!(f, ", {} s  {}", found.seconds, Value::from(found.figures.clone()))?;
        }
        self.files.iter().try_for_each(|files| write!(f, ", files in {}", files.display()))?;
        match &self.how {
            How::Error(error) => write!(f, ": {error}"),
            How::Found(found) => {
                found.violations.iter().take(SHOWN).try_for_each(|violation| write!(f, "\n     {violation}"))
            }
        }
    }
}

impl Report {
    /// Goes on from the report that is there.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join(JSON);
        let faults = match fs::read(&path) {
            Ok(content) => parse(&content).or_else(|error| set_aside(&path, &folder.join(OLD), &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        };
        Ok(Self { folder: folder.to_owned(), faults: faults? })
    }

    /// Writes down how a fault's run ended, in place of the run before. The faults are in the order of `names`.
    pub(crate) fn take(&mut self, entry: Entry, names: impl Iterator<Item = &'static str>) -> Result<()> {
        self.faults.retain(|other| other.fault != entry.fault);
        self.faults.push(entry);
        let names: Vec<_> = names.collect();
        self.faults.sort_by_key(|entry| names.iter().position(|name| *name == entry.fault));
        let mut text = "# Faults survived\n\nEach as it ended when it was last run.\n".to_owned();
        self.faults.iter().try_for_each(|entry| entry.text(&mut text))?;
        put(&self.folder.join(TEXT), &text)?;
        put(&self.folder.join(JSON), &(serde_json::to_string_pretty(&json!({"faults": self.faults}))? + "\n"))
    }
}

fn parse(content: &[u8]) -> serde_json::Result<Vec<Entry>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        faults: Vec<Entry>,
    }
    Ok(serde_json::from_slice::<Written>(content)?.faults)
}

fn set_aside(path: &Path, aside: &Path, why: &serde_json::Error) -> Result<Vec<Entry>> {
    fs::rename(path, aside).with_context(|| format!("setting {} aside", path.display()))?;
    let (path, aside) = (path.display(), aside.display());
    // Who can't read it is told by the report itself.
    let _ = writeln!(io::stderr(), "{path} is of another form ({why}) and now {aside}");
    Ok(Vec::new())
}

/// Whole or not at all: an interrupted soak doesn't cost what the ones before found.
fn put(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use softhsm_tests::scratch::Scratch;

    use super::*;

    fn entry(fault: &str, violation: Option<&str>) -> Entry {
        let found = Found {
            invariant: "it holds".to_owned(),
            figures: Map::from_iter([("kills".to_owned(), 200.into())]),
            violations: violation.map(str::to_owned).into_iter().collect(),
            seconds: 5,
        };
        Entry::new(fault, Timestamp::UNIX_EPOCH, 7, false, Ok(found))
    }

    fn order() -> impl Iterator<Item = &'static str> {
        ["R1", "R2", "R3"].into_iter()
    }

    #[test]
    fn a_run_of_one_fault_leaves_what_is_known_of_the_others() {
        let scratch = Scratch::new("report").expect("scratch");
        let text = || fs::read_to_string(scratch.join("report.md")).expect("a report");
        let mut first = Report::open(scratch.path()).expect("none yet");
        first.take(entry("R3", None), order()).expect("written");
        first.take(entry("R1", Some("a serial twice")), order()).expect("written");
        assert!(text().contains("## R1 DID NOT HOLD") && text().contains("- a serial twice"), "{}", text());
        // Another soak, which is interrupted after its only fault.
        let mut second = Report::open(scratch.path()).expect("what is known");
        second.take(entry("R1", None), order()).expect("written");
        let places = ["## R1 held", "| kills | 200 |", "## R3 held"].map(|part| text().find(part));
        assert!(places.is_sorted() && places[0].is_some(), "{}", text());
        assert!(!text().contains("a serial twice"), "the last run counts");
        let error = Entry::new("R2", Timestamp::UNIX_EPOCH, 7, true, Err(anyhow::anyhow!("no disk")));
        assert!(!error.held());
        second.take(error, order()).expect("written");
        assert_eq!(Report::open(scratch.path()).expect("what is known").faults.len(), 3);
        assert!(text().contains("## R2 COULD NOT BE RUN TO ITS END") && text().contains("no disk"));
    }

    #[test]
    fn a_report_of_another_form_is_kept_and_not_gone_on_from() {
        let scratch = Scratch::new("report").expect("scratch");
        scratch.write(JSON, r#"{"seed": 1, "faults": [{"fault": "R1"}]}"#).expect("written");
        let report = Report::open(scratch.path()).expect("opened");
        assert!(report.faults.is_empty() && scratch.join(OLD).exists() && !scratch.join(JSON).exists());
    }
}
