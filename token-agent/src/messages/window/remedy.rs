//! What to do next, at a window. No sentence speaks of commands or options.

use ca_wire::problem::Code;

use crate::{
    certificate::{local_time, printable},
    doctor::Fact,
    enrol::{EnrolError, RecordError},
    messages::{Explanation, Lang, explain, explain_server, finding, say},
    server::{Hop, Refusal, ServerError},
    token::TokenError,
    unblock::UnblockError,
};

/// Explains a failure to somebody who sits at the window.
pub(crate) fn explain_in_window(error: &EnrolError, lang: Lang) -> Explanation {
    let Explanation { what, next } = explain(error, lang);
    let next = match remedy(error, lang) {
        Some(own) => own,
        None if speaks_of_commands(&next) => again(lang),
        None => next,
    };
    Explanation { what, next }
}

/// Explains why there is no way to the server, before anything was sent.
pub(crate) fn explain_route(error: &ServerError, lang: Lang) -> Explanation {
    let Explanation { what, next } = explain_server(error, lang);
    Explanation { what, next: of_server(error, lang).unwrap_or(next) }
}

/// A finding of the diagnosis, likewise.
pub(crate) fn finding_in_window(fact: &Fact, lang: Lang) -> Explanation {
    let Explanation { what, next } = finding(fact, lang);
    let own = match fact {
        Fact::ServerFails(error) => of_server(error, lang),
        Fact::NoService(error) | Fact::TokenFails { error, .. } => of_token(error, lang),
        _ => None,
    };
    Explanation { what, next: own.unwrap_or(next) }
}

fn speaks_of_commands(text: &str) -> bool {
    ["--", "command", "コマンド"].iter().any(|word| text.contains(word))
}

fn again(lang: Lang) -> String {
    say!(
        lang,
        "Try again. If that doesn't help, ask the bank.",
        "もう一度実行してください。解決しない場合は、銀行にお問い合わせください。"
    )
}

fn remedy(error: &EnrolError, lang: Lang) -> Option<String> {
    match error {
        EnrolError::Token(error) => of_token(error, lang),
        EnrolError::Unblock(error) => of_unblocking(error, lang),
        EnrolError::Server(ServerError::Refused(refusal)) => of_refusal(refusal, lang),
        EnrolError::Server(error) => of_server(error, lang),
        EnrolError::Record(error) => of_record(error, lang),
        EnrolError::Occupied { .. } => Some(say!(
            lang,
            "Use another token, or agree to overwriting if what it holds isn't needed any more.",
            "別のトークンを使うか、中の証明書が不要な場合は、もう一度実行して上書きに同意してください。"
        )),
        EnrolError::KeyGone(_) => Some(say!(
            lang,
            "Ask your administrator to begin anew. If a certificate was issued for that key, have it revoked first.",
            "管理者に連絡し、最初からやり直してください。その鍵の証明書が発行済みの場合は、先に失効の手続きをしてください。"
        )),
        EnrolError::ReadBack(_) => Some(say!(
            lang,
            "Try again; the same certificate is written.",
            "もう一度実行してください。同じ証明書を書き込みます。"
        )),
        other => super::tpm::remedy(other, lang),
    }
}

fn of_unblocking(error: &UnblockError, lang: Lang) -> Option<String> {
    match error {
        UnblockError::NotBlocked { .. } => Some(say!(
            lang,
            "Use it as before, or choose another one under “Change the PIN”.",
            "そのままご利用いただけます。変更する場合は「PINの変更」を使ってください。"
        )),
        UnblockError::PukBlocked | UnblockError::PukUnknown => Some(reset_or_replace(lang)),
        UnblockError::Waiting { .. } | UnblockError::Declined { .. } => None,
    }
}

fn reset_or_replace(lang: Lang) -> String {
    say!(
        lang,
        "Have the certificate revoked. Then have this token reset by your administrator, or take another one, and obtain a new certificate.",
        "証明書を失効してから、社内の管理者にこのトークンの初期化を依頼するか、別のトークンを用意して、証明書を取得し直してください。"
    )
}

fn of_token(error: &TokenError, lang: Lang) -> Option<String> {
    Some(match error {
        TokenError::NoService(_) => say!(
            lang,
            "Start the service “Smart Card” (Linux: pcscd), or ask your administrator, then try again.",
            "「Smart Card」サービス(Linux: pcscd)を開始して、もう一度実行してください。不明な場合は社内の管理者に確認してください。"
        ),
        TokenError::NoToken | TokenError::NotConnected { .. } => {
            say!(lang, "Connect the token and try again.", "トークンを接続して、もう一度実行してください。")
        }
        TokenError::Several { .. } => {
            say!(lang, "Choose one of them.", "使用するトークンを1つ選択してください。")
        }
        TokenError::Busy => say!(
            lang,
            "Close the browser and other card software, then try again.",
            "ブラウザなど、トークンを使うプログラムを終了して、もう一度実行してください。"
        ),
        TokenError::Removed | TokenError::Reset => say!(
            lang,
            "Connect the same token again, close other programs that use it, and try again.",
            "同じトークンを接続し、トークンを使う他のプログラムを終了して、もう一度実行してください。"
        ),
        TokenError::PinBlocked => say!(
            lang,
            "Choose “Unblock the PIN” in the start menu. Somebody else has to approve it.",
            "スタートメニューの「PINロック解除」から申請してください。マスターユーザまたは窓口の承認が必要です。"
        ),
        TokenError::ManagementKeyUnknown => say!(
            lang,
            "Ask whoever prepared the token, or use another one.",
            "トークンを準備した担当者に確認するか、別のトークンを使ってください。"
        ),
        _ => return None,
    })
}

fn of_refusal(refusal: &Refusal, lang: Lang) -> Option<String> {
    let own = match refusal.code? {
        Code::Throttled | Code::OutsideHours | Code::IssuingHalted | Code::Unavailable => {
            match refusal.retry_at.map(local_time) {
                Some(time) => say!(
                    lang,
                    "Try again after {time} (local time).",
                    "{time}(現地時刻)以降に、もう一度実行してください。"
                ),
                None => say!(lang, "Try again later.", "時間をおいて、もう一度実行してください。"),
            }
        }
        Code::PukNotKept => reset_or_replace(lang),
        Code::WrongDevice => say!(
            lang,
            "Connect the token that was handed to you, and choose it.",
            "交付されたトークンを接続し、選択してください。"
        ),
        Code::ChallengeExpired | Code::BearerInvalid | Code::IdempotencyKey => {
            say!(lang, "Try again.", "もう一度実行してください。")
        }
        _ => return None,
    };
    Some(own)
}

fn of_server(error: &ServerError, lang: Lang) -> Option<String> {
    Some(match error {
        ServerError::NameUnknown { hop: Hop { script: Some(script), .. }, .. }
        | ServerError::ConnectionRefused { hop: Hop { script: Some(script), .. }, .. }
        | ServerError::Silent { hop: Hop { script: Some(script), .. }, .. }
        | ServerError::Unreachable { hop: Hop { script: Some(script), .. }, .. } => {
            let script = printable(script);
            say!(
                lang,
                "This computer chooses its proxy by a script ({script}), which the agent doesn't run. Ask your network's administrator for the proxy's name and port, fill them in under “Connection”, and try again.",
                "このパソコンのプロキシは自動設定スクリプト({script})ですが、このアプリはスクリプトを実行しません。社内のネットワーク管理者にプロキシサーバ名とポート番号を確認し、「接続設定」に入力して、もう一度実行してください。"
            )
        }
        ServerError::Timeout(_)
        | ServerError::Silent { .. }
        | ServerError::Unreachable { .. }
        | ServerError::Broken(_) => say!(
            lang,
            "Check the network and the settings under “Connection”, then try again.",
            "ネットワークと「接続設定」を確認して、もう一度実行してください。"
        ),
        ServerError::NameUnknown { hop, .. } | ServerError::ConnectionRefused { hop, .. } => {
            if hop.is_proxy {
                wrong_proxy(lang)
            } else {
                say!(
                    lang,
                    "Check the bank's address under “Connection”. If your company uses a proxy, fill it in there. Then try again.",
                    "「接続設定」で接続先を確認してください。社内プロキシがある場合は入力し、もう一度実行してください。"
                )
            }
        }
        ServerError::Proxy(_) => wrong_proxy(lang),
        // Nothing that is typed would help against another kind of authentication.
        ServerError::ProxyAuthentication { schemes, .. }
            if schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic")) =>
        {
            say!(
                lang,
                "Fill in the proxy's user name and password under “Connection”. They are not the login ID and login password.",
                "「接続設定」でプロキシのユーザ名とパスワードを入力してください。ログインIDとログインパスワードではありません。"
            )
        }
        ServerError::ProxyRefused { status: Some(500 | 502..=504), .. } => say!(
            lang,
            "Check the bank's address under “Connection”. If it is right, ask your network's administrator.",
            "「接続設定」で接続先を確認してください。正しい場合は、社内のネットワーク管理者に確認してください。"
        ),
        ServerError::ProxyRefused { status: Some(300..=399), .. } => say!(
            lang,
            "Open the browser once and log in to your network there; then try again.",
            "ブラウザを開いて社内ネットワークにログインしてから、もう一度実行してください。"
        ),
        ServerError::NotHttps(_) => say!(
            lang,
            "Correct the bank's address under “Connection”; it begins with https://.",
            "「接続設定」で、https:// で始まる接続先を入力してください。"
        ),
        ServerError::NotUnderstood(_) | ServerError::TooLarge(_) => say!(
            lang,
            "Check the bank's address and the proxy under “Connection”. If they are right, ask the bank.",
            "「接続設定」で接続先とプロキシを確認してください。正しい場合は、銀行にお問い合わせください。"
        ),
        ServerError::Setup(_) | ServerError::SetupTls(_) => {
            say!(lang, "Check the settings under “Connection”.", "「接続設定」を確認してください。")
        }
        _ => return None,
    })
}

fn wrong_proxy(lang: Lang) -> String {
    say!(
        lang,
        "Check the proxy's name and port under “Connection”.",
        "「接続設定」でプロキシサーバ名とポート番号を確認してください。"
    )
}

fn of_record(error: &RecordError, lang: Lang) -> Option<String> {
    match error {
        RecordError::Unusable { .. } => Some(say!(
            lang,
            "Check the folder and the disk's space, or ask your administrator.",
            "フォルダと空き容量を確認するか、社内の管理者に確認してください。"
        )),
        RecordError::Damaged { .. } => Some(say!(
            lang,
            "Delete the file and try again. If the bank then says that a certificate exists, have it revoked first.",
            "ファイルを削除して、もう一度実行してください。既に発行済みと表示された場合は、先に失効の手続きをしてください。"
        )),
        RecordError::InUse => None,
    }
}

#[cfg(test)]
mod tests {
    use agent_tpm::{Health, TpmError};
    use jiff::Timestamp;

    use super::*;
    use crate::token::{KeyAlgorithm, Slot};

    fn refused(name: &str) -> EnrolError {
        let code = serde_json::from_value(name.into()).ok();
        let refusal = Refusal {
            code,
            name: name.to_owned(),
            detail: None,
            retry_at: None,
            support_id: Some("s1".into()),
        };
        EnrolError::Server(ServerError::Refused(refusal))
    }

    #[test]
    fn nobody_at_a_window_is_told_of_commands_and_options() {
        let slot = Slot::parse("9a").expect("a slot");
        let path = std::path::PathBuf::from("/x");
        let mut errors = vec![
            EnrolError::Token(TokenError::NoService(pcsc::Error::NoService)),
            EnrolError::Token(TokenError::NoToken),
            EnrolError::Token(TokenError::NotConnected { serial: "7".into() }),
            EnrolError::Token(TokenError::Several { serials: vec!["7".into(), "8".into()] }),
            EnrolError::Token(TokenError::Busy),
            EnrolError::Token(TokenError::Removed),
            EnrolError::Token(TokenError::Reset),
            EnrolError::Token(TokenError::PinWrong { tries_left: 2 }),
            EnrolError::Token(TokenError::PinBlocked),
            EnrolError::Token(TokenError::PinRefused),
            EnrolError::Token(TokenError::ManagementKeyUnknown),
            EnrolError::Token(TokenError::PrintedObjectTaken),
            EnrolError::Token(TokenError::Unsupported("x")),
            EnrolError::Unblock(UnblockError::NotBlocked { tries_left: 3 }),
            EnrolError::Unblock(UnblockError::PukBlocked),
            EnrolError::Unblock(UnblockError::PukUnknown),
            EnrolError::Unblock(UnblockError::Waiting { number: "1".into(), branch_only: true }),
            EnrolError::Unblock(UnblockError::Declined { number: "1".into() }),
            EnrolError::Tpm(TpmError::NoPlace),
            EnrolError::Tpm(TpmError::MemoryTaken),
            EnrolError::Tpm(TpmError::OtherCredential),
            EnrolError::Tpm(TpmError::PinWrong { tries_left: 2 }),
            EnrolError::Tpm(TpmError::Locked { seconds: 600 }),
            EnrolError::TpmKeyLost(Health::Cleared),
            EnrolError::TpmKeyLost(Health::OtherTpm),
            EnrolError::WhichTpmKey { places: Vec::new() },
            EnrolError::NoTpmKey,
            EnrolError::KeptTpmKey,
            EnrolError::KeptToken,
            EnrolError::NotKept,
            EnrolError::Server(ServerError::NotHttps("x".into())),
            EnrolError::Server(ServerError::Authorities("x".into())),
            EnrolError::Server(ServerError::Proxy("x".into())),
            EnrolError::Server(ServerError::Redirected(302)),
            EnrolError::Server(ServerError::NotUnderstood(502)),
            EnrolError::Server(ServerError::WebPage(200)),
            EnrolError::Server(ServerError::Clock { here: Timestamp::UNIX_EPOCH, there: Timestamp::MAX }),
            EnrolError::Record(RecordError::InUse),
            EnrolError::Record(RecordError::Damaged { path }),
            EnrolError::Occupied { slot },
            EnrolError::OtherSlotUnderWay(slot),
            EnrolError::KeyGone(slot),
            EnrolError::AlgorithmNotPermitted { algorithm: KeyAlgorithm::P256, model: "x".into() },
            EnrolError::ReadBack(slot),
            EnrolError::VersionsMalformed,
            EnrolError::NotAttested,
        ];
        errors.extend(
            [
                "throttled",
                "outside-hours",
                "unavailable",
                "wrong-device",
                "puk-not-kept",
                "unblocking-not-approved",
                "challenge-expired",
                "idempotency-key",
            ]
            .map(refused),
        );
        for error in &errors {
            for lang in [Lang::En, Lang::Ja] {
                let explanation = explain_in_window(error, lang);
                assert!(!explanation.what.is_empty() && !explanation.next.is_empty(), "{error:?}");
                assert!(!speaks_of_commands(&explanation.next), "{error:?}: {}", explanation.next);
                assert!(!explanation.next.contains("inro-agent"), "{error:?}: {}", explanation.next);
            }
        }
    }
}
