//! The console.

use std::io::{self, BufRead, IsTerminal, Write};

use zeroize::Zeroizing;

pub(super) fn is_there() -> bool {
    io::stdin().is_terminal()
}

pub(super) fn read_shown(prompt: &str) -> io::Result<Zeroizing<String>> {
    if !is_there() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut console = io::stderr();
    console.write_all(prompt.as_bytes())?;
    console.flush()?;
    let mut line = Zeroizing::new(String::with_capacity(4096));
    io::stdin().lock().read_line(&mut line)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

pub(super) fn read_hidden(prompt: &str) -> io::Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt).map(Zeroizing::new)
}
