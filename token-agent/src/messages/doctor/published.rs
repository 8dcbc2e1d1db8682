//! What the bank publishes about a certificate, and how it arrives here.

use super::fine;
use crate::{
    certificate::{local_time, printable},
    doctor::{Place, Published, Word},
    messages::{Explanation, Lang, say},
};

pub(super) fn published(found: &Published, lang: Lang) -> Explanation {
    let url = printable(&found.url);
    let place = match found.place {
        Place::Ocsp => say!(lang, "the bank's responder (OCSP)", "銀行の失効照会(OCSP)"),
        Place::Crl => say!(lang, "the bank's revocation list (CRL)", "銀行の失効リスト(CRL)"),
    };
    let (what, next) = match found.word {
        Word::Good => {
            return fine(say!(lang, "Not revoked, says {place}: {url}", "失効していません({place} {url})"));
        }
        Word::Revoked { at, superseded: false } => {
            let at = local_time(at);
            (
                say!(lang, "Revoked at {at}, says {place}.", "{at} に失効しています({place})。"),
                say!(
                    lang,
                    "It can't be used any more. If you don't know why, ask your master user or the branch; then obtain a new one.",
                    "この証明書は使用できません。心当たりがない場合はマスターユーザまたは窓口に確認し、証明書を取得し直してください。"
                ),
            )
        }
        Word::Revoked { at, superseded: true } => {
            let at = local_time(at);
            (
                say!(
                    lang,
                    "Superseded at {at} by its renewal, says {place}.",
                    "{at} に更新され、無効になっています({place})。"
                ),
                say!(
                    lang,
                    "Use the new certificate. The agent erases this one at the next renewal after its grace.",
                    "新しい証明書を使用してください。この証明書は、猶予期間の後にこのアプリが消去します。"
                ),
            )
        }
        Word::Outdated => (
            say!(
                lang,
                "What came from {place} is out of date: {url}",
                "{place}の情報が古くなっています: {url}"
            ),
            say!(
                lang,
                "Check this computer's clock. If it is right, a proxy may keep old answers: ask your network's administrator to exempt this address.",
                "このパソコンの時計を確認してください。正しい場合は、プロキシが古い応答を保持している可能性があります。このアドレスを保持の対象から外すよう、社内のネットワーク管理者に依頼してください。"
            ),
        ),
        Word::NotTheBanks => (
            say!(
                lang,
                "What came in place of {place} isn't signed by the bank: {url}",
                "{place}の代わりに、銀行の署名のない応答が返されました: {url}"
            ),
            blocked(lang),
        ),
        Word::Nothing => (
            say!(lang, "Nothing usable came from {place}: {url}", "{place}に接続できません: {url}"),
            blocked(lang),
        ),
    };
    Explanation { what, next }
}

fn blocked(lang: Lang) -> String {
    say!(
        lang,
        "Logging in doesn't need it, but other programs may. Ask your network's administrator to permit plain HTTP to this address, without a login page.",
        "ログインには影響しませんが、他のソフトウェアで必要になることがあります。このアドレスへのHTTP接続を(認証画面なしで)許可するよう、社内のネットワーク管理者に依頼してください。"
    )
}
