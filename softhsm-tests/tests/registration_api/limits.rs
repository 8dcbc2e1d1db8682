//! What can't be read, what is too much, connections that break, and many requests at once.

use std::{collections::HashSet, io::Read, sync::mpsc, thread};

use ca_wire::{
    enrolment::Opened,
    machine::{Batch, CertifyEntry, Stage},
    problem::Code,
};
use reqwest::{
    Method,
    blocking::{Body, Response},
};
use rustix::process::Signal;
use serde_json::json;
use softhsm_tests::{bank::NewMachine, wait::until};

use crate::rig::{Branch, CERTIFY, CONFIRM, OPEN, QUERY, TERMINALS, certifications, done, openings, refused};

#[test]
fn what_cannot_be_read_is_refused_as_a_whole() {
    let branch = Branch::open("registration-malformed");
    let machine = &branch.machine;
    for path in [OPEN, CERTIFY, CONFIRM, QUERY] {
        let post = || machine.request(Method::POST, path);
        let text = |body: String| post().header("content-type", "application/json").body(body);
        refused(path, post().body("{}"), 415, Code::MalformedRequest);
        refused(path, text("{".to_owned()), 400, Code::MalformedRequest);
        refused(path, text("{}".to_owned()), 400, Code::MalformedRequest);
        refused(path, text("[".repeat(5_000)), 400, Code::MalformedRequest);
        refused(path, text(r#"{"entries": []}"#.to_owned()), 400, Code::MalformedRequest);
        refused(path, text(r#"{"entries": [], "more": 1}"#.to_owned()), 400, Code::MalformedRequest);
        refused(path, post().json(&json!({ "entries": vec![json!({}); 101] })), 413, Code::TooLarge);
        refused(path, text(" ".repeat(4 << 20)), 413, Code::TooLarge);
        refused(path, machine.request(Method::DELETE, path), 405, Code::MalformedRequest);
    }
    for path in
        ["/machine", "/machine/", "/machine/v1", "/machine/v2/enrolments", "/machine/v1/enrolments/x/y"]
    {
        refused(path, machine.request(Method::GET, path), 404, Code::NotFound);
    }
    for id in ["x", "%7B7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f%7D", "7F3A1B9E-3D0C-4D4E-9D5B-0A2B6C8D1E2F"] {
        refused(id, machine.request(Method::GET, &format!("{OPEN}/{id}")), 404, Code::NotFound);
    }
}

/// A body that doesn't end until it is told to.
struct Unending(mpsc::Receiver<()>);

impl Read for Unending {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        // The other end went away: the body ends.
        self.0.recv().map_or(Ok(0), |()| Ok(0))
    }
}

#[test]
fn a_machine_that_asks_too_much_is_told_when_to_come_again() {
    let slow = NewMachine { more: "entries_per_second = 1", ..NewMachine::trusted("slow") };
    let single = NewMachine { more: "requests_at_a_time = 1", ..NewMachine::trusted("single") };
    let branch = Branch::with("registration-limits", vec![TERMINALS, slow, single]);
    let client = branch.client("slow");
    let batch = || client.request(Method::POST, OPEN).json(&json!({ "entries": vec![json!({}); 100] }));
    assert_eq!(batch().send().expect("a response").status().as_u16(), 200);
    let told = refused("too fast", batch(), 429, Code::RateLimited);
    let seconds: u32 = told.expect("when").parse().expect("seconds");
    assert!((1..=100).contains(&seconds), "{seconds}");

    let client = branch.client("single");
    let (end, ended) = mpsc::channel();
    let hanging = client.request(Method::POST, OPEN).header("content-type", "application/json");
    let hanging = hanging.body(Body::new(Unending(ended)));
    let hanging = thread::spawn(move || hanging.send());
    let other = || client.request(Method::GET, &format!("{OPEN}/x"));
    let answers = |status: u16| {
        let answered = |answer: &reqwest::Result<_>| {
            answer.as_ref().is_ok_and(|response: &Response| response.status() == status)
        };
        until(&format!("an answer {status}"), || other().send(), answered).expect("awaited");
    };
    // The place is taken.
    answers(503);
    let told = refused("a second request", other(), 503, Code::Unavailable);
    assert_eq!(told.as_deref(), Some("1"));
    drop(end);
    let _ = hanging.join().expect("no panic");
    answers(404);
    // None of it is another machine's concern.
    refused(
        "an empty batch",
        branch.machine.request(Method::POST, OPEN).json(&json!({ "entries": [] })),
        400,
        Code::MalformedRequest,
    );
    assert!(branch.whys("machine.refused").contains("machine-throttled"));
}

/// A connection that breaks cancels nothing: what was begun is finished, and a repeat fetches it.
#[test]
fn a_dropped_connection_cancels_nothing() {
    let branch = Branch::open("registration-dropped");
    let users = branch.users(10);
    let opened = branch.opened(openings(&users));
    let entries = certifications(&users, &opened);
    let signer = branch.house.bank.signer.as_ref().expect("running");
    signer.signal(Signal::STOP).expect("stopped");
    let (machine, relay) = branch.machine.by_relay().expect("a relay");
    let request = machine.request(Method::POST, CERTIFY).json(&Batch { entries: entries.clone() });
    let stage = |opened: &Opened| branch.machine.enrolment(opened.enrolment_id).expect("a status").stage;
    let stages = || opened.iter().map(stage).collect::<Vec<_>>();
    thread::scope(|scope| {
        let request = scope.spawn(|| request.send());
        until("the work's beginning", stages, |stages| stages.contains(&Stage::Intended));
        // Nobody listens there.
        relay.lead_to(1);
        request.join().expect("no panic").expect_err("a broken connection");
    });
    signer.signal(Signal::CONT).expect("going on");
    until("every certificate", stages, |stages| stages.iter().all(|stage| *stage == Stage::Issued));
    let results = branch.machine.certify(entries).expect("results");
    assert!(results.iter().all(|result| result.status == 200), "{results:?}");
    assert_eq!(branch.journaled(), 10);
}

/// 64 requests at once on one HTTP/2 connection; each certificate once.
#[test]
fn sixty_four_requests_in_flight_get_a_certificate_each() {
    let branch = Branch::open("registration-in-flight");
    let users = branch.users(64);
    let opened = branch.opened(openings(&users));
    let entries = certifications(&users, &opened);
    let certificates: HashSet<Vec<u8>> = thread::scope(|scope| {
        let ask = |entry: &CertifyEntry| {
            let (machine, entry) = (branch.machine.clone(), entry.clone());
            scope.spawn(move || done(machine.certify(vec![entry]).expect("results").remove(0)))
        };
        let asked: Vec<_> = entries.iter().map(ask).collect();
        asked.into_iter().map(|one| one.join().expect("no panic").certificate.0).collect()
    });
    assert_eq!((certificates.len(), branch.journaled()), (64, 64));
    branch.house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}
