//! The agent in companies' networks: behind a real squid that demands a password or looks into TLS, under an
//! administrator's policy, and before everything that answers in place of the bank.

mod house;
mod stranger;

use std::{fs, process::Command};

use serde_json::Value;
use softhsm_tests::{
    bank::LOGIN_PASSWORD,
    openssl::openssl,
    soft_pki::SoftAuthority,
    squid::{PASSWORD, Squid, USER},
    wait::until,
};

use self::{
    house::{House, Run, SERIAL, alone, codes, finding},
    stranger::{Answer, Stranger},
};

#[test]
fn an_enrolment_goes_through_a_proxy_that_demands_a_password() {
    let house = House::open("proxy-basic", None);
    let squid = Squid::start(&house.scratch.directory("squid").expect("a directory")).expect("squid");
    let proxy = squid.url();

    // Nobody is let through, nothing is asked for ever, and the token isn't touched.
    let run = house.enroll(&["--proxy", &proxy]);
    assert_eq!(run.status(), 6, "{run:?}");
    assert!(run.stderr.contains("asks for a user name and password"), "{run:?}");
    assert!(run.stderr.contains("--proxy-user") && run.stderr.contains("not those of the bank"), "{run:?}");
    house.scratch.write("wrong", "guess").expect("written");
    let wrong = house.path("wrong");
    let run = house.enroll(&["--proxy", &proxy, "--proxy-user", USER, "--proxy-password-file", &wrong]);
    assert_eq!(run.status(), 6, "{run:?}");
    assert!(run.stderr.contains("doesn't accept this user name and password"), "{run:?}");
    let refused = squid.requests().expect("a log");
    assert!(refused.iter().all(|line| line.contains("/407 CONNECT")) && refused.len() <= 4, "{refused:?}");
    house.assert_untouched();

    // The proxy's password is in none of the agent's words.
    house.scratch.write("right", format!("{PASSWORD}\n")).expect("written");
    let right = house.path("right");
    let run = house.enroll(&["--proxy", &proxy, "--proxy-user", USER, "--proxy-password-file", &right]);
    assert_eq!(run.status(), 0, "{run:?}");
    for secret in [PASSWORD, LOGIN_PASSWORD] {
        assert!(!run.stderr.contains(secret) && !run.stdout.contains(secret), "{run:?}");
    }
    let passed = &squid.requests().expect("a log")[refused.len()..];
    assert!(!passed.is_empty() && passed.iter().all(|line| line.contains("/200 CONNECT")), "{passed:?}");
    assert!(passed.iter().all(|line| line.ends_with(USER)), "{passed:?}");

    let report = house.doctor(&["--proxy", &proxy, "--proxy-user", USER, "--proxy-password-file", &right]);
    assert_eq!(report.status(), 0, "{report:?}");
    let report = report.json();
    assert_eq!((report["healthy"].as_bool(), report["support_code"].as_str()), (Some(true), Some("ok")));
    for code in [
        "reader.service",
        "token.found",
        "pin.good",
        "certificate.valid",
        "chain.good",
        "ocsp.good",
        "crl.good",
        "clock.right",
        "network.connected",
        "proxy.way",
        "proxy.lets-through",
        "server.genuine",
        "version.current",
    ] {
        assert!(codes(&report).contains(&code.to_owned()), "{code} is missing: {report:#}");
    }
    let serial = finding(&report, "token.found");
    assert!(serial["what"].as_str().expect("words").contains(&SERIAL.to_string()), "{serial}");
}

#[test]
fn what_the_bank_publishes_about_a_certificate_is_looked_at() {
    let house = House::open("proxy-published", None);
    let run = house.enroll(&[]);
    assert_eq!(run.status(), 0, "{run:?}");
    let serial = run.json()["certificate"]["serial"].as_str().expect("a serial number").to_owned();
    let report = house.doctor(&[]).json();
    assert!(report["healthy"] == true && codes(&report).contains(&"ocsp.good".to_owned()), "{report:#}");

    // A network that lets only TLS through: in nobody's way, and said with what to do.
    let squid = Squid::for_tls_alone(&house.scratch.directory("squid").expect("a directory")).expect("squid");
    house.scratch.write("right", format!("{PASSWORD}\n")).expect("written");
    let (proxy, right) = (squid.url(), house.path("right"));
    let through = ["--proxy", &proxy, "--proxy-user", USER, "--proxy-password-file", &right];
    let run = house.doctor(&through);
    assert_eq!(run.status(), 0, "{run:?}");
    let report = run.json();
    // Without the issuer's certificate nothing else can be judged.
    assert!(codes(&report).contains(&"chain.unknown".to_owned()), "{report:#}");

    // Revoked: the responder says so within seconds, the list within a minute.
    house.bank.operator(&["certificate", "revoke", &serial, "--reason", "keyCompromise"]).expect("revoked");
    let both =
        |run: &Run| codes(&run.json()).iter().filter(|code| *code == "certificate.revoked").count() == 2;
    let run = until("both to say that it is revoked", || house.doctor(&[]), both);
    assert_eq!(run.status(), 9, "{run:?}");
    let report = run.json();
    assert_eq!(report["support_code"], "certificate.revoked");
    let found = finding(&report, "certificate.revoked");
    assert!(found["next"].as_str().expect("a remedy").contains("obtain a new one"), "{found}");
}

#[test]
fn the_system_s_proxy_is_found_and_its_exceptions_are_kept() {
    let house = House::open("proxy-system", None);
    let squid = Squid::start(&house.scratch.directory("squid").expect("a directory")).expect("squid");
    let address = squid.address();
    let inherited = format!("http://{USER}:pr0xy%3Ap%40ss@{address}");
    let way = |environment: &[(&str, &str)]| {
        let report = Run::of(house.doctor_command(&[]).envs(environment.iter().copied())).json();
        let what = finding(&report, "proxy.way")["what"].as_str().expect("words").to_owned();
        (what, codes(&report))
    };
    let (what, found) = way(&[("HTTPS_PROXY", &inherited)]);
    assert!(what.contains(&address.to_string()) && what.contains("HTTPS_PROXY"), "{what}");
    assert!(what.contains(USER) && !what.contains("p@ss") && !what.contains("pr0xy%"), "{what}");
    assert!(found.contains(&"server.genuine".to_owned()), "{found:?}");
    let before = squid.requests().expect("a log").len();

    let (what, found) = way(&[("HTTPS_PROXY", &inherited), ("NO_PROXY", "localhost,127.0.0.1")]);
    assert!(what.contains("excepted") && found.contains(&"server.genuine".to_owned()), "{what}");
    assert_eq!(squid.requests().expect("a log").len(), before, "the proxy was asked all the same");

    // The desktop's settings, where GNOME's tools keep them.
    let settings = house.scratch.directory("config/glib-2.0/settings").expect("a directory");
    let keyfile = format!(
        "[system/proxy]\nmode='manual'\n[system/proxy/https]\nhost='{}'\nport={}\n",
        address.ip(),
        address.port()
    );
    fs::write(settings.join("keyfile"), keyfile).expect("written");
    let config = house.path("config");
    let desktop =
        [("XDG_CURRENT_DESKTOP", "GNOME"), ("GSETTINGS_BACKEND", "keyfile"), ("XDG_CONFIG_HOME", &config)];
    // GNOME's own list of exceptions begins with localhost.
    let (what, _) = way(&desktop);
    assert!(what.contains("excepted") && what.contains("desktop"), "{what}");
    let keyfile = fs::read_to_string(settings.join("keyfile")).expect("readable");
    let open = keyfile.replace("mode='manual'\n", "mode='manual'\nignore-hosts=@as []\n");
    fs::write(settings.join("keyfile"), open).expect("written");
    let (what, found) = way(&desktop);
    assert!(what.contains(&address.to_string()) && what.contains("desktop"), "{what}");
    assert!(found.contains(&"proxy.authentication".to_owned()), "{found:?}");

    // A script isn't run. Where there is no way without it, that is what is said.
    let script = "[system/proxy]\nmode='auto'\nautoconfig-url='http://wpad.example/proxy.pac'\n";
    fs::write(settings.join("keyfile"), script).expect("written");
    let report = Run::of(house.doctor_command(&[]).envs(desktop)).json();
    let what = finding(&report, "proxy.script")["what"].as_str().expect("words").to_owned();
    assert!(what.contains("http://wpad.example/proxy.pac") && what.contains("doesn't run"), "{what}");
    finding(&report, "server.genuine");
    let mut command = house.agent();
    command.args(["enroll", "--json", "--server", "https://no-such-name.invalid", "--user", "hokkai-01"]);
    let run = Run::of(command.args(["--password-file", &house.login()]).envs(desktop));
    assert_eq!(run.status(), 6, "{run:?}");
    assert!(
        run.stderr.contains("http://wpad.example/proxy.pac") && run.stderr.contains("--proxy"),
        "{run:?}"
    );
}

#[test]
fn an_inspecting_proxy_is_believed_by_the_administrator_s_word_alone() {
    let house = House::open("proxy-inspects", None);
    let directory = house.scratch.directory("squid").expect("a directory");
    let squid = Squid::inspecting(&directory, &house.bank.path("tls/ca.pem")).expect("squid");
    let proxy = squid.url();
    house.scratch.write("right", PASSWORD).expect("written");
    let right = house.path("right");
    let credentials = ["--proxy", &proxy, "--proxy-user", USER, "--proxy-password-file", &right];

    let run = house.enroll(&credentials);
    assert_eq!(run.status(), 6, "{run:?}");
    assert!(run.stderr.contains("Hokkai Trading Inspection"), "{run:?}");
    assert!(run.stderr.contains("company_ca_file"), "{run:?}");
    house.assert_untouched();
    // A user's own configuration can't name the company's authority.
    let company = fs::read_to_string(squid.authority()).expect("readable");
    house.scratch.write("mine.toml", "company_ca_file = \"/tmp/x.pem\"").expect("written");
    let run = Run::of(house.agent().args(["--config", &house.path("mine.toml"), "version", "--json"]));
    assert_eq!(run.status(), 2, "{run:?}");

    house.administer("company_ca_file = \"/etc/inro/company.pem\"", &[("company.pem", &company)]);
    let run = Run::of(&mut house.administered(&house.enroll_command(&credentials)));
    assert_eq!(run.status(), 0, "{run:?}");
    let seen = squid.requests().expect("a log");
    assert!(seen.iter().any(|line| line.contains("/api/v1/enrolments")), "it looked inside: {seen:?}");
}

#[test]
fn a_policy_comes_before_a_user_s_configuration_and_options() {
    let house = House::open("proxy-policy", None);
    let squid = Squid::start(&house.scratch.directory("squid").expect("a directory")).expect("squid");
    let bank = house.bank.urls().public;
    let authority = fs::read_to_string(house.bank.path("tls/ca.pem")).expect("readable");
    let policy = format!(
        "server = \"{bank}\"\nca_file = \"/etc/inro/bank.pem\"\nproxy = \"{}\"\nproxy_user = \"{USER}\"\n\
         proxy_password_file = \"/etc/inro/proxy-password\"\ntokens = [\"tpm\"]\nlang = \"en\"\n\
         grace_hours = 48\n",
        squid.url()
    );
    let files = [("bank.pem", authority.as_str()), ("proxy-password", PASSWORD)];
    house.administer(&policy, &files);
    house
        .scratch
        .write("mine.toml", "server = \"https://mine.example\"\nproxy = \"direct\"\nlang = \"ja\"\n")
        .expect("written");
    let mine = house.path("mine.toml");
    let doctor = |more: &[&str]| {
        let mut command = house.bare_agent();
        command.args(["--config", &mine, "doctor", "--json"]).args(more);
        Run::of(&mut house.administered(&command))
    };
    let report = doctor(&[]).json();
    let way = finding(&report, "proxy.way")["what"].as_str().expect("words").to_owned();
    assert!(way.contains(&squid.address().to_string()), "{way}");
    assert!(finding(&report, "server.genuine")["what"].as_str().expect("words").contains(&bank));
    assert_eq!(finding(&report, "token.not-permitted")["grade"], "wrong");
    let ignored = squid.requests().expect("a log").len();
    assert!(ignored > 0, "the proxy was asked");

    // The grace after a renewal is the administrator's as well.
    let login = house.login();
    let renew = |hours: &str| {
        let mut command = house.bare_agent();
        command.args([
            "renew",
            "--json",
            "--grace-hours",
            hours,
            "--serial",
            "00",
            "--password-file",
            &login,
        ]);
        Run::of(&mut house.administered(&command))
    };
    let run = renew("0");
    assert!(run.status() == 2 && run.stderr.contains("--grace-hours"), "{run:?}");
    assert!(!renew("48").stderr.contains("--grace-hours"), "what the policy says may be said as well");

    for (option, value) in [
        ("--server", "https://mine.example"),
        ("--proxy", "direct"),
        ("--no-proxy", "*"),
        ("--ca-file", "/x"),
    ] {
        let run = doctor(&[option, value]);
        assert_eq!(run.status(), 9, "{option}: {run:?}");
        let report = run.json();
        let words = finding(&report, "server.not-configured").to_string();
        assert!(words.contains(option), "{option}: {words}");
    }
    let mut enroll = house.bare_agent();
    enroll.args(["enroll", "--json", "--user", "hokkai-01", "--password-file", &house.login()]);
    let run = Run::of(&mut house.administered(&enroll));
    assert_eq!(run.status(), 2, "{run:?}");
    assert!(run.stderr.contains("doesn't permit this kind of token"), "{run:?}");
    house.assert_untouched();

    // What others could have written is no policy.
    let path = house.scratch.join("etc/inro/policy.toml");
    let mut chmod = Command::new("chmod");
    softhsm_tests::process::run(chmod.args(["o+w"]).arg(&path)).expect("changed");
    let run = doctor(&[]);
    assert_eq!(run.status(), 2, "{run:?}");
    assert!(run.stderr.contains("policy.toml"), "{run:?}");
}

#[test]
fn a_token_that_the_policy_permits_no_more_is_not_renewed() {
    let house = House::open("proxy-permitted", None);
    let run = house.enroll(&[]);
    assert_eq!(run.status(), 0, "{run:?}");
    let serial = run.json()["certificate"]["serial"].as_str().expect("a serial number").to_owned();
    let slots = house.desk.keys[0].state().slots.len();
    house.administer("tokens = [\"tpm\"]\n", &[]);
    let run = Run::of(&mut house.administered(&house.renew_command(&serial)));
    assert_eq!(run.status(), 2, "{run:?}");
    assert!(run.stderr.contains("doesn't permit this kind of token"), "{run:?}");
    assert_eq!(house.desk.keys[0].state().slots.len(), slots, "no key was made");
}

#[test]
fn an_agent_that_is_too_old_stops_before_anything_happens_on_the_token() {
    let house = House::open("proxy-version", Some(("99.0.0", "99.1.0")));
    let run = house.enroll(&[]);
    assert_eq!(run.status(), 5, "{run:?}");
    assert!(run.stderr.contains("99.0.0") && run.stderr.contains("https://"), "{run:?}");
    house.assert_untouched();
    let report = house.doctor(&[]);
    assert_eq!(report.status(), 9, "{report:?}");
    let report = report.json();
    assert!(report["support_code"].as_str().expect("a code").contains("version.too-old"), "{report:#}");

    let mut house = house;
    house.restart_with_versions("0.1.0", "99.1.0");
    let run = house.enroll(&[]);
    assert_eq!(run.status(), 0, "{run:?}");
    assert!(run.stderr.contains("99.1.0"), "the newer one is named: {run:?}");
    let report = house.doctor(&[]).json();
    assert_eq!(finding(&report, "version.newer")["grade"], "note");
}

/// Without a token, as they come before it.
#[test]
fn whatever_answers_in_place_of_the_bank_is_named_with_a_remedy() {
    let scratch = softhsm_tests::scratch::Scratch::new("proxy-strangers").expect("scratch");
    let bank = SoftAuthority::new("Bank's web CA").expect("an authority");
    let ca = scratch.write("ca.pem", bank.certificate()).expect("written").display().to_string();
    let identity = |names: &[&str]| bank.server(names).expect("an identity");
    let ask = |server: &str, more: &[&str]| {
        let mut command = alone(&scratch);
        command.args(["doctor", "--json", "--server", server, "--ca-file", &ca]).args(more);
        let run = Run::of(&mut command);
        assert_eq!(run.status(), 9, "{run:?}");
        run.json()
    };
    let expect = |report: &Value, code: &str, words: &[&str]| {
        let found = finding(report, code);
        let said = format!("{} {}", found["what"], found["next"]);
        for word in words {
            assert!(said.contains(word), "{code}: {word:?} isn't said: {said}");
        }
        assert!(report["support_code"].as_str().expect("a code").contains(code), "{report:#}");
    };

    let report = ask("https://no-such-name.invalid", &[]);
    expect(&report, "network.name-unknown", &["no-such-name.invalid", "DNS"]);
    let report = ask("https://localhost", &["--proxy", "http://no-such-proxy.invalid:3128"]);
    expect(&report, "network.name-unknown", &["no-such-proxy.invalid", "company's proxy"]);
    let nobody = softhsm_tests::ports::PortLease::one().expect("a port");
    let report = ask(&format!("https://localhost:{}", nobody.port()), &[]);
    expect(&report, "network.refused", &["refused"]);
    let report = ask("https://bank.example", &["--proxy", &format!("http://localhost:{}", nobody.port())]);
    expect(&report, "network.refused", &["company's proxy"]);

    // A network's login page: another name, no TLS at all, or a web page behind a certificate that fits.
    let portal = Stranger::tls(&identity(&["login.hotel.example"]), Answer::WebPage);
    expect(&ask(&portal.url(), &[]), "server.certificate", &["login.hotel.example", "hotel"]);
    let portal = Stranger::plain(Answer::WebPage);
    expect(&ask(&portal.url(), &[]), "server.not-tls", &["encrypt", "login page"]);
    let portal = Stranger::tls(&identity(&["localhost"]), Answer::WebPage);
    expect(&ask(&portal.url(), &[]), "server.web-page", &["web page", "login page"]);
    let portal = Stranger::tls(&identity(&["localhost"]), Answer::Redirect);
    expect(&ask(&portal.url(), &[]), "server.web-page", &["another address"]);
    let stranger = SoftAuthority::new("Somebody's CA").expect("an authority");
    let fraud = Stranger::tls(&stranger.server(&["localhost"]).expect("an identity"), Answer::WebPage);
    expect(&ask(&fraud.url(), &[]), "server.certificate", &["Somebody's CA", "don't go on"]);

    // The clock: out of the certificate's time by this computer's, within it by the server's.
    let then = bank.server_between(&["localhost"], (2020, 2022)).expect("an identity");
    let server = Stranger::tls(&then, Answer::Dated("Tue, 01 Jun 2021 12:00:00 GMT"));
    expect(&ask(&server.url(), &[]), "clock.wrong", &["2021-06-01", "clock"]);
    let server = Stranger::tls(&then, Answer::WebPage);
    expect(&ask(&server.url(), &[]), "server.certificate", &["valid until", "ask the bank"]);
    let later = bank.server_between(&["localhost"], (2040, 2042)).expect("an identity");
    let server = Stranger::tls(&later, Answer::Dated("Fri, 01 Jun 2040 12:00:00 GMT"));
    expect(&ask(&server.url(), &[]), "clock.wrong", &["2040-06-01"]);

    // Proxies with words of their own.
    let through = |proxy: &Stranger| ask("https://bank.example", &["--proxy", &proxy.plain_url()]);
    let proxy = Stranger::plain(Answer::Raw(
        "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n",
    ));
    expect(&through(&proxy), "proxy.authentication", &["NTLM", "Basic"]);
    assert!(proxy.connections() <= 3, "a proxy that answers 407 for ever isn't asked for ever");
    let proxy = Stranger::plain(Answer::Raw("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"));
    expect(&through(&proxy), "proxy.refused", &["403", "permit"]);
    let proxy = Stranger::plain(Answer::Raw("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"));
    expect(&through(&proxy), "proxy.refused", &["503", "can't reach"]);
    let proxy = Stranger::plain(Answer::Raw(
        "HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
    ));
    expect(&through(&proxy), "proxy.refused", &["302", "log in to your network"]);
}

/// Whoever accepts a connection and never comes to an end is given up, told apart by how far it got.
#[test]
fn silence_is_given_up_and_named() {
    let scratch = softhsm_tests::scratch::Scratch::new("proxy-silence").expect("scratch");
    let bank = SoftAuthority::new("Bank's web CA").expect("an authority");
    let ca = scratch.write("ca.pem", bank.certificate()).expect("written").display().to_string();
    // The usual time is a minute.
    let config = scratch.write("agent.toml", "timeout_seconds = 4\n").expect("written").display().to_string();
    let identity = bank.server(&["localhost"]).expect("an identity");
    let ask = |server: &str, more: &[&str]| {
        let mut command = alone(&scratch);
        command
            .args(["--config", &config, "doctor", "--json", "--server", server, "--ca-file", &ca])
            .args(more);
        Run::of(&mut command).json()
    };
    let expect = |report: &Value, code: &str, word: &str| {
        let found = finding(report, code);
        assert!(
            found["what"].as_str().expect("words").contains(word),
            "{code}: {word:?} isn't said: {found}"
        );
        assert!(found["next"].as_str().is_some_and(|next| next.contains("again")), "{found}");
    };
    let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"lowest\"";
    let connects = "HTTP/1.1 200 Connection established\r\n\r\n";
    expect(
        &ask(&Stranger::plain(Answer::Silence).url(), &[]),
        "network.silent",
        "the bank's server localhost",
    );
    expect(&ask(&Stranger::tls(&identity, Answer::Silence).url(), &[]), "server.timeout", "in time");
    expect(&ask(&Stranger::tls(&identity, Answer::Half(half)).url(), &[]), "server.timeout", "in time");
    let through = |answer| ask("https://bank.example", &["--proxy", &Stranger::plain(answer).plain_url()]);
    expect(&through(Answer::Silence), "network.silent", "the company's proxy localhost");
    expect(&through(Answer::Half("HTTP/1.1 200")), "network.silent", "the company's proxy localhost");
    // The proxy does its part.
    expect(&through(Answer::Half(connects)), "network.silent", "the bank's server bank.example");
}

/// An authority of the system's, as a company's inspecting proxy has one, isn't one for the bank.
#[test]
fn what_the_system_trusts_does_not_certify_the_bank() {
    let scratch = softhsm_tests::scratch::Scratch::new("proxy-system-ca").expect("scratch");
    let company = SoftAuthority::new("Hokkai Trading Inspection").expect("an authority");
    let path = scratch.write("company.pem", company.certificate()).expect("written").display().to_string();
    let server = Stranger::tls(&company.server(&["localhost"]).expect("an identity"), Answer::WebPage);
    let url = server.url();
    let subject = openssl(&["x509", "-noout", "-subject", "-in", &path]).expect("a certificate");
    assert!(subject.contains("Inspection"), "{subject}");
    // How programs are told of the system's authorities on Linux.
    let mut command = alone(&scratch);
    command.env("SSL_CERT_FILE", &path).args(["doctor", "--json", "--server", &url]);
    let report = Run::of(&mut command).json();
    let found = finding(&report, "server.certificate");
    assert!(found["what"].as_str().expect("words").contains("Hokkai Trading Inspection"), "{found}");
}
