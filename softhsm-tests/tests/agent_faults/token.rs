//! The token pulled out, swapped, or its PIN blocked by another program, at every command that counts.

use std::{thread, time::Duration};

use softhsm_tests::{
    virtual_yubikey::{Card, Firmware, Misbehaviour, Profile, Touch},
    yubikey::PluggedYubiKey,
};

use super::{
    bench::{Bench, NEW, OLD},
    desk::{Desk, Flow},
};

const FLOWS: [Flow; 3] = [Flow::Obtain, Flow::Renew, Flow::ClearAway];

fn pulled_out_at_every_step(flow: Flow) {
    let desk = Desk::new(flow, NEW);
    let steps = desk.steps();
    assert!(steps.len() > 20, "{flow:?}: {steps:?}");
    for step in steps {
        let when = format!("{flow:?}, pulled out at command {step}");
        desk.begin();
        let key = &desk.bench.keys[0];
        key.card().misbehave(Misbehaviour::EjectAfter(step));
        let run = desk.run();
        assert!(matches!(run.status(), 3 | 7), "{when}: {run:?}");
        assert_ne!(run.error()["message"], "", "{when}: {run:?}");
        key.wait_ejected().unwrap_or_else(|error| panic!("{when}: {error:#}"));
        desk.assert_a_working_certificate(&when);
        key.insert().unwrap_or_else(|error| panic!("{when}: {error:#}\n{run:?}"));
        let run = desk.run();
        desk.assert_done(&run, &when);
    }
}

#[test]
fn pulled_out_at_every_step_of_obtaining() {
    pulled_out_at_every_step(Flow::Obtain);
}

#[test]
fn pulled_out_at_every_step_of_renewing() {
    pulled_out_at_every_step(Flow::Renew);
}

#[test]
fn pulled_out_at_every_step_of_clearing_away() {
    pulled_out_at_every_step(Flow::ClearAway);
}

/// While it is away the agent says so, and nothing is lost.
#[test]
fn a_token_that_stays_away_is_asked_for() {
    for flow in [Flow::Obtain, Flow::Renew] {
        let desk = Desk::new(flow, NEW);
        desk.begin();
        let key = &desk.bench.keys[0];
        // GENERATE.
        key.card().misbehave(Misbehaviour::EjectAt(0x47));
        let run = desk.run();
        assert_eq!(run.status(), 7, "{flow:?}: {run:?}");
        key.wait_ejected().expect("pulled out");
        let away = desk.run();
        assert!(matches!(away.status(), 3 | 7), "{flow:?}: {away:?}");
        assert!(away.stderr.contains("connected"), "{flow:?}: {away:?}");
        key.insert().expect("inserted");
        let run = desk.run();
        desk.assert_done(&run, "back again");
    }
}

fn blocked_at_every_step(flow: Flow) {
    let desk = Desk::new(flow, NEW);
    let mut noticed = 0;
    for step in desk.steps() {
        let when = format!("{flow:?}, blocked before command {step}");
        desk.begin();
        desk.bench.keys[0].card().misbehave(Misbehaviour::BlockPinAfter(step));
        let run = desk.run();
        desk.assert_a_working_certificate(&when);
        if run.status() != 0 {
            noticed += 1;
            assert_eq!(run.status(), 4, "{when}: {run:?}");
            assert!(run.stderr.contains("blocked"), "{when}: {run:?}");
            desk.bench.keys[0].card().unblock_pin();
            let run = desk.run();
            desk.assert_done(&run, &when);
        } else {
            desk.assert_done(&run, &when);
        }
    }
    assert!(noticed > 5, "{flow:?}: {noticed}");
}

#[test]
fn blocked_at_every_step_of_obtaining() {
    blocked_at_every_step(Flow::Obtain);
}

#[test]
fn blocked_at_every_step_of_renewing() {
    blocked_at_every_step(Flow::Renew);
}

#[test]
fn blocked_at_every_step_of_clearing_away() {
    blocked_at_every_step(Flow::ClearAway);
}

/// Puts another token into the reader as soon as the first one is out, while the agent goes on.
fn swapped_at(desk: &Desk, step: u64, when: &str) {
    desk.begin();
    let (bench, key) = (&desk.bench, &desk.bench.keys[0]);
    key.card().misbehave(Misbehaviour::EjectAfter(step));
    let card = Card::new(Profile::new(9_999_999, NEW), bench.roots.authority(NEW), None).expect("a card");
    let (run, other) = thread::scope(|scope| {
        let agent = scope.spawn(|| desk.run());
        while key.is_inserted() && !agent.is_finished() {
            thread::sleep(Duration::from_millis(2));
        }
        key.wait_ejected().unwrap_or_else(|error| panic!("{when}: {error:#}"));
        let other = PluggedYubiKey::plug_card(&bench.pcscd, 0, card).expect("plugged in");
        (agent.join().expect("the agent ran"), other)
    });
    assert!(matches!(run.status(), 3 | 7), "{when}: {run:?}");
    desk.assert_a_working_certificate(when);
    let stranger = other.state();
    assert!(stranger.slots.is_empty() && stranger.pin.is_factory(), "{when}: the other token is untouched");
    assert!(!stranger.objects.contains_key(&0x005f_c105), "{when}: nothing on the other token");
    other.eject().expect("ejected");
    drop(other);
    key.insert().expect("inserted");
    let run = desk.run();
    desk.assert_done(&run, when);
}

#[test]
fn swapped_at_every_kind_of_step() {
    for flow in FLOWS {
        let desk = Desk::new(flow, NEW);
        let steps = desk.steps();
        // Each swap takes seconds; pulling out is done at every step.
        for step in steps.iter().skip(1).step_by((steps.len() / 9).max(1)) {
            swapped_at(&desk, *step, &format!("{flow:?}, swapped at command {step}"));
        }
    }
}

/// On firmware that moves no keys, slots alternate.
#[test]
fn older_firmware_keeps_the_new_certificate_where_it_is() {
    let bench = Bench::one(OLD);
    bench.server.bank.certify_for(20);
    let run = bench.enroll(&[]);
    assert_eq!(run.status(), 0, "{run:?}");
    let run = super::desk::renew(&bench, &[]);
    assert_eq!(
        (run.status(), run.json()["renewed"]["slot"].as_str().map(str::to_owned)),
        (0, Some("9c".into()))
    );
    let state = bench.state();
    assert!(state.slots.contains_key(&0x9a) && state.slots.contains_key(&0x9c));
    let run = super::desk::renew(&bench, &["--grace-hours", "0"]);
    assert_eq!(run.status(), 0, "{run:?}");
    let json = run.json();
    assert_eq!(
        (&json["renewed"], &json["superseded"][0]["state"]),
        (&serde_json::Value::Null, &"erased".into())
    );
    assert_eq!(json["superseded"][0]["successor"]["place"], "9c");
    let list = super::bench::Run::of(&mut bench.agent(&["list", "--json"])).json();
    let left: Vec<&str> =
        list["certificates"].as_array().expect("a list").iter().filter_map(|c| c["slot"].as_str()).collect();
    assert_eq!(left, ["9c"]);
    let tokens = super::bench::Run::of(&mut bench.agent(&["tokens", "--json"])).json();
    assert_eq!(tokens["readers"][0]["token"]["slots"].as_array().map(Vec::len), Some(1), "{tokens}");
}

#[test]
fn nobody_touching_the_token_is_said_and_the_old_certificate_stays() {
    let mut profile = Profile::new(7_654_321, NEW);
    profile.touch = Touch::After(Duration::ZERO);
    let bench = Bench::new(vec![profile]);
    bench.server.bank.certify_for(20);
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "the first certificate");
    bench.keys[0].card().nobody_touches();
    let run = super::desk::renew(&bench, &[]);
    assert_eq!((run.status(), run.error()["resumable"].as_bool()), (3, Some(true)), "{run:?}");
    assert_eq!(bench.server.bank.issued(), 1);
    let state = bench.state();
    assert!(state.objects.contains_key(&0x005f_c105) && state.slots.contains_key(&0x9a));
}

/// A firmware that none has: the agent knows nothing of it and asks the token.
#[test]
fn a_renewal_of_nothing_says_from_when_on_there_is_something() {
    let bench = Bench::one(Firmware(5, 7, 4));
    let run = super::desk::renew(&bench, &[]);
    assert_eq!((run.status(), &run.json()["renewed"]), (0, &serde_json::Value::Null), "{run:?}");
    let run = bench.enroll(&[]);
    bench.assert_done(&run, "a certificate");
    let run = super::desk::renew(&bench, &["--lang", "ja"]);
    let json = run.json();
    assert_eq!((run.status(), &json["certificates"][0]["renewal"]), (0, &"not-yet".into()), "{run:?}");
    assert!(json["certificates"][0]["renewal_opens"].is_string(), "{json}");
    // The bank's clock counts, so a certificate that is named is asked for.
    let serial = json["certificates"][0]["serial"].as_str().expect("a serial").to_owned();
    let run = super::desk::renew(&bench, &["--serial", &serial]);
    assert_eq!((run.status(), bench.server.bank.issued()), (0, 2), "{run:?}");
    let run = super::desk::renew(&bench, &["--serial", "00ff"]);
    assert_eq!(run.status(), 2, "{run:?}");
}
