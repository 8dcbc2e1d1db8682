//! The console's pages as Chromium shows them: pictures under `target/screenshots/staff` in both languages, on wide and
//! narrow screens, and no serious finding of the accessibility checker.
//!
//! The pages come from the console over TLS; the browser is given what came, with its stylesheets inside.

use std::{fs, path::Path};

use softhsm_tests::{browser::Browser, process::Environment, scratch::Scratch};

use crate::staff_house::{StaffHouse, request_of};

/// The page as a file of its own.
fn keep(folder: &Path, name: &str, html: &str) -> String {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ca/templates");
    let mut page = html.to_owned();
    for (sheet, file) in [("/assets/portal-", "portal.css"), ("/assets/staff-", "staff/staff.css")] {
        let css = fs::read_to_string(templates.join(file)).expect("a stylesheet");
        let link = page.find(&format!("<link rel=\"stylesheet\" href=\"{sheet}")).expect("a link");
        let end = link + page[link..].find('>').expect("its end") + 1;
        page.replace_range(link..end, &format!("<style>{css}</style>"));
    }
    let path = folder.join(format!("{name}.html"));
    fs::write(&path, page).expect("a page");
    format!("file://{}", path.display())
}

fn look(browser: &Browser, url: &str, name: &str) {
    browser.goto(url).expect("the page");
    browser.resize(1280, 900).expect("a wide window");
    browser.screenshot(name).expect("a picture");
    let findings = browser.findings().expect("a verdict");
    assert!(findings.is_empty(), "{name}: {findings:#?}");
    browser.resize(375, 800).expect("a narrow window");
    assert!(!browser.overflows().expect("an answer"), "{name} is wider than a telephone");
    browser.screenshot(&format!("{name}-narrow")).expect("a picture");
}

#[test]
fn every_page_is_readable() {
    let (house, members) = StaffHouse::open("staff-pages");
    let by = |id: &str| members.iter().find(|member| member.id == id).expect("a member");
    let (clerk, second, auditor, admin) = (by("clerk-1"), by("clerk-2"), by("auditor"), by("admin-1"));
    let customer = house.house.customer("hokkai-01", "general", 52_000_001);
    let gone = house.house.customer("hokkai-02", "general", 52_000_002);
    let fields = [("reason", "keyCompromise"), ("identity", "ご来店、運転免許証を確認")];
    clerk.done(&format!("/certificates/{}/revoke", gone.serial), &fields);
    let reobtain = [("way", "code"), ("reason", "トークンの紛失。ご来店、運転免許証を確認")];
    let request = request_of(&clerk.done("/users/hokkai-02/reobtain", &reobtain));
    let looks = [
        ("home", clerk, "/home".to_owned()),
        ("search", clerk, "/search?by=user&q=hokkai".to_owned()),
        ("contract-new", clerk, "/contracts/new".to_owned()),
        ("contract", clerk, "/contracts/1234567".to_owned()),
        ("user-new", clerk, "/contracts/1234567/users/new".to_owned()),
        ("user", clerk, "/users/hokkai-01?done=user".to_owned()),
        ("user-revoked", clerk, "/users/hokkai-02".to_owned()),
        ("certificate", clerk, format!("/certificates/{}", customer.serial)),
        ("approvals", second, "/approvals".to_owned()),
        ("approval", second, request.clone()),
        ("approval-own", clerk, request.clone()),
        ("staff", admin, "/staff".to_owned()),
        ("member", admin, "/staff/clerk-1".to_owned()),
        ("member-new", admin, "/staff/new".to_owned()),
        ("mail", clerk, "/mail".to_owned()),
        ("health", auditor, "/health".to_owned()),
        ("calendar", auditor, "/calendar".to_owned()),
        ("audit", auditor, "/audit".to_owned()),
    ];
    let scratch = Scratch::new("staff-browser").expect("a scratch directory");
    let folder = scratch.path().to_owned();
    let environment: Environment = vec![("HOME".to_owned(), folder.display().to_string())];
    let browser = Browser::at_home(environment, &folder, "staff").expect("a browser");
    for (name, by, path) in looks {
        for language in ["ja", "en"] {
            let separator = if path.contains('?') { '&' } else { '?' };
            let html = by.page(&format!("{path}{separator}lang={language}"));
            let name = format!("{name}-{language}");
            look(&browser, &keep(&folder, &name, &html), &name);
        }
        by.page("/home?lang=ja");
    }
    let stranger = house.member("unknown", house.identity("unknown"));
    let unknown = stranger.browser.get("/").expect("an answer").text();
    look(&browser, &keep(&folder, "unknown", &unknown), "unknown");
    let front = house.member(
        "clerk-1",
        softhsm_tests::soft_pki::Identity {
            certificate: clerk.identity.certificate.clone(),
            key: clerk.identity.key.clone(),
        },
    );
    look(&browser, &keep(&folder, "front", &front.page("/")), "front");
    let refused = clerk.post(&format!("{request}/approve"), &[]).text();
    look(&browser, &keep(&folder, "refused", &refused), "refused");
    let letter = second.post(&format!("{request}/approve"), &[]).text();
    let url = keep(&folder, "letter", &letter);
    look(&browser, &url, "letter");
    browser.resize(800, 1130).expect("a sheet");
    browser.as_printed(true).expect("printed");
    browser.screenshot("letter-printed").expect("a picture");
    browser.close().expect("closed");
}
