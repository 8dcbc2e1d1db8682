//! Every page in both languages: a picture of it, nothing serious for the accessibility checker, no sideways scrolling on a
//! narrow screen, and how it looks in print.

use anyhow::{Result, ensure};
use softhsm_tests::{bank::NewUser, browser::Browser};

use crate::{
    in_a_browser,
    site::{CONTRACT, ENGLISH, JAPANESE, Site},
};

/// A picture of the page, and what every page must hold to.
pub(crate) fn look(browser: &Browser, name: &str) -> Result<()> {
    browser.resize(1280, 900)?;
    browser.screenshot(name)?;
    let findings = browser.findings()?;
    ensure!(findings.is_empty(), "{name}: {findings:#?}");
    ensure!(!browser.overflows()?, "{name} is wider than the screen");
    browser.resize(360, 740)?;
    browser.screenshot(&format!("{name}-narrow"))?;
    ensure!(!browser.overflows()?, "{name} is wider than a narrow screen");
    browser.resize(1280, 900)
}

const PUBLIC: [(&str, &str); 5] = [
    ("top", "/"),
    ("obtain", "/obtain"),
    ("agent", "/agent"),
    ("environments", "/environments"),
    ("help", "/help"),
];

const OWN: [(&str, &str); 17] = [
    ("home", "/home"),
    ("certificate", "/certificate"),
    ("history", "/history"),
    ("settings", "/settings"),
    ("settings-done", "/settings?done=password"),
    ("password", "/settings/password"),
    ("confirmation-password", "/settings/confirmation-password"),
    ("stop", "/settings/stop"),
    ("stopped", "/stopped"),
    ("manage", "/manage"),
    ("users", "/manage/users"),
    ("user", "/manage/user/longname-01?done=assign"),
    ("user-assign", "/manage/user/longname-01/assign"),
    ("user-password", "/manage/user/longname-01/password"),
    ("user-remove", "/manage/user/longname-01/remove"),
    ("user-register", "/manage/users/register"),
    ("revoke", "/manage/users/revoke"),
];

#[test]
fn every_page_is_accessible_narrow_and_printable() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-pages", &[49_000_001, 49_000_002])?;
        site.customer("master-01", "master", "北海 太郎", 49_000_001)?;
        site.customer(
            "longname-01",
            "general",
            "バルトロメウス・フォン・ホーエンツォレルン＝ジークマリンゲン",
            49_000_002,
        )?;
        for (id, name) in
            [("saburo-02", "佐藤 三郎"), ("lockedout-03", "Alexandra Featherstonehaugh-Cholmondeley")]
        {
            let user = NewUser { id, contract: CONTRACT, role: "general", name, token: None };
            site.bank.register_user(&user)?;
        }
        site.bank.operator(&["user", "suspend", "saburo-02"])?;
        let stranger = site.browser(None)?;
        for words in [&JAPANESE, &ENGLISH] {
            for (name, path) in PUBLIC {
                stranger.goto(&format!("{}{path}?lang={}", site.bank.urls().public, words.language))?;
                look(&stranger, &format!("{name}-{}", words.language))?;
            }
            stranger.goto(&site.client(&format!("/login?lang={}", words.language)))?;
            look(&stranger, &format!("no-certificate-{}", words.language))?;
        }
        stranger.close()?;
        for words in [&JAPANESE, &ENGLISH] {
            let browser = site.browser(Some(49_000_001))?;
            browser.goto(&site.client(&format!("/login?lang={}", words.language)))?;
            look(&browser, &format!("login-{}", words.language))?;
            site.log_in(&browser, words)?;
            for (name, path) in OWN {
                browser.goto(&site.client(path))?;
                look(&browser, &format!("{name}-{}", words.language))?;
            }
            browser.tick("#user-longname-01")?;
            browser.follow(words.revoke_button)?;
            look(&browser, &format!("revoke-confirm-{}", words.language))?;
            browser.fill("#confirmation", "not-the-confirmation")?;
            browser.follow(words.execute)?;
            look(&browser, &format!("revoke-refused-{}", words.language))?;
            browser.goto(&site.client("/manage/users/revoke/result?user=longname-01&user=master-01"))?;
            look(&browser, &format!("revoke-result-{}", words.language))?;
            browser.goto(&site.client("/nothing-here"))?;
            look(&browser, &format!("not-found-{}", words.language))?;

            for page in ["certificate", "manage/users"] {
                browser.goto(&site.client(&format!("/{page}")))?;
                browser.as_printed(true)?;
                let menu = browser.script(
                    "return getComputedStyle(document.querySelector('.menu').closest('.bar')).display",
                )?;
                ensure!(menu == "none", "the menu is printed: {menu}");
                browser.screenshot(&format!("print-{}-{}", page.replace('/', "-"), words.language))?;
                browser.as_printed(false)?;
            }
            browser.close()?;
        }
        Ok(())
    })
}
