//! A PIN that is blocked for real, and the way back: approved by the master or the branch, the PUK fetched once and
//! replaced at once.

use std::time::Duration;

use ca_wire::{
    enrolment::DeviceClaim,
    token::{Ask, Deposit, Occasion, Released, UnblockState, Unblocking},
};
use reqwest::{Certificate, StatusCode, blocking::Client};
use softhsm_tests::{
    bank::{LOGIN_PASSWORD, Portal, TOKEN_PIN},
    virtual_yubikey::Profile,
};
use uuid::Uuid;

use crate::rig::{NEW, OLD, Office};

#[test]
fn a_blocked_pin_is_unblocked_after_the_master_or_the_branch_approved() {
    let (first, second) = (63_100_001, 63_100_002);
    let tokens = [("hokkai-01", Profile::new(first, NEW)), ("hokkai-02", Profile::new(second, OLD))];
    let office = Office::open("lifecycle-unblock", &tokens);
    for (user, token) in [("hokkai-01", first), ("hokkai-02", second)] {
        office.desk.enroll(office.bank(), user, token).expect("a certificate");
        assert!(!office.state(token).puk.is_factory(), "{user}");
        assert_eq!(office.audit("puk.confirmed").last().expect("a row")["subject"], token.to_string());
        let run = office.unblock(user, token, TOKEN_PIN);
        assert_eq!(run.status, Some(2), "nothing is blocked: {run:?}");
        office.block_pin(token);
    }
    let puks = [first, second].map(|token| office.state(token).puk.value());

    let run = office.unblock("hokkai-01", first, TOKEN_PIN);
    assert_eq!(run.status, Some(7), "{run:?}");
    assert!(
        run.stderr.contains("hasn't been approved") || run.stdout.contains("hasn't been approved"),
        "{run:?}"
    );
    assert_eq!(office.state(first).pin.left, 0);
    let page = office.master_logs_in().get("/manage/user/hokkai-01").expect("a page").text();
    assert!(page.contains("/manage/user/hokkai-01/unblock-pin"), "{page}");
    office.master_does("hokkai-01", "unblock-pin");
    let run = office.unblock("hokkai-01", first, TOKEN_PIN);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!((&run.json()["unblocked"], &run.json()["puk_replaced"]), (&true.into(), &true.into()));

    // The other by the branch, in its own words.
    assert_eq!(office.unblock("hokkai-02", second, TOKEN_PIN).status, Some(7));
    let clerk = office.clerk();
    let list = clerk.page("/tokens");
    let (_, after) = list.split_once("/unblockings/").expect("a request");
    let id = after.split('"').next().expect("an ID");
    let form = format!("/unblockings/{id}/approve");
    let refused = clerk.post(&form, &[("identity", "")]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    clerk.done(&form, &[("identity", "来店、運転免許証")]);
    let run = office.unblock("hokkai-02", second, TOKEN_PIN);
    assert_eq!(run.status, Some(0), "{run:?}");

    for (index, (user, token)) in [("hokkai-01", first), ("hokkai-02", second)].into_iter().enumerate() {
        let state = office.state(token);
        assert_eq!(state.pin.left, 3, "{user}");
        assert_ne!(state.puk.value(), puks[index], "{user}: the PUK is another");
        let portal = Portal::new(office.bank(), &office.desk, token).expect("a browser");
        portal.login().unwrap_or_else(|error| panic!("{user} can't log in: {error:#}"));
    }
    let released: Vec<_> = office.audit("puk.released").iter().map(|row| row["subject"].clone()).collect();
    assert_eq!(released, ["hokkai-01", "hokkai-02"]);
    let status = office.bank().operator(&["token", "custody", "status"]).expect("a status");
    assert_eq!((&status[0]["kept"], &status[0]["newest"]), (&2.into(), &true.into()));
    office.bank().operator(&["audit", "verify"]).expect("a whole chain");
    no_puk_is_in_the_logs(&office);
}

/// The token's PUK is eight characters; none of the bank's files has it in clear.
fn no_puk_is_in_the_logs(office: &Office) {
    for key in &office.desk.keys {
        let puk = key.state().puk.value();
        for name in ["logs/authority.log", "ca.sqlite3", "ca.sqlite3-wal"] {
            let Ok(content) = std::fs::read(office.bank().path(name)) else { continue };
            let found = content.windows(puk.len()).any(|part| part == puk);
            assert!(!found, "{name} has a PUK in clear");
        }
    }
}

#[test]
fn the_puk_is_fetched_once_and_by_nobody_else() {
    let token = 63_200_001;
    let office = Office::open("lifecycle-once", &[("hokkai-01", Profile::new(token, NEW))]);
    office.desk.enroll(office.bank(), "hokkai-01", token).expect("a certificate");
    let pem = std::fs::read(office.bank().path("tls/ca.pem")).expect("a file");
    let trust = Certificate::from_pem(&pem).expect("PEM");
    let client = Client::builder().tls_certs_only([trust]).timeout(Duration::from_mins(1)).build();
    let client = client.expect("a client");
    let base = office.bank().urls().public + "/api/v1/tokens";
    let ask = |user: &str, password: &str, serial: u32, key: &str| {
        let device = DeviceClaim {
            kind: "yubikey-piv".to_owned(),
            serial: serial.to_string(),
            firmware: "5.7.2".to_owned(),
        };
        let ask = Ask {
            user_id: user.to_owned(),
            password: password.to_owned(),
            device,
            agent_version: "0.1.0".to_owned(),
        };
        let post = client.post(format!("{base}/unblockings")).header("Idempotency-Key", key);
        post.json(&ask).send().expect("an answer")
    };
    // Neither the wrong password nor another's token, with one answer.
    for (user, password, serial) in [
        ("hokkai-01", "not-the-password", token),
        ("hokkai-master", LOGIN_PASSWORD, token),
        ("hokkai-01", LOGIN_PASSWORD, 63_200_099),
    ] {
        assert_eq!(ask(user, password, serial, "lifecycle-key-000").status(), StatusCode::UNAUTHORIZED);
    }
    let asked: Unblocking =
        ask("hokkai-01", LOGIN_PASSWORD, token, "lifecycle-key-001").json().expect("a request");
    assert_eq!(asked.state, UnblockState::Waiting);
    let bearer = asked.bearer.expect("a bearer");
    let release = |bearer: &str| {
        let post = client.post(format!("{base}/unblockings/{}/release", asked.id));
        post.bearer_auth(bearer).send().expect("an answer")
    };
    assert_eq!(release(&bearer).status(), StatusCode::CONFLICT, "nobody approved");
    office.master_does("hokkai-01", "unblock-pin");
    assert_eq!(release("another").status(), StatusCode::UNAUTHORIZED);
    let released = release(&bearer);
    assert_eq!(released.headers()["cache-control"], "no-store");
    let released: Released = released.json().expect("a PUK");
    assert_eq!(released.puks.len(), 1);
    assert_eq!(release(&bearer).status(), StatusCode::CONFLICT, "a second time");
    // The agent deposits the next PUK and loses its token: whichever the token has, the next unblocking finds it.
    let deposit = Deposit {
        occasion: Occasion::Unblocking(asked.id),
        puk: "n3xt-puk".to_owned(),
        proven: Some(released.puks[0].deposit),
    };
    let put = |name: Uuid, deposit: &Deposit| {
        let put = client.put(format!("{base}/puks/{name}")).bearer_auth(&bearer);
        put.json(deposit).send().expect("an answer").status()
    };
    let name = Uuid::new_v4();
    assert_eq!(put(name, &deposit), StatusCode::NO_CONTENT);
    assert_eq!(put(name, &deposit), StatusCode::NO_CONTENT, "a repeat");
    let other = Deposit { puk: "0ther-pk".to_owned(), ..deposit.clone() };
    assert_eq!(put(name, &other), StatusCode::UNPROCESSABLE_ENTITY, "another PUK by the same name");
    let factory = Deposit { puk: "12345678".to_owned(), ..deposit };
    assert_eq!(put(Uuid::new_v4(), &factory), StatusCode::BAD_REQUEST, "everybody's PUK");
    office.block_pin(token);
    assert_eq!(office.unblock("hokkai-01", token, TOKEN_PIN).status, Some(7));
    office.master_does("hokkai-01", "unblock-pin");
    let run = office.unblock("hokkai-01", token, TOKEN_PIN);
    assert_eq!((run.status, office.state(token).puk.left), (Some(0), 3), "{run:?}");
    // A request declined is over, and no more than a few are made in a day.
    let next: Unblocking =
        ask("hokkai-01", LOGIN_PASSWORD, token, "lifecycle-key-002").json().expect("a request");
    office.master_does("hokkai-01", "decline-unblocking");
    let again: Unblocking =
        ask("hokkai-01", LOGIN_PASSWORD, token, "lifecycle-key-002").json().expect("the request");
    assert_eq!((again.id, again.state), (next.id, UnblockState::Declined));
    for number in 3..=4 {
        let key = format!("lifecycle-key-00{number}");
        assert_eq!(ask("hokkai-01", LOGIN_PASSWORD, token, &key).status(), StatusCode::CREATED);
    }
    let refused = ask("hokkai-01", LOGIN_PASSWORD, token, "lifecycle-key-005");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
}
