//! Why the console didn't do what was asked, in a sentence for the member of staff.

use axum::{http::StatusCode, response::Response};
use ca_core::{
    app::{
        custody::unblock::DecideError,
        customers::CustomerError,
        failure::Failure,
        inventory::InventoryError,
        password_policy::WeakPassword,
        staff::{
            Denied, approvals::ApprovalError, desk::DeskError, members::MemberError, tokens::TokenError,
        },
    },
    domain::{approval::Barred, staff::InvalidRoles, subject::InvalidText},
};

use super::{catalogue::Catalogue, page::Page, visitor::Officer};
/// Why nothing was done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A form that isn't this session's.
    Forged,
    /// A field that can't be read.
    Field(&'static str),
    /// There is no such thing.
    NotFound,
    Denied(Denied),
    Desk(Box<DeskError>),
    Approval(ApprovalError),
    Member(MemberError),
    Token(Box<TokenError>),
    Roles(InvalidRoles),
}

macro_rules! from {
    ($($variant:ident: $error:ty),+) => {
        $(impl From<$error> for Trouble {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })+
    };
}
from!(Denied: Denied, Approval: ApprovalError, Member: MemberError, Roles: InvalidRoles);

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Denied(failure.into())
    }
}

impl From<TokenError> for Trouble {
    fn from(error: TokenError) -> Self {
        Self::Token(Box::new(error))
    }
}

impl From<DeskError> for Trouble {
    fn from(error: DeskError) -> Self {
        Self::Desk(Box::new(error))
    }
}

/// A page, or why there is none.
pub(super) fn shown(page: Result<Page, Trouble>, officer: &Officer, back: &str) -> Response {
    match page {
        Ok(page) => page.respond(StatusCode::OK),
        Err(trouble) => trouble.page(officer, back),
    }
}

/// What becomes of it: a sentence, or something below failed.
enum Told<'a> {
    Sentence(StatusCode, String),
    Failure(&'a Failure),
}

impl Trouble {
    fn told(&self, t: &'static Catalogue) -> Told<'_> {
        let said = |status, sentence: &str| Told::Sentence(status, sentence.to_owned());
        let conflict = |sentence| said(StatusCode::CONFLICT, sentence);
        match self {
            Self::Forged => said(StatusCode::FORBIDDEN, t.form_expired),
            Self::Field(sentence) => said(StatusCode::BAD_REQUEST, sentence),
            Self::NotFound => said(StatusCode::NOT_FOUND, t.not_found),
            Self::Roles(InvalidRoles::AuditorActs) => conflict(t.auditor_alone),
            Self::Roles(InvalidRoles::None | InvalidRoles::Unknown) => {
                said(StatusCode::BAD_REQUEST, t.choose_role)
            }
            Self::Denied(denied) => denied_told(denied, t),
            Self::Desk(error) => desk_told(error, t),
            Self::Approval(error) => approval_told(error, t),
            Self::Token(error) => token_told(error, t),
            Self::Member(error) => match error {
                MemberError::Denied(denied) => denied_told(denied, t),
                MemberError::Name(error) => text_told(error, t),
                MemberError::Certificate(_) => said(StatusCode::BAD_REQUEST, t.certificate_unfit),
                MemberError::KeyTaken => conflict(t.key_taken),
                MemberError::Unknown => said(StatusCode::NOT_FOUND, t.unknown_member),
                MemberError::Approval(error) => approval_told(error, t),
                // The command line's.
                MemberError::OnlyAdministrators | MemberError::NotNeeded => conflict(t.not_found),
                MemberError::Failure(failure) => Told::Failure(failure),
            },
        }
    }

    /// The answer, on a page of its own.
    pub(super) fn page(&self, officer: &Officer, back: &str) -> Response {
        let t = officer.t();
        match self.told(t) {
            Told::Failure(failure) => officer.visitor.unavailable(failure),
            Told::Sentence(status, sentence) => {
                let mut page = officer.page("", t.not_done_title).support(officer.visitor.support_id);
                page.alert = Some(sentence);
                page.linked(t.back, back).respond(status)
            }
        }
    }

    /// Status and sentence for a form that is shown again with what was typed; the failure when something below failed.
    pub(super) fn sentence(&self, t: &'static Catalogue) -> Result<(StatusCode, String), &Failure> {
        match self.told(t) {
            Told::Sentence(status, sentence) => Ok((status, sentence)),
            Told::Failure(failure) => Err(failure),
        }
    }
}

fn token_told<'a>(error: &'a TokenError, t: &'static Catalogue) -> Told<'a> {
    let conflict = |sentence: &str| Told::Sentence(StatusCode::CONFLICT, sentence.to_owned());
    match error {
        TokenError::Denied(denied) => denied_told(denied, t),
        TokenError::Note(error) => text_told(error, t),
        TokenError::Decide(DecideError::Failure(failure))
        | TokenError::Inventory(InventoryError::Failure(failure))
        | TokenError::Failure(failure) => Told::Failure(failure),
        TokenError::Decide(DecideError::Unknown | DecideError::NotWaiting) => conflict(t.unblock_not_waiting),
        TokenError::Inventory(InventoryError::UnknownContract) => conflict(t.token_contract_bad),
        TokenError::Inventory(_) => conflict(t.token_not_possible),
    }
}

fn denied_told<'a>(denied: &'a Denied, t: &'static Catalogue) -> Told<'a> {
    match denied {
        Denied::Role(_) => Told::Sentence(StatusCode::FORBIDDEN, t.not_permitted.to_owned()),
        Denied::Failure(failure) => Told::Failure(failure),
    }
}

fn text_told<'a>(error: &InvalidText, t: &'static Catalogue) -> Told<'a> {
    let sentence = match error {
        InvalidText::Empty { .. } => t.text_empty,
        InvalidText::TooLong { .. } => t.text_too_long,
        InvalidText::OuterBlank { .. } | InvalidText::Forbidden { .. } => t.text_forbidden,
    };
    Told::Sentence(StatusCode::BAD_REQUEST, sentence.to_owned())
}

fn desk_told<'a>(error: &'a DeskError, t: &'static Catalogue) -> Told<'a> {
    let said = |status, sentence: &str| Told::Sentence(status, sentence.to_owned());
    match error {
        DeskError::Denied(denied) => denied_told(denied, t),
        DeskError::TakesTwo => said(StatusCode::CONFLICT, t.takes_two),
        DeskError::Identity(_) => said(StatusCode::BAD_REQUEST, t.identity_missing),
        DeskError::UnknownCertificate => said(StatusCode::NOT_FOUND, t.not_found),
        DeskError::Reason => said(StatusCode::BAD_REQUEST, t.choose_reason),
        DeskError::Failure(failure) => Told::Failure(failure),
        DeskError::Customer(error) => match error {
            CustomerError::Name(error) => text_told(error, t),
            CustomerError::Email(_) => said(StatusCode::BAD_REQUEST, t.email_invalid),
            CustomerError::Taken => said(StatusCode::CONFLICT, t.taken),
            CustomerError::UnknownContract | CustomerError::UnknownUser => {
                said(StatusCode::NOT_FOUND, t.not_found)
            }
            CustomerError::PlanExhausted => said(StatusCode::CONFLICT, t.plan_exhausted),
            CustomerError::DeviceInUse => said(StatusCode::CONFLICT, t.device_in_use),
            CustomerError::Token(_) => said(StatusCode::CONFLICT, t.device_refused),
            CustomerError::NotAMaster => said(StatusCode::CONFLICT, t.not_a_master),
            CustomerError::Password(WeakPassword::SameAsOther) => said(StatusCode::CONFLICT, t.try_again),
            CustomerError::Password(_) => said(StatusCode::BAD_REQUEST, t.try_again),
            CustomerError::Failure(failure) => Told::Failure(failure),
        },
    }
}

fn approval_told<'a>(error: &'a ApprovalError, t: &'static Catalogue) -> Told<'a> {
    let said = |status, sentence: &str| Told::Sentence(status, sentence.to_owned());
    let conflict = |sentence| said(StatusCode::CONFLICT, sentence);
    match error {
        ApprovalError::Denied(denied) => denied_told(denied, t),
        ApprovalError::Reason(error) => text_told(error, t),
        ApprovalError::UnknownUser | ApprovalError::UnknownContract | ApprovalError::Unknown => {
            said(StatusCode::NOT_FOUND, t.not_found)
        }
        ApprovalError::UnknownPolicy => said(StatusCode::NOT_FOUND, t.unknown_policy),
        ApprovalError::SamePlan => conflict(t.same_plan),
        ApprovalError::SamePolicy => conflict(t.same_policy),
        ApprovalError::PlanTooSmall => conflict(t.plan_too_small),
        ApprovalError::NotRevoked => conflict(t.not_revoked),
        ApprovalError::FirstTime => conflict(t.first_time),
        ApprovalError::Asked => conflict(t.asked_already),
        ApprovalError::Barred(Barred::DeciderLeft) => said(StatusCode::FORBIDDEN, t.not_permitted),
        ApprovalError::Barred(Barred::AskerLeft) => conflict(t.asker_left),
        ApprovalError::Barred(Barred::OwnRequest) => said(StatusCode::FORBIDDEN, t.own_request),
        ApprovalError::Barred(Barred::NotYours) => said(StatusCode::FORBIDDEN, t.not_yours),
        ApprovalError::Barred(Barred::NotOpen) => conflict(t.not_open),
        ApprovalError::DeviceInUse => conflict(t.device_in_use),
        ApprovalError::TokenUnfit => conflict(t.device_refused),
        ApprovalError::KeyTaken => conflict(t.key_taken),
        ApprovalError::Failure(failure) => Told::Failure(failure),
    }
}
