//! The list: each general user with account, certificate, expiry and token.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::customers::CustomerError,
    domain::{
        certificate::{CertificateRecord, CertificateState},
        contract::Contract,
        user::{Role, User, UserState},
    },
};
use jiff::Timestamp;

use super::super::{
    Portal,
    catalogue::Catalogue,
    certificate::device,
    forms::{Fields, failed, field, not_permitted},
    pages::{Frame, page},
    visitor::LoggedIn,
};

/// A general user.
pub(in super::super) struct Line {
    pub(in super::super) user_id: String,
    pub(in super::super) name: String,
    pub(in super::super) account: Standing,
    pub(in super::super) certificate: Standing,
    /// Whether its renewal awaits its confirmation.
    pub(in super::super) renewal: Option<Standing>,
    pub(in super::super) valid_until: String,
    pub(in super::super) token: Option<String>,
    /// Whether there is a certificate to revoke.
    pub(in super::super) revocable: bool,
}

/// A state in words, and the style that it is shown in.
pub(in super::super) struct Standing {
    pub(in super::super) text: &'static str,
    pub(in super::super) class: &'static str,
}

#[derive(Template)]
#[template(path = "users.html")]
struct List {
    frame: Frame,
    contract: Contract,
    count: String,
    room: String,
    users: Vec<Line>,
    done: Option<&'static str>,
}

/// The page.
pub(in super::super) async fn get(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Query(query): Query<Fields>,
) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    match lines(&portal, &logged_in).await {
        Ok((contract, users)) => {
            let frame = logged_in.frame("manage");
            let t = &frame.t.users;
            let template = List {
                done: (field(&query, "done") == "remove").then_some(t.done_remove),
                count: Catalogue::fill(t.quota, &users.len().to_string()),
                room: Catalogue::fill(t.quota_of, &contract.plan.general_users.to_string()),
                contract,
                users,
                frame,
            };
            page(StatusCode::OK, &template)
        }
        Err(error) => failed("the list of users", &error, &portal, &logged_in),
    }
}

/// The contract, and its general users with what can be said of each; who was removed isn't among them.
pub(in super::super) async fn lines(
    portal: &Portal,
    logged_in: &LoggedIn,
) -> Result<(Contract, Vec<Line>), CustomerError> {
    let (contract, users) = portal.customers.contract(&logged_in.active.user.contract).await?;
    let t = logged_in.visitor.language.catalogue();
    let now = portal.clock.now();
    let mut lines = Vec::new();
    for user in users.iter().filter(|user| user.role == Role::General && user.state != UserState::Removed) {
        let certificates = portal.certificates.of_user(&user.id).await?;
        lines.push(Line::of(t, user, &certificates, now));
    }
    Ok((contract, lines))
}

impl Line {
    /// A user with their certificates, newest first.
    pub(in super::super) fn of(
        t: &Catalogue,
        user: &User,
        certificates: &[CertificateRecord],
        now: Timestamp,
    ) -> Self {
        let mut standing = certificates
            .iter()
            .filter(|c| matches!(c.state, CertificateState::Issued { .. } | CertificateState::Intended));
        let standing = standing.clone().find(|c| !c.is_unconfirmed_renewal()).or_else(|| standing.next());
        let renewal = certificates.iter().any(CertificateRecord::is_unconfirmed_renewal);
        let revoked = || certificates.iter().any(|c| matches!(c.state, CertificateState::Revoked { .. }));
        let (text, class) = match standing {
            None if revoked() => (t.state_revoked, "off"),
            None => (t.state_none, "off"),
            Some(c) if c.state == CertificateState::Intended => (t.state_being_issued, "wait"),
            Some(c) if c.not_after < now => (t.state_expired, "bad"),
            Some(_) => (t.state_valid, "ok"),
        };
        let valid = standing.filter(|c| c.state != CertificateState::Intended);
        Self {
            user_id: user.id.to_string(),
            name: user.display_name.clone(),
            account: account(t, user),
            certificate: Standing { text, class },
            renewal: renewal.then_some(Standing { text: t.state_unconfirmed, class: "wait" }),
            valid_until: valid.map(|c| t.time(c.not_after)).unwrap_or_default(),
            token: user.assigned_device.as_ref().map(|assigned| device(t, assigned)),
            revocable: standing.is_some(),
        }
    }
}

/// 利用停止 goes before IDロック: it has to be lifted in any case.
fn account(t: &Catalogue, user: &User) -> Standing {
    let (text, class) = match user.state {
        UserState::Suspended => (t.users.state_suspended, "bad"),
        UserState::Active | UserState::Removed if user.locked_at.is_some() => (t.users.state_locked, "bad"),
        UserState::Active | UserState::Removed => (t.users.state_active, "ok"),
    };
    Standing { text, class }
}
