//! `inro-agent erase`.

use jiff::Timestamp;
use serde_json::json;

use super::{
    args::EraseArgs,
    enroll::management_key,
    exit::CliError,
    output::Output,
    person::TerminalPerson,
    tpm::{self, TPM},
};
use crate::{
    config::Config,
    enrol::EnrolError,
    erase::{empty, erase},
    farewell::{Farewells, Told},
    messages, paths,
    token::all::Tokens,
};

pub(super) fn run(args: &EraseArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let mut person = TerminalPerson {
        lang: output.lang,
        password: None,
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: args.pin.pin(),
        new_pin: None,
        agreed: args.yes,
    };
    if args.token == TPM {
        return tpm::run_erase(args, config, &mut person, output);
    }
    let driver = Tokens::connected(config.pkcs11_module.as_deref());
    if args.whole_token {
        let emptied = empty(&driver, &mut person, &args.token)?;
        let json =
            json!({"token": emptied.token.serial, "reset": true, "certificates": emptied.certificates});
        return output.result(&json, |lang| messages::emptied(&emptied, lang));
    }
    let slot = args.slot.ok_or(CliError::NoSlot)?;
    let key = management_key(&args.pin)?;
    let state = args.state_dir.clone().or_else(|| config.state_dir.clone()).or_else(paths::state_directory);
    let farewells = Farewells::new(&state.ok_or(CliError::NoStateDirectory)?);
    let place = (args.token.as_str(), slot);
    let erased = erase(&driver, &mut person, &farewells, place, key.as_ref(), Timestamp::now())?;
    let told = tell(&farewells, args, config)?;
    let certificate = erased.what.as_ref().and_then(|what| what.certificate.as_ref());
    let json = json!({
        "token": erased.token.serial,
        "slot": erased.slot.to_string(),
        "erased": erased.what.is_some(),
        "certificate": certificate,
        "told": told.told > 0 && told.left == 0,
    });
    output.result(&json, |lang| format!("{}{}", messages::erased(&erased, lang), messages::told(told, lang)))
}

/// Erasing is done, whatever the network says: what can't be told now is told later.
fn tell(farewells: &Farewells, args: &EraseArgs, config: &Config) -> Result<Told, CliError> {
    if farewells.is_empty() {
        return Ok(Told::default());
    }
    match args.connection.route(args.server.as_ref(), config).connect() {
        Ok(api) => Ok(farewells.tell(&api).map_err(EnrolError::from)?),
        Err(_) => Ok(Told { told: 0, left: 1 }),
    }
}
