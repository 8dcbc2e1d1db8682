//! Files that a specification brings in: certificates, requests, CRLs. Public, and part of what is reviewed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use der::pem;

use super::section::Section;

/// No such file is longer; a root's CRL of many years fits.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The first octet of every structure that is looked for.
const SEQUENCE: u8 = 0x30;
/// What every PEM block begins with, and ends with.
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// A file of one DER structure, read from PEM or DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Where it was read.
    pub path: PathBuf,
    /// The DER.
    pub der: Vec<u8>,
}

impl Input {
    /// Reads a file of one structure.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut all = Self::read_all(path)?;
        if all.len() > 1 {
            return Err(format!("holds {} certificates, requests or CRLs instead of one", all.len()));
        }
        all.pop().ok_or_else(|| "is neither PEM nor DER".to_owned())
    }

    /// Reads a file of one DER structure or of several in PEM.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        let mut content = Vec::new();
        let file = File::open(path).map_err(|e| format!("can't be read: {e}"))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(|e| format!("can't be read: {e}"))?;
        if content.len() as u64 > MAX_BYTES {
            return Err("is longer than any certificate, request or CRL".to_owned());
        }
        let input = |der| Self { path: path.to_owned(), der };
        if content.first() == Some(&SEQUENCE) {
            return Ok(vec![input(content)]);
        }
        let text = String::from_utf8(content).map_err(|_| "is neither PEM nor DER".to_owned())?;
        let blocks = text.match_indices(BEGIN).map(|(start, _)| {
            let end =
                text[start + BEGIN.len()..].find(BEGIN).map_or(text.len(), |end| start + BEGIN.len() + end);
            let block = &text[start..end];
            // What may stand around a block for people doesn't count.
            let last = block.rfind(END).ok_or("is no PEM: it has no end")?;
            let end = block[last..].find('\n').map_or(block.len(), |line| last + line + 1);
            let (_, der) =
                pem::decode_vec(&block.as_bytes()[..end]).map_err(|e| format!("is no PEM: {e}"))?;
            Ok(input(der))
        });
        blocks.collect()
    }

    /// The file's name without its folder.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// The file that a key of a section names. A mistake is reported and yields an empty input.
pub(super) fn input(
    section: &mut Section<'_>,
    key: &'static str,
    folder: &Path,
    meaning: &str,
) -> Option<Input> {
    let name = section.optional_text(key, meaning)?;
    if name.is_empty() {
        return Some(Input::default());
    }
    let path = folder.join(name);
    Some(Input::read(&path).unwrap_or_else(|problem| unreadable(section, key, path, &problem)))
}

/// All that is in the files of a list.
pub(super) fn inputs(
    section: &mut Section<'_>,
    key: &'static str,
    folder: &Path,
    meaning: &str,
) -> Vec<Input> {
    let mut found = Vec::new();
    for name in section.texts(key, meaning) {
        let path = folder.join(name);
        match Input::read_all(&path) {
            Ok(inputs) => found.extend(inputs),
            Err(problem) => found.push(unreadable(section, key, path, &problem)),
        }
    }
    found
}

fn unreadable(section: &mut Section<'_>, key: &str, path: PathBuf, problem: &str) -> Input {
    let problem = format!("names {}, which {problem}", path.display());
    section.mistakes.add(section.key(key), problem, "give the path of the file, in PEM or DER");
    Input { path, der: Vec::new() }
}
