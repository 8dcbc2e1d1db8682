//! What takes two: whoever asks can't approve, and of two approvals at once one counts.

use std::thread;

use softhsm_tests::bank::{EnrolmentClient, SoftToken};
use softhsm_tests::virtual_yubikey::{Firmware, Profile};

use crate::staff_house::{Member, StaffHouse, request_of};

fn named<'a>(members: &'a [Member], id: &str) -> &'a Member {
    members.iter().find(|member| member.id == id).expect("a member")
}

fn revoke(clerk: &Member, serial: &str) {
    let fields = [("reason", "cessationOfOperation"), ("identity", "来店、免許証")];
    clerk.done(&format!("/certificates/{serial}/revoke"), &fields);
}

/// Revoke a master: "permitting the re-obtaining … takes a second member of staff."
#[test]
fn obtaining_again_takes_two() {
    let (house, members) = StaffHouse::open("staff-reobtain");
    let (first, second) = (named(&members, "clerk-1"), named(&members, "clerk-2"));
    let customer = house.house.customer("hokkai-01", "general", 49_000_001);
    let ask = |member: &Member, fields: &[(&str, &str)]| member.post("/users/hokkai-01/reobtain", fields);
    let by_token =
        [("way", "token"), ("kind", "yubikey-piv"), ("serial", "49000002"), ("reason", "PC入れ替え <i>")];
    assert_eq!(ask(first, &by_token).status, 409, "while the certificate stands");
    revoke(first, &customer.serial);
    assert_eq!(ask(first, &[("way", "token"), ("reason", "x")]).status, 400, "without a token");
    assert_eq!(ask(first, &[("way", "code"), ("reason", "")]).status, 400, "without a reason");
    let asked = ask(first, &by_token);
    assert_eq!(asked.status, 303, "{}", asked.text());
    let request = request_of(asked.header("location").expect("a location"));
    assert_eq!(ask(second, &[("way", "code"), ("reason", "too")]).status, 409, "it is asked for already");

    // Self-approval: no button, and no way round it.
    let own = first.page(&request);
    assert!(!own.contains("/approve\"") && own.contains("別の担当者"), "{own}");
    for decision in ["approve", "refuse"] {
        let answer = first.post(&format!("{request}/{decision}"), &[]);
        assert_eq!(answer.status, 403, "{decision}: {}", answer.text());
    }
    // Others' roles don't do.
    for id in ["auditor", "admin-1", "operations"] {
        assert_eq!(named(&members, id).post(&format!("{request}/approve"), &[]).status, 403, "{id}");
    }
    assert_eq!(second.post(&format!("{request}/withdraw"), &[]).status, 403, "only who asked withdraws");
    let page = second.page(&request);
    assert!(page.contains("49000002") && !page.contains("<i>"), "{page}");
    // One address for one request.
    let id = request.strip_prefix("/approvals/").expect("an ID");
    for spelling in [format!("%7B{id}%7D"), id.replace('-', ""), format!("urn:uuid:{id}")] {
        let page = second.browser.get(&format!("/approvals/{spelling}")).expect("an answer");
        assert_eq!(page.status, 404, "{spelling}");
        assert_eq!(second.post(&format!("/approvals/{spelling}/approve"), &[]).status, 404, "{spelling}");
    }
    second.done(&format!("{request}/approve"), &[]);
    assert_eq!(second.post(&format!("{request}/approve"), &[]).status, 409, "twice");
    let token = SoftToken::new(house.bank(), Profile::new(49_000_002, Firmware(5, 7, 4))).expect("a token");
    let client = EnrolmentClient::new(house.bank()).expect("a client");
    let enrolled = client.enroll("hokkai-01", &token, "key-of-the-second-one").expect("an answer");
    enrolled.expect("a certificate");
    let rows = house.bank().audit_rows("approval.executed").expect("rows");
    let row = rows.last().expect("a row");
    assert_eq!(
        (row["actor"].clone(), row["details"]["asked_by"].clone()),
        ("staff:clerk-2".into(), "clerk-1".into())
    );
}

#[test]
fn of_two_approvals_at_once_one_counts() {
    let (house, members) = StaffHouse::open("staff-at-once");
    let (first, second) = (named(&members, "clerk-1"), named(&members, "clerk-2"));
    // A third clerk, so that two others decide.
    let third = house.identity("clerk-3");
    crate::staff_house::admit(&members[0], &members[1], "clerk-3", "clerk", &third);
    let third = house.member("clerk-3", third);
    third.login();
    let customer = house.house.customer("race-01", "general", 49_000_011);
    revoke(first, &customer.serial);
    let asked = first.done("/users/race-01/reobtain", &[("way", "code"), ("reason", "PC入れ替え")]);
    let request = request_of(&asked);
    let approve = format!("{request}/approve");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let both = [second, &third].map(|member| scope.spawn(|| member.post(&approve, &[]).status));
        both.map(|one| one.join().expect("a thread")).to_vec()
    });
    let mut sorted = statuses.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [200, 409], "one letter: {statuses:?}");
    assert_eq!(
        house
            .bank()
            .audit_rows("approval.executed")
            .expect("rows")
            .iter()
            .filter(|row| row["subject"] == "race-01")
            .count(),
        1
    );

    // Withdrawn by who asked; then nobody approves.
    let other = house.house.customer("race-02", "general", 49_000_012);
    revoke(first, &other.serial);
    let request = request_of(&first.done("/users/race-02/reobtain", &[("way", "code"), ("reason", "x")]));
    first.done(&format!("{request}/withdraw"), &[]);
    assert_eq!(second.post(&format!("{request}/approve"), &[]).status, 409);
    let request = request_of(&first.done("/users/race-02/reobtain", &[("way", "code"), ("reason", "x")]));
    second.done(&format!("{request}/refuse"), &[]);
    assert!(first.page("/approvals").contains("却下"));
}

/// Two pairs of eyes: one of them isn't there any more when its member was withdrawn, or works as something else.
#[test]
fn who_left_asks_for_nothing() {
    let (house, members) = StaffHouse::open("staff-left");
    let (first, second) = (named(&members, "clerk-1"), named(&members, "clerk-2"));
    let customer = house.house.customer("left-01", "general", 49_000_021);
    revoke(first, &customer.serial);
    let again = [("way", "code"), ("reason", "PC入れ替え")];
    let request = request_of(&first.done("/users/left-01/reobtain", &again));
    members[0].done("/staff/clerk-1/withdraw", &[("reason", "退職")]);
    let answer = second.post(&format!("{request}/approve"), &[]);
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("依頼を出す権限がありません"), "{}", answer.text());
    let rows = house.bank().audit_rows("approval.refused").expect("rows");
    let row = rows.last().expect("a row");
    assert_eq!(
        (&row["details"]["why"], &row["details"]["asked_by"]),
        (&"asker-left".into(), &"clerk-1".into())
    );
    assert!(
        house.bank().audit_rows("approval.executed").expect("rows").iter().all(|r| r["subject"] != "left-01")
    );

    // It is refused, and asked for anew by somebody who is there; then that one works as something else.
    second.done(&format!("{request}/refuse"), &[]);
    let request = request_of(&second.done("/users/left-01/reobtain", &again));
    let third = house.identity("clerk-3");
    crate::staff_house::admit(&members[0], &members[1], "clerk-3", "clerk", &third);
    let third = house.member("clerk-3", third);
    third.login();
    crate::staff_house::admit(&members[0], &members[1], "clerk-2", "auditor", &second.identity);
    assert_eq!(third.post(&format!("{request}/approve"), &[]).status, 409);
}

#[test]
fn a_contracts_policy_takes_two() {
    let (house, members) = StaffHouse::open("staff-policy");
    let (first, second) = (named(&members, "clerk-1"), named(&members, "clerk-2"));
    let path = format!("/contracts/{}/policy", crate::customers::CONTRACT);
    let contract = first.page(&format!("/contracts/{}", crate::customers::CONTRACT));
    assert!(contract.contains("<option value=\"bank\" selected>bank（標準）</option>"), "{contract}");
    let request = request_of(&first.done(&path, &[("policy", "no-such-policy"), ("reason", "x")]));
    assert_eq!(second.post(&format!("{request}/approve"), &[]).status, 404, "there is no such policy");
    first.done(&format!("{request}/withdraw"), &[]);
    let file = house.bank().path("touch.toml");
    std::fs::write(&file, "name = \"touch\"\nversion = 1\n").expect("a policy");
    let file = file.to_string_lossy();
    house.bank().operator(&["policy", "set", &file, "--reason", "a test"]).expect("set");
    let ask = |policy: &str| first.post(&path, &[("policy", policy), ("reason", "お申し込みによる")]);
    for (present, other) in [("bank", "touch"), ("touch", "bank")] {
        // What the contract has needs nobody's approval.
        let same = ask(present);
        assert_eq!(same.status, 409, "{present}: {}", same.text());
        assert!(same.text().contains("すでにこのポリシーが適用されています"), "{}", same.text());
        let asked = ask(other);
        let request = request_of(asked.header("location").expect("a request"));
        assert_eq!(first.post(&format!("{request}/approve"), &[]).status, 403);
        second.done(&format!("{request}/approve"), &[]);
        let executed = house.bank().audit_rows("approval.executed").expect("rows");
        assert_eq!(executed.last().expect("a row")["details"]["policy"], other);
    }
    let refused = house.bank().audit_rows("approval.refused").expect("rows");
    let same = refused.iter().filter(|row| row["details"]["why"] == "same-policy").count();
    assert_eq!(same, 2, "{refused:#?}");
}

/// Rule 1: "The limits 1 + 9 are the default plan; the plan is configuration per contract"; changing it takes two.
#[test]
fn a_plan_is_changed_by_two_and_never_below_the_users_there_are() {
    let (house, members) = StaffHouse::open("staff-plan");
    let (first, second) = (named(&members, "clerk-1"), named(&members, "clerk-2"));
    first.done("/contracts", &[("number", "7700001"), ("name", "山水"), ("general_users", "2")]);
    let user = |id: &str| {
        first
            .post("/contracts/7700001/users", &[("id", id), ("role", "general"), ("name", "山水 花子")])
            .status
    };
    assert_eq!((user("sansui-01"), user("sansui-02"), user("sansui-03")), (303, 303, 409));
    let ask = |plan: &str| {
        first.post("/contracts/7700001/plan", &[("general_users", plan), ("reason", "お申し込みによる")])
    };
    for (plan, status) in [("2", 409), ("1", 409), ("-1", 400), ("65536", 400), ("many", 400)] {
        assert_eq!(ask(plan).status, status, "{plan}");
    }
    assert_eq!(first.post("/contracts/0000000/plan", &[("general_users", "3"), ("reason", "x")]).status, 404);

    let request = request_of(ask("3").header("location").expect("a location"));
    assert_eq!(ask("4").status, 409, "it is asked for already");
    assert_eq!(first.post(&format!("{request}/approve"), &[]).status, 403, "self-approval");
    assert_eq!(user("sansui-03"), 409, "before it is approved");
    assert!(second.page(&request).contains("1 + 3"));
    second.done(&format!("{request}/approve"), &[]);
    assert!(first.page("/contracts/7700001").contains("1 + 3"));
    assert_eq!((user("sansui-03"), user("sansui-04")), (303, 409));

    // The users came after the request: what doesn't fit any more isn't approved.
    first.done("/users/sansui-03/remove", &[("sure", "yes")]);
    let request = request_of(ask("2").header("location").expect("a location"));
    assert_eq!(user("sansui-05"), 303);
    assert_eq!(second.post(&format!("{request}/approve"), &[]).status, 409);
    assert!(first.page("/contracts/7700001").contains("1 + 3"));
    let rows = house.bank().audit_rows("approval.executed").expect("rows");
    let row = rows.last().expect("a row");
    assert_eq!(
        (row["details"]["kind"].clone(), row["details"]["general_users"].clone()),
        ("plan".into(), "3".into())
    );
}
