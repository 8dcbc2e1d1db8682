//! What to do next about this computer's TPM, at a window.

use agent_tpm::{Health, TpmError};

use crate::{
    enrol::EnrolError,
    messages::{Explanation, Lang, explain_lost, explain_tpm, say},
    tpm::Held,
};

/// Why a certificate in the TPM is of no use, if it isn't.
pub(crate) fn explain_in_tpm(held: &Held, lang: Lang) -> Option<Explanation> {
    match &held.health {
        Ok(Health::Good) => None,
        Ok(health) => {
            let Explanation { what, next } = explain_lost(*health, lang);
            Some(Explanation { what, next: of_lost(*health, lang).unwrap_or(next) })
        }
        Err(error) => {
            let Explanation { what, next } = explain_tpm(error, lang);
            Some(Explanation { what, next: of_tpm(error, lang).unwrap_or(next) })
        }
    }
}

/// The remedy where the catalogue's speaks of commands.
pub(super) fn remedy(error: &EnrolError, lang: Lang) -> Option<String> {
    match error {
        EnrolError::Tpm(error) => of_tpm(error, lang),
        EnrolError::TpmKeyLost(health) => of_lost(*health, lang),
        EnrolError::WhichTpmKey { .. } => {
            Some(say!(lang, "Choose one of them.", "使用する鍵を1つ選択してください。"))
        }
        EnrolError::NoTpmKey => Some(say!(
            lang,
            "“My certificates” shows what there is.",
            "「証明書の確認」で内容を確認してください。"
        )),
        EnrolError::KeptTpmKey | EnrolError::KeptToken => {
            Some(say!(lang, "Try again if it shall be erased.", "消去する場合は、もう一度実行してください。"))
        }
        EnrolError::Shelf(_) | EnrolError::NotKept => Some(say!(
            lang,
            "Check the folder and the disk's space, or ask your administrator; then try again.",
            "フォルダと空き容量を確認するか、社内の管理者に確認してから、もう一度実行してください。"
        )),
        _ => None,
    }
}

fn of_tpm(error: &TpmError, lang: Lang) -> Option<String> {
    Some(match error {
        TpmError::Absent { .. } => say!(
            lang,
            "Have your administrator switch the TPM on in the computer's firmware settings, or use a token.",
            "社内の管理者に、パソコンのファームウェア設定でTPMを有効にするよう依頼するか、トークンを使ってください。"
        ),
        TpmError::Busy { .. } | TpmError::MemoryTaken => {
            say!(lang, "Wait a moment and try again.", "しばらく待って、もう一度実行してください。")
        }
        TpmError::NoRoom | TpmError::NoPlace => say!(
            lang,
            "Erase a key that is no longer needed under “Erase a certificate”, then try again.",
            "「証明書の消去」で不要な鍵を消去してから、もう一度実行してください。"
        ),
        TpmError::KeyGone(_) => return of_lost(Health::Removed, lang),
        TpmError::Locked { seconds } => {
            let minutes = seconds.div_ceil(60);
            say!(
                lang,
                "Leave the computer on; a try comes back every {minutes} minutes. Nothing is lost. Your administrator can release it at once.",
                "電源を入れたままお待ちください({minutes}分ごとに1回分回復します)。鍵は失われていません。社内の管理者はすぐに解除できます。"
            )
        }
        TpmError::OtherCredential => {
            say!(
                lang,
                "Try again; if that doesn't help, ask the bank.",
                "もう一度実行してください。解決しない場合は、銀行にお問い合わせください。"
            )
        }
        TpmError::PlaceTaken(_)
        | TpmError::ForeignObject(_)
        | TpmError::NotCapable(_)
        | TpmError::Malformed(_)
        | TpmError::Failed { .. } => say!(
            lang,
            "Restart the computer and try again; if that doesn't help, use a token.",
            "パソコンを再起動して、もう一度実行してください。解決しない場合は、トークンを使ってください。"
        ),
        _ => return None,
    })
}

fn of_lost(health: Health, lang: Lang) -> Option<String> {
    matches!(health, Health::Cleared | Health::Removed).then(|| {
        say!(
            lang,
            "The key is lost for ever: have its certificate revoked and obtain a new one. “Erase a certificate” takes away what is left.",
            "鍵は復元できません。証明書を失効してから、取得し直してください。残った証明書は「証明書の消去」で消去できます。"
        )
    })
}
