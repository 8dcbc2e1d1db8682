//! `inro-agent gui`.

use super::{args::GuiArgs, exit::CliError, tpm};
use crate::{
    config::Config,
    gui::{self, Setup},
    messages::Lang,
};

pub(super) fn run(args: GuiArgs, config: &Config, lang: Lang) -> Result<(), CliError> {
    let route = args.service.route(config);
    let state_dir = args.state.folder(config)?;
    let user_id = args.user.unwrap_or_default();
    let setup = Setup {
        lang,
        route,
        state_dir,
        pkcs11_module: config.pkcs11_module.clone(),
        permitted: config.permitted.clone(),
        // An address in the environment that is wrong troubles nobody who uses a token.
        tpm: tpm::possible(config).unwrap_or_else(|error| {
            tracing::warn!(%error, "the TPM is left out");
            None
        }),
        user_id,
        remind_after: config.remind_after(),
        pin_length: config.pin_length(),
        grace: config.grace(),
    };
    gui::run(setup).map_err(|error| CliError::Window(error.to_string()))
}
