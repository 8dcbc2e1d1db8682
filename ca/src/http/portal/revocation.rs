//! 「管理」→「利用者管理」→「証明書失効」: the master revokes general users' certificates.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::{
        customers::CustomerError,
        refuse_form::Forgery,
        revoke::{MASTER_REASONS, MasterRevocation, RevokeError, TargetResult, read_targets},
    },
    domain::{
        certificate::CertificateState,
        ids::UserId,
        management::{Denied, may_manage},
        revocation::RevocationReason,
    },
};

use super::{
    Portal,
    catalogue::Catalogue,
    forms::{Fields, failed, field, not_permitted, secret},
    pages::{Frame, page},
    see, too_often,
    users::{Line, lines},
    visitor::LoggedIn,
};

#[derive(Template)]
#[template(path = "manage.html")]
struct Manage {
    frame: Frame,
}

#[derive(Template)]
#[template(path = "revoke_select.html")]
struct RevokeSelect {
    frame: Frame,
    csrf: String,
    users: Vec<Line>,
    problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "revoke_confirm.html")]
struct RevokeConfirm {
    frame: Frame,
    csrf: String,
    users: Vec<Line>,
    /// Value, label, whether it is chosen.
    reasons: Vec<(&'static str, &'static str, bool)>,
    problem: Option<&'static str>,
}

/// A line of the 証明書失効結果画面.
struct ResultLine {
    user_id: String,
    done: bool,
    text: String,
}

#[derive(Template)]
#[template(path = "revoke_result.html")]
struct RevokeResult {
    frame: Frame,
    lines: Vec<ResultLine>,
}

/// 管理.
pub(super) async fn overview(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    page(StatusCode::OK, &Manage { frame: logged_in.frame("manage") })
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
    let confirmation = secret(&mut fields, "confirmation");
    let reason = reason(&fields).to_owned();
    let request = MasterRevocation { targets: targets(&fields), reason, confirmation };
    // On its own task: a connection that breaks off doesn't stop half-way through the list.
    let (revoke, master) = (portal.revoke.clone(), logged_in.active.user.id.clone());
    let result = portal.detached.spawn(async move { revoke.by_master(&master, request).await }).await;
    match result {
        Ok(Ok(results)) => done(&portal, &results),
        Ok(Err(error)) => refused(&portal, &logged_in, &fields, error).await,
        Err(panicked) => failed("a revocation", &panicked, &portal, &logged_in),
    }
}

/// The result has a page of its own, so that a reload doesn't revoke again.
fn done(portal: &Portal, results: &[TargetResult]) -> Response {
    portal.revoked.notify_one();
    for line in results {
        portal.metrics.outcome("revocation", if line.result.is_ok() { "revoked" } else { "refused" });
    }
    let users: Vec<String> = results.iter().map(|line| format!("user={}", line.user)).collect();
    see(&format!("/manage/users/revoke/result?{}", users.join("&")))
}

/// 証明書失効結果画面: how it stands now with the certificates of these users.
pub(super) async fn result(
    State(portal): State<Arc<Portal>>,
    logged_in: LoggedIn,
    Query(query): Query<Fields>,
) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    let t = logged_in.visitor.language.catalogue();
    let users = match read_targets(&targets(&query)) {
        Ok(users) => users,
        // Someone followed the language switch.
        Err(RevokeError::Targets) => return see("/manage/users"),
        Err(error) => return list(&portal, &logged_in, StatusCode::BAD_REQUEST, Some(bent(t, &error))).await,
    };
    let mut lines = Vec::with_capacity(users.len());
    for user in users {
        match result_line(&portal, &logged_in, &user).await {
            Ok(line) => lines.push(line),
            Err(error) => return failed("the result of a revocation", &error, &portal, &logged_in),
        }
    }
    page(StatusCode::OK, &RevokeResult { frame: logged_in.frame("manage"), lines })
}

async fn result_line(
    portal: &Portal,
    logged_in: &LoggedIn,
    id: &UserId,
) -> Result<ResultLine, CustomerError> {
    let t = logged_in.visitor.language.catalogue();
    let user = match portal.customers.user(id).await {
        Ok(user) => Some(user),
        Err(CustomerError::UnknownUser) => None,
        Err(error) => return Err(error),
    };
    let (done, text) = match may_manage(&logged_in.active.user, user.as_ref()) {
        Err(Denied::Master) => (false, t.revoked_at_branch.to_owned()),
        Err(Denied::NotYours | Denied::NotAMaster) => (false, t.not_yours.to_owned()),
        Ok(()) => {
            let newest = portal.certificates.of_user(id).await?.into_iter().next();
            match newest.map(|record| record.state) {
                Some(CertificateState::Revoked { at, .. }) => {
                    (true, Catalogue::fill(t.revoked_at, &t.time(at)))
                }
                Some(CertificateState::Issued { .. } | CertificateState::Intended) => {
                    (false, t.still_stands.to_owned())
                }
                Some(CertificateState::Abandoned) | None => (false, t.has_no_certificate.to_owned()),
            }
        }
    };
    Ok(ResultLine { user_id: id.to_string(), done, text })
}

async fn refused(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    fields: &Fields,
    error: RevokeError,
) -> Response {
    let t = logged_in.visitor.language.catalogue();
    match error {
        RevokeError::Confirmation => {
            ask(portal, logged_in, fields, StatusCode::FORBIDDEN, Some(t.confirmation_wrong)).await
        }
        RevokeError::Targets | RevokeError::MalformedTarget | RevokeError::UnknownUser => {
            list(portal, logged_in, StatusCode::BAD_REQUEST, Some(bent(t, &error))).await
        }
        RevokeError::Reason => list(portal, logged_in, StatusCode::BAD_REQUEST, Some(t.form_expired)).await,
        RevokeError::NotPermitted => not_permitted(portal, logged_in),
        RevokeError::TooOften { retry_at } => {
            too_often("revocation", retry_at, &logged_in.visitor, "/manage/users/revoke", portal)
        }
        RevokeError::Failure(failure) => failed("a revocation", &failure, portal, logged_in),
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
    } else if logged_in.active.csrf_matches(field(fields, "csrf")) {
        Check::Fine
    } else {
        Check::Forged
    }
}

async fn forged(portal: &Portal, logged_in: &LoggedIn) {
    portal.forged(logged_in.visitor.certificate.as_deref(), "revocation", Forgery::Token).await;
}

/// The reason that was chosen; none is 「指定しない」.
fn reason(fields: &Fields) -> &str {
    Some(field(fields, "reason"))
        .filter(|reason| !reason.is_empty())
        .unwrap_or(RevocationReason::Unspecified.as_str())
}

/// What is wrong with the users that were sent.
fn bent(t: &'static Catalogue, error: &RevokeError) -> &'static str {
    if matches!(error, RevokeError::MalformedTarget) { t.choose_from_list } else { t.choose_someone }
}

/// The ticked users, as they were sent.
fn targets(fields: &Fields) -> Vec<String> {
    let users = fields.iter().filter(|(name, _)| name == "user");
    users.map(|(_, value)| value.clone()).collect()
}

async fn list(
    portal: &Arc<Portal>,
    logged_in: &LoggedIn,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    match lines(portal, logged_in).await {
        Ok((_, users)) => {
            let (frame, csrf) = (logged_in.frame("manage"), logged_in.csrf.clone());
            page(status, &RevokeSelect { frame, csrf, users, problem })
        }
        Err(error) => failed("the list of users", &error, portal, logged_in),
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
    let chosen = match read_targets(&targets(fields)) {
        Ok(chosen) => chosen,
        Err(error) => return list(portal, logged_in, StatusCode::BAD_REQUEST, Some(bent(t, &error))).await,
    };
    let users: Vec<Line> = match lines(portal, logged_in).await {
        Ok((_, users)) => {
            users.into_iter().filter(|u| chosen.iter().any(|c| c.as_str() == u.user_id)).collect()
        }
        Err(error) => return failed("the list of users", &error, portal, logged_in),
    };
    if users.is_empty() {
        return list(portal, logged_in, StatusCode::BAD_REQUEST, Some(t.choose_someone)).await;
    }
    let picked = reason(fields);
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
