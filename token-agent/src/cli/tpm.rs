//! The TPM's part of the commands: `--token tpm`, and `inro-agent tpm`.

use std::fmt::Write;

use agent_tpm::{Health, Identity, Lockout, Shelf};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{args::ChangePinArgs, exit::CliError, output::Output, person::TerminalPerson};
use crate::{
    certificate::{CertificateDetails, printable, to_pem},
    config::Config,
    messages::{Explanation, Label, Lang, explain_lost, explain_tpm, say, table},
    token::TokenError,
    tpm::{Held, Machine, change_pin, holds_something, survey},
};

/// Stands for the TPM where other tokens have a serial.
pub(super) const TPM: &str = "tpm";

/// This computer's TPM and the user's shelf.
pub(super) fn machine(config: &Config) -> Result<Machine, CliError> {
    possible(config)?.ok_or(CliError::NoStateDirectory)
}

/// The same, where the user has a folder for certificates.
pub(super) fn possible(config: &Config) -> Result<Option<Machine>, CliError> {
    let machine = Shelf::usual().map(|shelf| Machine::new(config.tpm.clone(), shelf));
    machine.transpose().map_err(CliError::TpmAddress)
}

/// The same, where it matters: it was asked for, or the user has something in it.
pub(super) fn machine_in_use(config: &Config, asked: bool) -> Result<Option<Machine>, CliError> {
    let used = Shelf::usual().as_ref().is_some_and(holds_something);
    if asked || used { machine(config).map(Some) } else { Ok(None) }
}

/// Whether the administrator's policy permits keys in it.
pub(super) fn check_permitted(config: &Config) -> Result<(), CliError> {
    if config.permitted.covers_tpm() { Ok(()) } else { Err(TokenError::NotPermitted { kind: "TPM" }.into()) }
}

/// `inro-agent tpm`.
pub(super) fn show(config: &Config, output: &mut Output) -> Result<(), CliError> {
    let machine = machine(config)?;
    let mut tpm = machine.open()?;
    let (identity, lockout) = (tpm.identity()?, tpm.lockout()?);
    // A TPM without resource manager serves one connection at a time.
    drop(tpm);
    let held = survey(&machine)?;
    let now = Timestamp::now();
    let json = json!({
        "serial": identity.serial,
        "manufacturer": identity.manufacturer,
        "firmware": identity.firmware,
        "address": machine.address.to_string(),
        "endorsement_certificate": identity.ek_certificate.is_some(),
        "lockout": {
            "failed": lockout.failed,
            "most": lockout.most,
            "seconds": lockout.seconds,
            "locked": lockout.locked,
        },
        "keys": held.iter().map(|held| held_json(held, now)).collect::<Vec<_>>(),
    });
    output.result(&json, |lang| {
        let mut text = identity_text(&identity, lockout, lang);
        text.extend(held.iter().map(|held| held_text(held, now, lang)));
        text
    })
}

/// What `inro-agent list` tells of the TPM: everything when it was asked for, else what the user has in it.
pub(super) fn listed(config: &Config, asked: bool) -> Result<Vec<Held>, CliError> {
    let machine = machine(config)?;
    if asked || machine.is_in_use() { Ok(survey(&machine)?) } else { Ok(Vec::new()) }
}

pub(super) fn run_change_pin(
    args: &ChangePinArgs,
    config: &Config,
    person: &mut TerminalPerson,
    output: &mut Output,
) -> Result<(), CliError> {
    let place = change_pin(&machine(config)?, person, args.key)?;
    output.result(&json!({"token": TPM, "key": place, "changed": true}), |lang| {
        say!(
            lang,
            "Key {place} of this computer's TPM has its new PIN.\n",
            "TPMの鍵{place}のPINを変更しました。\n"
        )
    })
}

pub(super) fn held_json(held: &Held, now: Timestamp) -> Value {
    let mut json = json!({"token": TPM, "key": held.place(), "health": health_json(held)});
    if let Some(entry) = &held.entry {
        json["serial"] = json!(entry.tpm);
        json["user"] = json!(entry.user_id);
        match CertificateDetails::read(&entry.certificate) {
            Ok(details) => {
                json["state"] = json!(details.state(now));
                json["days_left"] = details.days_left(now).into();
                json["certificate"] = json!(details);
                json["pem"] = to_pem(&entry.certificate).ok().into();
            }
            Err(_) => json["state"] = "unreadable".into(),
        }
    } else {
        json["state"] = "no-certificate".into();
    }
    json
}

fn health_json(held: &Held) -> Value {
    match &held.health {
        Ok(Health::Good) => json!("good"),
        Ok(Health::Cleared) => json!("cleared"),
        Ok(Health::Removed) => json!("removed"),
        Ok(Health::OtherTpm) => json!("other-tpm"),
        Err(error) => json!({"error": error.to_string()}),
    }
}

pub(super) fn held_text(held: &Held, now: Timestamp, lang: Lang) -> String {
    let place = held.place().map_or_else(String::new, |place| place.to_string());
    let mut text = say!(lang, "TPM of this computer, key {place}\n", "このパソコンのTPM、鍵{place}\n");
    let trouble = match &held.health {
        Ok(Health::Good) => None,
        Ok(health) => Some(explain_lost(*health, lang)),
        Err(error) => Some(explain_tpm(error, lang)),
    };
    if let Some(Explanation { what, next }) = trouble {
        let _ = writeln!(text, "  {what} {next}");
    }
    let described = match held.entry.as_ref().map(|entry| CertificateDetails::read(&entry.certificate)) {
        Some(Ok(details)) => {
            let state = details.state(now).text(lang, details.days_left(now));
            format!("  {}: {state}\n{}", Label::State.text(lang), table(&details, lang))
        }
        Some(Err(_)) => say!(lang, "  An unreadable certificate.\n", "  読み取れない証明書\n"),
        None => say!(
            lang,
            "  A key without a certificate on this computer.\n",
            "  このパソコンに証明書がない鍵\n"
        ),
    };
    text.push_str(&described);
    text
}

fn identity_text(identity: &Identity, lockout: Lockout, lang: Lang) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", Label::TokenSerial.text(lang), identity.serial);
    let (maker, firmware) = (printable(&identity.manufacturer), &identity.firmware);
    let _ = writeln!(text, "  TPM 2.0, {maker}, {} {firmware}", Label::Firmware.text(lang));
    let certificate = if identity.ek_certificate.is_some() {
        say!(lang, "the maker's certificate is in the TPM", "製造者の証明書あり")
    } else {
        say!(
            lang,
            "no certificate of the maker: the bank must know this serial number beforehand",
            "製造者の証明書なし(シリアル番号を事前に銀行へ登録する必要があります)"
        )
    };
    let _ = writeln!(text, "  {certificate}");
    let tries = lockout.tries_left();
    let pins = match tries {
        0 => say!(lang, "locked for now", "一時的にロック中"),
        _ => say!(lang, "{tries} tries left", "残り{tries}回"),
    };
    let _ = writeln!(text, "  {}: {pins}", Label::Pin.text(lang));
    text
}
