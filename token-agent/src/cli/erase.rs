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
use crate::{config::Config, erase::erase, messages, token::all::Tokens};

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
    let slot = args.slot.ok_or(CliError::NoSlot)?;
    let key = management_key(&args.pin)?;
    let erased = erase(
        &Tokens::connected(config.pkcs11_module.as_deref()),
        &mut person,
        &args.token,
        slot,
        key.as_ref(),
        Timestamp::now(),
    )?;
    let certificate = erased.what.as_ref().and_then(|what| what.certificate.as_ref());
    let json = json!({
        "token": erased.token.serial,
        "slot": erased.slot.to_string(),
        "erased": erased.what.is_some(),
        "certificate": certificate,
    });
    output.result(&json, |lang| messages::erased(&erased, lang))
}
