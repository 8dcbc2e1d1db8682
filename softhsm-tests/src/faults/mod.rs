//! Full and broken disks, power cuts and wrong clocks for the programs under test, switched while they run.
//!
//! The faults happen in the shim `fault-shim`, which is preloaded into a program; this is the test's end of it. What the
//! words of the control file mean is told there.

mod image;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;

use crate::{
    binaries,
    process::{Environment, run},
};

pub use image::Tear;

const WORDS: usize = 8;
const DISK: u64 = 0;
const ROOM: u64 = 1;
const CLOCK: u64 = 2;
const POWER: u64 = 3;
const REFUSED: u64 = 4;
const SYNCED: u64 = 5;

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// Nothing.
    Sound,
    /// It takes so many octets more, then it is full (ENOSPC).
    Full {
        /// The octets.
        room: u32,
    },
    /// Writes and syncs fail with EIO.
    Broken,
    /// Only syncs do: the data may be there or not.
    SyncFails,
}

/// How a disk treats a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is on.
    On,
    /// It is off: nothing becomes durable any more.
    Off,
    /// It is on, but syncs succeed without any effect.
    Lies,
}

/// A switchboard. Programs that are started with its environment share its faults.
#[derive(Debug)]
pub struct Faults {
    directory: PathBuf,
    control: File,
    folders: Vec<PathBuf>,
    image: bool,
}

impl Faults {
    /// Everything is sound. The switchboard's own files are kept in `directory`; the disk faults concern files below
    /// `folders`, which exist.
    ///
    /// # Errors
    /// When a file can't be made.
    pub fn new(directory: &Path, folders: &[PathBuf]) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let folders = folders
            .iter()
            .map(|folder| folder.canonicalize().with_context(|| format!("locating {}", folder.display())))
            .collect::<Result<Vec<_>>>()?;
        let directory = directory.canonicalize().context("locating the switchboard")?;
        ensure!(
            folders.iter().all(|folder| !directory.starts_with(folder)),
            "the switchboard's own files can't be where the faults are"
        );
        let path = directory.join("control");
        fs::write(&path, [0; WORDS * 8]).with_context(|| format!("writing {}", path.display()))?;
        let control =
            File::options().read(true).write(true).open(&path).context("opening the switchboard")?;
        Ok(Self { directory, control, folders, image: false })
    }

    /// The same, with a durable image of the folders from now on: what is there now is durable.
    ///
    /// # Errors
    /// When a file can't be made.
    pub fn with_power_cuts(directory: &Path, folders: &[PathBuf]) -> Result<Self> {
        let mut faults = Self::new(directory, folders)?;
        faults.image = true;
        faults.sync_everything()?;
        Ok(faults)
    }

    /// What a program needs in its environment to have these faults.
    ///
    /// # Errors
    /// When the shim is missing or stale.
    pub fn environment(&self) -> Result<Environment> {
        let folders = std::env::join_paths(&self.folders).context("a folder with a colon in its name")?;
        let text = |path: &Path| path.display().to_string();
        let mut environment = vec![
            ("LD_PRELOAD".to_owned(), text(&binaries::find_library("fault_shim")?)),
            ("FAULT_CONTROL".to_owned(), text(&self.directory.join("control"))),
            ("FAULT_FOLDERS".to_owned(), folders.to_string_lossy().into_owned()),
        ];
        if self.image {
            environment.push(("FAULT_IMAGE".to_owned(), text(&self.image())));
        }
        Ok(environment)
    }

    /// Changes the disk.
    ///
    /// # Errors
    /// When the switchboard can't be written.
    pub fn disk(&self, disk: Disk) -> Result<()> {
        let (word, room) = match disk {
            Disk::Sound => (0, 0),
            Disk::Full { room } => (1, i64::from(room)),
            Disk::Broken => (2, 0),
            Disk::SyncFails => (3, 0),
        };
        self.write(ROOM, room)?;
        self.write(DISK, word)
    }

    /// Makes the wall clock wrong by this much from now on; zero makes it right.
    ///
    /// # Errors
    /// When the switchboard can't be written, or the error is of centuries.
    pub fn clock(&self, wrong_by: SignedDuration) -> Result<()> {
        let nanoseconds = i64::try_from(wrong_by.as_nanos()).context("a clock that wrong")?;
        self.write(CLOCK, nanoseconds)
    }

    /// Switches the power. When this returns from [`Power::Off`] nothing becomes durable any more, and the programs may
    /// be killed.
    ///
    /// # Errors
    /// When the switchboard can't be written.
    pub fn power(&self, power: Power) -> Result<()> {
        self.write(
            POWER,
            match power {
                Power::On => 0,
                Power::Off => 1,
                Power::Lies => 2,
            },
        )?;
        if self.image {
            // Waits for a sync that is being copied.
            let lock =
                File::options().create(true).truncate(false).write(true).open(self.image().join("lock"));
            lock.and_then(|lock| lock.lock()).context("waiting for the durable image")?;
        }
        Ok(())
    }

    /// Puts what is durable in the folders' place and switches the power on. Nothing may run meanwhile.
    ///
    /// # Errors
    /// When a file can't be read or written.
    pub fn after_the_cut(&self, tear: Tear<'_>) -> Result<()> {
        ensure!(self.image, "these faults have no power cuts");
        image::put_back(&self.image(), &self.folders, tear)?;
        self.power(Power::On)?;
        self.sync_everything()
    }

    /// Calls that have failed for a fault so far.
    ///
    /// # Errors
    /// When the switchboard can't be read.
    pub fn refused(&self) -> Result<i64> {
        self.read(REFUSED)
    }

    /// Syncs that have reached the durable image so far.
    ///
    /// # Errors
    /// When the switchboard can't be read.
    pub fn synced(&self) -> Result<i64> {
        self.read(SYNCED)
    }

    fn image(&self) -> PathBuf {
        self.directory.join("image")
    }

    /// A new image of everything, made by the shim itself.
    fn sync_everything(&self) -> Result<()> {
        let image = self.image();
        if image.exists() {
            fs::remove_dir_all(&image).context("removing the old image")?;
        }
        for part in ["data", "names"] {
            fs::create_dir_all(image.join(part)).context("making the image")?;
        }
        let mut sync = Command::new("find");
        sync.args(&self.folders)
            .args(["(", "-type", "f", "-o", "-type", "d", ")", "-exec", "sync", "{}", "+"]);
        run(sync.envs(self.environment()?)).map(drop).context("syncing everything")
    }

    fn write(&self, word: u64, value: i64) -> Result<()> {
        self.control.write_all_at(&value.to_ne_bytes(), word * 8).context("writing to the switchboard")
    }

    fn read(&self, word: u64) -> Result<i64> {
        let mut value = [0; 8];
        self.control.read_exact_at(&mut value, word * 8).context("reading the switchboard")?;
        Ok(i64::from_ne_bytes(value))
    }
}
