//! Where secrets come from. None has a place among the arguments themselves, which others can read.

use std::path::PathBuf;

use clap::Args;

use crate::secret::SecretSource;

#[derive(Debug, Args)]
#[command(next_help_heading = "Login (asked for without these)")]
pub(in crate::cli) struct PasswordArgs {
    /// File with the login password in its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Inherited file descriptor with the login password
    #[arg(long, value_name = "N", conflicts_with = "password_file")]
    password_fd: Option<u32>,
}

impl PasswordArgs {
    pub(in crate::cli) fn password(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.password_file.as_ref(), self.password_fd)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Login (asked for without these)")]
pub(in crate::cli) struct LoginArgs {
    #[command(flatten)]
    password: PasswordArgs,
    /// File with the one-time acquisition code of the branch's letter
    #[arg(long, value_name = "FILE")]
    acquisition_code_file: Option<PathBuf>,
    /// Inherited file descriptor with the acquisition code
    #[arg(long, value_name = "N", conflicts_with = "acquisition_code_file")]
    acquisition_code_fd: Option<u32>,
    /// Ask for the acquisition code
    #[arg(long, conflicts_with_all = ["acquisition_code_file", "acquisition_code_fd"])]
    pub(in crate::cli) ask_acquisition_code: bool,
}

impl LoginArgs {
    pub(in crate::cli) fn password(&self) -> Option<SecretSource> {
        self.password.password()
    }

    pub(in crate::cli) fn acquisition_code(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.acquisition_code_file.as_ref(), self.acquisition_code_fd)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Token (asked for without these)")]
pub(in crate::cli) struct PinArgs {
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
    pub(in crate::cli) fn pin(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.pin_file.as_ref(), self.pin_fd)
    }

    pub(in crate::cli) fn management_key(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.management_key_file.as_ref(), None)
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Token (asked for without these)")]
pub(in crate::cli) struct NewPinArgs {
    /// File with the PIN that replaces the factory's
    #[arg(long, value_name = "FILE")]
    new_pin_file: Option<PathBuf>,
    /// Inherited file descriptor with the PIN that replaces the factory's
    #[arg(long, value_name = "N", conflicts_with = "new_pin_file")]
    new_pin_fd: Option<u32>,
}

impl NewPinArgs {
    pub(in crate::cli) fn new_pin(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.new_pin_file.as_ref(), self.new_pin_fd)
    }
}
