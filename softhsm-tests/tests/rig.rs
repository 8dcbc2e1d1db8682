//! The rig itself: virtual YubiKeys behind a real pcscd, used by other people's software.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rcgen::DnType;
use softhsm_tests::{
    binaries,
    card_client::{CardClient, OPENSC_MODULE, opensc_environment},
    openssl,
    pcscd::Pcscd,
    ports::PortLease,
    probe::{Probe, Reader, Request},
    process::{Process, Signal, output_of, run},
    scratch::Scratch,
    soft_pki::SoftAuthority,
    virtual_yubikey::{AttestationRoots, Firmware, Misbehaviour, Profile, Touch},
    yubikey::PluggedYubiKey,
};

const DEADLINE: Duration = Duration::from_secs(20);
const OLD: Firmware = Firmware(5, 4, 3);
const NEW: Firmware = Firmware(5, 7, 2);
const NEWEST: Firmware = Firmware(5, 7, 4);

/// A pcscd with one YubiKey of this profile, and a probe that has it open.
struct Bench {
    // Fields drop in this order: clients before the card, the card before its reader.
    probe: Probe,
    key: PluggedYubiKey,
    pcscd: Pcscd,
    roots: AttestationRoots,
    scratch: Scratch,
}

impl Bench {
    fn new(profile: Profile) -> Self {
        let scratch = Scratch::new("rig").expect("scratch");
        let roots = AttestationRoots::create().expect("attestation roots");
        let pcscd = Pcscd::start(&scratch.directory("pcscd").expect("directory"), 1).expect("pcscd");
        let serial = profile.serial;
        let key = PluggedYubiKey::plug(&pcscd, 0, profile, &roots, None).expect("plugged in");
        let mut probe = pcscd.probe().expect("probe");
        probe.tell(&Request::Open { serial }).expect("opened by serial");
        Self { probe, key, pcscd, roots, scratch }
    }

    fn tell(&mut self, request: &Request) {
        self.probe.tell(request).unwrap_or_else(|error| panic!("{request:?}: {error:#}"));
    }

    fn bytes(&mut self, request: &Request) -> Vec<u8> {
        self.probe.ask_bytes(request).unwrap_or_else(|error| panic!("{request:?}: {error:#}"))
    }

    fn refused(&mut self, request: &Request) -> String {
        let error = self.probe.tell(request).expect_err("this must be refused");
        format!("{error:#}")
    }

    fn log_in(&mut self) {
        self.tell(&verify("123456"));
        self.tell(&Request::Authenticate { protected: false });
    }

    fn generate(&mut self, slot: &str, algorithm: &str) -> Vec<u8> {
        self.generate_with(slot, algorithm, 0, 0)
    }

    fn generate_with(&mut self, slot: &str, algorithm: &str, pin: u8, touch: u8) -> Vec<u8> {
        let (slot, algorithm) = (slot.to_owned(), algorithm.to_owned());
        self.bytes(&Request::Generate { slot, algorithm, pin, touch })
    }

    /// The attestation of a slot and the f9 certificate, as PEM files.
    fn attest(&mut self, slot: &str) -> (PathBuf, PathBuf) {
        let attestation = self.bytes(&Request::Attest { slot: slot.to_owned() });
        let object = self.bytes(&Request::Fetch { object: "5fff01".to_owned() });
        // 70 82 LL LL certificate 71 01 00 FE 00
        let length = usize::from(u16::from_be_bytes([object[2], object[3]]));
        (self.pem("slot", &attestation), self.pem("f9", &object[4..4 + length]))
    }

    fn pem(&self, name: &str, der: &[u8]) -> PathBuf {
        let pem = openssl::openssl_with_input(&["x509", "-inform", "DER"], der).expect("a certificate");
        self.scratch.write(&format!("{name}.pem"), pem).expect("written")
    }

    /// openssl's verdict on an attestation.
    fn verdict(&self, slot: &Path, f9: &Path) -> anyhow::Result<()> {
        self.roots.save(&self.scratch.join("roots")).expect("saved");
        let (anchors, intermediates) =
            (self.scratch.join("roots/anchors.pem"), self.scratch.join("roots/intermediates.pem"));
        openssl::verify(&[], &anchors, &[&intermediates, f9], slot)
    }

    fn sign(&mut self, slot: &str, algorithm: &str, input: &[u8]) -> Result<Vec<u8>, String> {
        let (slot, algorithm, input) = (slot.to_owned(), algorithm.to_owned(), hex::encode(input));
        self.probe.ask_bytes(&Request::Sign { slot, algorithm, input }).map_err(|error| format!("{error:#}"))
    }

    /// Whether `signature` over `message` (SHA-256) verifies under the public key (DER).
    fn assert_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) {
        let public_key = self.scratch.write("public.der", public_key).expect("written");
        let signature = self.scratch.write("signature", signature).expect("written");
        let (public_key, signature) = (public_key.display().to_string(), signature.display().to_string());
        let arguments =
            ["dgst", "-sha256", "-keyform", "DER", "-verify", &public_key, "-signature", &signature];
        openssl::openssl_with_input(&arguments, message).expect("the signature verifies");
    }
}

fn verify(pin: &str) -> Request {
    Request::VerifyPin { pin: pin.to_owned() }
}

fn sha256(message: &[u8]) -> Vec<u8> {
    openssl::openssl_with_input(&["dgst", "-sha256", "-binary"], message).expect("a digest")
}

/// EMSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 9.2), as the host does before it asks a card.
fn padded(message: &[u8], length: usize) -> Vec<u8> {
    let mut info = hex::decode("3031300d060960864801650304020105000420").expect("hexadecimal");
    info.extend(sha256(message));
    let mut block = vec![0x00, 0x01];
    block.resize(length - info.len() - 1, 0xff);
    block.push(0);
    block.extend(info);
    block
}

#[test]
fn a_new_key_goes_through_its_first_day() {
    for (firmware, serial) in [(OLD, 14_000_001), (NEW, 30_000_001), (NEWEST, 33_000_001)] {
        let mut bench = Bench::new(Profile::new(serial, firmware));
        let change = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        let (old, new) = change("123456", "864213");
        bench.tell(&Request::ChangePin { old, new });
        let (old, new) = change("12345678", "87654321");
        bench.tell(&Request::ChangePuk { old, new });
        bench.tell(&verify("864213"));
        bench.tell(&Request::Authenticate { protected: false });
        bench.tell(&Request::ProtectManagementKey);
        // A fresh session: the factory's key is refused, the one behind the PIN works.
        bench.tell(&Request::Open { serial });
        bench.refused(&Request::Authenticate { protected: false });
        bench.tell(&verify("864213"));
        bench.tell(&Request::Authenticate { protected: true });

        let public_key = bench.generate("9a", "p256");
        let (slot, f9) = bench.attest("9a");
        bench.verdict(&slot, &f9).expect("the chain verifies");
        let text = openssl::certificate_text(&slot).expect("text");
        assert!(text.contains("Subject: CN = YubiKey PIV Attestation 9a"), "{text}");
        let attested = openssl::openssl(&["x509", "-noout", "-pubkey", "-in", &slot.display().to_string()]);
        let key = openssl::openssl_with_input(&["pkey", "-pubin", "-inform", "DER", "-pubout"], &public_key);
        assert_eq!(attested.expect("a key").as_bytes(), key.expect("a key"));

        let signature = bench.sign("9a", "p256", &sha256(b"order")).expect("signed");
        bench.assert_signature(&public_key, b"order", &signature);
    }
}

#[test]
fn every_algorithm_signs_and_is_attested() {
    let mut bench = Bench::new(Profile::new(30_000_002, NEW));
    bench.log_in();
    for (slot, algorithm, length) in
        [("82", "rsa1024", 128), ("9a", "rsa2048", 256), ("83", "rsa3072", 384), ("84", "rsa4096", 512)]
    {
        let public_key = bench.generate(slot, algorithm);
        let signature = bench.sign(slot, algorithm, &padded(b"order", length)).expect("signed");
        bench.assert_signature(&public_key, b"order", &signature);
        let (slot, f9) = bench.attest(slot);
        bench.verdict(&slot, &f9).expect("the chain verifies");
    }
    let public_key = bench.generate("85", "p384");
    let signature = bench.sign("85", "p384", &sha256(b"order")).expect("signed");
    bench.assert_signature(&public_key, b"order", &signature);
    let metadata: (bool, u8, u8) =
        bench.probe.ask(&Request::Metadata { slot: "85".to_owned() }).expect("metadata");
    assert_eq!(metadata, (true, 2, 1));
}

#[test]
fn old_firmware_has_no_large_rsa_keys() {
    let mut bench = Bench::new(Profile::new(14_000_003, OLD));
    bench.log_in();
    for algorithm in ["rsa3072", "rsa4096"] {
        bench.refused(&Request::Generate {
            slot: "9a".into(),
            algorithm: algorithm.into(),
            pin: 0,
            touch: 0,
        });
    }
}

#[test]
fn the_pin_counts_blocks_and_is_unblocked() {
    let mut bench = Bench::new(Profile::new(30_000_004, NEW));
    let retries = |bench: &mut Bench| bench.probe.ask::<u8>(&Request::PinRetries).expect("asked");
    assert_eq!(retries(&mut bench), 3);
    for left in [2, 1, 0] {
        bench.refused(&verify("000000"));
        assert_eq!(retries(&mut bench), left);
    }
    // Blocked: the right one doesn't help any more.
    bench.refused(&verify("123456"));
    bench.refused(&Request::UnblockPin { puk: "00000000".into(), new: "654321".into() });
    bench.tell(&Request::UnblockPin { puk: "12345678".into(), new: "654321".into() });
    bench.tell(&verify("654321"));
    assert_eq!(bench.key.state().pin.left, 3);
}

#[test]
fn pin_and_touch_policies_are_enforced() {
    let mut bench = Bench::new(Profile::new(30_000_005, NEW));
    bench.log_in();
    let digest = sha256(b"order");
    bench.generate("9a", "p256");
    bench.generate_with("9c", "p256", 3, 0);
    bench.generate_with("9d", "p256", 2, 2);
    bench.generate("9e", "p256");
    // Once: any number of times in the session. Always: once for each proof.
    assert!(bench.sign("9a", "p256", &digest).is_ok());
    assert!(bench.sign("9a", "p256", &digest).is_ok());
    assert!(bench.sign("9c", "p256", &digest).is_ok());
    assert!(bench.sign("9c", "p256", &digest).is_err());
    bench.tell(&verify("123456"));
    assert!(bench.sign("9c", "p256", &digest).is_ok());
    // A touch, and nobody there to give it.
    assert!(bench.sign("9d", "p256", &digest).is_ok());
    assert_eq!(bench.key.card().touches(), 1);
    // A new session without the PIN: only the key that never asks for it.
    bench.tell(&Request::Open { serial: 30_000_005 });
    assert!(bench.sign("9a", "p256", &digest).is_err());
    assert!(bench.sign("9e", "p256", &digest).is_ok());
}

#[test]
fn an_untouched_key_gives_up() {
    let profile = Profile { touch: Touch::Never, ..Profile::new(30_000_006, NEW) };
    let mut bench = Bench::new(profile);
    bench.log_in();
    bench.generate_with("9a", "p256", 2, 2);
    assert!(bench.sign("9a", "p256", &sha256(b"order")).is_err());
}

#[test]
fn only_generated_keys_are_attested() {
    let mut bench = Bench::new(Profile::new(30_000_007, NEW));
    bench.log_in();
    let scalar = "00".repeat(31) + "05";
    bench.tell(&Request::ImportP256 { slot: "9a".into(), scalar });
    bench.refused(&Request::Attest { slot: "9a".into() });
    bench.key.card().misbehave(Misbehaviour::AttestImported);
    let (slot, f9) = bench.attest("9a");
    bench.verdict(&slot, &f9).expect("a lie that verifies");
}

#[test]
fn commands_need_what_they_need() {
    let mut bench = Bench::new(Profile::new(30_000_008, NEW));
    // Without the management key nothing is written; without the PIN the protected object isn't read.
    bench.refused(&Request::Generate { slot: "9a".into(), algorithm: "p256".into(), pin: 0, touch: 0 });
    bench.refused(&Request::Save { object: "5fc102".into(), content: "00".into() });
    bench.refused(&Request::Fetch { object: "5fc109".into() });
    bench.log_in();
    let content = "c3".repeat(3000);
    bench.tell(&Request::Save { object: "5fc109".into(), content: content.clone() });
    assert_eq!(hex::encode(bench.bytes(&Request::Fetch { object: "5fc109".into() })), content);
    bench.refused(&Request::Save { object: "5fc109".into(), content: "c3".repeat(3064) });
}

#[test]
fn raw_commands_are_answered_as_a_yubikey_answers() {
    let mut bench = Bench::new(Profile::new(0x0102_0304, NEW));
    let select = "00a4040005a000000308";
    let management = "00a4040008a000000527471117";
    let cases: [(&[&str], &str); 12] = [
        (&[management, "00fd000000"], "6d00"),
        (&[select, "00fd000000"], "0507029000"),
        (&[select, "00f8000000"], "010203049000"),
        (&[select, "0020008000"], "63c3"),
        (&[select, "0020008008313131313131ffff"], "63c2"),
        (&[select, "00f7009b00"], "01010a0202000105010190"),
        (&[select, "00fb000000"], "6985"),
        (&[select, "00f99a0000"], "6a80"),
        (&[select, "80fd000000"], "6e00"),
        (&[select, "00cb3fff055c035fc10500"], "6a82"),
        (&["00a4040008a0000006472f0001"], "6a82"),
        (&[management], &format!("{}9000", hex::encode("Virtual mgr - FW version 5.7.2"))),
    ];
    for (commands, expected) in cases {
        let reader = bench.key.reader().name.clone();
        let commands = commands.iter().map(|&command| command.to_owned()).collect();
        // The probe's own session would hold the card's application.
        bench.probe = bench.pcscd.probe().expect("probe");
        let request = Request::Transmit { reader, commands };
        let answers: Vec<String> = bench.probe.ask(&request).expect("answered");
        let last = answers.last().expect("an answer");
        assert!(last.starts_with(expected), "{request:?}: {last}, not {expected}");
    }
}

/// What an attestation that tells a lie looks like.
#[test]
fn each_attestation_misbehaviour_shows() {
    let mut bench = Bench::new(Profile::new(30_000_009, NEW));
    bench.log_in();
    bench.generate("9a", "p256");
    let key_of = |slot: &Path| {
        openssl::openssl(&["x509", "-noout", "-pubkey", "-in", &slot.display().to_string()]).expect("a key")
    };
    let dump = |slot: &Path| {
        openssl::openssl(&["asn1parse", "-in", &slot.display().to_string()]).expect("a structure")
    };
    let policies = |slot: &Path| dump(slot).matches("1.3.6.1.4.1.41482.3.8").count();
    let (honest, f9) = bench.attest("9a");
    bench.verdict(&honest, &f9).expect("honest");
    let honest_key = key_of(&honest);
    assert_eq!(policies(&honest), 1);
    assert!(dump(&honest).contains("[HEX DUMP]:050702"), "{}", dump(&honest));
    assert!(dump(&honest).contains("[HEX DUMP]:020401C9C389"), "{}", dump(&honest));

    let mut lie = |misbehaviour: Misbehaviour| {
        bench.key.card().behave();
        bench.key.card().misbehave(misbehaviour);
        let (slot, f9) = bench.attest("9a");
        let verdict = bench.verdict(&slot, &f9);
        (slot, verdict)
    };
    let (slot, verdict) = lie(Misbehaviour::SlotNotSignedByAttestationKey);
    assert!(verdict.is_err(), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestAnotherKey);
    verdict.expect("well signed");
    assert_ne!(key_of(&slot), honest_key);
    let (slot, verdict) = lie(Misbehaviour::AttestedSerial(5));
    verdict.expect("well signed");
    assert!(dump(&slot).contains("[HEX DUMP]:020105"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::NoAttestedSerial);
    verdict.expect("well signed");
    assert!(!dump(&slot).contains("1.3.6.1.4.1.41482.3.7"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestedFirmware(Firmware(4, 3, 1)));
    verdict.expect("well signed");
    assert!(dump(&slot).contains("[HEX DUMP]:040301"), "{}", dump(&slot));
    let (slot, verdict) = lie(Misbehaviour::AttestedSlot(0x9c));
    verdict.expect("well signed");
    assert!(openssl::certificate_text(&slot).expect("text").contains("YubiKey PIV Attestation 9c"));
    let (slot, verdict) = lie(Misbehaviour::PolicyMissing);
    verdict.expect("well signed");
    assert_eq!(policies(&slot), 0);
    let (slot, verdict) = lie(Misbehaviour::PolicyTwice);
    verdict.expect("well signed");
    assert_eq!(policies(&slot), 2);
}

#[test]
fn keys_with_a_bad_factory_do_not_verify() {
    for (misbehaviour, reason) in [
        (Misbehaviour::LookAlikeRoot, "signature failure"),
        (Misbehaviour::ForeignRoot, "unable to get local issuer certificate"),
        (Misbehaviour::AttestationKeyReplaced, "self-signed certificate in certificate chain"),
        (Misbehaviour::AttestationWithoutBasicConstraints, "invalid CA certificate"),
    ] {
        let mut bench = Bench::new(Profile::new(30_000_010, NEW).misbehaving(misbehaviour.clone()));
        bench.log_in();
        bench.generate("9a", "p256");
        let (slot, f9) = bench.attest("9a");
        let error = bench.verdict(&slot, &f9).expect_err("this must not verify");
        assert!(format!("{error:#}").contains(reason), "{misbehaviour:?}: {error:#}");
    }
}

#[test]
fn a_key_that_never_asks_for_the_pin_says_so() {
    let mut bench = Bench::new(Profile::new(30_000_011, NEW).misbehaving(Misbehaviour::PinPolicyNever));
    bench.log_in();
    bench.generate_with("9a", "p256", 3, 0);
    let (slot, _) = bench.attest("9a");
    let text = openssl::openssl(&["asn1parse", "-in", &slot.display().to_string()]).expect("a structure");
    assert!(text.contains("[HEX DUMP]:0101"), "{text}");
    bench.tell(&Request::Open { serial: 30_000_011 });
    assert!(bench.sign("9a", "p256", &sha256(b"order")).is_ok());
}

#[test]
fn a_key_pulled_out_in_the_middle_is_gone_and_works_again() {
    let mut bench = Bench::new(Profile::new(30_000_012, NEW));
    bench.log_in();
    bench.key.card().misbehave(Misbehaviour::EjectAt(0x47));
    bench.refused(&Request::Generate { slot: "9a".into(), algorithm: "p256".into(), pin: 0, touch: 0 });
    bench.key.wait_ejected().expect("pcscd noticed");
    assert!(!bench.key.is_inserted());
    bench.key.insert().expect("pcscd noticed");
    bench.tell(&Request::Open { serial: 30_000_012 });
    bench.log_in();
    bench.generate("9a", "p256");

    let commands = bench.key.card().commands();
    bench.key.card().misbehave(Misbehaviour::EjectAfter(commands + 2));
    bench.tell(&verify("123456"));
    bench.refused(&Request::Authenticate { protected: false });
    bench.key.wait_ejected().expect("pcscd noticed");
}

#[test]
fn several_keys_share_a_pcscd_and_come_and_go_by_themselves() {
    let scratch = Scratch::new("rig").expect("scratch");
    let roots = AttestationRoots::create().expect("attestation roots");
    let pcscd = Pcscd::start(&scratch.directory("pcscd").expect("directory"), 4).expect("pcscd");
    let keys: Vec<_> = (0..4)
        .map(|index| {
            let serial = 31_000_000 + u32::try_from(index).expect("small");
            PluggedYubiKey::plug(&pcscd, index, Profile::new(serial, NEW), &roots, None).expect("plugged in")
        })
        .collect();
    for key in &keys {
        let mut probe = pcscd.probe().expect("probe");
        let version: String = probe.ask(&Request::Open { serial: key.serial() }).expect("opened by serial");
        assert_eq!(version, "5.7.2");
    }
    keys[2].eject().expect("pcscd noticed");
    let mut probe = pcscd.probe().expect("probe");
    let readers: Vec<Reader> = probe.ask(&Request::Readers).expect("listed");
    let present =
        |key: &PluggedYubiKey| readers.iter().any(|seen| seen.name == key.reader().name && seen.present);
    assert_eq!(keys.iter().map(present).collect::<Vec<_>>(), [true, true, false, true]);
    probe.tell(&Request::Open { serial: keys[2].serial() }).expect_err("it is out");
    keys[2].insert().expect("pcscd noticed");
    probe.tell(&Request::Open { serial: keys[2].serial() }).expect("it is back");
}

#[test]
fn other_peoples_tools_work_with_it() {
    let mut bench = Bench::new(Profile::new(30_000_013, NEW));
    bench.log_in();
    let public_key = bench.generate("9a", "p256");
    let authority = SoftAuthority::new("Some CA").expect("authority");
    let certificate =
        authority.client_for(&[(DnType::CommonName, "Taro")], &public_key).expect("certificate");
    store_certificate(&mut bench, &certificate);
    // The tools want the card for themselves.
    bench.probe = bench.pcscd.probe().expect("probe");

    let opensc =
        opensc_environment(&bench.pcscd, bench.key.reader(), bench.scratch.path()).expect("opensc.conf");
    let opensc = |program: &str, arguments: &[&str]| {
        run(Command::new(program).args(arguments).envs(opensc.iter().cloned())).expect("the tool works")
    };
    let name = opensc("piv-tool", &["--name"]);
    assert!(name.contains("Personal Identity Verification"), "{name}");
    let objects = opensc("pkcs11-tool", &["--module", OPENSC_MODULE, "--login", "--pin", "123456", "-O"]);
    assert!(objects.contains("Certificate for PIV Authentication"), "{objects}");
    assert!(objects.contains("PIV AUTH key"), "{objects}");
    let digest = bench.scratch.write("digest", sha256(b"order")).expect("written").display().to_string();
    let signed = bench.scratch.join("signed").display().to_string();
    opensc(
        "pkcs11-tool",
        &[
            "--module",
            OPENSC_MODULE,
            "--login",
            "--pin",
            "123456",
            "--sign",
            "--mechanism",
            "ECDSA",
            "--id",
            "01",
            "--signature-format",
            "openssl",
            "--input-file",
            &digest,
            "--output-file",
            &signed,
        ],
    );
    bench.assert_signature(&public_key, b"order", &fs::read(&signed).expect("a signature"));

    let yubico = |arguments: &[&str]| {
        let mut command = Command::new("yubico-piv-tool");
        command.args(arguments).envs(bench.pcscd.environment().iter().cloned());
        let output = output_of(&mut command, b"").expect("started");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(yubico(&["-a", "version"]).contains("5.7.2"));
    let status = yubico(&["-a", "status"]);
    assert!(
        status.contains("30000013") && status.contains("CN=Taro") && status.contains("PIN tries left:\t3"),
        "{status}"
    );
    let attestation = yubico(&["-a", "attest", "-s", "9a"]);
    assert!(attestation.contains("BEGIN CERTIFICATE"), "{attestation}");
}

/// yubico-piv-tool does what its owner might. Debian's doesn't know AES management keys, hence the old firmware.
#[test]
fn the_vendors_own_tool_manages_it() {
    let mut bench = Bench::new(Profile::new(14_000_018, OLD));
    bench.probe = bench.pcscd.probe().expect("probe");
    let environment = bench.pcscd.environment().clone();
    let directory = bench.scratch.path().to_owned();
    let tool = |arguments: &[&str]| {
        let mut command = Command::new("yubico-piv-tool");
        command.args(arguments).current_dir(&directory).envs(environment.iter().cloned());
        let output = output_of(&mut command, b"").expect("started");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let works = |arguments: &[&str]| {
        let (success, text) = tool(arguments);
        assert!(success, "{arguments:?}: {text}");
        text
    };
    let verified = ["-a", "verify-pin", "-P", "123456"];
    works(&[&verified[..], &["-a", "pin-retries", "--pin-retries", "5", "--puk-retries", "4"]].concat());
    assert_eq!((bench.key.state().pin.limit, bench.key.state().puk.limit), (5, 4));

    openssl::openssl(&["genrsa", "-out", &directory.join("rsa.pem").display().to_string(), "2048"])
        .expect("a key");
    works(&["-a", "import-key", "-s", "9d", "-i", "rsa.pem", "--pin-policy", "once"]);
    works(&["-a", "generate", "-s", "9a", "-A", "ECCP256", "-o", "public.pem"]);
    let rsa = directory.join("rsa.pem").display().to_string();
    openssl::openssl(&[
        "pkey",
        "-in",
        &rsa,
        "-pubout",
        "-out",
        &directory.join("rsa-public.pem").display().to_string(),
    ])
    .expect("public");
    let authority = SoftAuthority::new("Some CA").expect("authority");
    for (slot, public) in [("9a", "public.pem"), ("9d", "rsa-public.pem")] {
        let public = openssl::openssl_with_input(
            &[
                "pkey",
                "-pubin",
                "-in",
                &directory.join(public).display().to_string(),
                "-outform",
                "DER",
                "-pubout",
            ],
            b"",
        );
        let certificate =
            authority.client_for(&[(DnType::CommonName, "x")], &public.expect("a key")).expect("certificate");
        let certificate =
            openssl::openssl_with_input(&["x509", "-inform", "DER"], &certificate).expect("PEM");
        bench.scratch.write("certificate.pem", certificate).expect("written");
        works(&["-a", "import-certificate", "-s", slot, "-i", "certificate.pem"]);
        let used = ["-a", "verify-pin", "-P", "123456", "-s", slot, "-i", "certificate.pem", "-a"];
        works(&[&used[..], &["test-signature"]].concat());
        // RSA decryption, and agreement on a secret with the curve.
        works(&[&used[..], &["test-decipher"]].concat());
    }
    let (success, text) = tool(&["-a", "attest", "-s", "9d"]);
    assert!(!success, "an imported key was attested: {text}");

    works(&["-a", "set-chuid", "-a", "set-ccc"]);
    assert!(works(&["-a", "status"]).contains("CHUID:\t30"));
    let (success, text) = tool(&["-a", "reset"]);
    assert!(!success, "reset with a PIN that isn't blocked: {text}");
    for _ in 0..5 {
        tool(&["-a", "verify-pin", "-P", "000000"]);
    }
    for _ in 0..4 {
        tool(&["-a", "change-puk", "-P", "00000000", "-N", "11111111"]);
    }
    works(&["-a", "reset"]);
    let state = bench.key.state();
    assert!(state.slots.is_empty() && state.objects.len() == 1, "only f9 is left");
    assert_eq!(state.pin.left, 3);
}

#[test]
fn keys_move_and_vanish_from_firmware_5_7() {
    for (firmware, serial, expected) in [(OLD, 14_000_019, "6d00"), (NEW, 30_000_019, "9000")] {
        let mut bench = Bench::new(Profile::new(serial, firmware));
        bench.log_in();
        let public_key = bench.generate("9a", "p256");
        let reader = bench.key.reader().name.clone();
        // Beside the open session, which has proven the management key.
        let mut command = |command: &str| {
            let request = Request::Transmit { reader: reader.clone(), commands: vec![command.to_owned()] };
            bench.probe.ask::<Vec<String>>(&request).expect("answered").concat()
        };
        assert_eq!(command("00f6829a00"), expected);
        if firmware == OLD {
            continue;
        }
        assert_eq!(command("00f79a00"), "6a88");
        assert!(command("00f7008200").ends_with("9000"));
        assert_eq!(bench.key.state().slots.len(), 1);
        let signature = bench.sign("82", "p256", &sha256(b"order")).expect("signed");
        bench.assert_signature(&public_key, b"order", &signature);
    }
}

fn store_certificate(bench: &mut Bench, der: &[u8]) {
    let length = u16::try_from(der.len()).expect("short").to_be_bytes();
    let mut content = vec![0x70, 0x82, length[0], length[1]];
    content.extend(der);
    content.extend([0x71, 1, 0, 0xfe, 0]);
    bench.tell(&Request::Save { object: "5fc105".into(), content: hex::encode(content) });
}

#[test]
fn a_tls_client_logs_in_with_the_keys_of_cards() {
    for (algorithm, firmware, serial) in [
        ("p256", NEW, 30_000_014),
        ("p384", NEW, 30_000_015),
        ("rsa2048", OLD, 14_000_016),
        ("rsa3072", NEW, 30_000_017),
    ] {
        let mut bench = Bench::new(Profile::new(serial, firmware));
        bench.log_in();
        let public_key = bench.generate("9a", algorithm);
        let authority = SoftAuthority::new("Some CA").expect("authority");
        let certificate =
            authority.client_for(&[(DnType::CommonName, "Hanako")], &public_key).expect("certificate");
        store_certificate(&mut bench, &certificate);
        bench.probe = bench.pcscd.probe().expect("probe");

        let directory = bench.scratch.path();
        let trust = bench.scratch.write("trust.pem", authority.certificate()).expect("written");
        let server = authority.server(&["localhost"]).expect("server certificate");
        let (certificate, key) = server.write(directory, "server").expect("written");
        let port = PortLease::one().expect("port");
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-tls1_3", "-Verify", "2", "-verify_return_error"]);
        command.arg("-accept").arg(port.address().to_string());
        command.arg("-cert").arg(&certificate).arg("-key").arg(&key).arg("-CAfile").arg(&trust);
        let mut server = Process::spawn("s_server", &mut command, directory).expect("started");
        server.wait_for_log("ACCEPT", DEADLINE).expect("listening");

        let url = format!("https://localhost:{}/", port.port());
        let client = |pin: &str| {
            CardClient::new(&bench.pcscd, bench.key.reader(), 0x9a, pin, &trust, &directory.join("client"))
                .expect("client")
        };
        let response = client("123456").get(&url).unwrap_or_else(|error| panic!("{algorithm}: {error:#}"));
        assert_eq!(response.status, 200);
        assert!(
            response.text().contains("CN=Hanako") || response.text().contains("CN = Hanako"),
            "{}",
            response.text()
        );
        client("999999").get(&url).expect_err("a wrong PIN");
        assert_eq!(bench.key.state().pin.left, 2, "one attempt, not more");
    }
}

#[test]
fn the_program_keeps_its_state_and_obeys() {
    let scratch = Scratch::new("rig").expect("scratch");
    let program = binaries::find("virtual-yubikey").expect("built");
    let roots = scratch.join("roots");
    run(Command::new(&program).arg("--new-attestation-root").arg(&roots)).expect("made");
    let pcscd = Pcscd::start(&scratch.directory("pcscd").expect("directory"), 1).expect("pcscd");
    let reader = pcscd.reader(0).expect("a reader").clone();
    let wait = |present: bool| {
        let mut probe = pcscd.probe().expect("probe");
        let reader = reader.name.clone();
        probe.tell(&Request::Wait { reader, present, timeout: 20_000 }).expect("pcscd noticed");
    };
    let start = || {
        let mut command = Command::new(&program);
        command.args(["--serial", "12345", "--firmware", "5.7.4", "--vpcd", &reader.vpcd.to_string()]);
        command.arg("--attestation").arg(&roots).arg("--state").arg(scratch.join("state.json"));
        let process =
            Process::spawn_with_input("virtual-yubikey", &mut command, scratch.path()).expect("started");
        wait(true);
        process
    };

    let mut process = start();
    let mut probe = pcscd.probe().expect("probe");
    probe.tell(&Request::Open { serial: 12345 }).expect("opened");
    probe.tell(&verify("123456")).expect("verified");
    probe.tell(&Request::Authenticate { protected: false }).expect("authenticated");
    let generate = Request::Generate { slot: "9a".into(), algorithm: "p256".into(), pin: 0, touch: 0 };
    probe.tell(&generate).expect("generated");
    let attest = Request::Attest { slot: "9a".into() };
    let key_of = |certificate: &[u8]| {
        openssl::openssl_with_input(&["x509", "-inform", "DER", "-noout", "-pubkey"], certificate)
            .expect("a key")
    };
    let before = key_of(&probe.ask_bytes(&attest).expect("attested"));

    process.signal(Signal::USR1).expect("signalled");
    wait(false);
    process.signal(Signal::USR2).expect("signalled");
    wait(true);
    process.write_line("eject").expect("told");
    wait(false);
    process.write_line("insert").expect("told");
    wait(true);
    assert!(process.terminate(DEADLINE).expect("ended").success(), "{}", process.log());
    wait(false);

    let _process = start();
    let mut probe = pcscd.probe().expect("probe");
    probe.tell(&Request::Open { serial: 12345 }).expect("opened");
    assert_eq!(key_of(&probe.ask_bytes(&attest).expect("attested")), before);
}

#[test]
fn the_program_explains_what_it_cannot_do() {
    let program = binaries::find("virtual-yubikey").expect("built");
    let words = |arguments: &[&str]| {
        let output = output_of(Command::new(&program).args(arguments), b"").expect("started");
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(words(&[]).contains("--attestation"));
    assert!(words(&["--attestation", "/nowhere", "--serial", "1"]).contains("/nowhere/first.pem"));
    assert!(words(&["--attestation", "x", "--serial", "1", "--firmware", "5"]).contains("like 5.7.2"));
    assert!(words(&["--attestation", "x", "--serial", "1", "--misbehave", "y"]).contains("misbehaviour"));
}
