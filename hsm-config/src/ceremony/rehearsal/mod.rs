//! The stage of a rehearsal: the same specification on software tokens that vanish, with PINs made up for them, and
//! stand-ins for keys and certificates that exist.

mod stand_in;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::CeremonyError;
use super::lint;
use super::spec::mistake::Mistakes;
use super::spec::{Free, Spec};
use super::work::Leader;
use super::work::pins::Pins;
use crate::token::{ModuleAccess, TokenSelection};
use crate::vendor::ThrowAway;

/// Throw-away tokens. Dropping it removes them.
pub(super) struct Stage {
    /// The specification, pointing to the throw-away tokens and stand-ins.
    pub(super) spec: Spec,
    /// Their PINs.
    pub(super) pins: Pins,
    store: TempDir,
}

impl Stage {
    /// Builds the stage. The real PIN files are not touched, so a rehearsal can be held elsewhere.
    pub(super) async fn new(
        spec: &Spec,
        stand_in: Option<&Path>,
        leader: &mut dyn Leader,
    ) -> Result<Self, CeremonyError> {
        let mut spec = spec.clone();
        let store = TempDir::with_prefix("inro-rehearsal-").map_err(|e| refused(&e))?;
        tokens(&mut spec, stand_in, store.path())?;
        let pins = Pins::made_up(&spec).map_err(|_| {
            CeremonyError::Refused(vec!["the system has no randomness for throw-away PINs".into()])
        })?;
        stand_in::prepare(&mut spec, &pins, leader)
            .await
            .map_err(|cause| CeremonyError::Failed(Box::new(cause)))?;
        Ok(Self { spec, pins, store })
    }

    /// Where its log is.
    pub(super) fn folder(&self) -> PathBuf {
        self.store.path().join("log")
    }
}

/// Leads every token to a throw-away one. Tokens that share a store share one here as well.
fn tokens(spec: &mut Spec, stand_in: Option<&Path>, store: &Path) -> Result<(), CeremonyError> {
    let mut configurations: BTreeMap<String, String> = BTreeMap::new();
    let mut mistakes = Mistakes::default();
    for token in &mut spec.tokens {
        let environment = token.access.environment.clone();
        if let Some(stand_in) = stand_in {
            token.access = ModuleAccess::new(stand_in.to_owned(), environment.clone());
        }
        let Some(throw_away) = token.access.vendor.throw_away.clone() else {
            mistakes.add(
                format!("token.{}.module", token.name),
                format!("is {}, which has no throw-away tokens", token.access.module.display()),
                "rehearse with --stand-in and the path of libsofthsm2.so",
            );
            continue;
        };
        let number = configurations.len();
        let original = format!("{} {environment:?}", token.access.vendor.name);
        let configuration = match configurations.get(&original) {
            Some(configuration) => configuration.clone(),
            None => software_store(store, number, &throw_away).map_err(|e| refused(&e))?,
        };
        configurations.insert(original, configuration.clone());
        token.access.environment = BTreeMap::from([(throw_away.variable, configuration)]);
        if let Some(initialise) = &mut token.initialise {
            initialise.free = Free::First;
        }
        // A software token makes its serial number up.
        if let TokenSelection::Serial(_) = token.selection {
            token.selection = TokenSelection::Label(token.name.clone());
        }
        lint::modules(token, &mut mistakes);
    }
    // The stand-ins may be another vendor's.
    spec.confine();
    if mistakes.0.is_empty() { Ok(()) } else { Err(CeremonyError::Mistakes(mistakes.0)) }
}

fn software_store(folder: &Path, number: usize, throw_away: &ThrowAway) -> std::io::Result<String> {
    let tokens = folder.join(format!("tokens-{number}"));
    fs::create_dir(&tokens)?;
    let configuration = folder.join(format!("tokens-{number}.conf"));
    fs::write(&configuration, throw_away.configuration.replace("{folder}", &tokens.display().to_string()))?;
    Ok(configuration.display().to_string())
}

fn refused(error: &std::io::Error) -> CeremonyError {
    CeremonyError::Refused(vec![format!("no room for throw-away tokens: {error}")])
}
