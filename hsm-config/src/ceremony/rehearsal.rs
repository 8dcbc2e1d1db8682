//! The stage of a rehearsal: the same specification on software tokens that vanish, with PINs made up for them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::CeremonyError;
use super::lint;
use super::mistake::Mistakes;
use super::spec::{Initialise, Spec};
use super::tokens::Pins;
use crate::token::ModuleAccess;

/// Throw-away tokens. Dropping it removes them.
pub(super) struct Stage {
    /// The specification, pointing to the throw-away tokens.
    pub(super) spec: Spec,
    /// Their PINs.
    pub(super) pins: Pins,
    _store: TempDir,
}

impl Stage {
    /// Builds the stage. The real PIN files are not touched, so a rehearsal can be held elsewhere.
    pub(super) fn new(spec: &Spec, stand_in: Option<&Path>) -> Result<Self, CeremonyError> {
        let mut spec = spec.clone();
        let store = TempDir::with_prefix("inro-rehearsal-").map_err(|e| refused(&e))?;
        let mut configurations: BTreeMap<String, String> = BTreeMap::new();
        let mut mistakes = Mistakes::default();
        for token in &mut spec.tokens {
            if let Some(stand_in) = stand_in {
                token.access = ModuleAccess::new(stand_in.to_owned(), token.access.environment.clone());
            }
            if !token.access.is_softhsm() {
                mistakes.add(
                    format!("token.{}.module", token.name),
                    format!("is {}, which has no throw-away tokens", token.access.module.display()),
                    "rehearse with --stand-in and the path of libsofthsm2.so",
                );
            }
            // Tokens that share a store share one here as well.
            let original = format!("{:?}", token.access.environment);
            let number = configurations.len();
            let configuration = match configurations.get(&original) {
                Some(configuration) => configuration.clone(),
                None => software_store(store.path(), number).map_err(|e| refused(&e))?,
            };
            configurations.insert(original, configuration.clone());
            token.access.environment = BTreeMap::from([("SOFTHSM2_CONF".to_owned(), configuration)]);
            token.initialise = Some(Initialise { slot: None, so_pin_file: PathBuf::new() });
            lint::modules(token, &mut mistakes);
        }
        if !mistakes.0.is_empty() {
            return Err(CeremonyError::Mistakes(mistakes.0));
        }
        let pins = Pins::made_up(&spec).map_err(|_| {
            CeremonyError::Refused(vec!["the system has no randomness for throw-away PINs".into()])
        })?;
        Ok(Self { spec, pins, _store: store })
    }
}

fn software_store(folder: &Path, number: usize) -> std::io::Result<String> {
    let tokens = folder.join(format!("tokens-{number}"));
    fs::create_dir(&tokens)?;
    let configuration = folder.join(format!("softhsm2-{number}.conf"));
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&configuration, text)?;
    Ok(configuration.display().to_string())
}

fn refused(error: &std::io::Error) -> CeremonyError {
    CeremonyError::Refused(vec![format!("no room for throw-away tokens: {error}")])
}
