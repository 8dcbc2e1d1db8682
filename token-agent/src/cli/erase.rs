//! `inro-agent erase`.

use jiff::Timestamp;
use serde_json::{Value, json};

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
    erase::{Gone, empty, erase},
    farewell::{Farewells, Telling},
    messages::{self, Lang},
    token::all::Tokens,
    tpm::erase as erase_key,
};

pub(super) fn run(args: &EraseArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let farewells = Farewells::new(&args.state.folder(config)?);
    let gone = act(args, config, &farewells, output.lang)?;
    // Erasing is done, whatever the network says, and whether or not anybody knows the proxy's password.
    let connect = || args.service.route_with_password(config, output.lang)?.connect();
    let mut told = farewells.tell_over(connect).map_err(EnrolError::from)?;
    if matches!(gone, Gone::Nothing)
        && let Some(why) = told.why.take()
    {
        return Err(why.into());
    }
    output.result(&to_json(&gone, &told), |lang| messages::erased(&gone, &told, lang))
}

fn act(args: &EraseArgs, config: &Config, farewells: &Farewells, lang: Lang) -> Result<Gone, CliError> {
    let Some(token) = args.token.as_deref() else { return Ok(Gone::Nothing) };
    let mut person = TerminalPerson {
        lang,
        password: None,
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: args.pin.pin(),
        new_pin: None,
        pin_length: config.pin_length(),
        agreed: args.yes,
    };
    let now = Timestamp::now();
    if token == TPM {
        return Ok(Gone::TpmKey(erase_key(&tpm::machine(config)?, &mut person, farewells, args.key, now)?));
    }
    let driver = Tokens::connected(config.pkcs11_module.as_deref());
    if args.whole_token {
        return Ok(Gone::Token(empty(&driver, &mut person, farewells, token, now)?));
    }
    let place = (token, args.slot.ok_or(CliError::NoSlot)?);
    let key = management_key(&args.pin)?;
    Ok(Gone::Slot(erase(&driver, &mut person, farewells, place, key.as_ref(), now)?))
}

fn to_json(gone: &Gone, told: &Telling) -> Value {
    let mut json = match gone {
        Gone::Slot(erased) => json!({
            "token": erased.token.serial,
            "slot": erased.slot.to_string(),
            "erased": erased.what.is_some(),
            "certificate": erased.what.as_ref().and_then(|what| what.certificate.as_ref()),
        }),
        Gone::Token(emptied) => {
            let certificates = emptied.gone.iter().filter_map(|gone| gone.certificate.as_ref());
            json!({
                "token": emptied.token.serial,
                "reset": true,
                "certificates": certificates.collect::<Vec<_>>(),
            })
        }
        Gone::TpmKey(erased) => json!({
            "token": TPM,
            "key": erased.place,
            "erased": erased.place.is_some(),
            "certificate": erased.what.certificate,
        }),
        Gone::Nothing => json!({}),
    };
    let to_revoke: Vec<&str> = gone.to_revoke().iter().map(|details| details.serial.as_str()).collect();
    json["told"] = json!(told.told > 0 && told.left == 0);
    json["untold"] = json!(told.left);
    json["to_revoke"] = json!(to_revoke);
    json
}
