//! The arguments. Secrets have no place among them: only files and descriptors that hold them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use crate::{
    messages::Lang,
    secret::SecretSource,
    token::{KeyAlgorithm, Slot},
};

const EXIT_CODES: &str = "\
Exit status:
  0  done
  1  this computer: a file can't be read or written
  2  the arguments or the configuration are not right
  3  the token
  4  the PIN: wrong, blocked or not acceptable
  5  the bank's server refuses
  6  the bank's server can't be reached or trusted
  7  interrupted: run the same command again to go on
  8  not agreed to: nothing was overwritten or erased";

/// Certificates whose keys live on tokens.
#[derive(Debug, Parser)]
#[command(name = "inro-agent", version, after_help = EXIT_CODES)]
pub(super) struct Args {
    /// Language of messages; otherwise that of the configuration or of LANG
    #[arg(long, global = true, value_enum)]
    pub(super) lang: Option<Lang>,
    /// Write the result, or the failure, as JSON to standard output
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Configuration file (agent.toml)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show readers and tokens
    Tokens,
    /// Show the certificates on the connected tokens
    List(ListArgs),
    /// Obtain a certificate; run again, it goes on where it was interrupted
    Enroll(Box<EnrollArgs>),
    /// Erase key and certificate of a slot, before a token is handed on or thrown away
    Erase(EraseArgs),
    /// Show the agent's version
    Version,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// Only this token's
    #[arg(long, value_name = "SERIAL")]
    pub(super) token: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EnrollArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Login ID
    #[arg(long, value_name = "ID")]
    pub(super) user: String,
    /// Serial of the token, where several are connected
    #[arg(long, value_name = "SERIAL")]
    pub(super) token: Option<String>,
    /// PIV slot; otherwise the bank's first choice
    #[arg(long, value_parser = slot)]
    pub(super) slot: Option<Slot>,
    /// Kind of key (p256, p384, rsa2048, rsa3072, rsa4096); otherwise the bank's first choice that suits the token
    #[arg(long, value_parser = algorithm)]
    pub(super) algorithm: Option<KeyAlgorithm>,
    /// Save the certificate's details and PEM to a new file
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Overwrite a slot that is occupied, without asking
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Forget an interrupted enrolment and begin a new one
    #[arg(long)]
    pub(super) start_over: bool,
    /// Where enrolments under way are recorded
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) login: LoginArgs,
    #[command(flatten)]
    pub(super) pin: PinArgs,
    #[command(flatten)]
    pub(super) new_pin: NewPinArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EraseArgs {
    /// Serial of the token
    #[arg(long, value_name = "SERIAL")]
    pub(super) token: String,
    /// PIV slot
    #[arg(long, value_parser = slot)]
    pub(super) slot: Slot,
    /// Don't ask whether it is meant
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) pin: PinArgs,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Network")]
pub(super) struct ConnectionArgs {
    /// PEM file of the only authorities that may certify the server; otherwise the system's
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The company's proxy; otherwise what `HTTPS_PROXY` says
    #[arg(long, value_name = "http://HOST:PORT")]
    pub(super) proxy: Option<String>,
    /// User name at the proxy; not the login ID
    #[arg(long, value_name = "NAME")]
    pub(super) proxy_user: Option<String>,
    /// File with the password at the proxy; not the login password
    #[arg(long, value_name = "FILE")]
    pub(super) proxy_password_file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Login (asked for without these)")]
pub(super) struct LoginArgs {
    /// File with the login password in its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Inherited file descriptor with the login password
    #[arg(long, value_name = "N", conflicts_with = "password_file")]
    password_fd: Option<u32>,
    /// File with the one-time acquisition code of the branch's letter
    #[arg(long, value_name = "FILE")]
    acquisition_code_file: Option<PathBuf>,
    /// Inherited file descriptor with the acquisition code
    #[arg(long, value_name = "N", conflicts_with = "acquisition_code_file")]
    acquisition_code_fd: Option<u32>,
    /// Ask for the acquisition code
    #[arg(long, conflicts_with_all = ["acquisition_code_file", "acquisition_code_fd"])]
    pub(super) ask_acquisition_code: bool,
}

impl LoginArgs {
    pub(super) fn password(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.password_file.as_ref(), self.password_fd)
    }

    pub(super) fn acquisition_code(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.acquisition_code_file.as_ref(), self.acquisition_code_fd)
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Token (asked for without these)")]
pub(super) struct PinArgs {
    /// File with the token's PIN
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
    /// Inherited file descriptor with the token's PIN
    #[arg(long, value_name = "N", conflicts_with = "pin_file")]
    pin_fd: Option<u32>,
    /// File with the management key in hexadecimal digits, for a token that doesn't keep it itself
    #[arg(long, value_name = "FILE")]
    management_key_file: Option<PathBuf>,
}

impl PinArgs {
    pub(super) fn pin(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.pin_file.as_ref(), self.pin_fd)
    }

    pub(super) fn management_key(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.management_key_file.as_ref(), None)
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Token (asked for without these)")]
pub(super) struct NewPinArgs {
    /// File with the PIN that replaces the factory's
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    /// Inherited file descriptor with the PIN that replaces the factory's
    #[arg(long, value_name = "N", conflicts_with = "new_pin_file")]
    new_pin_fd: Option<u32>,
}

impl NewPinArgs {
    pub(super) fn new_pin(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.new_pin_file.as_ref(), self.new_pin_fd)
    }
}

fn slot(text: &str) -> Result<Slot, String> {
    Slot::parse(text).ok_or_else(|| "expected 9a, 9c, 9d, 9e or 82 to 95".to_owned())
}

fn algorithm(text: &str) -> Result<KeyAlgorithm, String> {
    KeyAlgorithm::parse(text).ok_or_else(|| "expected p256, p384, rsa2048, rsa3072 or rsa4096".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret_itself() {
        for command in Args::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let secret = ["password", "pin", "code", "key"].iter().any(|word| name.contains(word));
                let indirect = name.ends_with("_file") || name.ends_with("_fd") || name.starts_with("ask_");
                assert!(!secret || indirect, "{name} would stand in the process list");
            }
        }
    }
}
