//! 失効: the ledger first, then the signer's journal. Nothing is ever un-revoked, and a revocation's time and reason
//! never change.
//!
//! A master revokes general users of their own contract, with the 確認用パスワード (rule 10); a master's own certificate
//! only the branch revokes.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{
    accord::Accords,
    attempts::Attempts,
    failure::{Failure, carries_failure},
    journal::{push_revocations, whole_second},
    own_password::{OwnPassword, Verdict},
    trail::{Details, event, refused},
};
use crate::{
    domain::{
        audit::Actor,
        certificate::{CertificateRecord, CertificateState},
        ids::{IssuerId, SerialNumber, UserId},
        management::acting_master,
        revocation::{Revocation, RevocationReason},
        user::{PasswordKind, Role, User},
    },
    ports::{
        clock::Clock,
        password::Passwords,
        signer::Signer,
        store::{
            AuditStore, CertificateStore, CustomerStore, LoginStore, RevocationStore, RevokeOutcome,
            SignerStore,
        },
    },
};

/// The reasons that a master may give.
pub const MASTER_REASONS: [RevocationReason; 4] = [
    RevocationReason::Unspecified,
    RevocationReason::KeyCompromise,
    RevocationReason::AffiliationChanged,
    RevocationReason::CessationOfOperation,
];

/// Users in one request at the most: the largest plan.
const MAX_TARGETS: usize = 100;

/// The use case.
pub struct Revoke {
    /// Users.
    pub customers: Arc<dyn CustomerStore>,
    /// Confirmation passwords.
    pub logins: Arc<dyn LoginStore>,
    /// Certificates.
    pub certificates: Arc<dyn CertificateStore>,
    /// Revocations.
    pub revocations: Arc<dyn RevocationStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// The journal.
    pub signer: Arc<dyn Signer>,
    /// Which journal it should be.
    pub signers: Arc<dyn SignerStore>,
    /// Whether it is.
    pub accords: Accords,
    /// Verification.
    pub passwords: Arc<dyn Passwords>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whose certificates customers have.
    pub issuer: IssuerId,
    /// How many passwords of a user are looked at.
    pub attempts: Arc<Attempts>,
    /// Wrong confirmation passwords in a row that lock the master.
    pub lock_at: u32,
}

/// What a master asks for.
pub struct MasterRevocation {
    /// The users whose certificates are to be revoked, as they were sent.
    pub targets: Vec<String>,
    /// Why: the name of one of [`MASTER_REASONS`], as it was sent.
    pub reason: String,
    /// 確認用パスワード.
    pub confirmation: SecretString,
}

/// A line of the 証明書失効結果画面.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetResult {
    /// The user.
    pub user: UserId,
    /// What happened.
    pub result: Result<Vec<Revocation>, TargetRefusal>,
}

/// Why a user's certificate wasn't revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefusal {
    /// No general user of this contract: another contract's, or none at all.
    #[error("there is no such general user in the contract")]
    NotYours,
    /// A master's certificate is revoked at the branch.
    #[error("a master's certificate is revoked at the branch")]
    Master,
    /// There is no certificate that could be revoked.
    #[error("the user has no certificate to revoke")]
    NothingToRevoke,
}

impl TargetRefusal {
    fn code(self) -> &'static str {
        match self {
            Self::NotYours => "revoke-not-yours",
            Self::Master => "revoke-master",
            Self::NothingToRevoke => "revoke-nothing",
        }
    }
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The confirmation password is wrong, or none is set.
    #[error("the confirmation password is wrong")]
    Confirmation,
    /// Not a master who may act.
    #[error("only a contract's master user may do this")]
    NotPermitted,
    /// A reason that a master can't give.
    #[error("the reason is not one that a master user can give")]
    Reason,
    /// No user, or more than any plan has.
    #[error("between 1 and {MAX_TARGETS} users are revoked at once")]
    Targets,
    /// What was sent for a user is no user ID.
    #[error("one of the users to be revoked is not a user ID")]
    MalformedTarget,
    /// No such user.
    #[error("there is no such user")]
    UnknownUser,
    /// Too many passwords in a short time: this one wasn't looked at.
    #[error("too many passwords in a short time")]
    TooOften {
        /// When the next one is.
        retry_at: Timestamp,
    },
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(RevokeError);

impl RevokeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Confirmation => "revoke-confirmation-password",
            Self::NotPermitted => "revoke-not-permitted",
            Self::Reason => "revoke-reason",
            Self::Targets => "revoke-targets",
            Self::MalformedTarget => "revoke-malformed-user",
            Self::UnknownUser => "revoke-unknown-user",
            Self::TooOften { .. } => "revoke-too-often",
            Self::Failure(_) => "revoke-failure",
        }
    }
}

impl Revoke {
    /// Revokes one certificate, intent or orphan by number, for the bank.
    ///
    /// # Errors
    /// Only `Failure`; an unknown number is [`RevokeOutcome::Unknown`].
    pub async fn by_serial(
        &self,
        by: Actor,
        issuer: &IssuerId,
        serial: &SerialNumber,
        reason: RevocationReason,
    ) -> Result<RevokeOutcome, RevokeError> {
        let now = self.clock.now();
        let row = event(now, by, "certificate.revoked", serial)
            .with("issuer", issuer)
            .with("reason", reason.as_str());
        let outcome = self.revocations.revoke(issuer, serial, reason, whole_second(now), row.clone()).await?;
        if outcome == RevokeOutcome::Unknown {
            let row = crate::domain::audit::AuditEvent { action: "certificate.revoke-refused", ..row };
            self.audit.append(row.with("why", "unknown serial number")).await?;
        }
        self.tell_signer(issuer).await;
        Ok(outcome)
    }

    /// Revokes whatever certificate a user has, for the bank.
    ///
    /// # Errors
    /// `UnknownUser`.
    pub async fn by_user(
        &self,
        by: Actor,
        user: &UserId,
        reason: RevocationReason,
    ) -> Result<Result<Vec<Revocation>, TargetRefusal>, RevokeError> {
        if self.customers.user(user).await?.is_none() {
            let row = event(self.clock.now(), by, "certificate.revoke-refused", user);
            let row = row.with("why", RevokeError::UnknownUser.code());
            return Err(refused(&*self.audit, row, RevokeError::UnknownUser).await);
        }
        let result = self.revoke_all(&by, user, reason).await?;
        self.tell_signer(&self.issuer).await;
        Ok(result)
    }

    /// Revokes general users' certificates for the master of their contract.
    ///
    /// # Errors
    /// Everything but `UnknownUser`; what fails for one user is that user's line.
    pub async fn by_master(
        &self,
        master: &UserId,
        request: MasterRevocation,
    ) -> Result<Vec<TargetResult>, RevokeError> {
        let actor = Actor::User(master.to_string());
        let (master, reason, targets) = self.authorise(master, &actor, &request).await?;
        let mut results = Vec::with_capacity(targets.len());
        for target in targets {
            let result = match self.judge_target(&master, &target).await? {
                Ok(()) => self.revoke_all(&actor, &target, reason).await?,
                Err(refusal) => {
                    self.note_refusal(&actor, &target, refusal).await?;
                    Err(refusal)
                }
            };
            results.push(TargetResult { user: target, result });
        }
        self.tell_signer(&self.issuer).await;
        Ok(results)
    }

    async fn authorise(
        &self,
        id: &UserId,
        actor: &Actor,
        request: &MasterRevocation,
    ) -> Result<(User, RevocationReason, Vec<UserId>), RevokeError> {
        let now = self.clock.now();
        let row = |error: &RevokeError| {
            event(now, actor.clone(), "certificate.revoke-refused", id).with("why", error.code())
        };
        let master = self.customers.user(id).await?.filter(|user| acting_master(user).is_ok());
        let reason = RevocationReason::parse(&request.reason).filter(|r| MASTER_REASONS.contains(r));
        let judged = match (master, reason) {
            (None, _) => Err(RevokeError::NotPermitted),
            (Some(_), None) => Err(RevokeError::Reason),
            (Some(master), Some(reason)) => {
                read_targets(&request.targets).map(|targets| (master, reason, targets))
            }
        };
        let permitted = match judged {
            Ok(permitted) => permitted,
            Err(error) => return Err(refused(&*self.audit, row(&error), error).await),
        };
        let asked = OwnPassword {
            logins: &*self.logins,
            audit: &*self.audit,
            passwords: &*self.passwords,
            attempts: &self.attempts,
            lock_at: self.lock_at,
        };
        let wrong = row(&RevokeError::Confirmation);
        let whose = (id, PasswordKind::Confirmation);
        match asked.verify(whose, request.confirmation.clone(), now, wrong).await? {
            Verdict::Right => Ok(permitted),
            Verdict::Wrong => Err(RevokeError::Confirmation),
            Verdict::TooOften { retry_at } => Err(RevokeError::TooOften { retry_at }),
            Verdict::MayNotAct => {
                let error = RevokeError::NotPermitted;
                Err(refused(&*self.audit, row(&error), error).await)
            }
        }
    }

    async fn judge_target(
        &self,
        master: &User,
        target: &UserId,
    ) -> Result<Result<(), TargetRefusal>, RevokeError> {
        let user = self.customers.user(target).await?.filter(|user| user.contract == master.contract);
        Ok(match user.map(|user| user.role) {
            None => Err(TargetRefusal::NotYours),
            Some(Role::Master) => Err(TargetRefusal::Master),
            Some(Role::General) => Ok(()),
        })
    }

    /// Every certificate and open intent of the user, so that none is left that works.
    async fn revoke_all(
        &self,
        by: &Actor,
        user: &UserId,
        reason: RevocationReason,
    ) -> Result<Result<Vec<Revocation>, TargetRefusal>, RevokeError> {
        let now = self.clock.now();
        let mut revoked = Vec::new();
        let certificates = self.certificates.certificates_of(user).await?;
        for certificate in certificates.iter().filter(|certificate| is_revocable(certificate)) {
            let row = event(now, by.clone(), "certificate.revoked", &certificate.serial)
                .with("issuer", &certificate.issuer)
                .with("user", user)
                .with("reason", reason.as_str());
            let (issuer, serial) = (&certificate.issuer, &certificate.serial);
            match self.revocations.revoke(issuer, serial, reason, whole_second(now), row).await? {
                RevokeOutcome::Revoked(revocation) | RevokeOutcome::Already(revocation) => {
                    revoked.push(revocation);
                }
                RevokeOutcome::Unknown => {}
            }
        }
        if revoked.is_empty() {
            self.note_refusal(by, user, TargetRefusal::NothingToRevoke).await?;
            return Ok(Err(TargetRefusal::NothingToRevoke));
        }
        Ok(Ok(revoked))
    }

    async fn note_refusal(
        &self,
        by: &Actor,
        target: &UserId,
        refusal: TargetRefusal,
    ) -> Result<(), RevokeError> {
        let row = event(self.clock.now(), by.clone(), "certificate.revoke-refused", target);
        Ok(self.audit.append(row.with("why", refusal.code())).await?)
    }

    /// The ledger has it, and that is what counts; the CRL job pushes what the signer doesn't take now.
    async fn tell_signer(&self, issuer: &IssuerId) {
        let (revocations, signers, accord) = (&*self.revocations, &*self.signers, self.accords.of(issuer));
        let pushed = push_revocations(revocations, signers, &*self.signer, issuer, accord.as_deref()).await;
        if let Err(error) = pushed {
            tracing::warn!(%issuer, %error, "the signer hasn't journaled a revocation yet; the CRL job will try again");
        }
    }
}

/// The users that a master names, each once: all of them, or none.
///
/// # Errors
/// `MalformedTarget`, `Targets`.
pub fn read_targets(sent: &[String]) -> Result<Vec<UserId>, RevokeError> {
    let mut targets = Vec::new();
    for text in sent {
        let id = UserId::parse(text).map_err(|_| RevokeError::MalformedTarget)?;
        if targets.contains(&id) {
            continue;
        }
        if targets.len() == MAX_TARGETS {
            return Err(RevokeError::Targets);
        }
        targets.push(id);
    }
    if targets.is_empty() { Err(RevokeError::Targets) } else { Ok(targets) }
}

fn is_revocable(certificate: &CertificateRecord) -> bool {
    matches!(certificate.state, CertificateState::Intended | CertificateState::Issued { .. })
}
