//! Witnesses sign the transcript with tokens of their own: a YubiKey behind pcscd, through OpenSC's module and through its
//! maker's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use softhsm_tests::card_client::OPENSC_MODULE;
use softhsm_tests::openssl::openssl;
use softhsm_tests::pcscd::Pcscd;
use softhsm_tests::process::output_of;
use softhsm_tests::virtual_yubikey::{AttestationRoots, Firmware, PinPolicy, Profile};
use softhsm_tests::yubikey::PluggedYubiKey;

use super::rig::{Setting, inro_hsm};

const YKCS11_MODULE: &str = "/usr/lib/x86_64-linux-gnu/libykcs11.so.2";
const SERIAL: u32 = 15_000_042;
const PIN: &str = "246813";

/// Field order is drop order: the card is pulled out before the daemon ends.
struct Witness {
    key: PluggedYubiKey,
    pcscd: Pcscd,
    setting: Setting,
}

impl Witness {
    /// Tanaka, with a key in slot 9a that wants the PIN once.
    fn new() -> Self {
        Self::with_key("9a", "once")
    }

    fn with_key(slot: &str, pin_policy: &str) -> Self {
        let setting = Setting::new();
        let pcscd = Pcscd::start(&setting.scratch.directory("pcscd").expect("a folder"), 1).expect("pcscd");
        let roots = AttestationRoots::create().expect("roots");
        let profile = Profile::new(SERIAL, Firmware(5, 4, 3));
        let key = PluggedYubiKey::plug(&pcscd, 0, profile, &roots, None).expect("plugged in");
        let witness = Self { key, pcscd, setting };
        let path = |name: &str| witness.setting.scratch.join(name).display().to_string();
        witness.tool(&["-a", "change-pin", "-P", "123456", "-N", PIN]);
        let public = path("tanaka.public");
        let generate = ["-a", "generate", "-s", slot, "-A", "ECCP256", "--pin-policy", pin_policy];
        witness.tool(&[&generate[..], &["--touch-policy", "never", "-o", &public]].concat());
        let (throwaway, made) = (path("throwaway.key"), path("tanaka.pem"));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &throwaway])
            .expect("a key");
        let new = ["x509", "-new", "-force_pubkey", &public, "-subj", "/CN=Tanaka Yuki", "-days", "365"];
        openssl(&[&new[..], &["-key", &throwaway, "-out", &made]].concat()).expect("a certificate");
        witness.tool(&["-a", "import-certificate", "-s", slot, "-i", &made, "-a", "set-chuid"]);
        witness.write_pin(PIN);
        witness
    }

    fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new("yubico-piv-tool");
        command.args(["-r", "Yubico"]).args(arguments).envs(self.pcscd.environment().iter().cloned());
        let output = output_of(&mut command, b"").expect("started");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    fn write_pin(&self, pin: &str) {
        let path = self.setting.scratch.write("tanaka-pin", format!("{pin}\n")).expect("written");
        fs::set_permissions(path, Permissions::from_mode(0o600)).expect("mode");
    }

    /// The last of those present signs with the token that this module shows so.
    fn signs_with(&self, module: &str, which: &str) {
        self.signs_with_key(module, which, "01");
    }

    fn signs_with_key(&self, module: &str, which: &str, id: &str) {
        let environment: Vec<String> =
            self.pcscd.environment().iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        let signs = format!(
            "role = \"witness, internal audit\"\ncertificate = \"tanaka.pem\"\nsigns_with = {{ module = {module:?}, \
             {which}, id = {id:?}, pin_file = \"tanaka-pin\", environment = {{ {} }} }}",
            environment.join(", ")
        );
        self.setting.edit("role = \"witness, internal audit\"", &signs);
    }

    /// What the checker says when it is given the witness's certificate and no other.
    fn verified(&self) -> String {
        let certificate = self.setting.scratch.join("tanaka.pem").display().to_string();
        let out = self.setting.out().display().to_string();
        inro_hsm(&["verify", &out, "--signed-by", &certificate]).expect(0).stdout
    }
}

#[test]
fn a_witness_signs_through_opensc() {
    let witness = Witness::new();
    // OpenSC calls a token what its first certificate is called.
    witness.signs_with(OPENSC_MODULE, "label = \"Tanaka Yuki\"");
    witness.setting.run().expect(0);
    let said = witness.verified();
    assert!(said.contains("signed by Tanaka Yuki (witness, internal audit)"), "{said}");
    let out = witness.setting.out();
    let file = |name: &str| out.join(name).display().to_string();
    let certificate = witness.setting.scratch.join("tanaka.pem").display().to_string();
    let (signature, content) = (file("transcript.present-3.p7s"), file("transcript.json"));
    // Somebody else's program, on the same signature.
    let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", &signature, "-content", &content];
    let trust = ["-CAfile", &certificate, "-partial_chain", "-purpose", "any", "-out", "/dev/null"];
    openssl(&[&verify[..], &trust].concat()).expect("verified");
}

#[test]
fn a_witness_signs_through_the_makers_module() {
    let witness = Witness::new();
    witness.signs_with(YKCS11_MODULE, &format!("label = \"YubiKey PIV #{SERIAL}\""));
    witness.setting.run().expect(0);
    witness.verified();
}

/// Slot 9c wants the PIN for each signature, which is given to the module once more between `C_SignInit` and the signature
/// (`CKU_CONTEXT_SPECIFIC`).
fn signs_with_a_key_that_asks_each_time(module: &str, which: &str) {
    let witness = Witness::with_key("9c", "always");
    let policy = witness.key.state().slots.get(&0x9c).expect("a key").pin_policy;
    assert_eq!(policy, PinPolicy::Always);
    witness.signs_with_key(module, which, "02");
    witness.write_pin("000000");
    witness.setting.run().expect(1);
    assert_eq!(witness.key.state().pin.left, 2, "a wrong PIN costs one try, not two");
    witness.write_pin(PIN);
    let out = witness.setting.out().display().to_string();
    witness.setting.ceremony(&["run", "--resume", "--out", &out]).expect(0);
    let said = witness.verified();
    assert!(said.contains("signed by Tanaka Yuki (witness, internal audit)"), "{said}");
    assert_eq!(witness.key.state().pin.left, 3);
}

#[test]
fn a_witness_signs_through_opensc_with_a_key_that_asks_each_time() {
    signs_with_a_key_that_asks_each_time(OPENSC_MODULE, "label = \"Tanaka Yuki\"");
}

#[test]
fn a_witness_signs_through_the_makers_module_with_a_key_that_asks_each_time() {
    signs_with_a_key_that_asks_each_time(YKCS11_MODULE, &format!("label = \"YubiKey PIV #{SERIAL}\""));
}

/// The ceremony waits for the witness, whatever is wrong with the token: nothing has to be done again.
#[test]
fn a_witness_whose_token_fails_signs_later() {
    let witness = Witness::new();
    witness.signs_with(OPENSC_MODULE, "label = \"Tanaka Yuki\"");
    witness.write_pin("000000");
    let told = witness.setting.run().expect(1);
    assert!(!told.stdout.contains("000000") && !told.stderr.contains("000000"), "a PIN was printed");
    assert_eq!(witness.key.state().pin.left, 2, "one try, not more");
    assert!(!witness.setting.out().exists());
    witness.write_pin(PIN);
    witness.key.eject().expect("pulled out");
    let out = witness.setting.out().display().to_string();
    witness.setting.ceremony(&["run", "--resume", "--out", &out]).expect(1);
    witness.key.insert().expect("put in");
    witness.setting.ceremony(&["run", "--resume", "--out", &out]).expect(0);
    witness.verified();
    assert_eq!(witness.key.state().pin.left, 3);
}
