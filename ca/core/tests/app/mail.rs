//! Mail over fakes: what is queued, what is sent and what is not, and what a failing server comes to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use ca_core::{
    app::{
        change_email::{ChangeEmail, ChangeEmailError},
        customers::NewUser,
        mail_desk::{MailDesk, RetryError},
        queue_notices::QueueNotices,
        send_mail::{DeliveryTerms, SendMail, Sent},
    },
    domain::{
        mail::{EmailAddress, MailId, MailKind, MailState},
        revocation::RevocationReason,
        user::{PasswordKind, Role},
    },
    ports::{
        clock::Clock,
        email::EmailStore,
        mailer::{Mailer, MailerError},
        outbox::{ClaimedMail, MailList, OutboxStore},
        rejudgements::Fallen,
        store::{CertificateStore, CustomerStore, Session},
    },
    testing::{CountingRng, Fault},
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;

use crate::{
    device::device,
    pki::issuer_id,
    rejudge::{plan, rejudge},
    world::{PASSWORD, World, at, clerk, contract, user},
};

const TOLD: &str = "hokkai-mail";
const TOKEN: u32 = 1_000_031;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A mail server that answers as it is told, then takes everything.
#[derive(Default)]
struct Server {
    answers: Mutex<VecDeque<MailerError>>,
    taken: Mutex<Vec<ClaimedMail>>,
}

impl Server {
    fn answer(&self, answers: impl IntoIterator<Item = MailerError>) {
        self.answers.lock().expect("a lock").extend(answers);
    }

    fn kinds(&self) -> Vec<MailKind> {
        self.taken.lock().expect("a lock").iter().map(|mail| mail.mail.kind).collect()
    }

    fn last(&self) -> ClaimedMail {
        self.taken.lock().expect("a lock").last().expect("a mail").clone()
    }
}

#[async_trait]
impl Mailer for Server {
    async fn deliver(&self, mail: &ClaimedMail) -> Result<String, MailerError> {
        if let Some(error) = self.answers.lock().expect("a lock").pop_front() {
            return Err(error);
        }
        self.taken.lock().expect("a lock").push(mail.clone());
        Ok("250 taken".to_owned())
    }

    async fn rest(&self) {}
}

struct Post {
    world: World,
    server: Arc<Server>,
    notices: QueueNotices,
    send: SendMail,
    desk: MailDesk,
    change: ChangeEmail,
}

impl Post {
    /// A world with a user who has an address, and a certificate of which nobody was told yet.
    async fn open() -> Self {
        let world = World::new().await;
        let server = Arc::<Server>::default();
        let (store, clock) = (world.store.clone(), world.clock.clone());
        let terms = DeliveryTerms {
            first_retry: SignedDuration::from_mins(1),
            longest_retry: SignedDuration::from_mins(10),
            give_up: DAY,
            code_lifetime: SignedDuration::from_mins(30),
            lost: SignedDuration::from_mins(2),
        };
        let post = Self {
            notices: QueueNotices { outbox: store.clone(), clock: clock.clone(), issuers: vec![issuer_id()] },
            send: SendMail { outbox: store.clone(), mailer: server.clone(), clock: clock.clone(), terms },
            desk: MailDesk { outbox: store.clone(), clock: clock.clone() },
            change: ChangeEmail {
                emails: store.clone(),
                customers: store.clone(),
                logins: store.clone(),
                audit: store.clone(),
                passwords: world.passwords.clone(),
                clock,
                rng: Arc::new(CountingRng::default()),
                attempts: Arc::default(),
                lock_at: 3,
            },
            server,
            world,
        };
        let new = NewUser {
            id: user(TOLD),
            contract: contract(),
            role: Role::General,
            display_name: "山田".to_owned(),
            email: Some("old@hokkai.example".to_owned()),
        };
        post.world.customers.register_user(clerk(), new).await.expect("a user");
        post.world.set_password(TOLD, PasswordKind::Login, PASSWORD).await;
        let assigned = post.world.customers.assign_device(clerk(), &user(TOLD), Some(&device(TOKEN))).await;
        assigned.expect("a token");
        post.world.enrol(TOLD, TOKEN).await;
        post
    }

    async fn send(&self) -> Sent {
        self.send.run().await.expect("sent")
    }

    async fn queue(&self) -> u64 {
        self.notices.run().await.expect("queued")
    }

    async fn session(&self) -> Session {
        let der = self.world.store.certificates_of(&user(TOLD)).await.expect("the store")[0]
            .der()
            .expect("a certificate")
            .to_vec();
        let opened = self.world.logged_in(&der, PASSWORD).await.expect("a login");
        let active = self.world.sessions.run(opened.session_token.expose_secret(), Some(&der)).await;
        active.expect("a session").session
    }

    /// The user's certificate, as a new judgement lets it fall.
    async fn fallen(&self) -> Fallen {
        let record = self.world.store.certificates_of(&user(TOLD)).await.expect("the store").remove(0);
        let (code, detail) = ("evidence-firmware-too-old".to_owned(), "too old".to_owned());
        Fallen { issuer: record.issuer, serial: record.serial, user: record.user, code, detail }
    }

    async fn mails(&self) -> Vec<(MailKind, MailState, u32)> {
        let mails = self.world.store.mails(&MailList::OfUser(user(TOLD)), 50).await.expect("a query");
        mails.iter().rev().map(|mail| (mail.kind, mail.state, mail.attempts)).collect()
    }
}

fn delivered(count: u64) -> Sent {
    Sent { delivered: count, ..Sent::default() }
}

/// Rule 6: "40 days before, 10 days before and on the expiry day … Each notice exactly once per certificate, also when the
/// server was down that day (then on the next run), never after renewal or revocation."
#[tokio::test]
async fn rule_6_each_notice_goes_out_once_and_late_rather_than_never() {
    use MailKind::{ExpiresIn10Days, ExpiresIn40Days, ExpiresToday, Issued};
    let post = Post::open().await;
    assert_eq!(post.send().await, delivered(1));
    let not_after = post.world.store.certificates_of(&user(TOLD)).await.expect("the store")[0].not_after;
    let days_before = |days: i64| not_after - DAY * i32::try_from(days).expect("days") - DAY / 2;
    for (days, queued) in [(41, 0), (40, 1), (40, 0), (39, 0), (8, 1), (3, 0), (0, 1), (0, 0)] {
        post.world.clock.set(days_before(days));
        assert_eq!(post.queue().await, queued, "{days} days before");
        assert_eq!(post.send().await, delivered(queued), "{days} days before");
    }
    post.world.clock.set(not_after + DAY);
    assert_eq!((post.queue().await, post.send().await), (0, Sent::default()));
    assert_eq!(post.server.kinds(), [Issued, ExpiresIn40Days, ExpiresIn10Days, ExpiresToday]);
}

#[tokio::test]
async fn rule_6_a_notice_that_waited_until_it_was_no_longer_true_is_withdrawn() {
    let post = Post::open().await;
    post.send().await;
    let not_after = post.world.store.certificates_of(&user(TOLD)).await.expect("the store")[0].not_after;
    post.world.clock.set(not_after - DAY * 20);
    assert_eq!(post.queue().await, 1);
    post.world.clock.set(not_after - DAY * 9);
    assert_eq!(post.queue().await, 1, "the next one is due");
    let sent = Sent { delivered: 1, withdrawn: 1, ..Sent::default() };
    assert_eq!(post.send().await, sent, "of two that wait the present one");
    assert_eq!(post.server.kinds(), [MailKind::Issued, MailKind::ExpiresIn10Days]);
    post.world.clock.set(not_after - DAY / 2);
    assert_eq!(post.queue().await, 1);
    post.world.revoke_user(TOLD, RevocationReason::KeyCompromise).await;
    let sent = Sent { delivered: 1, withdrawn: 1, ..Sent::default() };
    assert_eq!(post.send().await, sent);
    assert_eq!(post.server.kinds().last(), Some(&MailKind::Revoked), "never after revocation");
}

#[tokio::test]
async fn a_plan_is_told_while_it_stands() {
    let post = Post::open().await;
    post.send().await;
    let (rejudge, fallen) = (rejudge(&post.world), post.fallen().await);
    let after = async |days: i32| {
        let date = post.world.clock.now() + DAY * days;
        rejudge.plan(clerk(), plan(std::slice::from_ref(&fallen), date)).await.expect("planned")
    };
    let withdrawn = |withdrawn| Sent { withdrawn, ..Sent::default() };
    let said = || post.server.last().announcement.revoke_at;
    let date = |days: i32| Some(post.world.clock.now() + DAY * days);

    let first = after(30).await;
    rejudge.cancel(clerk(), first).await.expect("called off");
    assert_eq!(post.send().await, withdrawn(2), "nobody is told of what was called off, nor that it was");
    let second = after(20).await;
    assert_eq!(post.send().await, delivered(1));
    assert_eq!((post.server.last().mail.kind, said()), (MailKind::ToBeRevoked, date(20)));
    assert_eq!(post.server.last().announcement.told, None);
    let earlier = after(10).await;
    assert_eq!(post.send().await, delivered(1));
    assert_eq!((said(), post.server.last().announcement.told), (date(10), date(20)), "an earlier date");
    after(15).await;
    assert_eq!(post.send().await, Sent::default(), "the first date stands");
    rejudge.cancel(clerk(), earlier).await.expect("called off");
    assert_eq!(post.send().await, delivered(1));
    assert_eq!((post.server.last().mail.kind, said()), (MailKind::ToBeRevoked, date(15)), "a later date");
    rejudge.cancel(clerk(), second).await.expect("called off");
    assert_eq!(post.send().await, Sent::default());
    rejudge.cancel(clerk(), second + 2).await.expect("called off");
    assert_eq!(post.send().await, delivered(1));
    assert_eq!((post.server.last().mail.kind, said()), (MailKind::NotToBeRevoked, None));

    // Before it is told, the same date again: the user knows it.
    let again = after(12).await;
    assert_eq!(post.send().await, delivered(1));
    rejudge.cancel(clerk(), again).await.expect("called off");
    after(12).await;
    assert_eq!(post.send().await, withdrawn(2));
}

#[tokio::test]
async fn a_plan_that_waits_is_not_told_after_the_revocation() {
    let post = Post::open().await;
    post.send().await;
    let date = post.world.clock.now() + DAY;
    let plan = plan(&[post.fallen().await], date);
    rejudge(&post.world).plan(clerk(), plan).await.expect("planned");
    post.world.revoke_user(TOLD, RevocationReason::KeyCompromise).await;
    assert_eq!(post.send().await, Sent { delivered: 1, withdrawn: 1, ..Sent::default() });
    assert_eq!(post.server.last().mail.kind, MailKind::Revoked);
}

#[tokio::test]
async fn a_failing_server_is_tried_again_ever_more_rarely_and_given_up_at_last() {
    let post = Post::open().await;
    let later = || MailerError::Later("451 later\r\nreally".to_owned());
    let mut attempts = 0;
    let begun = at("2026-11-24T10:00:00+09");
    post.world.clock.set(begun);
    let (mut pauses, mut last) = (Vec::new(), begun);
    loop {
        post.server.answer([later()]);
        let sent = post.send().await;
        if sent == Sent::default() {
            post.server.answers.lock().expect("a lock").clear();
            post.world.clock.advance(SignedDuration::from_secs(30));
            continue;
        }
        attempts += 1;
        let now = post.world.store.all_mail()[0].next_attempt_at;
        pauses.push(now.duration_since(last).as_mins());
        last = now;
        if sent.bounced == 1 {
            break;
        }
        assert_eq!(sent, Sent { postponed: 1, ..Sent::default() });
    }
    assert!(attempts > 100, "only {attempts} attempts in a day");
    assert_eq!(pauses[..6], [1, 2, 4, 8, 10, 10], "minutes between the first attempts");
    let mail = &post.world.store.all_mail()[0];
    assert_eq!(
        (mail.state, mail.answer.as_deref()),
        (MailState::Bounced, Some("given up: 451 later  really"))
    );
    assert_eq!(post.world.rows("mail.bounced"), 1);
}

/// A server that can't be used is nobody's bounce: the run ends, and everything waits.
#[tokio::test]
async fn what_is_the_servers_own_trouble_makes_no_mail_bounce() {
    let post = Post::open().await;
    let unavailable = || MailerError::Unavailable("535 who are you?".to_owned());
    for _ in 0..3 {
        post.server.answer([unavailable()]);
        let sent = post.send().await;
        let expected =
            Sent { postponed: 1, unavailable: Some("535 who are you?".to_owned()), ..Sent::default() };
        assert_eq!(sent, expected);
        post.world.clock.advance(SignedDuration::from_mins(11));
    }
    assert_eq!(post.mails().await, [(MailKind::Issued, MailState::Queued, 3)]);
    assert_eq!(post.send().await, delivered(1));

    post.world.revoke_user(TOLD, RevocationReason::KeyCompromise).await;
    post.server.answer([MailerError::Refused("550 nobody".to_owned())]);
    assert_eq!(post.send().await, Sent { bounced: 1, ..Sent::default() });
    let id = post.desk.list(&MailList::Bounced, 9).await.expect("a list")[0].id;
    post.desk.retry(clerk(), id).await.expect("queued anew");
    let twice = post.desk.retry(clerk(), id).await;
    assert!(matches!(twice, Err(RetryError::NotBounced { state: MailState::Queued, .. })), "{twice:?}");
    let unknown = post.desk.retry(clerk(), MailId(999)).await;
    assert!(matches!(unknown, Err(RetryError::Unknown(_))), "{unknown:?}");
    assert_eq!(post.send().await, delivered(1));
    assert_eq!(post.world.rows("mail.retried"), 1);
}

/// The ledger fails before or after the mark, or the process dies: the mail goes out again, and only it.
#[tokio::test]
async fn a_mark_that_is_lost_repeats_the_mail_and_one_that_was_made_does_not() {
    for (fault, copies) in [(Fault::Before, 2), (Fault::After, 1)] {
        let post = Post::open().await;
        post.world.store.faults().order("settle_mail", fault);
        assert!(post.send.run().await.is_err(), "{fault:?}");
        assert_eq!(post.send().await, Sent::default(), "it is claimed still");
        post.world.clock.advance(SignedDuration::from_mins(3));
        post.send().await;
        assert_eq!(post.server.kinds().len(), copies, "{fault:?}");
        let ids: Vec<MailId> = post.server.taken.lock().expect("a lock").iter().map(|m| m.mail.id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "one mail, so one Message-ID");
    }
}

#[tokio::test]
async fn an_address_changes_by_password_and_code_and_the_trail_has_no_address() {
    let post = Post::open().await;
    post.send().await;
    let session = post.session().await;
    let password = || PASSWORD.to_owned().into();
    for (typed, expected) in
        [("new@hokkai.example\r\nBcc: all@hokkai.example", "email"), ("old@hokkai.example", "same-email")]
    {
        let refused = post.change.propose(&session, password(), typed).await;
        assert!(refused.is_err(), "{typed:?}");
        assert!(post.world.last_row().ends_with(&format!("reason={expected}")), "{}", post.world.last_row());
    }
    let wrong = post.change.propose(&session, "not mine".to_owned().into(), "new@hokkai.example").await;
    assert!(matches!(wrong, Err(ChangeEmailError::WrongPassword)), "{wrong:?}");

    let proposed = post.change.propose(&session, password(), "new@hokkai.example").await.expect("proposed");
    assert_eq!(post.change.waiting(&user(TOLD)).await.expect("a query"), Some(proposed));
    assert_eq!(post.send().await, delivered(1));
    let mail = post.server.last();
    assert_eq!(mail.mail.recipient, Some(address("new@hokkai.example")));
    let code = mail.code.expect("a code");
    let before = post.change.confirm(&session, "1234567").await;
    assert!(matches!(before, Err(ChangeEmailError::Code)), "{before:?}");
    post.change.confirm(&session, &format!(" {} {}", &code[..4], &code[4..])).await.expect("changed");
    let changed = post.world.store.user(&user(TOLD)).await.expect("the store").expect("the user");
    assert_eq!(changed.email, Some(address("new@hokkai.example")));
    assert_eq!(post.send().await, delivered(1));
    let told = post.server.last().mail;
    assert_eq!((told.kind, told.recipient), (MailKind::EmailChanged, Some(address("old@hokkai.example"))));
    let rows = post.world.store.audit_rows();
    assert!(rows.iter().all(|row| !row.details.contains("hokkai.example") && !row.details.contains(&code)));
    let again = post.change.confirm(&session, &code).await;
    assert!(matches!(again, Err(ChangeEmailError::Code)), "a code is good for one change: {again:?}");
}

/// A code that came too late is neither sent nor taken.
#[tokio::test]
async fn a_codes_time_is_half_an_hour() {
    let post = Post::open().await;
    post.send().await;
    let session = post.session().await;
    let propose = async || {
        post.change
            .propose(&session, PASSWORD.to_owned().into(), "new@hokkai.example")
            .await
            .expect("proposed")
    };
    propose().await;
    post.send().await;
    let code = post.server.last().code.expect("a code");
    post.world.clock.advance(SignedDuration::from_mins(30));
    let late = post.change.confirm(&session, &code).await;
    assert!(matches!(late, Err(ChangeEmailError::Code)), "{late:?}");
    assert_eq!(post.change.waiting(&user(TOLD)).await.expect("a query"), None);
    propose().await;
    post.world.clock.advance(SignedDuration::from_mins(31));
    assert_eq!(post.send().await, Sent { withdrawn: 1, ..Sent::default() });
    assert!(post.world.store.email_change(&user(TOLD)).await.expect("a query").is_some());
    post.change.drop_change(&session).await.expect("dropped");
    assert_eq!(post.world.store.email_change(&user(TOLD)).await.expect("a query"), None);
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).expect("an address")
}
