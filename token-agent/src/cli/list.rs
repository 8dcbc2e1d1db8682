//! `inro-agent list`: the certificates on the connected tokens. Needs no PIN.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{args::ListArgs, exit::CliError, output::Output};
use crate::{
    certificate::{CertificateDetails, Unreadable, printable, table, to_pem},
    config::Config,
    messages::{Label, Lang, say},
    token::{ReaderState, Slot, TokenDriver, TokenError, all::Tokens},
};

struct Entry {
    serial: String,
    slot: Slot,
    der: Vec<u8>,
    details: Result<CertificateDetails, Unreadable>,
}

pub(super) fn run(args: &ListArgs, config: &Config, output: &mut Output) -> Result<(), CliError> {
    let entries = collect(&Tokens::connected(config.pkcs11_module.as_deref()), args.token.as_deref())?;
    let now = Timestamp::now();
    let json = json!({"certificates": entries.iter().map(|entry| to_json(entry, now)).collect::<Vec<_>>()});
    output.result(&json, |lang| {
        if entries.is_empty() {
            return say!(
                lang,
                "No certificate on the connected tokens.\n",
                "接続中のトークンに証明書はありません。\n"
            );
        }
        entries.iter().map(|entry| to_text(entry, now, lang)).collect()
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
