//! `inro-agent unblock`.

use std::{thread, time::Duration};

use serde_json::json;

use super::{args::UnblockArgs, exit::CliError, output::Output, person::TerminalPerson};
use crate::{
    config::Config,
    farewell::Farewells,
    messages::unblocked,
    token::all::Tokens,
    unblock::{Order, Requests, World, unblock},
};

pub(super) fn run(args: &UnblockArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let api = args.service.connect(config, output.lang)?;
    let state = args.state.folder(config)?;
    let requests = Requests::new(&state);
    Farewells::new(&state).tell_by_the_way(&api);
    let mut person = TerminalPerson {
        lang: output.lang,
        password: args.password.password(),
        acquisition_code: None,
        ask_acquisition_code: false,
        pin: None,
        new_pin: args.new_pin.new_pin(),
        pin_length: config.pin_length(),
        agreed: false,
    };
    let order = Order {
        user_id: args.user.clone(),
        token: args.token.clone(),
        patience: Duration::from_secs(args.wait_minutes * 60),
    };
    let driver = Tokens::connected(config.pkcs11_module.as_deref());
    let mut pause = |pause| {
        thread::sleep(pause);
        true
    };
    let mut world =
        World { driver: &driver, api: &api, person: &mut person, requests: &requests, pause: &mut pause };
    let done = unblock(&mut world, &order).map_err(CliError::Flow)?;
    let json = json!({"token": done.token.serial, "unblocked": true, "puk_replaced": done.puk_replaced});
    output.result(&json, |lang| unblocked(&done, lang))
}
