//! Members of staff and their certificates: bootstrap, admission by two, and everybody who doesn't come in.

use std::process::Command;

use rcgen::DnType;
use softhsm_tests::{
    bank::SoftBrowser,
    soft_pki::{KeyKind, SoftAuthority},
};

use crate::staff_house::{StaffHouse, admit};

#[test]
fn administrators_come_from_the_ceremony_and_everybody_else_from_two_of_them() {
    let (house, [first, second]) = StaffHouse::bare("staff-admit");
    let front = first.page("/");
    assert!(front.contains("行員管理") && front.contains("admin-1"), "{front}");
    first.login();
    second.login();

    // The command line brings administrators only, and after two of them only in an emergency.
    let third = house.identity("admin-3");
    let refused = house.import("clerk-9", "clerk", &third, &[]).expect_err("a clerk by the operator's hand");
    assert!(refused.contains("only administrators"), "{refused}");
    let refused = house.import("admin-3", "administrator", &third, &[]).expect_err("a third administrator");
    assert!(refused.contains("--break-glass"), "{refused}");
    house
        .import("admin-3", "administrator", &third, &["--break-glass", "both tokens lost"])
        .expect("emergency");
    let rows = house.bank().audit_rows("staff.imported").expect("rows");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[2]["details"]["break_glass"], "both tokens lost");

    // Not the staff CA's certificate.
    let stranger = SoftAuthority::new("Example Staff CA").expect("an authority");
    let forged = stranger.client(&[(DnType::CommonName, "mallory")], KeyKind::P256).expect("a certificate");
    assert!(house.import("mallory", "administrator", &forged, &["--break-glass", "x"]).is_err());
    let fields = [("id", "mallory"), ("name", "M"), ("role", "clerk"), ("certificate", &*forged.certificate)];
    let answer = first.post("/staff", &[&fields[..], &[("reason", "x")]].concat());
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("行員CAが発行した証明書") && answer.text().contains("mallory"),
        "what was typed is lost"
    );

    // Nobody audits their own work.
    let both = house.identity("both");
    let fields = [
        ("id", "both"),
        ("name", "B"),
        ("role", "auditor"),
        ("role", "clerk"),
        ("certificate", &*both.certificate),
        ("reason", "x"),
    ];
    assert_eq!(first.post("/staff", &fields).status, 409);

    let clerk = house.identity("clerk-1");
    admit(&first, &second, "clerk-1", "clerk", &clerk);
    let clerk = house.member("clerk-1", clerk);
    clerk.login();
    assert!(clerk.page("/home").contains("契約を登録"));
    // Withdrawn by one, at once: the session ends with it.
    second.done("/staff/clerk-1/withdraw", &[("reason", "異動")]);
    let answer = clerk.browser.get("/home").expect("an answer");
    assert_ne!(answer.status, 200, "{}", answer.text());
    let front = clerk.browser.get("/").expect("an answer");
    assert_eq!(front.status, 403);
    assert!(front.text().contains("登録が取り消されています"), "{}", front.text());
    assert_eq!(clerk.try_login().status, 403);
}

#[test]
fn nobody_but_members_with_good_certificates_comes_in() {
    let (house, [first, _]) = StaffHouse::bare("staff-strangers");
    first.login();

    let none = SoftBrowser::staff(house.bank(), None).expect("a browser");
    for path in ["/", "/home", "/search", "/audit"] {
        let answer = none.get(path).expect("an answer");
        assert_ne!(answer.status, 200, "{path} was served without a certificate");
    }
    assert!(none.get("/").expect("a page").text().contains("電子証明書が確認できません"));

    let unknown = house.member("unknown", house.identity("unknown"));
    let front = unknown.browser.get("/").expect("a page");
    assert_eq!(front.status, 403);
    assert!(front.text().contains("登録されていない証明書です"), "{}", front.text());
    assert_eq!(unknown.try_login().status, 403);

    // A member's key, whose certificate has ended.
    let subject = [(DnType::CommonName, "old")];
    let old = house.authority.client_between(&subject, (2024, 2025)).expect("a certificate");
    house.import("admin-9", "administrator", &old, &["--break-glass", "test"]).expect("imported");
    let old = house.member("admin-9", old);
    assert!(old.browser.get("/").expect("a page").text().contains("証明書の有効期限が切れています"));
    assert_eq!(old.try_login().status, 403);

    // A customer's certificate, and one of a look-alike CA: no handshake.
    let customer = house.house.customer("hokkai-01", "general", 47_000_001);
    let look_alike = SoftAuthority::new("Example Staff CA").expect("an authority");
    let forged = look_alike.client(&[(DnType::CommonName, "admin-1")], KeyKind::P256).expect("a certificate");
    let pem = customer.token.key_pem().expect("a key") + &pem_of(&customer.certificate);
    for identity in [pem, forged.key + &forged.certificate] {
        let browser = SoftBrowser::staff(house.bank(), Some(&identity)).expect("a browser");
        assert!(browser.get("/").is_err(), "another authority's certificate was taken");
    }
    // And a member of staff is nobody at the portal.
    let pem = first.identity.key.clone() + &first.identity.certificate;
    let at_portal = SoftBrowser::with_pem(house.bank(), Some(&pem)).expect("a browser");
    assert!(at_portal.get("/login").is_err(), "a staff certificate was taken at the portal");

    assert_eq!(first.browser.get("/home").expect("a page").status, 200);
    let refused = house.bank().audit_rows("staff.login-refused").expect("rows");
    let reasons: Vec<_> = refused.iter().map(|row| row["details"]["reason"].clone()).collect();
    assert!(
        reasons.contains(&"staff-unknown".into()) && reasons.contains(&"staff-expired".into()),
        "{reasons:?}"
    );
}

fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn the_command_line_leaves_customers_alone_once_there_is_staff() {
    let (house, _) = StaffHouse::bare("staff-command-line");
    let customer = house.house.customer("hokkai-01", "general", 47_000_011);
    house
        .bank()
        .reconfigure(|table| {
            let staff = table.get_mut("staff").and_then(toml::Value::as_table_mut).expect("a section");
            staff.remove("command_line");
        })
        .expect("a configuration");
    let run = |arguments: &[&str]| house.bank().try_operator(arguments).expect("a run");
    for arguments in [
        &["contract", "add", "7654321", "--name", "x"][..],
        &["user", "unlock", "hokkai-01"],
        &["user", "suspend", "hokkai-01"],
        &["user", "acquisition-code", "hokkai-01"],
        &["certificate", "revoke", &customer.serial, "--reason", "keyCompromise"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("staff console"), "{said}");
    }
    assert!(run(&["user", "show", "hokkai-01"]).status.success(), "looking stays");
    let arguments = ["certificate", "revoke", &customer.serial, "--reason", "keyCompromise"];
    let output = run(&[&arguments[..], &["--break-glass", "console out of reach"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(house.bank().audit_rows("certificate.break-glass").expect("rows").len(), 1);
    let help = Command::new(softhsm_tests::binaries::find("inro-ca").expect("a program"))
        .args(["user", "--help"])
        .output()
        .expect("a run");
    assert!(String::from_utf8_lossy(&help.stdout).contains("until there is a member of staff"));
}
