//! What a clerk does alone: contracts, users, tokens, letters, locks, and 失効.

use softhsm_tests::bank::{EnrolmentClient, SoftBrowser, SoftToken};
use softhsm_tests::virtual_yubikey::{Firmware, Profile};

use crate::{
    customers::CONTRACT,
    staff_house::{Member, StaffHouse},
};

fn clerk(members: &[Member]) -> &Member {
    members.iter().find(|member| member.id == "clerk-1").expect("a clerk")
}

/// The value of the letter's secret.
fn secret(letter: &str) -> String {
    let (_, after) = letter.split_once("<p class=\"secret\">").expect("a letter");
    let (_, after) = after.split_once("<code>").expect("a secret");
    after.split_once("</code>").expect("its end").0.to_owned()
}

fn token(house: &StaffHouse, serial: u32) -> SoftToken {
    SoftToken::new(house.bank(), Profile::new(serial, Firmware(5, 7, 4))).expect("a token")
}

#[test]
fn a_clerk_registers_customers_and_they_obtain_and_log_in() {
    let (house, members) = StaffHouse::open("staff-desk");
    let clerk = clerk(&members);

    // What can't be read comes back with what was typed.
    let bad = clerk.post("/contracts", &[("number", "abc"), ("name", "名前は残る"), ("general_users", "9")]);
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("名前は残る") && bad.text().contains("契約番号は"), "{}", bad.text());
    let fields = [("number", "7700001"), ("name", "<script>alert(1)</script>&商事"), ("general_users", "1")];
    let at = clerk.done("/contracts", &fields);
    assert_eq!(at, "/contracts/7700001?done=contract");
    let page = clerk.page(&at);
    assert!(page.contains("契約を登録しました"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("1 + 1"), "{page}");
    assert_eq!(clerk.post("/contracts", &fields).status, 409);

    let user = |id: &str, role: &str| {
        clerk.post("/contracts/7700001/users", &[("id", id), ("role", role), ("name", "<b>試験</b> 太郎")])
    };
    for (id, role, status) in [
        ("script-master", "master", 303),
        ("script-01", "general", 303),
        ("script-02", "general", 409),
        ("other-master", "master", 409),
        ("Bad ID", "general", 400),
    ] {
        assert_eq!(user(id, role).status, status, "{id}");
    }
    let page = clerk.page("/users/script-01");
    assert!(
        !page.contains("<b>試験") && page.contains("&lt;b&gt;") || page.contains("&#60;b&#62;"),
        "{page}"
    );

    // The first token, and the letter with the initial password.
    clerk.done("/users/script-01/token", &[("kind", "yubikey-piv"), ("serial", "48000001")]);
    let letter = clerk.post("/users/script-01/password", &[]);
    assert_eq!(letter.status, 200);
    let password = secret(&letter.text());
    let client = EnrolmentClient::new(house.bank()).expect("a client");
    let token = token(&house, 48_000_001);
    let mut opening = EnrolmentClient::opening("script-01", &token);
    opening.password = password.clone();
    let opened = client.open_with(&opening, "key-of-the-first-one").expect("an answer").expect("a challenge");
    let certify = token.certify(&opened).expect("evidence");
    let certified = client.certify(&opened, &certify, "key-of-the-first-one").expect("an answer");
    let certificate = certified.expect("a certificate").certificate.0;
    let browser = SoftBrowser::new(house.bank(), &token, &certificate).expect("a browser");
    assert_eq!(browser.try_login(&password).expect("an answer").status, 303);

    // Locked, unlocked; suspended, resumed.
    let browser = SoftBrowser::new(house.bank(), &token, &certificate).expect("a browser");
    for _ in 0..5 {
        browser.try_login("not-the-password").expect("an answer");
    }
    assert!(clerk.page("/users/script-01").contains("ロック中"));
    clerk.done("/users/script-01/unlock", &[]);
    assert_eq!(browser.try_login(&password).expect("an answer").status, 303);
    clerk.done("/users/script-01/suspend", &[]);
    assert_ne!(browser.get("/home").expect("an answer").status, 200);
    assert!(clerk.page("/users/script-01").contains("利用停止中"));
    clerk.done("/users/script-01/resume", &[]);
    assert_eq!(browser.try_login(&password).expect("an answer").status, 303);
    // A reset ends sessions, and the old password is worth nothing.
    let letter = clerk.post("/users/script-01/password", &[]);
    assert_ne!(browser.get("/home").expect("an answer").status, 200);
    assert_eq!(browser.try_login(&password).expect("an answer").status, 403);
    assert_eq!(browser.try_login(&secret(&letter.text())).expect("an answer").status, 303);
    assert_eq!(clerk.post("/users/script-01/confirmation", &[]).status, 409, "only a master has one");
    assert_eq!(clerk.post("/users/script-master/confirmation", &[]).status, 200);

    // Everything on one page, by whom.
    let history = clerk.page("/users/script-01");
    for action in
        ["user.registered", "user.device-assigned", "user.password-set", "user.unlocked", "login.admitted"]
    {
        assert!(history.contains(action), "{action} is missing");
    }
    assert!(history.contains("staff:clerk-1"));
    let rows = house.bank().audit_rows("contract.registered").expect("rows");
    assert_eq!(rows.last().expect("a row")["actor"], "staff:clerk-1");
}

/// Revoke a master: "the clerk records how identity was checked and revokes at once, alone".
#[test]
fn one_clerk_revokes_at_once_and_nothing_obtains_again_by_itself() {
    let (house, members) = StaffHouse::open("staff-revoke");
    let clerk = clerk(&members);
    let customer = house.house.customer("hokkai-master", "master", 48_000_011);
    customer.browser.login().expect("a login");

    let path = format!("/certificates/{}", customer.serial);
    assert!(clerk.page(&path).contains("本人確認の方法"));
    let revoke = |identity: &str| {
        clerk.post(&format!("{path}/revoke"), &[("reason", "keyCompromise"), ("identity", identity)])
    };
    assert_eq!(revoke(" ").status, 400, "without how identity was checked");
    // Whatever else is wrong with the form leaves a row as well, and everything as it is.
    let refused = |serial: &str, reason: &str| {
        let fields = [("reason", reason), ("identity", "ご来店、運転免許証を確認")];
        clerk.post(&format!("/certificates/{serial}/revoke"), &fields).status
    };
    for reason in ["7", "certificateHold", "removeFromCRL", "KEYCOMPROMISE", "superseded", "１", ""] {
        assert_eq!(refused(&customer.serial, reason), 400, "{reason}");
    }
    let (signed, padded) = (format!("+{}", customer.serial), format!("00{}", customer.serial));
    let wide = customer.serial.replace(|c: char| c.is_ascii_digit(), "%EF%BC%91");
    for serial in [&*signed, &padded, "-01", "0x01", &format!("{}%20", customer.serial), &wide] {
        assert_eq!(refused(serial, "keyCompromise"), 404, "{serial}");
    }
    let rows = house.bank().audit_rows("certificate.revoke-refused").expect("rows");
    let of = |why: &str| rows.iter().filter(|row| row["details"]["why"] == why).count();
    assert_eq!((of("identity"), of("reason"), of("serial-number")), (1, 7, 6), "{rows:?}");
    assert!(rows.iter().all(|row| row["actor"] == "staff:clerk-1"), "{rows:?}");
    assert_eq!(house.bank().journal().expect("a journal")["revocations"], 0);
    assert_eq!(customer.browser.get("/home").expect("a page").status, 200, "it was revoked all the same");
    let done = revoke("ご来店、運転免許証を確認");
    assert_eq!(done.status, 303, "{}", done.text());
    assert_ne!(customer.browser.get("/home").expect("an answer").status, 200);
    assert!(clerk.page(&path).contains("失効"));
    let rows = house.bank().audit_rows("identity.checked").expect("rows");
    assert_eq!(rows[0]["details"]["how"], "ご来店、運転免許証を確認");
    assert_eq!(rows[0]["actor"], "staff:clerk-1");
    assert_eq!(house.bank().audit_rows("certificate.revoked").expect("rows")[0]["actor"], "staff:clerk-1");

    // The token that was assigned is gone: otherwise it would obtain the next certificate without anybody's leave.
    let user = house.bank().operator(&["user", "show", "hokkai-master"]).expect("a user");
    assert!(user["token_serial"].is_null(), "{user}");
    for (act, fields) in [("token", &[("kind", "yubikey-piv"), ("serial", "48000011")][..]), ("letter", &[])]
    {
        let refused = clerk.post(&format!("/users/hokkai-master/{act}"), fields);
        assert_eq!(refused.status, 409, "{act}: {}", refused.text());
        assert!(refused.text().contains("別の担当者の承認"), "{}", refused.text());
    }
    assert_eq!(
        clerk.post("/certificates/00ff/revoke", &[("reason", "unspecified"), ("identity", "x")]).status,
        404
    );
}

#[test]
fn removing_a_user_revokes_first() {
    let (house, members) = StaffHouse::open("staff-remove");
    let clerk = clerk(&members);
    let customer = house.house.customer("leaver-01", "general", 48_000_021);
    assert_eq!(clerk.post("/users/leaver-01/remove", &[]).status, 400, "without the tick");
    clerk.done("/users/leaver-01/remove", &[("sure", "yes")]);
    assert!(clerk.page("/users/leaver-01").contains("削除済み"));
    let shown = house.bank().operator(&["certificate", "show", &customer.serial]).expect("a certificate");
    assert_eq!(shown["state"], "revoked");
    assert_eq!(clerk.post("/users/leaver-01/unlock", &[]).status, 404);
    let again = [("id", "leaver-01"), ("role", "general"), ("name", "別人")];
    assert_eq!(
        clerk.post(&format!("/contracts/{CONTRACT}/users"), &again).status,
        409,
        "an ID is never used again"
    );
}
