//! Vendor profiles: what differs between the HSMs of the world, as data. The code asks a profile and never a product's
//! name, so an operator adds a vendor by writing a file.
//!
//! A profile is found by name in the folder that `INRO_HSM_VENDORS` names, then among those built in
//! (`hsm-config/vendors/*.toml`), or by the path of its file. Where a configuration names no vendor, the module's file
//! name decides, and else [`Profile::unknown`], which holds what PKCS#11 itself promises.

mod check;
mod rules;

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::error_text::bullets;

pub use check::list;
pub use rules::{
    BackupRules, Behaviour, EnvironmentRules, Evidence, HashPlace, KeyRules, MechanismRules, ModuleRules,
    PinRules, PointEncoding, Profile, ProtectedPath, Recovery, SessionRules, Threads, ThrowAway, TokenRules,
};

/// The variable that names a folder with an operator's own profiles.
pub const FOLDER: &str = "INRO_HSM_VENDORS";

/// The profiles that come with the program, by name.
const BUILT_IN: [(&str, &str); 6] = [
    ("aws-cloudhsm", include_str!("../../vendors/aws-cloudhsm.toml")),
    ("entrust-nshield", include_str!("../../vendors/entrust-nshield.toml")),
    ("kryoptic", include_str!("../../vendors/kryoptic.toml")),
    ("softhsm2", include_str!("../../vendors/softhsm2.toml")),
    ("thales-luna", include_str!("../../vendors/thales-luna.toml")),
    ("yubihsm2", include_str!("../../vendors/yubihsm2.toml")),
];

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither built in nor in the operator's folder.
    #[error(
        "no vendor profile is called {name:?}; there are {}. For your own, give the path of its file, or put \
         {name}.toml into a folder and name that in {FOLDER}",
        known.join(", ")
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Its file can't be read.
    #[error("vendor profile {path:?} can't be read: create it or correct the path")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't TOML of this form; the message names line and key.
    #[error("vendor profile {origin}: {detail}")]
    Form {
        /// Which profile.
        origin: String,
        /// What is wrong.
        detail: String,
    },
    /// Its content is wrong.
    #[error("vendor profile {origin} has {} mistake(s):{}", mistakes.len(), bullets(mistakes))]
    Mistakes {
        /// Which profile.
        origin: String,
        /// Each with its key and remedy.
        mistakes: Vec<String>,
    },
}

impl Profile {
    /// The profile of this name, or of the file at this path: whatever has a `/` or ends in `.toml` is a path.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn load(name_or_path: &str) -> Result<Self, ProfileError> {
        Self::load_with(name_or_path, folder().as_deref())
    }

    fn load_with(name_or_path: &str, folder: Option<&Path>) -> Result<Self, ProfileError> {
        let is_toml = Path::new(name_or_path).extension() == Some(OsStr::new("toml"));
        if name_or_path.contains('/') || is_toml {
            return Self::read(Path::new(name_or_path));
        }
        if let Some(path) = folder.map(|folder| folder.join(format!("{name_or_path}.toml")))
            && path.exists()
        {
            return Self::read(&path);
        }
        match BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            Some((name, text)) => Self::parse(text, name),
            None => Err(ProfileError::Unknown { name: name_or_path.to_owned(), known: names(folder) }),
        }
    }

    /// The profile that a configuration means: by its `vendor` key, else by the module's file name.
    ///
    /// # Errors
    /// [`ProfileError`], for a vendor that was named, or a file of the operator's that is wrong.
    pub fn choose(vendor: Option<&str>, module: &Path) -> Result<Arc<Self>, ProfileError> {
        match vendor {
            Some(vendor) => Self::load(vendor).map(Arc::new),
            None => Ok(Arc::new(Self::of_module(module)?.unwrap_or_else(Self::unknown))),
        }
    }

    /// The profile that lists a module of this file name; the operator's own come first.
    ///
    /// # Errors
    /// [`ProfileError`], for a file of the operator's that is wrong.
    pub fn of_module(module: &Path) -> Result<Option<Self>, ProfileError> {
        let folder = folder();
        for name in names(folder.as_deref()) {
            let profile = Self::load_with(&name, folder.as_deref())?;
            if profile.module.has(module) {
                return Ok(Some(profile));
            }
        }
        Ok(None)
    }

    /// The built-in profile that lists a module of this file name; never looks at the operator's folder.
    pub fn built_in_of(module: &Path) -> Option<Self> {
        let profiles = BUILT_IN.iter().filter_map(|(name, text)| Self::parse(text, name).ok());
        profiles.into_iter().find(|profile| profile.module.has(module))
    }

    /// All profiles there are, by name, each with where it is from.
    pub fn all() -> Vec<(String, Result<Self, ProfileError>)> {
        let folder = folder();
        let load = |name: String| {
            let profile = Self::load_with(&name, folder.as_deref());
            (name, profile)
        };
        names(folder.as_deref()).into_iter().map(load).collect()
    }

    /// Reads a profile from a file.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ProfileError::Unreadable { path: path.to_owned(), source })?;
        let profile = Self::parse(&text, &path.display().to_string())?;
        let stem = path.file_stem().unwrap_or_default();
        if stem == OsStr::new(&profile.name) {
            return Ok(profile);
        }
        Err(ProfileError::Mistakes {
            origin: path.display().to_string(),
            mistakes: vec![format!(
                "name = {:?}, but its file is {:?}: call both the same, configurations find it by either",
                profile.name,
                path.file_name().unwrap_or_default()
            )],
        })
    }

    /// Reads a profile from its text; `origin` names it in messages.
    ///
    /// # Errors
    /// [`ProfileError::Form`] or [`ProfileError::Mistakes`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(|error| ProfileError::Form {
            origin: origin.to_owned(),
            detail: error.to_string().trim_end().to_owned(),
        })?;
        let mistakes = check::mistakes(&profile);
        if mistakes.is_empty() {
            Ok(profile)
        } else {
            Err(ProfileError::Mistakes { origin: origin.to_owned(), mistakes })
        }
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Names of the operator's profiles and of those built in, each once, the operator's first.
fn names(folder: Option<&Path>) -> Vec<String> {
    let mut names: Vec<String> = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension() == Some(OsStr::new("toml")))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort_unstable();
    for (name, _) in BUILT_IN {
        if !names.iter().any(|own| own == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Pin;

    #[test]
    fn every_built_in_profile_is_valid_and_called_as_its_file() {
        for (name, text) in BUILT_IN {
            let profile = Profile::parse(text, name).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(profile.name, name);
            let tested = matches!(name, "softhsm2" | "kryoptic");
            assert_eq!(profile.evidence == Evidence::Tested, tested, "{name}");
            assert_eq!(Profile::load_with(name, None).expect("found"), profile);
        }
    }

    /// A statement about a product that nobody here has tested is worth what its source is worth.
    #[test]
    fn every_line_of_an_untested_profile_has_its_source() {
        for (name, text) in BUILT_IN {
            let profile = Profile::parse(text, name).expect("valid");
            if profile.evidence == Evidence::Tested {
                continue;
            }
            let mut sourced = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with('#') {
                    sourced |= line.contains("source:");
                } else if line.is_empty() || line.starts_with('[') {
                    sourced = false;
                } else if line.contains(" = ") {
                    let plain = ["name", "product", "evidence", "sources"]
                        .iter()
                        .any(|key| line.starts_with(&format!("{key} =")));
                    assert!(sourced || plain, "{name}: no source above {line}");
                }
            }
        }
    }

    #[test]
    fn a_module_is_known_by_its_file_name() {
        let name = |module: &str| Profile::built_in_of(Path::new(module)).map(|profile| profile.name);
        assert_eq!(name("/usr/lib/softhsm/libsofthsm2.so").as_deref(), Some("softhsm2"));
        assert_eq!(name("/elsewhere/libCryptoki2_64.so").as_deref(), Some("thales-luna"));
        assert_eq!(name("/usr/lib/libother.so"), None);
    }

    #[test]
    fn an_operators_folder_adds_profiles_and_goes_before_what_is_built_in() {
        let folder = tempfile::tempdir().expect("folder");
        let own = BUILT_IN[3].1.replace("name = \"softhsm2\"", "name = \"acme\"");
        fs::write(folder.path().join("acme.toml"), &own).expect("written");
        let other = own.replace("\"acme\"", "\"kryoptic\"").replace("SoftHSM 2", "Our own kryoptic");
        fs::write(folder.path().join("kryoptic.toml"), other).expect("written");
        let load = |name: &str| Profile::load_with(name, Some(folder.path()));
        assert_eq!(load("acme").expect("found").name, "acme");
        assert!(load("kryoptic").expect("found").product.contains("Our own"));
        assert_eq!(load("yubihsm2").expect("built in").name, "yubihsm2");
        let unknown = load("nobody").expect_err("unknown").to_string();
        assert!(unknown.contains("acme") && unknown.contains(FOLDER), "{unknown}");
        let path = folder.path().join("misnamed.toml");
        fs::write(&path, own).expect("written");
        let misnamed = Profile::load(&path.display().to_string()).expect_err("another name").to_string();
        assert!(misnamed.contains("call both the same"), "{misnamed}");
    }

    #[test]
    fn pins_are_judged_without_being_shown() {
        let pin = |text: &str| Pin::new(text.to_owned().into());
        let yubihsm = Profile::load_with("yubihsm2", None).expect("found");
        assert!(yubihsm.pin.fault(&pin("0001password")).is_none());
        for bad in ["password", "00g1password", "0001short"] {
            let fault = yubihsm.pin.fault(&pin(bad)).expect("judged");
            assert!(!fault.contains(bad), "{fault}");
        }
        let aws = Profile::load_with("aws-cloudhsm", None).expect("found");
        assert!(aws.pin.fault(&pin("inro:a-password")).is_none());
        assert!(aws.pin.fault(&pin("a-password")).is_some());
        assert!(aws.pin.fault(&pin(":a-password")).is_some());
    }
}
