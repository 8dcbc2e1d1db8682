//! A token's PIN: read from a file that only its owner can read, never shown, wiped from memory.

mod source;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

pub use source::{PinKeys, PinKind, PinMistake, PinSource, PinSourceError};

/// No PIN is longer; what is longer isn't a PIN file.
const MAX_BYTES: u64 = 255;

/// A PIN of a user or a security officer. It has no `Display`, `Clone` or `Serialize`, and `Debug` hides it.
#[derive(Debug)]
pub struct Pin(SecretString);

/// A PIN file that is not accepted. Its text says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("PIN file {path:?} {fault}: {}", .fault.remedy())]
pub struct PinError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: PinFault,
    /// What the system said, where it said something.
    #[source]
    pub cause: Option<io::Error>,
}

impl PinError {
    /// What is wrong, without what to do about it.
    pub fn problem(&self) -> String {
        let cause = self.cause.as_ref().map_or_else(String::new, |cause| format!(" ({cause})"));
        format!("PIN file \"{}\" {}{cause}", self.path.display(), self.fault)
    }
}

/// What is wrong with a PIN file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinFault {
    /// It can't be opened or read.
    #[error("can't be read")]
    Unreadable,
    /// It is a folder, a device or a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// Group or others have access.
    #[error("has mode {mode:04o}, so others can get at the PIN")]
    TooOpen {
        /// Its permission bits.
        mode: u32,
    },
    /// It is larger than any PIN.
    #[error("is longer than any PIN")]
    TooLong,
    /// It has no content.
    #[error("is empty")]
    Empty,
    /// It has further lines, or bytes that no keyboard makes.
    #[error("has more than one line, or control characters")]
    NotOneLine,
}

impl PinFault {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unreadable => "create it, owned by the account that runs this program, with mode 0600",
            Self::TooOpen { .. } => "run chmod 600 on it",
            Self::NotAFile | Self::TooLong | Self::Empty | Self::NotOneLine => {
                "write the PIN into a file of its own, as one line of text, with mode 0600"
            }
        }
    }
}

impl Pin {
    /// Takes a PIN that came from elsewhere than a file.
    pub fn new(pin: SecretString) -> Self {
        Self(pin)
    }

    /// Reads a PIN from a file: one line of UTF-8, of which the line ending is dropped.
    ///
    /// # Errors
    /// [`PinError`] when the file is missing, is readable or writable by group or others, or holds no PIN.
    pub fn from_file(path: &Path) -> Result<Self, PinError> {
        Self::from_file_open_to(path, 0o077)
    }

    /// Reads a credential of the service manager's, which keeps others away by access lists on a file system of its own;
    /// what the group's bits say there is the list's mask.
    pub(crate) fn from_credential(path: &Path) -> Result<Self, PinError> {
        Self::from_file_open_to(path, 0o007)
    }

    fn from_file_open_to(path: &Path, forbidden: u32) -> Result<Self, PinError> {
        let fault = |fault| PinError { path: path.to_owned(), fault, cause: None };
        let unreadable =
            |cause| PinError { path: path.to_owned(), fault: PinFault::Unreadable, cause: Some(cause) };
        // A pipe without a writer would hang the opening, so look first; the open file is looked at again.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(fault(PinFault::NotAFile));
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mode = metadata.mode() & 0o7777;
        if !metadata.is_file() {
            return Err(fault(PinFault::NotAFile));
        }
        if mode & forbidden != 0 {
            return Err(fault(PinFault::TooOpen { mode }));
        }
        if metadata.len() > MAX_BYTES {
            return Err(fault(PinFault::TooLong));
        }
        // Room for all of it from the start: a growing buffer would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_BYTES).unwrap_or(255) + 1));
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(fault(PinFault::Empty));
        }
        if line.chars().any(char::is_control) {
            return Err(fault(PinFault::NotOneLine));
        }
        Ok(Self(SecretString::from(line)))
    }

    /// None of ours: the token asks for it itself, at a PIN pad or by operators' cards (`C_Login` without a PIN).
    pub fn at_the_token() -> Self {
        Self(SecretString::default())
    }

    /// Whether the token asks for it itself. No token takes an empty PIN, so none is ever sent.
    pub fn is_at_the_token(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    /// Another copy, for a second worker. Not `Clone`, so that no copy is made by the way.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(self.0.clone())
    }

    /// The PIN, for the one call that needs it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// As the type that the PKCS#11 calls take.
    pub(crate) fn as_secret(&self) -> &SecretString {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("pin");
        fs::write(&path, content).expect("PIN file written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode set");
        (dir, path)
    }

    #[test]
    fn drops_the_line_ending_only() {
        for content in ["12 34 ", "12 34 \n", "12 34 \r\n"] {
            let (_dir, path) = file(content, 0o600);
            assert_eq!(Pin::from_file(&path).expect("a PIN").expose(), "12 34 ");
        }
    }

    #[test]
    fn refuses_a_file_that_others_can_reach() {
        for mode in [0o640, 0o604, 0o620, 0o610, 0o777] {
            let (_dir, path) = file("1234\n", mode);
            let error = Pin::from_file(&path).expect_err("too open");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        let (_dir, path) = file("1234\n", 0o400);
        assert!(Pin::from_file(&path).is_ok());
    }

    #[test]
    fn refuses_what_holds_no_pin() {
        let long = "1".repeat(300);
        let cases = [
            ("", PinFault::Empty),
            ("\n", PinFault::Empty),
            ("12\n34\n", PinFault::NotOneLine),
            ("12\0", PinFault::NotOneLine),
            (&long, PinFault::TooLong),
        ];
        for (content, fault) in cases {
            let (_dir, path) = file(content, 0o600);
            assert_eq!(Pin::from_file(&path).expect_err("no PIN").fault, fault, "{content:?}");
        }
        let dir = tempfile::tempdir().expect("temporary folder");
        assert_eq!(Pin::from_file(dir.path()).expect_err("a folder").fault, PinFault::NotAFile);
        let missing = Pin::from_file(&dir.path().join("none")).expect_err("no file");
        assert_eq!((missing.fault, missing.cause.is_some()), (PinFault::Unreadable, true));
    }

    #[test]
    fn debug_hides_it() {
        assert!(!format!("{:?}", Pin::new("987654".into())).contains("987654"));
    }
}
