//! Renewal on tokens that nobody vouches for: the new key lives in another slot, and the next renewal goes back.

use std::path::Path;

use jiff::SignedDuration;
use serde_json::{Value, json};
use softhsm_tests::{bank::Options, process::Environment, softhsm::MODULE, virtual_yubikey::Profile};

use crate::{
    others::{CARD, Room, trusting},
    rig::House,
};

/// A renewal's key needs another slot than its predecessor's.
fn with_two_slots() -> Options {
    fn adjust(configuration: &mut toml::Table) {
        if let Some(adjust) = trusting().adjust {
            adjust(configuration);
        }
        let policy = configuration["policy"].as_table_mut().expect("a table");
        let yubikey = policy.entry("yubikey").or_insert_with(|| toml::Table::new().into());
        let slots = vec!["9a", "9c"].into();
        yubikey.as_table_mut().expect("a table").insert("slots".into(), slots);
    }
    Options { adjust: Some(adjust), ..Options::default() }
}

fn renew(room: &Room, house: &House, serial: &str, clock: &Environment, more: &[&str]) -> Value {
    let file = |path: &Path| path.to_string_lossy().into_owned();
    let (url, trust) = (house.bank.urls().public, file(&house.bank.path("tls/ca.pem")));
    let (login, pin) = (file(&house.bank.secret("login")), file(&house.bank.secret("token-pin")));
    let mut command = room.desk.agent_command().expect("inro-agent");
    command.envs(room.vendor.environment()).envs(clock.iter().cloned());
    command.args(["--pkcs11-module", MODULE, "--json", "renew", "--server", &url, "--ca-file", &trust]);
    command.args(["--token", serial, "--password-file", &login, "--pin-file", &pin]).args(more);
    let output = command.output().expect("inro-agent runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{words}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn slots_alternate_on_other_makers_tokens() {
    let (mut house, clock) = House::with_clock("renewed", &with_two_slots());
    let environment = clock.environment().expect("a clock");
    let room = Room::with(&house, Profile::foreign(CARD));
    let tokens = room.tokens(&house);
    for (user, kind, serial, pin) in &tokens {
        let output = room.enroll(&house, user, serial, pin, &["--algorithm", "p256"]);
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (year, slot) in [(1, "9c"), (2, "9a")] {
        clock.clock(SignedDuration::from_hours(24 * 340 * year)).expect("a clock");
        house.bank.signer = None;
        house.bank.start_signer().expect("a signer");
        house.bank.authority = None;
        house.bank.start_authority().expect("an authority");
        for (_, kind, serial, _) in &tokens {
            let renewed = renew(&room, &house, serial, &environment, &["--algorithm", "p256"]);
            assert_eq!(renewed["renewed"]["slot"], slot, "{kind}: {renewed}");
            let cleared = renew(&room, &house, serial, &environment, &["--grace-hours", "0"]);
            assert_eq!(cleared["superseded"][0]["state"], "erased", "{kind}: {cleared}");
            assert_eq!(cleared["superseded"][0]["successor"]["place"], slot, "{kind}: {cleared}");
            let listed = room.agent(&["list", "--token", serial]);
            let left: Vec<&Value> =
                listed["certificates"].as_array().expect("a list").iter().map(|row| &row["slot"]).collect();
            assert_eq!(left, [&json!(slot)], "{kind}: {listed}");
        }
    }
}
