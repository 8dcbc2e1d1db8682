//! A signer whose PIN is kept by custodians: it waits for them, keeps the PIN through everything but its own end, and
//! never tries one that is over.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use signer_protocol::client::Client;
use softhsm_tests::{
    bank::{Bank, Options},
    binaries,
    process::{Process, output_of, run},
    simulated_hsm::{Settings, SimulatedHsm},
    softhsm::SoftHsm,
};

use crate::rig::{DEADLINE, Ended, Rig, files_below};

const THREE: [&str; 3] = ["alice", "bob", "carol"];
const WAITS: &str = "waiting for custodians: 0 of 2";

/// A bank whose online token's PIN is kept by custodians, and whose signer isn't started. Logins are counted between
/// signer and token.
struct Guarded {
    bank: Bank,
    hsm: SimulatedHsm,
    rig: Rig,
    tokens: SoftHsm,
}

impl Guarded {
    fn new() -> Self {
        let rig = Rig::new();
        let bank = Bank::prepare(&rig.path("bank"), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        let tokens = SoftHsm::new(&bank.path("hsm/online")).expect("there");
        let plan = rig.plan("online-pin", "user", &tokens, "inro-online", &THREE);
        rig.proven_set("set", &plan, &THREE);
        let present = bank.secret("online-pin").display().to_string();
        rig.with(&["switch", "set", "--present-pin-file", &present], &["alice", "bob"]).done();
        fs::remove_file(present).expect("nobody needs it");
        let hsm = SimulatedHsm::in_front_of(&bank, Settings::AT_ONCE, 4).expect("between");
        let guarded = Self { bank, hsm, rig, tokens };
        guarded.configure(rustix::process::getuid().as_raw());
        guarded
    }

    fn configure(&self, uid: u32) {
        let set = self.rig.path("set").display().to_string();
        let change = |table: &mut toml::Table| {
            let token = table.get_mut("token").and_then(toml::Value::as_table_mut).expect("[token]");
            token.remove("pin_file");
            token.insert("pin_custody".to_owned(), set.into());
            let custody = toml::toml! { socket = "signer/custody" };
            table.insert("custody".to_owned(), custody.into());
            let custody = table.get_mut("custody").and_then(toml::Value::as_table_mut).expect("[custody]");
            custody.insert("allowed_uids".to_owned(), toml::Value::Array(vec![i64::from(uid).into()]));
            Ok(())
        };
        self.bank.reconfigure_signer(change).expect("signer.toml");
    }

    fn spawn(&self, name: &str) -> Process {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.arg("signer").arg("--config").arg(self.bank.path("signer.toml")).env("RUST_LOG", "debug");
        Process::spawn(name, &mut command, &self.bank.path("logs")).expect("started")
    }

    fn socket(&self) -> String {
        self.bank.path("signer/custody").display().to_string()
    }

    fn client(&self) -> Client {
        Client::new(self.bank.path("signer/socket")).with_deadline(DEADLINE)
    }

    fn unlock(&self, custodians: &[&str]) -> Ended {
        self.rig.with(&["unlock", "set", "--signer", &self.socket()], custodians)
    }

    fn status(&self) -> Ended {
        self.rig.custody(&["status", "--signer", &self.socket(), "--json"])
    }

    fn latch(&self) -> String {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.args(["latch", "show", "--config"]).arg(self.bank.path("signer.toml"));
        run(&mut command).expect("shown")
    }

    fn logins(&self) -> u64 {
        self.hsm.logins().unwrap_or(0)
    }
}

fn standing(ended: &Ended) -> (bool, Vec<Value>) {
    let standing = &ended.json()[0];
    (standing["open"].as_bool().expect("open"), standing["given"].as_array().expect("given").clone())
}

fn kill_worker(hsm: &SimulatedHsm) {
    let process = hsm.status().expect("loaded").process;
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::KILL).expect("killed");
}

/// Waits until the text stands in the log once more than `before` times.
fn wait_for_another(signer: &mut Process, text: &str, before: usize) {
    let more = |process: &Process| Ok(process.log().matches(text).count() > before);
    signer.wait_until(&format!("another {text:?}"), DEADLINE, more).expect(text);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_custodians_and_keeps_the_pin_until_its_own_end() {
    let guarded = Guarded::new();
    let mut signer = guarded.spawn("signer");
    signer.wait_for_log(WAITS, DEADLINE).expect("it says so");
    assert_eq!(standing(&guarded.status().needs_more()), (false, Vec::new()));
    signer
        .wait_until("its socket", DEADLINE, |_| Ok(guarded.bank.path("signer/socket").exists()))
        .expect("up");
    let health = guarded.client().status().await.expect("answers");
    assert!(!health.healthy);
    let troubles: Vec<_> = health.keys.iter().filter_map(|(_, trouble)| trouble.clone()).collect();
    assert!(
        troubles.iter().all(|trouble| trouble.contains("waiting for custodians: 0 of 2")),
        "{troubles:?}"
    );

    guarded.unlock(&["alice"]).needs_more();
    // The same share again is no second one.
    guarded.unlock(&["alice"]).needs_more();
    assert_eq!(standing(&guarded.status().needs_more()), (false, vec!["alice".into()]));
    assert_eq!(guarded.logins(), 0);
    guarded.unlock(&["carol"]).done();
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
    assert!(guarded.client().status().await.expect("answers").healthy);
    guarded.status().done();

    // A crash of the worker needs nobody.
    for round in 1..=3 {
        kill_worker(&guarded.hsm);
        wait_for_another(&mut signer, "the worker is ready", round);
    }
    assert!(guarded.client().status().await.expect("answers").healthy);

    // An end of the signer needs them again.
    assert!(signer.terminate(DEADLINE).expect("ended").success());
    assert!(!guarded.bank.path("signer/custody").exists());
    let logins = guarded.logins();
    let mut again = guarded.spawn("again");
    again.wait_for_log(WAITS, DEADLINE).expect("it waits");
    assert_eq!(guarded.logins(), logins);
    guarded.unlock(&["bob", "alice"]).done();
    again.wait_for_log("signer ready", DEADLINE).expect("ready");
    // Likewise when it was killed.
    again.kill().expect("killed");
    let mut last = guarded.spawn("last");
    last.wait_for_log(WAITS, DEADLINE).expect("it waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_resplit_it_tries_no_pin_that_is_over() {
    let guarded = Guarded::new();
    let rig = &guarded.rig;
    let mut signer = guarded.spawn("signer");
    signer.wait_for_log("waiting for custodians", DEADLINE).expect("it waits");
    guarded.unlock(&["alice", "bob"]).done();
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
    run(Command::new("cp").arg("-a").arg(rig.path("set")).arg(rig.path("carols"))).expect("copied");

    let four = ["alice", "bob", "dave"];
    let plan = rig.plan("online-pin", "user", &guarded.tokens, "inro-online", &four).display().to_string();
    let files = rig.passphrases(&four);
    let mut resplit = vec!["resplit", "set", "--plan", &plan];
    resplit.extend(files.iter().map(String::as_str));
    rig.custody(&resplit).needs_more();
    rig.with(&["prove", "set"], &four).done();
    rig.with(&["switch", "set"], &["bob", "alice"]).done();
    // It signs on, but a worker that is lost now needs the new PIN: it isn't tried with the old one.
    let (logins, waits) = (guarded.logins(), signer.log().matches(WAITS).count());
    kill_worker(&guarded.hsm);
    wait_for_another(&mut signer, WAITS, waits);
    assert_eq!(guarded.logins(), logins);
    assert!(guarded.latch().contains("not set"), "no try was spent");

    // Shares of the generation before are named.
    let told = rig.with(&["unlock", "carols", "--signer", &guarded.socket()], &["carol"]);
    told.failed("the share of custodian \"carol\" belongs to generation 1, this set is generation 2");
    guarded.unlock(&["dave", "alice"]).done();
    wait_for_another(&mut signer, "the worker is ready", 1);
    assert_eq!(guarded.logins(), logins + 1);

    // Given the new shares at the switch itself, it never waits.
    rig.custody(&resplit).needs_more();
    rig.with(&["prove", "set"], &four).done();
    let socket = guarded.socket();
    rig.with(&["switch", "set", "--signer", &socket], &["bob", "dave"]).done();
    let waits = signer.log().matches(WAITS).count();
    kill_worker(&guarded.hsm);
    wait_for_another(&mut signer, "the worker is ready", 2);
    assert_eq!(signer.log().matches(WAITS).count(), waits);
    assert!(guarded.client().status().await.expect("answers").healthy);
}

#[test]
fn what_is_no_share_of_this_set_opens_nothing_and_is_named() {
    let guarded = Guarded::new();
    let mut signer = guarded.spawn("signer");
    signer.wait_for_log(WAITS, DEADLINE).expect("it waits");
    let shares = guarded.rig.path("set/generation-1");
    let sealed = fs::read_to_string(shares.join("alice.pem")).expect("sealed");
    let changed = sealed.replacen(&sealed[200..204], "AAAA", 1);
    fs::write(shares.join("alice.pem"), changed).expect("written");
    guarded.unlock(&["alice"]).failed("is not the file that was written");
    fs::write(shares.join("alice.pem"), sealed).expect("written");

    // A set of the same plan for the same token, made elsewhere.
    let plan = guarded.rig.plan("online-pin", "user", &guarded.tokens, "inro-online", &THREE);
    guarded.rig.proven_set("forged", &plan, &THREE);
    let document = fs::read_to_string(guarded.rig.path("forged/set.json")).expect("set.json");
    let mut document: Value = serde_json::from_str(&document).expect("JSON");
    document["current"] = document["next"].take();
    fs::write(guarded.rig.path("forged/set.json"), document.to_string()).expect("written");
    let socket = guarded.socket();
    let forged = guarded.rig.with(&["unlock", "forged", "--signer", &socket], &["alice"]);
    forged.failed("belongs to another set");

    guarded.unlock(&["alice"]).needs_more();
    // The threshold was lowered after the set was made: both shares are right, and still nothing opens.
    let file = guarded.rig.path("set/set.json");
    let original = fs::read_to_string(&file).expect("set.json");
    fs::write(&file, original.replace("\"name\": \"carol\"", "\"name\": \"mallory\"")).expect("written");
    guarded.unlock(&["bob"]).failed("was changed after it was made");
    fs::write(&file, original).expect("written");
    assert_eq!(guarded.logins(), 0, "no login was tried with any of it");
    guarded.unlock(&["alice", "bob"]).done();
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
}

#[test]
fn a_stranger_gives_no_share() {
    let guarded = Guarded::new();
    guarded.configure(rustix::process::getuid().as_raw() + 4711);
    let mut signer = guarded.spawn("signer");
    signer.wait_for_log(WAITS, DEADLINE).expect("it waits");
    guarded.unlock(&["alice"]).failed("no signer takes shares at");
    signer.wait_for_log("this user may give no shares: refused", DEADLINE).expect("it says so");
    assert_eq!(fs::metadata(guarded.socket()).expect("there").permissions().mode() & 0o777, 0o660);
}

#[test]
fn a_token_whose_pin_was_changed_behind_its_custodians_is_tried_once() {
    let guarded = Guarded::new();
    let pin = guarded.rig.look_inside("set", &["alice", "bob"]);
    let mut change = Command::new("pkcs11-tool");
    change.arg("--module").arg(guarded.tokens.module()).args([
        "--token-label",
        "inro-online",
        "--login",
        "--pin",
        &pin,
    ]);
    change.args(["--change-pin", "--new-pin", "changed-by-hand"]).envs(guarded.tokens.environment());
    run(&mut change).expect("changed");
    for round in 0..3 {
        let mut signer = guarded.spawn(&format!("signer-{round}"));
        if round == 0 {
            signer.wait_for_log(WAITS, DEADLINE).expect("it waits");
            guarded.unlock(&["alice", "carol"]).done();
        }
        signer.wait_for_log("signer locked out", DEADLINE).expect("locked out");
        assert_eq!(guarded.logins(), 1, "round {round}");
        assert!(!signer.log().contains(&pin));
    }
    assert!(guarded.latch().contains("set at"));
}

#[test]
fn the_pin_is_in_no_log_argument_environment_or_file_and_its_memory_is_locked() {
    let guarded = Guarded::new();
    let mut signer = guarded.spawn("signer");
    signer.wait_for_log("waiting for custodians", DEADLINE).expect("it waits");
    guarded.unlock(&["alice", "bob"]).done();
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
    let pin = guarded.rig.look_inside("set", &["alice", "bob"]);
    let worker = guarded.hsm.status().expect("loaded").process;
    for process in [signer.id(), worker] {
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{process}/{file}")).expect("readable");
            assert!(!String::from_utf8_lossy(&text).contains(&pin), "{file} of {process}");
        }
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("readable");
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
        assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", signer.id())).expect("readable");
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("a line");
    assert_ne!(locked.trim(), "0 kB");
    assert!(!signer.log().contains(&pin));
    for folder in [guarded.bank.path("signer"), guarded.bank.path("logs"), guarded.rig.path("set")] {
        for (path, text) in files_below(&folder) {
            assert!(!text.contains(&pin), "{}", path.display());
        }
    }
    no_core_file(&mut signer, &guarded.bank.path("logs"));
}

/// Killed by a signal that usually leaves one.
fn no_core_file(signer: &mut Process, folder: &Path) {
    signer.signal(Signal::ABORT).expect("signalled");
    let status = signer.wait(DEADLINE).expect("ended");
    assert_eq!((status.signal(), status.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    let cores = fs::read_dir(folder).expect("readable").flatten();
    assert!(cores.into_iter().all(|entry| !entry.file_name().to_string_lossy().starts_with("core")));
}

#[test]
fn the_configuration_is_told_what_custody_needs() {
    let guarded = Guarded::new();
    let check = || {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.args(["signer", "--check", "--config"]).arg(guarded.bank.path("signer.toml"));
        let output = output_of(&mut command, b"").expect("ran");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check().0, "{}", check().1);
    let adjust = |change: fn(&mut toml::Table)| {
        guarded
            .bank
            .reconfigure_signer(|table| {
                change(table);
                Ok(())
            })
            .expect("signer.toml");
    };
    // Another token's PIN would cost a try; two tokens with one set would leave one waiting for ever.
    let original = fs::read(guarded.bank.path("signer.toml")).expect("signer.toml");
    adjust(|table| {
        let token = table.get_mut("token").and_then(toml::Value::as_table_mut).expect("[token]");
        token.insert("label".to_owned(), "inro-other".into());
    });
    let told = check().1;
    assert!(told.contains("keeps the user PIN of the token with label \"inro-online\""), "{told}");
    fs::write(guarded.bank.path("signer.toml"), &original).expect("written");
    adjust(|table| {
        let token = table.remove("token").expect("[token]");
        let named = |name: &str| {
            let mut token = token.clone();
            let keys = token.as_table_mut().expect("a table");
            keys.insert("name".to_owned(), name.into());
            let environment = keys.get_mut("environment").and_then(toml::Value::as_table_mut);
            environment.expect("environment").insert("HSM".to_owned(), name.into());
            token
        };
        table.insert("token".to_owned(), vec![named("hsm-1"), named("hsm-2")].into());
    });
    assert!(check().1.contains("the custody set of token \"hsm-1\" as well"), "{}", check().1);
    fs::write(guarded.bank.path("signer.toml"), &original).expect("written");
    adjust(|table| {
        table.remove("custody");
    });
    assert!(check().1.contains("add a [custody] table"), "{}", check().1);
    adjust(|table| {
        let token = table.get_mut("token").and_then(toml::Value::as_table_mut).expect("[token]");
        token.insert("pin".to_owned(), "protected-path".into());
    });
    assert!(check().1.contains("give one of pin_file, pin_credential, pin_custody"), "{}", check().1);
}
