//! Certificate login through real TLS: rule 7, and what attackers of a portal try.

mod customers;
#[path = "login/limits.rs"]
mod limits;

use customers::{CONTRACT, House, page};
use rcgen::DnType;
use softhsm_tests::{
    bank::{LOGIN_PASSWORD, SoftBrowser, hidden},
    openssl::openssl_with_input,
    soft_pki::{KeyKind, SoftAuthority},
};

/// Rule 7: "Login needs certificate and login password".
#[test]
fn certificate_and_password_open_a_session_and_nothing_less() {
    let house = House::open("login");
    let customer = house.customer("hokkai-01", "master", 40_000_001);
    let browser = &customer.browser;

    let form = browser.get("/login").expect("a form");
    assert!(page(&form, 200).contains("hokkai-01"), "the form doesn't say whose certificate it is");
    let away = browser.get("/home").expect("an answer");
    assert_eq!((away.status, away.header("location")), (303, Some("/login")));

    let wrong = browser.try_login("kiri-no-hana-2027").expect("an answer");
    assert!(page(&wrong, 403).contains("ログインできませんでした"));
    browser.login().expect("a login");
    let home = page(&browser.get("/home").expect("a page"), 200);
    for expected in [&*customer.serial, CONTRACT, "40000001", "試験商事", "マスターユーザ"] {
        assert!(home.contains(expected), "{expected} is missing");
    }
    let english = page(&browser.get("/home?lang=en").expect("a page"), 200);
    assert!(english.contains("Your certificate"));
    assert_eq!(house.audit("login.admitted").len(), 1);
    assert_eq!(house.audit("login.refused").len(), 1);

    // Password without a token; and a header that claims a certificate changes nothing.
    let none = SoftBrowser::with_pem(&house.bank, None).expect("a browser");
    for path in ["/login", "/home", "/manage"] {
        let request = none.request("GET", path).expect("a request");
        let request = request.header("x-ssl-client-cert", "forged").header("x-forwarded-for", "127.0.0.1");
        let answer = SoftBrowser::response(request).expect("an answer");
        assert_ne!(answer.status, 200, "{path} was served without a certificate");
    }
    let refused = none.post("/login", &[("csrf", "x"), ("password", LOGIN_PASSWORD)]).expect("an answer");
    assert!(page(&refused, 403).contains("電子証明書が確認できません"));
}

#[test]
fn another_users_password_and_another_authoritys_certificate_are_refused() {
    let house = House::open("login-other");
    let alice = house.customer("alice-01", "general", 40_000_011);
    let bob = house.customer("bob-0001", "general", 40_000_012);
    let file = house.bank.path("secrets/bob");
    std::fs::write(&file, "bobs-very-own-phrase\n").expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    let path = file.to_string_lossy();
    let arguments = ["user", "set-password", "bob-0001", "--kind", "login", "--password-file", &path];
    house.bank.operator(&arguments).expect("a password");

    let answer = alice.browser.try_login("bobs-very-own-phrase").expect("an answer");
    let with_bobs = page(&answer, 403);
    let with_nonsense = page(&alice.browser.try_login("nobodys-phrase").expect("an answer"), 403);
    let without_token = |page: &str| page.split("name=\"csrf\"").next().map(ToOwned::to_owned);
    assert_eq!(without_token(&with_bobs), without_token(&with_nonsense), "the answers differ");

    // The right names from another authority don't get past the handshake.
    let subject = [
        (DnType::CountryName, "JP"),
        (DnType::OrganizationName, "試験商事"),
        (DnType::OrganizationalUnitName, CONTRACT),
        (DnType::CommonName, "試験 太郎"),
    ];
    let impostor = SoftAuthority::new("Example Customer CA").expect("an authority");
    let forged = impostor.client(&subject, KeyKind::P256).expect("a certificate");
    let browser = SoftBrowser::with_pem(&house.bank, Some(&(forged.key + &forged.certificate)));
    assert!(browser.expect("a browser").get("/login").is_err(), "another authority's certificate was taken");

    // Bob's session cookie on Alice's connection is no session.
    let form = bob.browser.get("/login").expect("a form");
    let csrf = hidden(&form, "csrf").expect("a token");
    let opened = bob
        .browser
        .post("/login", &[("csrf", &csrf), ("password", "bobs-very-own-phrase")])
        .expect("an answer");
    assert_eq!(opened.status, 303, "{}", opened.text());
    let cookie = opened
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .find_map(|(_, value)| value.strip_prefix("__Host-inro-session="))
        .and_then(|value| value.split(';').next())
        .expect("a session cookie");
    let request = alice.browser.request("GET", "/home").expect("a request");
    let stolen = request.header("cookie", format!("__Host-inro-session={cookie}"));
    assert_eq!(SoftBrowser::response(stolen).expect("an answer").status, 403);
    assert_eq!(bob.browser.get("/home").expect("a page").status, 200, "the thief ended Bob's session");
}

#[test]
fn forms_of_other_sites_planted_cookies_and_old_sessions_are_worth_nothing() {
    let house = House::open("login-session");
    let customer = house.customer("session-01", "general", 40_000_021);
    let browser = &customer.browser;

    // Without the form's token, or with the cookie planted by somebody else.
    let answer =
        browser.post("/login", &[("csrf", "guess"), ("password", LOGIN_PASSWORD)]).expect("an answer");
    assert_eq!(answer.status, 403);
    let request = browser.request("POST", "/login").expect("a request");
    let body = format!("csrf=x&password={LOGIN_PASSWORD}");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    let foreign = request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    let refused = SoftBrowser::response(foreign).expect("an answer");
    assert!(page(&refused, 403).contains("受け付けられませんでした"));
    assert!(house.audit("login.admitted").is_empty());
    let forged = house.audit("form.refused");
    let told = |row: &serde_json::Value| (row["subject"].clone(), row["details"]["reason"].clone());
    let expected = ["form-token", "form-cross-site"].map(|reason| ("session-01".into(), reason.into()));
    assert_eq!(forged.iter().map(told).collect::<Vec<_>>(), expected);

    let planted = house.window(&customer);
    let request = planted.request("GET", "/home").expect("a request");
    let request = request.header("cookie", format!("__Host-inro-session={}", "A".repeat(43)));
    assert_eq!(SoftBrowser::response(request).expect("an answer").status, 303);

    browser.login().expect("a login");
    let home = browser.get("/home").expect("a page");
    for (name, expected) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(home.header(name), Some(expected));
    }
    let policy = home.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!home.text().contains("<script") && !home.text().contains("style="), "inline code");

    let forged = browser.post("/logout", &[("csrf", "guess")]).expect("an answer");
    assert_eq!(forged.header("location"), Some("/home"));
    assert_eq!(browser.get("/home").expect("a page").status, 200, "a forged form logged out");
    assert_eq!(house.audit("form.refused").len(), 3);

    // Who logs in again has one session, not two of which one waits to be found.
    browser.login().expect("another login");
    let closed = house.audit("session.closed");
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0]["details"]["reason"], "new-login");
    let csrf = hidden(&browser.get("/home").expect("a page"), "csrf").expect("a token");
    let out = browser.post("/logout", &[("csrf", &csrf)]).expect("an answer");
    assert_eq!(out.header("location"), Some("/logged-out"));
    assert_eq!(browser.get("/home").expect("an answer").status, 303, "the session outlived the logout");
}

/// A request that a browser would never send, and that two programs might read in two ways.
#[test]
fn requests_that_could_be_read_in_two_ways_open_nothing() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let house = House::open("login-crooked");
    let alice = house.customer("crooked-01", "general", 40_000_041);
    let bob = house.customer("crooked-02", "general", 40_000_042);
    let browser = &alice.browser;
    let csrf = hidden(&browser.get("/login").expect("a form"), "csrf").expect("a token");
    let right = format!("csrf={csrf}&password={LOGIN_PASSWORD}");
    let sent = |kind: &str, body: String| {
        let request = browser.request("POST", "/login").expect("a request").header("content-type", kind);
        SoftBrowser::response(request.body(body)).expect("an answer").status
    };
    let multipart = format!(
        "--b\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n\
         --b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\n{LOGIN_PASSWORD}\r\n--b--\r\n"
    );
    for (what, kind, body) in [
        ("a field twice", FORM, format!("{right}&password=another")),
        ("the token twice", FORM, format!("csrf=x&{right}")),
        ("no password", FORM, format!("csrf={csrf}")),
        ("names that aren't the form's", FORM, format!("csrf={csrf}&Password={LOGIN_PASSWORD}")),
        ("parts", "multipart/form-data; boundary=b", multipart),
        ("JSON", "application/json", format!(r#"{{"csrf":"{csrf}","password":"{LOGIN_PASSWORD}"}}"#)),
        ("text, which other sites may send", "text/plain", right.clone()),
        ("no kind", "", right.clone()),
        ("far too much", FORM, format!("{right}&x={}", "x".repeat(200_000))),
    ] {
        assert!((400..500).contains(&sent(kind, body)), "{what}");
    }
    let in_the_address = format!("/login?{right}");
    assert_eq!(browser.get(&in_the_address).expect("a page").status, 200, "the form, and nothing else");
    assert!(house.audit("login.admitted").is_empty());

    browser.login().expect("a login");
    bob.browser.login().expect("a login");
    let session = browser.cookie("__Host-inro-session").expect("a session");
    let window = house.window(&alice);
    let get = |cookie: String| {
        let request = window.request("GET", "/home").expect("a request").header("cookie", cookie);
        SoftBrowser::response(request).expect("an answer").status
    };
    let name = "__Host-inro-session";
    assert_eq!(get(format!("{name}={session}")), 200, "the session itself");
    for cookies in [
        format!("{name}={session}; {name}={session}"),
        format!("{name}=x; {name}={session}"),
        format!("inro-session={session}"),
        format!("__host-inro-session={session}"),
        format!("{name}=\"{session}\""),
        format!("{name}={session}%20"),
        format!("{name}={}", session.to_lowercase()),
    ] {
        assert_eq!(get(cookies.clone()), 303, "{cookies}");
    }

    // Other methods, and the same method by another name.
    for (method, path) in [
        ("TRACE", "/home"),
        ("OPTIONS", "/home"),
        ("PUT", "/login"),
        ("DELETE", "/home"),
        ("GET", "/logout"),
        ("HEAD", "/logout"),
        ("POST", "/home"),
        ("get", "/home"),
    ] {
        let request = browser.request(method, path).expect("a request");
        let request = request.header("x-http-method-override", "POST").header("x-echo", "echoed");
        let answer = SoftBrowser::response(request).expect("an answer");
        assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
        assert!(!answer.text().contains("echoed"), "{method} {path}");
    }
    for path in ["//home", "/home/", "/HOME", "/home;a=1", "/home%00", "/home%20", "/%68ome%2f", "/home%2e"] {
        assert_eq!(browser.get(path).expect("an answer").status, 404, "{path}");
    }
    let odd = browser.get("/home?lang=en%0d%0aset-cookie:%20a=1&lang=%3Cscript%3E&x=%22%3E%3Cscript%3E");
    let odd = odd.expect("a page");
    assert_eq!(odd.status, 200);
    assert!(!odd.text().contains("<script") && odd.header("set-cookie").is_none(), "{:?}", odd.headers);

    // Bob's token in Alice's form.
    let token =
        |browser: &SoftBrowser| hidden(&browser.get("/home").expect("a page"), "csrf").expect("a token");
    for csrf in
        [token(&bob.browser), token(browser).to_lowercase(), String::new(), format!("{} ", token(browser))]
    {
        let answer = browser.post("/settings/stop", &[("csrf", &csrf), ("sure", "yes")]).expect("an answer");
        assert_eq!(answer.status, 403, "{csrf}");
    }
    assert_eq!(browser.get("/home").expect("a page").status, 200, "something stopped Alice");
    assert_eq!(house.audit("login.admitted").len(), 2);
    let rows = house.audit("form.refused");
    assert!(rows.len() >= 4 && rows.iter().all(|row| row["subject"] == "crooked-01"), "{rows:?}");
}

/// IDロック: wrong passwords in a row lock the login, only for who holds the token; the branch unlocks.
#[test]
fn wrong_passwords_lock_and_the_operator_unlocks() {
    let house = House::open("login-lock");
    let customer = house.customer("locked-01", "general", 40_000_031);
    for _ in 0..5 {
        assert_eq!(customer.browser.try_login("wrong-again-and-again").expect("an answer").status, 403);
    }
    assert_eq!(customer.browser.try_login(LOGIN_PASSWORD).expect("an answer").status, 403, "not locked");
    house.bank.operator(&["user", "unlock", "locked-01"]).expect("unlocked");
    customer.browser.login().expect("a login");

    // Rule 14: suspension ends a live session at its next request.
    house.bank.operator(&["user", "suspend", "locked-01"]).expect("suspended");
    let ended = page(&customer.browser.get("/home").expect("a page"), 403);
    assert!(ended.contains("利用停止"), "{ended}");
    house.bank.operator(&["user", "resume", "locked-01"]).expect("resumed");
    customer.browser.login().expect("a login");
}

#[test]
fn the_client_certificate_listener_speaks_tls_1_3_alone_and_never_resumes() {
    let house = House::open("login-tls");
    let address = house.bank.urls().client.trim_start_matches("https://").to_owned();
    let connect = |options: &[&str]| {
        let arguments = [&["s_client", "-connect", &*address][..], options].concat();
        openssl_with_input(&arguments, b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    };
    assert!(connect(&["-tls1_2"]).is_err(), "TLS 1.2 was taken");
    let session = connect(&["-tls1_3", "-ign_eof"]).expect("TLS 1.3");
    let session = String::from_utf8_lossy(&session);
    assert!(session.contains("TLSv1.3"), "{session}");
    assert!(!session.contains("New Session Ticket"), "{session}");
}
