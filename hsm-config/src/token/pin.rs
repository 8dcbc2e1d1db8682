//! A token's PIN: read from a file that only its owner can read, never shown, wiped from memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// No PIN is longer; what is longer isn't a PIN file.
const MAX_BYTES: u64 = 255;

/// A PIN of a user or a security officer. It has no `Display`, `Clone` or `Serialize`, and `Debug` hides it.
#[derive(Debug)]
pub struct Pin(SecretString);

/// Why a PIN file is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It can't be opened or read.
    #[error(
        "PIN file {path:?} can't be read: create it, owned by the account that runs this program, mode 0600"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't a plain file.
    #[error("PIN file {path:?} is not a regular file: put the PIN into one, mode 0600")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Others than its owner have access.
    #[error("PIN file {path:?} has mode {mode:04o}, so others can get at the PIN: run chmod 600 on it")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds nothing, or nothing that is a PIN.
    #[error("PIN file {path:?} {fault}: write the PIN into it as one line of text")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
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
        let unreadable = |source| PinError::Unreadable { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(PinError::NotAFile { path: path.to_owned() });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(PinError::TooOpen { path: path.to_owned(), mode });
        }
        let content = |fault| PinError::Content { path: path.to_owned(), fault };
        if metadata.len() > MAX_BYTES {
            return Err(content("is longer than any PIN"));
        }
        // Room for all of it from the start: a growing buffer would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_BYTES).unwrap_or(255) + 1));
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(content("is empty"));
        }
        if line.chars().any(char::is_control) {
            return Err(content("has more than one line or control characters"));
        }
        Ok(Self(SecretString::from(line)))
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
        for content in ["", "\n", "12\n34\n", "12\0", &"1".repeat(300)] {
            let (_dir, path) = file(content, 0o600);
            assert!(matches!(Pin::from_file(&path), Err(PinError::Content { .. })), "{content:?}");
        }
        let dir = tempfile::tempdir().expect("temporary folder");
        assert!(matches!(
            Pin::from_file(dir.path()),
            Err(PinError::NotAFile { .. } | PinError::TooOpen { .. })
        ));
        assert!(matches!(Pin::from_file(&dir.path().join("none")), Err(PinError::Unreadable { .. })));
    }

    #[test]
    fn debug_hides_it() {
        assert!(!format!("{:?}", Pin::new("987654".into())).contains("987654"));
    }
}
