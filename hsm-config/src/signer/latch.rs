//! The PIN latch: a file that says that the token refused the PIN. While it exists nothing logs in, whoever restarts
//! what. Tokens destroy keys after a few wrong PINs; only a human may decide to try again, and then with another PIN: the
//! one that was refused isn't given a second time, unless that human says so.
//!
//! A signer that is killed between the token's refusal and the latch would try once more. So beside the latch, in a
//! file with `.login` added to its name, stands that a login begins before the token sees the PIN, and whether it ended.
//! One that never ended counts as refused, unless this token has accepted this PIN before. Signer, doctor, benchmark and
//! inventory log in one after the other: each holds a lock, on a file with `.lock` added, from the last look at the latch
//! until its login's end is noted. The kernel frees the lock of a process that dies.

mod attempt;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::rand::fill;
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::token::Pin;

use attempt::SALT;
pub use attempt::{Attempt, Mark};

/// Attempts that are remembered of each kind: a PIN and the ones before it.
const KEPT: usize = 8;

/// What the latch remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When the PIN was refused, or given without an answer.
    pub at: Timestamp,
    /// What the token said.
    pub detail: String,
}

/// Why a login may not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// The latch is set.
    #[error("the PIN was refused at {}: {}", .0.at, .0.detail)]
    Latched(Refused),
    /// This token refused this PIN before.
    #[error("this is the PIN that the token refused, so it isn't given again")]
    Same,
    /// Another process, or another worker of this one, is logging in.
    #[error("another login to this token is under way: wait until it has ended")]
    Busy,
    /// It can't be made durable.
    #[error("that a login begins can't be written down: {0}")]
    Unwritable(io::Error),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Logins {
    /// For [`Mark`]s, hexadecimal.
    salt: Option<String>,
    /// The login that has not ended.
    begun: Option<(Timestamp, Attempt)>,
    /// Those that the token accepted, the last one last.
    accepted: Vec<Attempt>,
    /// Those that it refused, or may have.
    refused: Vec<Attempt>,
}

/// What couldn't be written. It holds for this process.
#[derive(Debug, Default)]
struct Memory {
    refused: Option<Refused>,
    logins: Option<Logins>,
}

/// The latch of one token; clones are the same.
#[derive(Clone, Debug)]
pub struct Latch {
    path: PathBuf,
    memory: Arc<Mutex<Memory>>,
}

/// A login that may be made now, and whose end is to be told. Unless it is, the login counts as one that never ended.
#[derive(Debug)]
pub struct Begun {
    latch: Latch,
    attempt: Attempt,
    /// Held so that nobody else begins one.
    _turn: File,
}

impl Logins {
    fn accept(&mut self, attempt: Attempt) {
        self.refused.retain(|other| *other != attempt);
        keep(&mut self.accepted, attempt);
    }

    fn refuse(&mut self, attempt: Attempt) {
        self.accepted.retain(|other| *other != attempt);
        keep(&mut self.refused, attempt);
    }
}

fn keep(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    attempts.retain(|other| *other != attempt);
    attempts.push(attempt);
    if attempts.len() > KEPT {
        attempts.remove(0);
    }
}

impl Latch {
    /// The latch that is kept at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, memory: Arc::default() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn login_path(&self) -> PathBuf {
        beside(&self.path, ".login")
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it remembers; `None` when it isn't set. A file that can't be understood counts as set. Of a login that is
    /// under way nothing can be said yet: [`begin`](Self::begin) decides.
    ///
    /// # Errors
    /// When the file can't be read; the caller must then not log in.
    pub fn read(&self) -> io::Result<Option<Refused>> {
        let refused = self.standing()?;
        if refused.is_some() && content(&self.path)?.is_none() && self.is_under_way()? {
            return Ok(self.memory().refused.clone());
        }
        Ok(refused)
    }

    /// How it stands for whoever knows that no login is under way.
    fn standing(&self) -> io::Result<Option<Refused>> {
        if let Some(refused) = &self.memory().refused {
            return Ok(Some(refused.clone()));
        }
        let unreadable = |what: &str| Refused {
            at: Timestamp::UNIX_EPOCH,
            detail: format!("the {what} file can't be understood"),
        };
        if let Some(content) = content(&self.path)? {
            return Ok(Some(serde_json::from_slice(&content).unwrap_or_else(|_| unreadable("latch"))));
        }
        let Ok(logins) = self.logins()? else { return Ok(Some(unreadable("login"))) };
        Ok(match logins.begun {
            Some((at, attempt)) if !logins.accepted.contains(&attempt) => Some(Refused {
                at,
                detail:
                    "a login was begun whose end isn't known, with a PIN that this token hasn't accepted \
                         before"
                        .to_owned(),
            }),
            _ => None,
        })
    }

    /// How many PINs are remembered as refused; they aren't given again.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn refused_pins(&self) -> io::Result<usize> {
        Ok(self.logins()?.map_or(0, |logins| logins.refused.len()))
    }

    /// Sets it, durably. A latch that is set already keeps what it remembers.
    ///
    /// # Errors
    /// When it can't be made durable; then it is set for this process alone.
    pub fn set(&self, refused: &Refused) -> io::Result<()> {
        let set = self.set_durably(refused);
        if set.is_err() {
            self.memory().refused.get_or_insert_with(|| refused.clone());
        }
        set
    }

    fn set_durably(&self, refused: &Refused) -> io::Result<()> {
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(file) => file,
            // Only what will be found again latches: not a link that leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && content(&self.path)?.is_some() => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // Even an empty file latches, so a crash from here on is safe.
        self.give_to_owner(&file)?;
        file.write_all(&serde_json::to_vec_pretty(refused)?)?;
        file.sync_all()?;
        self.sync_folder()
    }

    /// What a PIN is known by here. Off the async threads: it takes about 50 ms.
    ///
    /// # Errors
    /// When the salt can't be read or, the first time, made durable.
    pub async fn mark(&self, pin: &Pin) -> io::Result<Mark> {
        let (latch, pin) = (self.clone(), pin.copy());
        let marking = move || Mark::of(&pin, &latch.salt()?).map_err(io::Error::other);
        tokio::task::spawn_blocking(marking).await.map_err(io::Error::other)?
    }

    fn salt(&self) -> io::Result<Vec<u8>> {
        let known =
            |logins: &Logins| logins.salt.as_ref().map(hex::decode).transpose().map_err(io::Error::other);
        if let Some(salt) = known(&self.logins()?.map_err(io::Error::other)?)? {
            return Ok(salt);
        }
        let _turn = self.turn()?.ok_or_else(|| io::Error::other(NotBegun::Busy))?;
        let mut logins = self.logins()?.map_err(io::Error::other)?;
        if let Some(salt) = known(&logins)? {
            return Ok(salt);
        }
        let mut salt = vec![0; SALT];
        fill(&mut salt).map_err(io::Error::other)?;
        logins.salt = Some(hex::encode(&salt));
        self.write_logins(&logins)?;
        Ok(salt)
    }

    /// Notes, durably, that a login begins. The token may only see the PIN afterwards, and nobody else may begin one
    /// until this one's end is told.
    ///
    /// # Errors
    /// [`NotBegun`]; nobody may log in then.
    pub fn begin(&self, at: Timestamp, attempt: Attempt) -> Result<Begun, NotBegun> {
        let turn = self.turn().map_err(NotBegun::Unwritable)?.ok_or(NotBegun::Busy)?;
        if let Some(refused) = self.standing().map_err(NotBegun::Unwritable)? {
            return Err(NotBegun::Latched(refused));
        }
        let logins = self.logins().map_err(NotBegun::Unwritable)?;
        let mut logins = logins.map_err(|error| NotBegun::Unwritable(error.into()))?;
        if logins.refused.iter().any(|refused| attempt.repeats(refused)) {
            return Err(NotBegun::Same);
        }
        logins.begun = Some((at, attempt.clone()));
        self.write_logins(&logins).map_err(NotBegun::Unwritable)?;
        Ok(Begun { latch: self.clone(), attempt, _turn: turn })
    }

    /// Clears it, durably, and returns what it remembered. The PIN that was refused, or may have been, stays known and
    /// isn't given again; `same_pin` forgets that, for when the token was put right and not the PIN.
    ///
    /// # Errors
    /// When a login is under way, or the files can't be read or written.
    pub fn clear(&self, same_pin: bool) -> io::Result<Option<Refused>> {
        let _turn = self.turn()?.ok_or_else(|| io::Error::other(NotBegun::Busy))?;
        let refused = self.standing()?;
        // What can't be understood is lost.
        let mut logins = self.logins()?.unwrap_or_default();
        if refused.is_some()
            && let Some((_, attempt)) = logins.begun.take()
        {
            logins.refuse(attempt);
        }
        if same_pin {
            logins.refused.clear();
        }
        if refused.is_some() || same_pin {
            self.write_logins(&logins)?;
            remove(&self.path)?;
            self.sync_folder()?;
        }
        Ok(refused)
    }

    /// Another whenever something was noted about logins.
    pub(super) fn version(&self) -> Option<(u64, i64, i64)> {
        let noted = fs::metadata(self.login_path()).ok()?;
        Some((noted.ino(), noted.ctime(), noted.ctime_nsec()))
    }

    /// The one turn to log in or to change what is noted; `None` while another has it.
    fn turn(&self) -> io::Result<Option<File>> {
        let path = beside(&self.path, ".lock");
        // A link is never followed, and a pipe that nobody reads doesn't hold us up.
        let plain = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let plain = i32::try_from(plain.bits()).unwrap_or_default();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(plain).open(path)?;
        self.give_to_owner(&file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_under_way(&self) -> io::Result<bool> {
        match File::open(beside(&self.path, ".lock")) {
            Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn logins(&self) -> io::Result<serde_json::Result<Logins>> {
        if let Some(logins) = &self.memory().logins {
            return Ok(Ok(logins.clone()));
        }
        Ok(content(&self.login_path())?
            .map_or_else(|| Ok(Logins::default()), |json| serde_json::from_slice(&json)))
    }

    fn write_logins(&self, logins: &Logins) -> io::Result<()> {
        let path = self.login_path();
        let temporary = beside(&path, ".new");
        remove(&temporary)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        self.give_to_owner(&file)?;
        file.write_all(&serde_json::to_vec_pretty(logins)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        self.sync_folder()?;
        self.memory().logins = None;
        Ok(())
    }

    /// What root makes here, by a doctor or a `latch clear` without `sudo -u`, the signer must be able to use. Nothing else
    /// is given away: what the signer's account puts here under these names may be another file of root's.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        let (folder, seen) = (fs::metadata(self.folder())?, file.metadata()?);
        if !rustix::process::geteuid().is_root() || seen.uid() == folder.uid() {
            return Ok(());
        }
        if !seen.is_file() || seen.nlink() != 1 || seen.len() != 0 {
            let shown = self.path.display();
            let problem = format!(
                "a file beside {shown} is root's and not the latch's own: find out who put it there, and remove it"
            );
            return Err(io::Error::other(problem));
        }
        fchown(file, Some(folder.uid()), Some(folder.gid()))
    }

    fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder())?.sync_all()
    }
}

impl Begun {
    /// The token took the PIN.
    ///
    /// # Errors
    /// When it can't be made durable. This process knows it; another would take the login for one that never ended.
    pub fn accepted(self) -> io::Result<()> {
        self.end(|logins, attempt| {
            logins.begun = None;
            logins.accept(attempt);
        })
    }

    /// The token didn't judge the PIN.
    ///
    /// # Errors
    /// As [`accepted`](Self::accepted).
    pub fn unjudged(self) -> io::Result<()> {
        self.end(|logins, _| logins.begun = None)
    }

    /// The token refused the PIN. Unless that is `latched` the login stays begun, which latches as well.
    ///
    /// # Errors
    /// As [`accepted`](Self::accepted).
    pub fn refused(self, latched: bool) -> io::Result<()> {
        self.end(|logins, attempt| {
            if latched {
                logins.begun = None;
            }
            logins.refuse(attempt);
        })
    }

    fn end(self, change: impl FnOnce(&mut Logins, Attempt)) -> io::Result<()> {
        let mut logins = self.latch.logins()?.map_err(io::Error::other)?;
        change(&mut logins, self.attempt.clone());
        self.latch.write_logins(&logins).inspect_err(|_| self.latch.memory().logins = Some(logins))
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
