//! Tokens: the module that drives one, which of its tokens it is, and where its PINs come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::section::Section;
use super::super::{Free, Initialise, TokenSpec, WitnessToken};
use super::{identifier, parsed};
use crate::token::{KeyId, ModuleAccess, PinKeys, PinSource, TokenSelection};
use crate::vendor::Profile as Vendor;

const SO_PIN: [&str; 4] = ["so_pin_file", "so_pin_credential", "so_pin_custody", "so_pin"];

pub(super) fn witness_token(mut section: Section<'_>, folder: &Path) -> WitnessToken {
    let access = access(&mut section);
    let selection = selection(&mut section);
    let id = key_id(&mut section, "the CKA_ID of the key in hexadecimal, such as \"01\"");
    let pin = pin(&mut section, folder, false);
    section.finish();
    WitnessToken { access, selection, id, pin }
}

fn access(section: &mut Section<'_>) -> ModuleAccess {
    let module = PathBuf::from(section.text("module", "the absolute path of the PKCS#11 library"));
    let environment: BTreeMap<String, String> = section.variables("environment").into_iter().collect();
    let vendor = section.optional_text("vendor", "the vendor profile's name, see `inro-hsm vendors list`");
    let mut access = ModuleAccess::new(module, environment);
    match Vendor::choose(vendor.as_deref(), &access.module) {
        Ok(vendor) => access.vendor = vendor,
        Err(error) => section.mistakes.add(section.key("vendor"), "is no profile", error.to_string()),
    }
    access
}

/// Where a PIN comes from, by keys with this prefix.
fn pin(section: &mut Section<'_>, folder: &Path, so: bool) -> PinSource {
    let names = if so { SO_PIN } else { ["pin_file", "pin_credential", "pin_custody", "pin"] };
    let whose = if so { "the security officer's PIN" } else { "the user's PIN" };
    let meanings = [
        format!("the file that holds {whose}"),
        format!("the service's credential that holds {whose}"),
        format!("the folder of the custody set that keeps {whose}"),
        "\"protected-path\" where the token asks for it itself".to_owned(),
    ];
    let [file, credential, custody, word] =
        [0, 1, 2, 3].map(|i: usize| section.optional_text(names[i], &meanings[i]));
    let keys = PinKeys {
        pin_file: file.map(PathBuf::from),
        pin_credential: credential,
        pin_custody: custody.map(PathBuf::from),
        pin: word,
    };
    keys.source(folder).unwrap_or_else(|mistake| {
        let key = if so { format!("so_{}", mistake.key) } else { mistake.key.to_owned() };
        let remedy = mistake.remedy.replace("pin_", if so { "so_pin_" } else { "pin_" });
        section.mistakes.add(section.key(&key), mistake.problem, remedy);
        PinSource::ProtectedPath
    })
}

pub(super) fn key_id(section: &mut Section<'_>, meaning: &str) -> KeyId {
    let id = section.text("id", meaning);
    let known = KeyId::try_from(id.clone()).ok();
    parsed(section, "id", &id, known, "write 1 to 32 bytes in hexadecimal").unwrap_or_else(KeyId::placeholder)
}

pub(super) fn token(section: &mut Section<'_>, folder: &Path) -> TokenSpec {
    let name = identifier(section);
    let access = access(section);
    let user = pin(section, folder, false);
    if section.flag("initialise", true) {
        let label = section.text("label", "the label that the token gets, at most 32 bytes");
        let free = free(section);
        let initialise = Initialise { label: label.clone(), free, so_pin: pin(section, folder, true) };
        let selection = TokenSelection::Label(label);
        TokenSpec { name, access, selection, initialise: Some(initialise), pin: user, so_pin: None }
    } else {
        let selection = selection(section);
        let so_pin = SO_PIN.iter().any(|key| section.has(key)).then(|| pin(section, folder, true));
        if section.number("slot", "nothing").is_some() {
            let problem = "has no use on a token that isn't initialised";
            section.mistakes.add(section.key("slot"), problem, "remove it, or remove initialise = false");
        }
        TokenSpec { name, access, selection, initialise: None, pin: user, so_pin }
    }
}

/// A token that is ready, by one of the two things that it says of itself.
fn selection(section: &mut Section<'_>) -> TokenSelection {
    let label = section.optional_text("label", "the token's label");
    let serial = section.optional_text("serial", "the token's serial number");
    match (label, serial) {
        (Some(label), None) => TokenSelection::Label(label),
        (None, Some(serial)) => TokenSelection::Serial(serial),
        _ => {
            let remedy = "give either label or serial, as the token has them (`pkcs11-tool --list-slots`)";
            section.mistakes.add(section.key("label"), "and serial don't say one token", remedy);
            TokenSelection::Label(String::new())
        }
    }
}

/// Which uninitialised token is taken.
fn free(section: &mut Section<'_>) -> Free {
    let slot = section.number("slot", "the number of the slot to initialise");
    let serial = section.optional_text("serial", "the serial number of the token to initialise");
    match (slot.map(u64::try_from), serial) {
        (Some(_), Some(_)) => {
            section.mistakes.add(section.key("serial"), "is given besides slot", "keep one of them");
        }
        (Some(Err(_)), None) => {
            section.mistakes.add(section.key("slot"), "is negative", "give a slot's number");
        }
        (Some(Ok(slot)), None) => return Free::InSlot(slot),
        (None, Some(serial)) => return Free::WithSerial(serial),
        (None, None) => {}
    }
    Free::First
}
