//! The PIN latch: a file that says that the token refused the PIN. While it exists nothing logs in, whoever restarts
//! what. Tokens destroy keys after a few wrong PINs; only a human may decide to try again.
//!
//! A signer that is killed between the token's refusal and the latch would try once more. So beside the latch, in a
//! file with `.login` added to its name, stands that a login begins before the token sees the PIN, and whether it ended.
//! One that never ended counts as refused, unless the token has accepted the PIN of this very file before.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the latch remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When the PIN was refused, or given without an answer.
    pub at: Timestamp,
    /// What the token said.
    pub detail: String,
}

/// Which PIN a login gave to which token, without a trace of the PIN: the file that it was in, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    token: String,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    changed: (i64, i64),
    /// Which PIN, where it was in no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    named: Option<String>,
}

impl Attempt {
    /// A login to `token` with the PIN that is in `pin_file` now.
    ///
    /// # Errors
    /// When the file isn't there.
    pub fn of(token: String, pin_file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(pin_file)?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(Self { token, inode: metadata.ino(), changed, named: None })
    }

    /// A login to `token` with a PIN that is in no file, and known by a name: which custody set and generation it is of,
    /// or that the token asks for it itself.
    pub fn named(token: String, name: String) -> Self {
        Self { token, inode: 0, changed: (0, 0), named: Some(name) }
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The token took the PIN.
    Accepted,
    /// The token didn't judge the PIN, or its refusal is in the latch.
    Settled,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Logins {
    /// The login that has not ended.
    begun: Option<(Timestamp, Attempt)>,
    /// The last that the token accepted.
    accepted: Option<Attempt>,
}

/// What couldn't be written. It holds for this process.
#[derive(Debug, Default)]
struct Memory {
    refused: Option<Refused>,
    logins: Option<Logins>,
}

/// The latch of one signer; clones are the same.
#[derive(Clone, Debug)]
pub struct Latch {
    path: PathBuf,
    memory: Arc<Mutex<Memory>>,
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

    /// What it remembers; `None` when it isn't set. A file that can't be understood counts as set.
    ///
    /// # Errors
    /// When the file can't be read; the caller must then not log in.
    pub fn read(&self) -> io::Result<Option<Refused>> {
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
            Some((at, attempt)) if logins.accepted.as_ref() != Some(&attempt) => Some(Refused {
                at,
                detail:
                    "a login was begun whose end isn't known, with a PIN that this token hasn't accepted \
                         before"
                        .to_owned(),
            }),
            _ => None,
        })
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
        file.write_all(&serde_json::to_vec_pretty(refused)?)?;
        file.sync_all()?;
        self.sync_folder()
    }

    /// Whether the token has accepted the PIN of this very file before, so that giving it again costs no try.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn has_accepted(&self, attempt: &Attempt) -> io::Result<bool> {
        Ok(self.logins()?.is_ok_and(|logins| logins.accepted.as_ref() == Some(attempt)))
    }

    /// Notes, durably, that a login begins. The token may only see the PIN afterwards.
    ///
    /// # Errors
    /// When it can't be made durable; nobody may log in then.
    pub fn begin(&self, at: Timestamp, attempt: Attempt) -> io::Result<()> {
        let mut logins = self.logins()?.map_err(io::Error::other)?;
        logins.begun = Some((at, attempt));
        self.write_logins(&logins)
    }

    /// Notes how the login ended that was begun last.
    ///
    /// # Errors
    /// When it can't be made durable. This process knows it; another would take the login for one that never ended.
    pub fn ended(&self, outcome: Outcome) -> io::Result<()> {
        let mut logins = self.logins()?.map_err(io::Error::other)?;
        let Some((_, attempt)) = logins.begun.take() else { return Ok(()) };
        if outcome == Outcome::Accepted {
            logins.accepted = Some(attempt);
        }
        self.write_logins(&logins).inspect_err(|_| self.memory().logins = Some(logins))
    }

    /// Clears it, durably, and returns what it remembered.
    ///
    /// # Errors
    /// When the file can't be read or removed.
    pub fn clear(&self) -> io::Result<Option<Refused>> {
        let refused = self.read()?;
        if refused.is_some() {
            remove(&self.login_path())?;
            remove(&self.path)?;
            self.sync_folder()?;
        }
        Ok(refused)
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
        file.write_all(&serde_json::to_vec_pretty(logins)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        self.sync_folder()?;
        self.memory().logins = None;
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
        pin_file: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let pin_file = folder.path().join("pin");
            fs::write(&pin_file, b"1234").expect("written");
            Self { folder, pin_file }
        }

        /// As another process sees it.
        fn latch(&self) -> Latch {
            Latch::new(self.folder.path().join("latch"))
        }

        fn attempt(&self) -> Attempt {
            Attempt::of("token".to_owned(), &self.pin_file).expect("the PIN file")
        }

        fn is_set(&self) -> bool {
            self.latch().read().expect("readable").is_some()
        }
    }

    fn refused() -> Refused {
        Refused { at: Timestamp::UNIX_EPOCH, detail: "CKR_PIN_INCORRECT".to_owned() }
    }

    #[test]
    fn it_holds_what_it_was_first_told_until_it_is_cleared() {
        let place = Place::new();
        let latch = place.latch();
        assert_eq!(latch.read().expect("readable"), None);
        latch.set(&refused()).expect("set");
        latch.set(&Refused { detail: "later".to_owned(), ..refused() }).expect("set again");
        assert_eq!(place.latch().read().expect("readable"), Some(refused()));
        assert_eq!(latch.clear().expect("cleared"), Some(refused()));
        assert_eq!(latch.clear().expect("nothing to clear"), None);
    }

    #[test]
    fn a_file_that_was_cut_by_a_crash_still_latches() {
        for name in ["latch", "latch.login"] {
            let place = Place::new();
            fs::write(place.folder.path().join(name), b"").expect("written");
            assert!(place.is_set(), "{name}");
            place.latch().clear().expect("cleared");
            assert!(!place.is_set(), "{name}");
        }
    }

    #[test]
    fn a_latch_that_cannot_be_kept_holds_in_this_process() {
        let place = Place::new();
        std::os::unix::fs::symlink("nowhere", place.folder.path().join("latch")).expect("a link");
        let latch = place.latch();
        latch.set(&refused()).expect_err("it would not be found again");
        assert_eq!(latch.clone().read().expect("readable"), Some(refused()));
    }

    #[test]
    fn a_login_that_never_ended_latches_whoever_looks() {
        let place = Place::new();
        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        let found = place.latch().read().expect("readable").expect("set");
        assert!(found.detail.contains("isn't known"), "{found:?}");
        place.latch().clear().expect("cleared");
        assert!(!place.is_set());

        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        place.latch().ended(Outcome::Settled).expect("noted");
        assert!(!place.is_set(), "the token didn't judge it");
    }

    #[test]
    fn a_pin_that_was_accepted_may_be_given_again_after_a_crash_and_another_may_not() {
        let place = Place::new();
        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        place.latch().ended(Outcome::Accepted).expect("noted");
        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        assert!(!place.is_set());

        fs::remove_file(&place.pin_file).expect("removed");
        fs::write(&place.pin_file, b"5678").expect("written");
        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        assert!(place.is_set(), "another file");
        place.latch().clear().expect("cleared");

        place.latch().begin(Timestamp::UNIX_EPOCH, place.attempt()).expect("noted");
        place.latch().ended(Outcome::Accepted).expect("noted");
        let elsewhere = Attempt { token: "another token".to_owned(), ..place.attempt() };
        place.latch().begin(Timestamp::UNIX_EPOCH, elsewhere).expect("noted");
        assert!(place.is_set(), "another token");
    }
}
