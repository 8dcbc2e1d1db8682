//! `inro-agent tokens`: readers and what is in them.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{exit::CliError, output::Output};
use crate::{
    certificate::{CertificateDetails, printable},
    config::Config,
    inventory::{Report, survey},
    messages::{Label, Lang, explain_token, say},
    token::{
        KeyAlgorithm, KeyPresence, PinStatus, Reader, ReaderState, Slot, SlotState, TokenError, all::Tokens,
    },
};

pub(super) fn run(config: &Config, output: &mut Output) -> Result<(), CliError> {
    let driver = Tokens::connected(config.pkcs11_module.as_deref());
    let readers = survey(&driver)?;
    let json = json!({
        "readers": readers.iter().map(|found| to_json(&found.reader, found.report.as_ref())).collect::<Vec<_>>(),
    });
    output.result(&json, |lang| {
        if readers.is_empty() {
            return say!(
                lang,
                "No reader and no token is connected.\n",
                "リーダー・トークンが接続されていません。\n"
            );
        }
        readers.iter().map(|found| to_text(&found.reader, found.report.as_ref(), lang)).collect()
    })
}

fn to_json(reader: &Reader, report: Option<&Result<Report, TokenError>>) -> Value {
    let state = match &reader.state {
        ReaderState::Empty => "empty",
        ReaderState::Token(_) => "token",
        ReaderState::Foreign => "foreign",
        ReaderState::Busy => "busy",
        ReaderState::Mute => "mute",
    };
    let mut json = json!({"reader": reader.name, "state": state});
    if let ReaderState::Token(identity) = &reader.state {
        json["token"] = json!({
            "kind": identity.kind.as_str(),
            "serial": identity.serial,
            "firmware": identity.firmware.map(|firmware| firmware.to_string()),
        });
    }
    match report {
        Some(Ok(report)) => {
            json["token"]["pin"] = json!({
                "factory": report.pin.factory,
                "tries_left": report.pin.tries_left,
                "blocked": report.pin.tries_left == 0,
            });
            json["token"]["slots"] =
                report.occupied.iter().map(|(slot, state)| slot_json(*slot, state)).collect();
        }
        Some(Err(error)) => json["token"]["error"] = error.to_string().into(),
        None => {}
    }
    json
}

fn slot_json(slot: Slot, state: &SlotState) -> Value {
    let key = match &state.key {
        KeyPresence::Absent => json!(null),
        KeyPresence::Present { algorithm, generated } => {
            json!({"algorithm": algorithm.map(KeyAlgorithm::as_str), "generated": generated})
        }
        KeyPresence::Destroyed => json!("destroyed"),
        KeyPresence::Unknown => json!("unknown"),
    };
    let certificate = state.certificate.as_deref().map(|der| CertificateDetails::read(der).ok());
    json!({
        "slot": slot.to_string(),
        "key": key,
        "certificate": certificate.as_ref().map(|details| json!({
            "readable": details.is_some(),
            "subject": details.as_ref().map(|details| &details.subject),
            "not_after": details.as_ref().map(|details| details.not_after),
        })),
    })
}

fn to_text(reader: &Reader, report: Option<&Result<Report, TokenError>>, lang: Lang) -> String {
    let mut text = format!("{}: {}\n", Label::Reader.text(lang), printable(&reader.name));
    let identity = match &reader.state {
        ReaderState::Token(identity) => identity,
        other => {
            let _ = writeln!(text, "  {}", state_text(other, lang));
            return text;
        }
    };
    let _ = writeln!(text, "  {}: {}", Label::TokenSerial.text(lang), identity.serial);
    if let Some(firmware) = identity.firmware {
        let _ = writeln!(text, "  {}: {firmware}", Label::Firmware.text(lang));
    }
    match report {
        Some(Ok(report)) => {
            let _ = writeln!(text, "  {}: {}", Label::Pin.text(lang), pin_text(report.pin, lang));
            for (slot, state) in &report.occupied {
                let _ = writeln!(text, "  {} {slot}: {}", Label::Slot.text(lang), slot_text(state, lang));
            }
        }
        Some(Err(error)) => {
            let explanation = explain_token(error, lang);
            let _ = writeln!(text, "  {} {}", explanation.what, explanation.next);
        }
        None => {}
    }
    text
}

fn state_text(state: &ReaderState, lang: Lang) -> String {
    match state {
        ReaderState::Empty => say!(lang, "empty", "空"),
        ReaderState::Busy => say!(lang, "in use by another program", "別のプログラムが使用中"),
        ReaderState::Mute => say!(lang, "the card doesn't answer", "カードが応答しません"),
        ReaderState::Foreign | ReaderState::Token(_) => {
            say!(lang, "not a token that the agent can use", "このアプリで使えるトークンではありません")
        }
    }
}

fn pin_text(pin: PinStatus, lang: Lang) -> String {
    let tries = pin.tries_left;
    match (pin.factory, tries) {
        (_, 0) => say!(lang, "blocked", "ロック中"),
        (Some(true), _) => say!(
            lang,
            "the factory's, to be replaced at the first enrolment",
            "出荷時のまま(初回の取得時に変更)"
        ),
        _ => say!(lang, "set, {tries} tries left", "設定済み(残り{tries}回)"),
    }
}

fn slot_text(state: &SlotState, lang: Lang) -> String {
    let key = match &state.key {
        KeyPresence::Absent => say!(lang, "no key", "鍵なし"),
        KeyPresence::Present { algorithm, generated } => {
            let kind = algorithm.map_or("?", KeyAlgorithm::as_str);
            if *generated {
                say!(lang, "key {kind}, generated on the token", "鍵 {kind}(トークン内で生成)")
            } else {
                say!(lang, "key {kind}, imported", "鍵 {kind}(外部から取り込み)")
            }
        }
        KeyPresence::Destroyed => say!(lang, "key destroyed", "鍵は破棄済み"),
        KeyPresence::Unknown => say!(lang, "key unknown", "鍵の有無は不明"),
    };
    match state.certificate.as_deref().map(CertificateDetails::read) {
        Some(Ok(details)) => format!("{key}; {}", printable(&details.subject)),
        Some(Err(_)) => say!(lang, "{key}; an unreadable certificate", "{key}、読み取れない証明書"),
        None => key,
    }
}
