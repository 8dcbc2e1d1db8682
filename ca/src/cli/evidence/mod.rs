//! `inro-ca evidence …`: what certificates were issued on, judged again and handed out.

mod export;
mod plan;
mod rejudge;
mod show;

use std::path::PathBuf;

use ca_core::domain::{
    ids::{ContractNumber, SerialNumber},
    revocation::RevocationReason,
};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{exit::CliError, output::Output};
use crate::{config::Config, wiring};
pub(super) use rejudge::standing_anchors;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the evidence that a certificate was issued on, and what was decoded from it.
    Show {
        /// The certificate's serial number, in lower-case hexadecimal digits.
        #[arg(value_parser = SerialNumber::parse)]
        serial: SerialNumber,
    },
    /// Write everything that proves a certificate into one file, for `inro-agent verify-evidence` and for openssl.
    Export {
        /// The certificate's serial number, in lower-case hexadecimal digits.
        #[arg(value_parser = SerialNumber::parse)]
        serial: SerialNumber,
        /// The file; standard output without it.
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Judge the evidence of every living certificate again, under today's or other policy and trust. Changes nothing
    /// without --apply.
    Rejudge(Rejudge),
    /// Plans of revocation that a judgement has left.
    #[command(subcommand)]
    Plan(plan::Command),
}

#[derive(Debug, Args)]
pub(super) struct Rejudge {
    /// A policy file in the place of every contract's own.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Only this contract's certificates.
    #[arg(long, value_parser = ContractNumber::parse)]
    contract: Option<ContractNumber>,
    /// A version of the trust store in the place of what is in use.
    #[arg(long, value_name = "VERSION")]
    trust: Option<u32>,
    /// As if this anchor were retired; as often as needed.
    #[arg(long, value_name = "SHA256", value_parser = super::trust::fingerprint)]
    without: Vec<[u8; 32]>,
    /// Enter a plan to revoke those that fall out.
    #[arg(long, requires_all = ["revoke_at", "reason"])]
    apply: bool,
    /// When the plan revokes them: a day in Japan such as 2027-01-31, or a time such as 2027-01-31T21:00:00+09:00.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "apply")]
    revoke_at: Option<Timestamp>,
    /// The reason that the revocations give: privilegeWithdrawn, superseded or keyCompromise.
    #[arg(long, value_parser = super::certificate::reason, requires = "apply")]
    reason: Option<RevocationReason>,
}

/// The beginning of a day in Japan, or a time.
fn date(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let japan = jiff::tz::TimeZone::fixed(jiff::tz::offset(9));
    let day: Option<jiff::civil::Date> = text.parse().ok();
    let begins = day.and_then(|day| day.to_zoned(japan).ok());
    begins.map(|begins| begins.timestamp()).ok_or_else(|| {
        "write a day such as 2027-01-31, or a time such as 2027-01-31T21:00:00+09:00".to_owned()
    })
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::evidence_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Show { serial } => show::run(&desk, config, &serial, output).await,
        Command::Export { serial, output: file } => {
            export::run(&desk, config, &serial, file.as_deref(), output).await
        }
        Command::Rejudge(rejudge) => rejudge::run(&desk, config, rejudge, output).await,
        Command::Plan(command) => plan::run(&desk, command, output).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_day_in_japan_or_a_time() {
        let day = date("2027-01-31").expect("a day");
        assert_eq!(day.to_string(), "2027-01-30T15:00:00Z");
        assert_eq!(date("2027-01-31T21:00:00+09:00").expect("a time").to_string(), "2027-01-31T12:00:00Z");
        for bad in ["", "tomorrow", "2027-13-01", "31.01.2027"] {
            assert!(date(bad).is_err(), "{bad:?}");
        }
    }
}
