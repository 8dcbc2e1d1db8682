//! The outbox, and changes of addresses.

use ca_core::{
    domain::{
        mail::{EmailAddress, MailId, MailKind, MailState, OutboxMail},
        revocation::RevocationReason,
        user::{PasswordKind, UserState},
    },
    ports::{
        email::EmailChange,
        outbox::{Backlog, ExpiryNotice, MailList, Settlement},
        store::{Conflict, Session},
    },
};

use crate::samples::{
    Ledger, at, complete, customers, digest, event, intend, issue, issuer, record, refused, serial, user_id,
    verified_actions,
};

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}

pub(super) fn session(n: u32) -> Session {
    Session {
        token_sha256: digest(5, n),
        csrf_sha256: digest(6, n),
        user: user_id(n),
        issuer: issuer(),
        serial: serial(n),
        opened_at: at(20),
        last_used_at: at(20),
    }
}

fn settled(state: MailState, second: i64) -> Settlement {
    Settlement { state, at: at(second), answer: "250 \"queued\"\tas 'x'".to_owned() }
}

fn notice(kind: MailKind) -> ExpiryNotice {
    let not_after = record(1).not_after;
    let until = at(31_536_001);
    ExpiryNotice { issuer: issuer(), kind, from: not_after, until }
}

async fn kinds_of(store: &impl Ledger, n: u32) -> Vec<MailKind> {
    let mails = store.mails(&MailList::OfUser(user_id(n)), 50).await.expect("a query");
    mails.iter().rev().map(|mail| mail.kind).collect()
}

async fn revoke(store: &impl Ledger, n: u32, reason: RevocationReason) {
    store.revoke(&issuer(), &serial(n), reason, at(30), event("revoked")).await.expect("revoked");
}

async fn claim(store: &impl Ledger, second: i64) -> Option<OutboxMail> {
    let claimed = store.claim_mail(at(second), at(second + 100)).await.expect("a claim");
    claimed.map(|claimed| claimed.mail)
}

pub async fn what_is_told_is_queued_with_its_cause(store: impl Ledger) {
    use MailKind::{Issued, Locked, Revoked};
    customers(&store, 4).await;
    intend(&store, 1).await.expect("the intent");
    assert_eq!(kinds_of(&store, 1).await, [], "an intent is nothing to tell");
    complete(&store, 1).await.expect("the certificate");
    complete(&store, 1).await.expect("a repeat");
    assert_eq!(kinds_of(&store, 1).await, [Issued], "a repeat tells nothing twice");
    let mails = store.mails(&MailList::OfUser(user_id(1)), 9).await.expect("a query");
    assert_eq!(mails[0].certificate, Some((issuer(), serial(1))));
    assert_eq!(mails[0].recipient, Some(address("user1@example.com")));
    assert_eq!((mails[0].queued_at, mails[0].state, mails[0].attempts), (at(10), MailState::Queued, 0));

    revoke(&store, 1, RevocationReason::KeyCompromise).await;
    revoke(&store, 1, RevocationReason::KeyCompromise).await;
    assert_eq!(kinds_of(&store, 1).await, [Issued, Revoked]);
    // An intent that was never signed was nobody's certificate.
    intend(&store, 2).await.expect("the intent");
    revoke(&store, 2, RevocationReason::Unspecified).await;
    assert_eq!(kinds_of(&store, 2).await, []);
    complete(&store, 2).await.expect("too late");
    assert_eq!(kinds_of(&store, 2).await, [], "it was revoked before it was issued");
    // Superseded by nothing that lives: the user has no certificate any more.
    issue(&store, 3).await;
    revoke(&store, 3, RevocationReason::Superseded).await;
    assert_eq!(kinds_of(&store, 3).await, [Issued, Revoked]);

    let (login, wrong) = (PasswordKind::Login, || event("wrong"));
    for _ in 0..4 {
        store.count_wrong_password(&user_id(4), login, at(1), 3, wrong()).await.expect("counted");
    }
    assert_eq!(kinds_of(&store, 4).await, [Locked], "once, at the wrong one that locks");
    store.unlock(&user_id(4), event("unlocked")).await.expect("unlocked");
    for _ in 0..3 {
        store.count_wrong_password(&user_id(4), login, at(2), 3, wrong()).await.expect("counted");
    }
    assert_eq!(kinds_of(&store, 4).await, [Locked, Locked], "locked again, told again");
}

/// Rule 6: "Each notice exactly once per certificate, … never after renewal or revocation."
pub async fn a_notice_is_queued_once_per_certificate_and_kind(store: impl Ledger) {
    customers(&store, 5).await;
    for n in 1..=5 {
        issue(&store, n).await;
    }
    revoke(&store, 2, RevocationReason::KeyCompromise).await;
    store.set_user_state(&user_id(3), UserState::Removed, event("removed")).await.expect("removed");
    let queue =
        async |kind, limit| store.queue_expiry_notices(&notice(kind), at(40), limit).await.expect("queued");
    assert_eq!(queue(MailKind::ExpiresIn40Days, 2).await, 2, "no more than asked for");
    assert_eq!(queue(MailKind::ExpiresIn40Days, 2).await, 1, "and the rest");
    assert_eq!(queue(MailKind::ExpiresIn40Days, 2).await, 0, "and nobody twice");
    assert_eq!(queue(MailKind::ExpiresToday, 9).await, 3, "each notice by itself");
    for (n, expected) in [(1, 3), (2, 2), (3, 1), (4, 3), (5, 3)] {
        assert_eq!(kinds_of(&store, n).await.len(), expected, "user {n}");
    }
    let elsewhere = ExpiryNotice { until: at(31_535_999), from: at(0), ..notice(MailKind::ExpiresIn10Days) };
    assert_eq!(store.queue_expiry_notices(&elsewhere, at(40), 9).await.expect("none"), 0, "another day");
    let (one, other) = tokio::join!(queue(MailKind::ExpiresIn10Days, 9), queue(MailKind::ExpiresIn10Days, 9));
    assert_eq!(one + other, 3, "of two at once each certificate has one");
}

pub async fn a_mail_is_claimed_by_one_and_settled_by_its_attempt(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    assert_eq!(claim(&store, 9).await, None, "nothing is due before its cause");
    let claimed = store.claim_mail(at(11), at(111)).await.expect("a claim").expect("a mail");
    assert_eq!((claimed.name.as_str(), claimed.code.clone()), ("利用者1", None));
    assert_eq!((claimed.not_after, claimed.is_revoked), (Some(record(1).not_after), false));
    let first = claimed.mail;
    assert_eq!((first.user.clone(), first.attempts, first.next_attempt_at), (user_id(1), 1, at(111)));
    let second = claim(&store, 11).await.expect("the other mail");
    assert_eq!(second.user, user_id(2));
    assert_eq!(claim(&store, 12).await, None, "both are under way");
    let backlog = Backlog { queued: 2, oldest: Some(at(10)), bounced: 0 };
    assert_eq!(store.mail_backlog().await.expect("a query"), backlog);

    assert!(store.postpone_mail(&first, at(50), "451 later").await.expect("postponed"));
    assert!(!store.postpone_mail(&first, at(60), "451").await.expect("a query"), "the attempt is over");
    assert!(!store.settle_mail(&first, &settled(MailState::Delivered, 51), None).await.expect("a query"));
    assert_eq!(claim(&store, 49).await, None, "not yet");
    let again = claim(&store, 50).await.expect("due again");
    assert_eq!((again.id, again.attempts, again.answer.as_deref()), (first.id, 2, Some("451 later")));
    assert!(store.settle_mail(&again, &settled(MailState::Delivered, 52), None).await.expect("settled"));
    assert!(!store.settle_mail(&again, &settled(MailState::Bounced, 53), None).await.expect("a query"));

    // The second attempt was taken for lost; its answer comes after another began.
    let late = claim(&store, 111).await.expect("taken for lost");
    assert_eq!((late.id, late.attempts), (second.id, 2));
    assert!(!store.settle_mail(&second, &settled(MailState::Delivered, 112), None).await.expect("a query"));
    let row = event("mail.bounced");
    assert!(
        store
            .settle_mail(&late, &settled(MailState::Bounced, 113), Some(row.clone()))
            .await
            .expect("settled")
    );
    assert!(!store.settle_mail(&late, &settled(MailState::Bounced, 114), Some(row)).await.expect("a query"));
    let actions = verified_actions(&store).await;
    assert_eq!(actions.iter().filter(|action| *action == "mail.bounced").count(), 1);

    let bounced = store.mails(&MailList::Bounced, 9).await.expect("a query");
    assert_eq!(bounced.iter().map(|mail| mail.id).collect::<Vec<_>>(), [late.id]);
    assert_eq!(bounced[0].answer.as_deref(), Some("250 \"queued\"\tas 'x'"));
    assert_eq!(store.mail(late.id).await.expect("a query").as_ref(), bounced.first());
    assert_eq!(store.mail(MailId(999)).await.expect("a query"), None);
    let backlog = Backlog { queued: 0, oldest: None, bounced: 1 };
    assert_eq!(store.mail_backlog().await.expect("a query"), backlog);
    assert_eq!(store.mails(&MailList::Queued, 9).await.expect("a query"), []);
}

pub async fn a_bounced_mail_is_tried_again_at_the_present_address(store: impl Ledger) {
    customers(&store, 2).await;
    issue(&store, 1).await;
    store.open_session(&session(1), event("login")).await.expect("a session");
    let mail = claim(&store, 11).await.expect("a mail");
    let retry =
        async |second| store.retry_mail(mail.id, at(second), event("mail.retried")).await.expect("a query");
    assert!(!retry(12).await, "it hasn't bounced");
    store.settle_mail(&mail, &settled(MailState::Bounced, 13), None).await.expect("settled");
    change(&store, 1, "new@example.com").await;
    assert!(retry(40).await);
    assert!(!retry(41).await, "it is queued");
    let again = store.mail(mail.id).await.expect("a query").expect("the mail");
    assert_eq!(again.recipient, Some(address("new@example.com")));
    assert_eq!((again.attempts, again.next_attempt_at, again.settled_at), (0, at(40), None));
    assert_eq!(again.queued_at, mail.queued_at);

    // What was queued as one piece is withdrawn as one.
    issue(&store, 2).await;
    let queued = store.mail_backlog().await.expect("a query").queued;
    assert_eq!(store.withdraw_all_mail(at(50), "nobody sends").await.expect("withdrawn"), queued);
    assert_eq!(claim(&store, 900).await, None);
    store.set_user_state(&user_id(2), UserState::Removed, event("removed")).await.expect("removed");
    let of_removed = store.mails(&MailList::OfUser(user_id(2)), 9).await.expect("a query");
    assert_eq!(of_removed.iter().map(|mail| mail.recipient.clone()).collect::<Vec<_>>(), [None]);
}

/// Leaves a change that waits for its code; user 1 has a session.
pub async fn keep_some(store: &impl Ledger) {
    let change = EmailChange {
        email: address("neu@example.com"),
        sha256: digest(7, 1),
        expires_at: at(600),
        attempts_left: 5,
    };
    let token = session(1).token_sha256;
    let proposed =
        store.propose_email(&user_id(1), &token, &change, "01234567", (at(0), 9), event("proposed")).await;
    assert!(proposed.expect("proposed"));
}

/// Changes the address of user `n`, whose session stands, and leaves the mails of it queued.
async fn change(store: &impl Ledger, n: u32, email: &str) {
    let (user, token) = (user_id(n), session(n).token_sha256);
    let change =
        EmailChange { email: address(email), sha256: digest(8, n), expires_at: at(600), attempts_left: 5 };
    let proposed =
        store.propose_email(&user, &token, &change, "01234567", (at(0), 9), event("proposed")).await;
    assert!(proposed.expect("proposed"));
    store.confirm_email(&user, &token, &digest(8, n), at(30), event("changed")).await.expect("changed");
}

pub async fn an_address_is_changed_by_the_code_that_it_got(store: impl Ledger) {
    use MailKind::{EmailChanged, EmailCode, Issued};
    customers(&store, 2).await;
    issue(&store, 1).await;
    issue(&store, 2).await;
    let (user, token, code) = (user_id(1), session(1).token_sha256, digest(7, 1));
    let change = EmailChange {
        email: address("neu@example.com"),
        sha256: code,
        expires_at: at(600),
        attempts_left: 2,
    };
    let propose = async |token: &[u8; 32]| {
        store.propose_email(&user, token, &change, "01234567", (at(0), 2), event("email.proposed")).await
    };
    let confirm = async |sha256: &[u8; 32], second| {
        store.confirm_email(&user, &token, sha256, at(second), event("email.changed")).await
    };
    refused(propose(&token).await, Conflict::Missing);
    store.open_session(&session(1), event("login")).await.expect("a session");
    store.open_session(&session(2), event("login")).await.expect("another's session");
    refused(propose(&session(2).token_sha256).await, Conflict::Missing);
    refused(confirm(&code, 21).await, Conflict::Code);
    assert!(propose(&token).await.expect("proposed"));
    assert_eq!(store.email_change(&user).await.expect("a query"), Some(change.clone()));
    assert_eq!(kinds_of(&store, 1).await, [Issued, EmailCode]);

    refused(confirm(&digest(7, 2), 22).await, Conflict::Code);
    refused(confirm(&code, 600).await, Conflict::Code);
    for left in [1, 0, 0] {
        store.spend_email_attempt(&user, event("email.refused")).await.expect("spent");
        let change = store.email_change(&user).await.expect("a query").expect("the change");
        assert_eq!(change.attempts_left, left);
    }
    refused(confirm(&code, 23).await, Conflict::Code);
    assert!(propose(&token).await.expect("a new code"), "in the place of the burnt one");
    assert!(!propose(&token).await.expect("a query"), "no third one within the time");
    store.drop_email_change(&user, event("email.dropped")).await.expect("dropped");
    store.drop_email_change(&user, event("email.dropped")).await.expect("there is none");
    refused(confirm(&code, 24).await, Conflict::Code);

    let mine = async |second| {
        let limit = (at(second), 9);
        store.propose_email(&user, &token, &change, "01234567", limit, event("email.proposed")).await
    };
    assert!(mine(0).await.expect("proposed"));
    confirm(&code, 25).await.expect("changed");
    refused(confirm(&code, 26).await, Conflict::Code);
    let changed = store.user(&user).await.expect("a query").expect("the user");
    assert_eq!(changed.email, Some(address("neu@example.com")));
    let mails = store.mails(&MailList::OfUser(user.clone()), 1).await.expect("a query");
    assert_eq!(
        (mails[0].kind, mails[0].recipient.clone()),
        (EmailChanged, Some(address("user1@example.com")))
    );
    let codes: Vec<String> = claimed_codes(&store).await;
    assert_eq!(codes, ["01234567"; 3]);
    // A locked user does nothing more.
    store.count_wrong_password(&user, PasswordKind::Login, at(27), 1, event("wrong")).await.expect("counted");
    refused(mine(0).await, Conflict::Missing);
    let actions = verified_actions(&store).await;
    for (action, times) in
        [("email.changed", 1), ("email.dropped", 1), ("email.refused", 3), ("email.proposed", 3)]
    {
        assert_eq!(actions.iter().filter(|found| *found == action).count(), times, "{action}");
    }
}

/// Claims everything, says what codes there were, and settles it: a code is gone then.
async fn claimed_codes(store: &impl Ledger) -> Vec<String> {
    let mut codes = Vec::new();
    while let Some(claimed) = store.claim_mail(at(900), at(1000)).await.expect("a claim") {
        codes.extend(claimed.code.clone());
        store.settle_mail(&claimed.mail, &settled(MailState::Bounced, 901), None).await.expect("settled");
        if claimed.code.is_some() {
            let again = store.retry_mail(claimed.mail.id, at(902), event("mail.retried")).await;
            assert!(!again.expect("a query"), "a code is gone with its mail");
        }
    }
    codes
}
