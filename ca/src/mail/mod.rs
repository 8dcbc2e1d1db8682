//! Mails as people read them: plain text, Japanese first and English below, because nobody's language is known. Rule 9: no
//! link, no attachment, never a question for a password, and every mail says so.

mod texts;

use ca_core::{
    domain::{
        mail::MailKind,
        validity::{JAPAN, japan_date},
    },
    ports::outbox::ClaimedMail,
};
use jiff::{Timestamp, civil::Date};

use texts::{EN, JA, Texts};

/// What every mail says of the bank.
#[derive(Clone, Debug)]
pub(crate) struct Letterhead {
    /// The bank's name.
    pub(crate) bank: String,
    /// Whom to call.
    pub(crate) contact: String,
}

/// A mail's subject and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    pub(crate) body: String,
}

/// Writes a mail.
pub(crate) fn letter(head: &Letterhead, mail: &ClaimedMail) -> Letter {
    let (ja, en) = (Wording { t: &JA, head, mail }, Wording { t: &EN, head, mail });
    Letter {
        subject: format!("{} / {}", ja.about().0, en.about().0),
        body: format!("{}\n\n{}\n\n{}\n", ja.text(), "-".repeat(40), en.text()),
    }
}

/// Whether a mail program might make a link of something in the text: an address of the web or of mail, a bare domain.
pub(crate) fn has_link(text: &str) -> bool {
    let dots = ['.', '．', '。', '｡'];
    let follows = |text: &str| text.chars().next().is_some_and(|c| c.is_alphanumeric() && c.is_ascii());
    text.contains(['@', '＠'])
        || text.contains("//")
        || text.to_ascii_lowercase().contains("www")
        || text.match_indices(dots).any(|(at, dot)| {
            text[..at].ends_with(|c: char| c.is_ascii_alphanumeric()) && follows(&text[at + dot.len()..])
        })
}

/// A mail in one language.
struct Wording<'a> {
    t: &'static Texts,
    head: &'a Letterhead,
    mail: &'a ClaimedMail,
}

impl Wording<'_> {
    /// What it is about: the subject, and what it says.
    fn about(&self) -> (&'static str, &'static str) {
        let t = self.t;
        match self.mail.mail.kind {
            MailKind::ExpiresIn40Days => (t.expires_subject, t.expires_40),
            MailKind::ExpiresIn10Days => (t.expires_subject, t.expires_10),
            MailKind::ExpiresToday => (t.expires_subject, t.expires_today),
            MailKind::Issued => (t.issued_subject, t.issued),
            MailKind::Renewed => (t.renewed_subject, t.renewed),
            MailKind::ToBeRevoked => (t.to_be_revoked_subject, t.to_be_revoked),
            MailKind::NotToBeRevoked => (t.not_to_be_revoked_subject, t.not_to_be_revoked),
            MailKind::Revoked => (t.revoked_subject, t.revoked),
            MailKind::Locked => (t.locked_subject, t.locked),
            MailKind::EmailChanged => (t.email_changed_subject, t.email_changed),
            MailKind::EmailCode => (t.email_code_subject, t.email_code),
        }
    }

    fn text(&self) -> String {
        let t = self.t;
        let mut text = t.greeting.replace("{name}", &plain_name(&self.mail.name));
        text.push_str("\n\n");
        text.push_str(&self.filled(self.about().1));
        // Time alone brings a notice, and the bank a plan: there is nobody else who could have done it.
        let kind = self.mail.mail.kind;
        if kind == MailKind::ToBeRevoked && self.mail.announcement.told.is_some() {
            text.push('\n');
            text.push_str(&self.filled(t.date_changed));
        }
        let by_somebody = kind.notice().is_none() && !kind.is_of_plans();
        let not_you = by_somebody.then_some(t.not_you);
        for paragraph in not_you.into_iter().chain([t.rules, t.contact, t.automatic]) {
            text.push_str("\n\n");
            text.push_str(&self.filled(paragraph));
        }
        text
    }

    fn filled(&self, sentence: &str) -> String {
        let at = self.mail.mail.queued_at;
        let last = self.mail.not_after.map(japan_date).map(self.t.date).unwrap_or_default();
        let revoke_at = self.mail.announcement.revoke_at.map(self.t.time).unwrap_or_default();
        let told = self.mail.announcement.told.map(self.t.time).unwrap_or_default();
        sentence
            .replace("{at}", &(self.t.time)(at))
            .replace("{last}", &last)
            .replace("{revoke_at}", &revoke_at)
            .replace("{told}", &told)
            .replace("{code}", self.mail.code.as_deref().unwrap_or_default())
            .replace("{bank}", &self.head.bank)
            .replace("{contact}", &self.head.contact)
    }
}

/// A user's name, so that nothing in it becomes a link: a master could register one that is a web address.
fn plain_name(name: &str) -> String {
    let calm: String = name.chars().map(|c| if "/@＠:<>\\".contains(c) { ' ' } else { c }).collect();
    if !has_link(&calm) {
        return calm;
    }
    calm.chars()
        .flat_map(|c| if c.is_alphanumeric() { vec![c] } else { vec![c, ' '] })
        .collect::<String>()
        .replace("www", "w w w")
        .replace("WWW", "W W W")
}

fn japanese_date(date: Date) -> String {
    date.strftime("%Y年%-m月%-d日").to_string()
}

fn english_date(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

fn japanese_time(at: Timestamp) -> String {
    JAPAN.to_datetime(at).strftime("%Y年%-m月%-d日 %H:%M").to_string()
}

fn english_time(at: Timestamp) -> String {
    JAPAN.to_datetime(at).strftime("%-d %B %Y, %H:%M (Japan time)").to_string()
}

#[cfg(test)]
mod tests;
