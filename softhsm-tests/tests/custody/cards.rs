//! Custodians with PIV tokens of their own, here virtual YubiKeys in the readers of a private pcscd.

use std::{fs, process::Command, time::Duration};

use softhsm_tests::{
    card_client::opensc_environment,
    openssl::openssl,
    pcscd::Pcscd,
    process::output_of,
    softhsm::SoftHsm,
    virtual_yubikey::{AttestationRoots, Firmware, Profile, Touch},
    yubikey::PluggedYubiKey,
};

use crate::rig::{OLD_PIN, Rig, takes};

/// Debian's tool doesn't know the management keys of newer ones.
const FIRMWARE: Firmware = Firmware(5, 4, 3);
const ALICES_PIN: &str = "246813";
const BOBS_PIN: &str = "86429751";

/// Field order is drop order: cards are pulled out before the daemon ends.
struct Cards {
    alice: PluggedYubiKey,
    bob: PluggedYubiKey,
    pcscd: Pcscd,
    rig: Rig,
    hsm: SoftHsm,
}

impl Cards {
    /// Alice has a P-256 key that wants to be touched, Bob one on P-384; Carol has a passphrase.
    fn new() -> Self {
        let (mut rig, hsm) = Rig::with_token();
        let pcscd = Pcscd::start(&rig.scratch.directory("pcscd").expect("a folder"), 2).expect("pcscd");
        let roots = AttestationRoots::create().expect("roots");
        let plug = |index: usize, serial| {
            let mut profile = Profile::new(serial, FIRMWARE);
            profile.touch = Touch::After(Duration::ZERO);
            PluggedYubiKey::plug(&pcscd, index, profile, &roots, None).expect("plugged in")
        };
        let (alice, bob) = (plug(0, 15_000_001), plug(1, 15_000_002));
        rig.environment.clone_from(pcscd.environment());
        let cards = Self { alice, bob, pcscd, rig, hsm };
        cards.personalise(0, "alice", "ECCP256", ALICES_PIN, "always");
        cards.personalise(1, "bob", "ECCP384", BOBS_PIN, "never");
        cards.rig.secret("alice.pin", ALICES_PIN);
        cards.rig.secret("bob.pin", BOBS_PIN);
        cards
    }

    /// What docs/custody.md has a custodian do.
    fn personalise(&self, reader: usize, name: &str, algorithm: &str, pin: &str, touch: &str) {
        let reader_name = &self.pcscd.reader(reader).expect("a reader").name;
        let tool = |arguments: &[&str]| {
            let mut command = Command::new("yubico-piv-tool");
            command.args(["-r", reader_name]).args(arguments).current_dir(self.rig.scratch.path());
            command.envs(self.pcscd.environment().iter().cloned());
            let output = output_of(&mut command, b"").expect("started");
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{arguments:?}: {text}");
        };
        let subject = format!("/CN={name}");
        let (public, made) = (format!("{name}.public"), format!("{name}.made"));
        tool(&["-a", "change-pin", "-P", "123456", "-N", pin]);
        tool(&[
            "-a",
            "generate",
            "-s",
            "9d",
            "-A",
            algorithm,
            "--pin-policy",
            "once",
            "--touch-policy",
            touch,
            "-o",
            &public,
        ]);
        // The certificate only carries the key: anybody's signature will do.
        let path = |name: &str| self.rig.path(name).display().to_string();
        let (public, made, key) = (path(&public), path(&made), path("throwaway.key"));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &key])
            .expect("a key");
        let new = ["x509", "-new", "-force_pubkey", &public, "-subj", &subject, "-days", "3650"];
        openssl(&[&new[..], &["-key", &key, "-out", &made]].concat()).expect("a certificate");
        tool(&["-a", "import-certificate", "-s", "9d", "-i", &made]);
        self.rig.custody(&["card", "--reader", reader_name, "--out", &format!("{name}.pem")]).done();
    }

    /// A set that nobody has proven yet.
    fn create(&self) {
        let custodians =
            ["alice certificate = \"alice.pem\"", "bob certificate = \"bob.pem\"", "carol passphrase = true"];
        let plan = self.rig.plan("vault-pin", "user", &self.hsm, "vault", &custodians).display().to_string();
        let files = self.rig.passphrases(&["carol"]);
        let mut create = vec!["create", "set", "--plan", &plan];
        create.extend(files.iter().map(String::as_str));
        self.rig.custody(&create).needs_more();
    }

    fn prove(&self, name: &str) -> crate::rig::Ended {
        let pin = format!("{name}={name}.pin");
        self.rig.custody(&["prove", "set", "--custodian", name, "--pin-file", &pin])
    }
}

#[test]
fn custodians_open_their_shares_with_their_own_tokens() {
    let cards = Cards::new();
    let rig = &cards.rig;
    // To be sealed to, a token needn't be there.
    cards.alice.eject().expect("pulled out");
    cards.create();
    cards.alice.insert().expect("put in");
    let touches = cards.alice.card().touches();
    cards.prove("alice").needs_more();
    assert_eq!(cards.alice.card().touches(), touches + 1);
    cards.prove("bob").needs_more();
    rig.with(&["prove", "set"], &["carol"]).done();
    rig.secret("present", OLD_PIN);
    let cards_only = [
        "--custodian",
        "alice",
        "--custodian",
        "bob",
        "--pin-file",
        "alice=alice.pin",
        "--pin-file",
        "bob=bob.pin",
    ];
    rig.custody(&[&["switch", "set", "--present-pin-file", "present"], &cards_only[..]].concat()).done();
    assert!(!takes(&cards.hsm, "vault", false, OLD_PIN));
    rig.custody(&[&["open-check", "set"], &cards_only[..]].concat()).done();
    let with_carol = ["open-check", "set", "--pin-file", "bob=bob.pin"];
    rig.with(&[&with_carol[..], &["--custodian", "bob"]].concat(), &["carol"]).done();
}

/// Without this program: OpenSSL, its PKCS#11 engine and OpenSC.
#[test]
fn other_software_opens_a_share_with_the_custodians_own_token() {
    let cards = Cards::new();
    cards.create();
    let reader = cards.pcscd.reader(0).expect("a reader");
    let environment = opensc_environment(&cards.pcscd, reader, cards.rig.scratch.path()).expect("OpenSC");
    let key = format!("pkcs11:id=%03;type=private;pin-value={ALICES_PIN}");
    let mut command = Command::new("openssl");
    command.args([
        "cms",
        "-decrypt",
        "-inform",
        "PEM",
        "-in",
        "set/generation-1/alice.pem",
        "-recip",
        "alice.pem",
    ]);
    command.args(["-engine", "pkcs11", "-keyform", "engine", "-inkey", &key]);
    let output =
        output_of(command.current_dir(cards.rig.scratch.path()).envs(environment), b"").expect("ran");
    let share = String::from_utf8_lossy(&output.stdout);
    assert!(share.contains("\"custodian\":\"alice\""), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_wrong_pin_costs_one_try_and_says_how_many_are_left() {
    let cards = Cards::new();
    cards.create();
    cards.rig.secret("bob.pin", "000000");
    let told = cards.prove("bob").failed("the token refused the PIN; 2 tries are left");
    assert!(!told.errors.contains("000000"), "{}", told.errors);
    assert_eq!(cards.bob.state().pin.left, 2);
    cards.rig.secret("bob.pin", BOBS_PIN);
    cards.prove("bob").needs_more();
    assert_eq!(cards.bob.state().pin.left, 3);
    cards.rig.secret("bob.pin", "much-too-long");
    cards.prove("bob").failed("1 to 8 characters");
    assert_eq!(cards.bob.state().pin.left, 3, "it was never sent");
}

#[test]
fn a_token_that_is_away_untouched_or_another_is_told() {
    let cards = Cards::new();
    cards.create();
    cards.alice.eject().expect("pulled out");
    cards.prove("alice").failed("the token with that key is in no reader");
    cards.alice.insert().expect("put in");
    // A new key in its slot is not the key that the share was sealed to.
    let certificate = fs::read(cards.rig.path("alice.pem")).expect("a certificate");
    fs::remove_file(cards.rig.path("alice.pem")).expect("removed");
    cards.personalise_again();
    assert_ne!(fs::read(cards.rig.path("alice.pem")).expect("a certificate"), certificate);
    cards.prove("alice").failed("the token with that key is in no reader");
    cards.rig.custody(&["card"]).failed("several tokens are plugged in");
}

impl Cards {
    fn personalise_again(&self) {
        let reader = &self.pcscd.reader(0).expect("a reader").name;
        let reset = ["-a", "change-pin", "-P", ALICES_PIN, "-N", "123456"];
        let mut command = Command::new("yubico-piv-tool");
        command.args(["-r", reader]).args(reset).envs(self.pcscd.environment().iter().cloned());
        assert!(output_of(&mut command, b"").expect("started").status.success());
        self.personalise(0, "alice", "ECCP256", ALICES_PIN, "never");
    }
}
