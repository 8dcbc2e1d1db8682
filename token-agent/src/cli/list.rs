//! `inro-agent list`: the certificates on the connected tokens. Needs no PIN.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    args::ListArgs,
    exit::CliError,
    output::Output,
    tpm::{self, TPM},
};
use crate::{
    certificate::{CertificateDetails, Unreadable, printable, to_pem},
    config::Config,
    messages::{Label, Lang, say, table},
    token::{ReaderState, Slot, TokenDriver, TokenError, all::Tokens},
};

struct Entry {
    serial: String,
    slot: Slot,
    der: Vec<u8>,
    details: Result<CertificateDetails, Unreadable>,
}

pub(super) fn run(args: &ListArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let only_tpm = args.token.as_deref() == Some(TPM);
    let held = if only_tpm || args.token.is_none() { tpm::listed(config, only_tpm)? } else { Vec::new() };
    let entries = if only_tpm {
        Vec::new()
    } else {
        let driver = Tokens::connected(config.pkcs11_module.as_deref());
        match collect(&driver, args.token.as_deref()) {
            // Who has a TPM needs no smart-card service.
            Err(TokenError::NoService(_)) if !held.is_empty() => Vec::new(),
            other => other?,
        }
    };
    let now = Timestamp::now();
    let mut certificates: Vec<Value> = entries.iter().map(|entry| to_json(entry, now)).collect();
    certificates.extend(held.iter().map(|held| tpm::held_json(held, now)));
    output.result(&json!({"certificates": certificates}), |lang| {
        if certificates.is_empty() {
            return say!(
                lang,
                "No certificate on the connected tokens.\n",
                "接続中のトークンに証明書はありません。\n"
            );
        }
        let cards = entries.iter().map(|entry| to_text(entry, now, lang));
        cards.chain(held.iter().map(|held| tpm::held_text(held, now, lang))).collect()
    })
}

fn collect(driver: &dyn TokenDriver, only: Option<&str>) -> Result<Vec<Entry>, TokenError> {
    let serials: Vec<String> = match only {
        Some(serial) => vec![serial.to_owned()],
        None => driver
            .readers()?
            .into_iter()
            .filter_map(|reader| match reader.state {
                ReaderState::Token(identity) => Some(identity.serial),
                _ => None,
            })
            .collect(),
    };
    let mut entries = Vec::new();
    for serial in serials {
        let mut token = driver.open(&serial)?;
        for slot in Slot::all() {
            if let Some(der) = token.slot(slot)?.certificate {
                let details = CertificateDetails::read(&der);
                entries.push(Entry { serial: serial.clone(), slot, der, details });
            }
        }
    }
    Ok(entries)
}

fn to_json(entry: &Entry, now: Timestamp) -> Value {
    let mut json = json!({"token": entry.serial, "slot": entry.slot.to_string()});
    match &entry.details {
        Ok(details) => {
            json["state"] = json!(details.state(now));
            json["days_left"] = details.days_left(now).into();
            json["certificate"] = json!(details);
            json["pem"] = to_pem(&entry.der).ok().into();
        }
        Err(Unreadable) => json["state"] = "unreadable".into(),
    }
    json
}

fn to_text(entry: &Entry, now: Timestamp, lang: Lang) -> String {
    let (serial, slot) = (printable(&entry.serial), entry.slot);
    let mut text = format!("{} {serial}, {} {slot}\n", Label::TokenSerial.text(lang), Label::Slot.text(lang));
    if let Ok(details) = &entry.details {
        let state = details.state(now).text(lang, details.days_left(now));
        let _ = writeln!(text, "  {}: {state}", Label::State.text(lang));
        text.push_str(&table(details, lang));
    } else {
        let line = say!(lang, "not a certificate that can be read", "読み取れない証明書");
        let _ = writeln!(text, "  {}: {line}", Label::State.text(lang));
    }
    text
}
