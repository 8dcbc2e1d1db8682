//! `inro-agent change-pin`.

use serde_json::json;

use super::{
    args::ChangePinArgs,
    exit::CliError,
    output::Output,
    person::TerminalPerson,
    tpm::{self, TPM},
};
use crate::{change_pin::change_pin, config::Config, messages::say, token::all::Tokens};

pub(super) fn run(args: &ChangePinArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let mut person = TerminalPerson {
        lang: output.lang,
        password: None,
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: args.pin.pin(),
        new_pin: args.new_pin.new_pin(),
        pin_length: config.pin_length(),
        agreed: false,
    };
    if args.token == TPM {
        return tpm::run_change_pin(args, config, &mut person, output);
    }
    let token = change_pin(&Tokens::connected(config.pkcs11_module.as_deref()), &mut person, &args.token)?;
    let serial = token.serial;
    output.result(&json!({"token": serial, "changed": true}), |lang| {
        say!(lang, "Token {serial} has its new PIN.\n", "トークン{serial}のPINを変更しました。\n")
    })
}
