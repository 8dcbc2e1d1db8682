//! The rig itself: virtual YubiKeys behind a real pcscd, used by other people's software.

mod attestation;
mod program;
mod tools;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use softhsm_tests::{
    openssl,
    pcscd::Pcscd,
    ports,
    probe::{Probe, Reader, Request},
    scratch::Scratch,
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
fn virtual_readers_listen_on_loopback_only() {
    let scratch = Scratch::new("rig").expect("scratch");
    let pcscd = Pcscd::start(&scratch.directory("pcscd").expect("directory"), 3).expect("pcscd");
    let listeners = ports::listeners(pcscd.id()).expect("a list");
    for reader in pcscd.readers() {
        assert!(listeners.contains(&reader.vpcd), "{} is missing in {listeners:?}", reader.vpcd);
    }
    assert!(listeners.iter().all(|address| address.ip().is_loopback()), "{listeners:?}");
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
