//! The simulated network HSM: what it signs is right, and it does no more at once than it has lanes.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use softhsm_tests::{
    bank::{Bank, Options},
    binaries,
    openssl::openssl,
    process::{Process, run},
    scratch::Scratch,
    simulated_hsm::{Settings, SimulatedHsm},
    softhsm::SoftHsm,
};

const DEADLINE: Duration = Duration::from_mins(1);
const PIN: &str = "839274";
const NETWORK: Settings = Settings { latency_us: 8_000, lanes: Some(16) };

/// A token with a P-256 key 01 behind a simulated HSM.
struct Device {
    scratch: Scratch,
    hsm: SimulatedHsm,
}

impl Device {
    fn new(settings: Settings) -> Self {
        let scratch = Scratch::new("hsm").expect("scratch");
        let softhsm = SoftHsm::new(scratch.path()).expect("SoftHSM");
        softhsm.init_token("simulated", "12345678", PIN).expect("a token");
        scratch.write("pin", PIN).expect("written");
        let hsm =
            SimulatedHsm::new(scratch.path(), softhsm.environment(), settings).expect("the module is built");
        let device = Self { scratch, hsm };
        device.tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--id", "01", "--label", "key"]);
        device
    }

    /// OpenSC's pkcs11-tool with the module.
    fn tool(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(self.hsm.module()).args(["--login", "--pin", PIN]);
        command.args(arguments).envs(self.hsm.environment().iter().cloned());
        run(&mut command).expect("pkcs11-tool")
    }

    /// A process of this name that makes `count` signatures with `threads` and then waits.
    fn sign(&self, name: &str, threads: u16, count: u32) -> Process {
        let mut command = Command::new(binaries::find("raw-signatures").expect("built"));
        command.arg("--module").arg(self.hsm.module()).arg("--pin-file").arg(self.scratch.join("pin"));
        command.args(["--key", "01", "--threads", &threads.to_string(), "--count", &count.to_string()]);
        command.envs(self.hsm.environment().iter().cloned());
        let mut process =
            Process::spawn_with(name, &mut command, Stdio::piped(), self.scratch.path()).expect("started");
        process.wait_for_log("\"seconds\"", DEADLINE).expect("it signs");
        process
    }
}

#[test]
fn what_it_signs_verifies() {
    let device = Device::new(NETWORK);
    let path = |name: &str| device.scratch.join(name).to_string_lossy().into_owned();
    fs::write(path("message"), b"a message").expect("written");
    openssl(&["dgst", "-sha256", "-binary", "-out", &path("digest"), &path("message")]).expect("a digest");
    device.tool(&["--read-object", "--type", "pubkey", "--id", "01", "-o", &path("public")]);
    let sign = ["--sign", "--mechanism", "ECDSA", "--signature-format", "openssl", "--id", "01"];
    device.tool(&[&sign[..], &["-i", &path("digest"), "-o", &path("signature")]].concat());
    let verify =
        ["dgst", "-sha256", "-keyform", "DER", "-verify", &path("public"), "-signature", &path("signature")];
    let verdict = openssl(&[&verify[..], &[&path("message")]].concat()).expect("verified");
    assert!(verdict.contains("Verified OK"), "{verdict}");
}

#[test]
fn sixteen_lanes_hold_sixteen_signatures() {
    let device = Device::new(NETWORK);
    let mut process = device.sign("first", 24, 400);
    let status = device.hsm.status().expect("status");
    assert_eq!(status.process, process.id());
    assert_eq!(status.settings, NETWORK);
    assert_eq!(
        (status.signatures.done, status.signatures.in_progress, status.signatures.waiting),
        (400, 0, 0)
    );
    assert!(status.signatures.most_in_progress <= 16, "{status:?}");
    assert_eq!(status.calls["C_SignInit"], 400);
    // cryptoki asks for the length first, which no lane sees.
    assert_eq!(status.calls["C_Sign"], 800);
    assert_eq!((status.calls["C_Initialize"], status.calls["C_Login"]), (1, 1));

    let faster = Settings { latency_us: 0, lanes: Some(2) };
    device.hsm.set(faster).expect("set");
    let status = device.hsm.reset().expect("reset");
    assert_eq!(status.settings, faster);
    assert!(status.calls.is_empty() && status.signatures.done == 0, "{status:?}");
    process.kill().expect("killed");

    // The next process finds it as it was left.
    let _process = device.sign("second", 8, 40);
    let status = device.hsm.status().expect("status");
    assert_eq!((status.settings, status.signatures.done), (faster, 40));
    assert!(status.signatures.most_in_progress <= 2, "{status:?}");
}

#[test]
fn a_bank_signs_on_it() {
    let scratch = Scratch::new("hsm").expect("scratch");
    let mut bank = Bank::prepare(scratch.path(), &Options::default()).expect("prepared");
    bank.hold_ceremony().expect("a ceremony");
    bank.migrate().expect("a ledger");
    let hsm = SimulatedHsm::in_front_of(&bank, NETWORK, 24).expect("configured");
    bank.start_signer().expect("a signer");
    bank.start_authority().expect("an authority");
    let status = hsm.status().expect("status");
    assert!(status.signatures.done >= 2, "each key proved itself: {status:?}");
    assert_eq!(status.calls["C_Login"], 1);
}
