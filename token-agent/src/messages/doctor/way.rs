//! What was found on the way to the bank: clock, network, proxy, server and versions.

use super::fine;
use crate::{
    certificate::{local_time, printable},
    doctor::{Fact, Passage},
    messages::{Explanation, Lang, explain_server, say},
    proxy::Origin,
    route::RouteError,
};

fn origin(origin: Origin, lang: Lang) -> String {
    match origin {
        Origin::Given => say!(lang, "as set for the agent", "アプリの設定"),
        Origin::Environment(name) => say!(lang, "from {name}", "環境変数 {name}"),
        Origin::Desktop => say!(lang, "from the desktop's settings", "デスクトップの設定"),
        Origin::Windows => say!(lang, "from Windows' settings", "Windowsの設定"),
    }
}

fn passage(passage: &Passage, lang: Lang) -> Explanation {
    match passage {
        Passage::Direct => fine(say!(lang, "No proxy is used.", "プロキシは使用しません。")),
        Passage::Excepted(whose) => {
            let whose = origin(*whose, lang);
            fine(say!(
                lang,
                "The bank's server is excepted from the proxy ({whose}).",
                "銀行のサーバはプロキシの除外対象です({whose})。"
            ))
        }
        Passage::Through { proxy, origin: whose, user } => {
            let (proxy, whose) = (printable(proxy), origin(*whose, lang));
            let user = user.as_deref().map_or_else(
                || say!(lang, "no user name", "ユーザ名なし"),
                |user| {
                    let user = printable(user);
                    say!(lang, "user name {user}", "ユーザ名 {user}")
                },
            );
            fine(say!(lang, "{proxy} is used ({whose}, {user}).", "{proxy} を使用します({whose}、{user})。"))
        }
        Passage::Script(script) => {
            let script = printable(script);
            Explanation {
                what: say!(
                    lang,
                    "The system chooses its proxy by a script ({script}), which the agent doesn't run; it connects directly.",
                    "システムのプロキシは自動設定スクリプト({script})です。このアプリはスクリプトを実行せず、直接接続します。"
                ),
                next: say!(
                    lang,
                    "If the bank can't be reached, ask your network's administrator for the proxy's name and port and set them for the agent.",
                    "銀行に接続できない場合は、社内のネットワーク管理者にプロキシサーバ名とポート番号を確認し、アプリに設定してください。"
                ),
            }
        }
    }
}

pub(super) fn network(fact: &Fact, lang: Lang) -> Explanation {
    let (what, next) = match fact {
        Fact::Way(way) => return passage(way, lang),
        Fact::ServerFails(error) => return explain_server(error, lang),
        Fact::NoRoute(error) => return no_route(error, lang),
        Fact::Clock { differs } => {
            let seconds = differs.as_secs().abs();
            return fine(say!(
                lang,
                "As the bank's, within {seconds} seconds.",
                "銀行のサーバとの差は{seconds}秒です。"
            ));
        }
        Fact::ClockUnknown { here } => {
            let here = local_time(*here);
            return fine(say!(
                lang,
                "It says {here}. Compare it with a clock that you trust.",
                "現在の設定は {here} です。正しい時計と比べてください。"
            ));
        }
        Fact::ClockWrong { here, there } => {
            let (here, there) = (local_time(*here), local_time(*there));
            (
                say!(
                    lang,
                    "This computer says {here}, the bank's server {there}.",
                    "このパソコン {here}、銀行のサーバ {there}"
                ),
                say!(
                    lang,
                    "Set this computer's date, time and time zone.",
                    "このパソコンの日付・時刻・タイムゾーンを合わせてください。"
                ),
            )
        }
        Fact::Connected { hop, addresses } => {
            let (hop, addresses) = (printable(hop), addresses.join(", "));
            return fine(say!(lang, "{hop} answers ({addresses}).", "{hop} に接続できます({addresses})。"));
        }
        Fact::ProxyLetsThrough { proxy } => {
            let proxy = printable(proxy);
            return fine(say!(
                lang,
                "{proxy} connects to the bank.",
                "{proxy} を経由して銀行に接続できます。"
            ));
        }
        Fact::Server { origin, issuer } => {
            let (origin, issuer) = (printable(origin), printable(issuer));
            return fine(say!(
                lang,
                "{origin} is the bank's (certificate by “{issuer}”).",
                "{origin} は銀行のサーバです(証明書の発行者「{issuer}」)。"
            ));
        }
        Fact::VersionNewer { newest, download } => {
            let (newest, download) = (printable(newest), printable(download));
            (
                say!(
                    lang,
                    "A newer one, {newest}, is there.",
                    "新しいバージョン {newest} が公開されています。"
                ),
                say!(lang, "Get it from {download}", "入手先: {download}"),
            )
        }
        Fact::VersionTooOld { lowest, download } => {
            let (lowest, download) = (printable(lowest), printable(download));
            (
                say!(
                    lang,
                    "The bank asks for {lowest} or newer; this agent can't obtain certificates.",
                    "必要なバージョンは {lowest} 以上です。このアプリでは証明書を取得できません。"
                ),
                say!(lang, "Get it from {download}", "入手先: {download}"),
            )
        }
        _ => return fine(say!(lang, "Current.", "最新です。")),
    };
    Explanation { what, next }
}

fn no_route(error: &RouteError, lang: Lang) -> Explanation {
    match error {
        RouteError::Server(error) => explain_server(error, lang),
        RouteError::NoServer => Explanation {
            what: say!(lang, "No server is named.", "接続先のサーバが指定されていません。"),
            next: say!(
                lang,
                "Set the address from the bank's letter.",
                "銀行から案内されたアドレスを設定してください。"
            ),
        },
        other => {
            let other = printable(&other.to_string());
            Explanation {
                what: say!(lang, "The server can't be asked: {other}.", "サーバに接続できません({other})。"),
                next: say!(
                    lang,
                    "Check the agent's settings, or ask your administrator.",
                    "アプリの設定を確認するか、社内の管理者に確認してください。"
                ),
            }
        }
    }
}
