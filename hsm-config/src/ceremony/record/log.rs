//! The log: one line of JSON for each thing that happened, each with the SHA-256 of the line before it. A line is on the
//! disk before anybody relies on it.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Event;
use crate::ceremony::{now, sha256};

/// What the first line has for the hash of a line before it.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts from 1.
    pub number: u64,
    /// SHA-256 of the line before, without its line ending, hexadecimal.
    pub previous: String,
    /// When.
    pub at: Timestamp,
    /// In words.
    pub what: String,
    /// For programs.
    pub event: Event,
}

/// A log that was read.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Its lines.
    pub entries: Vec<Entry>,
    /// SHA-256 of the last line, hexadecimal.
    pub head: String,
    /// How many octets the whole lines have.
    length: usize,
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// A line isn't one of a log.
    #[error("line {line} can't be read: {cause}")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// Why.
        cause: String,
    },
    /// A line is missing or out of its place.
    #[error("line {line} has number {found}: a line was removed, added or moved")]
    Misplaced {
        /// The line, from 1.
        line: usize,
        /// The number that it has.
        found: u64,
    },
    /// A line was changed after the next one was written.
    #[error("line {line} ({what}) was altered after it was written")]
    Altered {
        /// The line, from 1.
        line: usize,
        /// What it says now.
        what: String,
    },
    /// There is nothing in it, or not from the beginning.
    #[error("it doesn't begin with the beginning of a ceremony")]
    Headless,
}

impl Chain {
    /// Reads a log. What follows the last line ending was never finished writing, and doesn't count.
    ///
    /// # Errors
    /// The first [`ChainFault`].
    pub fn parse(content: &[u8]) -> Result<Self, ChainFault> {
        let (mut entries, mut head, mut length) = (Vec::<Entry>::new(), BEGINNING.to_owned(), 0);
        for (index, line) in content.split_inclusive(|octet| *octet == b'\n').enumerate() {
            let number = index + 1;
            let Some(text) = line.strip_suffix(b"\n") else { break };
            let entry: Entry = serde_json::from_slice(text)
                .map_err(|e| ChainFault::Unreadable { line: number, cause: e.to_string() })?;
            if entry.number != number as u64 {
                return Err(ChainFault::Misplaced { line: number, found: entry.number });
            }
            if entry.previous != head {
                let what = entries.last().map_or_else(|| "the first".to_owned(), |entry| entry.what.clone());
                return Err(ChainFault::Altered { line: index.max(1), what });
            }
            head = sha256(text);
            length += line.len();
            entries.push(entry);
        }
        if matches!(entries.first().map(|entry| &entry.event), Some(Event::Began(_))) {
            Ok(Self { entries, head, length })
        } else {
            Err(ChainFault::Headless)
        }
    }
}

/// A log that is being written, by one program at a time.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Whether the file ends where the chain does.
    sound: bool,
    /// What was read and written so far.
    pub chain: Chain,
}

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system says no.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another program has it open.
    #[error("another program holds this very ceremony")]
    InUse,
    /// It is damaged.
    #[error("{0}")]
    Damaged(#[from] ChainFault),
}

impl Log {
    /// Begins a log where there is none.
    ///
    /// # Errors
    /// When there is one, or it can't be written.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        lock(&file)?;
        // Its name as well as what will stand in it.
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        let chain = Chain { entries: Vec::new(), head: BEGINNING.to_owned(), length: 0 };
        Ok(Self { path: path.to_owned(), file, sound: true, chain })
    }

    /// Opens a log to go on with. A last line that was never finished is removed.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut file = File::options().read(true).write(true).open(path)?;
        lock(&file)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let chain = Chain::parse(&content)?;
        if chain.length < content.len() {
            file.set_len(chain.length as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, sound: true, chain })
    }

    /// Cuts off what was written after the last line that counts.
    fn take_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.chain.length as u64)?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.sync_all()?;
        self.sound = true;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a line, durable when this returns. No line is earlier than the one before it.
    ///
    /// # Errors
    /// The system's. The line isn't there then, unless it can't be taken back either; the next one tries to again.
    pub fn append(&mut self, what: String, event: Event) -> io::Result<()> {
        if !self.sound {
            self.take_back()?;
        }
        let last = self.chain.entries.last().map(|entry| entry.at);
        let entry = Entry {
            number: self.chain.entries.len() as u64 + 1,
            previous: self.chain.head.clone(),
            at: last.map_or_else(now, |last| last.max(now())),
            what,
            event,
        };
        let mut line = serde_json::to_vec(&entry)?;
        let head = sha256(&line);
        line.push(b'\n');
        self.sound = false;
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // A line that is half there, or whole and not relied on, would be in the way of the next.
            let _ = self.take_back();
            return Err(error);
        }
        self.sound = true;
        self.chain.head = head;
        self.chain.length += line.len();
        self.chain.entries.push(entry);
        Ok(())
    }
}

fn lock(file: &File) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(error)) => Err(OpenError::Io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceremony::record::event::{Header, Task};
    use crate::ceremony::spec::Kind;

    fn began() -> Event {
        Event::Began(Box::new(Header {
            format: 2,
            rehearsal: false,
            purpose: Kind::RootCrl,
            ceremony: "unit".to_owned(),
            program: "unit".to_owned(),
            spec_sha256: BEGINNING.to_owned(),
            present: Vec::new(),
            inputs: Vec::new(),
        }))
    }

    fn log(dir: &Path) -> PathBuf {
        let path = dir.join("log");
        let mut log = Log::create(&path).expect("a log");
        log.append("it began".into(), began()).expect("written");
        for key in ["a", "b", "c"] {
            let event = Event::Begun { task: Task::MakeKey(key.into()), tbs: None };
            log.append(format!("makes {key}"), event).expect("written");
        }
        path
    }

    #[test]
    fn it_goes_on_where_it_was_cut_off() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = log(dir.path());
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 5]).expect("cut within the last line");
        let mut log = Log::open(&path).expect("opened");
        assert_eq!(log.chain.entries.len(), 3);
        assert!(matches!(Log::open(&path), Err(OpenError::InUse)));
        log.append("goes on".into(), Event::Resumed).expect("written");
        drop(log);
        let log = Log::open(&path).expect("opened again");
        assert_eq!(log.chain.entries.last().map(|entry| entry.what.as_str()), Some("goes on"));
    }

    #[test]
    fn every_change_is_named() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let content = std::fs::read_to_string(log(dir.path())).expect("read");
        let lines: Vec<&str> = content.lines().collect();
        let fault = |lines: &[&str]| {
            let text = lines.join("\n") + if lines.is_empty() { "" } else { "\n" };
            Chain::parse(text.as_bytes()).expect_err("a fault").to_string()
        };
        let altered = lines[1].replace("makes a", "makes x");
        assert!(fault(&[lines[0], &altered, lines[2], lines[3]]).contains("line 2 (makes x) was altered"));
        assert!(fault(&[lines[0], lines[2], lines[3]]).contains("line 2 has number 3"));
        assert!(fault(&[lines[0], lines[1], lines[3], lines[2]]).contains("line 3 has number 4"));
        assert!(fault(&lines[1..]).contains("line 1 has number 2"));
        assert!(fault(&[lines[0], "{}"]).contains("line 2 can't be read"));
        assert!(fault(&[]).contains("doesn't begin"));
    }
}
