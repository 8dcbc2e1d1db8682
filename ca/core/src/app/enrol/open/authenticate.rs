//! Whom an enrolment is opened for, what shows it, and how the user is bound to the token (rules 12 and 13).
//!
//! A user who isn't authenticated learns nothing: one answer for a wrong ID, password, code or token, and it throttles.
//! A registered machine is known already, so it is told what is wrong; its requests are limited where they arrive.

use jiff::Timestamp;

use super::{Open, OpenEnrolment, OpenError, refusal_row};
use crate::{
    app::{
        acquisition_code,
        audit_budget::refused_stranger,
        enrol::applicant::{Credentials, PasswordCredentials},
    },
    domain::{
        enrolment::{AcquisitionCode, Binding, Enrolment},
        ids::{EnrolmentId, UserId},
        machine::Machine,
        policy::{BindingRefusal, CodeCheck, IssuancePolicy, bind, check_code, is_still_bound},
        user::{PasswordKind, User},
    },
};

/// What is known before anything is decided.
pub(super) struct Authenticated {
    pub(super) user: User,
    code: Option<AcquisitionCode>,
    pub(super) now: Timestamp,
}

/// What ties the user to the token.
pub(super) struct Bound {
    pub(super) binding: Binding,
    /// The hash of the acquisition code, when that is what binds: the store consumes it.
    pub(super) code: Option<[u8; 32]>,
    /// The intent of the certificate that is to be renewed, when that is.
    pub(super) renews: Option<EnrolmentId>,
}

impl OpenEnrolment {
    pub(super) async fn authenticate(&self, open: &Open, now: Timestamp) -> Result<Authenticated, OpenError> {
        let id = UserId::parse(&open.user_id).ok();
        match &open.credentials {
            Credentials::Password(login) => self.by_password(open, login, id.as_ref(), now).await,
            Credentials::Machine(machine) => self.vouched_for(open, machine, id.as_ref(), now).await,
        }
    }

    /// The machine stands for the user's password. A user out of its reach is like none: it may not try out who there
    /// is.
    async fn vouched_for(
        &self,
        open: &Open,
        machine: &Machine,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Authenticated, OpenError> {
        let user = match id {
            Some(id) => self.customers.user(id).await?,
            None => None,
        };
        match user {
            Some(user) if machine.may_register(&user.contract) => Ok(Authenticated { user, code: None, now }),
            Some(_) => Err(self.refuse(open, "machine-other-contract", OpenError::NoSuchUser, now).await),
            None => Err(self.refuse(open, "no-such-user", OpenError::NoSuchUser, now).await),
        }
    }

    /// One password is verified whether the user exists or not, and one row is written when it is wrong.
    async fn by_password(
        &self,
        open: &Open,
        login: &PasswordCredentials,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Authenticated, OpenError> {
        self.check_throttle(open, login, id, now).await?;
        let (user, hash, code) = match id {
            Some(id) => (
                self.customers.user(id).await?,
                self.logins.password(id, PasswordKind::Login).await?,
                self.customers.acquisition_code(id).await?,
            ),
            None => (None, None, None),
        };
        let is_right = self.passwords.verify(login.password.clone(), hash).await?;
        // Others may have failed while this password was verified: many guesses at once are no more than in a row.
        self.check_throttle(open, login, id, now).await?;
        match user.filter(|_| is_right) {
            Some(user) => Ok(Authenticated { user, code, now }),
            None => Err(self.fail(open, login, id, "wrong-password", now).await),
        }
    }

    /// Rule 13. Nothing is known of who is asking, so the trail takes only so many rows of it.
    async fn check_throttle(
        &self,
        open: &Open,
        login: &PasswordCredentials,
        id: Option<&UserId>,
        now: Timestamp,
    ) -> Result<(), OpenError> {
        let Some(retry_at) = self.throttles.blocked_until(id, &login.source, now) else { return Ok(()) };
        let (ports, row) = ((&*self.audit, &*self.budget), refusal_row(open, "throttled", now));
        Err(refused_stranger(ports, "throttled", row, OpenError::Throttled { retry_at }).await)
    }

    /// A failure that throttles and takes an attempt from the acquisition code, but never touches the login (rule 13).
    async fn fail(
        &self,
        open: &Open,
        login: &PasswordCredentials,
        id: Option<&UserId>,
        why: &'static str,
        now: Timestamp,
    ) -> OpenError {
        self.throttles.failed(id, &login.source, now);
        let row = refusal_row(open, why, now);
        let written = match id {
            Some(id) => self.customers.spend_code_attempt(id, row).await,
            None => self.audit.append(row).await,
        };
        written.map_or_else(Into::into, |()| OpenError::Authentication)
    }

    /// The user was authenticated and is bound to the token.
    pub(super) fn got_in(&self, open: &Open, user: &User, now: Timestamp) {
        if let Credentials::Password(login) = &open.credentials {
            self.throttles.succeeded(&user.id, &login.source, now);
        }
    }

    /// The user was authenticated, but isn't bound to the token.
    pub(super) async fn unbound(
        &self,
        open: &Open,
        user: &UserId,
        why: &'static str,
        now: Timestamp,
    ) -> OpenError {
        match &open.credentials {
            Credentials::Password(login) => self.fail(open, login, Some(user), why, now).await,
            Credentials::Machine(_) => self.refuse(open, why, OpenError::NotAssigned, now).await,
        }
    }

    /// Rule 12. A renewal is bound by the certificate that it renews; whether that is still valid is the policy's question.
    pub(super) async fn bind(
        &self,
        open: &Open,
        known: &Authenticated,
        policy: &IssuancePolicy,
    ) -> Result<Bound, OpenError> {
        if let Some(serial) = &open.renews {
            return self.bind_renewal(open, known, serial).await;
        }
        let all = &policy.rules.binding;
        let (check, presented, rules) = match &open.credentials {
            Credentials::Password(login) => {
                let (check, presented) = presented_code(login, known);
                (check, presented, all.clone())
            }
            Credentials::Machine(_) => (CodeCheck::NotPresented, None, all.without_people()),
        };
        let refusal = match bind(&rules, &known.user, &open.device, check) {
            Ok(binding @ Binding::AcquisitionCode) => {
                return Ok(Bound { binding, code: presented, renews: None });
            }
            Ok(binding) => return Ok(Bound { binding, code: None, renews: None }),
            Err(refusal) => refusal,
        };
        Err(match (refusal, &open.credentials) {
            (BindingRefusal::NothingAssigned | BindingRefusal::NotAccepted, Credentials::Password(login)) => {
                self.not_shown(open, known, login, refusal.code()).await
            }
            (refusal, _) => self.unbound(open, &known.user.id, refusal.code(), known.now).await,
        })
    }

    /// No code was guessed, so none is burnt. It throttles all the same, or its absence would tell that the password is
    /// right.
    pub(super) async fn not_shown(
        &self,
        open: &Open,
        known: &Authenticated,
        login: &PasswordCredentials,
        why: &str,
    ) -> OpenError {
        self.throttles.failed(Some(&known.user.id), &login.source, known.now);
        self.refuse(open, why, OpenError::Authentication, known.now).await
    }
}

/// Whether what bound the user to the token when the enrolment was opened binds still, for whoever opens it again.
pub(super) fn still_binds(open: &Open, user: &User, policy: &IssuancePolicy, enrolment: &Enrolment) -> bool {
    let binding = match &open.credentials {
        Credentials::Password(_) => enrolment.binding,
        Credentials::Machine(_) if enrolment.binding == Binding::Renewal => Binding::Renewal,
        Credentials::Machine(_) => Binding::AssignedSerial,
    };
    is_still_bound(&policy.rules.binding, user, &enrolment.device, binding)
}

fn presented_code(login: &PasswordCredentials, known: &Authenticated) -> (CodeCheck, Option<[u8; 32]>) {
    let Some(code) = &login.acquisition_code else { return (CodeCheck::NotPresented, None) };
    let Some(sha256) = acquisition_code::sha256(code) else { return (CodeCheck::Wrong, None) };
    (check_code(known.code.as_ref(), Some(&sha256), known.now), Some(sha256))
}
