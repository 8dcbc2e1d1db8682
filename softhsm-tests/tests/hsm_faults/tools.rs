//! The tool itself: `p11-fault` does what it is told, or the other tests prove nothing.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use softhsm_tests::{
    openssl::openssl,
    process::output_of,
    scratch::Scratch,
    simulated_hsm::{Conduct, Fault, Settings, SimulatedHsm},
    softhsm::SoftHsm,
};

const PIN: &str = "839274";

/// A token with P-256 keys 01 and 02 behind a simulated HSM. OpenSC's pkcs11-tool is its user, a process for each use.
struct Device {
    scratch: Scratch,
    hsm: SimulatedHsm,
}

impl Device {
    fn new() -> Self {
        let scratch = Scratch::new("p11-fault").expect("scratch");
        let softhsm = SoftHsm::new(scratch.path()).expect("SoftHSM");
        softhsm.init_token("simulated", "12345678", PIN).expect("a token");
        let hsm = SimulatedHsm::new(scratch.path(), softhsm.environment(), Settings::AT_ONCE).expect("built");
        let device = Self { scratch, hsm };
        for id in ["01", "02"] {
            let generate = ["--keypairgen", "--key-type", "EC:prime256v1", "--id", id, "--label", id];
            assert!(device.tool(&generate).status.success());
        }
        fs::write(device.scratch.join("message"), b"a message").expect("written");
        let (message, digest) = (device.path("message"), device.path("digest"));
        openssl(&["dgst", "-sha256", "-binary", "-out", &digest, &message]).expect("a digest");
        device
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).to_string_lossy().into_owned()
    }

    fn tool(&self, arguments: &[&str]) -> Output {
        self.tool_with(&[&["--login", "--pin", PIN], arguments].concat())
    }

    fn tool_with(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(self.hsm.module()).args(arguments);
        command.envs(self.hsm.environment().iter().cloned());
        output_of(&mut command, b"").expect("pkcs11-tool")
    }

    /// Has the first key sign, and says by which key the signature verifies, if by any.
    fn sign(&self) -> Result<Option<&'static str>, String> {
        let sign = ["--sign", "--mechanism", "ECDSA", "--signature-format", "openssl", "--id", "01"];
        let files = ["-i", &self.path("digest"), "-o", &self.path("signature")];
        let output = self.tool(&[&sign[..], &files].concat());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let verifies = |id: &&str| {
            let public = self.path(&format!("public-{id}"));
            assert!(
                self.tool(&["--read-object", "--type", "pubkey", "--id", id, "-o", &public]).status.success()
            );
            let verify = ["dgst", "-sha256", "-keyform", "DER", "-verify", &public, "-signature"];
            openssl(&[&verify[..], &[&self.path("signature"), &self.path("message")]].concat()).is_ok()
        };
        Ok(["01", "02"].into_iter().find(verifies))
    }
}

#[test]
fn signatures_are_right_until_they_are_to_be_wrong() {
    let device = Device::new();
    assert_eq!(device.sign(), Ok(Some("01")));
    device.hsm.fault(&Fault::corrupt_signature().times(1)).expect("left for the next process");
    assert_eq!(device.sign(), Ok(None));
    assert_eq!(device.sign(), Ok(Some("01")), "only once");
    device.hsm.fault(&Fault::other_key("02").times(1)).expect("left");
    assert_eq!(device.sign(), Ok(Some("02")));
}

#[test]
fn an_error_comes_until_it_is_cleared_also_in_other_processes() {
    let device = Device::new();
    device.hsm.fault(&Fault::returns("C_SignInit", "CKR_DEVICE_ERROR")).expect("left");
    for _ in 0..2 {
        let error = device.sign().expect_err("it fails");
        assert!(error.contains("CKR_DEVICE_ERROR"), "{error}");
    }
    device.hsm.clear().expect("left");
    assert_eq!(device.sign(), Ok(Some("01")));
    device.hsm.fault(&Fault::segfault("C_Sign").times(1)).expect("left");
    assert!(device.sign().is_err());
    device.hsm.fault(&Fault::hangs("C_Sign", Some(Duration::from_millis(20))).times(1)).expect("left");
    assert_eq!(device.sign(), Ok(Some("01")), "late, but right");
}

#[test]
fn a_token_that_is_out_is_not_shown_and_one_without_sessions_opens_none() {
    let device = Device::new();
    device.hsm.conduct(&Conduct::ABSENT).expect("left");
    assert!(device.sign().is_err());
    device.hsm.conduct(&Conduct { max_sessions: Some(0), ..Conduct::PLAIN }).expect("left");
    let error = device.sign().expect_err("no session is left");
    assert!(error.contains("CKR_SESSION_COUNT"), "{error}");
    device.hsm.conduct(&Conduct::PLAIN).expect("left");
    assert_eq!(device.sign(), Ok(Some("01")));
}

#[test]
fn logins_are_counted_over_all_processes_and_a_protected_path_takes_no_pin() {
    let device = Device::new();
    let before = device.hsm.logins().expect("kept");
    assert!(before >= 2, "each process that made a key logged in");
    device.sign().expect("signed");
    assert!(device.hsm.logins().expect("kept") > before);

    let typed = Conduct { protected_path: Some(PIN.to_owned()), ..Conduct::PLAIN };
    device.hsm.conduct(&typed).expect("left");
    assert!(device.sign().is_err(), "the PIN is to be typed at the device");
    let listed = device.tool_with(&["--login", "--list-objects", "--type", "privkey"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.status.success() && text.contains("Private Key Object"), "{listed:?}");
    let mistyped = Conduct { protected_path: Some("000000".to_owned()), ..Conduct::PLAIN };
    device.hsm.conduct(&mistyped).expect("left");
    let refused = device.tool_with(&["--login", "--list-objects", "--type", "privkey"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("CKR_PIN_INCORRECT"), "{refused:?}");
}
