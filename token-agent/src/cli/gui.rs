//! `inro-agent gui`.

use super::{args::GuiArgs, exit::CliError, tpm};
use crate::{
    config::Config,
    gui::{self, Setup},
    messages::Lang,
    paths,
};

pub(super) fn run(args: GuiArgs, config: &Config, lang: Lang) -> Result<(), CliError> {
    let route = args.connection.route(args.server.as_ref(), config);
    let state = args.state_dir.or_else(|| config.state_dir.clone()).or_else(paths::state_directory);
    let state_dir = state.ok_or(CliError::NoStateDirectory)?;
    let user_id = args.user.unwrap_or_default();
    let setup = Setup {
        lang,
        route,
        state_dir,
        pkcs11_module: config.pkcs11_module.clone(),
        permitted: config.permitted.clone(),
        tpm: tpm::machine_in_use(config, false)?,
        user_id,
        remind_after: config.remind_after(),
    };
    gui::run(setup).map_err(|error| CliError::Window(error.to_string()))
}
