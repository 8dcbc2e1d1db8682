//! The branch from the counter's side: a contract, its master with letters in hand, the first login, another plan, a lost
//! token and the way back, and what the auditor reads of it. Everybody's key is on a token.

use anyhow::{Context, Result, ensure};
use softhsm_tests::{bank::Officer, browser::Browser};

use crate::{
    in_a_browser,
    pages::look,
    says,
    site::{ENGLISH, JAPANESE, Site, Words},
};

const STAFF: [Officer; 5] = [
    Officer { id: "keiko", name: "Mori Keiko", role: "administrator", token: 48_400_011 },
    Officer { id: "makoto", name: "Abe Makoto", role: "administrator", token: 48_400_012 },
    Officer { id: "sakura", name: "Ono Sakura", role: "clerk", token: 48_400_013 },
    Officer { id: "wataru", name: "Kudo Wataru", role: "clerk", token: 48_400_014 },
    Officer { id: "takumi", name: "Ueda Takumi", role: "auditor", token: 48_400_015 },
];
const OWN_PASSWORDS: [&str; 2] = ["tsubaki-no-hana-2027", "momiji-no-yama-2027"];

/// What the branch clicks on.
struct Desk {
    words: &'static Words,
    customers: &'static str,
    approvals: &'static str,
    audit: &'static str,
    register_contract: &'static str,
    register_user: &'static str,
    own_request: &'static str,
    executed: &'static str,
    revoked: &'static str,
    first: &'static str,
}

const DESKS: [Desk; 2] = [
    Desk {
        words: &JAPANESE,
        customers: "契約・利用者",
        approvals: "承認",
        audit: "監査証跡",
        register_contract: "契約を登録",
        register_user: "利用者を登録",
        own_request: "ご自身の依頼は承認・却下できません",
        executed: "承認し、実行しました",
        revoked: "証明書を失効しました",
        first: "ご自身だけが知るパスワードに変更してください",
    },
    Desk {
        words: &ENGLISH,
        customers: "Contracts and users",
        approvals: "Approvals",
        audit: "Audit trail",
        register_contract: "Register a contract",
        register_user: "Register a user",
        own_request: "approve or refuse your own request",
        executed: "Approved and done",
        revoked: "The certificate is revoked",
        first: "one that only you know",
    },
];

impl Site {
    /// A member of staff comes in.
    fn console(&self, token: u32, desk: &Desk) -> Result<Browser> {
        let browser = self.browser(Some(token))?;
        browser.goto(&format!("{}/?lang={}", self.bank.urls().staff, desk.words.language))?;
        browser.click("form[action='/login'] button")?;
        ensure!(browser.url()?.ends_with("/home"), "not in: {}", browser.text()?);
        Ok(browser)
    }

    /// At the agent, with a password that came by letter.
    fn obtain(&self, user: &str, token: u32, password: &str) -> Result<()> {
        let file = self.bank.secret(&format!("letter-of-{user}"));
        std::fs::write(&file, password).context("keeping a letter")?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let (url, trust) = (self.bank.urls().public, self.bank.path("tls/ca.pem").display().to_string());
        let (pin, file) = (self.bank.secret("token-pin").display().to_string(), file.display().to_string());
        let token = token.to_string();
        let mut arguments = vec!["enroll", "--server", &url, "--ca-file", &trust, "--user", user];
        arguments.extend([
            "--token",
            &token,
            "--password-file",
            &file,
            "--pin-file",
            &pin,
            "--new-pin-file",
            &pin,
        ]);
        let output = self.desk.agent(&arguments)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// The letter's secret.
fn secret(browser: &Browser) -> Result<String> {
    let text = browser.script("return document.querySelector('.secret code').innerText")?;
    text.as_str().map(|text| text.trim().to_owned()).context("no secret in the letter")
}

/// Registers a contract with its master; the two passwords of the letters.
fn open_contract(
    clerk: &Browser,
    desk: &Desk,
    contract: &str,
    master: &str,
    token: u32,
) -> Result<[String; 2]> {
    clerk.follow(desk.register_contract)?;
    clerk.fill("#contract-number", contract)?;
    clerk.fill("#contract-name", "有限会社 山水")?;
    clerk.fill("#contract-general_users", "1")?;
    clerk.click("form[action='/contracts'] button")?;
    clerk.follow(desk.register_user)?;
    clerk.fill("#user-id", master)?;
    clerk.select("#user-role", "master")?;
    clerk.fill("#user-name", "山水 太郎")?;
    clerk.click("main form button")?;
    let user = clerk.url()?;
    clerk.select("#token-kind", "yubikey-piv")?;
    clerk.fill("#token-serial", &token.to_string())?;
    clerk.click("form[action$='/token'] button")?;
    clerk.click("form[action$='/password'] button")?;
    look(clerk, &format!("letter-password-{}", desk.words.language))?;
    let login = secret(clerk)?;
    clerk.goto(&user)?;
    clerk.click("form[action$='/confirmation'] button")?;
    let confirmation = secret(clerk)?;
    clerk.goto(&user)?;
    Ok([login, confirmation])
}

/// The first login: both passwords of the letters are changed before anything else can be done.
fn first_login(site: &Site, desk: &Desk, token: u32, letters: &[String; 2]) -> Result<Browser> {
    let customer = site.browser(Some(token))?;
    customer.goto(&site.client(&format!("/login?lang={}", desk.words.language)))?;
    customer.fill("#password", &letters[0])?;
    customer.follow(desk.words.login)?;
    says(&customer, desk.first)?;
    look(&customer, &format!("first-password-{}", desk.words.language))?;
    customer.goto(&site.client("/manage"))?;
    says(&customer, desk.first)?;
    for ((letter, own), path) in
        letters.iter().zip(OWN_PASSWORDS).zip(["/settings/password", "/settings/confirmation-password"])
    {
        ensure!(customer.url()?.ends_with(path), "not asked at {path}: {}", customer.url()?);
        customer.fill("#current", letter)?;
        for field in ["#new", "#again"] {
            customer.fill(field, letter)?;
        }
        customer.follow(desk.words.change)?;
        ensure!(customer.source()?.contains("role=\"alert\""), "the letter's password was taken again");
        customer.fill("#current", letter)?;
        for field in ["#new", "#again"] {
            customer.fill(field, own)?;
        }
        customer.follow(desk.words.change)?;
    }
    ensure!(customer.url()?.ends_with("/home"), "not home: {}", customer.text()?);
    Ok(customer)
}

/// One asks, finds no button to approve with, and another one approves; returns at the other's page.
fn by_two(site: &Site, asker: &Browser, second: &Browser, desk: &Desk) -> Result<()> {
    says(asker, desk.own_request)?;
    ensure!(!asker.source()?.contains("/approve\""), "the asker is offered to approve");
    let request = asker.url()?;
    let request = request.split('?').next().unwrap_or_default();
    second.goto(&format!("{}/home", site.bank.urls().staff))?;
    second.follow(desk.approvals)?;
    second.goto(request)?;
    look(second, &format!("approval-{}", desk.words.language))?;
    second.click("form[action$='/approve'] button")
}

/// A contract from its registration to the letter after a lost token.
fn a_contracts_life(site: &Site, desk: &Desk, contract: &str, master: &str, token: u32) -> Result<()> {
    let clerk = site.console(STAFF[2].token, desk)?;
    let second = site.console(STAFF[3].token, desk)?;
    let letters = open_contract(&clerk, desk, contract, master, token)?;
    site.obtain(master, token, &letters[0])?;
    let customer = first_login(site, desk, token, &letters)?;

    // Another plan takes two.
    clerk.goto(&format!("{}/contracts/{contract}", site.bank.urls().staff))?;
    look(&clerk, &format!("contract-{}", desk.words.language))?;
    clerk.fill("#plan-general_users", "19")?;
    clerk.fill("#plan-reason", "お申し込みによる")?;
    clerk.click("form[action$='/plan'] button")?;
    by_two(site, &clerk, &second, desk)?;
    says(&second, desk.executed)?;
    clerk.goto(&format!("{}/contracts/{contract}", site.bank.urls().staff))?;
    says(&clerk, "1 + 19")?;

    // The token is lost: revoked at once by one, permitted again by two.
    clerk.follow(desk.customers)?;
    clerk.select("#search-by", "token")?;
    clerk.fill("#search-q", &token.to_string())?;
    clerk.click("main form[action='/search'] button")?;
    clerk.follow(master)?;
    clerk.click("main a[href^='/certificates/']")?;
    clerk.select("#revoke-reason", "keyCompromise")?;
    clerk.fill("#revoke-identity", "ご来店、運転免許証を確認")?;
    clerk.click("form[action$='/revoke'] button")?;
    says(&clerk, desk.revoked)?;
    customer.goto(&site.client("/home"))?;
    ensure!(!customer.text()?.contains(desk.words.logout), "the session outlived the certificate");
    customer.close()?;
    clerk.follow(master)?;
    clerk.select("#reobtain-way", "code")?;
    clerk.fill("#reobtain-reason", "紛失。ご来店、運転免許証を確認")?;
    clerk.click("form[action$='/reobtain'] button")?;
    by_two(site, &clerk, &second, desk)?;
    look(&second, &format!("letter-code-{}", desk.words.language))?;
    ensure!(!secret(&second)?.is_empty(), "no code");

    let auditor = site.console(STAFF[4].token, desk)?;
    auditor.follow(desk.audit)?;
    for action in ["certificate.revoked", "identity.checked", "approval.executed"] {
        says(&auditor, action)?;
    }
    look(&auditor, &format!("audit-{}", desk.words.language))?;
    auditor.follow(desk.words.logout)?;
    for browser in [clerk, second, auditor] {
        browser.close()?;
    }
    Ok(())
}

#[test]
fn the_branch_looks_after_a_contract_in_both_languages() -> Result<()> {
    in_a_browser(|| {
        let site = Site::with_staff("browser-branch", &[48_400_001, 48_400_002], &STAFF)?;
        a_contracts_life(&site, &DESKS[0], "7700001", "sansui-01", 48_400_001)?;
        a_contracts_life(&site, &DESKS[1], "7700002", "sansui-02", 48_400_002)
    })
}

/// Who isn't a member hears why, and a customer's token opens nothing at all here.
#[test]
fn the_console_tells_strangers_apart() -> Result<()> {
    in_a_browser(|| {
        let site = Site::with_staff("browser-strangers", &[48_400_021], &STAFF[..2])?;
        site.customer("hokkai-01", "general", "北海 太郎", 48_400_021)?;
        let staff = site.bank.urls().staff;
        let nobody = site.browser(None)?;
        for (language, expected) in [("ja", "電子証明書が確認できません"), ("en", "No certificate")]
        {
            nobody.goto(&format!("{staff}/?lang={language}"))?;
            says(&nobody, expected)?;
            look(&nobody, &format!("console-nobody-{language}"))?;
        }
        nobody.close()?;
        let customer = site.browser(Some(48_400_021))?;
        let refused = customer.goto(&format!("{staff}/"));
        ensure!(refused.is_err() || !customer.text()?.contains("hokkai-01"), "a customer is at the console");
        customer.close()?;

        // Withdrawn while logged in: over at the next click.
        let first = site.console(STAFF[0].token, &DESKS[0])?;
        let second = site.console(STAFF[1].token, &DESKS[1])?;
        first.goto(&format!("{staff}/staff/{}", STAFF[1].id))?;
        first.fill("#withdraw-reason", "異動")?;
        first.click("form[action$='/withdraw'] button")?;
        second.goto(&format!("{staff}/home"))?;
        says(&second, "Withdrawn")?;
        look(&second, "console-withdrawn-en")?;
        first.close()?;
        second.close()
    })
}
