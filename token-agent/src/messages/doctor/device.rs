//! What was found at this computer: readers, tokens, PINs, certificates and the TPM.

use super::{fine, published::published};
use crate::{
    certificate::{CertificateDetails, local_time, printable},
    doctor::{Chain, Fact},
    messages::{Explanation, Label, Lang, explain, explain_lost, explain_token, say},
};

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(super) fn token(fact: &Fact, lang: Lang) -> Explanation {
    let (what, next) = match fact {
        Fact::Readers(count) => {
            return fine(say!(
                lang,
                "The smart-card service answers; readers: {count}.",
                "スマートカードサービスは動作しています(リーダー {count}台)。"
            ));
        }
        Fact::NoService(error) => return explain_token(error, lang),
        Fact::NoReader { usb } if usb.is_empty() => (
            say!(lang, "No reader and no token is connected.", "リーダー・トークンが接続されていません。"),
            say!(
                lang,
                "Connect the token, at another port if need be; then look again.",
                "トークンを接続してください(認識されない場合は別のポートに接続)。その後、もう一度診断してください。"
            ),
        ),
        Fact::NoReader { usb } => {
            let usb = printable(&usb.join(", "));
            (
                say!(
                    lang,
                    "{usb} is connected to USB, but the smart-card service doesn't use it: its driver is missing.",
                    "USBに {usb} が接続されていますが、ドライバがないため使用できません。"
                ),
                say!(
                    lang,
                    "Install the driver (Debian, Ubuntu: sudo apt install libccid), then restart pcscd.",
                    "ドライバ(Debian・Ubuntu: sudo apt install libccid)を導入し、pcscd を再起動してください。"
                ),
            )
        }
        Fact::ReaderEmpty { name } => {
            let name = printable(name);
            return fine(say!(lang, "{name} is empty.", "{name}: カードが入っていません。"));
        }
        Fact::ReaderForeign { name } => {
            let name = printable(name);
            return fine(say!(
                lang,
                "{name} holds a card that the agent can't use.",
                "{name}: このアプリで使えないカードです。"
            ));
        }
        Fact::ReaderBusy { name } => {
            let name = printable(name);
            (
                say!(
                    lang,
                    "{name}: another program holds the token.",
                    "{name}: 別のプログラムがトークンを使用中です。"
                ),
                say!(
                    lang,
                    "Close the browser and other card software.",
                    "ブラウザなど、トークンを使うプログラムを終了してください。"
                ),
            )
        }
        Fact::ReaderMute { name } => {
            let name = printable(name);
            (
                say!(lang, "{name}: the card doesn't answer.", "{name}: カードが応答しません。"),
                say!(
                    lang,
                    "Pull it out and connect it again; if it stays mute, it is broken: ask the branch.",
                    "抜いて接続し直してください。改善しない場合は故障の可能性があります。窓口に連絡してください。"
                ),
            )
        }
        Fact::NoToken { needed: false } => {
            return fine(say!(
                lang,
                "No token is connected; the certificate is in this computer's TPM.",
                "トークンは接続されていません(証明書はこのパソコンのTPMにあります)。"
            ));
        }
        Fact::NoToken { .. } => (
            say!(lang, "No token is connected.", "トークンが接続されていません。"),
            say!(
                lang,
                "Connect the token, then look again.",
                "トークンを接続して、もう一度診断してください。"
            ),
        ),
        Fact::Token(identity) => {
            let (label, serial) = (Label::TokenSerial.text(lang), printable(&identity.serial));
            return fine(format!("{}  {label} {serial}", printable(&identity.model())));
        }
        Fact::TokenNotPermitted { kind } => {
            return explain_token(&crate::token::TokenError::NotPermitted { kind }, lang);
        }
        Fact::TokenFails { serial, error } => {
            let Explanation { what, next } = explain_token(error, lang);
            let serial = if serial.is_empty() { String::new() } else { format!("{}: ", printable(serial)) };
            return Explanation { what: format!("{serial}{what}"), next };
        }
        Fact::PinGood { tries_left } => {
            return fine(say!(lang, "Tries left: {tries_left}.", "残り{tries_left}回"));
        }
        Fact::PinFactory => {
            return fine(say!(
                lang,
                "Still the factory's. Obtaining a certificate replaces it.",
                "出荷時のままです(証明書の取得時に変更されます)。"
            ));
        }
        Fact::PinLow { tries_left } => (
            say!(lang, "Only {tries_left} tries are left.", "残り{tries_left}回です。"),
            say!(
                lang,
                "Type the right PIN once: that brings all tries back. If it is forgotten, don't guess: ask the branch.",
                "正しいPINを入力すると回数が元に戻ります。忘れた場合は入力を繰り返さず、窓口に連絡してください。"
            ),
        ),
        _ => return explain_token(&crate::token::TokenError::PinBlocked, lang),
    };
    Explanation { what, next }
}

fn described(details: &CertificateDetails) -> String {
    let name = details.name.as_deref().unwrap_or(&details.subject);
    let user = details.user_id.as_deref().unwrap_or("?");
    printable(&format!("{name} ({user})"))
}

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(super) fn certificate(fact: &Fact, lang: Lang) -> Explanation {
    let again = || {
        say!(
            lang,
            "Have it revoked (by the master user; a master's own at the branch), then obtain a new one.",
            "失効の手続き(一般ユーザはマスターユーザ、マスターユーザは窓口)の後、証明書を取得し直してください。"
        )
    };
    let (what, next) = match fact {
        Fact::Certificate { details, days } => {
            let (who, until) = (described(details), local_time(details.not_after));
            return fine(say!(
                lang,
                "{who}: valid until {until}, {days} days left.",
                "{who}: 有効期限 {until}(残り{days}日)"
            ));
        }
        Fact::CertificateExpiring { details, days } => {
            let (who, until) = (described(details), local_time(details.not_after));
            (
                say!(
                    lang,
                    "{who}: valid until {until}, {days} days left.",
                    "{who}: 有効期限 {until}(残り{days}日)"
                ),
                say!(
                    lang,
                    "Renew it now; don't leave it to the last day.",
                    "期限が近づいています。早めに更新してください。"
                ),
            )
        }
        Fact::CertificateExpired { details } => {
            let (who, until) = (described(details), local_time(details.not_after));
            (say!(lang, "{who}: expired at {until}.", "{who}: 期限切れです({until})。"), again())
        }
        Fact::CertificateNotYetValid { details } => {
            let (who, from) = (described(details), local_time(details.not_before));
            (
                say!(lang, "{who}: valid from {from} on only.", "{who}: 有効期間前です({from} から)。"),
                say!(lang, "Check this computer's clock.", "このパソコンの時計を確認してください。"),
            )
        }
        Fact::CertificateUnreadable { slot } => (
            say!(
                lang,
                "Slot {slot} holds no certificate that can be read.",
                "スロット{slot}の証明書を読み取れません。"
            ),
            again(),
        ),
        Fact::CertificateMissing { serial } => {
            let serial = printable(serial);
            (
                say!(
                    lang,
                    "Token {serial} holds no certificate.",
                    "トークン {serial} に証明書がありません。"
                ),
                say!(lang, "Obtain one with the agent.", "証明書発行アプリで取得してください。"),
            )
        }
        Fact::KeyWithoutCertificate { slot } => (
            say!(
                lang,
                "Slot {slot} holds a key without a certificate.",
                "スロット{slot}に、証明書のない鍵があります。"
            ),
            say!(
                lang,
                "If obtaining was interrupted, obtain again: it goes on where it stopped.",
                "取得が中断した場合は、もう一度取得すると続きから再開します。"
            ),
        ),
        Fact::Published(found) => return published(found, lang),
        Fact::Chain(Chain::Good { issuers, root_sha256 }) => {
            let issuers = printable(&issuers.join(" < "));
            return fine(say!(
                lang,
                "Issuers: {issuers}. Root's SHA-256: {root_sha256}",
                "発行者: {issuers}  ルート証明書のSHA-256: {root_sha256}"
            ));
        }
        Fact::Chain(Chain::Unknown { url }) => {
            let url = printable(url.as_deref().unwrap_or("-"));
            return fine(say!(
                lang,
                "The issuers could not be looked at ({url}); that does no harm here.",
                "発行者の証明書を取得できませんでした({url})。このアプリの動作に影響はありません。"
            ));
        }
        Fact::Chain(Chain::Broken { subject }) => {
            let subject = printable(subject);
            (
                say!(
                    lang,
                    "“{subject}” doesn't fit its issuer's certificate.",
                    "「{subject}」が発行者の証明書と一致しません。"
                ),
                say!(
                    lang,
                    "Don't use the certificate; tell the bank.",
                    "この証明書を使用せずに、銀行に連絡してください。"
                ),
            )
        }
        Fact::TpmKey { user_id } => {
            let user = printable(user_id);
            return fine(say!(lang, "The key of {user} is in the TPM.", "{user} の鍵はTPMにあります。"));
        }
        Fact::TpmLost { user_id, health } => {
            let lost = explain_lost(*health, lang);
            return Explanation { what: format!("{}: {}", printable(user_id), lost.what), next: lost.next };
        }
        Fact::TpmFails(error) => return explain(error, lang),
        other => return fine(other.code().to_owned()),
    };
    Explanation { what, next }
}
