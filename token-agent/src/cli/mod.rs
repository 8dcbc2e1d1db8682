//! The command line.

mod args;
#[cfg(target_os = "linux")]
mod browser;
mod change_pin;
mod enroll;
mod erase;
mod exit;
mod generate;
#[cfg(feature = "window")]
mod gui;
mod list;
mod logging;
mod output;
mod person;
mod tokens;
mod tpm;
mod verify_evidence;

use std::{env, process::ExitCode};

use clap::Parser;
use serde_json::json;

use self::{
    args::{Args, Command},
    exit::{CliError, Exit},
    output::Output,
};
use crate::{config::Config, messages::Lang, paths, server::Version};

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(target_os = "linux")]
    logging::quieten_libraries();
    logging::start();
    let locale = Lang::of_system();
    let mut config = match Config::load(args.config.as_deref(), paths::configuration()) {
        Ok(config) => config,
        Err(error) => {
            let mut output = Output::new(args.lang.unwrap_or(locale), args.json);
            return output.fail(&CliError::Config(error)).into();
        }
    };
    config.pkcs11_module = args.pkcs11_module.or(config.pkcs11_module);
    config.tpm = args.tpm.or(config.tpm);
    let mut output = Output::new(args.lang.or(config.lang).unwrap_or(locale), args.json);
    let done = match args.command {
        Command::Tokens => tokens::run(&config, &mut output),
        Command::List(options) => list::run(&options, &config, &mut output),
        Command::Enroll(options) => enroll::run(*options, &config, &mut output),
        Command::Erase(options) => erase::run(&options, &config, &mut output),
        Command::ChangePin(options) => change_pin::run(&options, &config, &mut output),
        #[cfg(feature = "window")]
        Command::Gui(options) => gui::run(options, &config, output.lang),
        Command::Generate(options) => generate::run(&options),
        #[cfg(target_os = "linux")]
        Command::Browser(options) => browser::run(&options, &config, &mut output),
        Command::Tpm => tpm::show(&config, &mut output),
        Command::VerifyEvidence(options) => verify_evidence::run(&options, &mut output),
        Command::Version => version(&mut output),
    };
    match done {
        Ok(()) => Exit::Done.into(),
        Err(error) => output.fail(&error).into(),
    }
}

fn version(output: &mut Output) -> Result<(), CliError> {
    let system = format!("{} {}", env::consts::OS, env::consts::ARCH);
    output.result(&json!({"version": Version::OWN, "system": system}), |_| {
        format!("inro-agent {} ({system})\n", Version::OWN)
    })
}
