//! Search, the trail for auditors, health and calendar; forged forms.

use softhsm_tests::bank::SoftBrowser;

use crate::staff_house::{Member, StaffHouse};

fn named<'a>(members: &'a [Member], id: &str) -> &'a Member {
    members.iter().find(|member| member.id == id).expect("a member")
}

#[test]
fn a_clerk_finds_customers_by_what_they_say() {
    let (house, members) = StaffHouse::open("staff-search");
    let clerk = named(&members, "clerk-1");
    let customer = house.house.customer("hokkai-01", "general", 50_000_001);
    for (by, q) in [
        ("user", "hokk"),
        ("user-name", "試験"),
        ("token", "50000001"),
        ("contract", crate::customers::CONTRACT),
        ("contract-name", "試験商"),
        ("certificate", &*customer.serial),
    ] {
        let encoded = q.bytes().map(|octet| format!("%{octet:02X}")).collect::<Vec<_>>().concat();
        let page = clerk.page(&format!("/search?by={by}&q={encoded}"));
        let found = if by.starts_with("contract") { "/contracts/1234567" } else { "/users/hokkai-01" };
        assert!(page.contains(found), "{by}: {page}");
    }
    for (by, q) in [("user-name", "%25"), ("user", "'+OR+1=1+--"), ("token", "1")] {
        assert!(
            clerk.page(&format!("/search?by={by}&q={q}")).contains("該当するものはありません"),
            "{by} {q}"
        );
    }
    for (by, q) in [("contract", "<script>"), ("certificate", "xyz"), ("nonsense", "x")] {
        let answer = clerk.browser.get(&format!("/search?by={by}&q={q}")).expect("an answer");
        assert_eq!(answer.status, 400, "{by}");
        assert!(!answer.text().contains("<script>"));
    }
    let english = clerk.page("/search?by=user&q=hokk&lang=en");
    assert!(english.contains("Results") && english.contains("by=user&#38;q=hokk&#38;lang=ja"), "{english}");
    assert_eq!(clerk.browser.get("/users/nobody-1").expect("an answer").status, 404);
}

#[test]
fn an_auditor_reads_and_exports_and_changes_nothing() {
    let (house, members) = StaffHouse::open("staff-audit");
    let (auditor, clerk) = (named(&members, "auditor"), named(&members, "clerk-1"));
    clerk.done("/contracts", &[("number", "9900001"), ("name", "=HYPERLINK(\"x\")"), ("general_users", "9")]);

    let page = auditor.page("/audit?action=contract.&actor=staff%3Aclerk-1");
    assert!(page.contains("contract.registered") && !page.contains("staff.login"), "{page}");
    assert!(auditor.page("/audit?subject=9900001").contains("contract.registered"));
    assert!(!auditor.page("/audit?until=2020-01-01").contains("contract.registered"));
    assert_eq!(auditor.browser.get("/audit?from=yesterday").expect("an answer").status, 400);
    for path in [
        "/search?by=contract&q=9900001",
        "/contracts/9900001",
        "/approvals",
        "/staff",
        "/health",
        "/calendar",
    ] {
        auditor.page(path);
    }
    let csv = auditor.browser.get("/audit.csv?subject=9900001").expect("an export");
    assert_eq!(csv.status, 200);
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    let text = csv.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("sequence,at,actor"), "{text}");
    assert!(text.contains("name==HYPERLINK"), "a detail doesn't begin the cell: {text}");
    assert!(!text.contains("\"=") && !text.contains("\"@"), "a formula: {text}");
    let json = auditor.browser.get("/audit.json?action=contract.registered").expect("an export").text();
    let rows: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    assert!(rows.iter().any(|row| row["subject"] == "9900001"), "{json}");
    assert_eq!(house.bank().audit_rows("audit.exported").expect("rows").len(), 2, "exports are written down");
    let verified = house.bank().operator(&["audit", "verify"]).expect("a verdict");
    assert!(verified.is_object(), "{verified}");

    let before = house.bank().operator(&["contract", "show", "9900001"]).expect("a contract");
    for (path, fields) in [
        ("/contracts", &[("number", "9900002"), ("name", "x"), ("general_users", "9")][..]),
        ("/contracts/9900001/users", &[("id", "auditors-1"), ("role", "general"), ("name", "x")]),
        ("/staff", &[("id", "friend"), ("name", "x"), ("role", "clerk")]),
        ("/staff/clerk-1/withdraw", &[("reason", "x")]),
    ] {
        let answer = auditor.post(path, fields);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    assert_eq!(house.bank().operator(&["contract", "show", "9900001"]).expect("a contract"), before);
    assert_eq!(house.bank().audit_rows("staff.denied").expect("rows").len(), 4);
    assert_eq!(clerk.browser.get("/audit").expect("an answer").status, 403, "the trail is the auditors'");
}

#[test]
fn health_and_calendar_at_a_glance() {
    let (_house, members) = StaffHouse::open("staff-health");
    let operations = named(&members, "operations");
    let health = operations.page("/health");
    for expected in ["署名装置（HSM）", "失効リスト（CRL）", "OCSPレスポンダ", "正常"] {
        assert!(health.contains(expected), "{expected}: {health}");
    }
    assert!(operations.page("/calendar").contains("試験環境"));
    for path in ["/search", "/approvals", "/staff", "/audit", "/contracts/1234567"] {
        assert_eq!(operations.browser.get(path).expect("an answer").status, 403, "{path}");
    }
}

#[test]
fn forged_forms_are_refused() {
    let (house, members) = StaffHouse::open("staff-forged");
    let clerk = named(&members, "clerk-1");
    let fields = [("csrf", "guess"), ("number", "9900003"), ("name", "x"), ("general_users", "9")];
    let answer = clerk.browser.post("/contracts", &fields).expect("an answer");
    assert_eq!(answer.status, 403, "{}", answer.text());
    let request = clerk.browser.request("POST", "/contracts").expect("a request");
    let request = request.header("content-type", "application/x-www-form-urlencoded").body("csrf=x");
    let foreign = request.header("origin", "https://evil.example").header("sec-fetch-site", "cross-site");
    let refused = SoftBrowser::response(foreign).expect("an answer");
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("受け付けられませんでした"), "{}", refused.text());
    let home = clerk.browser.get("/home").expect("a page");
    let policy = home.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("script"), "{policy}");
    assert_eq!(home.header("cache-control"), Some("no-store"));
    assert!(
        house
            .bank()
            .audit_rows("contract.registered")
            .expect("rows")
            .iter()
            .all(|row| row["subject"] != "9900003")
    );
    clerk.done("/logout", &[]);
    assert_ne!(clerk.browser.get("/home").expect("an answer").status, 200);
}
