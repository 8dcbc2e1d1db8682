//! The customer portal over real TLS: a user's own account, the master's user management, the public pages.

mod customers;

use std::{path::Path, process::Command};

use customers::{House, calendar::Calendar, done, page, send, token_of};
use jiff::SignedDuration;
use serde_json::Value;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD, Options, SoftBrowser, fetch},
    openssl::openssl_with_input,
    process::run,
    soft_pki::SoftAuthority,
    wait::until,
};

const NEW_PASSWORD: &str = "tsubaki-no-hana-2027";

const LOGIN: &str = "/settings/password";
const CONFIRM: &str = "/settings/confirmation-password";

const CONFIRMATION: (&str, &str) = ("confirmation", CONFIRMATION_PASSWORD);

/// 利用者管理, from a new user to one who is gone.
#[test]
fn a_master_looks_after_a_general_user_from_the_first_day_to_the_last() {
    let house = House::open("portal-users");
    let master = house.customer("master-01", "master", 45_000_001).browser;
    master.login().expect("a login");
    let register = [
        ("user_id", "hanako-01"),
        ("name", "=cmd|'/c calc' <b>花子</b>"),
        ("email", "hanako@example.com"),
        ("new", LOGIN_PASSWORD),
        ("again", LOGIN_PASSWORD),
        CONFIRMATION,
    ];
    let user = done(&master, "/manage/users/register", &register);
    assert!(user.contains("利用者を登録しました") && user.contains("hanako@example.com"), "{user}");
    assert!(user.contains("&#60;b&#62;花子") && !user.contains("<b>花子"), "stored markup: {user}");
    let twice = send(&master, "/manage/users/register", &register);
    assert!(page(&twice, 409).contains("このユーザIDは登録できません"));

    let token = [("kind", "yubikey-piv"), ("serial", "45000002"), CONFIRMATION];
    let user = done(&master, "/manage/user/hanako-01/assign", &token);
    assert!(user.contains("トークンを割り当てました") && user.contains("45000002"), "{user}");
    done(&master, "/manage/user/hanako-01/assign", &token);
    let hanako = house.enrolled("hanako-01", 45_000_002);
    hanako.browser.login().expect("a login");
    // The master knows her password: nothing is served before she has changed it.
    for path in ["/home", "/certificate", "/settings", "/history"] {
        let away = hanako.browser.get(path).expect("an answer");
        assert_eq!((away.status, away.header("location")), (303, Some("/settings/password")), "{path}");
    }
    let change = |current, new| [("current", current), ("new", new), ("again", new)];
    let refused = send(&hanako.browser, "/settings/password", &change(LOGIN_PASSWORD, LOGIN_PASSWORD));
    assert_eq!(refused.status, 400, "the master's password was taken again");
    let home = done(&hanako.browser, "/settings/password", &change(LOGIN_PASSWORD, NEW_PASSWORD));
    assert!(home.contains("hanako-01") && home.contains("45000002"), "{home}");
    done(&hanako.browser, "/settings/password", &change(NEW_PASSWORD, LOGIN_PASSWORD));
    let list = page(&master.get("/manage/users").expect("a page"), 200);
    assert!(list.contains("一般ユーザ：1") && list.contains("有効"), "{list}");

    // The list as a file: UTF-8 with a mark, and no formula.
    let file = master.get("/manage/users.csv").expect("a file");
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"users.csv\""));
    let text = file.text();
    assert!(text.starts_with("\u{feff}\"") && text.contains("\"'=cmd|'/c calc'"), "{text}");
    assert_eq!(text.matches("\r\n").count(), 2, "{text}");

    // Suspended, the live session ends; lifted, she is back.
    let confirm = [CONFIRMATION];
    done(&master, "/manage/user/hanako-01/suspend", &confirm);
    assert!(page(&hanako.browser.get("/home").expect("a page"), 403).contains("利用停止中です"));
    assert_eq!(hanako.browser.try_login(LOGIN_PASSWORD).expect("an answer").status, 403);
    done(&master, "/manage/user/hanako-01/resume", &confirm);
    hanako.browser.login().expect("a login");
    for _ in 0..5 {
        hanako.browser.try_login("wrong-again-and-again").expect("an answer");
    }
    done(&master, "/manage/user/hanako-01/unlock", &confirm);
    hanako.browser.login().expect("a login");
    let password = [("new", NEW_PASSWORD), ("again", NEW_PASSWORD), CONFIRMATION];
    done(&master, "/manage/user/hanako-01/password", &password);
    assert_eq!(hanako.browser.get("/home").expect("a page").status, 303, "the session outlived the password");
    assert_eq!(hanako.browser.try_login(LOGIN_PASSWORD).expect("an answer").status, 403);
    assert_eq!(hanako.browser.try_login(NEW_PASSWORD).expect("an answer").status, 303);

    // Removed: the certificate is revoked with it.
    let list = done(&master, "/manage/user/hanako-01/remove", &confirm);
    assert!(list.contains("利用者を削除しました") && !list.contains("hanako-01"), "{list}");
    assert_eq!(house.audit("certificate.revoked").len(), 1);
    assert!(hanako.browser.try_login(NEW_PASSWORD).is_err(), "a revoked certificate gets a form");
    assert_eq!(master.get("/manage/user/hanako-01").expect("a page").status, 404);
    for action in ["user.registered", "user.suspended", "user.resumed", "user.unlocked", "user.removed"] {
        let rows = house.audit(action);
        assert!(rows.iter().any(|row| row["actor"] == "user:master-01"), "{action}: {rows:?}");
    }
    house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}

/// Attacks: "a master revoking another contract's user, or a master's own", and the same for every other act.
#[test]
fn no_act_reaches_beyond_the_contract_or_goes_without_the_confirmation_password() {
    let house = House::open("portal-reach");
    house.bank.register_contract("7654321", "他社").expect("a contract");
    let master = house.customer("master-11", "master", 45_000_011).browser;
    let general = house.customer("general-11", "general", 45_000_012).browser;
    house.customer_of("7654321", "other-0001", "general", 45_000_013);
    master.login().expect("a login");
    general.login().expect("a login");
    let csrf = token_of(&master, "/manage/users/register");
    let acts = ["assign", "release", "unlock", "password", "suspend", "resume", "remove"];
    let fields = |csrf| {
        [
            ("csrf", csrf),
            CONFIRMATION,
            ("new", NEW_PASSWORD),
            ("again", NEW_PASSWORD),
            ("kind", "yubikey-piv"),
            ("serial", "45000019"),
        ]
    };
    for target in ["other-0001", "nobody-0001", "master-11"] {
        for act in acts {
            let path = format!("/manage/user/{target}/{act}");
            let before = house.audit("user.change-refused").len();
            page(&master.post(&path, &fields(&csrf)).expect("an answer"), 404);
            assert_eq!(house.audit("user.change-refused").len(), before + 1, "{path} left no row");
            assert_eq!(master.get(&path).expect("an answer").status, 404, "{path}");
        }
        assert_eq!(master.get(&format!("/manage/user/{target}")).expect("an answer").status, 404);
    }
    // A general user, with their own form's token.
    let own = token_of(&general, "/home");
    for act in acts {
        let path = format!("/manage/user/general-11/{act}");
        page(&general.post(&path, &fields(&own)).expect("an answer"), 403);
    }
    // Without the form's token, and with a wrong confirmation password.
    page(&master.post("/manage/user/general-11/suspend", &fields("guess")).expect("an answer"), 403);
    let wrong = [("confirmation", "not-the-confirmation")];
    let refused = page(&send(&master, "/manage/user/general-11/suspend", &wrong), 403);
    assert!(refused.contains("確認用パスワードが違います"), "{refused}");
    for (fields, problem) in [
        ([("user_id", "Bad ID"), ("name", "山田"), ("new", NEW_PASSWORD)], "ユーザIDの形式"),
        ([("user_id", "yamada-01"), ("name", "a\u{202e}b"), ("new", NEW_PASSWORD)], "氏名に使えない"),
        ([("user_id", "yamada-01"), ("name", "山田"), ("new", "short")], "10文字以上"),
    ] {
        let fields = [&fields[..], &[("again", fields[2].1), CONFIRMATION]].concat();
        let answer = page(&send(&master, "/manage/users/register", &fields), 400);
        assert!(answer.contains(problem), "{problem}: {answer}");
    }
    let taken = [("kind", "yubikey-piv"), ("serial", "45000013"), CONFIRMATION];
    let answer = page(&send(&master, "/manage/user/general-11/assign", &taken), 409);
    assert!(answer.contains("ほかの利用者"), "{answer}");
    assert_eq!(general.get("/home").expect("a page").status, 200, "somebody reached the general user");
    for action in ["user.suspended", "user.removed", "certificate.revoked"] {
        assert!(house.audit(action).is_empty(), "{action}");
    }
}

/// A user's passwords: the present one is asked for, the rules are kept, other sessions end.
#[test]
fn a_password_is_changed_by_who_knows_it_and_ends_other_sessions() {
    let house = House::open("portal-password");
    let customer = house.customer("master-21", "master", 45_000_021);
    let (here, elsewhere) = (house.window(&customer), house.window(&customer));
    here.login().expect("a login");
    elsewhere.login().expect("a login");
    let change = |path: &str, current: &str, new: &str, again: &str| {
        send(&here, path, &[("current", current), ("new", new), ("again", again)])
    };
    for (path, current, new, again, status, problem) in [
        (LOGIN, "not-my-password", NEW_PASSWORD, NEW_PASSWORD, 403, "現在のパスワードが違います"),
        (LOGIN, LOGIN_PASSWORD, NEW_PASSWORD, "something-else", 400, "一致しません"),
        (LOGIN, LOGIN_PASSWORD, "1234567890", "1234567890", 400, "5種類以上|連続した"),
        (LOGIN, LOGIN_PASSWORD, LOGIN_PASSWORD, LOGIN_PASSWORD, 400, "現在のパスワードと同じ"),
        (LOGIN, LOGIN_PASSWORD, CONFIRMATION_PASSWORD, CONFIRMATION_PASSWORD, 400, "別のもの"),
        (CONFIRM, LOGIN_PASSWORD, NEW_PASSWORD, NEW_PASSWORD, 403, "現在のパスワードが違います"),
    ] {
        let answer = page(&change(path, current, new, again), status);
        let alert = answer.split("role=\"alert\"").nth(1).expect("an alert");
        assert!(problem.split('|').any(|problem| alert.contains(problem)), "{problem}: {answer}");
        assert!(!answer.contains(NEW_PASSWORD), "a password came back");
    }
    assert_eq!(elsewhere.get("/home").expect("a page").status, 200);
    let changed = change(LOGIN, LOGIN_PASSWORD, NEW_PASSWORD, NEW_PASSWORD);
    assert_eq!(changed.header("location"), Some("/settings?done=password"));
    assert_eq!(here.get("/home").expect("a page").status, 200, "the session that it was done in ended");
    assert_eq!(elsewhere.get("/home").expect("a page").status, 303, "the other session goes on");
    assert_eq!(elsewhere.try_login(LOGIN_PASSWORD).expect("an answer").status, 403);
    assert_eq!(elsewhere.try_login(NEW_PASSWORD).expect("an answer").status, 303);
    let changed =
        change(CONFIRM, CONFIRMATION_PASSWORD, "a new one to confirm by", "a new one to confirm by");
    assert_eq!(changed.status, 303, "{}", changed.text());
    assert_eq!(house.audit("user.password-changed").len(), 2);
    let rows = serde_json::to_string(&house.audit("user.password-refused")).expect("rows");
    assert!(!rows.contains(NEW_PASSWORD) && !rows.contains(LOGIN_PASSWORD), "{rows}");
}

/// Rule 14: "A user can stop their own ID at any hour (緊急停止); only the branch (or the master, for a general user) lifts it."
#[test]
fn rule_14_a_user_stops_the_own_id_and_the_master_lifts_it() {
    let house = House::open("portal-stop");
    let master = house.customer("master-31", "master", 45_000_031).browser;
    let general = house.customer("general-31", "general", 45_000_032);
    let other_window = house.window(&general);
    general.browser.login().expect("a login");
    other_window.login().expect("a login");
    page(&general.browser.post("/settings/stop", &[("csrf", "guess")]).expect("an answer"), 403);
    let stopped = done(&general.browser, "/settings/stop", &[]);
    assert!(stopped.contains("利用を停止しました"), "{stopped}");
    assert_eq!(general.browser.get("/home").expect("a page").status, 303, "the cookie was kept");
    assert!(page(&other_window.get("/home").expect("a page"), 403).contains("利用停止中です"));
    // At the login nobody hears why.
    let right = page(&general.browser.try_login(LOGIN_PASSWORD).expect("an answer"), 403);
    let wrong = page(&general.browser.try_login("not-my-password").expect("an answer"), 403);
    let before_token = |page: &str| page.split("name=\"csrf\"").next().map(ToOwned::to_owned);
    assert_eq!(before_token(&right), before_token(&wrong), "the answers differ");
    let rows = house.audit("user.suspended");
    assert_eq!(
        (&rows[0]["actor"], &rows[0]["details"]["reason"]),
        (&"user:general-31".into(), &"emergency-stop".into())
    );
    master.login().expect("a login");
    done(&master, "/manage/user/general-31/resume", &[CONFIRMATION]);
    general.browser.login().expect("a login");
}

/// Rules 5, 6 and 8, as a year goes by.
#[test]
fn a_year_goes_by_from_the_notice_to_the_expiry() {
    let (mut house, clock) = House::with_clock("portal-year", &Options::default());
    let calendar = Calendar::begin();
    house.later(&clock, calendar.day(0));
    let master = house.customer("master-41", "master", 45_000_041);
    house.later(&clock, calendar.day(20));
    let general = house.customer("general-41", "general", 45_000_042);
    let first_page = |browser: &SoftBrowser| {
        let answer = browser.try_login(LOGIN_PASSWORD).expect("an answer");
        assert_eq!(answer.status, 303, "{}", answer.text());
        answer.header("location").expect("a location").to_owned()
    };
    // Rule 5: "更新 opens 40 days before expiry".
    clock.clock(calendar.day(calendar.year - 41)).expect("a clock");
    assert_eq!(first_page(&house.window(&master)), "/home");
    clock.clock(calendar.day(calendar.year - 40)).expect("a clock");
    let window = house.window(&master);
    for _ in 0..2 {
        // "asked again at every login until renewed or expired"
        assert_eq!(first_page(&window), "/renewal");
    }
    let choice = page(&window.get("/renewal").expect("a page"), 200);
    assert!(choice.contains("更新しない") && choice.contains(&master.serial), "{choice}");
    let home = done(&window, "/renewal", &[("choice", "later")]);
    assert!(home.contains("電子証明書の更新時期です") && home.contains("有効期限まで40日"), "{home}");
    let steps = done(&window, "/renewal", &[("choice", "now")]);
    assert!(steps.contains("証明書更新"), "{steps}");
    assert_eq!((house.audit("renewal.declined").len(), house.audit("renewal.chosen").len()), (1, 1));
    // Rule 6: 10 days before, and on the expiry day.
    for (left, text) in [(10, "有効期限が近づいています"), (0, "有効期限は本日です")] {
        clock.clock(calendar.day(calendar.year - left)).expect("a clock");
        let window = house.window(&master);
        first_page(&window);
        let home = page(&window.get("/home").expect("a page"), 200);
        assert!(home.contains(text), "{left} days left: {home}");
    }
    // Rule 8: "An expired master certificate does not stop general users from logging in".
    clock.clock(calendar.day(calendar.year + 1)).expect("a clock");
    let expired = page(&house.window(&master).get("/login").expect("a page"), 403);
    assert!(
        expired.contains("有効期限が切れています") && !expired.contains("name=\"password\""),
        "{expired}"
    );
    assert_eq!(first_page(&house.window(&general)), "/renewal");
    clock.clock(SignedDuration::ZERO).expect("a clock");
}

/// The key and the certificate of whoever signs packages, and a list of them as it is made for customers.
fn release(bank: &softhsm_tests::bank::Bank, package: &[u8]) {
    let folder = bank.path("packages");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("inro-agent_0.1.0_amd64.deb"), package).expect("a package");
    let identity = SoftAuthority::new("Releases").and_then(|releases| releases.server(&["releases"]));
    let (certificate, key) = identity.and_then(|it| it.write(&bank.path(""), "release")).expect("a key");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../token-agent/packaging/manifest.sh");
    let mut command = Command::new(script);
    run(command.arg(&folder).arg("0.1.0").args([&key, &certificate])).expect("a signed list");
}

#[test]
fn the_public_pages_offer_the_agent_with_its_checksum() {
    let options = Options {
        adjust: Some(|config| {
            let enrolment = config["enrolment"].as_table_mut().expect("a table");
            for (key, value) in
                [("agent_packages", "packages"), ("agent_packages_signer_file", "release.pem")]
            {
                enrolment.insert(key.to_owned(), toml::Value::String(value.to_owned()));
            }
        }),
        ..Options::default()
    };
    let scratch = softhsm_tests::scratch::Scratch::new("portal-public").expect("a scratch directory");
    let mut bank = softhsm_tests::bank::Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
    let package = b"the agent, or what stands for it".repeat(40);
    release(&bank, &package);
    bank.hold_ceremony().expect("a ceremony");
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("a signer");
    refuses_what_is_not_as_listed(&mut bank);
    bank.start_authority().expect("an authority");
    let house = House::of(bank, scratch);
    let visitor = SoftBrowser::with_pem(&house.bank, None).expect("a browser").at_public(&house.bank);
    for (path, japanese, english) in [
        ("/", "電子証明書ログイン", "Certificate login"),
        ("/obtain", "電子証明書発行", "Obtain a certificate"),
        ("/agent", "チェックサム", "checksum"),
        ("/environments", "ご利用環境", "Supported environments"),
        ("/help", "不審なメール", "suspicious mail"),
    ] {
        assert!(page(&visitor.get(path).expect("a page"), 200).contains(japanese), "{path}");
        let answer = visitor.get(&format!("{path}?lang=en")).expect("a page");
        let text = page(&answer, 200);
        assert!(text.contains(english), "{path}: {text}");
        assert!(
            !text.contains("<script") && !text.contains("style=") && !text.contains("onclick="),
            "inline code: {path}"
        );
        assert!(
            answer.header("content-security-policy").expect("a policy").starts_with("default-src 'none'")
        );
        visitor.get("/?lang=ja").expect("a page");
    }
    let agent = page(&visitor.get("/agent").expect("a page"), 200);
    let sha256 = openssl_with_input(&["dgst", "-sha256", "-r"], &package).expect("a digest");
    let sha256 = String::from_utf8_lossy(&sha256)[..64].to_owned();
    assert!(agent.contains(&sha256), "{agent}");
    let file = visitor.get("/agent/inro-agent_0.1.0_amd64.deb").expect("a file");
    assert_eq!((file.status, &file.body), (200, &package));
    assert!(file.header("content-disposition").expect("a disposition").starts_with("attachment"));
    assert!(agent.contains("CN=releases"), "{agent}");
    let folder = house.bank.path("packages");
    for name in ["packages.json", "SHA256SUMS", "SHA256SUMS.p7s"] {
        let file = visitor.get(&format!("/agent/{name}")).expect("a file");
        assert_eq!((file.status, file.body), (200, std::fs::read(folder.join(name)).expect("readable")));
    }
    for path in ["/agent/..%2F..%2Finro.toml", "/agent/inro.toml", "/agent/%2Fetc%2Fpasswd"] {
        assert_eq!(visitor.get(path).expect("an answer").status, 404, "{path}");
    }
}

/// A package, a list or a signature that was changed keeps the server from starting; the message names it.
fn refuses_what_is_not_as_listed(bank: &mut softhsm_tests::bank::Bank) {
    let folder = bank.path("packages");
    for (file, to, said) in [
        ("inro-agent_0.1.0_amd64.deb", "another one", "isn't as packages.json lists it"),
        ("packages.json", "0.1.1", "changed after it was signed"),
        ("SHA256SUMS", "x", "altered after it was signed"),
    ] {
        let path = folder.join(file);
        let before = std::fs::read(&path).expect("readable");
        let after = match file {
            "packages.json" => {
                String::from_utf8_lossy(&before).replace("0.1.0\",\n", &format!("{to}\",\n")).into_bytes()
            }
            _ => to.as_bytes().to_vec(),
        };
        std::fs::write(&path, after).expect("written");
        let error = bank.start_authority().expect_err(file);
        assert!(format!("{error:#}").contains(said), "{file}: {error:#}");
        std::fs::write(&path, before).expect("written");
    }
}

/// The operator's renewed server certificate serves new connections, the half of one doesn't.
#[test]
fn a_server_certificate_is_taken_up_without_a_restart() {
    let house = House::open("portal-tls");
    let shown = |url: &str| -> String {
        let address = url.trim_start_matches("https://");
        let arguments = ["s_client", "-connect", address, "-servername", "localhost"];
        let text = openssl_with_input(&arguments, b"").expect("a handshake");
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().find(|line| line.starts_with("issuer=")).unwrap_or_default().to_owned()
    };
    let urls = house.bank.urls();
    assert!(shown(&urls.public).contains("Example server authority"));
    let renewed = SoftAuthority::new("Renewed server authority").expect("an authority");
    let server = renewed.server(&["localhost", "127.0.0.1"]).expect("a certificate");
    std::fs::write(house.bank.path("tls/server.pem"), &server.certificate).expect("the certificate");
    let log = || house.bank.authority.as_ref().map(softhsm_tests::process::Process::log).unwrap_or_default();
    until("the half to be noticed", log, |log| log.contains("keeping the server certificate"));
    assert!(shown(&urls.public).contains("Example server authority"), "half a replacement was taken");
    std::fs::write(house.bank.path("tls/server.key"), &server.key).expect("the key");
    for url in [&urls.public, &urls.client] {
        until("the new certificate", || shown(url), |issuer| issuer.contains("Renewed server authority"));
    }
}

/// One that has expired is left while the one in use is valid; log and doctor say so.
#[test]
fn an_expired_server_certificate_is_no_renewal() {
    let house = House::open("portal-tls-expired");
    let finding = || -> Value {
        let doctor = house.bank.try_operator(&["doctor"]).expect("a doctor");
        let report: Value = serde_json::from_slice(&doctor.stdout).expect("a report");
        let findings = report["findings"].as_array().expect("findings");
        let server = |finding: &&Value| finding["what"] == "server certificate and key";
        findings.iter().find(server).expect("a finding").clone()
    };
    assert_eq!(finding()["ok"], true);
    let metrics = || {
        let metrics = fetch(&format!("{}/metrics", house.bank.urls().ops)).expect("metrics").text();
        let shown = metrics.lines().find(|line| line.starts_with("inro_server_not_after_timestamp_seconds"));
        shown.expect("a gauge").to_owned()
    };
    let before = metrics();
    let provider = SoftAuthority::new("Late server authority").expect("an authority");
    let server = provider.server_between(&["localhost", "127.0.0.1"], (2024, 2025)).expect("a certificate");
    std::fs::write(house.bank.path("tls/server.pem"), &server.certificate).expect("the certificate");
    std::fs::write(house.bank.path("tls/server.key"), &server.key).expect("the key");
    let log = || house.bank.authority.as_ref().map(softhsm_tests::process::Process::log).unwrap_or_default();
    let alarm = |log: &str| {
        let said = |line: &&str| line.contains("ALARM: the server certificate") && line.contains("expired");
        log.lines().find(said).map(str::to_owned)
    };
    let said = until("the alarm", || alarm(&log()), Option::is_some).expect("an alarm");
    assert!(said.contains("ERROR") && said.contains("keeping the one in use"), "{said}");
    assert_eq!(metrics(), before);
    let visitor = SoftBrowser::with_pem(&house.bank, None).expect("a browser").at_public(&house.bank);
    page(&visitor.get("/help").expect("the one in use"), 200);
    let found = finding();
    assert_eq!(found["ok"], false);
    assert!(found["trouble"].as_str().unwrap_or_default().contains("it expired at 2025-01-01"), "{found}");
}

/// What the master sees is what the ledger says; the language switch keeps the place.
#[test]
fn the_result_of_a_revocation_has_an_address_that_a_reload_does_not_repeat() {
    let house = House::open("portal-result");
    let master = house.customer("master-51", "master", 45_000_051).browser;
    house.customer("general-51", "general", 45_000_052);
    master.login().expect("a login");
    let fields = [("user", "general-51"), ("reason", "keyCompromise"), CONFIRMATION];
    let answer = send(&master, "/manage/users/revoke", &fields);
    let location = answer.header("location").expect("a location").to_owned();
    let result = page(&master.get(&location).expect("a page"), 200);
    assert!(result.contains("失効しました"), "{result}");
    assert!(result.contains("href=\"?user=general-51&#38;lang=en\""), "{result}");
    let english = page(&master.get(&format!("{location}&lang=en")).expect("a page"), 200);
    assert!(english.contains("Revoked on"), "{english}");
    assert_eq!(house.audit("certificate.revoked").len(), 1);
    let history = page(&master.get("/history?lang=ja").expect("a page"), 200);
    assert!(history.contains("YubiKey（PIV） 45000051"), "{history}");
    let certificate = page(&master.get("/certificate").expect("a page"), 200);
    assert!(certificate.contains("OU=1234567") && certificate.contains("UID=master-51"), "{certificate}");
    let login: Vec<Value> = house.audit("login.admitted");
    assert_eq!(login.len(), 1);
}
