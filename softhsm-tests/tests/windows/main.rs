//! The agent's installer and program for Windows, under Wine: installed silently, an enrolment on a virtual YubiKey
//! through pcscd at the real authority, under an administrator's policy, the window's picture, uninstalled without a trace
//! but what the administrator put there. `make test-windows` prepares what it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, Desk, NewUser, Options, TOKEN_PIN},
    process::{Process, run},
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

const TOKEN: u32 = 32_000_001;
const DEADLINE: Duration = Duration::from_mins(2);

/// A Windows computer at a customer's desk. Fields drop in this order.
struct Computer {
    desk: Desk,
    bank: Bank,
    scratch: Scratch,
}

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the project")
}

/// How Windows names a file of this computer.
fn drive(path: &Path) -> String {
    format!("Z:{}", path.display())
}

impl Computer {
    fn new() -> Self {
        let scratch = Scratch::new("windows").expect("scratch");
        let bank = Bank::open(&scratch.join("bank"), &Options::default()).expect("a bank");
        bank.register_contract("1234567", "北海商事").expect("a contract");
        let user = NewUser {
            id: "hokkai-01",
            contract: "1234567",
            role: "general",
            name: "北海 太郎",
            token: Some(TOKEN),
        };
        bank.register_user(&user).expect("a user");
        let profile = Profile::new(TOKEN, Firmware(5, 7, 2));
        let desk = Desk::new(&scratch.join("desk"), bank.attestation(), vec![profile]).expect("a desk");
        let computer = Self { desk, bank, scratch };
        run(&mut computer.command(&["wineboot", "--init"])).expect("Windows");
        computer
    }

    /// A command where Wine is.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(tree().join("token-agent/packaging/windows/inside.sh"));
        command.arg(tree().join("target/windows/trixie")).arg(self.scratch.path());
        command.args(["env", "WINEDEBUG=-all", "LANG=C.UTF-8"]);
        command.arg(format!("HOME={}", self.scratch.path().display()));
        command.arg(format!("WINEPREFIX={}", self.prefix().display()));
        command.args(self.desk.pcscd.environment().iter().map(|(name, value)| format!("{name}={value}")));
        command.args(words);
        command
    }

    fn prefix(&self) -> PathBuf {
        self.scratch.join("wine")
    }

    fn drive_c(&self, path: &str) -> PathBuf {
        self.prefix().join("drive_c").join(path)
    }

    fn file(&self, path: &Path, name: &str) -> String {
        let copy = self.scratch.join(name);
        fs::copy(path, &copy).expect("copied");
        drive(&copy)
    }

    /// The installed program.
    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["wine", r"C:\Program Files\Inro Agent\inro-agent.exe"]);
        command.args(arguments);
        command
    }
}

/// Names below a folder that speak of the agent.
fn traces(folder: &Path) -> Vec<String> {
    let mut command = Command::new("find");
    let found = run(command.arg(folder).args(["-iname", "*inro*", "-o", "-name", "*.lnk"]));
    found.expect("searched").lines().map(str::to_owned).collect()
}

impl Computer {
    fn install(&self) {
        let setup = format!("inro-agent-{}-x64-setup.exe", env!("CARGO_PKG_VERSION"));
        let setup = self.file(&tree().join("target/packages").join(setup), "setup.exe");
        run(&mut self.command(&["wine", &setup, "/S"])).expect("installed");
    }

    /// What is left afterwards.
    fn uninstall(&self) -> Vec<String> {
        let uninstall = r"C:\Program Files\Inro Agent\uninstall.exe";
        // The last word keeps it from running in a copy of its own that nobody waits for.
        let words = ["wine", uninstall, "/S", r"_?=C:\Program Files\Inro Agent"];
        run(&mut self.command(&words)).expect("uninstalled");
        let registry = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall\InroAgent";
        run(&mut self.command(&["wine", "reg", "query", registry, "/reg:64"])).expect_err("no entry");
        let program = self.drive_c("Program Files/Inro Agent");
        let files: Vec<_> = fs::read_dir(&program).into_iter().flatten().flatten().collect();
        // What runs can't delete itself; its copy would.
        assert!(files.iter().all(|file| file.file_name() == "uninstall.exe"), "{files:?}");
        let mut left = traces(&self.drive_c(""));
        // The record of enrolments is the user's.
        left.retain(|path| !path.ends_with("Inro Agent") && !path.contains("/users/"));
        left
    }
}

#[test]
fn the_installer_the_program_and_the_window_work_and_uninstalling_leaves_nothing() {
    let computer = Computer::new();
    computer.install();
    let shortcut =
        computer.drive_c("ProgramData/Microsoft/Windows/Start Menu/Programs/Certificate agent.lnk");
    assert!(shortcut.exists(), "{:#?}", traces(&computer.drive_c("")));
    for example in ["agent.toml", "policy.toml"] {
        let text = fs::read_to_string(computer.drive_c("Program Files/Inro Agent").join(example));
        assert!(text.expect("an example").contains("pin_min_length"), "{example}");
    }

    let tokens = run(&mut computer.agent(&["tokens", "--json"])).expect("tokens");
    let tokens: Value = serde_json::from_str(&tokens).expect("JSON");
    assert_eq!(tokens["readers"][0]["token"]["serial"], TOKEN.to_string(), "{tokens}");
    let tpm = run(&mut computer.agent(&["--lang", "en", "tpm"]));
    let tpm = format!("{:#}", tpm.expect_err("Wine has none"));
    assert!(tpm.contains("Windows knows of no TPM 2.0"), "{tpm}");
    enrol(&computer);
    picture(&computer);

    // The administrator's policy counts, and outlives the program.
    let folder = computer.drive_c("ProgramData/Inro");
    let policy = folder.join("policy.toml");
    fs::write(&policy, format!("server = \"{}\"\n", computer.bank.urls().public)).expect("written");
    let refused = run(&mut computer.agent(&["renew", "--server", "https://mine.example"]));
    let refused = format!("{:#}", refused.expect_err("against the policy"));
    assert!(refused.contains("--server"), "{refused}");
    assert_eq!(computer.uninstall(), [folder.display().to_string()]);
    assert!(policy.exists(), "it is the administrator's");

    // Where nothing of theirs is in it, the folder goes as well.
    fs::remove_file(&policy).expect("removed");
    computer.install();
    assert_eq!(computer.uninstall(), Vec::<String>::new());
}

fn enrol(computer: &Computer) {
    let bank = &computer.bank;
    let authorities = computer.file(&bank.path("tls/ca.pem"), "ca.pem");
    let password = computer.file(&bank.secret("login"), "login");
    let pin = computer.file(&bank.secret("token-pin"), "pin");
    let server = bank.urls().public;
    let serial = TOKEN.to_string();
    let mut command = computer.agent(&["enroll", "--json", "--server", &server, "--user", "hokkai-01"]);
    command.args(["--token", &serial, "--ca-file", &authorities, "--password-file", &password]);
    command.args(["--pin-file", &pin, "--new-pin-file", &pin]);
    let enrolled: Value = serde_json::from_str(&run(&mut command).expect("enrolled")).expect("JSON");
    assert_eq!(enrolled["certificate"]["user_id"], "hokkai-01", "{enrolled}");
    assert!(!computer.desk.keys[0].state().pin.is_factory(), "{TOKEN_PIN} is the PIN now");
    assert_eq!(bank.journal().expect("a journal")["certificates"], 1);
}

fn picture(computer: &Computer) {
    let directory = computer.scratch.directory("desktop").expect("a folder");
    let mut command = Command::new("Xvfb");
    command.args(["-noreset", "-displayfd", "1", "-screen", "0", "900x800x24", "-listen", "tcp"]);
    let mut screen = Process::spawn("xvfb", &mut command, &directory).expect("a screen");
    let number = |process: &Process| process.log().lines().find_map(|line| line.trim().parse::<u32>().ok());
    screen.wait_until("a display", DEADLINE, |process| Ok(number(process).is_some())).expect("a display");
    // The socket is not in the other root; its abstract twin is, through the shared network.
    let display = format!(":{}", number(&screen).expect("a number"));
    // Wine brings no Japanese font.
    let fonts = computer.drive_c("windows/Fonts");
    fs::copy("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", fonts.join("NotoSansCJK-Regular.ttc"))
        .expect("copied");
    let program = r"C:\Program Files\Inro Agent\inro-agent-window.exe";
    let mut command = computer.command(&["env"]);
    command.arg(format!("DISPLAY={display}")).arg("LIBGL_ALWAYS_SOFTWARE=1");
    command.args(["wine", program, "--lang", "ja", "gui", "--server", "https://bank.example"]);
    let mut window = Process::spawn("window", &mut command, &directory).expect("started");
    let xdotool = |arguments: &[&str]| run(Command::new("xdotool").args(arguments).env("DISPLAY", &display));
    let search = ["search", "--onlyvisible", "--name", "証明書発行アプリ"];
    window.wait_until("the window", DEADLINE, |_| Ok(xdotool(&search).is_ok())).expect("a window");
    // Until something is drawn, every picture has one colour and packs to nothing.
    let pictures = tree().join("target/screenshots/agent");
    fs::create_dir_all(&pictures).expect("made");
    let path = pictures.join("windows.png");
    let drawn = |_: &Process| {
        let mut command = Command::new("scrot");
        run(command.args(["--silent", "--overwrite"]).arg(&path).env("DISPLAY", &display))?;
        Ok(fs::metadata(&path)?.len() > 20_000)
    };
    window.wait_until("a picture", DEADLINE, drawn).expect("drawn");
}
