//! 「設定」→「メールアドレスの変更」: the login password, the code out of the mail that a mail server took, and what the old
//! address hears.

use anyhow::{Context, Error, Result, ensure};
use softhsm_tests::{
    bank::LOGIN_PASSWORD,
    browser::Browser,
    smtp::{Encryption, MailServer, Taken},
    wait::awaited,
};

use crate::{
    in_a_browser,
    pages::look,
    says,
    site::{CONTRACT, ENGLISH, JAPANESE, Site, Words},
};

const USER: &str = "shichiro-01";
const TOKEN: u32 = 48_500_001;
const ADDRESSES: [&str; 3] =
    ["shichiro@example.com", "hokkai.shichiro@example.org", "shichiro.h@example.net"];

/// What is clicked on and read here alone.
struct Said {
    words: &'static Words,
    change: &'static str,
    send: &'static str,
    confirm: &'static str,
    drop: &'static str,
    wrong_password: &'static str,
    wrong_code: &'static str,
    done: &'static str,
}

const SAID: [Said; 2] = [
    Said {
        words: &JAPANESE,
        change: "メールアドレスの変更",
        send: "確認番号を送る",
        confirm: "変更する",
        drop: "変更を取り消す",
        wrong_password: "パスワードが違います",
        wrong_code: "確認番号が違うか、期限が切れています",
        done: "メールアドレスを変更しました",
    },
    Said {
        words: &ENGLISH,
        change: "Change your e-mail address",
        send: "Send the code",
        confirm: "Change the address",
        drop: "Cancel the change",
        wrong_password: "The present password is wrong",
        wrong_code: "The code is wrong",
        done: "Your e-mail address was changed",
    },
];

/// The mails of a recipient, as soon as there are so many.
fn mails(server: &MailServer, recipient: &str, number: usize) -> Result<Vec<Taken>> {
    let mails = || {
        let inbox = server.inbox()?.into_iter();
        Ok::<Vec<Taken>, Error>(inbox.filter(|mail| mail.recipients == [recipient]).collect())
    };
    let enough = |mails: &Result<Vec<Taken>>| mails.as_ref().map_or(true, |mails| mails.len() >= number);
    awaited(&format!("mail {number} to {recipient}"), mails, enough)?
}

/// A customer with an address.
fn customer(site: &Site) -> Result<()> {
    let add = ["user", "add", USER, "--contract", CONTRACT, "--role", "general", "--name", "北海 七郎"];
    site.bank.operator(&[&add[..], &["--email", ADDRESSES[0]]].concat())?;
    let password = site.bank.secret("login").display().to_string();
    let kind = ["--kind", "login", "--password-file", &password];
    site.bank.operator(&[&["user", "set-password", USER][..], &kind].concat())?;
    site.bank.operator(&["user", "assign-token", USER, "--serial", &TOKEN.to_string()])?;
    site.desk.enroll(&site.bank, USER, TOKEN).map(drop)
}

fn propose(browser: &Browser, said: &Said, address: &str, password: &str) -> Result<()> {
    browser.fill("#email", address)?;
    browser.fill("#password", password)?;
    browser.follow(said.send)
}

/// The address is changed from one to the next, with everything that goes wrong on the way.
fn change(site: &Site, server: &MailServer, said: &Said, old: &str, new: &str) -> Result<()> {
    let picture = |browser: &Browser, name: &str| look(browser, &format!("{name}-{}", said.words.language));
    let told_before = mails(server, old, 1)?.len();
    let browser = site.browser(Some(TOKEN))?;
    site.log_in(&browser, said.words)?;
    browser.follow(said.words.settings)?;
    browser.follow(said.change)?;
    says(&browser, old)?;
    picture(&browser, "email")?;
    propose(&browser, said, new, "not-my-password")?;
    says(&browser, said.wrong_password)?;
    ensure!(browser.script("return document.querySelector('#email').value")? == new, "the address is gone");
    picture(&browser, "email-refused")?;

    // Given up once, then in earnest: the first code doesn't count any more.
    propose(&browser, said, new, LOGIN_PASSWORD)?;
    let first = code(&mails(server, new, 1)?[0])?;
    browser.follow(said.drop)?;
    ensure!(!browser.text()?.contains(new), "the change wasn't given up");
    propose(&browser, said, new, LOGIN_PASSWORD)?;
    says(&browser, new)?;
    picture(&browser, "email-code")?;
    browser.fill("#code", &first)?;
    browser.follow(said.confirm)?;
    says(&browser, said.wrong_code)?;
    picture(&browser, "email-code-refused")?;
    // The language is switched on the refusal, and the form is where it was.
    browser.click("a.lang")?;
    browser.click("a.lang")?;
    browser.fill("#code", &code(&mails(server, new, 2)?[1])?)?;
    browser.follow(said.confirm)?;
    says(&browser, said.done)?;
    picture(&browser, "email-done")?;
    browser.follow(said.change)?;
    says(&browser, new)?;
    ensure!(!browser.text()?.contains(old), "the old address is still there");

    let told = mails(server, old, told_before + 1)?.pop().context("no notice to the old address")?;
    ensure!(told.header("Subject").starts_with("メールアドレス変更のお知らせ"), "{:?}", told.headers);
    ensure!(!told.body.contains(new), "the old address is told the new one");
    browser.close()
}

/// 確認番号 of a mail.
fn code(mail: &Taken) -> Result<String> {
    let (_, after) = mail.body.split_once("確認番号: ").with_context(|| format!("no code: {}", mail.body))?;
    Ok(after.chars().take_while(char::is_ascii_digit).collect())
}

#[test]
fn a_customer_changes_the_address_for_notices_in_both_languages() -> Result<()> {
    in_a_browser(|| {
        let mut site = Site::open("browser-email", &[TOKEN])?;
        let server = MailServer::start(&site.bank.path("mail"), Encryption::Implicit)?;
        server.serve(&site.bank)?;
        site.bank.authority = None;
        site.bank.start_authority()?;
        customer(&site)?;
        change(&site, &server, &SAID[0], ADDRESSES[0], ADDRESSES[1])?;
        change(&site, &server, &SAID[1], ADDRESSES[1], ADDRESSES[2])
    })
}
