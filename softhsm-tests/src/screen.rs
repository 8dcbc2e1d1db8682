//! A screen that nobody sees: an X server in memory, for programs that open windows.

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::Result;

use crate::{
    ports::PortLease,
    process::{Process, output_of, run},
    wait::PATIENCE,
};

/// The screen; whoever shows something on it ends first.
#[derive(Debug)]
pub struct Screen {
    server: Process,
    display: String,
    _number: PortLease,
}

impl Screen {
    /// A screen of this size, with its log in `directory`.
    ///
    /// # Errors
    /// When Xvfb is missing or doesn't start.
    pub fn start(directory: &Path, width: u32, height: u32) -> Result<Self> {
        // A server that looks for a free number itself tries those of others, and removes their sockets.
        let number = PortLease::one()?;
        let display = format!(":{}", number.port());
        let mut command = Command::new("Xvfb");
        // Whoever leaves last, such as a program that only looks for a window, must not restart the screen.
        command.args([display.as_str(), "-noreset", "-displayfd", "1", "-nolisten", "tcp"]);
        command.args(["-screen", "0", &format!("{width}x{height}x24")]);
        let mut server = Process::spawn("xvfb", &mut command, directory)?;
        server.wait_for_log(&display[1..], PATIENCE)?;
        Ok(Self { server, display, _number: number })
    }

    /// For `DISPLAY`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// What `xdotool` does and says here, whatever its status.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn xdotool(&self, arguments: &[&str]) -> Result<Output> {
        output_of(Command::new("xdotool").args(arguments).env("DISPLAY", &self.display), b"")
    }

    /// Keeps a picture of the whole screen.
    ///
    /// # Errors
    /// When it can't be taken or written.
    pub fn picture(&self, path: &Path) -> Result<()> {
        let mut scrot = Command::new("scrot");
        run(scrot.arg("--overwrite").arg(path).env("DISPLAY", &self.display)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Asked to, it removes its socket and its lock; there is nobody to tell when it doesn't.
        let _ = self.server.terminate(PATIENCE);
    }
}
