//! What would still be there after a power cut.
//!
//! The strictest reading of POSIX: a sync of a file makes its content durable, and not its name; a sync of a folder makes
//! the names in it durable, and not what they name. Nothing else makes anything durable, ever. `IMAGE/` holds
//! ```text
//! lock           held while a sync is copied
//! data/KEY       the content of a file as it was synced last
//! names/KEY      a folder's entries as they were synced last, one a line: KEY MODE NAME
//! ```
//! KEY is the inode's number and time of birth, so that a later file with the same number isn't taken for this one.
//! A copy is made in place, so that a process killed in the middle leaves a mixture of old and new, as a disk would.
//!
//! The content is read through the descriptor that the program has: closing another one of the same file would release
//! the program's own POSIX locks, on which SQLite relies.
#![expect(unsafe_code, reason = "these take the places of C functions, by name and by interface")]

use std::{
    fmt::Write as _,
    fs::{self, File, Metadata},
    io,
    mem::ManuallyDrop,
    os::{
        fd::FromRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::Path,
    thread,
    time::{Duration, UNIX_EPOCH},
};

use libc::{EIO, ENOSYS, c_int};

use crate::{
    control::{Control, Word},
    disk, fail, keeping_errno, real,
};

const OFF: i64 = 1;
const LIES: i64 = 2;

enum Outcome {
    /// It isn't the image's business.
    Real,
    /// Done, or not, in the image.
    Image(io::Result<()>),
}

fn sync(descriptor: c_int) -> Outcome {
    let Some(control) = Control::get() else { return Outcome::Real };
    let Some(image) = &control.image else { return Outcome::Real };
    keeping_errno(|| match control.concerned(descriptor) {
        Some(path) => Outcome::Image(copy(control, image, descriptor, &path)),
        None => Outcome::Real,
    })
}

fn copy(control: &Control, image: &Path, descriptor: c_int, path: &Path) -> io::Result<()> {
    // SAFETY: the descriptor is open, since the caller syncs it, and is left open.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    let metadata = file.metadata()?;
    let _lock = lock(control, image)?;
    if control.load(Word::Power) == LIES {
        return Ok(());
    }
    let key = key(&metadata)?;
    if metadata.is_dir() {
        copy_names(path, &image.join("names"), &key)?;
    } else {
        copy_content(&file, path, &image.join("data").join(key))?;
    }
    control.count(Word::Synced);
    Ok(())
}

/// Waits for ever once the power is off: whoever syncs then is about to be killed.
fn lock(control: &Control, image: &Path) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(image.join("lock"))?;
    lock.lock()?;
    if control.load(Word::Power) == OFF {
        drop(lock);
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
    Ok(lock)
}

fn key(metadata: &Metadata) -> io::Result<String> {
    let born = metadata.created()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(format!("{}-{}", metadata.ino(), born.as_nanos()))
}

fn copy_content(file: &File, path: &Path, into: &Path) -> io::Result<()> {
    let into = File::options().create(true).truncate(false).write(true).open(into)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut offset = 0;
    // A file that can't be read through this descriptor is opened again: none such holds a lock.
    let mut reopened = None;
    loop {
        let source = reopened.as_ref().unwrap_or(file);
        match source.read_at(&mut buffer, offset) {
            Ok(0) => break,
            Ok(read) => {
                into.write_all_at(&buffer[..read], offset)?;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EBADF) && reopened.is_none() => {
                reopened = Some(File::open(path)?);
            }
            Err(error) => return Err(error),
        }
    }
    into.set_len(offset)
}

fn copy_names(folder: &Path, into: &Path, key_of_folder: &str) -> io::Result<()> {
    let mut names = String::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // One that goes away meanwhile is as good as gone.
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_file() || metadata.is_dir() {
            let name = entry.file_name();
            let line = (key(&metadata)?, metadata.mode(), name.to_string_lossy());
            writeln!(names, "{} {:o} {}", line.0, line.1, line.2).map_err(io::Error::other)?;
        }
    }
    let unfinished = into.join(format!("{key_of_folder}.new"));
    fs::write(&unfinished, names)?;
    fs::rename(unfinished, into.join(key_of_folder))
}

macro_rules! syncs {
    ($($(#[$documentation:meta])* $name:ident;)*) => {$(
        $(#[$documentation])*
        ///
        /// # Safety
        /// As for the system call, which has no demands.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(descriptor: c_int) -> c_int {
            let Some(real) = real!($name(c_int) -> c_int) else { return fail(ENOSYS) };
            if let Some(errno) = disk::sync_error(descriptor) {
                return fail(errno);
            }
            match sync(descriptor) {
                // SAFETY: passed on as it came.
                Outcome::Real => unsafe { real(descriptor) },
                Outcome::Image(Ok(())) => 0,
                Outcome::Image(Err(error)) => fail(error.raw_os_error().unwrap_or(EIO)),
            }
        }
    )*};
}

syncs! {
    /// As `fsync(2)`.
    fsync;
    /// As `fdatasync(2)`.
    fdatasync;
}
