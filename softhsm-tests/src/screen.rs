//! A screen that nobody sees: an X server in memory, for programs that open windows.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::process::{Process, output_of, run};

/// An X server starts at once, also on a loaded machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// The screen; whoever shows something on it ends first.
#[derive(Debug)]
pub struct Screen {
    _server: Process,
    display: String,
}

impl Screen {
    /// A screen of this size, with its log in `directory`.
    ///
    /// # Errors
    /// When Xvfb is missing or doesn't start.
    pub fn start(directory: &Path, width: u32, height: u32) -> Result<Self> {
        let mut command = Command::new("Xvfb");
        // Whoever leaves last, such as a program that only looks for a window, must not restart the screen.
        command.args(["-noreset", "-displayfd", "1", "-nolisten", "tcp"]);
        command.args(["-screen", "0", &format!("{width}x{height}x24")]);
        let mut server = Process::spawn("xvfb", &mut command, directory)?;
        let number =
            |process: &Process| process.log().lines().find_map(|line| line.trim().parse::<u32>().ok());
        server.wait_until("the display's number", DEADLINE, |process| Ok(number(process).is_some()))?;
        let display = format!(":{}", number(&server).context("no number")?);
        Ok(Self { _server: server, display })
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
