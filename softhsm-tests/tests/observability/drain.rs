//! The end of an authority that is at work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::Signal;
use softhsm_tests::{
    bank::{EnrolmentClient, NewUser, SoftToken, fetch},
    virtual_yubikey::{Firmware, Profile},
    wait::until,
};

use crate::{
    customers::{CONTRACT, House},
    ends_well, restart, section,
};

/// What the load has met.
#[derive(Default)]
struct Met {
    answered: AtomicUsize,
    /// Of requests that began when the authority had been told to end.
    answered_late: AtomicUsize,
    /// Certificates that clients hold.
    issued: AtomicUsize,
    ending: AtomicBool,
    stop: AtomicBool,
}

fn paused(name: &str, pause: &str) -> House {
    let mut house = House::open(name);
    restart(&mut house, &[], |table| {
        section(table, "shutdown").insert("pause".to_owned(), pause.into());
    });
    house
}

/// Asks again and again until nothing new is accepted; whatever was accepted must be answered.
fn visit_until_refused(client: &reqwest::blocking::Client, url: &str, met: &Met) {
    while !met.stop.load(Ordering::Relaxed) {
        let late = met.ending.load(Ordering::Relaxed);
        match client.get(url).send().and_then(|response| response.error_for_status()?.bytes()) {
            Ok(_) => {
                met.answered.fetch_add(1, Ordering::Relaxed);
                met.answered_late.fetch_add(usize::from(late), Ordering::Relaxed);
            }
            Err(error) if error.is_connect() => return,
            Err(error) => panic!("a request to {url} was cut off: {error:?}"),
        }
    }
}

fn clients(house: &House) -> [(reqwest::blocking::Client, String); 3] {
    let trust = std::fs::read(house.bank.path("tls/ca.pem")).expect("the server's authority");
    let authority = reqwest::Certificate::from_pem(&trust).expect("a certificate");
    let builder = || reqwest::blocking::Client::builder().tls_certs_only([authority.clone()]).no_proxy();
    let urls = house.bank.urls();
    [
        (builder().http1_only().build().expect("a client"), urls.public.clone()),
        (builder().build().expect("a client"), urls.public),
        (builder().build().expect("a client"), format!("{}/crl/root.crl", urls.validation)),
    ]
}

/// Enrols one user after the other until nothing new is accepted.
fn enrol_until_refused(client: &EnrolmentClient, users: Vec<(String, SoftToken)>, met: &Met) {
    for (user, token) in users {
        let key = format!("{user}-enrolment-key");
        match client.enroll(&user, &token, &key) {
            Ok(Ok(_)) => drop(met.issued.fetch_add(1, Ordering::Relaxed)),
            Ok(Err(problem)) => panic!("{user} was refused: {problem:?}"),
            Err(error) => {
                let refused = error.chain().any(|cause| {
                    cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
                });
                assert!(refused, "{user}'s enrolment was cut off: {error:?}");
                return;
            }
        }
    }
}

fn users(house: &House, from: u32, count: u32) -> Vec<(String, SoftToken)> {
    let user = |number: u32| {
        let (id, token) = (format!("drained-{number}"), 42_100_000 + number);
        let new =
            NewUser {
                id: &id, contract: CONTRACT, role: "general", name: "試験 太郎", token: Some(token)
            };
        house.bank.register_user(&new).expect("a user");
        (id, SoftToken::new(&house.bank, Profile::new(token, Firmware(5, 7, 2))).expect("a token"))
    };
    (from..from + count).map(user).collect()
}

#[test]
fn nothing_that_was_accepted_is_cut_off() {
    let mut house = paused("drain", "2s");
    let (met, enrolling) = (Arc::new(Met::default()), users(&house, 1, 8));
    let mut load = Vec::new();
    for (client, url) in clients(&house) {
        for _ in 0..2 {
            let (client, url, met) = (client.clone(), url.clone(), met.clone());
            load.push(thread::spawn(move || visit_until_refused(&client, &url, &met)));
        }
    }
    let (client, counted) = (EnrolmentClient::new(&house.bank).expect("a client"), met.clone());
    load.push(thread::spawn(move || enrol_until_refused(&client, enrolling, &counted)));
    let load_so_far = || [&met.answered, &met.issued].map(|count| count.load(Ordering::Relaxed));
    until("load", load_so_far, |[answered, issued]| *answered > 100 && *issued > 0);

    let mut authority = house.bank.authority.take().expect("an authority");
    authority.signal(Signal::TERM).expect("signalled");
    let ready = format!("{}/readyz", house.bank.urls().ops);
    met.ending.store(true, Ordering::Relaxed);
    let verdict = || fetch(&ready).ok().map(|response| response.status);
    until("that it isn't ready", verdict, |status| status.is_none_or(|status| status == 503));
    ends_well(&mut authority, None);
    assert!(met.answered_late.load(Ordering::Relaxed) > 0, "nothing was answered in the pause");
    met.stop.store(true, Ordering::Relaxed);
    for one in load {
        one.join().expect("no request was cut off");
    }
    let log = authority.log();
    assert!(!log.contains("didn't finish in time") && !log.contains("cut off"), "{log}");

    // What a client holds is in the ledger, and nothing was left half done that the next start doesn't carry on.
    house.bank.start_authority().expect("the authority");
    let journal = house.bank.journal().expect("a sound journal");
    let issued = u64::try_from(met.issued.load(Ordering::Relaxed)).expect("a count");
    assert!(journal["certificates"].as_u64() >= Some(issued), "{journal}");
    let rows = house.audit("certificate.issued").len() as u64;
    assert_eq!(Some(rows), journal["certificates"].as_u64(), "ledger and journal differ");
}

#[test]
fn a_second_signal_hurries() {
    let mut house = paused("drain-hurry", "5m");
    let mut authority = house.bank.authority.take().expect("an authority");
    authority.signal(Signal::TERM).expect("signalled");
    let ready = format!("{}/readyz", house.bank.urls().ops);
    let verdict = || fetch(&ready).ok().map(|response| response.status);
    until("that it says it isn't ready", verdict, |status| *status == Some(503));
    let verdict = fetch(&ready).expect("a verdict").text();
    assert!(verdict.contains("the node is ending"), "{verdict}");
    assert!(authority.is_running().expect("a state"), "it didn't wait for load balancers");
    ends_well(&mut authority, Some(Signal::TERM));
}
