//! Failures at the server or on the way to it.

use super::{Explanation, problem};
use crate::{
    certificate::{local_time, printable},
    messages::{Lang, say},
    server::{BadCertificate, Hop, ServerError},
};

pub(crate) fn explain_server(error: &ServerError, lang: Lang) -> Explanation {
    let (what, next) = match error {
        ServerError::Refused(refusal) => return problem::explain(refusal, lang),
        ServerError::NotHttps(_)
        | ServerError::Authorities(_)
        | ServerError::Proxy(_)
        | ServerError::Setup(_)
        | ServerError::SetupTls(_) => settings(error, lang),
        ServerError::ProxyAuthentication { proxy, given, schemes, .. } => {
            authentication(&printable(proxy), *given, schemes, lang)
        }
        ServerError::ProxyRefused { proxy, status, .. } => refused(&printable(proxy), *status, lang),
        ServerError::NameUnknown { hop, .. }
        | ServerError::ConnectionRefused { hop, .. }
        | ServerError::Silent { hop, .. }
        | ServerError::Unreachable { hop, .. } => connection(error, hop, lang),
        ServerError::Certificate(why, _) => certificate(why, lang),
        ServerError::Clock { here, there } => clock(&local_time(*here), &local_time(*there), lang),
        ServerError::NotTls { .. } | ServerError::Redirected(_) | ServerError::WebPage(_) => {
            somebody_else(error, lang)
        }
        ServerError::NotUnderstood(_) | ServerError::TooLarge(_) => (
            say!(
                lang,
                "The answer is not that of the bank's service ({error}).",
                "銀行のサービスからの応答ではありません({error})。"
            ),
            say!(
                lang,
                "Check the address and the proxy, then run the same command again; if that doesn't help, ask the bank.",
                "アドレスとプロキシを確認して、同じコマンドを実行してください。解決しない場合は銀行にお問い合わせください。"
            ),
        ),
        ServerError::Timeout(_) => (
            say!(lang, "The server didn't answer in time.", "サーバが時間内に応答しませんでした。"),
            resume(lang),
        ),
        ServerError::Broken(_) => (
            say!(lang, "The connection to the server broke.", "サーバとの通信が切断されました。"),
            resume(lang),
        ),
    };
    Explanation { what, next }
}

fn resume(lang: Lang) -> String {
    say!(
        lang,
        "Check the network and run the same command again; it goes on where it stopped.",
        "ネットワークを確認して、同じコマンドを実行してください。続きから再開します。"
    )
}

/// What is wrong before anything was sent.
fn settings(error: &ServerError, lang: Lang) -> (String, String) {
    match error {
        ServerError::NotHttps(address) => {
            let address = printable(address);
            (
                say!(
                    lang,
                    "“{address}” is not an address of the form https://host[:port].",
                    "「{address}」は https://ホスト[:ポート] の形式ではありません。"
                ),
                say!(
                    lang,
                    "Take the address from the bank's letter; only https is used.",
                    "銀行から案内されたアドレス(https のみ)を指定してください。"
                ),
            )
        }
        ServerError::Authorities(path) => {
            let path = printable(path);
            (
                say!(
                    lang,
                    "{path} holds no usable certificate in PEM.",
                    "{path} に、使用できるPEM形式の証明書がありません。"
                ),
                say!(
                    lang,
                    "Give the file that the bank provides.",
                    "銀行から提供されたファイルを指定してください。"
                ),
            )
        }
        ServerError::Proxy(address) => {
            let address = printable(address);
            (
                say!(
                    lang,
                    "“{address}” is not a proxy's address.",
                    "「{address}」はプロキシのアドレスとして使えません。"
                ),
                say!(
                    lang,
                    "Give http://host:port; user name and password go into --proxy-user and --proxy-password-file.",
                    "http://ホスト:ポート の形式で指定してください。ユーザ名とパスワードは --proxy-user と --proxy-password-file で指定します。"
                ),
            )
        }
        _ => (
            say!(lang, "The connection can't be set up.", "通信の準備ができません。"),
            say!(lang, "Check --ca-file and --proxy.", "--ca-file と --proxy を確認してください。"),
        ),
    }
}

/// 407.
fn authentication(proxy: &str, given: bool, schemes: &[String], lang: Lang) -> (String, String) {
    let basic = schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
    if !basic {
        let schemes = printable(&schemes.join(", "));
        return (
            say!(
                lang,
                "The company's proxy {proxy} asks for a kind of authentication that the agent doesn't have ({schemes}).",
                "社内プロキシ {proxy} の認証方式({schemes})には対応していません。"
            ),
            say!(
                lang,
                "Ask your network's administrator to let this computer reach the bank's address without authentication, or to permit “Basic”.",
                "銀行のアドレスへの接続を認証なしで許可するか、Basic認証を有効にするよう、社内のネットワーク管理者に依頼してください。"
            ),
        );
    }
    let what = if given {
        say!(
            lang,
            "The company's proxy {proxy} doesn't accept this user name and password.",
            "社内プロキシ {proxy} の認証に失敗しました(ユーザ名またはパスワードが違います)。"
        )
    } else {
        say!(
            lang,
            "The company's proxy {proxy} asks for a user name and password.",
            "社内プロキシ {proxy} の認証が必要です。"
        )
    };
    let next = say!(
        lang,
        "Give its user name with --proxy-user; the password is asked for, or read from --proxy-password-file. They are not those of the bank: ask your network's administrator.",
        "--proxy-user でプロキシのユーザ名を指定してください(パスワードは入力するか --proxy-password-file で指定)。銀行のログインIDとパスワードではありません。不明な場合は社内のネットワーク管理者に確認してください。"
    );
    (what, next)
}

/// Any other answer of the proxy than the way to the server.
fn refused(proxy: &str, status: Option<u16>, lang: Lang) -> (String, String) {
    let ask = || {
        say!(
            lang,
            "Ask your network's administrator to permit connections to the bank's address (method CONNECT).",
            "銀行のアドレスへの接続(CONNECT)を許可するよう、社内のネットワーク管理者に依頼してください。"
        )
    };
    match status {
        Some(status @ (500 | 502..=504)) => (
            say!(
                lang,
                "The company's proxy {proxy} can't reach the bank's server (status {status}).",
                "社内プロキシ {proxy} が銀行のサーバに接続できません(ステータス {status})。"
            ),
            say!(
                lang,
                "Check the bank's address. If it is right, ask your network's administrator, then run the same command again.",
                "銀行のアドレスを確認してください。正しい場合は社内のネットワーク管理者に確認し、同じコマンドを実行してください。"
            ),
        ),
        Some(status @ 300..=399) => (
            say!(
                lang,
                "The company's proxy {proxy} leads to a web page instead of the bank (status {status}).",
                "社内プロキシ {proxy} が、銀行ではなく別のウェブページへ転送しています(ステータス {status})。"
            ),
            say!(
                lang,
                "Open the browser once and log in to your network there; then run the same command again.",
                "ブラウザを開いて社内ネットワークにログインしてから、同じコマンドを実行してください。"
            ),
        ),
        Some(status) => (
            say!(
                lang,
                "The company's proxy {proxy} doesn't permit connections to the bank (status {status}).",
                "社内プロキシ {proxy} が銀行への接続を許可していません(ステータス {status})。"
            ),
            ask(),
        ),
        None => (
            say!(
                lang,
                "The company's proxy {proxy} doesn't connect to the bank.",
                "社内プロキシ {proxy} が銀行に接続しません。"
            ),
            ask(),
        ),
    }
}

/// No connection to the first machine on the way.
fn connection(error: &ServerError, hop: &Hop, lang: Lang) -> (String, String) {
    let name = printable(&hop.name);
    let who = if hop.is_proxy {
        say!(lang, "the company's proxy {name}", "社内プロキシ {name} ")
    } else {
        say!(lang, "the bank's server {name}", "銀行のサーバ {name} ")
    };
    let what = match error {
        ServerError::NameUnknown { .. } => {
            say!(lang, "The name of {who} is not known here (DNS).", "{who}の名前を解決できません(DNS)。")
        }
        ServerError::ConnectionRefused { .. } => say!(
            lang,
            "Nothing listens at {who}: the connection was refused.",
            "{who}への接続が拒否されました。"
        ),
        ServerError::Silent { .. } => {
            say!(lang, "No answer came from {who}.", "{who}から応答がありません。")
        }
        _ => say!(lang, "There is no connection to {who}.", "{who}に接続できません。"),
    };
    if let Some(script) = &hop.script {
        return (what, chosen_by_script(script, lang));
    }
    let next = match (error, hop.is_proxy) {
        (ServerError::NameUnknown { .. }, false) => say!(
            lang,
            "Check the address and whether this computer is on line. Inside a company only the proxy may know names from outside: give it with --proxy. Then run the same command again.",
            "アドレスとネットワーク接続を確認してください。社内ネットワークではプロキシ(--proxy)の指定が必要な場合があります。その後、同じコマンドを実行してください。"
        ),
        (ServerError::NameUnknown { .. } | ServerError::ConnectionRefused { .. }, true) => say!(
            lang,
            "Check the proxy's name and port (--proxy, HTTPS_PROXY or the system's settings), or ask your network's administrator.",
            "プロキシサーバ名とポート番号(--proxy、HTTPS_PROXY、またはシステムの設定)を確認するか、社内のネットワーク管理者に確認してください。"
        ),
        (_, false) => say!(
            lang,
            "Check the network. If your company uses a proxy, give it with --proxy. Then run the same command again; it goes on where it stopped.",
            "ネットワークを確認してください。社内プロキシがある場合は --proxy で指定してください。その後、同じコマンドを実行すると続きから再開します。"
        ),
        (_, true) => resume(lang),
    };
    (what, next)
}

/// The system's proxy settings are a script, which isn't run: perhaps there is no way without it.
fn chosen_by_script(script: &str, lang: Lang) -> String {
    let script = printable(script);
    say!(
        lang,
        "This computer chooses its proxy by a script ({script}), which the agent doesn't run. Ask your network's administrator for the proxy's name and port, give them with --proxy, and run the same command again.",
        "このパソコンのプロキシは自動設定スクリプト({script})ですが、このアプリはスクリプトを実行しません。社内のネットワーク管理者にプロキシサーバ名とポート番号を確認し、--proxy で指定して、同じコマンドを実行してください。"
    )
}

/// A certificate that isn't accepted.
fn certificate(why: &BadCertificate, lang: Lang) -> (String, String) {
    let distrust = || {
        say!(
            lang,
            "Check the address. If it is right, don't go on: ask the bank or your network's administrator.",
            "アドレスを確認してください。正しい場合は、操作を続けずに銀行またはネットワーク管理者に連絡してください。"
        )
    };
    match why {
        BadCertificate::OtherName { names } => {
            let names = if names.is_empty() { "?".to_owned() } else { printable(&names.join(", ")) };
            (
                say!(
                    lang,
                    "Another server answers in place of the bank's: its certificate is for {names}.",
                    "銀行ではない別のサーバが応答しています(証明書の名前: {names})。接続先が銀行のサーバであることを確認できませんでした。"
                ),
                say!(
                    lang,
                    "In a hotel or guest network, open the browser and log in to the network first. Otherwise check the address; if it is right, don't go on: ask the bank or your network's administrator.",
                    "ホテルや来客用のネットワークでは、先にブラウザでネットワークにログインしてください。それ以外ではアドレスを確認し、正しい場合は操作を続けずに銀行またはネットワーク管理者に連絡してください。"
                ),
            )
        }
        BadCertificate::UnknownIssuer { issuer } => {
            let issuer = issuer.as_deref().map_or_else(|| "?".to_owned(), printable);
            (
                say!(
                    lang,
                    "The server could not prove that it is the bank's: its certificate is by “{issuer}”, who may not certify it.",
                    "接続先が銀行のサーバであることを確認できませんでした(証明書の発行者「{issuer}」は認められていません)。"
                ),
                say!(
                    lang,
                    "If that is your company's proxy, which looks into connections, ask its administrator to exempt the bank's address, or to name its authority in the agent's policy (company_ca_file). If not, don't go on: ask the bank.",
                    "通信を検査する社内プロキシの場合は、銀行のアドレスを検査対象から外すか、管理者用設定(policy.toml の company_ca_file)に認証局を登録するよう、社内のネットワーク管理者に依頼してください。そうでない場合は、操作を続けずに銀行に連絡してください。"
                ),
            )
        }
        BadCertificate::Expired { not_after } => {
            let until = not_after.map_or_else(|| "?".to_owned(), local_time);
            (
                say!(
                    lang,
                    "The bank's server shows a certificate that was valid until {until}.",
                    "銀行のサーバの証明書は期限切れです(有効期限 {until})。"
                ),
                set_the_clock(lang),
            )
        }
        BadCertificate::NotYetValid { not_before } => {
            let from = not_before.map_or_else(|| "?".to_owned(), local_time);
            (
                say!(
                    lang,
                    "The bank's server shows a certificate that is valid from {from} on only.",
                    "銀行のサーバの証明書は、まだ有効期間前です(開始 {from})。"
                ),
                set_the_clock(lang),
            )
        }
        BadCertificate::Other => (
            say!(
                lang,
                "The server could not prove that it is the bank's.",
                "接続先が銀行のサーバであることを確認できませんでした。"
            ),
            distrust(),
        ),
    }
}

fn set_the_clock(lang: Lang) -> String {
    say!(
        lang,
        "Check this computer's date and time. If they are right, don't go on: ask the bank.",
        "このパソコンの日付と時刻を確認してください。正しい場合は、操作を続けずに銀行に連絡してください。"
    )
}

fn clock(here: &str, there: &str, lang: Lang) -> (String, String) {
    (
        say!(
            lang,
            "This computer's clock is wrong: it says {here}, the bank's server {there}. By it, the server's certificate isn't valid.",
            "このパソコンの時計が合っていません(このパソコン {here}、銀行のサーバ {there})。そのため、サーバの証明書を確認できません。"
        ),
        say!(
            lang,
            "Compare with a clock that you trust and set this computer's date, time and time zone; then try again.",
            "正しい時計と比べて、このパソコンの日付・時刻・タイムゾーンを合わせてから、もう一度実行してください。"
        ),
    )
}

/// Something between here and the bank answers.
fn somebody_else(error: &ServerError, lang: Lang) -> (String, String) {
    let what = match error {
        ServerError::NotTls { .. } => say!(
            lang,
            "What answers in place of the bank's server doesn't encrypt.",
            "銀行のサーバの代わりに、暗号化されていない応答が返されました。"
        ),
        ServerError::Redirected(status) => say!(
            lang,
            "The server points to another address (status {status}); that is not followed.",
            "サーバが別のアドレスを指しています(ステータス {status})。転送には従いません。"
        ),
        other => {
            let status = if let ServerError::WebPage(status) = other { *status } else { 0 };
            say!(
                lang,
                "A web page came in place of the bank's answer (status {status}).",
                "銀行の応答の代わりにウェブページが返されました(ステータス {status})。"
            )
        }
    };
    let next = say!(
        lang,
        "It may be the login page of a network: open the browser and log in there first. Otherwise check the address and the proxy; if they are right, don't go on: ask the bank or your network's administrator.",
        "ネットワークのログイン画面が返されている場合は、先にブラウザでログインしてください。それ以外ではアドレスとプロキシを確認し、正しい場合は操作を続けずに銀行またはネットワーク管理者に連絡してください。"
    );
    (what, next)
}
