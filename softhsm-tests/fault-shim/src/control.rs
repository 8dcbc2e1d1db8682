//! The words that a test and this process share, and which files are concerned.
//!
//! The file has eight words of 64 bits in the machine's byte order; `softhsm_tests::faults` writes the first four.
//! ```text
//! 0 disk     0 sound, 1 full, 2 writes and syncs fail with EIO, 3 only syncs do
//! 1 room     octets that a full disk still takes
//! 2 clock    nanoseconds by which the wall clock is wrong
//! 3 power    0 on, 1 off: no sync returns any more, 2 lies: syncs succeed and do nothing
//! 4 refused  calls that failed for a fault (counted here)
//! 5 synced   syncs that reached the durable image (counted here)
//! ```

use std::{
    env,
    fs::{self, File},
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicI64, Ordering},
    },
};

use libc::{MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, c_int, mmap};

const WORDS: usize = 8;

/// The shared words.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    Disk = 0,
    Room = 1,
    Clock = 2,
    Power = 3,
    Refused = 4,
    Synced = 5,
}

/// What the environment says.
pub(crate) struct Control {
    words: &'static [AtomicI64; WORDS],
    folders: Vec<PathBuf>,
    /// The durable image.
    pub(crate) image: Option<PathBuf>,
}

impl Control {
    /// Once per process; `None` when the environment names no control file.
    pub(crate) fn get() -> Option<&'static Self> {
        static CONTROL: OnceLock<Option<Control>> = OnceLock::new();
        CONTROL.get_or_init(|| crate::keeping_errno(Self::read)).as_ref()
    }

    fn read() -> Option<Self> {
        let words = shared(Path::new(&env::var_os("FAULT_CONTROL")?))?;
        let folders = env::var_os("FAULT_FOLDERS").map(|folders| env::split_paths(&folders).collect());
        Some(Self {
            words,
            folders: folders.unwrap_or_default(),
            image: env::var_os("FAULT_IMAGE").map(PathBuf::from),
        })
    }

    pub(crate) fn word(&self, word: Word) -> &'static AtomicI64 {
        &self.words[word as usize]
    }

    pub(crate) fn load(&self, word: Word) -> i64 {
        self.word(word).load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self, word: Word) {
        self.word(word).fetch_add(1, Ordering::SeqCst);
    }

    /// Where an open file is, if that is below one of the folders. A file without a name any more has none here.
    pub(crate) fn concerned(&self, descriptor: c_int) -> Option<PathBuf> {
        let path = fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
        self.folders.iter().any(|folder| path.starts_with(folder)).then_some(path)
    }
}

/// SQLite maps this file, and loses nothing with it.
pub(crate) fn is_shared_memory(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"-shm")
}

#[expect(unsafe_code, reason = "memory that two processes share comes from mmap")]
fn shared(path: &Path) -> Option<&'static [AtomicI64; WORDS]> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let length = size_of::<[AtomicI64; WORDS]>();
    if file.metadata().ok()?.len() < length as u64 {
        return None;
    }
    // SAFETY: a new mapping of a file that is long enough; it is never unmapped, page-aligned, and only ever accessed
    // atomically on this side.
    unsafe {
        let address = mmap(ptr::null_mut(), length, PROT_READ | PROT_WRITE, MAP_SHARED, file.as_raw_fd(), 0);
        if address == MAP_FAILED {
            return None;
        }
        Some(&*address.cast::<[AtomicI64; WORDS]>())
    }
}
