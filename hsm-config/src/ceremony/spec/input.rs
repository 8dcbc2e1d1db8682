//! Files that a specification brings in: certificates, requests, CRLs. Public, and part of what is reviewed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use der::pem;

use super::section::Section;

/// No such file is longer; a root's CRL of many years fits.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A file of one DER structure, read from PEM or DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Where it was read.
    pub path: PathBuf,
    /// The DER.
    pub der: Vec<u8>,
}

impl Input {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut content = Vec::new();
        let file = File::open(path).map_err(|e| format!("can't be read: {e}"))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(|e| format!("can't be read: {e}"))?;
        if content.len() as u64 > MAX_BYTES {
            return Err("is longer than any certificate, request or CRL".to_owned());
        }
        let der =
            if content.starts_with(b"-----") || content.starts_with(b"#") || !content.starts_with(&[0x30]) {
                let begin = content.windows(11).position(|window| window == b"-----BEGIN ");
                let text = &content[begin.ok_or("is neither PEM nor DER")?..];
                pem::decode_vec(text).map_err(|e| format!("is no PEM: {e}"))?.1
            } else {
                content
            };
        Ok(Self { path: path.to_owned(), der })
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
    Some(read(section, key, folder, &name))
}

/// The same for a list of files.
pub(super) fn inputs(
    section: &mut Section<'_>,
    key: &'static str,
    folder: &Path,
    meaning: &str,
) -> Vec<Input> {
    let names = section.texts(key, meaning);
    names.iter().map(|name| read(section, key, folder, name)).collect()
}

fn read(section: &mut Section<'_>, key: &str, folder: &Path, name: &str) -> Input {
    let path = folder.join(name);
    match Input::read(&path) {
        Ok(input) => input,
        Err(problem) => {
            let problem = format!("names {}, which {problem}", path.display());
            section.mistakes.add(section.key(key), problem, "give the path of the file, in PEM or DER");
            Input { path, der: Vec::new() }
        }
    }
}
