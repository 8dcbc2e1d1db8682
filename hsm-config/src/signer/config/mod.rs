//! `signer.toml`, validated: every mistake is told at once, each with its key and its remedy. Relative paths are taken
//! from the configuration file's folder. The token isn't touched here.

mod keys;
mod raw;
mod tokens;

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

pub use keys::{Key, Role};
pub use tokens::{Lanes, Token};

use crate::{custody::socket::Settings, error_text::bullets};

/// A configuration that can be served.
#[derive(Clone, Debug)]
pub struct Config {
    /// The signer's name, stored with each intent.
    pub name: String,
    /// The journal's file.
    pub journal: PathBuf,
    /// The socket.
    pub socket: Socket,
    /// Where custodians give their shares, when a PIN is theirs.
    pub custody: Option<Settings>,
    /// The tokens, one at least. Each has all the keys.
    pub tokens: Vec<Token>,
    /// The keys.
    pub keys: Vec<Key>,
}

/// Where and to whom the signer listens.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The Unix socket.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Users who may connect.
    pub allowed_uids: BTreeSet<u32>,
    /// Connections at once.
    pub max_connections: u16,
    /// Requests at once on one connection.
    pub max_in_flight: u16,
}

/// Why a configuration isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{path:?} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't TOML of this form; the message names line and key.
    #[error("{path:?}: {detail}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Its content is wrong.
    #[error("{path:?} has {} mistake(s):{}", mistakes.len(), bullets(mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Each with its key and remedy.
        mistakes: Vec<String>,
    },
}

/// Where a configuration keeps its PIN latches, by the token's name; for the command that clears them, which must work
/// whatever else is wrong.
///
/// # Errors
/// [`ConfigError::Unreadable`] or [`ConfigError::Form`].
pub fn latch_paths(path: &Path) -> Result<Vec<(String, PathBuf)>, ConfigError> {
    read(path).map(|raw| tokens::latches(&raw.token, &folder_of(path), &raw.latch))
}

/// Reads and validates a configuration.
///
/// # Errors
/// [`ConfigError`].
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let raw = read(path)?;
    let folder = folder_of(path);
    let mut mistakes = Vec::new();
    check_name("name", &raw.name, &mut mistakes);
    let journal = folder.join(&raw.journal);
    let latch = folder.join(&raw.latch);
    folder_is_safe("journal", &journal, &mut mistakes);
    folder_is_safe("latch", &latch, &mut mistakes);
    let socket = socket(raw.socket, &folder, &mut mistakes);
    let tokens = tokens::validate(raw.token, &folder, &latch, &mut mistakes);
    let custody = custody(raw.custody, &tokens, &folder, &mut mistakes);
    let keys = keys::validate(raw.keys, &folder, &mut mistakes);
    if mistakes.is_empty() {
        Ok(Config { name: raw.name, journal, socket, custody, tokens, keys })
    } else {
        Err(ConfigError::Mistakes { path: path.to_owned(), mistakes })
    }
}

fn read(path: &Path) -> Result<raw::Signer, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Form { path: path.to_owned(), detail: error.to_string() })
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn check_name(what: &str, name: &str, mistakes: &mut Vec<String>) {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        mistakes.push(format!("{what} = {name:?}: write 1 to 64 of a-z, 0-9 and '-'"));
    }
}

/// The folder exists, and no other user can put something else in the file's place.
fn folder_is_safe(key: &str, path: &Path, mistakes: &mut Vec<String>) {
    let own = rustix::process::geteuid().as_raw();
    let fault = match path.parent().map(fs::metadata) {
        Some(Ok(folder)) if folder.is_dir() => {
            if folder.mode() & 0o002 != 0 {
                "any user can write to its folder"
            } else if ![0, own].contains(&folder.uid()) {
                "its folder belongs to another user"
            } else {
                return;
            }
        }
        _ => "its folder doesn't exist",
    };
    mistakes.push(format!(
        "{key} = {:?}: {fault}; have one for the signer, owned by its account, mode 0700 (0750 for the socket's)",
        path.display()
    ));
}

fn positive(key: &str, value: u64, mistakes: &mut Vec<String>) {
    if value == 0 {
        mistakes.push(format!("{key} = 0: give at least 1"));
    }
}

fn socket(raw: raw::Socket, folder: &Path, mistakes: &mut Vec<String>) -> Socket {
    let path = folder.join(raw.path);
    let mode = listens("socket", ("path", &path), &raw.mode, mistakes);
    if raw.allowed_uids.is_empty() {
        mistakes
            .push("socket.allowed_uids is empty: list the user ID that the CA runs as (`id -u`)".to_owned());
    }
    positive("socket.max_connections", raw.max_connections.into(), mistakes);
    positive("socket.max_in_flight", raw.max_in_flight.into(), mistakes);
    Socket {
        path,
        mode,
        allowed_uids: raw.allowed_uids.into_iter().collect(),
        max_connections: raw.max_connections,
        max_in_flight: raw.max_in_flight,
    }
}

/// Where custodians give their shares: there exactly when a token's PIN is theirs.
fn custody(
    raw: Option<raw::Custody>,
    tokens: &[Token],
    folder: &Path,
    mistakes: &mut Vec<String>,
) -> Option<Settings> {
    let needed = tokens.iter().any(|token| token.supply.vault().is_some());
    let Some(raw) = raw else {
        if needed {
            mistakes.push(
                "custody is missing: with pin_custody add a [custody] table with the socket where custodians give their \
                 shares"
                    .to_owned(),
            );
        }
        return None;
    };
    let path = folder.join(raw.socket);
    let mode = listens("custody", ("socket", &path), &raw.mode, mistakes);
    if raw.allowed_uids.is_empty() {
        mistakes.push(
            "custody.allowed_uids is empty: list the user IDs under which custodians work (`id -u`)"
                .to_owned(),
        );
    }
    needed.then(|| Settings { path, mode, allowed_uids: raw.allowed_uids.into_iter().collect() })
}

/// Judges where a socket is to be; the mode.
fn listens(table: &str, (key, path): (&str, &Path), mode: &str, mistakes: &mut Vec<String>) -> u32 {
    folder_is_safe(&format!("{table}.{key}"), path, mistakes);
    // sun_path has 108 octets with its final NUL (unix(7)).
    if path.as_os_str().len() > 107 {
        let path = path.display();
        mistakes.push(format!("{table}.{key} {path:?} is longer than 107 octets: choose a shorter one"));
    }
    match u32::from_str_radix(mode, 8) {
        Ok(bits) if bits & !0o660 == 0 => bits,
        _ => {
            mistakes.push(format!("{table}.mode = {mode:?}: write an octal mode within \"0660\""));
            0
        }
    }
}
