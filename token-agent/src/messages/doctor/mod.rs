//! The diagnosis in people's words. What is wrong says what to do next.

mod device;
mod published;
mod way;

use super::{Explanation, Lang, say};
#[cfg(target_os = "linux")]
use super::{explain_browser, good, trouble};
use crate::{
    certificate::local_time,
    doctor::{Area, Fact, Grade, Report},
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
        Area::Reader | Area::Token | Area::Pin => device::token(fact, lang),
        Area::Certificate | Area::Tpm => device::certificate(fact, lang),
        Area::Browser => browser(fact, lang),
        Area::Clock | Area::Network | Area::Proxy | Area::Server | Area::Version => way::network(fact, lang),
    }
}

fn fine(what: String) -> Explanation {
    Explanation { what, next: String::new() }
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
