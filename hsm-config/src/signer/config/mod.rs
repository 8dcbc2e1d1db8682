//! `signer.toml`, validated: every mistake is told at once, each with its key and its remedy. Relative paths are taken
//! from the configuration file's folder. The token isn't touched here.

mod keys;
mod raw;

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub use keys::{Key, Role};

use crate::token::{ModuleAccess, Pin, TokenSelection};

/// A configuration that can be served.
#[derive(Clone, Debug)]
pub struct Config {
    /// The signer's name, stored with each intent.
    pub name: String,
    /// The journal's file.
    pub journal: PathBuf,
    /// The PIN latch's file.
    pub latch: PathBuf,
    /// The socket.
    pub socket: Socket,
    /// The token.
    pub token: Token,
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

/// The token and how it is used.
#[derive(Clone, Debug)]
pub struct Token {
    /// The module.
    pub access: ModuleAccess,
    /// Which of its tokens.
    pub token: TokenSelection,
    /// The PIN's file, read at each login.
    pub pin_file: PathBuf,
    /// Sessions that sign in parallel.
    pub lanes: u16,
    /// Signatures that may wait.
    pub queue: u16,
    /// For loading the module and logging in.
    pub start_deadline: Duration,
    /// For one signature.
    pub sign_deadline: Duration,
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
    #[error("{path:?} has {} mistake(s):{}", mistakes.len(), list(mistakes))]
    Mistakes {
        /// The file.
        path: PathBuf,
        /// Each with its key and remedy.
        mistakes: Vec<String>,
    },
}

fn list(mistakes: &[String]) -> String {
    mistakes.iter().fold(String::new(), |list, mistake| list + "\n  - " + mistake)
}

/// Where a configuration keeps its PIN latch; for the command that clears it, which must work whatever else is wrong.
///
/// # Errors
/// [`ConfigError::Unreadable`] or [`ConfigError::Form`].
pub fn latch_path(path: &Path) -> Result<PathBuf, ConfigError> {
    read(path).map(|raw| folder_of(path).join(raw.latch))
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
    let token = token(raw.token, &folder, &mut mistakes);
    let keys = keys::validate(raw.keys, &folder, &mut mistakes);
    match token {
        Some(token) if mistakes.is_empty() => {
            Ok(Config { name: raw.name, journal, latch, socket, token, keys })
        }
        _ => Err(ConfigError::Mistakes { path: path.to_owned(), mistakes }),
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
    folder_is_safe("socket.path", &path, mistakes);
    // sun_path has 108 octets with its final NUL (unix(7)).
    if path.as_os_str().len() > 107 {
        mistakes.push(format!(
            "socket.path {:?} is longer than 107 octets: choose a shorter one",
            path.display()
        ));
    }
    let mode = u32::from_str_radix(&raw.mode, 8).ok().filter(|mode| mode & !0o660 == 0);
    if mode.is_none() {
        mistakes.push(format!("socket.mode = {:?}: write an octal mode within \"0660\"", raw.mode));
    }
    if raw.allowed_uids.is_empty() {
        mistakes
            .push("socket.allowed_uids is empty: list the user ID that the CA runs as (`id -u`)".to_owned());
    }
    positive("socket.max_connections", raw.max_connections.into(), mistakes);
    positive("socket.max_in_flight", raw.max_in_flight.into(), mistakes);
    Socket {
        path,
        mode: mode.unwrap_or(0),
        allowed_uids: raw.allowed_uids.into_iter().collect(),
        max_connections: raw.max_connections,
        max_in_flight: raw.max_in_flight,
    }
}

fn token(raw: raw::Token, folder: &Path, mistakes: &mut Vec<String>) -> Option<Token> {
    let access = ModuleAccess { module: raw.module, environment: raw.environment };
    mistakes
        .extend(access.mistakes().into_iter().map(|(problem, remedy)| format!("token: {problem}: {remedy}")));
    let pin_file = folder.join(raw.pin_file);
    folder_is_safe("token.pin_file", &pin_file, mistakes);
    if let Err(error) = Pin::from_file(&pin_file) {
        mistakes.push(format!("token.pin_file: {error}"));
    }
    positive("token.lanes", raw.lanes.into(), mistakes);
    positive("token.queue", raw.queue.into(), mistakes);
    if !(1..=10).contains(&raw.sign_seconds) {
        mistakes.push(format!(
            "token.sign_seconds = {}: give 1 to 10; what takes longer counts as hanging",
            raw.sign_seconds
        ));
    }
    positive("token.start_seconds", raw.start_seconds, mistakes);
    let token = match (raw.label, raw.serial) {
        (Some(label), None) => TokenSelection::Label(label),
        (None, Some(serial)) => TokenSelection::Serial(serial),
        _ => {
            mistakes.push("token: give either label or serial, to name exactly one token".to_owned());
            return None;
        }
    };
    Some(Token {
        access,
        token,
        pin_file,
        lanes: raw.lanes,
        queue: raw.queue,
        start_deadline: Duration::from_secs(raw.start_seconds),
        sign_deadline: Duration::from_secs(raw.sign_seconds),
    })
}
