//! What customers do, click by click.

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use softhsm_tests::bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD};

use crate::{
    in_a_browser,
    pages::look,
    says,
    site::{ENGLISH, JAPANESE, Site, Words},
};

const NEW_PASSWORD: &str = "tsubaki-no-hana-2027";

/// Install and obtain: the pages that lead to the agent, the agent, then the first login.
#[test]
fn a_customer_obtains_a_certificate_and_logs_in() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-obtain", &[47_000_001])?;
        let user = softhsm_tests::bank::NewUser {
            id: "hanako-01",
            contract: crate::site::CONTRACT,
            role: "general",
            name: "北海 花子",
            token: Some(47_000_001),
        };
        site.bank.register_user(&user)?;
        for words in [&JAPANESE, &ENGLISH] {
            let browser = site.browser(None)?;
            site.top(&browser, words.language)?;
            browser.follow(words.obtain)?;
            says(&browser, "inro-agent enroll --server")?;
            browser.follow(words.download)?;
            browser.close()?;
        }
        site.desk.enroll(&site.bank, "hanako-01", 47_000_001)?;
        for words in [&JAPANESE, &ENGLISH] {
            let browser = site.browser(Some(47_000_001))?;
            site.log_in(&browser, words)?;
            says(&browser, "47000001")?;
            browser.follow(words.logout)?;
            ensure!(browser.url()?.ends_with("/logged-out"), "still in");
            browser.goto(&site.client("/home"))?;
            ensure!(browser.url()?.ends_with("/login"), "the session outlived the logout");
            browser.close()?;
        }
        Ok(())
    })
}

/// 「管理」→「利用者管理」: register, assign, see the user obtain and log in, revoke, see the session end.
fn a_master_registers_and_revokes(site: &Site, words: &Words, user: &str, token: u32) -> Result<()> {
    let master = site.browser(Some(48_000_001))?;
    site.log_in(&master, words)?;
    master.follow(words.manage)?;
    master.follow(words.users)?;
    master.follow(words.register)?;
    master.fill("#user_id", user)?;
    master.fill("#name", "北海 次郎")?;
    for field in ["#new", "#again"] {
        master.fill(field, LOGIN_PASSWORD)?;
    }
    master.fill("#confirmation", "not-the-confirmation")?;
    master.follow(words.execute)?;
    ensure!(master.source()?.contains("role=\"alert\""), "no alert");
    for field in ["#new", "#again"] {
        master.fill(field, LOGIN_PASSWORD)?;
    }
    master.fill("#confirmation", CONFIRMATION_PASSWORD)?;
    master.follow(words.execute)?;
    master.follow(words.assign)?;
    master.select("#kind", "yubikey-piv")?;
    master.fill("#serial", &token.to_string())?;
    master.fill("#confirmation", CONFIRMATION_PASSWORD)?;
    master.follow(words.execute)?;
    says(&master, &token.to_string())?;

    site.desk.enroll(&site.bank, user, token)?;
    let browser = site.browser(Some(token))?;
    browser.goto(&site.client(&format!("/login?lang={}", words.language)))?;
    browser.fill("#password", LOGIN_PASSWORD)?;
    browser.follow(words.login)?;
    // The master knows this password: the user changes it before anything else.
    ensure!(browser.url()?.ends_with("/settings/password"), "not asked for a password: {}", browser.text()?);
    browser.fill("#current", LOGIN_PASSWORD)?;
    for field in ["#new", "#again"] {
        browser.fill(field, NEW_PASSWORD)?;
    }
    browser.follow(words.change)?;
    ensure!(browser.url()?.ends_with("/home"), "not in: {}", browser.text()?);

    master.follow(words.manage)?;
    master.follow(words.revoke)?;
    master.tick(&format!("#user-{user}"))?;
    master.follow(words.revoke_button)?;
    master.fill("#confirmation", CONFIRMATION_PASSWORD)?;
    master.select("#reason", "affiliationChanged")?;
    master.follow(words.execute)?;
    says(&master, words.revoked)?;
    browser.goto(&site.client("/home"))?;
    ensure!(
        browser.source()?.contains("失効しています") || browser.source()?.contains("has been revoked"),
        "still in"
    );
    browser.screenshot(&format!("revoked-{}", words.language))?;
    master.screenshot(&format!("revoked-by-master-{}", words.language))?;
    browser.close()?;
    master.close()
}

#[test]
fn a_master_looks_after_users_in_both_languages() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-master", &[48_000_001, 48_000_002, 48_000_003])?;
        site.customer("master-01", "master", "北海 太郎", 48_000_001)?;
        a_master_registers_and_revokes(&site, &JAPANESE, "jiro-01", 48_000_002)?;
        a_master_registers_and_revokes(&site, &ENGLISH, "jiro-02", 48_000_003)
    })
}

/// Certificate, history, password change, 緊急停止; and refusals: a wrong password, no token.
#[test]
fn a_customer_looks_after_the_own_account() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-account", &[48_100_001])?;
        site.customer("saburo-01", "general", "北海 三郎", 48_100_001)?;
        let browser = site.browser(Some(48_100_001))?;
        site.top(&browser, "ja")?;
        browser.follow(JAPANESE.certificate_login)?;
        browser.fill("#password", "not-my-password")?;
        browser.follow(JAPANESE.login)?;
        says(&browser, "ログインできませんでした")?;
        browser.screenshot("refused-ja")?;
        browser.fill("#password", LOGIN_PASSWORD)?;
        browser.follow(JAPANESE.login)?;
        browser.follow(JAPANESE.certificate)?;
        says(&browser, "UID=saburo-01")?;
        browser.follow(JAPANESE.history)?;
        says(&browser, "48100001")?;
        browser.follow(JAPANESE.settings)?;
        browser.follow(JAPANESE.change_password)?;
        browser.fill("#current", LOGIN_PASSWORD)?;
        for field in ["#new", "#again"] {
            browser.fill(field, NEW_PASSWORD)?;
        }
        browser.follow(JAPANESE.change)?;
        says(&browser, "パスワードを変更しました")?;
        // The language is switched in the middle, and everything is where it was.
        browser.click("a.lang")?;
        ensure!(browser.heading()? == ENGLISH.settings, "the switch led elsewhere");
        browser.follow(ENGLISH.stop)?;
        browser.follow(ENGLISH.stop_button)?;
        says(&browser, ENGLISH.stopped)?;
        browser.screenshot("stopped-en")?;
        browser.goto(&site.client("/login"))?;
        browser.fill("#password", NEW_PASSWORD)?;
        browser.follow(ENGLISH.login)?;
        says(&browser, "That didn't work")?;
        browser.screenshot("refused-en")?;
        browser.close()?;

        let without = site.browser(None)?;
        site.top(&without, "ja")?;
        without.follow(JAPANESE.certificate_login)?;
        says(&without, "電子証明書が確認できません")?;
        without.close()
    })
}

/// 証明書更新選択画面, at each login in the window; and what an expired certificate hears.
#[test]
fn a_customer_is_asked_to_renew_at_each_login() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-renewal", &[48_200_001])?;
        site.customer("shiro-01", "general", "北海 四郎", 48_200_001)?;
        let day = SignedDuration::from_hours(24);
        site.clock.clock(day * 356)?;
        for words in [&JAPANESE, &ENGLISH] {
            let browser = site.browser(Some(48_200_001))?;
            site.log_in(&browser, words)?;
            ensure!(browser.url()?.ends_with("/renewal"), "not asked");
            look(&browser, &format!("renewal-{}", words.language))?;
            browser.follow(words.later)?;
            look(&browser, &format!("home-urgent-{}", words.language))?;
            browser.goto(&site.client("/renewal"))?;
            browser.follow(words.now)?;
            look(&browser, &format!("renewal-steps-{}", words.language))?;
            browser.close()?;
        }
        site.clock.clock(day * 367)?;
        let browser = site.browser(Some(48_200_001))?;
        browser.goto(&site.client("/login?lang=ja"))?;
        says(&browser, "有効期限が切れています")?;
        browser.screenshot("expired-ja")?;
        browser.close()?;
        site.clock.clock(SignedDuration::ZERO)
    })
}
