//! The branch sees what bounced, and has it sent again.

use softhsm_tests::{
    smtp::{Encryption, MailServer},
    wait::until,
};

use crate::{
    rig::{backlog, register, restart},
    staff_house::StaffHouse,
};

const GONE: &str = "gone@example.com";

#[test]
fn a_clerk_sees_what_bounced_and_sends_it_again_and_nobody_else_does() {
    let (mut house, members) = StaffHouse::open("notices-branch");
    let server = MailServer::start(&house.bank().path("mail"), Encryption::Implicit).expect("a mail server");
    server.serve(house.bank()).expect("its configuration");
    restart(&mut house.house.bank);
    let by = |id: &str| members.iter().find(|member| member.id == id).expect("a member");
    let (clerk, auditor, operations) = (by("clerk-1"), by("auditor"), by("operations"));
    assert!(clerk.page("/mail").contains("届かなかったメール"));

    server.answer_to(GONE, "550 5.1.1 <script>nobody</script>").expect("an answer");
    register(house.bank(), "taro-0001", "general", 46_200_001, GONE);
    house.house.enrolled("taro-0001", 46_200_001);
    until("a bounce", || backlog(house.bank()), |backlog| backlog["bounced"] == 1);
    let list = clerk.page("/mail");
    for shown in ["taro-0001", GONE, "発行", "不達", "5.1.1", "もう一度送る"] {
        assert!(list.contains(shown), "{shown}: {list}");
    }
    assert!(!list.contains("<script>"), "what the mail server said became markup: {list}");
    let user = clerk.page("/users/taro-0001");
    assert!(user.contains("不達") && user.contains("5.1.1"), "{user}");
    let english = clerk.page("/mail?lang=en");
    assert!(english.contains("Mail that didn&#39;t arrive") && english.contains("bounced"), "{english}");
    clerk.page("/mail?lang=ja");

    let mail = house.bank().operator(&["mail", "list"]).expect("a list")[0]["id"].to_string();
    let seen = auditor.page("/mail");
    assert!(seen.contains("taro-0001") && !seen.contains("もう一度送る"), "{seen}");
    for (member, status) in [(auditor, 403), (operations, 403)] {
        assert_eq!(member.post("/mail/retry", &[("mail", &mail)]).status, status, "{}", member.id);
    }
    assert_eq!(operations.browser.get("/mail").expect("an answer").status, 403);
    for (number, status) in [("999999", 404), ("x", 404), ("", 404)] {
        assert_eq!(clerk.post("/mail/retry", &[("mail", number)]).status, status, "{number:?}");
    }
    assert_eq!(server.inbox().expect("the inbox").len(), 0);

    server.answer_to("nobody@example.com", "550 other").expect("an answer");
    let done = clerk.done("/mail/retry", &[("mail", &mail)]);
    assert!(clerk.page(&done).contains("もう一度送るように登録しました"), "{done}");
    until("the mail", || server.inbox().expect("the inbox"), |inbox| inbox.len() == 1);
    until("an empty outbox", || backlog(house.bank()), |backlog| backlog["queued"] == 0);
    let rows = house.house.audit("mail.retried");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["actor"], "staff:clerk-1");
    assert_eq!(clerk.post("/mail/retry", &[("mail", &mail)]).status, 400, "it has arrived");
}
