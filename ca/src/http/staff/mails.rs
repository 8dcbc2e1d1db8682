//! Mail that bounced, and what waits: the branch calls the customer, or has it tried again.

use std::sync::Arc;

use axum::{Form, extract::State, response::Response};
use ca_core::{
    app::mail_desk::RetryError,
    domain::{
        mail::{MailId, MailKind, MailState, OutboxMail},
        staff::Task,
    },
    ports::outbox::MailList,
};

use super::{
    Console, Fields, Trouble,
    catalogue::Catalogue,
    field,
    page::{Cell, Field, Form as Entry, Page, Section},
    see, shown,
    visitor::Officer,
};

/// Mails in a list.
const MOST: u32 = 100;
/// Mails on a user's page.
pub(super) const OF_USER: u32 = 10;

/// Someone followed the language switch on the answer to the form.
pub(super) async fn back_to(_: Officer) -> Response {
    see("/mail")
}

pub(super) async fn list(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    shown(mail_page(&console, &officer).await, &officer, "/home")
}

async fn mail_page(console: &Console, officer: &Officer) -> Result<Page, Trouble> {
    let t = officer.t();
    console.first(officer, Task::ReadCustomers, "mail").await?;
    let backlog = console.mail.backlog().await?;
    let bounced = console.mail.list(&MailList::Bounced, MOST).await?;
    let queued = console.mail.list(&MailList::Queued, MOST).await?;
    let mut page = officer.page("/mail", t.mail);
    page.notice = officer.notice();
    let facts = vec![
        (t.mail_queued, Cell::text(backlog.queued.to_string())),
        (t.mail_oldest, backlog.oldest.map_or(Cell::text("–"), |at| Cell::Time(officer.time(at)))),
        (t.mail_bounced, Cell::text(backlog.bounced.to_string())),
    ];
    page = page.section(Section::Facts { title: String::new(), facts });
    page = page.section(table(officer, t.mail_bounced, &bounced)).section(table(
        officer,
        t.mail_queued,
        &queued,
    ));
    let latest = bounced.iter().find(|mail| can_retry(mail));
    if let Some(latest) = latest.filter(|_| officer.may(Task::KeepCustomers)) {
        let form =
            Entry::post("retry", "/mail/retry", t.mail_retry_title, t.mail_retry).text(t.mail_retry_text);
        let number = Field::line("mail", t.mail_number, &latest.id.to_string(), 20).hint(t.mail_retry_hint);
        page = page.form(form.with(number));
    }
    Ok(page)
}

/// A code is gone with its mail, and so is a removed user's address.
fn can_retry(mail: &OutboxMail) -> bool {
    mail.kind != MailKind::EmailCode && mail.recipient.is_some()
}

/// Mails as rows.
pub(super) fn table(officer: &Officer, title: &'static str, mails: &[OutboxMail]) -> Section {
    let t = officer.t();
    let row = |mail: &OutboxMail| {
        let state = state(t, mail.state);
        vec![
            Cell::code(mail.id),
            Cell::Time(officer.time(mail.settled_at.unwrap_or(mail.queued_at))),
            Cell::user(&mail.user),
            Cell::text(kind(t, mail.kind)),
            if mail.state == MailState::Delivered { Cell::Good(state.to_owned()) } else { Cell::text(state) },
            Cell::text(mail.recipient.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string)),
            Cell::Details(mail.answer.clone().unwrap_or_default()),
        ]
    };
    let head = [t.mail_number, t.when, t.user_id, t.what, t.state, t.email, t.mail_answer];
    Section::table(title, &head, mails.iter().map(row).collect(), t.nothing_yet)
}

fn state(t: &'static Catalogue, state: MailState) -> &'static str {
    match state {
        MailState::Queued => t.mail_state_queued,
        MailState::Delivered => t.mail_state_delivered,
        MailState::Bounced => t.mail_state_bounced,
        MailState::Withdrawn => t.mail_state_withdrawn,
    }
}

fn kind(t: &'static Catalogue, kind: MailKind) -> &'static str {
    match kind {
        MailKind::ExpiresIn40Days => t.mail_kind_40,
        MailKind::ExpiresIn10Days => t.mail_kind_10,
        MailKind::ExpiresToday => t.mail_kind_today,
        MailKind::Issued => t.mail_kind_issued,
        MailKind::Renewed => t.mail_kind_renewed,
        MailKind::ToBeRevoked => t.mail_kind_to_be_revoked,
        MailKind::NotToBeRevoked => t.mail_kind_not_to_be_revoked,
        MailKind::Revoked => t.mail_kind_revoked,
        MailKind::Locked => t.mail_kind_locked,
        MailKind::EmailChanged => t.mail_kind_changed,
        MailKind::EmailCode => t.mail_kind_code,
    }
}

/// A mail was chosen to be tried again.
pub(super) async fn retry(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Form(fields): Form<Fields>,
) -> Response {
    let (desk, clerk, t, typed) = (console.clone(), officer.clone(), officer.t(), fields.clone());
    let done = console.act(&officer, &fields, async move {
        desk.first(&clerk, Task::KeepCustomers, "mail").await?;
        let id = field(&typed, "mail").parse().map(MailId).map_err(|_| Trouble::NotFound)?;
        match desk.mail.retry(clerk.acting().actor(), id).await {
            Ok(_) => Ok(see("/mail?done=mail")),
            Err(RetryError::Unknown(_)) => Err(Trouble::NotFound),
            Err(RetryError::NotBounced { .. } | RetryError::Gone(_)) => Err(Trouble::Field(t.mail_gone)),
            Err(RetryError::Failure(failure)) => Err(failure.into()),
        }
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, "/mail"))
}
