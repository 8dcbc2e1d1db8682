//! The server's refusals in people's words.

use ca_wire::problem::Code;

use super::{Explanation, reset_or_replace};
use crate::{
    certificate::{local_time, printable},
    messages::{Lang, say},
    server::Refusal,
};

/// What a refusal means, what to do next, and what the help desk wants to know.
pub(super) fn explain(refusal: &Refusal, lang: Lang) -> Explanation {
    let mut explanation = words(refusal, lang);
    if let Some(support) = &refusal.support_id {
        let support = printable(support);
        let note = say!(
            lang,
            " When you ask the bank, name the reference {support}.",
            " お問い合わせの際は受付番号 {support} をお伝えください。"
        );
        explanation.next.push_str(&note);
    }
    explanation
}

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
fn words(refusal: &Refusal, lang: Lang) -> Explanation {
    let when = refusal.retry_at.map(local_time);
    let detail = refusal.detail.as_deref().map(printable).unwrap_or_default();
    match refusal.code {
        Some(Code::AuthenticationFailed) => Explanation {
            what: say!(
                lang,
                "Login ID, login password, acquisition code or token is not right.",
                "ログインID、ログインパスワード、取得用コード、またはトークンが正しくありません。"
            ),
            next: say!(
                lang,
                "Check them and try again. The token must be the one that was assigned to you; the code is on the branch's letter.",
                "入力内容を確認してやり直してください。割り当てられたトークンを使っているか、取得用コードが窓口からの通知どおりかも確認してください。"
            ),
        },
        Some(Code::Throttled) => retry(
            lang,
            when,
            say!(lang, "Too many attempts.", "試行回数が多すぎます。"),
            say!(
                lang,
                "Wait some minutes, then run the same command again.",
                "数分待ってから、同じコマンドを実行してください。"
            ),
        ),
        Some(Code::OutsideHours) => retry(
            lang,
            when,
            say!(
                lang,
                "Certificates are issued on bank business days between 9:00 and 21:00 Japan time.",
                "証明書の取得は銀行営業日の9時から21時(日本時間)までです。"
            ),
            say!(
                lang,
                "Run the same command again in that time.",
                "取得できる時間帯に、同じコマンドを実行してください。"
            ),
        ),
        Some(Code::PukNotKept) => Explanation {
            what: say!(
                lang,
                "The bank doesn't keep this token's PUK, so its PIN can't be unblocked.",
                "このトークンのPUKは銀行で保管していないため、PINのロックを解除できません。"
            ),
            next: reset_or_replace(lang),
        },
        Some(Code::UnblockingNotApproved) => Explanation {
            what: say!(
                lang,
                "The approval has been used already, or its time ran out.",
                "承認は使用済みか、有効期限が切れています。"
            ),
            next: say!(
                lang,
                "Run it again: it asks for a new approval.",
                "もう一度実行して、新たに承認を受けてください。"
            ),
        },
        Some(Code::IssuingHalted) => retry(
            lang,
            when,
            say!(
                lang,
                "The bank is checking its records and issues no certificates at the moment.",
                "銀行で記録を確認しているため、現在、証明書を発行していません。"
            ),
            say!(
                lang,
                "Your present certificate stays valid. Run the same command again in some hours; if it lasts, ask the bank.",
                "お持ちの証明書は引き続き有効です。数時間後に同じコマンドを実行してください。続く場合は銀行へお問い合わせください。"
            ),
        ),
        Some(Code::Unavailable) => retry(
            lang,
            when,
            say!(
                lang,
                "The bank's service is not available at the moment.",
                "銀行のサービスが一時的に利用できません。"
            ),
            say!(
                lang,
                "Run the same command again in some minutes.",
                "数分後に、同じコマンドを実行してください。"
            ),
        ),
        Some(Code::AlreadyCertified) => Explanation {
            what: say!(
                lang,
                "This user ID has a certificate already.",
                "このログインIDには、有効な証明書が既に発行されています。"
            ),
            next: say!(
                lang,
                "If it can't be used any more, have it revoked first (by the master user; a master's own at the branch), then obtain a new one.",
                "その証明書が使えない場合は、先に失効の手続き(マスターユーザが操作。マスターユーザ本人の証明書は窓口)をしてから、取得し直してください。"
            ),
        },
        Some(Code::RenewalNotOpen) => retry(
            lang,
            when,
            say!(
                lang,
                "This certificate can't be renewed now. {detail}",
                "この証明書は現在更新できません。{detail}"
            ),
            say!(
                lang,
                "Renewal is open from 40 days before a certificate's expiry until it expires; an expired one is revoked first, then a new one is obtained.",
                "更新できるのは有効期限の40日前から有効期限までです。期限が切れた証明書は、失効の手続きをしてから取得し直してください。"
            ),
        ),
        Some(Code::PredecessorInvalid) => Explanation {
            what: say!(
                lang,
                "The certificate that was to be renewed is not valid any more.",
                "更新しようとした証明書は、既に無効です。"
            ),
            next: say!(
                lang,
                "If it was renewed already, use the new one; else obtain a new certificate.",
                "既に更新済みの場合は新しい証明書を使ってください。それ以外の場合は、証明書を取得し直してください。"
            ),
        },
        Some(Code::PredecessorSignature) => Explanation {
            what: say!(
                lang,
                "The bank couldn't check the signature by your present certificate's key.",
                "現在の証明書の鍵による署名を確認できませんでした。"
            ),
            next: say!(
                lang,
                "Connect the token that your present certificate is on and run the same command again.",
                "現在の証明書が入っているトークンを接続し、同じコマンドを実行してください。"
            ),
        },
        Some(Code::RenewalPending) => retry(
            lang,
            when,
            say!(
                lang,
                "Another renewal of this certificate was begun and isn't finished.",
                "この証明書の更新手続きが、別に進行中です。"
            ),
            say!(
                lang,
                "Finish it on the computer where it was begun, or log in with the new certificate.",
                "手続きを始めたパソコンで完了するか、新しい証明書でログインしてください。"
            ),
        ),
        Some(Code::NotPermitted) => Explanation {
            what: say!(
                lang,
                "This account may not obtain a certificate. {detail}",
                "このご利用者は証明書を取得できません。{detail}"
            ),
            next: say!(
                lang,
                "Ask your master user or the branch.",
                "マスターユーザまたは取引店の窓口にお問い合わせください。"
            ),
        },
        Some(Code::WrongDevice) => Explanation {
            what: say!(
                lang,
                "This is not the token that is meant for you. {detail}",
                "割り当てられたトークンではありません。{detail}"
            ),
            next: say!(
                lang,
                "Connect the token that was handed to you and choose it with --token.",
                "交付されたトークンを接続し、--token で指定してください。"
            ),
        },
        Some(Code::DeviceInUse) => Explanation {
            what: say!(
                lang,
                "This token or its key is in use for another user. {detail}",
                "このトークンまたは鍵は、別のご利用者に使われています。{detail}"
            ),
            next: say!(
                lang,
                "Use a token of your own; each user ID needs one.",
                "ご自身のトークンを使ってください。ログインIDごとに1つ必要です。"
            ),
        },
        Some(Code::CsrRefused | Code::EvidenceRefused) => Explanation {
            what: say!(
                lang,
                "The bank doesn't accept this token's key: {detail}",
                "このトークンの鍵は受け付けられませんでした: {detail}"
            ),
            next: say!(
                lang,
                "Use another token, or ask the bank which ones it accepts.",
                "別のトークンを使うか、利用できるトークンを銀行に確認してください。"
            ),
        },
        Some(Code::IssuerExpires) => Explanation {
            what: say!(
                lang,
                "The bank's issuing certificate ends too soon to issue for a year.",
                "発行用証明書の期限が近いため、1年間有効な証明書を発行できません。"
            ),
            next: say!(
                lang,
                "Tell the bank; nothing is wrong on your side.",
                "銀行にご連絡ください。お客さま側の問題ではありません。"
            ),
        },
        Some(Code::AgentTooOld) => Explanation {
            what: say!(
                lang,
                "This agent is too old. {detail}",
                "この証明書発行アプリは古いため使えません。{detail}"
            ),
            next: say!(
                lang,
                "Install the current one from the bank's login page.",
                "銀行のログイン画面から最新版を入手してください。"
            ),
        },
        Some(Code::ChallengeExpired | Code::BearerInvalid) => Explanation {
            what: say!(lang, "The enrolment took too long.", "手続きの有効時間が過ぎました。"),
            next: say!(
                lang,
                "Run the same command again; it goes on where it stopped.",
                "同じコマンドを実行すると、続きから再開します。"
            ),
        },
        Some(Code::IdempotencyKey) => Explanation {
            what: say!(
                lang,
                "The server knows this enrolment with another content.",
                "サーバに記録されている手続きと内容が一致しません。"
            ),
            next: say!(
                lang,
                "Run the same command again; a new enrolment begins.",
                "同じコマンドを実行してください。新しい手続きとして始まります。"
            ),
        },
        Some(
            Code::Internal
            | Code::ConfirmationMismatch
            | Code::MalformedRequest
            | Code::TooLarge
            | Code::NotFound
            // For machines, which aren't agents.
            | Code::MachineUnknown
            | Code::MachineNotValid
            | Code::MachineRole
            | Code::RateLimited
            | Code::UserUnknown
            | Code::CertificateUnknown,
        )
        | None => Explanation {
            what: {
                let name = printable(&refusal.name);
                say!(
                    lang,
                    "The server refuses ({name}). {detail}",
                    "サーバが要求を受け付けませんでした({name})。{detail}"
                )
            },
            next: say!(
                lang,
                "Run the same command again; if that doesn't help, install the newest agent or ask the bank.",
                "同じコマンドを実行してください。解決しない場合は、最新の証明書発行アプリを使うか、銀行にお問い合わせください。"
            ),
        },
    }
}

fn retry(lang: Lang, when: Option<String>, what: String, otherwise: String) -> Explanation {
    let next = match when {
        Some(time) => say!(
            lang,
            "Run the same command again after {time} (local time).",
            "{time}(現地時刻)以降に、同じコマンドを実行してください。"
        ),
        None => otherwise,
    };
    Explanation { what, next }
}
