//! The controlling terminal, whatever standard input and output are.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// A line at a terminal isn't longer (`N_TTY`'s limit).
const LINE: usize = 4096;

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/tty")
}

pub(super) fn is_there() -> bool {
    open().is_ok()
}

pub(super) fn read_shown(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = open()?;
    terminal.write_all(prompt.as_bytes())?;
    read_line(&mut terminal)
}

pub(super) fn read_hidden(prompt: &str) -> io::Result<Zeroizing<String>> {
    let mut terminal = open()?;
    let silence = Silence::begin(&terminal)?;
    terminal.write_all(prompt.as_bytes())?;
    let line = read_line(&mut terminal);
    drop(silence);
    terminal.write_all(b"\n")?;
    line
}

fn read_line(terminal: &mut File) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE));
    let mut octet = Zeroizing::new([0]);
    loop {
        match terminal.read(&mut *octet)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if octet[0] == b'\n' => break,
            _ if line.len() == LINE => return Err(io::ErrorKind::InvalidData.into()),
            _ => line.push(octet[0]),
        }
    }
    match std::str::from_utf8(&line) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// No echo for as long as it lives.
struct Silence {
    terminal: File,
    before: Termios,
}

impl Silence {
    fn begin(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        // Flush drops what was typed ahead, which was echoed.
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal: terminal.try_clone()?, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
