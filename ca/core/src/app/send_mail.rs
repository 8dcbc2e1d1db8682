//! Delivers what is queued. A mail is claimed, handed over and settled, each durably: whoever dies in between leaves a claim
//! that lapses, and the next attempt has the same Message-ID.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    failure::Failure,
    trail::{Details, event},
};
use crate::{
    domain::{
        audit::Actor,
        mail::{MailKind, MailState},
        notice::notice,
    },
    ports::{
        clock::Clock,
        mailer::{Mailer, MailerError},
        outbox::{Announcement, ClaimedMail, OutboxStore, Settlement},
    },
};

/// Longer answers of mail servers are cut to so many characters.
const LONGEST_ANSWER: usize = 300;
/// Attempts that a mail has at least before it is given up, however long they took to come.
const FEWEST_ATTEMPTS: u32 = 8;

/// How long is tried, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryTerms {
    /// The first attempt after a failed one is so much later, each further one twice as much …
    pub first_retry: SignedDuration,
    /// … but not more than this.
    pub longest_retry: SignedDuration,
    /// A mail that couldn't be delivered for so long bounces.
    pub give_up: SignedDuration,
    /// A code that wasn't delivered for so long is worth nothing any more.
    pub code_lifetime: SignedDuration,
    /// An attempt that isn't settled by then is taken for lost.
    pub lost: SignedDuration,
}

/// The use case.
pub struct SendMail {
    /// The outbox.
    pub outbox: Arc<dyn OutboxStore>,
    /// The mail server.
    pub mailer: Arc<dyn Mailer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long is tried, and how often.
    pub terms: DeliveryTerms,
}

/// What became of the mail that was due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Taken by the mail server.
    pub delivered: u64,
    /// Refused for good, or given up.
    pub bounced: u64,
    /// No longer so.
    pub withdrawn: u64,
    /// To be tried again.
    pub postponed: u64,
    /// Why nothing more was tried: the mail server can't be used.
    pub unavailable: Option<String>,
}

/// What one attempt came to.
enum Outcome {
    Settled(Settlement),
    Postponed(String),
}

impl SendMail {
    /// Delivers all that is due, one after the other, until the mail server can't be used.
    ///
    /// # Errors
    /// [`Failure`] of the ledger.
    pub async fn run(&self) -> Result<Sent, Failure> {
        let mut sent = Sent::default();
        let result = self.deliver_all(&mut sent).await;
        self.mailer.rest().await;
        result.map(|()| sent)
    }

    async fn deliver_all(&self, sent: &mut Sent) -> Result<(), Failure> {
        loop {
            let now = self.clock.now();
            let claimed = self.outbox.claim_mail(now, after(now, self.terms.lost)).await?;
            let Some(claimed) = claimed else { return Ok(()) };
            self.attempt(&claimed, sent).await?;
            if sent.unavailable.is_some() {
                return Ok(());
            }
        }
    }

    async fn attempt(&self, claimed: &ClaimedMail, sent: &mut Sent) -> Result<(), Failure> {
        let outcome = match self.obsolete(claimed) {
            Some(why) => self.settled(MailState::Withdrawn, why),
            None => match self.mailer.deliver(claimed).await {
                Ok(answer) => self.settled(MailState::Delivered, &answer),
                Err(MailerError::Refused(answer)) => self.settled(MailState::Bounced, &answer),
                Err(MailerError::Later(answer)) => self.later(claimed, &answer),
                Err(MailerError::Unavailable(answer)) => {
                    sent.unavailable = Some(answer.clone());
                    self.later(claimed, &answer)
                }
            },
        };
        match outcome {
            Outcome::Settled(settlement) => self.settle(claimed, &settlement, sent).await,
            Outcome::Postponed(answer) => {
                sent.postponed += 1;
                let until = after(self.clock.now(), self.pause(claimed.mail.attempts));
                self.outbox.postpone_mail(&claimed.mail, until, &answer).await?;
                Ok(())
            }
        }
    }

    async fn settle(
        &self,
        claimed: &ClaimedMail,
        settlement: &Settlement,
        sent: &mut Sent,
    ) -> Result<(), Failure> {
        let mail = &claimed.mail;
        let bounced = (settlement.state == MailState::Bounced).then(|| {
            event(settlement.at, Actor::System, "mail.bounced", &mail.user)
                .with("mail", mail.id)
                .with("kind", mail.kind.as_str())
                .with("answer", &settlement.answer)
        });
        self.outbox.settle_mail(mail, settlement, bounced).await?;
        match settlement.state {
            MailState::Delivered => sent.delivered += 1,
            MailState::Bounced => sent.bounced += 1,
            MailState::Withdrawn | MailState::Queued => sent.withdrawn += 1,
        }
        Ok(())
    }

    /// Why the mail has nothing to say any more. Rule 6: "never after renewal or revocation".
    fn obsolete(&self, claimed: &ClaimedMail) -> Option<&'static str> {
        let now = self.clock.now();
        if claimed.mail.kind == MailKind::EmailCode {
            let old = now.duration_since(claimed.mail.queued_at) > self.terms.code_lifetime;
            return (old || claimed.code.is_none()).then_some("the code's time is over");
        }
        let told = claimed.mail.kind.notice();
        if told.is_none() && !claimed.mail.kind.is_of_plans() {
            return None;
        }
        if claimed.is_revoked {
            return Some("the certificate was renewed or revoked");
        }
        let Some(told) = told else { return overtaken(claimed) };
        let due = claimed.not_after.and_then(|not_after| notice(now, not_after));
        (due != Some(told)).then_some("the day for this notice is over")
    }

    fn settled(&self, state: MailState, answer: &str) -> Outcome {
        Outcome::Settled(Settlement { state, at: self.clock.now(), answer: shown(answer) })
    }

    fn later(&self, claimed: &ClaimedMail, answer: &str) -> Outcome {
        let age = self.clock.now().duration_since(claimed.mail.queued_at);
        if age > self.terms.give_up && claimed.mail.attempts >= FEWEST_ATTEMPTS {
            return self.settled(MailState::Bounced, &format!("given up: {answer}"));
        }
        Outcome::Postponed(shown(answer))
    }

    /// How long to wait after the `attempts`-th failed attempt.
    fn pause(&self, attempts: u32) -> SignedDuration {
        let doubled = 1_i32.checked_shl(attempts.saturating_sub(1).min(30)).unwrap_or(i32::MAX);
        let pause = self.terms.first_retry.checked_mul(doubled).unwrap_or(SignedDuration::MAX);
        pause.min(self.terms.longest_retry)
    }
}

/// Why a mail about plans has nothing to say any more: the user knows, or will be told otherwise.
fn overtaken(claimed: &ClaimedMail) -> Option<&'static str> {
    let Announcement { revoke_at, told, is_overtaken } = claimed.announcement;
    if is_overtaken {
        Some("a later mail says what is planned")
    } else if revoke_at != claimed.to_be_revoked_at {
        Some(if revoke_at.is_some() { "the plan was called off" } else { "it is planned again" })
    } else if revoke_at == told {
        Some(if told.is_some() { "the user knows the date" } else { "the user wasn't told of a plan" })
    } else {
        None
    }
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// What a mail server said, as far as it is kept: one line of text.
fn shown(answer: &str) -> String {
    let plain = answer.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST_ANSWER).collect::<String>().trim().to_owned()
}
