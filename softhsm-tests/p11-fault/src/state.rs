//! How the device is, kept beside the control socket: a process that loads the module after the present one died finds
//! the device as it was left, and faults that were to come, come.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    faults::{Fault, Faults},
    settings::{Conduct, Settings},
};

const LOGINS: &str = ".logins";

/// How the device is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) token: Conduct,
    pub(crate) faults: Faults,
}

/// A change of the state.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Set { settings: Settings },
    Token { token: Conduct },
    Fault { fault: Fault },
    Clear {},
}

impl State {
    /// Makes a change.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), String> {
        match change {
            Change::Set { settings } => self.settings = settings,
            Change::Token { token } => self.token = token,
            Change::Fault { fault } => {
                fault.check()?;
                self.faults.add(fault);
            }
            Change::Clear {} => self.faults = Faults::default(),
        }
        Ok(())
    }
}

/// Where the state is kept; nowhere without a control socket.
#[derive(Debug)]
pub(crate) struct Store(Option<PathBuf>);

impl Store {
    pub(crate) fn beside(control: Option<&Path>) -> Self {
        Self(control.map(Path::to_owned))
    }

    /// Where the control socket is to be.
    pub(crate) fn control(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Held by whoever opens the control socket and reads the state, or leaves a change for whoever will.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        let Some(control) = &self.0 else { return Ok(None) };
        let file = open_to_append(&beside(control, ".lock"))?;
        file.lock()?;
        Ok(Some(file))
    }

    /// What was kept, else what the environment says, with the changes that were left while no process was there.
    pub(crate) fn load(&self) -> Result<State, String> {
        let settings = match env::var("P11_FAULT_SETTINGS") {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|error| format!("P11_FAULT_SETTINGS: {error}"))?
            }
            Err(_) => Settings::default(),
        };
        let mut state = State { settings, ..State::default() };
        let Some(control) = &self.0 else { return Ok(state) };
        if let Some(kept) = read(&beside(control, ".state"))? {
            state = serde_json::from_str(&kept).map_err(|error| format!("what was kept: {error}"))?;
        }
        let pending = beside(control, ".pending");
        for line in read(&pending)?.unwrap_or_default().lines() {
            let change = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
            state.change(change)?;
        }
        let taken_up = || {
            self.keep(&state)?;
            open_to_append(&beside(control, LOGINS))?;
            fs::remove_file(&pending).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
        };
        taken_up().map_err(|error| format!("keeping the state: {error}"))?;
        Ok(state)
    }

    /// Keeps it for the next process that loads the module.
    pub(crate) fn keep(&self, state: &State) -> io::Result<()> {
        let Some(control) = &self.0 else { return Ok(()) };
        let new = beside(control, ".state.new");
        fs::write(&new, serde_json::to_vec(state)?)?;
        fs::rename(new, beside(control, ".state"))
    }

    /// Counts a call of `C_Login`. The file has an octet for each, appended: of two processes none takes the other's away.
    pub(crate) fn count_login(&self) -> io::Result<()> {
        let Some(control) = &self.0 else { return Ok(()) };
        open_to_append(&beside(control, LOGINS))?.write_all(b".")
    }

    /// Calls of `C_Login` in all processes.
    pub(crate) fn logins(&self) -> io::Result<u64> {
        let Some(control) = &self.0 else { return Ok(0) };
        Ok(fs::metadata(beside(control, LOGINS))?.len())
    }
}

fn open_to_append(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn beside(control: &Path, ending: &str) -> PathBuf {
    let mut name = control.as_os_str().to_owned();
    name.push(OsStr::new(ending));
    name.into()
}
