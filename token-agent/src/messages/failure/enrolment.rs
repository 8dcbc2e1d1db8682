//! Failures of the enrolment itself.

use super::Explanation;
use crate::{
    certificate::printable,
    enrol::EnrolError,
    messages::{Lang, say},
};

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(super) fn explain_enrolment(error: &EnrolError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        EnrolError::AgentTooOld { lowest, download } => {
            let download = printable(download);
            (
                say!(
                    lang,
                    "This agent is too old; the bank asks for {lowest} or newer. Nothing was done.",
                    "この証明書発行アプリは古いため使えません(必要なバージョン: {lowest} 以上)。トークンは変更していません。"
                ),
                say!(lang, "Get the current one: {download}", "最新版を入手してください: {download}"),
            )
        }
        EnrolError::FirmwareTooOld(firmware) => (
            say!(
                lang,
                "This token's firmware, {firmware}, is too old: 5.0 is the least.",
                "このトークンのファームウェア({firmware})は古いため使えません(5.0 以上が必要)。"
            ),
            say!(
                lang,
                "Use another token; firmware can't be updated.",
                "別のトークンを使ってください(ファームウェアは更新できません)。"
            ),
        ),
        EnrolError::SlotNotPermitted { slot, permitted } => {
            let permitted = printable(permitted);
            (
                say!(lang, "The bank doesn't permit slot {slot}.", "スロット{slot}は使えません。"),
                say!(lang, "Choose one of: {permitted}.", "次の中から指定してください: {permitted}"),
            )
        }
        EnrolError::NoAlgorithm { model, permitted } => {
            let permitted = printable(permitted);
            (
                say!(
                    lang,
                    "A {model} has no safe kind of key that the bank permits ({permitted}).",
                    "{model} では、銀行が認める種類の鍵({permitted})を安全に使えません。"
                ),
                say!(
                    lang,
                    "Use another token, or a newer one.",
                    "別のトークン、または新しいトークンを使ってください。"
                ),
            )
        }
        EnrolError::AlgorithmNotPermitted { algorithm, model } => (
            say!(
                lang,
                "{algorithm} is not permitted, or a {model} can't do it safely.",
                "{algorithm} は認められていないか、{model} では安全に使えません。"
            ),
            say!(lang, "Leave --algorithm away.", "--algorithm を指定せずに実行してください。"),
        ),
        EnrolError::Occupied { slot } => (
            say!(
                lang,
                "Slot {slot} holds a key or a certificate already; nothing was changed there.",
                "スロット{slot}には既に鍵または証明書があります。変更していません。"
            ),
            say!(
                lang,
                "Choose another with --slot, or overwrite it with --overwrite.",
                "--slot で別のスロットを指定するか、--overwrite で上書きしてください。"
            ),
        ),
        EnrolError::OtherSlotUnderWay(slot) => (
            say!(
                lang,
                "The enrolment under way uses slot {slot}.",
                "中断した手続きはスロット{slot}を使っています。"
            ),
            say!(
                lang,
                "Leave --slot away, or begin anew with --start-over.",
                "--slot を指定せずに実行するか、--start-over で最初からやり直してください。"
            ),
        ),
        EnrolError::PredecessorUnreadable => (
            say!(
                lang,
                "The certificate on the token can't be read, or its key is of a kind that can't be renewed.",
                "トークンの証明書を読み取れないか、更新できない種類の鍵です。"
            ),
            say!(
                lang,
                "Have it revoked and obtain a new one.",
                "失効の手続きをしてから、取得し直してください。"
            ),
        ),
        EnrolError::PredecessorGone => (
            say!(
                lang,
                "The key of the certificate that is to be renewed is not on the token.",
                "更新する証明書の鍵がトークンにありません。"
            ),
            say!(
                lang,
                "Connect the token that your present certificate is on. If its key was erased, have the certificate revoked and obtain a new one.",
                "現在の証明書が入っているトークンを接続してください。鍵を消去した場合は、失効の手続きをしてから取得し直してください。"
            ),
        ),
        EnrolError::NoOtherSlot { slot } => (
            say!(
                lang,
                "The bank permits slot {slot} only, and your present certificate is there.",
                "銀行が認めるスロットは{slot}だけで、現在の証明書が入っています。"
            ),
            say!(
                lang,
                "Ask the bank to permit a second slot, or renew onto another token: have the certificate revoked and obtain a new one.",
                "もう1つのスロットの使用を銀行に依頼するか、失効の手続きをしてから取得し直してください。"
            ),
        ),
        EnrolError::KeyGone(slot) => (
            say!(
                lang,
                "The key of the interrupted enrolment is no longer in slot {slot}.",
                "中断した手続きの鍵が、スロット{slot}にありません。"
            ),
            say!(
                lang,
                "Begin anew with --start-over. If a certificate was issued for that key, have it revoked first.",
                "--start-over で最初からやり直してください。その鍵の証明書が発行済みの場合は、先に失効の手続きをしてください。"
            ),
        ),
        EnrolError::NotAttested => (
            say!(
                lang,
                "The token doesn't vouch for its new key.",
                "トークンが、生成した鍵を証明できません。"
            ),
            say!(
                lang,
                "Use another token; this one's attestation is damaged or it is not genuine.",
                "別のトークンを使ってください。証明機能が壊れているか、正規品ではありません。"
            ),
        ),
        EnrolError::Rejected(reason) => (
            say!(
                lang,
                "The bank's certificate is not right and was not written: {reason}.",
                "発行された証明書に問題があるため、書き込みを中止しました({reason})。"
            ),
            say!(lang, "Don't go on: tell the bank.", "操作を続けずに、銀行にご連絡ください。"),
        ),
        EnrolError::ReadBack(slot) => (
            say!(
                lang,
                "The token didn't keep the certificate in slot {slot}.",
                "スロット{slot}に証明書を正しく書き込めませんでした。"
            ),
            say!(
                lang,
                "Run the same command again; the same certificate is written.",
                "同じコマンドを実行してください。同じ証明書を書き込みます。"
            ),
        ),
        _ => (
            say!(lang, "The enrolment failed: {error}.", "手続きでエラーが発生しました({error})。"),
            say!(
                lang,
                "Run the same command again; if that doesn't help, ask the bank.",
                "同じコマンドを実行してください。解決しない場合は銀行にお問い合わせください。"
            ),
        ),
    };
    Explanation { what, next }
}
