//! The PKCS#11 libraries: our own for the TPM, and OpenSC's for cards.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Names under which modules are registered.
pub(super) const TPM: &str = "Inro TPM keys";
const CARDS: &str = "Inro smart cards";
pub(super) const NAMES: [&str; 2] = [TPM, CARDS];

const TPM_LIBRARY: &str = "libinro_tpm_pkcs11.so";
const CARD_LIBRARY: &str = "opensc-pkcs11.so";

/// A library to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) library: PathBuf,
    /// Whether it came with the agent. Others are known to p11-kit by their own packages.
    pub(super) is_ours: bool,
}

/// What is installed on this computer.
pub(super) fn installed(tpm: Option<PathBuf>) -> Vec<Module> {
    let tpm = tpm.and_then(|path| path.canonicalize().ok()).or_else(own_library);
    let tpm = tpm.map(|library| Module { name: TPM, library, is_ours: true });
    let cards = in_system(CARD_LIBRARY).map(|library| Module { name: CARDS, library, is_ours: false });
    tpm.into_iter().chain(cards).collect()
}

/// Beside the agent, in the package's folder, or where the system keeps such libraries.
pub(super) fn own_library() -> Option<PathBuf> {
    let program = env::current_exe().ok()?.canonicalize().ok()?;
    let folder = program.parent()?;
    let near = [folder.join(TPM_LIBRARY), folder.join("../lib/inro").join(TPM_LIBRARY)];
    let near = near.into_iter().find_map(|path| path.canonicalize().ok());
    near.or_else(|| in_system(TPM_LIBRARY))
}

/// In the library folders of Debian, Fedora and their like.
fn in_system(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(PathBuf::from).into();
    if let Ok(multiarch) = fs::read_dir("/usr/lib") {
        let named = |path: &Path| path.to_string_lossy().contains("-linux-gnu");
        folders.extend(multiarch.flatten().map(|entry| entry.path()).filter(|path| named(path)));
    }
    let both = folders.into_iter().flat_map(|folder| [folder.join("pkcs11").join(name), folder.join(name)]);
    both.into_iter().find(|path| path.exists())
}
