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

/// Relative paths in these variables are to be ignored (XDG Base Directory Specification).
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
