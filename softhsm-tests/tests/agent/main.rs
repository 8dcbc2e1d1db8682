//! `inro-agent` with virtual YubiKeys behind a real pcscd, against servers that are honest or not.

mod bench;
mod proxies;
mod server;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use ca_wire::problem::Code;
use softhsm_tests::{
    openssl,
    soft_pki::SoftAuthority,
    virtual_yubikey::{Algorithm, Cipher, PinPolicy, Profile, Touch, TouchPolicy},
    yubikey::PluggedYubiKey,
};

use self::{
    bench::{Bench, NEW, OLD, PASSWORD, PIN, Run},
    server::{Manner, Server},
};

#[test]
fn fresh_tokens_of_both_firmwares_live_their_whole_life() {
    let bench = Bench::new(vec![Profile::new(1_111_111, OLD), Profile::new(2_222_222, NEW)]);
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 2, "two tokens, none chosen: {run:?}");
    assert!(run.stderr.contains("1111111") && run.stderr.contains("--token"), "{run:?}");

    for (index, (serial, algorithm, cipher)) in
        [("1111111", Algorithm::Rsa2048, Cipher::TripleDes), ("2222222", Algorithm::P256, Cipher::Aes192)]
            .into_iter()
            .enumerate()
    {
        let saved = bench.path(&format!("{serial}.txt"));
        let run = bench.enroll(&["--token", serial, "--out", &saved]);
        assert_eq!(run.status(), 0, "{serial}: {run:?}");
        let json = run.json();
        assert_eq!(json["certificate"]["user_id"], "hokkai-01");
        assert_eq!(json["token"], serial);
        assert!(run.stderr.contains("Touch the token"), "{serial}: {run:?}");

        let state = bench.keys[index].card().state().clone();
        let slot = &state.slots[&0x9a];
        assert_eq!(slot.key.algorithm(), algorithm);
        assert!(slot.generated);
        assert_eq!((slot.pin_policy, slot.touch_policy), (PinPolicy::Once, TouchPolicy::Cached));
        assert_eq!(state.management_key.cipher, cipher);
        assert!(!state.management_key.is_factory() && !state.pin.is_factory() && !state.puk.is_factory());
        // The flag "management key behind the PIN", where ykman looks for it.
        assert_eq!(state.objects[&0x005f_ff00], [0x80, 3, 0x81, 1, 2]);

        let text = fs::read_to_string(&saved).expect("saved");
        assert!(text.contains("北海 太郎") && text.contains("BEGIN CERTIFICATE"), "{text}");
        let subject = openssl::openssl(&[
            "x509",
            "-in",
            &saved,
            "-noout",
            "-subject",
            "-nameopt",
            "RFC2253,utf8,-esc_msb",
        ]);
        assert!(subject.expect("openssl reads it").contains("UID=hokkai-01"));
    }
    list_and_tokens_show_them(&bench);
    erasing_leaves_nothing_usable(&bench);
}

fn list_and_tokens_show_them(bench: &Bench) {
    let list = Run::of(&mut bench.agent(&["list", "--json"])).json();
    let certificates = list["certificates"].as_array().expect("a list");
    assert_eq!(certificates.len(), 2, "{list}");
    assert_eq!(certificates[0]["state"], "valid");
    assert!(certificates[0]["days_left"].as_i64().expect("a number") > 300);
    let japanese = Run::of(&mut bench.agent(&["list", "--lang", "ja"]));
    assert!(japanese.stdout.contains("有効期限") && japanese.stdout.contains("北海 太郎"), "{japanese:?}");

    let tokens = Run::of(&mut bench.agent(&["tokens", "--json"])).json();
    let first = &tokens["readers"][0]["token"];
    assert_eq!((first["serial"].as_str(), first["firmware"].as_str()), (Some("1111111"), Some("5.4.3")));
    assert_eq!(first["pin"]["factory"], false);
    assert_eq!(first["slots"][0]["key"]["algorithm"], "rsa2048");
}

fn erasing_leaves_nothing_usable(bench: &Bench) {
    let pin = bench.path("pin");
    for (serial, index) in [("1111111", 0), ("2222222", 1)] {
        let erase = ["erase", "--json", "--token", serial, "--slot", "9a", "--pin-file", &pin];
        let before = bench.keys[index].card().state().slots[&0x9a].clone();
        // No terminal and no --yes: nobody agreed.
        let run = Run::of(&mut detached(&mut bench.agent(&erase)));
        assert_eq!(run.status(), 8, "{run:?}");
        let run = Run::of(bench.agent(&erase).arg("--yes"));
        assert_eq!((run.status(), &run.json()["erased"]), (0, &true.into()), "{run:?}");
        let state = bench.keys[index].card().state().clone();
        let key = state.slots.get(&0x9a).map(|slot| format!("{:?}", slot.key.algorithm()));
        let old = format!("{:?}", before.key.algorithm());
        assert_ne!(key, Some(old), "{serial}: the key is gone or another");
        assert!(state.objects.get(&0x005f_c105).is_none_or(Vec::is_empty), "{serial}: no certificate");
        let again = Run::of(bench.agent(&erase).arg("--yes")).json();
        assert_eq!(again["erased"], false, "{serial}: nothing is left to erase");
    }
    let list = Run::of(&mut bench.agent(&["list", "--json"])).json();
    assert_eq!(list["certificates"], serde_json::json!([]));
}

#[test]
fn hostile_servers_get_nothing_and_change_nothing() {
    let bench = Bench::one(NEW);
    let cases = [
        (Manner::Redirects, 6, "points to another address"),
        (Manner::WebPages, 6, "A web page came in place of the bank's answer"),
        (Manner::Fails, 6, "not that of the bank's service"),
        (Manner::Floods, 6, "larger than"),
        (Manner::WantsNewerAgents, 5, "https://bank.example/agent"),
    ];
    for (manner, status, words) in cases {
        bench.server.bank.behave(manner.clone());
        let run = bench.enroll(&[]);
        assert_eq!(run.status(), status, "{manner:?}: {run:?}");
        assert!(run.stderr.contains(words), "{manner:?}: {run:?}");
        bench.assert_untouched(&format!("{manner:?}"));
        assert_eq!(bench.record(), None, "{manner:?}");
    }
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = plain.local_addr().expect("an address").port();
    let run = Run::of(&mut bench.enroll_command(&format!("http://localhost:{port}"), &[]));
    assert_eq!(run.status(), 2, "plain HTTP: {run:?}");
    plain.set_nonblocking(true).expect("set");
    assert!(plain.accept().is_err(), "plain HTTP isn't even tried");
    bench.assert_untouched("plain HTTP");
}

#[test]
fn servers_that_are_not_the_bank_s_are_not_spoken_to() {
    let bench = Bench::one(NEW);
    let stranger = SoftAuthority::new("Public web CA").expect("an authority");
    let impostors = [
        ("a wrong name", bench.tls.server(&["evil.example"]).expect("an identity"), "is for evil.example"),
        (
            "an authority of the same name",
            stranger.server(&["localhost"]).expect("an identity"),
            "could not prove that it is the bank's",
        ),
    ];
    for (what, identity, words) in impostors {
        let impostor = Server::start(&identity);
        let run = Run::of(&mut bench.enroll_command(&impostor.url(), &[]));
        assert_eq!(run.status(), 6, "{what}: {run:?}");
        assert!(run.stderr.contains(words), "{what}: {run:?}");
        bench.assert_untouched(what);
    }
    // Without --ca-file those of the public web decide, which don't know ours.
    let (password, pin) = (bench.path("password"), bench.path("pin"));
    let mut command = bench.agent(&["enroll", "--server", &bench.server.url(), "--user", "hokkai-01"]);
    command.args(["--password-file", &password, "--new-pin-file", &pin]);
    let run = Run::of(&mut command);
    assert_eq!(run.status(), 6, "{run:?}");
    bench.assert_untouched("the public web's authorities");
}

#[test]
fn certificates_that_are_not_right_are_not_written() {
    for manner in
        [Manner::CertifiesAnotherKey, Manner::CertifiesAnotherUser, Manner::LongChain, Manner::RubbishChain]
    {
        let bench = Bench::one(NEW);
        bench.server.bank.behave(manner.clone());
        let run = bench.enroll(&[]);
        assert_eq!(run.status(), 6, "{manner:?}: {run:?}");
        assert!(run.stderr.contains("was not written"), "{manner:?}: {run:?}");
        assert!(!bench.state().objects.contains_key(&0x005f_c105), "{manner:?}: nothing written");
        assert_eq!(bench.server.bank.confirmed(), 0, "{manner:?}: nothing confirmed");
    }
}

#[test]
fn refusals_are_explained_in_both_languages() {
    let bench = Bench::one(NEW);
    bench.server.bank.behave(Manner::Refuses(Code::OutsideHours));
    let english = bench.enroll(&[]);
    assert_eq!(english.status(), 5, "{english:?}");
    let error = english.error();
    assert_eq!((error["code"].as_str(), error["resumable"].as_bool()), (Some("outside-hours"), Some(true)));
    assert_eq!(error["retry_at"], "2026-11-24T00:00:00Z");
    assert!(
        english.stderr.contains("9:00 to 21:00") || english.stderr.contains("9:00 and 21:00"),
        "{english:?}"
    );
    assert!(english.stderr.contains("support-4711") && english.stderr.contains("2026-11-2"), "{english:?}");

    let japanese = bench.enroll(&["--lang", "ja"]);
    assert!(japanese.stderr.contains("銀行営業日") && japanese.stderr.contains("受付番号"), "{japanese:?}");

    bench.server.bank.behave(Manner::Honest);
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "when the bank opens");
}

#[test]
fn a_wrong_password_is_refused_before_anything_happens_on_the_token() {
    let bench = Bench::one(NEW);
    bench.scratch.write("password", "wrong").expect("written");
    let run = bench.enroll(&[]);
    assert_eq!(
        (run.status(), run.error()["code"].as_str().map(str::to_owned)),
        (5, Some("authentication-failed".to_owned()))
    );
    bench.assert_untouched("a wrong password");
    assert_eq!(bench.record(), None);
}

#[test]
fn a_token_swapped_half_way_is_noticed_and_the_enrolment_kept() {
    let mut bench = Bench::one(NEW);
    let mine = Arc::new(bench.keys.remove(0));
    let other = Arc::new(Mutex::new(None));
    let swap = {
        let (mine, other) = (mine.clone(), other.clone());
        let card = softhsm_tests::virtual_yubikey::Card::new(
            Profile::new(9_999_999, NEW),
            bench.roots.authority(NEW),
            None,
        );
        let card = card.expect("a card");
        let pcscd = &bench.pcscd;
        thread::scope(|scope| {
            let (swap, wanted) = mpsc::channel::<mpsc::Sender<()>>();
            bench.server.bank.interlude(Box::new(move || {
                let (done, wait) = mpsc::channel();
                swap.send(done).expect("asked");
                wait.recv().expect("swapped");
            }));
            let agent = scope.spawn(|| bench.enroll(&["--token", "7654321"]));
            let done = wanted.recv().expect("asked");
            mine.eject().expect("ejected");
            let plugged = PluggedYubiKey::plug_card(pcscd, 0, card).expect("plugged in");
            *other.lock().expect("unpoisoned") = Some(plugged);
            done.send(()).expect("told");
            agent.join().expect("the agent ran")
        })
    };
    assert_eq!(swap.status(), 7, "{swap:?}");
    assert!(swap.stderr.contains("7654321 is not connected"), "{swap:?}");
    let stranger = other.lock().expect("unpoisoned").take().expect("plugged in");
    assert!(!stranger.state().objects.contains_key(&0x005f_c105), "nothing on the other token");
    stranger.eject().expect("ejected");
    drop(stranger);
    mine.insert().expect("inserted");
    bench.keys.push(Arc::into_inner(mine).expect("the only one"));
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "with the right token again");
}

#[test]
fn no_secret_is_in_the_log_the_arguments_the_environment_or_the_record_and_no_port_is_open() {
    let bench = Bench::one(NEW);
    let (sender, receiver) = mpsc::channel();
    bench.server.bank.interlude(Box::new(move || {
        sender.send(agents_by_argument("hokkai-01")).expect("told");
    }));
    let mut command = bench.enroll_command(&bench.server.url(), &[]);
    command.env("RUST_LOG", "trace,yubikey=trace,pcsc=trace,hyper=trace,reqwest=trace,rustls=trace,h2=trace");
    let run = Run::of(&mut command);
    bench.assert_done(&run, "with a talkative log");
    let processes = receiver.recv().expect("looked at");
    assert!(!processes.is_empty(), "the agent was seen while it ran");
    let everything = format!("{}{}{}", run.stdout, run.stderr, processes.concat());
    let octets = format!("{:?}", PIN.as_bytes());
    let inner = octets.trim_matches(['[', ']']);
    for secret in [PIN, PASSWORD, inner, &hex::encode(PIN), "the-bearer"] {
        assert!(!everything.contains(secret), "{secret} was shown: {everything}");
    }
    assert!(run.stderr.contains("inro_agent"), "the agent's own log is there");
    assert!(!run.stderr.contains("yubikey::"), "no other log is");
}

/// Command line and environment of every process with this argument, and the sockets that it listens on.
fn agents_by_argument(argument: &str) -> Vec<String> {
    let listening = listening_inodes();
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|process| {
            let command = fs::read_to_string(process.path().join("cmdline")).ok()?;
            let agent = command.contains("inro-agent\0") && command.contains(argument);
            let environment = fs::read_to_string(process.path().join("environ")).ok().filter(|_| agent)?;
            for descriptor in fs::read_dir(process.path().join("fd")).ok()?.flatten() {
                let target = fs::read_link(descriptor.path()).unwrap_or_default();
                let target = target.display().to_string();
                let open = listening.iter().any(|inode| target == format!("socket:[{inode}]"));
                assert!(!open, "the agent listens");
            }
            Some(command + &environment)
        })
        .collect()
}

fn listening_inodes() -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|table| {
            let table = fs::read_to_string(table).unwrap_or_default();
            let rows = table.lines().skip(1).map(|row| row.split_whitespace().map(str::to_owned).collect());
            rows.collect::<Vec<Vec<String>>>()
        })
        .filter(|row| row.get(3).is_some_and(|state| state == "0A"))
        .filter_map(|row| row.get(9).cloned())
        .collect()
}

#[test]
fn the_record_of_an_interrupted_enrolment_holds_no_secret() {
    let bench = Bench::one(NEW);
    bench.server.bank.behave(Manner::Breaks { request: 2, after: true });
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 7, "{run:?}");
    let record = bench.record().expect("a record");
    assert!(record.contains("hokkai-01") && record.contains("idempotency_key"), "{record}");
    for secret in [PIN, PASSWORD, "the-bearer"] {
        assert!(!record.contains(secret), "{record}");
    }
}

#[test]
fn wrong_and_blocked_pins_are_told_and_use_one_try_each() {
    let bench = Bench::one(NEW);
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "at once");
    bench.scratch.write("pin", "000000").expect("written");
    for left in [2, 1, 0] {
        let run = bench.enroll(&["--slot", "9c"]);
        assert_eq!((run.status(), bench.state().pin.left), (4, left), "{run:?}");
    }
    let run = bench.enroll(&["--slot", "9c"]);
    assert_eq!(run.status(), 4, "{run:?}");
    assert!(run.stderr.contains("blocked") && run.stderr.contains("PUK"), "{run:?}");
    let tokens = Run::of(&mut bench.agent(&["tokens", "--json"])).json();
    assert_eq!(tokens["readers"][0]["token"]["pin"]["blocked"], true);
}

#[test]
fn an_occupied_slot_needs_consent_and_a_weak_pin_another() {
    let bench = Bench::one(NEW);
    bench.scratch.write("pin", "111111").expect("written");
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 4, "{run:?}");
    bench.assert_untouched("a weak PIN");
    bench.scratch.write("pin", PIN).expect("written");
    bench.configure("pin_min_length = 8");
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 4, "{run:?}");
    assert!(run.stderr.contains("A PIN has 8 characters here"), "{run:?}");
    bench.assert_untouched("a PIN that is shorter than the company wants it");
    bench.configure("");
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "with a good PIN");

    let before = bench.state().objects;
    let mut command = bench.enroll_command(&bench.server.url(), &[]);
    let run = Run::of(&mut detached(&mut command));
    assert_eq!(run.status(), 8, "{run:?}");
    assert_eq!(bench.state().objects, before, "nothing was written");
    let run = bench.enroll(&["--overwrite"]);
    assert_eq!((run.status(), bench.server.bank.issued()), (0, 2), "{run:?}");
}

/// The same without a controlling terminal, so that nobody can be asked.
fn detached(command: &mut std::process::Command) -> std::process::Command {
    let mut setsid = std::process::Command::new("setsid");
    setsid.arg("--wait").arg(command.get_program()).args(command.get_args()).env_clear();
    setsid.env("PATH", "/usr/bin:/bin");
    setsid.envs(command.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    setsid
}

#[test]
fn secrets_are_asked_for_at_the_terminal_without_echo() {
    let bench = Bench::one(NEW);
    let (ca, server) = (bench.path("ca.pem"), bench.server.url());
    let agent = bench.agent(&["enroll", "--server", &server, "--user", "hokkai-01", "--ca-file", &ca]);
    let words = std::iter::once(agent.get_program()).chain(agent.get_args());
    let line = words.map(|word| format!("'{}'", word.to_string_lossy())).collect::<Vec<_>>().join(" ");
    // script(1) gives it a terminal.
    let mut command = std::process::Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.envs(agent.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script(1) runs");
    let (mut keyboard, mut screen) =
        (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let mut shown = String::new();
    // The second PIN differs once, so both are asked again.
    let answers = [
        ("Login password: ", PASSWORD),
        ("New PIN (6 to 8 characters): ", PIN),
        ("New PIN again: ", "862916"),
        ("New PIN (6 to 8 characters): ", PIN),
        ("New PIN again: ", PIN),
    ];
    for (prompt, answer) in answers {
        read_until(&mut screen, &mut shown, prompt);
        keyboard.write_all(format!("{answer}\n").as_bytes()).expect("typed");
        shown.push_str("<typed>");
    }
    screen.read_to_string(&mut shown).expect("read to the end");
    assert!(child.wait().expect("it ends").success(), "{shown}");
    assert!(shown.contains("The two are not the same"), "{shown}");
    assert!(shown.contains("The certificate is on token 7654321"), "{shown}");
    for secret in [PIN, PASSWORD, "862916"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Reads until what is new ends with `prompt`.
fn read_until(screen: &mut impl Read, shown: &mut String, prompt: &str) {
    let mut octets = Vec::new();
    let mut octet = [0];
    while !octets.ends_with(prompt.as_bytes()) {
        let read = screen.read(&mut octet).expect("readable");
        assert_ne!(read, 0, "{prompt:?} never came: {shown}{}", String::from_utf8_lossy(&octets));
        octets.push(octet[0]);
    }
    shown.push_str(&String::from_utf8_lossy(&octets));
}

#[test]
fn a_descriptor_carries_a_secret_too() {
    let bench = Bench::one(NEW);
    let (ca, pin, server) = (bench.path("ca.pem"), bench.path("pin"), bench.server.url());
    let arguments = ["enroll", "--json", "--server", &server, "--user", "hokkai-01", "--ca-file", &ca];
    let mut command = bench.agent(&arguments);
    command.args(["--password-fd", "0", "--new-pin-file", &pin]);
    let output = softhsm_tests::process::output_of(&mut command, format!("{PASSWORD}\n").as_bytes());
    let run = Run::from(output.expect("the agent runs"));
    bench.assert_done(&run, "with a descriptor");
}

#[test]
fn nobody_touching_the_token_is_a_clear_failure_that_resumes() {
    let mut profile = Profile::new(7_654_321, NEW);
    profile.touch = Touch::Never;
    let bench = Bench::new(vec![profile]);
    let run = bench.enroll(&[]);
    assert_eq!((run.status(), run.error()["resumable"].as_bool()), (3, Some(true)), "{run:?}");
    assert_eq!(bench.server.bank.issued(), 0);
}

#[test]
fn without_a_token_or_a_smart_card_service_the_agent_says_so() {
    let bench = Bench::new(Vec::new());
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 3, "{run:?}");
    assert!(run.stderr.contains("No token is connected"), "{run:?}");
    let mut command = bench.enroll_command(&bench.server.url(), &[]);
    let run = Run::of(command.env("PCSCLITE_CSOCK_NAME", "/nonexistent/comm"));
    assert_eq!(run.status(), 3, "{run:?}");
    assert!(run.stderr.contains("smart-card service"), "{run:?}");
}
