//! Where an enrolment stands, for the machine that carries it out.

use std::sync::Arc;

use crate::{
    app::failure::Failure,
    domain::{
        certificate::{CertificateRecord, CertificateState},
        enrolment::{Enrolment, EnrolmentState},
        ids::EnrolmentId,
        machine::Machine,
        user::User,
    },
    ports::store::{CertificateStore, CustomerStore},
};

/// A query; it changes nothing and leaves no audit row.
pub struct LookUpEnrolment {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Enrolments and certificates.
    pub certificates: Arc<dyn CertificateStore>,
}

/// An enrolment with what became of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The enrolment.
    pub enrolment: Enrolment,
    /// Whose.
    pub user: User,
    /// The certificate, from the intent on.
    pub certificate: Option<CertificateRecord>,
}

/// How far an enrolment got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The challenge is out.
    Challenged,
    /// A certificate is under way.
    Intended,
    /// The certificate was issued and isn't confirmed yet.
    Issued,
    /// The certificate is on the token.
    Confirmed,
    /// Refused for good.
    Refused,
    /// Its certificate was revoked, or never came about.
    Ended,
}

impl Found {
    /// How far it got.
    pub fn stage(&self) -> Stage {
        match (&self.enrolment.state, self.certificate.as_ref().map(|record| &record.state)) {
            (EnrolmentState::Refused { .. }, _) => Stage::Refused,
            (_, None) => Stage::Challenged,
            (_, Some(CertificateState::Intended)) => Stage::Intended,
            (_, Some(CertificateState::Issued { confirmed_at: None, .. })) => Stage::Issued,
            (_, Some(CertificateState::Issued { .. })) => Stage::Confirmed,
            (_, Some(CertificateState::Revoked { .. } | CertificateState::Abandoned)) => Stage::Ended,
        }
    }
}

impl LookUpEnrolment {
    /// An enrolment, when there is one and its user is within the machine's reach.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(&self, id: EnrolmentId, machine: &Machine) -> Result<Option<Found>, Failure> {
        let Some(enrolment) = self.certificates.enrolment(id).await? else { return Ok(None) };
        let user = self.customers.user(&enrolment.user).await?;
        let user = user.ok_or_else(|| Failure::defect("an enrolment without user"))?;
        if !machine.may_register(&user.contract) {
            return Ok(None);
        }
        let certificate = match enrolment.state {
            EnrolmentState::Certified { .. } => self.certificates.certificate_of_intent(id).await?,
            EnrolmentState::Challenged | EnrolmentState::Refused { .. } => None,
        };
        Ok(Some(Found { enrolment, user, certificate }))
    }
}
