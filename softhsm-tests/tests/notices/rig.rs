//! A bank with a mail server, and what came of it.

use serde_json::Value;
use softhsm_tests::{
    bank::Bank,
    faults::Faults,
    smtp::{Encryption, MailServer, Taken, USER},
    wait::until,
};

use crate::customers::{CONTRACT, Customer, House, calendar::Calendar};

/// A bank whose clock can be moved, and its mail server.
pub(crate) struct Post {
    pub(crate) house: House,
    pub(crate) clock: Faults,
    pub(crate) server: MailServer,
    pub(crate) calendar: Calendar,
}

impl Post {
    pub(crate) fn open(name: &str, encryption: Encryption) -> Self {
        let (mut house, clock) = House::with_clock(name, &softhsm_tests::bank::Options::default());
        let server = MailServer::start(&house.bank.path("mail"), encryption).expect("a mail server");
        server.serve(&house.bank).expect("its configuration");
        house.bank.authority = None;
        let calendar = Calendar::begin();
        house.later(&clock, calendar.day(0));
        house.bank.start_authority().expect("an authority");
        Self { house, clock, server, calendar }
    }

    /// A user with this address and a certificate.
    pub(crate) fn customer(&self, id: &str, role: &str, token: u32, email: &str) -> Customer {
        register(&self.house.bank, id, role, token, email);
        self.house.enrolled(id, token)
    }

    /// So many days after the beginning, with the authority started anew: as after a night.
    pub(crate) fn day(&mut self, days: i32) {
        self.house.bank.authority = None;
        self.house.later(&self.clock, self.calendar.day(days));
        self.house.bank.start_authority().expect("an authority");
    }

    /// Awaits that nothing waits any more.
    pub(crate) fn settle(&self) {
        until("an empty outbox", || backlog(&self.house.bank), |backlog| backlog["queued"] == 0);
    }

    /// What a recipient has got, as `Subject`s' Japanese half.
    pub(crate) fn subjects(&self, recipient: &str) -> Vec<String> {
        self.mails(recipient).iter().map(|mail| japanese(mail.header("Subject"))).collect()
    }

    /// Awaits that a recipient has got so many.
    pub(crate) fn arrived(&self, recipient: &str, number: usize) -> Vec<Taken> {
        let mails = || self.mails(recipient);
        until(&format!("mail {number} to {recipient}"), mails, |mails| mails.len() == number)
    }

    /// What a recipient has got.
    pub(crate) fn mails(&self, recipient: &str) -> Vec<Taken> {
        let inbox = self.server.inbox().expect("the inbox");
        inbox.into_iter().filter(|mail| mail.recipients == [recipient]).collect()
    }

    /// Mails of a list of `inro-ca mail list`.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let all = [&["mail", "list"][..], arguments].concat();
        self.house.bank.operator(&all).expect("a list").as_array().expect("a list").clone()
    }
}

/// The Japanese half of a subject.
pub(crate) fn japanese(subject: &str) -> String {
    subject.split(" / ").next().unwrap_or_default().to_owned()
}

pub(crate) fn register(bank: &Bank, id: &str, role: &str, token: u32, email: &str) {
    let add =
        ["user", "add", id, "--contract", CONTRACT, "--role", role, "--name", "試験 太郎", "--email", email];
    bank.operator(&add).expect("a user");
    for kind in ["login", "confirmation"].iter().take(if role == "master" { 2 } else { 1 }) {
        let file = bank.secret(kind).display().to_string();
        let set = ["user", "set-password", id, "--kind", kind, "--password-file", &file];
        bank.operator(&set).expect("a password");
    }
    bank.operator(&["user", "assign-token", id, "--serial", &token.to_string()]).expect("a token");
}

pub(crate) fn restart(bank: &mut Bank) {
    bank.authority = None;
    bank.start_authority().expect("an authority");
}

pub(crate) fn backlog(bank: &Bank) -> Value {
    bank.operator(&["mail", "status"]).expect("the backlog")
}

/// Rule 9, of a mail as it arrived: "has no link and no attachment, is plain text, and says so".
pub(crate) fn keeps_rule_9(mail: &Taken) {
    assert!(mail.encrypted, "in clear");
    assert_eq!(mail.user.as_deref(), Some(USER));
    assert_eq!(mail.sender, "no-reply@bank.example");
    assert_eq!(mail.header("From"), "試験銀行 <no-reply@bank.example>");
    assert_eq!(mail.header("To"), mail.recipients.join(", "));
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Content-Type").starts_with("text/plain; charset=\"utf-8\""), "{:?}", mail.headers);
    let id = mail.header("Message-ID");
    assert!(id.starts_with("<inro.") && id.ends_with("@bank.example>"), "{id}");
    assert_eq!((mail.multipart, &*mail.defects), (false, &[][..]));
    let names: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
    for forbidden in ["Bcc", "Cc", "Reply-To", "Content-Disposition", "X-Injected"] {
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case(forbidden)), "{names:?}");
    }
    let body = mail.body.to_lowercase();
    for sign in ["://", "www", "http", "mailto", "@", "<", ">"] {
        assert!(!body.contains(sign), "{sign}: {body}");
    }
    assert!(mail.body.contains("パスワードや PIN をお尋ねすることはありません"), "{}", mail.body);
    assert!(body.contains("never asks for a password or pin"), "{body}");
}
