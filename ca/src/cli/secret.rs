//! Passwords at the command line: from a file, from an open file descriptor, or asked for; never from an argument,
//! which every process on the machine can read.

use std::{
    fs::File,
    io::{IsTerminal, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::Args;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// Longer files hold no password.
const LONGEST: usize = 1024;

/// Where the password comes from; without either option it is asked for.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Source {
    /// Read the password from a file that only its owner can read; a line feed at the end is left out.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the password from this open file descriptor.
    #[arg(long, value_name = "NUMBER")]
    password_fd: Option<u32>,
}

impl Source {
    /// Reads the password.
    ///
    /// # Errors
    /// When the file is open to others, too long or empty, or nobody is there to be asked.
    pub(super) fn read(&self, what: &str) -> anyhow::Result<SecretString> {
        match (&self.password_file, self.password_fd) {
            (Some(path), _) => from_file(path),
            (None, Some(number)) => {
                // The shell's `<(…)` and `3<file` appear here, without unsafe code.
                let path = PathBuf::from(format!("/proc/self/fd/{number}"));
                let file =
                    File::open(&path).with_context(|| format!("file descriptor {number} isn't open"))?;
                from_reader(file, &format!("file descriptor {number}"))
            }
            (None, None) => ask(what),
        }
    }
}

fn from_file(path: &Path) -> anyhow::Result<SecretString> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("can't open the password file {shown}"))?;
    let metadata = file.metadata().with_context(|| format!("can't look at {shown}"))?;
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        bail!("others than its owner can use {shown}; run: chmod 600 {shown}");
    }
    from_reader(file, &shown.to_string())
}

fn from_reader(reader: impl Read, name: &str) -> anyhow::Result<SecretString> {
    let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
    reader
        .take(LONGEST as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{name} isn't UTF-8 text"))?;
    if text.len() > LONGEST {
        bail!("{name} is longer than a password can be");
    }
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("{name} is empty");
    }
    Ok(password.into())
}

fn ask(what: &str) -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is at the terminal to be asked; use --password-file or --password-fd");
    }
    let first = Zeroizing::new(rpassword::prompt_password(format!("{what}: "))?);
    let second = Zeroizing::new(rpassword::prompt_password(format!("{what} again: "))?);
    if *first != *second {
        bail!("the two entries differ; nothing was changed");
    }
    Ok(first.as_str().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_password_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "correct horse\n").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");
        let error = from_file(&path).expect_err("an open file");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        assert_eq!(from_file(&path).expect("the password").expose_secret(), "correct horse");
    }

    #[test]
    fn what_holds_no_password_is_refused() {
        for bad in [&b""[..], b"\n", &[b'x'; 1025], b"\xff\xfe"] {
            assert!(from_reader(bad, "it").is_err(), "{bad:?}");
        }
    }
}
