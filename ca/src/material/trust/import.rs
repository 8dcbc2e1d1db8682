//! Makers' certificates out of what makers publish: PEM bundles, DER files, folders of them, cabinets such as Microsoft's
//! TrustedTpm.cab. What can't be read is told with its file, and stops nothing else.

use std::{
    fs,
    io::{Cursor, Read},
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};

/// A file in a cabinet is at most so large: makers' certificates have a few KiB, bundles some hundreds.
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// Folders in folders.
const MAX_DEPTH: usize = 8;

/// A certificate and where it was.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) from: String,
    pub(crate) der: Vec<u8>,
}

/// What was no certificate.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) from: String,
    pub(crate) problem: String,
}

/// What was found in the files that were named.
#[derive(Debug, Default)]
pub(crate) struct Haul {
    pub(crate) found: Vec<Found>,
    pub(crate) faults: Vec<Fault>,
}

/// Reads all files and folders.
pub(crate) fn haul(paths: &[PathBuf]) -> Haul {
    let mut haul = Haul::default();
    for path in paths {
        haul.path(path, 0);
    }
    haul
}

impl Haul {
    fn path(&mut self, path: &Path, depth: usize) {
        let from = path.display().to_string();
        if path.is_dir() {
            if depth == MAX_DEPTH {
                return self.fault(&from, "it is too deep in folders");
            }
            match fs::read_dir(path) {
                Ok(entries) => {
                    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
                    entries.sort();
                    for entry in &entries {
                        self.path(entry, depth + 1);
                    }
                }
                Err(error) => self.fault(&from, error),
            }
            return;
        }
        match fs::metadata(path).and_then(|metadata| match metadata.len() {
            length if length > 64 * MAX_FILE => Err(std::io::Error::other("it is too large")),
            _ => fs::read(path),
        }) {
            Ok(octets) if octets.starts_with(b"MSCF") => self.cabinet(&from, &octets),
            Ok(octets) => self.file(from, &octets),
            Err(error) => self.fault(&from, error),
        }
    }

    fn cabinet(&mut self, from: &str, octets: &[u8]) {
        let mut cabinet = match cab::Cabinet::new(Cursor::new(octets)) {
            Ok(cabinet) => cabinet,
            Err(error) => return self.fault(from, error),
        };
        let files = cabinet.folder_entries().flat_map(cab::FolderEntry::file_entries);
        let names: Vec<String> = files.map(|file| file.name().to_owned()).collect();
        for name in names.into_iter().filter(|name| holds_certificates(name)) {
            let inside = format!("{from}: {name}");
            let mut content = Vec::new();
            let read =
                cabinet.read_file(&name).and_then(|file| file.take(MAX_FILE).read_to_end(&mut content));
            match read {
                Ok(_) => self.file(inside, &content),
                Err(error) => self.fault(&inside, error),
            }
        }
    }

    fn file(&mut self, from: String, octets: &[u8]) {
        if octets.first() == Some(&0x30) {
            self.found.push(Found { from, der: octets.to_vec() });
            return;
        }
        let before = self.found.len();
        for (index, certificate) in CertificateDer::pem_slice_iter(octets).enumerate() {
            let from = format!("{from} #{}", index + 1);
            match certificate {
                Ok(der) => self.found.push(Found { from, der: der.to_vec() }),
                Err(error) => return self.fault(&from, error),
            }
        }
        if self.found.len() == before {
            self.fault(&from, "it holds no certificate, neither DER nor PEM");
        }
    }

    fn fault(&mut self, from: &str, problem: impl std::fmt::Display) {
        self.faults.push(Fault { from: from.to_owned(), problem: problem.to_string() });
    }
}

/// Microsoft's cabinet also has scripts and a text.
fn holds_certificates(name: &str) -> bool {
    let extension = Path::new(&name.replace('\\', "/")).extension().map(std::ffi::OsStr::to_ascii_lowercase);
    extension.is_some_and(|extension| ["cer", "crt", "der", "pem"].iter().any(|known| extension == *known))
}
