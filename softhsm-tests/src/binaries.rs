//! Finds the programs under test beside the running executable, and refuses those that are older than their sources.
//!
//! `CARGO_BIN_EXE_*` doesn't cross packages; the build makes all programs before the tests run. Cargo writes a
//! `.d` file beside each of them, which lists the sources that went into it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use thiserror::Error;

/// A program under test can't be used.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// Nothing there.
    #[error("{} does not exist: run `cargo build --workspace` first", .0.display())]
    Missing(PathBuf),
    /// The second token isn't there.
    #[error("{} does not exist: run `make kryoptic` first", .0.display())]
    NoKryoptic(PathBuf),
    /// A source of it changed after the build.
    #[error("{} is older than its sources: run `make kryoptic` first", .0.display())]
    StaleKryoptic(PathBuf),
    /// A source changed after the build.
    #[error("{} is older than {}: run `cargo build --workspace` first", program.display(), source_file.display())]
    Stale {
        /// The program.
        program: PathBuf,
        /// The newest of its sources.
        source_file: PathBuf,
    },
    /// The running executable can't be located.
    #[error("the running executable can't be located")]
    Unlocated(#[source] io::Error),
}

/// The path of a program of this workspace, built in the same profile as the running executable.
///
/// # Errors
/// When it is missing or stale; the message says what to run.
pub fn find(name: &str) -> Result<PathBuf, BinaryError> {
    let directory = directory()?;
    fresh(directory.join(name), &directory.join(format!("{name}.d")))
}

/// The same for a library to preload, by the name of its crate.
///
/// # Errors
/// As [`find`].
pub fn find_library(name: &str) -> Result<PathBuf, BinaryError> {
    let directory = directory()?;
    fresh(directory.join(format!("lib{name}.so")), &directory.join(format!("lib{name}.d")))
}

/// The module `kryoptic_pkcs11`, which is built apart: below the target directory, in `kryoptic`.
///
/// # Errors
/// As [`find`].
pub fn find_kryoptic() -> Result<PathBuf, BinaryError> {
    let directory = target()?.join("kryoptic/debug");
    let (module, dep_info) =
        (directory.join("libkryoptic_pkcs11.so"), directory.join("libkryoptic_pkcs11.d"));
    if !module.exists() {
        return Err(BinaryError::NoKryoptic(module));
    }
    fresh(module, &dep_info).map_err(|error| match error {
        BinaryError::Stale { program, .. } => BinaryError::StaleKryoptic(program),
        other => other,
    })
}

/// The target directory, in which the running executable is: `target/PROFILE/deps/TEST`.
///
/// # Errors
/// When it can't be located.
pub fn target() -> Result<PathBuf, BinaryError> {
    let profile = directory()?;
    Ok(profile.parent().unwrap_or(Path::new(".")).to_owned())
}

/// Tests live in `deps`, examples in `examples`, programs directly in the profile's directory.
fn directory() -> Result<PathBuf, BinaryError> {
    let executable = env::current_exe().map_err(BinaryError::Unlocated)?;
    let directory = executable.parent().unwrap_or(Path::new("."));
    let nested = directory.file_name().is_some_and(|name| name == "deps" || name == "examples");
    Ok(if nested { directory.parent().unwrap_or(directory) } else { directory }.to_owned())
}

fn fresh(program: PathBuf, dep_info: &Path) -> Result<PathBuf, BinaryError> {
    let built = modified(&program).ok_or_else(|| BinaryError::Missing(program.clone()))?;
    let newest =
        sources(dep_info).into_iter().filter_map(|path| modified(&path).map(|time| (time, path))).max();
    match newest {
        Some((time, source_file)) if time > built => Err(BinaryError::Stale { program, source_file }),
        _ => Ok(program),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Paths in Make's notation: `target: source source…`, a blank in a path written as `\ `.
fn sources(dep_info: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(dep_info).unwrap_or_default();
    let Some((_, list)) = text.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let mut paths = vec![String::new()];
    let mut escaped = false;
    for character in list.chars() {
        match (character, escaped) {
            ('\\', false) => escaped = true,
            (' ', false) => paths.push(String::new()),
            _ => {
                escaped = false;
                if let Some(path) = paths.last_mut() {
                    path.push(character);
                }
            }
        }
    }
    paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn dep_info_is_read_with_blanks_in_paths() {
        let scratch = Scratch::new("binaries").expect("scratch");
        let file = scratch.write("x.d", "/t/x: /a/b.rs /with\\ blank/c.rs\n").expect("written");
        assert_eq!(sources(&file), [PathBuf::from("/a/b.rs"), PathBuf::from("/with blank/c.rs")]);
    }

    #[test]
    fn a_program_that_was_never_built_is_named() {
        let error = find("inro-nothing").expect_err("no such program");
        assert!(matches!(error, BinaryError::Missing(_)), "{error}");
        assert!(error.to_string().contains("cargo build"), "{error}");
    }
}
