//! The connection breaks at every request, before or after it took effect; or it stands, and the answer never comes to its
//! end.

use super::{
    bench::NEW,
    desk::{Desk, Flow},
    server::{Manner, Stall},
};

fn broken_at_every_request(flow: Flow) {
    let desk = Desk::new(flow, NEW);
    desk.begin();
    let run = desk.run();
    desk.assert_done(&run, "undisturbed");
    let requests = desk.bench.server.bank.requests();
    assert_eq!(requests, 4, "version, authentication, certificate, confirmation");
    for request in 0..requests {
        for after in [false, true] {
            let when = format!("{flow:?}, request {request}, after: {after}");
            desk.begin();
            desk.bench.server.bank.behave(Manner::Breaks { request, after });
            let run = desk.run();
            // Before the first answer of step 1 there is nothing to resume.
            let expected = if request < 2 { 6 } else { 7 };
            assert_eq!(run.status(), expected, "{when}: {run:?}");
            assert!(!run.stderr.is_empty(), "{when}: {run:?}");
            desk.assert_a_working_certificate(&when);
            desk.bench.server.bank.behave(Manner::Honest);
            let run = desk.run();
            desk.assert_done(&run, &when);
        }
    }
}

#[test]
fn broken_at_every_request_of_obtaining() {
    broken_at_every_request(Flow::Obtain);
}

#[test]
fn broken_at_every_request_of_renewing() {
    broken_at_every_request(Flow::Renew);
}

fn stalled_at_every_request(flow: Flow) {
    let desk = Desk::new(flow, NEW);
    // The usual time is a minute.
    desk.bench.configure("timeout_seconds = 4");
    for request in 0..4 {
        // The confirmation's answer has no content that could come in parts.
        let ways = [Stall::Silent, Stall::Half, Stall::Drips];
        for how in ways.into_iter().take(if request == 3 { 1 } else { 3 }) {
            let when = format!("{flow:?}, request {request}, {how:?}");
            desk.begin();
            desk.bench.server.bank.behave(Manner::Stalls { request, how });
            let run = desk.run();
            let expected = if request < 2 { 6 } else { 7 };
            assert_eq!(run.status(), expected, "{when}: {run:?}");
            assert!(run.stderr.contains("didn't answer in time"), "{when}: {run:?}");
            assert!(run.stderr.contains("run the same command again"), "{when}: {run:?}");
            if request < 2 {
                assert!(desk.is_untouched(), "{when}: nothing has happened on the token");
            }
            desk.assert_a_working_certificate(&when);
            desk.bench.server.bank.behave(Manner::Honest);
            let run = desk.run();
            desk.assert_done(&run, &when);
        }
    }
}

#[test]
fn stalled_at_every_request_of_obtaining() {
    stalled_at_every_request(Flow::Obtain);
}

#[test]
fn stalled_at_every_request_of_renewing() {
    stalled_at_every_request(Flow::Renew);
}

#[test]
fn clearing_away_needs_no_network() {
    let desk = Desk::new(Flow::ClearAway, NEW);
    desk.begin();
    desk.bench.server.bank.behave(Manner::Fails);
    let run = desk.run();
    desk.assert_done(&run, "without a server");
    assert_eq!(desk.bench.server.bank.requests(), 0, "nothing was asked");
}
