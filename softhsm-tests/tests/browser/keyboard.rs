//! No mouse: portal and console by keys alone.

use anyhow::{Result, ensure};
use fantoccini::key::Key;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD, Officer},
    browser::Browser,
};

use crate::{in_a_browser, pages::look, says, site::Site};

/// From the login form to a revocation.
#[test]
fn everything_is_done_by_keyboard() -> Result<()> {
    in_a_browser(|| {
        let site = Site::open("browser-keyboard", &[48_300_001, 48_300_002])?;
        site.customer("master-31", "master", "北海 五郎", 48_300_001)?;
        site.customer("rokuro-31", "general", "北海 六郎", 48_300_002)?;
        let browser = site.browser(Some(48_300_001))?;
        site.top(&browser, "ja")?;
        browser.tab_to("a.skip")?;
        browser.tab_to("main a.button[href$='/login']")?;
        browser.enter()?;
        browser.tab_to("#password")?;
        browser.type_here(LOGIN_PASSWORD)?;
        browser.enter()?;
        browser.tab_to("a[href='/manage']")?;
        browser.enter()?;
        browser.tab_to("main a[href='/manage/users/revoke']")?;
        browser.enter()?;
        browser.tab_to("#user-rokuro-31")?;
        browser.press(Key::Space)?;
        browser.tab_to("main button.danger")?;
        browser.enter()?;
        browser.tab_to("#confirmation")?;
        browser.type_here(CONFIRMATION_PASSWORD)?;
        browser.tab_to("main button.danger")?;
        browser.enter()?;
        says(&browser, "失効しました")?;
        browser.tab_to("header form button")?;
        browser.enter()?;
        ensure!(browser.url()?.ends_with("/logged-out"), "still in");
        browser.close()
    })
}

/// The focus is on what `css` names, and one sees it.
fn reach(browser: &Browser, css: &str) -> Result<()> {
    browser.tab_to(css)?;
    let seen = "const style = getComputedStyle(document.activeElement);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2";
    ensure!(browser.script(seen)? == true, "no focus is seen on {css}");
    Ok(())
}

/// At the console: in, to a user by the search, and the certificate revoked with how identity was checked.
#[test]
fn a_clerk_revokes_by_keyboard() -> Result<()> {
    const STAFF: [Officer; 3] = [
        Officer { id: "hinata", name: "Sato Hinata", role: "administrator", token: 48_600_011 },
        Officer { id: "minori", name: "Ito Minori", role: "administrator", token: 48_600_012 },
        Officer { id: "satsuki", name: "Kato Satsuki", role: "clerk", token: 48_600_013 },
    ];
    in_a_browser(|| {
        let site = Site::with_staff("browser-keyboard-staff", &[48_600_001], &STAFF)?;
        site.customer("hachiro-01", "general", "北海 八郎", 48_600_001)?;
        let clerk = site.browser(Some(STAFF[2].token))?;
        clerk.goto(&format!("{}/?lang=ja", site.bank.urls().staff))?;
        reach(&clerk, "form[action='/login'] button")?;
        clerk.enter()?;
        ensure!(clerk.url()?.ends_with("/home"), "not in: {}", clerk.text()?);
        reach(&clerk, "a.skip")?;
        reach(&clerk, "header a[href='/search']")?;
        clerk.enter()?;
        reach(&clerk, "#search-by")?;
        while clerk.script("return document.activeElement.value")? != "user" {
            clerk.press(Key::Down)?;
        }
        reach(&clerk, "#search-q")?;
        clerk.type_here("hachiro")?;
        clerk.enter()?;
        reach(&clerk, "main a[href='/users/hachiro-01']")?;
        clerk.enter()?;
        reach(&clerk, "main a[href^='/certificates/']")?;
        clerk.enter()?;
        reach(&clerk, "#revoke-reason")?;
        clerk.press(Key::Down)?;
        reach(&clerk, "#revoke-identity")?;
        clerk.type_here("ご来店、運転免許証を確認")?;
        reach(&clerk, "form[action$='/revoke'] button")?;
        look(&clerk, "revoke-by-keyboard")?;
        clerk.enter()?;
        says(&clerk, "証明書を失効しました")?;
        let checked = site.bank.audit_rows("identity.checked")?;
        ensure!(checked.len() == 1 && checked[0]["actor"] == "staff:satsuki", "{checked:?}");
        reach(&clerk, "header form button")?;
        clerk.enter()?;
        ensure!(clerk.url()?.ends_with("/logged-out"), "still in");
        clerk.close()
    })
}
