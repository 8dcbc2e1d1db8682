//! What is said about browsers.

use super::{Explanation, Lang, explain_lost, explain_tpm, say};
use crate::{
    browser::{BrowserError, Change, Good, Outcome, Trouble},
    certificate::printable,
};

/// A line about one place.
pub(crate) fn change(change: &Change, lang: Lang) -> String {
    let (place, module) = (printable(&change.place.display().to_string()), change.module);
    match change.outcome {
        Outcome::Added => {
            say!(lang, "{place}: “{module}” was added.\n", "{place}: 「{module}」を登録しました。\n")
        }
        Outcome::Already => {
            say!(lang, "{place}: “{module}” is there already.\n", "{place}: 「{module}」は登録済みです。\n")
        }
        Outcome::Replaced => say!(
            lang,
            "{place}: “{module}” named another library and was corrected.\n",
            "{place}: 「{module}」の登録内容を更新しました。\n"
        ),
        Outcome::Removed => {
            say!(lang, "{place}: “{module}” was removed.\n", "{place}: 「{module}」の登録を解除しました。\n")
        }
        Outcome::Absent => {
            say!(
                lang,
                "{place}: “{module}” was not there.\n",
                "{place}: 「{module}」は登録されていません。\n"
            )
        }
    }
}

/// Why setting up failed.
pub(crate) fn explain_browser(error: &BrowserError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        BrowserError::NoHome => (
            say!(lang, "There is no home folder.", "ホームフォルダがありません。"),
            say!(
                lang,
                "Set HOME and run the command as yourself.",
                "HOME を設定し、本人のアカウントで実行してください。"
            ),
        ),
        BrowserError::NoTool(tool) => (
            say!(lang, "The program {tool} is missing.", "プログラム {tool} がありません。"),
            say!(
                lang,
                "Install it (Debian, Ubuntu: sudo apt install libnss3-tools; Fedora: sudo dnf install nss-tools).",
                "インストールしてください(Debian・Ubuntu: sudo apt install libnss3-tools、Fedora: sudo dnf install nss-tools)。"
            ),
        ),
        BrowserError::NoModule => (
            say!(
                lang,
                "Neither the agent's module for the TPM nor OpenSC is installed.",
                "TPM用モジュールもOpenSCもインストールされていません。"
            ),
            say!(
                lang,
                "Install the agent's package anew, or OpenSC for cards (sudo apt install opensc-pkcs11).",
                "証明書発行アプリを再インストールするか、ICカード用に OpenSC を導入してください(sudo apt install opensc-pkcs11)。"
            ),
        ),
        BrowserError::Refused { tool, database, words } => {
            let (database, words) = (printable(&database.display().to_string()), printable(words));
            (
                say!(
                    lang,
                    "{tool} failed on {database}: {words}",
                    "{database} で {tool} が失敗しました: {words}"
                ),
                say!(
                    lang,
                    "Close all browsers and try again.",
                    "ブラウザをすべて閉じて、もう一度実行してください。"
                ),
            )
        }
        BrowserError::Hung { tool, database } => {
            let database = printable(&database.display().to_string());
            (
                say!(
                    lang,
                    "{tool} came to no end on {database} and was stopped.",
                    "{database} に対する {tool} の処理が終わらないため、中止しました。"
                ),
                say!(
                    lang,
                    "Close all browsers, pull out card readers and tokens, and try again. If it happens again, start the smart-card service anew (sudo systemctl restart pcscd).",
                    "ブラウザをすべて閉じ、カードリーダーとトークンを取り外してから、もう一度実行してください。繰り返し発生する場合は、スマートカードサービスを再起動してください(sudo systemctl restart pcscd)。"
                ),
            )
        }
        BrowserError::Unusable { path, .. } => {
            let path = printable(&path.display().to_string());
            (
                say!(lang, "{path} can't be read or written.", "{path} を読み書きできません。"),
                say!(lang, "Check the folder and who may write to it.", "フォルダと権限を確認してください。"),
            )
        }
    };
    Explanation { what, next }
}

/// Something that is as it should be.
pub(crate) fn good(good: &Good, lang: Lang) -> String {
    match good {
        Good::Registered { database, module } => {
            let database = printable(&database.display().to_string());
            say!(lang, "{database} knows “{module}”.", "{database} に「{module}」が登録されています。")
        }
        Good::Key { user_id } => {
            let user = printable(user_id);
            say!(lang, "The key of {user} is in the TPM.", "{user} の鍵はTPMにあります。")
        }
        Good::NoLockout => say!(lang, "The TPM isn't locked.", "TPMはロックされていません。"),
    }
}

/// Something that isn't.
pub(crate) fn trouble(trouble: &Trouble, lang: Lang) -> Explanation {
    let set_up =
        || say!(lang, "Run “inro-agent browser setup”.", "inro-agent browser setup を実行してください。");
    let (what, next) = match trouble {
        Trouble::NoTool(tool) => return explain_browser(&BrowserError::NoTool(tool), lang),
        Trouble::NoModule => return explain_browser(&BrowserError::NoModule, lang),
        Trouble::NoDatabase => {
            (say!(lang, "No browser is set up yet.", "ブラウザの設定がまだありません。"), set_up())
        }
        Trouble::NotRegistered { database, module } => {
            let database = printable(&database.display().to_string());
            (
                say!(
                    lang,
                    "{database} doesn't know “{module}”.",
                    "{database} に「{module}」が登録されていません。"
                ),
                set_up(),
            )
        }
        Trouble::OtherLibrary { database, module, library } => {
            let database = printable(&database.display().to_string());
            let library = printable(&library.display().to_string());
            (
                say!(
                    lang,
                    "{database} has “{module}” with another library, {library}.",
                    "{database} の「{module}」が別のファイル {library} を指しています。"
                ),
                set_up(),
            )
        }
        Trouble::NotLoading { database, module } => {
            let database = printable(&database.display().to_string());
            (
                say!(
                    lang,
                    "“{module}” in {database} can't be loaded.",
                    "{database} の「{module}」を読み込めません。"
                ),
                say!(
                    lang,
                    "Install its package and the TPM libraries (libtss2-esys, libtss2-tctildr) anew.",
                    "パッケージとTPMライブラリ(libtss2-esys、libtss2-tctildr)を再インストールしてください。"
                ),
            )
        }
        Trouble::NoKey => (
            say!(lang, "You have no certificate in the TPM.", "TPMに証明書がありません。"),
            say!(
                lang,
                "Obtain one with “inro-agent enroll --token tpm”, unless you use a card.",
                "ICカードを使わない場合は inro-agent enroll --token tpm で取得してください。"
            ),
        ),
        Trouble::Lost { user_id, health } => {
            let user = printable(user_id);
            let lost = explain_lost(*health, lang);
            return Explanation { what: format!("{user}: {}", lost.what), next: lost.next };
        }
        Trouble::Expired { user_id } => {
            let user = printable(user_id);
            (
                say!(lang, "The certificate of {user} has expired.", "{user} の証明書は期限切れです。"),
                say!(lang, "Have it revoked and obtain a new one.", "失効してから、取得し直してください。"),
            )
        }
        Trouble::Locked { seconds } => {
            return explain_tpm(&agent_tpm::TpmError::Locked { seconds: *seconds }, lang);
        }
        Trouble::Tpm(error) => return explain_tpm(error, lang),
    };
    Explanation { what, next }
}
