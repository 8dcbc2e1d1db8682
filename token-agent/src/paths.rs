//! Where the agent keeps things: the XDG folders, or Windows' own.

use std::{env, path::PathBuf};

/// The folder for enrolments under way: `$XDG_STATE_HOME/inro-agent`, `~/.local/state/inro-agent`, or
/// `%LOCALAPPDATA%\Inro\Agent`.
pub(crate) fn state_directory() -> Option<PathBuf> {
    if cfg!(windows) {
        return absolute("LOCALAPPDATA").map(|folder| folder.join("Inro").join("Agent"));
    }
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|folder| folder.join("inro-agent"))
}

/// The configuration file: `$XDG_CONFIG_HOME/inro/agent.toml`, `~/.config/inro/agent.toml`, or
/// `%PROGRAMDATA%\Inro\agent.toml`.
pub(crate) fn configuration() -> Option<PathBuf> {
    if cfg!(windows) {
        return absolute("PROGRAMDATA").map(|folder| folder.join("Inro").join("agent.toml"));
    }
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|folder| folder.join("inro").join("agent.toml"))
}

/// The administrator's policy: `/etc/inro/policy.toml`, or `Inro\policy.toml` in Windows' folder for all users' data. No
/// variable of the environment leads elsewhere: those are the user's.
pub(crate) fn policy() -> Option<PathBuf> {
    system_wide().map(|folder| folder.join("policy.toml"))
}

#[cfg(windows)]
fn system_wide() -> Option<PathBuf> {
    let folders = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Explorer\Shell Folders";
    let key = windows_registry::LOCAL_MACHINE.open(folders).ok()?;
    key.get_string("Common AppData").ok().map(|folder| PathBuf::from(folder).join("Inro"))
}

#[cfg(not(windows))]
#[expect(clippy::unnecessary_wraps, reason = "Windows may not say")]
fn system_wide() -> Option<PathBuf> {
    Some(PathBuf::from("/etc/inro"))
}

/// Relative paths in these variables are to be ignored (XDG Base Directory Specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
