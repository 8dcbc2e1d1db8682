//! 「管理」→「利用者管理」→「証明書失効」: the master revokes general users' certificates.

use std::sync::Arc;

use axum::{Form, extract::State, http::StatusCode, response::Response};
use ca_core::{
    app::{
        customers::CustomerError,
        failure::Failure,
        refuse_form::Forgery,
        revoke::{MASTER_REASONS, MasterRevocation, RevokeError, TargetRefusal, TargetResult},
    },
    domain::{
        certificate::{CertificateRecord, CertificateState},
        ids::UserId,
        revocation::RevocationReason,
        user::{Role, User},
    },
};
use secrecy::SecretString;

use super::{
    Portal,
    catalogue::Catalogue,
    message,
    pages::{self, ResultLine, RevokeConfirm, RevokeResult, RevokeSelect, UserLine, page},
    see, unavailable,
    visitor::LoggedIn,
};

/// A form's fields in the order of the page; a name may occur several times.
type Fields = Vec<(String, String)>;

/// 管理.
pub(super) async fn overview(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    page(StatusCode::OK, &pages::Manage { frame: logged_in.frame("manage") })
}

/// The list of general users.
pub(super) async fn select(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    list(&portal, &logged_in, StatusCode::OK, None).await
}

/// Someone followed the language switch on the confirmation page.
pub(super) async fn back_to_select() -> Response {
    see("/manage/users/revoke")
}

/// 「失効」 was pressed: asks for the confirmation password.
pub(super) async fn confirm(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(fields): Form<Fields>,
) -> Response {
    let t = logged_in.visitor.language.catalogue();
    match check(&logged_in, &fields) {
        Check::NotPermitted => not_permitted(&portal, &logged_in),
        Check::Forged => {
            forged(&portal, &logged_in).await;
            list(&portal, &logged_in, StatusCode::FORBIDDEN, Some(t.form_expired)).await
        }
        Check::Fine => ask(&portal, &logged_in, &fields, StatusCode::OK, None).await,
    }
}

/// 「実行」 was pressed.
pub(super) async fn execute(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Form(mut fields): Form<Fields>,
) -> Response {
    let t = logged_in.visitor.language.catalogue();
    match check(&logged_in, &fields) {
        Check::Forged => {
            forged(&portal, &logged_in).await;
            return list(&portal, &logged_in, StatusCode::FORBIDDEN, Some(t.form_expired)).await;
        }
        // Who may not is refused below, where the refusal is written down.
        Check::Fine | Check::NotPermitted => {}
    }
    let confirmation: SecretString = fields
        .iter_mut()
        .find(|(name, _)| name == "confirmation")
        .map(|(_, value)| std::mem::take(value))
        .unwrap_or_default()
        .into();
    let request = MasterRevocation {
        targets: targets(&fields),
        reason: field(&fields, "reason").unwrap_or(RevocationReason::Unspecified.as_str()).to_owned(),
        confirmation,
    };
    // On its own task: a connection that breaks off doesn't stop half-way through the list.
    let (revoke, master) = (portal.revoke.clone(), logged_in.active.user.id.clone());
    let result = portal.detached.spawn(async move { revoke.by_master(&master, request).await }).await;
    match result {
        Ok(Ok(results)) => done(&portal, &logged_in, results),
        Ok(Err(error)) => failed(&portal, &logged_in, &fields, error).await,
        Err(panicked) => unavailable_here("a revocation", &panicked, &portal, &logged_in),
    }
}

fn done(portal: &Portal, logged_in: &LoggedIn, results: Vec<TargetResult>) -> Response {
    portal.revoked.notify_one();
    let frame = logged_in.frame("manage");
    let t = frame.t;
    let lines = results
        .into_iter()
        .map(|line| {
            portal.metrics.outcome("revocation", if line.result.is_ok() { "revoked" } else { "refused" });
            ResultLine {
                user_id: line.user.to_string(),
                done: line.result.is_ok(),
                text: match &line.result {
                    Ok(revoked) => revoked
                        .first()
                        .map(|first| Catalogue::fill(t.revoked_at, &t.time(first.at)))
                        .unwrap_or_default(),
                    Err(TargetRefusal::NotYours) => t.not_yours.to_owned(),
                    Err(TargetRefusal::Master) => t.revoked_at_branch.to_owned(),
                    Err(TargetRefusal::NothingToRevoke) => t.has_no_certificate.to_owned(),
                },
            }
        })
        .collect();
    page(StatusCode::OK, &RevokeResult { frame, lines })
}

async fn failed(portal: &Arc<Portal>, logged_in: &LoggedIn, fields: &Fields, error: RevokeError) -> Response {
    let t = logged_in.visitor.language.catalogue();
    match error {
        RevokeError::Confirmation => {
            ask(portal, logged_in, fields, StatusCode::FORBIDDEN, Some(t.confirmation_wrong)).await
        }
        RevokeError::Targets | RevokeError::UnknownUser => {
            list(portal, logged_in, StatusCode::BAD_REQUEST, Some(t.choose_someone)).await
        }
        RevokeError::Reason => list(portal, logged_in, StatusCode::BAD_REQUEST, Some(t.form_expired)).await,
        RevokeError::NotPermitted => not_permitted(portal, logged_in),
        RevokeError::Failure(failure) => unavailable_here("a revocation", &failure, portal, logged_in),
    }
}

enum Check {
    Fine,
    /// A master's browser sent it, but not from a page of this session.
    Forged,
    NotPermitted,
}

/// The role comes first: what a forged form is answered with shows the contract's users.
fn check(logged_in: &LoggedIn, fields: &Fields) -> Check {
    if !logged_in.is_master() {
        Check::NotPermitted
    } else if logged_in.active.csrf_matches(field(fields, "csrf").unwrap_or_default()) {
        Check::Fine
    } else {
        Check::Forged
    }
}

async fn forged(portal: &Portal, logged_in: &LoggedIn) {
    portal.forged(logged_in.visitor.certificate.as_deref(), "revocation", Forgery::Token).await;
}

fn field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// The ticked users; each once, what isn't a user ID left out.
fn targets(fields: &Fields) -> Vec<UserId> {
    let mut targets = Vec::new();
    for (name, value) in fields {
        if let ("user", Ok(id)) = (name.as_str(), UserId::parse(value))
            && !targets.contains(&id)
        {
            targets.push(id);
        }
    }
    targets
}

async fn list(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    match general_users(portal, logged_in).await {
        Ok(users) => {
            let (frame, csrf) = (logged_in.frame("manage"), logged_in.csrf.clone());
            page(status, &RevokeSelect { frame, csrf, users, problem })
        }
        Err(failure) => unavailable_here("the list of users", &failure, portal, logged_in),
    }
}

async fn ask(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    fields: &Fields,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let t = logged_in.visitor.language.catalogue();
    let chosen = targets(fields);
    let users: Vec<UserLine> = match general_users(portal, logged_in).await {
        Ok(users) => users.into_iter().filter(|u| chosen.iter().any(|c| c.as_str() == u.user_id)).collect(),
        Err(failure) => return unavailable_here("the list of users", &failure, portal, logged_in),
    };
    if users.is_empty() {
        return list(portal, logged_in, StatusCode::BAD_REQUEST, Some(t.choose_someone)).await;
    }
    let picked = field(fields, "reason").unwrap_or(RevocationReason::Unspecified.as_str());
    let reasons = MASTER_REASONS
        .into_iter()
        .filter_map(|reason| {
            let label = match reason {
                RevocationReason::Unspecified => t.reason_unspecified,
                RevocationReason::KeyCompromise => t.reason_key_compromise,
                RevocationReason::AffiliationChanged => t.reason_affiliation_changed,
                RevocationReason::CessationOfOperation => t.reason_cessation,
                RevocationReason::Superseded | RevocationReason::PrivilegeWithdrawn => return None,
            };
            Some((reason.as_str(), label, reason.as_str() == picked))
        })
        .collect();
    let (frame, csrf) = (logged_in.frame("manage"), logged_in.csrf.clone());
    page(status, &RevokeConfirm { frame, csrf, users, reasons, problem })
}

/// The general users of the master's contract with what can be said of their certificates.
async fn general_users(portal: &Arc<Portal>, logged_in: &LoggedIn) -> Result<Vec<UserLine>, Failure> {
    let users = match portal.customers.contract(&logged_in.active.user.contract).await {
        Ok((_, users)) => users,
        Err(CustomerError::Failure(failure)) => return Err(failure),
        Err(_) => Vec::new(),
    };
    let t = logged_in.visitor.language.catalogue();
    let now = portal.clock.now();
    let mut lines = Vec::new();
    for user in users.iter().filter(|user| user.role == Role::General) {
        let certificates = portal.certificates.of_user(&user.id).await?;
        lines.push(line(t, user, &certificates, now));
    }
    Ok(lines)
}

fn line(t: &Catalogue, user: &User, certificates: &[CertificateRecord], now: jiff::Timestamp) -> UserLine {
    let standing = certificates
        .iter()
        .find(|c| matches!(c.state, CertificateState::Issued { .. } | CertificateState::Intended));
    let (state, valid_until) = match standing {
        None if certificates.iter().any(|c| matches!(c.state, CertificateState::Revoked { .. })) => {
            (t.state_revoked, String::new())
        }
        None => (t.state_none, String::new()),
        Some(c) if c.state == CertificateState::Intended => (t.state_being_issued, String::new()),
        Some(c) if c.not_after < now => (t.state_expired, t.time(c.not_after)),
        Some(c) => (t.state_valid, t.time(c.not_after)),
    };
    UserLine {
        user_id: user.id.to_string(),
        name: user.display_name.clone(),
        state,
        valid_until,
        revocable: standing.is_some(),
    }
}

fn not_permitted(portal: &Portal, logged_in: &LoggedIn) -> Response {
    let visitor = &logged_in.visitor;
    let t = visitor.language.catalogue();
    let text = (t.not_permitted_title, t.not_permitted_text);
    let link = Some((t.to_home, "/home".to_owned()));
    message(StatusCode::FORBIDDEN, visitor.language, text, link, Some(visitor.support_id), portal)
}

fn unavailable_here(
    what: &'static str,
    error: &(dyn std::error::Error + 'static),
    portal: &Portal,
    logged_in: &LoggedIn,
) -> Response {
    let visitor = &logged_in.visitor;
    unavailable(what, error, visitor.language, visitor.support_id, portal)
}
