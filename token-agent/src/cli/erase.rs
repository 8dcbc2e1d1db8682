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
    doctor::is_revoked,
    enrol::EnrolError,
    erase::{Gone, empty, erase, erase_key},
    farewell::{Farewells, IsRevoked, Telling},
    messages::{self, Lang},
    server::https::HttpsApi,
    token::all::Tokens,
};

pub(super) fn run(args: &EraseArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let farewells = Farewells::new(&args.state.folder(config)?);
    let gone = act(args, config, &farewells, output.lang)?;
    // Erasing is done, whatever the network says, and whether or not anybody knows the proxy's password.
    let connect = || args.service.route_with_password(config, output.lang)?.connect();
    let now = Timestamp::now();
    let ask: IsRevoked<'_, HttpsApi> = &|api, certificate| is_revoked(api, certificate, now);
    let ask = args.tell.then_some(ask);
    let mut told = farewells.tell_over(connect, ask, now).map_err(EnrolError::from)?;
    if args.tell
        && let Some(why) = told.why.take()
    {
        return Err(why.into());
    }
    output.result(&to_json(&gone, &told), |lang| messages::erased(&gone, &told, lang))
}

fn act(args: &EraseArgs, config: &Config, farewells: &Farewells, lang: Lang) -> Result<Gone, CliError> {
    let Some(token) = args.token.as_deref() else {
        if args.settled {
            farewells.settle(|_, _| true).map_err(EnrolError::from)?;
        }
        return Ok(Gone::Nothing);
    };
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
            "erased": !erased.was_empty,
            "certificate": erased.certificate,
        }),
        Gone::Token(emptied) => json!({
            "token": emptied.token.serial,
            "reset": true,
            "certificates": emptied.certificates,
        }),
        Gone::TpmKey(erased) => json!({
            "token": TPM,
            "key": erased.place,
            "erased": erased.place.is_some(),
            "certificate": erased.certificate,
        }),
        Gone::Nothing => json!({}),
    };
    let to_revoke: Vec<&str> = told.to_revoke.iter().map(|details| details.serial.as_str()).collect();
    json["told"] = json!(told.told > 0 && told.left == 0);
    json["untold"] = json!(told.left);
    json["to_revoke"] = json!(to_revoke);
    json
}
