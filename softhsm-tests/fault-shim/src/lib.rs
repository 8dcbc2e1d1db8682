//! Faults of disk, power and clock for a program that knows nothing of them, by `LD_PRELOAD`.
//!
//! A test switches faults on and off while the program runs, through the words of a shared file ([`control`]). Only
//! files below given folders are concerned. Three families:
//! - [`disk`]: writes and syncs that fail with ENOSPC or EIO;
//! - [`power`]: a durable image of the folders, which holds what was synced and nothing else, for the test to put in
//!   the folders' place after a power cut;
//! - [`clock`]: a wall clock that is wrong by any amount. The monotonic clock is never touched.
//!
//! What it doesn't see: system calls made without the C library, and writes inside it (stdio). SQLite and Rust's
//! standard library call it by name, which `softhsm-tests/tests/crash/tools.rs` proves.
//!
//! Environment: `FAULT_CONTROL` names the shared file, `FAULT_FOLDERS` the folders (absolute, separated by colons),
//! `FAULT_IMAGE` the folder of the durable image, outside of them; without it syncs are real ones.

pub mod clock;
mod control;
pub mod disk;
pub mod power;

use libc::{__errno_location, c_int};

/// The C library's own function of this name behind the one here. It is found when the shim is loaded, before there are
/// threads: to look for it takes the dynamic linker's lock, and whoever holds that lock while a library is being loaded may
/// wait for the very thread that looks.
macro_rules! real {
    ($name:ident($($argument:ty),*) -> $result:ty) => {{
        type Function = unsafe extern "C" fn($($argument),*) -> $result;
        static REAL: std::sync::atomic::AtomicPtr<libc::c_void> =
            std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
        extern "C" fn find() {
            const NAME: &[u8] = concat!(stringify!($name), "\0").as_bytes();
            // SAFETY: the name is a C string.
            let found = unsafe { libc::dlsym(libc::RTLD_NEXT, NAME.as_ptr().cast()) };
            REAL.store(found, std::sync::atomic::Ordering::Relaxed);
        }
        #[used]
        #[unsafe(link_section = ".init_array")]
        static FIND: extern "C" fn() = find;
        let load = || REAL.load(std::sync::atomic::Ordering::Relaxed);
        if load().is_null() {
            // Another library's constructor came first.
            find();
        }
        // SAFETY: where the symbol exists it is POSIX's function of this very type, and `Option` of a function pointer has
        // the null pointer as `None`.
        unsafe { std::mem::transmute::<*mut libc::c_void, Option<Function>>(load()) }
    }};
}
use real;

/// Fails as a C function does.
#[expect(unsafe_code, reason = "errno is a C library's variable of this thread")]
fn fail(errno: c_int) -> c_int {
    // SAFETY: the C library returns a valid pointer for the calling thread, always.
    unsafe { *__errno_location() = errno };
    -1
}

/// Runs `work` and leaves errno as it was, for what the caller's own call has nothing to do with.
#[expect(unsafe_code, reason = "errno is a C library's variable of this thread")]
fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: as in `fail`.
    let before = unsafe { *__errno_location() };
    let result = work();
    // SAFETY: as in `fail`.
    unsafe { *__errno_location() = before };
    result
}
