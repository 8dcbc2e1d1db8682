//! Where a secret comes from.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::Secret;

/// No PIN, password or code is longer, in octets.
const LONGEST: u64 = 1024;

/// A file or a descriptor that holds a secret in its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File(PathBuf),
    /// An inherited file descriptor.
    Descriptor(u32),
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("{} can't be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is empty or holds no text of at most {LONGEST} octets", path.display())]
    NotAText { path: PathBuf },
    #[error("there is no terminal to ask at")]
    NoTerminal(#[source] io::Error),
    #[error("file descriptors can't be read on this system")]
    NoDescriptors,
    #[error("the person who was asked doesn't want to go on")]
    Declined,
}

impl SecretSource {
    /// From the two command-line options; clap lets at most one through.
    pub(crate) fn from_options(file: Option<&PathBuf>, descriptor: Option<u32>) -> Option<Self> {
        file.cloned().map(Self::File).or(descriptor.map(Self::Descriptor))
    }

    /// The first line, without its end.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Descriptor(number) if cfg!(unix) => PathBuf::from(format!("/dev/fd/{number}")),
            Self::Descriptor(_) => return Err(SecretError::NoDescriptors),
        };
        let text = read(&path).map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
        let line = std::str::from_utf8(&text).ok().and_then(|text| text.lines().next());
        match line.filter(|line| !line.is_empty()) {
            Some(line) => Ok(Secret::new(Zeroizing::new(line.to_owned()))),
            None => Err(SecretError::NotAText { path }),
        }
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // The buffer has its final size, so that no shorter copy is left behind.
    let mut text = Zeroizing::new(Vec::with_capacity(2048));
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST {
        text.clear();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(content).expect("written");
        file
    }

    #[test]
    fn the_first_line_counts() {
        for content in [b"s3cret\n".as_slice(), b"s3cret", b"s3cret\r\nmore\n"] {
            let file = file(content);
            let secret = SecretSource::File(file.path().to_owned()).read().expect("a secret");
            assert_eq!(secret.expose(), "s3cret");
        }
    }

    #[test]
    fn nothing_and_rubbish_are_refused() {
        for content in [b"".as_slice(), b"\nsecond", b"\xff\xfe", &[b'a'; 2000]] {
            let file = file(content);
            let read = SecretSource::File(file.path().to_owned()).read();
            assert!(matches!(read, Err(SecretError::NotAText { .. })));
        }
        let missing = SecretSource::File("/nonexistent/pin".into()).read();
        assert!(matches!(missing, Err(SecretError::Unreadable { .. })));
    }
}
