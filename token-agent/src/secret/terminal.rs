//! Asking a person at the terminal: secrets without echo, questions with.

use std::io;

use zeroize::Zeroizing;

use super::{Secret, SecretError};

#[cfg_attr(unix, path = "terminal_unix.rs")]
#[cfg_attr(windows, path = "terminal_windows.rs")]
mod system;

/// Shows a prompt and reads a line without echo.
pub(crate) fn ask_secret(prompt: &str) -> Result<Secret, SecretError> {
    system::read_hidden(prompt).map(Secret::new).map_err(SecretError::NoTerminal)
}

/// Shows a question and reads a line.
pub(crate) fn ask(prompt: &str) -> io::Result<Zeroizing<String>> {
    system::read_shown(prompt)
}

/// Whether somebody can be asked.
pub(crate) fn is_there() -> bool {
    system::is_there()
}
