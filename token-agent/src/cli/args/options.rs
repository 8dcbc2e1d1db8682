//! The commands' own options. What several have in common is in one piece each.

use std::path::PathBuf;

use agent_tpm::Place;
use clap::Args;

use super::{
    secrets::{LoginArgs, NewPinArgs, PasswordArgs, PinArgs},
    service::{ServiceArgs, StateArgs},
};
use crate::{
    cli::exit::CliError,
    config::LONGEST_GRACE,
    token::{KeyAlgorithm, Slot},
};

/// What to do about browsers.
#[cfg(target_os = "linux")]
#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum BrowserCommand {
    /// Register the PKCS#11 modules for your browsers (Chromium and its like, Firefox) and other programs
    Setup {
        /// Take them away again
        #[arg(long)]
        remove: bool,
        /// The module for keys in the TPM; otherwise that of this installation
        #[arg(long, value_name = "FILE", conflicts_with = "remove")]
        module: Option<PathBuf>,
    },
    /// Say what is wrong, and what to do
    Doctor {
        /// The module for keys in the TPM; otherwise that of this installation
        #[arg(long, value_name = "FILE")]
        module: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Only this token's (`tpm` for this computer's TPM)
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(in crate::cli) token: Option<String>,
}

/// The key of a certificate that is obtained or renewed, and what becomes of the certificate.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeyArgs {
    /// PIV slot of the key; otherwise the bank's first choice, for a renewal the first that is free
    #[arg(long, value_parser = slot)]
    pub(in crate::cli) slot: Option<Slot>,
    /// Kind of key (p256, p384, rsa2048, rsa3072, rsa4096); otherwise the bank's first choice that suits the token
    #[arg(long, value_parser = algorithm)]
    pub(in crate::cli) algorithm: Option<KeyAlgorithm>,
    /// Save the certificate's details and PEM to a new file
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
    /// Overwrite a slot that is occupied, without asking
    #[arg(long)]
    pub(in crate::cli) overwrite: bool,
    /// Forget what was interrupted and begin anew
    #[arg(long)]
    pub(in crate::cli) start_over: bool,
}

impl KeyArgs {
    /// Before anything is begun: nothing is overwritten.
    pub(in crate::cli) fn check_out(&self) -> Result<(), CliError> {
        match self.out.as_ref().filter(|path| path.exists()) {
            Some(path) => Err(CliError::Exists(path.clone())),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EnrollArgs {
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    /// Login ID
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) user: String,
    /// Serial of the token, where several are connected; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(in crate::cli) token: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) key: KeyArgs,
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    #[command(flatten)]
    pub(in crate::cli) login: LoginArgs,
    #[command(flatten)]
    pub(in crate::cli) pin: PinArgs,
    #[command(flatten)]
    pub(in crate::cli) new_pin: NewPinArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RenewArgs {
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    /// Login ID, where certificates of several are connected
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) user: Option<String>,
    /// Only this token's certificates (`tpm` for this computer's TPM)
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(in crate::cli) token: Option<String>,
    /// Serial number of the certificate, as “inro-agent list” shows it
    #[arg(long, value_name = "HEX")]
    pub(in crate::cli) serial: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) key: KeyArgs,
    /// How long a superseded certificate stays on the token; otherwise what the configuration says, or 72
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u16).range(..=i64::from(LONGEST_GRACE)))]
    pub(in crate::cli) grace_hours: Option<u16>,
    /// Leave the new key in its slot; otherwise it moves into its predecessor's once that is erased (firmware 5.7)
    #[arg(long)]
    pub(in crate::cli) stay: bool,
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    #[command(flatten)]
    pub(in crate::cli) password: PasswordArgs,
    #[command(flatten)]
    pub(in crate::cli) pin: PinArgs,
    #[command(flatten)]
    pub(in crate::cli) new_pin: NewPinArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UnblockArgs {
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    /// Login ID
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) user: String,
    /// Serial of the token, where several are connected
    #[arg(long, value_name = "SERIAL")]
    pub(in crate::cli) token: Option<String>,
    /// How long to wait for the approval
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=1440))]
    pub(in crate::cli) wait_minutes: u64,
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    #[command(flatten)]
    pub(in crate::cli) password: PasswordArgs,
    #[command(flatten)]
    pub(in crate::cli) new_pin: NewPinArgs,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
pub(in crate::cli) struct EraseArgs {
    /// Serial of the token; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm", required_unless_present = "tell")]
    pub(in crate::cli) token: Option<String>,
    /// PIV slot
    #[arg(long, value_parser = slot)]
    pub(in crate::cli) slot: Option<Slot>,
    /// Number of the key in the TPM, where there are several
    #[arg(long, value_name = "N", value_parser = place, conflicts_with = "slot")]
    pub(in crate::cli) key: Option<Place>,
    /// Everything on the token, PIN and PUK as well, as it was in the factory; does without the PIN where nobody knows it
    #[arg(long, conflicts_with_all = ["slot", "key"])]
    pub(in crate::cli) whole_token: bool,
    /// Erase nothing; tell the bank what was erased when it could not be told, and look whether it has revoked what could
    /// not sign
    #[arg(long, conflicts_with_all = ["token", "slot", "key", "whole_token"])]
    pub(in crate::cli) tell: bool,
    /// With --tell: don't remind any more of what is to be revoked, for somebody has asked for it
    #[arg(long, requires = "tell")]
    pub(in crate::cli) settled: bool,
    /// Don't ask whether it is meant, nor for the PIN of a whole token or of a key in the TPM
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
    #[command(flatten)]
    pub(in crate::cli) pin: PinArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ChangePinArgs {
    /// Serial of the token; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(in crate::cli) token: String,
    /// Number of the key in the TPM, where there are several
    #[arg(long, value_name = "N", value_parser = place)]
    pub(in crate::cli) key: Option<Place>,
    #[command(flatten)]
    pub(in crate::cli) pin: PinArgs,
    #[command(flatten)]
    pub(in crate::cli) new_pin: NewPinArgs,
}

#[cfg(feature = "window")]
#[derive(Debug, Args)]
pub(in crate::cli) struct GuiArgs {
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    /// Login ID that stands in the form at first
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) user: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) state: StateArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    /// Save the page to a new file, for the help desk
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GenerateArgs {
    /// Where to; folders are made as needed
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) folder: PathBuf,
}

fn place(text: &str) -> Result<Place, String> {
    let number = text.parse().ok().and_then(Place::new);
    number.ok_or_else(|| format!("expected 1 to {}", Place::COUNT))
}

fn slot(text: &str) -> Result<Slot, String> {
    Slot::parse(text).ok_or_else(|| "expected 9a, 9c, 9d, 9e or 82 to 95".to_owned())
}

fn algorithm(text: &str) -> Result<KeyAlgorithm, String> {
    KeyAlgorithm::parse(text).ok_or_else(|| "expected p256, p384, rsa2048, rsa3072 or rsa4096".to_owned())
}
