//! Memory for what must not leave this process: never swapped out, never in a core file, wiped when dropped.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroize;

/// A page of its own: locking goes by pages, and unlocking one must not unlock another's.
const PAGE: usize = 4096;

#[repr(align(4096))]
struct Page([u8; PAGE]);

/// A secret of at most a page, in memory that is locked.
pub(super) struct Locked {
    // Fields are dropped in this order. Were the page freed before it is unlocked, another secret could be given that
    // page and lock it in between, and this unlocking would expose it.
    _guard: region::LockGuard,
    page: Box<Page>,
    length: usize,
}

impl Locked {
    /// Takes a copy.
    ///
    /// # Errors
    /// When the system locks no memory for this process (`RLIMIT_MEMLOCK`), or the secret is longer than a page.
    pub(super) fn new(secret: &[u8]) -> io::Result<Self> {
        if secret.len() > PAGE {
            return Err(io::Error::other("a secret longer than a page"));
        }
        let mut page = Box::new(Page([0; PAGE]));
        // First locked, then filled: at no time could it be swapped out.
        let guard = region::lock(page.0.as_ptr(), PAGE).map_err(io::Error::other)?;
        page.0[..secret.len()].copy_from_slice(secret);
        Ok(Self { _guard: guard, page, length: secret.len() })
    }

    /// For the moment that needs it.
    pub(super) fn expose(&self) -> &[u8] {
        &self.page.0[..self.length]
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.page.0.zeroize();
    }
}

impl std::fmt::Debug for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Locked(hidden)")
    }
}

/// No core file of this process, whatever the system is set to, and nobody but root looks into its memory.
///
/// # Errors
/// When the system doesn't allow it.
pub fn forbid_dumps() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    setrlimit(Resource::Core, limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_and_hidden() {
        let locked = Locked::new(b"987654").expect("locked");
        assert_eq!(locked.expose(), b"987654");
        assert!(!format!("{locked:?}").contains("9876"));
        assert_eq!(locked.page.0.as_ptr().align_offset(PAGE), 0);
        assert!(Locked::new(&[0; PAGE + 1]).is_err());
        let status = std::fs::read_to_string("/proc/self/status").expect("readable");
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
        assert_ne!(line.trim(), "0 kB");
    }
}
