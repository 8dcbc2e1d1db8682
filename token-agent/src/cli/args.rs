//! The arguments. Secrets have no place among them: only files and descriptors that hold them.

use std::path::PathBuf;

use agent_tpm::{Address, Place};
use clap::{Args as ClapArgs, Parser, Subcommand};

use super::{exit::CliError, verify_evidence::VerifyEvidenceArgs};
use crate::{
    certificate::printable,
    config::Config,
    messages::{Lang, say},
    route::{ProxyPassword, Route},
    secret::{SecretSource, terminal},
    server::https::HttpsApi,
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
    /// Erase key and certificate of a slot, before a token is handed on or thrown away
    Erase(EraseArgs),
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

/// What to do about browsers.
#[cfg(target_os = "linux")]
#[derive(Debug, Subcommand)]
pub(super) enum BrowserCommand {
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

#[derive(Debug, ClapArgs)]
pub(super) struct ListArgs {
    /// Only this token's (`tpm` for this computer's TPM)
    #[arg(long, value_name = "SERIAL|tpm")]
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
    /// Serial of the token, where several are connected; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm")]
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
pub(super) struct RenewArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Login ID, where certificates of several are connected
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
    /// Only this token's certificates (`tpm` for this computer's TPM)
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(super) token: Option<String>,
    /// Serial number of the certificate, as “inro-agent list” shows it
    #[arg(long, value_name = "HEX")]
    pub(super) serial: Option<String>,
    /// PIV slot of the new key; otherwise the bank's first choice that is free
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
    /// Forget an interrupted renewal and begin a new one
    #[arg(long)]
    pub(super) start_over: bool,
    /// How long a superseded certificate stays on the token; otherwise 72
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u16).range(0..=8760))]
    pub(super) grace_hours: Option<u16>,
    /// Leave the new key in its slot; otherwise it moves into its predecessor's once that is erased (firmware 5.7)
    #[arg(long)]
    pub(super) stay: bool,
    /// Where renewals under way are recorded
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) password: PasswordArgs,
    #[command(flatten)]
    pub(super) pin: PinArgs,
    #[command(flatten)]
    pub(super) new_pin: NewPinArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct UnblockArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Login ID
    #[arg(long, value_name = "ID")]
    pub(super) user: String,
    /// Serial of the token, where several are connected
    #[arg(long, value_name = "SERIAL")]
    pub(super) token: Option<String>,
    /// How long to wait for the approval
    #[arg(long, value_name = "MINUTES", default_value_t = 15, value_parser = clap::value_parser!(u64).range(0..=1440))]
    pub(super) wait_minutes: u64,
    /// Where the request is recorded; otherwise the user's own folder
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) password: PasswordArgs,
    #[command(flatten)]
    pub(super) new_pin: NewPinArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct EraseArgs {
    /// Serial of the token; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(super) token: String,
    /// PIV slot
    #[arg(long, value_parser = slot)]
    pub(super) slot: Option<Slot>,
    /// Number of the key in the TPM, where there are several
    #[arg(long, value_name = "N", value_parser = place, conflicts_with = "slot")]
    pub(super) key: Option<Place>,
    /// Everything on the token, PIN and PUK as well, as it was in the factory; needs no PIN
    #[arg(long, conflicts_with_all = ["slot", "key"])]
    pub(super) whole_token: bool,
    /// The bank's enrolment service, which is told; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Where it is recorded that the bank has to be told; otherwise the user's own folder
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    /// Don't ask whether it is meant
    #[arg(long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) pin: PinArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ChangePinArgs {
    /// Serial of the token; `tpm` for this computer's TPM
    #[arg(long, value_name = "SERIAL|tpm")]
    pub(super) token: String,
    /// Number of the key in the TPM, where there are several
    #[arg(long, value_name = "N", value_parser = place)]
    pub(super) key: Option<Place>,
    #[command(flatten)]
    pub(super) pin: PinArgs,
    #[command(flatten)]
    pub(super) new_pin: NewPinArgs,
}

#[cfg(feature = "window")]
#[derive(Debug, ClapArgs)]
pub(super) struct GuiArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Login ID that stands in the form at first
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
    /// Where enrolments under way are recorded
    #[arg(long, value_name = "FOLDER")]
    pub(super) state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// The bank's enrolment service; otherwise that of the configuration
    #[arg(long, value_name = "https://HOST[:PORT]")]
    pub(super) server: Option<String>,
    /// Save the page to a new file, for the help desk
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

#[derive(Debug, ClapArgs)]
pub(super) struct GenerateArgs {
    /// Where to; folders are made as needed
    #[arg(long, value_name = "FOLDER")]
    pub(super) folder: PathBuf,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Network")]
pub(super) struct ConnectionArgs {
    /// PEM file of the only authorities that may certify the server; otherwise those of the public web
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The company's proxy, or none; otherwise what `HTTPS_PROXY` or the system's settings say
    #[arg(long, value_name = "http://HOST:PORT|direct")]
    pub(super) proxy: Option<String>,
    /// Hosts that are reached without the proxy, separated by commas; otherwise `NO_PROXY` or the system's list
    #[arg(long, value_name = "HOSTS")]
    pub(super) no_proxy: Option<String>,
    /// User name at the proxy; not the login ID. Its password is asked for, unless a file holds it
    #[arg(long, value_name = "NAME")]
    pub(super) proxy_user: Option<String>,
    /// File with the password at the proxy; not the login password
    #[arg(long, value_name = "FILE")]
    pub(super) proxy_password_file: Option<PathBuf>,
}

impl ConnectionArgs {
    /// What these options say, and the configuration where they say nothing.
    pub(super) fn route(&self, server: Option<&String>, config: &Config) -> Route {
        let preset = Route::of_config(config);
        let password = self.proxy_password_file.clone().map(ProxyPassword::File);
        Route {
            against_policy: self.against_policy(server, config),
            server: server.cloned().or(preset.server),
            ca_file: self.ca_file.clone().or(preset.ca_file),
            company_ca_file: preset.company_ca_file,
            proxy: self.proxy.clone().or(preset.proxy),
            no_proxy: self.no_proxy.clone().or(preset.no_proxy),
            proxy_user: self.proxy_user.clone().or(preset.proxy_user),
            proxy_password: password.or(preset.proxy_password),
            fixed: preset.fixed,
        }
    }

    fn against_policy(&self, server: Option<&String>, config: &Config) -> Option<&'static str> {
        let fixed = config.fixed;
        let differs = |given: Option<&String>, own: Option<&String>| given.is_some_and(|_| given != own);
        if fixed.server && differs(server, config.server.as_ref()) {
            Some("--server")
        } else if fixed.ca_file && self.ca_file.is_some() && self.ca_file != config.ca_file {
            Some("--ca-file")
        } else if fixed.proxy && differs(self.proxy.as_ref(), config.proxy.as_ref()) {
            Some("--proxy")
        } else if fixed.proxy && self.no_proxy.is_some() {
            Some("--no-proxy")
        } else {
            None
        }
    }

    /// A client for the server.
    pub(super) fn connect(
        &self,
        server: Option<&String>,
        config: &Config,
        lang: Lang,
    ) -> Result<HttpsApi, CliError> {
        Ok(self.route_with_password(server, config, lang)?.connect()?)
    }

    /// [`Self::route`]. The proxy's password is asked for where its user is named and no file holds it.
    pub(super) fn route_with_password(
        &self,
        server: Option<&String>,
        config: &Config,
        lang: Lang,
    ) -> Result<Route, CliError> {
        let mut route = self.route(server, config);
        if let (Some(user), None, None) = (&route.proxy_user, &route.proxy_password, route.against_policy) {
            let user = printable(user);
            let prompt = say!(
                lang,
                "Password of {user} at the company's proxy (not the login password): ",
                "社内プロキシのユーザ {user} のパスワード(ログインパスワードではありません): "
            );
            route.proxy_password = Some(ProxyPassword::Typed(terminal::ask_secret(&prompt)?));
        }
        Ok(route)
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Login (asked for without these)")]
pub(super) struct PasswordArgs {
    /// File with the login password in its first line
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Inherited file descriptor with the login password
    #[arg(long, value_name = "N", conflicts_with = "password_file")]
    password_fd: Option<u32>,
}

impl PasswordArgs {
    pub(super) fn password(&self) -> Option<SecretSource> {
        SecretSource::from_options(self.password_file.as_ref(), self.password_fd)
    }
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Login (asked for without these)")]
pub(super) struct LoginArgs {
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
    pub(super) ask_acquisition_code: bool,
}

impl LoginArgs {
    pub(super) fn password(&self) -> Option<SecretSource> {
        self.password.password()
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
                let secret = ["password", "pin", "code", "key_"].iter().any(|word| name.contains(word));
                let indirect = name.ends_with("_file") || name.ends_with("_fd") || name.starts_with("ask_");
                assert!(!secret || indirect, "{name} would stand in the process list");
            }
        }
    }
}
