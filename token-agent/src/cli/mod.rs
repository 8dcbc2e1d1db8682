//! The command line.

mod args;
#[cfg(target_os = "linux")]
mod browser;
mod change_pin;
mod doctor;
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
mod renew;
mod tokens;
mod tpm;
mod unblock;
mod verify_evidence;

use std::{env, process::ExitCode};

use clap::Parser;
use serde_json::json;

use self::{
    args::{Args, Command},
    exit::{CliError, Exit},
    output::Output,
};
use crate::{config::Config, messages::Lang, paths, policy::Policy, server::Version};

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return Output::misused(&error).into(),
    };
    #[cfg(target_os = "linux")]
    logging::quieten_libraries();
    logging::start();
    let locale = Lang::of_system();
    let config = match configuration(&args) {
        Ok(config) => config,
        Err(error) => {
            let mut output = Output::new(args.lang.unwrap_or(locale), args.json);
            return output.fail(&error).into();
        }
    };
    let mut output = Output::new(args.lang.or(config.lang).unwrap_or(locale), args.json);
    let done = match args.command {
        Command::Tokens => tokens::run(&config, &mut output),
        Command::List(options) => list::run(&options, &config, &mut output),
        Command::Enroll(options) => enroll::run(*options, &config, &mut output),
        Command::Renew(options) => renew::run(&options, &config, &mut output),
        Command::Erase(options) => erase::run(&options, &config, &mut output),
        Command::Unblock(options) => unblock::run(&options, &config, &mut output),
        Command::ChangePin(options) => change_pin::run(&options, &config, &mut output),
        #[cfg(feature = "window")]
        Command::Gui(options) => gui::run(options, &config, output.lang),
        Command::Generate(options) => generate::run(&options),
        #[cfg(target_os = "linux")]
        Command::Browser(options) => browser::run(&options, &config, &mut output),
        Command::Doctor(options) => doctor::run(&options, &config, &mut output),
        Command::Tpm => tpm::show(&config, &mut output),
        Command::VerifyEvidence(options) => verify_evidence::run(&options, &mut output),
        Command::Version => version(&mut output),
    };
    match done {
        Ok(()) => Exit::Done.into(),
        Err(error) => output.fail(&error).into(),
    }
}

/// The configuration file's, the policy's and the options' words together.
fn configuration(args: &Args) -> Result<Config, CliError> {
    let mut config =
        Config::load(args.config.as_deref(), paths::configuration()).map_err(CliError::Config)?;
    Policy::load(paths::policy()).map_err(CliError::Config)?.fix(&mut config);
    if args.pkcs11_module.is_some() {
        if config.fixed.pkcs11_module && args.pkcs11_module != config.pkcs11_module {
            return Err(CliError::Fixed("--pkcs11-module"));
        }
        config.pkcs11_module.clone_from(&args.pkcs11_module);
    }
    if config.fixed.lang && args.lang.is_some_and(|lang| config.lang != Some(lang)) {
        return Err(CliError::Fixed("--lang"));
    }
    if args.tpm.is_some() {
        config.tpm.clone_from(&args.tpm);
    }
    Ok(config)
}

fn version(output: &mut Output) -> Result<(), CliError> {
    let system = format!("{} {}", env::consts::OS, env::consts::ARCH);
    output.result(&json!({"version": Version::OWN, "system": system}), |_| {
        format!("inro-agent {} ({system})\n", Version::OWN)
    })
}
