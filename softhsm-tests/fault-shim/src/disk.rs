//! Writes that find the disk full or broken. SQLite's shared memory is spared: it is mapped, and no fault could reach it
//! as an error.
#![expect(unsafe_code, reason = "these take the places of C functions, by name and by interface")]

use std::sync::atomic::Ordering;

use libc::{EIO, ENOSPC, ENOSYS, c_int, c_void, iovec, off_t, off64_t, size_t, ssize_t};

use crate::{
    control::{Control, Word, is_shared_memory},
    fail, keeping_errno, real,
};

/// What becomes of a write.
enum Fate {
    /// It happens, at most this long.
    Happens(usize),
    /// It fails with this error.
    Fails(c_int),
}

const SOUND: i64 = 0;
const FULL: i64 = 1;
const BROKEN: i64 = 2;
const SYNC_FAILS: i64 = 3;

/// The control, when there is a fault on the disk of this file.
fn faulty(descriptor: c_int) -> Option<&'static Control> {
    let control = Control::get()?;
    if control.load(Word::Disk) == SOUND {
        return None;
    }
    let path = keeping_errno(|| control.concerned(descriptor))?;
    (!is_shared_memory(&path)).then_some(control)
}

fn fate(descriptor: c_int, length: usize) -> Fate {
    let Some(control) = faulty(descriptor) else { return Fate::Happens(length) };
    let errno = match control.load(Word::Disk) {
        FULL => {
            let wanted = i64::try_from(length).unwrap_or(i64::MAX);
            let before = control.word(Word::Room).fetch_sub(wanted, Ordering::SeqCst);
            match usize::try_from(before) {
                Ok(room) if room > 0 => return Fate::Happens(length.min(room)),
                _ => ENOSPC,
            }
        }
        BROKEN => EIO,
        _ => return Fate::Happens(length),
    };
    control.count(Word::Refused);
    Fate::Fails(errno)
}

/// The error of a sync of this file, if it has one to fail with.
pub(crate) fn sync_error(descriptor: c_int) -> Option<c_int> {
    let control = faulty(descriptor)?;
    let errno = match control.load(Word::Disk) {
        BROKEN | SYNC_FAILS => EIO,
        // Delayed allocation: the room is missed only now.
        FULL if control.load(Word::Room) < 0 => ENOSPC,
        _ => return None,
    };
    control.count(Word::Refused);
    Some(errno)
}

macro_rules! writes {
    ($($(#[$documentation:meta])* $name:ident($($extra:ident: $type:ty),*);)*) => {$(
        $(#[$documentation])*
        ///
        /// # Safety
        /// As for the system call: `octets` points to `length` readable octets.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            descriptor: c_int, octets: *const c_void, length: size_t $(, $extra: $type)*
        ) -> ssize_t {
            let real = real!($name(c_int, *const c_void, size_t $(, $type)*) -> ssize_t);
            let Some(real) = real else { return fail(ENOSYS) as ssize_t };
            match fate(descriptor, length) {
                // SAFETY: as the caller vouches, for all or the first of its octets.
                Fate::Happens(length) => unsafe { real(descriptor, octets, length $(, $extra)*) },
                Fate::Fails(errno) => fail(errno) as ssize_t,
            }
        }
    )*};
}

writes! {
    /// As `write(2)`.
    write();
    /// As `pwrite(2)`.
    pwrite(offset: off_t);
    /// As `pwrite(2)` with 64 bits.
    pwrite64(offset: off64_t);
}

macro_rules! vector_writes {
    ($($(#[$documentation:meta])* $name:ident($($extra:ident: $type:ty),*);)*) => {$(
        $(#[$documentation])*
        ///
        /// # Safety
        /// As for the system call: `parts` points to `count` valid parts.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            descriptor: c_int, parts: *const iovec, count: c_int $(, $extra: $type)*
        ) -> ssize_t {
            let real = real!($name(c_int, *const iovec, c_int $(, $type)*) -> ssize_t);
            let Some(real) = real else { return fail(ENOSYS) as ssize_t };
            // Nothing here writes in parts what matters: such a write happens whole or not at all.
            match fate(descriptor, 1) {
                // SAFETY: passed on as it came.
                Fate::Happens(_) => unsafe { real(descriptor, parts, count $(, $extra)*) },
                Fate::Fails(errno) => fail(errno) as ssize_t,
            }
        }
    )*};
}

vector_writes! {
    /// As `writev(2)`.
    writev();
    /// As `pwritev(2)`.
    pwritev(offset: off_t);
    /// As `pwritev(2)` with 64 bits.
    pwritev64(offset: off64_t);
}

/// The error of a change of length: none for a full disk, unless the file would grow.
fn resize_error(descriptor: c_int, length: i64) -> Option<c_int> {
    let control = faulty(descriptor)?;
    let errno = match control.load(Word::Disk) {
        BROKEN => EIO,
        FULL if control.load(Word::Room) <= 0 && grows(descriptor, length) => ENOSPC,
        _ => return None,
    };
    control.count(Word::Refused);
    Some(errno)
}

fn grows(descriptor: c_int, length: i64) -> bool {
    // SAFETY: `status` is plain old data, and only read after the call has filled it.
    unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        libc::fstat(descriptor, &raw mut status) == 0 && length > status.st_size
    }
}

macro_rules! resizes {
    ($($(#[$documentation:meta])* $name:ident($type:ty);)*) => {$(
        $(#[$documentation])*
        ///
        /// # Safety
        /// As for the system call, which has no demands.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(descriptor: c_int, length: $type) -> c_int {
            let Some(real) = real!($name(c_int, $type) -> c_int) else { return fail(ENOSYS) };
            match resize_error(descriptor, length) {
                Some(errno) => fail(errno),
                // SAFETY: passed on as it came.
                None => unsafe { real(descriptor, length) },
            }
        }
    )*};
}

resizes! {
    /// As `ftruncate(2)`.
    ftruncate(off_t);
    /// As `ftruncate(2)` with 64 bits.
    ftruncate64(off64_t);
}

macro_rules! allocations {
    ($($(#[$documentation:meta])* $name:ident($type:ty);)*) => {$(
        $(#[$documentation])*
        ///
        /// # Safety
        /// As for the system call, which has no demands.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(descriptor: c_int, offset: $type, length: $type) -> c_int {
            let Some(real) = real!($name(c_int, $type, $type) -> c_int) else { return ENOSYS };
            // The error is the result, not errno.
            match resize_error(descriptor, offset.saturating_add(length)) {
                Some(errno) => errno,
                // SAFETY: passed on as it came.
                None => unsafe { real(descriptor, offset, length) },
            }
        }
    )*};
}

allocations! {
    /// As `posix_fallocate(3)`.
    posix_fallocate(off_t);
    /// As `posix_fallocate(3)` with 64 bits.
    posix_fallocate64(off64_t);
}
