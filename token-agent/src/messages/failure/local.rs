//! Failures at this computer: secrets, records, PINs that aren't taken.

use super::Explanation;
use crate::{
    certificate::printable,
    enrol::RecordError,
    messages::{Lang, say},
    secret::{PinLength, SecretError, WeakPin},
};

pub(super) fn explain_secret(error: &SecretError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        SecretError::Unreadable { path, .. } => {
            let path = printable(&path.display().to_string());
            (
                say!(lang, "{path} can't be read.", "{path} を読み取れません。"),
                say!(
                    lang,
                    "Check the name and who may read it.",
                    "ファイル名と読み取り権限を確認してください。"
                ),
            )
        }
        SecretError::NotAText { path } => {
            let path = printable(&path.display().to_string());
            (
                say!(
                    lang,
                    "{path} doesn't hold what is asked for in its first line.",
                    "{path} の1行目に必要な値がありません。"
                ),
                say!(lang, "Put it there, as text.", "1行目にテキストで記載してください。"),
            )
        }
        SecretError::NoTerminal(_) => (
            say!(lang, "There is no terminal to ask at.", "入力を求める端末がありません。"),
            say!(
                lang,
                "Run the agent in a terminal, or give --password-file, --pin-file and --new-pin-file (or the -fd options).",
                "端末で実行するか、--password-file、--pin-file、--new-pin-file(または -fd オプション)を指定してください。"
            ),
        ),
        SecretError::NoDescriptors => (
            say!(
                lang,
                "This system has no inherited file descriptors.",
                "このシステムではファイル記述子を使えません。"
            ),
            say!(lang, "Use the -file options.", "-file オプションを使ってください。"),
        ),
        SecretError::Declined => (
            say!(lang, "Stopped, as you asked.", "操作を中止しました。"),
            say!(lang, "Begin again when you are ready.", "準備ができたら、もう一度実行してください。"),
        ),
    };
    Explanation { what, next }
}

pub(super) fn explain_record(error: &RecordError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        RecordError::InUse => (
            say!(
                lang,
                "Another agent is at work on this enrolment.",
                "別の証明書発行アプリが、この手続きを実行中です。"
            ),
            say!(lang, "Wait until it is done.", "完了するまで待ってください。"),
        ),
        RecordError::Unusable { path, .. } => {
            let path = printable(&path.display().to_string());
            (
                say!(
                    lang,
                    "The enrolment can't be recorded in {path}.",
                    "手続きの記録 {path} を読み書きできません。"
                ),
                say!(
                    lang,
                    "Check the folder and the disk's space, or give another with --state-dir.",
                    "フォルダと空き容量を確認するか、--state-dir で別の場所を指定してください。"
                ),
            )
        }
        RecordError::Damaged { path } => {
            let path = printable(&path.display().to_string());
            (
                say!(
                    lang,
                    "The record {path} of an interrupted enrolment is damaged.",
                    "中断した手続きの記録 {path} が壊れています。"
                ),
                say!(
                    lang,
                    "Delete the file and run the same command; if the bank then says that a certificate exists, have it revoked first.",
                    "ファイルを削除して、同じコマンドを実行してください。既に発行済みと表示された場合は、先に失効の手続きをしてください。"
                ),
            )
        }
    };
    Explanation { what, next }
}

/// Such as “6 to 8 characters”.
pub(crate) fn pin_length(length: PinLength, lang: Lang) -> String {
    let (shortest, longest) = (length.shortest(), PinLength::LONGEST);
    if shortest == longest {
        say!(lang, "{longest} characters", "{longest}文字")
    } else {
        say!(lang, "{shortest} to {longest} characters", "{shortest}〜{longest}文字")
    }
}

pub(super) fn explain_weak_pin(weak: WeakPin, lang: Lang) -> Explanation {
    let what = match weak {
        WeakPin::Length(length) => {
            let length = pin_length(length, lang);
            say!(lang, "A PIN has {length} here.", "ここで使うPINは{length}です。")
        }
        WeakPin::Characters => say!(
            lang,
            "A PIN has digits, letters and ASCII punctuation only.",
            "PINには半角の英数字と記号だけを使えます。"
        ),
        WeakPin::Factory => say!(lang, "This is the factory's PIN or PUK.", "出荷時のPIN・PUKは使えません。"),
        WeakPin::Trivial => {
            say!(lang, "This PIN is too easy to guess.", "このPINは推測されやすいため使えません。")
        }
        WeakPin::Different => say!(lang, "The two are not the same.", "2回の入力が一致しません。"),
    };
    Explanation { what, next: say!(lang, "Choose another.", "別のPINを入力してください。") }
}
