//! Failures at the server or on the way to it.

use super::Explanation;
use crate::{
    certificate::printable,
    messages::{Lang, problem, say},
    server::ServerError,
};

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
pub(crate) fn explain_server(error: &ServerError, lang: Lang) -> Explanation {
    let resume = || {
        say!(
            lang,
            "Check the network and run the same command again; it goes on where it stopped.",
            "ネットワークを確認して、同じコマンドを実行してください。続きから再開します。"
        )
    };
    let distrust = || {
        say!(
            lang,
            "Check the address. If it is right, don't go on: ask the bank or your network's administrator.",
            "アドレスを確認してください。正しい場合は、操作を続けずに銀行またはネットワーク管理者に連絡してください。"
        )
    };
    let (what, next) = match error {
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
        ServerError::ProxyAuthentication(_) => (
            say!(
                lang,
                "The company's proxy doesn't let the agent through.",
                "社内プロキシの認証に失敗しました。"
            ),
            say!(
                lang,
                "Give its user name and password with --proxy-user and --proxy-password-file; they are not those of the bank.",
                "--proxy-user と --proxy-password-file で、プロキシのユーザ名とパスワード(銀行のものではありません)を指定してください。"
            ),
        ),
        ServerError::Certificate(_) => (
            say!(
                lang,
                "The server could not prove that it is the bank's.",
                "接続先が銀行のサーバであることを確認できませんでした。"
            ),
            distrust(),
        ),
        ServerError::Redirected(status) => (
            say!(
                lang,
                "The server points to another address (status {status}); that is not followed.",
                "サーバが別のアドレスを指しています(ステータス {status})。転送には従いません。"
            ),
            distrust(),
        ),
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
        ServerError::Setup(_) => (
            say!(lang, "The connection can't be set up.", "通信の準備ができません。"),
            say!(lang, "Check --ca-file and --proxy.", "--ca-file と --proxy を確認してください。"),
        ),
        ServerError::Timeout(_) => (
            say!(lang, "The server didn't answer in time.", "サーバが時間内に応答しませんでした。"),
            resume(),
        ),
        ServerError::Unreachable(_) => {
            (say!(lang, "The server can't be reached.", "サーバに接続できません。"), resume())
        }
        ServerError::Broken(_) => {
            (say!(lang, "The connection to the server broke.", "サーバとの通信が切断されました。"), resume())
        }
        ServerError::Refused(refusal) => return problem::explain(refusal, lang),
    };
    Explanation { what, next }
}
