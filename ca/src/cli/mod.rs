//! The command line of `inro-ca`.

mod audit;
mod backup;
mod certificate;
mod config;
mod contract;
mod doctor;
mod evidence;
mod exit;
mod mail;
mod migrate;
mod migrate_store;
mod openapi;
mod output;
mod policy;
mod reconcile;
mod responder;
mod retention;
mod secret;
mod serve;
mod signer;
mod staff;
mod token;
mod trust;
mod user;

use std::{path::PathBuf, process::ExitCode};

use ca_core::domain::audit::Actor;
use clap::{Parser, Subcommand};
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::{
    config::{Config, LogFormat},
    logging, telemetry,
};
use exit::CliError;
use output::Output;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed for a reason of its own, which standard error names
  2  the command line can't be read
  3  the configuration, or a file that it names, can't be used
  4  what was named doesn't exist
  5  refused by a rule; nothing was changed, and the refusal is in the audit trail
  6  not possible at the moment: ledger or signer; try again
  7  a check found something wrong

INRO_LOG sets the log level, as in INRO_LOG=debug or INRO_LOG=ca=debug,warn.";

/// The certificate authority: server and operator's command line.
#[derive(Debug, Parser)]
#[command(name = "inro-ca", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Cli {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        env = "INRO_CA_CONFIG",
        default_value = "inro.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// Print results as JSON, one document on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// How log lines on standard error are written, instead of log.format.
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create the database, or bring it up to date.
    Migrate,
    /// Move the ledger from SQLite to PostgreSQL.
    MigrateStore(migrate_store::MigrateStore),
    /// Serve until SIGTERM or SIGINT.
    Serve,
    /// Look at everything that serving needs, and say what is wrong.
    Doctor,
    /// Print the OpenAPI document of all HTTP APIs.
    Openapi,
    /// Configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Contracts.
    #[command(subcommand, after_help = staff::ONLY_BOOTSTRAP)]
    Contract(contract::Command),
    /// Users.
    #[command(subcommand, after_help = staff::ONLY_BOOTSTRAP)]
    User(user::Command),
    /// Policies for contracts: which devices, keys and bindings are accepted.
    #[command(subcommand)]
    Policy(policy::Command),
    /// The token inventory.
    #[command(subcommand)]
    Token(token::Command),
    /// Certificates.
    #[command(subcommand, after_help = staff::ONLY_BOOTSTRAP)]
    Certificate(certificate::Command),
    /// What certificates were issued on: shown, exported, judged again.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Mail to users: what waits, what bounced.
    #[command(subcommand)]
    Mail(mail::Command),
    /// Personal data: how long it is kept, what is due, erasing it.
    #[command(subcommand)]
    Retention(retention::Command),
    /// Members of staff: bootstrap and break-glass.
    #[command(subcommand)]
    Staff(staff::Command),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Ledger and journals held against each other.
    #[command(subcommand)]
    Reconcile(reconcile::Command),
    /// The certificates of the OCSP responders.
    #[command(subcommand)]
    Responder(responder::Command),
    /// Whom the authority believes about devices: makers' certificates, signed by two officers.
    #[command(subcommand)]
    Trust(trust::Command),
    /// The signers that the ledger knows.
    #[command(subcommand)]
    Signer(signer::Command),
    /// Copy a SQLite ledger while it is in use, and check the copy.
    Backup(backup::Backup),
}

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { json: cli.json };
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            error.exit.into()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    let config = Config::load(&cli.config)?;
    let traces = start_logging(&cli, &config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Migrate => migrate::run(&config, output).await,
            Command::MigrateStore(command) => command.run(&config, output).await,
            Command::Serve => serve::run(config).await,
            Command::Doctor => doctor::run(&config, output).await,
            Command::Openapi => openapi::run(&config),
            Command::Config(command) => config::run(&command, &config, output),
            Command::Contract(command) => contract::run(command, &config, output).await,
            Command::User(command) => user::run(command, &config, output).await,
            Command::Policy(command) => policy::run(command, &config, output).await,
            Command::Token(command) => token::run(command, &config, output).await,
            Command::Certificate(command) => certificate::run(command, &config, output).await,
            Command::Evidence(command) => evidence::run(command, &config, output).await,
            Command::Mail(command) => mail::run(command, &config, output).await,
            Command::Retention(command) => retention::run(command, &config, output).await,
            Command::Staff(command) => staff::run(command, &config, output).await,
            Command::Audit(command) => audit::run(command, &config, output).await,
            Command::Reconcile(command) => reconcile::run(command, &config, output).await,
            Command::Responder(command) => responder::run(command, &config, output).await,
            Command::Trust(command) => trust::run(command, &config, output).await,
            Command::Signer(command) => signer::run(command, &config, output).await,
            Command::Backup(backup) => backup.run(&config, output).await,
        }
    });
    if let Some(traces) = traces {
        telemetry::stop(&traces);
    }
    ended
}

/// A server speaks as it is configured to; the operator's commands only of trouble, and to a person.
fn start_logging(cli: &Cli, config: &Config) -> Result<Option<SdkTracerProvider>, CliError> {
    if !matches!(cli.command, Command::Serve) {
        logging::start(cli.log_format.or(Some(LogFormat::Text)), tracing::Level::WARN, None);
        return Ok(None);
    }
    let traces = telemetry::start(&config.telemetry, &config.node.name).map_err(CliError::configuration)?;
    logging::start(cli.log_format.or(config.log.format), config.log.level, traces.as_ref());
    Ok(traces)
}

/// The operator for the audit trail: the account that runs the command, and who became it by sudo.
fn operator() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    let name = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    let became = std::env::var("SUDO_USER").ok().filter(|_| uid == 0);
    let plain = |text: &str| -> String { text.chars().filter(char::is_ascii_graphic).take(64).collect() };
    Actor::Operator(match became {
        Some(person) => format!("{}({uid})/{}", plain(&name), plain(&person)),
        None => format!("{}({uid})", plain(&name)),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_password_can_be_given_as_an_argument() {
        for kind in ["--password", "--secret", "--pin"] {
            let words = ["inro-ca", "user", "set-password", "hokkai-01", "--kind", "login", kind, "x"];
            assert!(Cli::try_parse_from(words).is_err(), "{kind} was taken");
        }
    }
}
