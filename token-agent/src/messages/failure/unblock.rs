//! Why a PIN isn't unblocked.

use super::Explanation;
use crate::{
    certificate::printable,
    messages::{Lang, say},
    unblock::UnblockError,
};

/// Explains a failed unblocking.
pub(super) fn explain_unblocking(error: &UnblockError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        UnblockError::NotBlocked { tries_left } => (
            say!(
                lang,
                "The PIN isn't blocked: {tries_left} tries are left.",
                "PINはロックされていません(残り{tries_left}回)。"
            ),
            say!(
                lang,
                "Use it as before, or choose another (inro-agent change-pin).",
                "そのままご利用いただけます。変更する場合は「PIN変更」(inro-agent change-pin)を使ってください。"
            ),
        ),
        UnblockError::PukBlocked => (
            say!(
                lang,
                "The token's PUK is blocked as well, so its PIN can't be unblocked any more.",
                "トークンのPUKもロックされているため、PINのロックを解除できません。"
            ),
            reset_or_replace(lang),
        ),
        UnblockError::PukUnknown => (
            say!(
                lang,
                "The token doesn't take the PUK that the bank keeps: somebody changed it elsewhere.",
                "銀行で保管しているPUKが一致しません(他のソフトウェアで変更された可能性があります)。"
            ),
            reset_or_replace(lang),
        ),
        UnblockError::Waiting { number, branch_only } => {
            let number = printable(number);
            let who = approver(*branch_only, lang);
            (
                say!(
                    lang,
                    "Request {number} hasn't been approved yet.",
                    "申請(受付番号 {number})は、まだ承認されていません。"
                ),
                say!(
                    lang,
                    "Tell the number to {who}, and run it again afterwards: it goes on with this request.",
                    "受付番号を{who}に伝え、承認後にもう一度実行してください。この申請の続きから再開します。"
                ),
            )
        }
        UnblockError::Declined { number } => {
            let number = printable(number);
            (
                say!(
                    lang,
                    "Request {number} was declined.",
                    "申請(受付番号 {number})は承認されませんでした。"
                ),
                say!(
                    lang,
                    "Ask your master user or the branch why. If you didn't make it yourself, change your login password.",
                    "マスターユーザまたは窓口に確認してください。申請に心当たりがない場合は、ログインパスワードを変更してください。"
                ),
            )
        }
    };
    Explanation { what, next }
}

/// Who has to approve.
pub(crate) fn approver(branch_only: bool, lang: Lang) -> String {
    if branch_only {
        say!(lang, "the branch", "窓口")
    } else {
        say!(lang, "your master user or the branch", "マスターユーザまたは窓口")
    }
}

/// What is left when nobody knows the PUK.
pub(crate) fn reset_or_replace(lang: Lang) -> String {
    say!(
        lang,
        "Have the certificate revoked; then reset this token (inro-agent erase --whole-token) or take another one, and obtain a new certificate.",
        "証明書を失効してから、このトークンを初期化する(inro-agent erase --whole-token)か、別のトークンを用意して、証明書を取得し直してください。"
    )
}
