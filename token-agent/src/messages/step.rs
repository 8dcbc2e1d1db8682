//! What is going on, and what people are asked.

use super::{Lang, approver, say};
use crate::{
    certificate::{CertificateDetails, local_time, printable},
    enrol::{Question, Step},
    token::ManagementKeyOrigin,
};

/// A line of progress.
#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(crate) fn step(step: &Step, lang: Lang) -> String {
    match step {
        Step::CheckingVersion => say!(
            lang,
            "Asking the server whether this agent is current …",
            "証明書発行アプリのバージョンを確認しています…"
        ),
        Step::NewerAgent { newest, download } => {
            let (newest, download) = (printable(newest), printable(download));
            say!(
                lang,
                "A newer agent, {newest}, is available: {download}",
                "新しいバージョン {newest} が公開されています: {download}"
            )
        }
        Step::ClockDiffers { server_time } => {
            let time = local_time(*server_time);
            say!(
                lang,
                "This computer's clock differs from the server's ({time}). Please set it.",
                "このパソコンの時計がサーバの時刻({time})とずれています。時計を合わせてください。"
            )
        }
        Step::Resuming => say!(
            lang,
            "Going on with the enrolment that was interrupted.",
            "中断した発行手続きを再開します。"
        ),
        Step::BeginningAnew => say!(
            lang,
            "The bank has taken back the renewal that was begun, because it was never confirmed. Beginning anew.",
            "中断した更新手続きは、完了の通知がないまま期限を過ぎたため取り消されています。最初から行います。"
        ),
        Step::Authenticating => say!(lang, "Authenticating …", "認証しています…"),
        Step::FactoryPin => say!(
            lang,
            "This token still has the factory's PIN. Choose your own, one that isn't easy to guess.",
            "このトークンのPINは出荷時のままです。推測されにくい新しいPINを決めてください。"
        ),
        Step::PinReplaced => say!(lang, "The token has its new PIN.", "PINを変更しました。"),
        Step::ReplacingManagementKey => say!(
            lang,
            "Replacing the factory's management key by a random one, kept on the token under the PIN …",
            "出荷時の管理キーを、PINで保護された乱数のキーに置き換えています…"
        ),
        Step::PukForgotten => say!(
            lang,
            "The factory's PUK was replaced by a random one that nobody knows: if the PIN is ever blocked, the token must be reset and a new certificate obtained.",
            "出荷時のPUKを、誰も知らない乱数に置き換えました。PINがロックされた場合は、トークンを初期化して証明書を取得し直す必要があります。"
        ),
        Step::ManagementKeyKept(ManagementKeyOrigin::Given) => say!(
            lang,
            "The management key that you gave stays as it is.",
            "指定された管理キーは変更しません。"
        ),
        Step::ManagementKeyKept(_) => {
            say!(lang, "The management key stays as it is.", "管理キーは変更しません。")
        }
        Step::GeneratingKey { slot, algorithm } if algorithm.is_rsa() => say!(
            lang,
            "Generating the key ({algorithm}) in slot {slot}. This takes some seconds; leave the token in place …",
            "スロット{slot}に鍵({algorithm})を生成しています。数十秒かかることがあります。トークンを抜かないでください…"
        ),
        Step::GeneratingKey { slot, algorithm } => say!(
            lang,
            "Generating the key ({algorithm}) in slot {slot}; leave the token in place …",
            "スロット{slot}に鍵({algorithm})を生成しています。トークンを抜かないでください…"
        ),
        Step::KeyFound { slot } => {
            say!(lang, "The key is in slot {slot} already.", "鍵はスロット{slot}に生成済みです。")
        }
        Step::Attesting => say!(
            lang,
            "Fetching the token's attestation …",
            "トークンの証明(アテステーション)を取得しています…"
        ),
        Step::Signing => say!(lang, "Signing the request …", "発行要求に署名しています…"),
        Step::SigningRenewal => say!(
            lang,
            "Signing for the new key with the present certificate's key …",
            "現在の証明書の鍵で、新しい鍵に署名しています…"
        ),
        Step::Moving { from, to } => say!(
            lang,
            "Moving key and certificate from slot {from} to slot {to} …",
            "鍵と証明書をスロット{from}から{to}に移しています…"
        ),
        Step::Retiring { slot } => say!(
            lang,
            "Erasing the superseded certificate and its key in slot {slot} …",
            "スロット{slot}にある更新前の証明書と鍵を消去しています…"
        ),
        Step::Touch => say!(lang, "Touch the token when it blinks.", "トークンが点滅したら触れてください。"),
        Step::Requesting => say!(lang, "Requesting the certificate …", "証明書の発行を要求しています…"),
        Step::Writing { slot } => {
            say!(
                lang,
                "Writing the certificate to slot {slot} …",
                "証明書をスロット{slot}に書き込んでいます…"
            )
        }
        Step::Confirming => say!(lang, "Confirming to the bank …", "銀行に完了を通知しています…"),
        Step::SigningErasure => say!(
            lang,
            "The key signs for the bank that it is erased. Touch the token if it blinks …",
            "鍵を消去することを銀行に知らせるため、鍵で署名しています。トークンが点滅したらタッチしてください…"
        ),
        Step::Resetting => say!(lang, "Resetting the token …", "トークンを初期化しています…"),
        Step::PukKept => say!(
            lang,
            "The factory's PUK was replaced by a random one that only the bank keeps: if the PIN is ever blocked, it can be unblocked.",
            "出荷時のPUKを、銀行だけが保管する乱数に置き換えました。PINがロックされた場合は、ロック解除を申請できます。"
        ),
        Step::WaitingForApproval { number, branch_only } => {
            let (number, who) = (printable(number), approver(*branch_only, lang));
            say!(
                lang,
                "Request number {number}: tell it to {who}, who has to approve. Waiting …",
                "受付番号 {number} を{who}に伝えてください。承認を待っています…"
            )
        }
        Step::Unblocking => say!(
            lang,
            "Approved. Unblocking the PIN; don't remove the token …",
            "承認されました。PINのロックを解除しています。トークンを抜かないでください…"
        ),
        Step::ReplacingPuk => say!(
            lang,
            "The new PIN is set. Replacing the unblocking code; don't remove the token …",
            "新しいPINを設定しました。解除用コードを更新しています。トークンを抜かないでください…"
        ),
        Step::ChoosePin => say!(
            lang,
            "Choose a PIN for the new key in the TPM, one that isn't easy to guess.",
            "TPMに作る鍵のPINを、推測されにくいものに決めてください。"
        ),
        Step::GeneratingTpmKey { algorithm } => say!(
            lang,
            "Generating the key ({algorithm}) in this computer's TPM …",
            "このパソコンのTPMに鍵({algorithm})を生成しています…"
        ),
        Step::TpmKeyFound { place } => {
            say!(lang, "The key is in the TPM already (key {place}).", "鍵はTPMに生成済みです(鍵{place})。")
        }
        Step::KeepingCertificate => {
            say!(lang, "Keeping the certificate on this computer …", "証明書をこのパソコンに保存しています…")
        }
        Step::ErasingTpmKey { place } => {
            say!(lang, "Erasing key {place} in the TPM …", "TPMの鍵{place}を消去しています…")
        }
        Step::Erasing { slot } => say!(
            lang,
            "Erasing key and certificate of slot {slot} …",
            "スロット{slot}の鍵と証明書を消去しています…"
        ),
    }
}

/// A question, without the hint how to answer.
pub(crate) fn question(question: &Question, lang: Lang) -> String {
    match question {
        Question::Overwrite { slot, certificate } => {
            let what = content(certificate.as_deref(), lang);
            say!(
                lang,
                "Slot {slot} holds {what}. It will be destroyed for ever. Overwrite it?",
                "スロット{slot}には{what}があります。上書きすると元に戻せません。上書きしますか?"
            )
        }
        Question::EraseTpmKey { place, certificate, .. } => {
            let what = content(certificate.as_deref(), lang);
            say!(
                lang,
                "This computer's TPM (key {place}) holds {what}. It will be destroyed for ever. Erase it?",
                "このパソコンのTPM(鍵{place})には{what}があります。消去すると元に戻せません。消去しますか?"
            )
        }
        Question::EraseAll { token, certificates } => {
            let (serial, count) = (printable(&token.serial), certificates.len());
            say!(
                lang,
                "Everything on token {serial} will be destroyed for ever: every key, {count} certificates, PIN and PUK. Reset it?",
                "トークン{serial}を出荷時の状態に戻します。すべての鍵、証明書({count}件)、PIN・PUKが失われ、元に戻せません。初期化しますか?"
            )
        }
        Question::Erase { token, slot, certificate } => {
            let what = content(certificate.as_deref(), lang);
            let serial = printable(&token.serial);
            say!(
                lang,
                "Slot {slot} of token {serial} holds {what}. It will be destroyed for ever. Erase it?",
                "トークン{serial}のスロット{slot}には{what}があります。消去すると元に戻せません。消去しますか?"
            )
        }
    }
}

fn content(certificate: Option<&CertificateDetails>, lang: Lang) -> String {
    match certificate {
        Some(details) => {
            // People know a certificate by its user; a stranger's by its whole subject.
            let whose = match (&details.name, &details.user_id) {
                (Some(name), Some(user)) => printable(&format!("{name} ({user})")),
                _ => printable(&details.subject),
            };
            let until = local_time(details.not_after);
            say!(
                lang,
                "a key and the certificate of “{whose}”, valid until {until}",
                "鍵と証明書(「{whose}」、有効期限 {until})"
            )
        }
        None => say!(lang, "a key", "鍵"),
    }
}
