//! Two configured tokens that are one: told before the second logs in, since its latch knows nothing of the first's.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::token::{ModuleAccess, TokenDescription};

/// Whose tokens are files that can be copied, serial number and all.
const COPIED_WITH_SERIAL: &str = "SoftHSM project";

/// Which token each worker of this signer uses.
#[derive(Debug, Default)]
pub(in crate::signer) struct Claims {
    by_name: Mutex<BTreeMap<String, Identity>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    manufacturer: String,
    model: String,
    serial: String,
    /// What leads to its files.
    environment: BTreeMap<String, String>,
}

impl Identity {
    fn new(access: &ModuleAccess, token: &TokenDescription) -> Self {
        let copied = token.manufacturer == COPIED_WITH_SERIAL;
        Self {
            manufacturer: token.manufacturer.clone(),
            model: token.model.clone(),
            serial: token.serial.clone(),
            environment: if copied { access.environment.clone() } else { BTreeMap::new() },
        }
    }
}

impl Claims {
    /// The configured token of this name is this one, and no longer another.
    ///
    /// # Errors
    /// The name under which it is configured already.
    pub(super) fn claim(
        &self,
        name: &str,
        access: &ModuleAccess,
        token: &TokenDescription,
    ) -> Result<(), String> {
        let identity = Identity::new(access, token);
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.remove(name);
        // One that tells no serial number can't be told from another.
        let same = |(other, claimed): (&String, &Identity)| (*claimed == identity).then(|| other.clone());
        if !identity.serial.is_empty()
            && let Some(other) = by_name.iter().find_map(same)
        {
            return Err(other);
        }
        by_name.insert(name.to_owned(), identity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(manufacturer: &str, serial: &str) -> TokenDescription {
        TokenDescription {
            slot: 0,
            initialised: true,
            label: "online".to_owned(),
            manufacturer: manufacturer.to_owned(),
            model: "Model".to_owned(),
            serial: serial.to_owned(),
            firmware: "1.0".to_owned(),
            hardware: "1.0".to_owned(),
            min_pin_length: 4,
            max_pin_length: 64,
        }
    }

    fn access(configuration: &str) -> ModuleAccess {
        let environment = [("CONFIGURATION".to_owned(), configuration.to_owned())];
        ModuleAccess::new("/usr/lib/module.so".into(), environment.into())
    }

    #[test]
    fn one_token_is_one_however_it_was_found() {
        let claims = Claims::default();
        let claim = |name, configuration, manufacturer, serial| {
            claims.claim(name, &access(configuration), &token(manufacturer, serial))
        };
        assert_eq!(claim("one", "a", "Vendor", "1"), Ok(()));
        assert_eq!(claim("one", "a", "Vendor", "1"), Ok(()), "the next worker");
        assert_eq!(claim("two", "b", "Vendor", "1"), Err("one".to_owned()));
        assert_eq!(claim("two", "a", "Vendor", "2"), Ok(()));
        // Replaced, it is no longer the one it was.
        assert_eq!(claim("one", "a", "Vendor", "3"), Ok(()));
        assert_eq!(claim("two", "a", "Vendor", "1"), Ok(()));
        assert_eq!(claim("three", "a", "Vendor", ""), Ok(()));
        assert_eq!(claim("four", "a", "Vendor", ""), Ok(()));
    }

    #[test]
    fn a_copied_softhsm_is_another() {
        let claims = Claims::default();
        let softhsm = token(COPIED_WITH_SERIAL, "1");
        assert_eq!(claims.claim("one", &access("a"), &softhsm), Ok(()));
        assert_eq!(claims.claim("two", &access("b"), &softhsm), Ok(()));
        assert_eq!(claims.claim("three", &access("b"), &softhsm), Err("two".to_owned()));
    }
}
