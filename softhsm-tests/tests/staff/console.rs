//! Search, the trail for auditors, health and calendar; forged forms.

use softhsm_tests::{
    bank::{SoftBrowser, fetch},
    wait::until,
};

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
    for odd in [
        "from=yesterday",
        "from=２０２６-１１-２２",
        "until=9999-12-31",
        "from=2026-02-30",
        "before=-1",
        "before=99999999999999999999",
        "before=１",
        "before=1&before=2",
    ] {
        assert_eq!(auditor.browser.get(&format!("/audit?{odd}")).expect("an answer").status, 400, "{odd}");
        assert_eq!(
            auditor.browser.get(&format!("/audit.csv?{odd}")).expect("an answer").status,
            400,
            "{odd}"
        );
    }
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

/// A changed calendar is taken up without a restart; a bad one leaves the one in use, and everybody is told.
#[test]
fn the_calendar_is_taken_up_as_it_changes() {
    let (mut house, members) = StaffHouse::open("staff-calendar");
    let operations = named(&members, "operations");
    let bank = &mut house.house.bank;
    let (file, outside) = (bank.path("calendar.txt"), "次の受付開始");
    std::fs::write(&file, days("closed")).expect("a calendar");
    bank.authority = None;
    bank.reconfigure(|table| {
        let hours = table.get_mut("hours").and_then(toml::Value::as_table_mut).expect("a section");
        hours.insert("mode".to_owned(), "bank".into());
        hours.insert("calendar_file".to_owned(), "calendar.txt".into());
    })
    .expect("a configuration");
    bank.start_authority().expect("an authority");
    let page = || operations.page("/calendar");
    let shown = page();
    for expected in ["calendar.txt", "ファイルの更新日時", "反映した日時", outside] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let open = |page: &str| page.matches("営業").count();
    let few = open(&shown);

    std::fs::write(&file, days("open")).expect("a calendar");
    until("the new days", || open(&page()), |open| *open > few + 14);
    let usable = || {
        let metrics = fetch(&format!("{}/metrics", house.bank().urls().ops)).expect("metrics").text();
        let told = metrics.lines().find_map(|line| line.strip_prefix("inro_calendar_usable "));
        told.map(|value| value.starts_with('1'))
    };
    assert_eq!(usable(), Some(true));
    let many = open(&page());
    std::fs::write(&file, "closed tomorrow\n").expect("a calendar");
    let trouble = "前のものを使っています";
    let pages = || [page(), operations.page("/health")];
    until("the alarm", pages, |pages| pages.iter().all(|page| page.contains(trouble)));
    assert!(open(&page()) >= many, "the days before stay in use");
    until("the metric", usable, |usable| *usable == Some(false));
    let log = house.bank().authority.as_ref().expect("an authority").log();
    assert!(log.contains("ALARM: the calendar of business days"), "{log}");
    std::fs::write(&file, days("closed")).expect("a calendar");
    // A midnight may have passed, and the page shows other days than in the beginning.
    until("the mended file", page, |page| !page.contains(trouble) && open(page) < few + 14);
    until("the metric", usable, |usable| *usable == Some(true));
}

/// A CRL of the staff CA that can't be read leaves the one in use, and everybody is told.
#[test]
fn a_staff_crl_that_is_none_is_told() {
    let (house, [first, _]) = StaffHouse::bare("staff-crl");
    let shown = || {
        let metrics = fetch(&format!("{}/metrics", house.bank().urls().ops)).expect("metrics").text();
        let told = metrics.lines().find_map(|line| line.strip_prefix("inro_staff_crl_usable{} "));
        told.map(str::to_owned)
    };
    let log = || house.bank().authority.as_ref().expect("an authority").log();
    until("the gauge", shown, |shown| shown.as_deref() == Some("1"));
    house.revoke_certificates(2, &[&first.identity]);
    let status = || first.browser.get("/").expect("an answer").status;
    until("the staff CA's CRL", status, |status| *status == 403);

    std::fs::write(house.bank().path("staff/ca.crl"), "garbage").expect("a file");
    until("the gauge", shown, |shown| shown.as_deref() == Some("0"));
    until("the alarm", log, |log| log.contains("ALARM: the staff CA's CRL"));
    assert_eq!(status(), 403, "what was revoked seems good again");
    house.revoke_certificates(3, &[&first.identity]);
    until("the gauge", shown, |shown| shown.as_deref() == Some("1"));
}

/// The next three weeks, all open or all closed.
fn days(word: &str) -> String {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).date();
    let days = today.series(jiff::Span::new().days(1)).take(21);
    days.map(|day| [word, " ", &day.to_string(), "\n"].concat()).collect()
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
    let rows = house.bank().audit_rows("staff.form-refused").expect("rows");
    let written: Vec<_> = rows.iter().map(|row| (&row["actor"], &row["details"]["reason"])).collect();
    assert_eq!(
        written,
        [
            (&"staff:clerk-1".into(), &"form-token".into()),
            (&"staff:clerk-1".into(), &"form-cross-site".into())
        ]
    );
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
