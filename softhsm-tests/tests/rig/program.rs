//! The virtual YubiKey as a program of its own.

use std::process::Command;

use softhsm_tests::{
    binaries, openssl,
    pcscd::Pcscd,
    probe::Request,
    process::{Process, Signal, output_of, run},
    scratch::Scratch,
};

use crate::{DEADLINE, verify};

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
