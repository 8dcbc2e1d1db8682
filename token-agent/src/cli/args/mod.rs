//! The arguments. Secrets have no place among them: only files and descriptors that hold them.

mod options;
mod secrets;
mod service;

use std::path::PathBuf;

use agent_tpm::Address;
use clap::{Parser, Subcommand};

#[cfg(target_os = "linux")]
pub(super) use options::BrowserCommand;
#[cfg(feature = "window")]
pub(super) use options::GuiArgs;
pub(super) use options::{
    ChangePinArgs, DoctorArgs, EnrollArgs, EraseArgs, GenerateArgs, ListArgs, RenewArgs, UnblockArgs,
};
pub(super) use secrets::PinArgs;

use super::verify_evidence::VerifyEvidenceArgs;
use crate::messages::Lang;

/// What a script reads; the same in every command's page of the manual.
pub(super) const EXIT_CODES: &str = "\
Exit status:
  0  done
  1  this computer: a file can't be read or written
  2  the arguments or the configuration are not right
  3  the token
  4  the PIN: wrong, blocked or not acceptable
  5  the bank's server refuses; verify-evidence: the file is refused, or nothing is proven
  6  the bank's server can't be reached or trusted
  7  interrupted: run the same command again to go on
  8  not agreed to: nothing was overwritten or erased
  9  doctor has found something wrong";

const TOKENS: &str = "\
Tokens:
  YubiKeys (firmware 5 and later) prove to the bank that a key was made on them. Other PIV cards, and the tokens of a
  vendor's PKCS#11 module (--pkcs11-module), can only claim it: the bank certifies their keys where it has agreed to
  that with your company, and refuses them elsewhere. A PIV card needs a CHUID with a GUID, by which it is known, and
  its management key (--management-key-file) unless that is still the factory's.

";

/// Certificates whose keys live on tokens.
#[derive(Debug, Parser)]
#[command(name = "inro-agent", version, after_help = format!("{TOKENS}{EXIT_CODES}"))]
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
    /// A vendor's PKCS#11 module, whose tokens are used beside the cards in readers
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) pkcs11_module: Option<PathBuf>,
    /// The TPM; otherwise that of the configuration or of `TPM2TOOLS_TCTI`, or /dev/tpmrm0
    #[arg(long, global = true, value_name = "DEVICE")]
    pub(super) tpm: Option<Address>,
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
    /// Renew a certificate before it expires; run again, it goes on where it was interrupted
    ///
    /// The new key is made beside the old one, whose certificate works until the bank has the confirmation of the new
    /// one. The superseded certificate stays for a grace; the first run after that erases it. A run that finds nothing
    /// to do says so and ends well, so that it can be run every day.
    Renew(Box<RenewArgs>),
    /// Change a token's PIN
    ChangePin(ChangePinArgs),
    /// Unblock a token's PIN, with the bank's help; run again, it goes on with the same request
    ///
    /// Your master user or the branch has to approve the request. Until then the command waits, or ends with status 7.
    Unblock(UnblockArgs),
    /// Erase key and certificate of a slot, a whole token or a key in the TPM, before it is handed on or thrown away
    ///
    /// The key signs that it goes, and the bank, which is told, revokes its certificate. Where the bank can't be reached,
    /// it is told at the next “erase --tell”, “enroll”, “renew” or “unblock”. Where nobody knows the PIN the key can't
    /// sign: the certificate is named, and has to be revoked. “erase --tell” names it again until it is.
    Erase(Box<EraseArgs>),
    /// Open the window
    #[cfg(feature = "window")]
    Gui(GuiArgs),
    /// Make keys in the TPM and on cards usable in browsers, and find out what is in the way
    #[cfg(target_os = "linux")]
    #[command(subcommand)]
    Browser(BrowserCommand),
    /// Look at everything that a login or an enrolment needs, and say what is wrong and what to do
    Doctor(DoctorArgs),
    /// Show this computer's TPM: its serial number, the tries left, the keys in it
    Tpm,
    /// Check offline what proves that a certificate's key lives in a device; for auditors
    VerifyEvidence(VerifyEvidenceArgs),
    /// Show the agent's version
    Version,
    /// Write man pages and shell completions, for packages
    #[command(hide = true)]
    Generate(GenerateArgs),
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

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
                let secret = ["password", "pin", "code", "key_"].iter().any(|word| name.contains(word));
                let indirect = name.ends_with("_file") || name.ends_with("_fd") || name.starts_with("ask_");
                assert!(!secret || indirect, "{name} would stand in the process list");
            }
        }
    }

    fn whole(command: &Command) -> Vec<&Command> {
        let below = command.get_subcommands().flat_map(whole);
        std::iter::once(command).chain(below).collect()
    }

    #[test]
    fn every_command_and_option_says_what_it_does() {
        let command = Args::command();
        for command in whole(&command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
