//! Lost, returned and erased tokens; and the maker's own tool on a token that the agent prepared.

use std::process::Command;

use softhsm_tests::{bank::TOKEN_PIN, process::output_of, virtual_yubikey::Profile};

use crate::rig::{NEW, OLD, Office, Run};

#[test]
fn a_lost_token_s_certificate_is_revoked_at_once_and_a_returned_token_serves_again() {
    let (first, second) = (63_300_001, 63_300_002);
    let tokens = [("hokkai-01", Profile::new(first, NEW)), ("hokkai-02", Profile::new(second, NEW))];
    let office = Office::open("lifecycle-states", &tokens);
    let certificate = |user: &str, token: u32| {
        let enrolled = office.desk.enroll(office.bank(), user, token).expect("a certificate");
        enrolled["certificate"]["serial"].as_str().expect("a serial").to_owned()
    };
    // The master reports a loss: one person, at once.
    let lost = certificate("hokkai-01", first);
    office.master_does("hokkai-01", "token-lost");
    assert_eq!(office.certificate_state(&lost), "revoked");
    let shown = office.bank().operator(&["token", "show", &first.to_string()]).expect("the token");
    assert_eq!(shown["state"], "lost");
    // The branch takes the other back, without its PIN, and hands it out again.
    let returned = certificate("hokkai-02", second);
    let clerk = office.clerk();
    let path = format!("/tokens/yubikey-piv/{second}");
    assert!(clerk.page(&path).contains("利用中"), "it is in use");
    let state = |state: &str, contract: &str| {
        let form = format!("{path}/state");
        clerk.done(&form, &[("state", state), ("contract", contract), ("note", "窓口で返却")]);
    };
    state("returned", "");
    assert_eq!(office.certificate_state(&returned), "revoked");
    // Its row, not a link of the page that repeats what was asked.
    let listed = |query: &str, token: u32| {
        clerk.page(&format!("/tokens?{query}")).contains(&format!("/tokens/yubikey-piv/{token}"))
    };
    assert!(listed("state=lost", first) && !listed("state=lost", second), "only those of the state");
    assert!(listed("state=returned", second) && listed("state=", first), "and all of them");
    let after = format!("state=&kind=yubikey-piv&after={second}");
    assert!(!listed(&after, second), "those that come after it");
    let serial = second.to_string();
    let erase = ["erase", "--token", &serial, "--whole-token"];
    let run: Run = office.desk.agent(&erase).expect("the agent runs").into();
    assert_eq!(run.status, Some(8), "nobody agreed: {run:?}");
    let run: Run = office.desk.agent(&[&erase[..], &["--yes"]].concat()).expect("the agent runs").into();
    assert_eq!((run.status, &run.json()["reset"]), (Some(0), &true.into()), "{run:?}");
    let fresh = office.state(second);
    assert!(fresh.pin.is_factory() && fresh.puk.is_factory() && fresh.slots.is_empty());
    state("in-stock", "");
    let user = softhsm_tests::bank::NewUser {
        id: "hokkai-03",
        contract: crate::customers::CONTRACT,
        role: "general",
        name: "北海 三郎",
        token: Some(second),
    };
    office.bank().register_user(&user).expect("a user");
    certificate("hokkai-03", second);
    assert!(clerk.page(&path).contains("hokkai-03"));
    assert!(!office.state(second).puk.is_factory());
}

#[test]
fn what_is_erased_is_told_to_the_bank_now_or_later() {
    let (first, second) = (63_400_001, 63_400_002);
    let tokens = [("hokkai-01", Profile::new(first, NEW)), ("hokkai-02", Profile::new(second, OLD))];
    let office = Office::open("lifecycle-erase", &tokens);
    let serial = |user: &str, token: u32| {
        let enrolled = office.desk.enroll(office.bank(), user, token).expect("a certificate");
        enrolled["certificate"]["serial"].as_str().expect("a serial").to_owned()
    };
    let (one, two) = (serial("hokkai-01", first), serial("hokkai-02", second));
    let pin = office.bank().secret("token-pin").display().to_string();
    let erase = |token: u32, server: Option<&str>| -> Run {
        let token = token.to_string();
        let more = ["--token", &token, "--slot", "9a", "--pin-file", &pin, "--yes"];
        match server {
            Some(server) => {
                let all = [&["erase", "--server", server][..], &more].concat();
                office.desk.agent(&all).expect("the agent runs").into()
            }
            None => office.agent("erase", &more),
        }
    };
    // Nobody is at that address: erased all the same, and the bank doesn't know yet.
    let run = erase(first, Some("https://127.0.0.1:9"));
    assert_eq!((run.status, &run.json()["told"]), (Some(0), &false.into()), "{run:?}");
    assert!(office.state(first).slots.is_empty());
    assert_ne!(office.certificate_state(&one), "revoked");
    // The next time both are told.
    let run = erase(second, None);
    assert_eq!((run.status, &run.json()["told"]), (Some(0), &true.into()), "{run:?}");
    for serial in [one, two] {
        assert_eq!(office.certificate_state(&serial), "revoked");
    }
    let erased = office.audit("token.erased");
    let mut tokens: Vec<&str> = erased.iter().filter_map(|row| row["subject"].as_str()).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [first.to_string(), second.to_string()]);
}

#[test]
fn a_whole_token_is_told_to_the_bank_where_its_pin_is_known() {
    let (first, second) = (63_410_001, 63_410_002);
    let tokens = [("hokkai-01", Profile::new(first, NEW)), ("hokkai-02", Profile::new(second, OLD))];
    let office = Office::open("lifecycle-whole", &tokens);
    let serial = |user: &str, token: u32| {
        let enrolled = office.desk.enroll(office.bank(), user, token).expect("a certificate");
        enrolled["certificate"]["serial"].as_str().expect("a serial").to_owned()
    };
    let (one, two) = (serial("hokkai-01", first), serial("hokkai-02", second));
    let pin = office.bank().secret("token-pin").display().to_string();
    // The proxy's password can't be read, so there is no way to the bank: erased all the same.
    let token = first.to_string();
    let erase = ["--token", &token, "--whole-token", "--yes", "--pin-file", &pin];
    let proxy = ["--proxy-user", "office", "--proxy-password-file", "/nonexistent"];
    let more = [&erase[..], &["--proxy", "http://127.0.0.1:9"], &proxy].concat();
    let run = office.agent("erase", &more);
    let json = run.json();
    assert_eq!((run.status, &json["told"], &json["untold"]), (Some(0), &false.into(), &1.into()), "{run:?}");
    assert_eq!(json["to_revoke"], serde_json::json!([]), "its key has signed");
    assert!(office.state(first).slots.is_empty());
    assert_ne!(office.certificate_state(&one), "revoked");
    let run = office.agent("erase", &["--tell"]);
    let json = run.json();
    assert_eq!((run.status, &json["told"], &json["untold"]), (Some(0), &true.into(), &0.into()), "{run:?}");
    assert_eq!(office.certificate_state(&one), "revoked");
    // Nobody knows the other's PIN: it says whose certificate is to be revoked.
    let token = second.to_string();
    let run = office.agent("erase", &["--token", &token, "--whole-token", "--yes"]);
    let json = run.json();
    assert_eq!((run.status, &json["told"]), (Some(0), &false.into()), "{run:?}");
    assert_eq!(json["to_revoke"], serde_json::json!([two]), "{run:?}");
    assert_ne!(office.certificate_state(&two), "revoked");
    // The list is kept, until the bank has revoked it or somebody has asked for that.
    let run = office.agent("erase", &["--tell"]);
    assert_eq!((run.status, &run.json()["to_revoke"]), (Some(0), &serde_json::json!([two])), "{run:?}");
    let run = office.agent("erase", &["--tell", "--settled"]);
    assert_eq!((run.status, &run.json()["to_revoke"]), (Some(0), &serde_json::json!([])), "{run:?}");
}

#[test]
fn the_makers_own_tool_works_with_a_token_that_the_agent_prepared() {
    let token = 63_500_001;
    let office = Office::open("lifecycle-ykman", &[("hokkai-01", Profile::new(token, OLD))]);
    office.desk.enroll(office.bank(), "hokkai-01", token).expect("a certificate");
    let reader = office.desk.keys[0].reader().name.clone();
    let ykman = |arguments: &[&str]| -> Run {
        let mut command = Command::new("ykman");
        command.args(["--reader", &reader]).args(arguments).envs(office.desk.pcscd.environment().clone());
        output_of(&mut command, b"").expect("ykman runs").into()
    };
    let info = ykman(&["piv", "info"]);
    assert_eq!(info.status, Some(0), "{info:?}");
    assert!(info.stdout.contains("Management key is stored on the YubiKey, protected by PIN"), "{info:?}");
    assert!(info.stdout.contains("hokkai-01"), "it reads the certificate: {info:?}");
    // It finds the management key under the PIN by itself.
    let public = office.bank().path("ykman.pem").display().to_string();
    let generated = ykman(&["piv", "keys", "generate", "-P", TOKEN_PIN, "-a", "ECCP256", "9d", &public]);
    assert_eq!(generated.status, Some(0), "{generated:?}");
    assert!(office.state(token).slots.contains_key(&0x9d));
}
