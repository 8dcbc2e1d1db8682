//! The diagnosis in people's words. What is wrong says what to do next.

use super::{Explanation, Label, Lang, explain, explain_lost, explain_server, explain_token, say};
#[cfg(target_os = "linux")]
use super::{explain_browser, good, trouble};
use crate::{
    certificate::{CertificateDetails, local_time, printable},
    doctor::{Area, Chain, Fact, Grade, Passage, Report},
    proxy::Origin,
    route::RouteError,
};

impl Area {
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        let (english, japanese) = match self {
            Self::Reader => ("Reader and driver", "リーダー・ドライバ"),
            Self::Token => ("Token", "トークン"),
            Self::Pin => ("PIN", "PIN"),
            Self::Certificate => ("Certificate", "証明書"),
            Self::Tpm => ("TPM", "TPM"),
            Self::Browser => ("Browsers", "ブラウザ"),
            Self::Clock => ("Clock", "時計"),
            Self::Network => ("Network", "ネットワーク"),
            Self::Proxy => ("Company's proxy", "社内プロキシ"),
            Self::Server => ("Bank's server", "銀行のサーバ"),
            Self::Version => ("Agent's version", "アプリのバージョン"),
        };
        match lang {
            Lang::En => english,
            Lang::Ja => japanese,
        }
    }
}

impl Grade {
    pub(crate) fn text(self, lang: Lang) -> &'static str {
        let (english, japanese) = match self {
            Self::Good => ("ok", "正常"),
            Self::Note => ("note", "注意"),
            Self::Wrong => ("WRONG", "異常"),
        };
        match lang {
            Lang::En => english,
            Lang::Ja => japanese,
        }
    }
}

/// The page: everything by areas, each with its remedy.
pub(crate) fn diagnosis(report: &Report, lang: Lang) -> String {
    let (version, system, at) = (report.version, &report.system, local_time(report.at));
    let mut page = say!(lang, "Diagnosis of inro-agent\n", "証明書発行アプリの診断結果\n");
    let mut line = |text: &str| {
        page.push_str(text);
        page.push('\n');
    };
    line(&format!("inro-agent {version} ({system})  {at}"));
    line(&summary(report, lang));
    let mut area = None;
    for fact in &report.facts {
        if area.replace(fact.area()) != Some(fact.area()) {
            line("");
            line(fact.area().text(lang));
        }
        let Explanation { what, next } = finding(fact, lang);
        line(&format!("  [{}] {what}", fact.grade().text(lang)));
        if !next.is_empty() {
            line(&format!("       -> {next}"));
        }
    }
    page
}

/// How it is, in a line, with the code to say on the telephone.
pub(crate) fn summary(report: &Report, lang: Lang) -> String {
    let code = report.support_code();
    match report.wrong() {
        0 => say!(
            lang,
            "Nothing is wrong. Support code: {code}",
            "問題は見つかりませんでした。お問い合わせ用コード: {code}"
        ),
        1 => say!(
            lang,
            "1 thing is wrong. Support code: {code}",
            "1件の問題があります。お問い合わせ用コード: {code}"
        ),
        count => say!(
            lang,
            "{count} things are wrong. Support code: {code}",
            "{count}件の問題があります。お問い合わせ用コード: {code}"
        ),
    }
}

/// A finding; its remedy is empty where nothing has to be done.
pub(crate) fn finding(fact: &Fact, lang: Lang) -> Explanation {
    match fact.area() {
        Area::Reader | Area::Token | Area::Pin => token(fact, lang),
        Area::Certificate | Area::Tpm => certificate(fact, lang),
        Area::Browser => browser(fact, lang),
        Area::Clock | Area::Network | Area::Proxy | Area::Server | Area::Version => network(fact, lang),
    }
}

fn fine(what: String) -> Explanation {
    Explanation { what, next: String::new() }
}

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
fn token(fact: &Fact, lang: Lang) -> Explanation {
    let (what, next) = match fact {
        Fact::Readers(count) => {
            return fine(say!(
                lang,
                "The smart-card service answers; readers: {count}.",
                "スマートカードサービスは動作しています(リーダー {count}台)。"
            ));
        }
        Fact::NoService(error) => return explain_token(error, lang),
        Fact::NoReader { usb } if usb.is_empty() => (
            say!(lang, "No reader and no token is connected.", "リーダー・トークンが接続されていません。"),
            say!(
                lang,
                "Connect the token, at another port if need be; then look again.",
                "トークンを接続してください(認識されない場合は別のポートに接続)。その後、もう一度診断してください。"
            ),
        ),
        Fact::NoReader { usb } => {
            let usb = printable(&usb.join(", "));
            (
                say!(
                    lang,
                    "{usb} is connected to USB, but the smart-card service doesn't use it: its driver is missing.",
                    "USBに {usb} が接続されていますが、ドライバがないため使用できません。"
                ),
                say!(
                    lang,
                    "Install the driver (Debian, Ubuntu: sudo apt install libccid), then restart pcscd.",
                    "ドライバ(Debian・Ubuntu: sudo apt install libccid)を導入し、pcscd を再起動してください。"
                ),
            )
        }
        Fact::ReaderEmpty { name } => {
            let name = printable(name);
            return fine(say!(lang, "{name} is empty.", "{name}: カードが入っていません。"));
        }
        Fact::ReaderForeign { name } => {
            let name = printable(name);
            return fine(say!(
                lang,
                "{name} holds a card that the agent can't use.",
                "{name}: このアプリで使えないカードです。"
            ));
        }
        Fact::ReaderBusy { name } => {
            let name = printable(name);
            (
                say!(
                    lang,
                    "{name}: another program holds the token.",
                    "{name}: 別のプログラムがトークンを使用中です。"
                ),
                say!(
                    lang,
                    "Close the browser and other card software.",
                    "ブラウザなど、トークンを使うプログラムを終了してください。"
                ),
            )
        }
        Fact::ReaderMute { name } => {
            let name = printable(name);
            (
                say!(lang, "{name}: the card doesn't answer.", "{name}: カードが応答しません。"),
                say!(
                    lang,
                    "Pull it out and connect it again; if it stays mute, it is broken: ask the branch.",
                    "抜いて接続し直してください。改善しない場合は故障の可能性があります。窓口に連絡してください。"
                ),
            )
        }
        Fact::NoToken { needed: false } => {
            return fine(say!(
                lang,
                "No token is connected; the certificate is in this computer's TPM.",
                "トークンは接続されていません(証明書はこのパソコンのTPMにあります)。"
            ));
        }
        Fact::NoToken { .. } => (
            say!(lang, "No token is connected.", "トークンが接続されていません。"),
            say!(
                lang,
                "Connect the token, then look again.",
                "トークンを接続して、もう一度診断してください。"
            ),
        ),
        Fact::Token(identity) => {
            let (label, serial) = (Label::TokenSerial.text(lang), printable(&identity.serial));
            return fine(format!("{}  {label} {serial}", printable(&identity.model())));
        }
        Fact::TokenNotPermitted { kind } => {
            return explain_token(&crate::token::TokenError::NotPermitted { kind }, lang);
        }
        Fact::TokenFails { serial, error } => {
            let Explanation { what, next } = explain_token(error, lang);
            let serial = if serial.is_empty() { String::new() } else { format!("{}: ", printable(serial)) };
            return Explanation { what: format!("{serial}{what}"), next };
        }
        Fact::PinGood { tries_left } => {
            return fine(say!(lang, "Tries left: {tries_left}.", "残り{tries_left}回"));
        }
        Fact::PinFactory => {
            return fine(say!(
                lang,
                "Still the factory's. Obtaining a certificate replaces it.",
                "出荷時のままです(証明書の取得時に変更されます)。"
            ));
        }
        Fact::PinLow { tries_left } => (
            say!(lang, "Only {tries_left} tries are left.", "残り{tries_left}回です。"),
            say!(
                lang,
                "Type the right PIN once: that brings all tries back. If it is forgotten, don't guess: ask the branch.",
                "正しいPINを入力すると回数が元に戻ります。忘れた場合は入力を繰り返さず、窓口に連絡してください。"
            ),
        ),
        _ => return explain_token(&crate::token::TokenError::PinBlocked, lang),
    };
    Explanation { what, next }
}

fn described(details: &CertificateDetails) -> String {
    let name = details.name.as_deref().unwrap_or(&details.subject);
    let user = details.user_id.as_deref().unwrap_or("?");
    printable(&format!("{name} ({user})"))
}

#[expect(clippy::too_many_lines, reason = "a table of sentences")]
fn certificate(fact: &Fact, lang: Lang) -> Explanation {
    let again = || {
        say!(
            lang,
            "Have it revoked (by the master user; a master's own at the branch), then obtain a new one.",
            "失効の手続き(一般ユーザはマスターユーザ、マスターユーザは窓口)の後、証明書を取得し直してください。"
        )
    };
    let (what, next) = match fact {
        Fact::Certificate { details, days } => {
            let (who, until) = (described(details), local_time(details.not_after));
            return fine(say!(
                lang,
                "{who}: valid until {until}, {days} days left.",
                "{who}: 有効期限 {until}(残り{days}日)"
            ));
        }
        Fact::CertificateExpiring { details, days } => {
            let (who, until) = (described(details), local_time(details.not_after));
            (
                say!(
                    lang,
                    "{who}: valid until {until}, {days} days left.",
                    "{who}: 有効期限 {until}(残り{days}日)"
                ),
                say!(
                    lang,
                    "Renew it now; don't leave it to the last day.",
                    "期限が近づいています。早めに更新してください。"
                ),
            )
        }
        Fact::CertificateExpired { details } => {
            let (who, until) = (described(details), local_time(details.not_after));
            (say!(lang, "{who}: expired at {until}.", "{who}: 期限切れです({until})。"), again())
        }
        Fact::CertificateNotYetValid { details } => {
            let (who, from) = (described(details), local_time(details.not_before));
            (
                say!(lang, "{who}: valid from {from} on only.", "{who}: 有効期間前です({from} から)。"),
                say!(lang, "Check this computer's clock.", "このパソコンの時計を確認してください。"),
            )
        }
        Fact::CertificateUnreadable { slot } => (
            say!(
                lang,
                "Slot {slot} holds no certificate that can be read.",
                "スロット{slot}の証明書を読み取れません。"
            ),
            again(),
        ),
        Fact::CertificateMissing { serial } => {
            let serial = printable(serial);
            (
                say!(
                    lang,
                    "Token {serial} holds no certificate.",
                    "トークン {serial} に証明書がありません。"
                ),
                say!(lang, "Obtain one with the agent.", "証明書発行アプリで取得してください。"),
            )
        }
        Fact::KeyWithoutCertificate { slot } => (
            say!(
                lang,
                "Slot {slot} holds a key without a certificate.",
                "スロット{slot}に、証明書のない鍵があります。"
            ),
            say!(
                lang,
                "If obtaining was interrupted, obtain again: it goes on where it stopped.",
                "取得が中断した場合は、もう一度取得すると続きから再開します。"
            ),
        ),
        Fact::Chain(Chain::Good { issuers, root_sha256 }) => {
            let issuers = printable(&issuers.join(" < "));
            return fine(say!(
                lang,
                "Issuers: {issuers}. Root's SHA-256: {root_sha256}",
                "発行者: {issuers}  ルート証明書のSHA-256: {root_sha256}"
            ));
        }
        Fact::Chain(Chain::Unknown { url }) => {
            let url = printable(url.as_deref().unwrap_or("-"));
            return fine(say!(
                lang,
                "The issuers could not be looked at ({url}); that does no harm here.",
                "発行者の証明書を取得できませんでした({url})。このアプリの動作に影響はありません。"
            ));
        }
        Fact::Chain(Chain::Broken { subject }) => {
            let subject = printable(subject);
            (
                say!(
                    lang,
                    "“{subject}” doesn't fit its issuer's certificate.",
                    "「{subject}」が発行者の証明書と一致しません。"
                ),
                say!(
                    lang,
                    "Don't use the certificate; tell the bank.",
                    "この証明書を使用せずに、銀行に連絡してください。"
                ),
            )
        }
        Fact::TpmKey { user_id } => {
            let user = printable(user_id);
            return fine(say!(lang, "The key of {user} is in the TPM.", "{user} の鍵はTPMにあります。"));
        }
        Fact::TpmLost { user_id, health } => {
            let lost = explain_lost(*health, lang);
            return Explanation { what: format!("{}: {}", printable(user_id), lost.what), next: lost.next };
        }
        Fact::TpmFails(error) => return explain(error, lang),
        other => return fine(other.code().to_owned()),
    };
    Explanation { what, next }
}

#[cfg(target_os = "linux")]
fn browser(fact: &Fact, lang: Lang) -> Explanation {
    match fact {
        Fact::Browser(what) => fine(good(what, lang)),
        Fact::BrowserTrouble(what) => trouble(what, lang),
        Fact::BrowserError(error) => explain_browser(error, lang),
        other => fine(other.code().to_owned()),
    }
}

#[cfg(not(target_os = "linux"))]
fn browser(fact: &Fact, _: Lang) -> Explanation {
    fine(fact.code().to_owned())
}

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

fn network(fact: &Fact, lang: Lang) -> Explanation {
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
