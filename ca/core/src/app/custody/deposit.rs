//! Depositing a PUK before the token gets it, and confirming that it has it. Only the bearer of an enrolment, or of an
//! unblocking whose PUK was released, may; and only for the token that it is about.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{Occasion, seal::CustodyKeys};
use crate::{
    app::{
        audit_budget::{AuditBudget, refused_stranger},
        enrol::bearer::is_bearer_of,
        failure::{Failure, carries_failure},
        token,
        trail::{Details, event},
    },
    domain::{
        audit::{Actor, AuditEvent},
        custody::{KeptPuk, Sealed, Stage},
        device::Device,
        enrolment::EnrolmentState,
        ids::UserId,
    },
    ports::{
        clock::Clock,
        custody::CustodyStore,
        rng::Rng,
        store::{AuditStore, CertificateStore, Conflict, StoreError},
    },
};

/// The PUK that tokens leave the factory with.
const FACTORY_PUK: &str = "12345678";

/// The use cases.
pub struct Deposits {
    /// PUKs and unblockings.
    pub custody: Arc<dyn CustodyStore>,
    /// Enrolments.
    pub certificates: Arc<dyn CertificateStore>,
    /// Refusals.
    pub audit: Arc<dyn AuditStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Nonces.
    pub rng: Arc<dyn Rng>,
    /// What requests without a bearer may write into the trail.
    pub budget: Arc<AuditBudget>,
    /// What PUKs are encrypted with; none where the bank keeps none.
    pub keys: Option<Arc<CustodyKeys>>,
}

/// A PUK that a token is about to get.
pub struct Deposit {
    /// What it belongs to.
    pub occasion: Occasion,
    /// The occasion's.
    pub bearer: SecretString,
    /// The agent's name for it.
    pub deposit: Uuid,
    /// The PUK.
    pub puk: SecretString,
    /// The deposit whose PUK the token has just accepted.
    pub proven: Option<Uuid>,
}

/// A PUK that the token has.
pub struct Confirm {
    /// What it belongs to.
    pub occasion: Occasion,
    /// The occasion's.
    pub bearer: SecretString,
    /// Which deposit.
    pub deposit: Uuid,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DepositError {
    /// The bank keeps no PUKs.
    #[error("this bank keeps no PUKs")]
    NoCustody,
    /// Not the occasion's bearer, or its time ran out.
    #[error("the bearer is wrong or has expired")]
    Bearer,
    /// It can't be a PUK, or is everybody's.
    #[error("a PUK has 6 to 8 characters of ASCII and isn't the factory's")]
    Puk,
    /// The name was used for something else.
    #[error("the deposit's name was used for another one")]
    Taken,
    /// The deposit that it builds on, or that is confirmed, isn't there.
    #[error("there is no such deposit of this token")]
    Unknown,
    /// Something below failed.
    #[error(transparent)]
    Failure(#[from] Failure),
}
carries_failure!(DepositError: store::StoreError);

impl DepositError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoCustody => "no-custody",
            Self::Bearer => "bearer-invalid",
            Self::Puk => "not-a-puk",
            Self::Taken => "deposit-taken",
            Self::Unknown => "no-such-deposit",
            Self::Failure(_) => "failure",
        }
    }
}

/// Whose token it is about.
struct Holder {
    user: UserId,
    device: Device,
}

impl Deposits {
    /// Keeps a PUK. A repeat is no error.
    ///
    /// # Errors
    /// [`DepositError`].
    pub async fn deposit(&self, deposit: Deposit) -> Result<(), DepositError> {
        let now = self.clock.now();
        let result = self.try_deposit(&deposit, now).await;
        self.written(result, deposit.occasion, deposit.deposit, now).await
    }

    async fn try_deposit(&self, deposit: &Deposit, now: Timestamp) -> Result<(), DepositError> {
        let keys = self.keys.as_deref().ok_or(DepositError::NoCustody)?;
        let holder = self.holder(deposit.occasion, &deposit.bearer, now).await?;
        let text = deposit.puk.expose_secret();
        let plausible = (6..=8).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
        if !plausible || text == FACTORY_PUK {
            return Err(DepositError::Puk);
        }
        let mut kept = KeptPuk {
            deposit: deposit.deposit,
            device: holder.device,
            user: holder.user,
            sealed: Sealed { key_version: 0, nonce: [0; 12], octets: Vec::new() },
            deposited_at: now,
            confirmed_at: None,
        };
        if let Some(first) = self.custody.puk(kept.deposit).await? {
            return is_repeat(keys, &first, &kept, text);
        }
        let sealed = keys.seal(&deposit.puk, &kept, &*self.rng);
        kept.sealed = sealed.ok_or_else(|| Failure::defect("a PUK can't be encrypted"))?;
        let row = row(now, &kept.user, "puk.deposited", &kept.device)
            .with("deposit", kept.deposit)
            .with("for", deposit.occasion)
            .with("key_version", kept.sealed.key_version);
        match self.custody.deposit_puk(&kept, deposit.proven, row).await {
            Ok(()) => Ok(()),
            // A repeat that was as fast as the first.
            Err(StoreError::Conflict(Conflict::Taken)) => match self.custody.puk(kept.deposit).await? {
                Some(first) => is_repeat(keys, &first, &kept, text),
                None => Err(DepositError::Unknown),
            },
            Err(StoreError::Conflict(Conflict::Missing)) => Err(DepositError::Unknown),
            Err(error) => Err(error.into()),
        }
    }

    /// The token has it: what was kept before is given up. A repeat is no error.
    ///
    /// # Errors
    /// [`DepositError`].
    pub async fn confirm(&self, confirm: Confirm) -> Result<(), DepositError> {
        let now = self.clock.now();
        let result = self.try_confirm(&confirm, now).await;
        self.written(result, confirm.occasion, confirm.deposit, now).await
    }

    async fn try_confirm(&self, confirm: &Confirm, now: Timestamp) -> Result<(), DepositError> {
        let holder = self.holder(confirm.occasion, &confirm.bearer, now).await?;
        let kept = self.custody.puk(confirm.deposit).await?;
        let ours = kept.filter(|kept| kept.user == holder.user && kept.device == holder.device);
        let kept = ours.ok_or(DepositError::Unknown)?;
        let unblocking = match confirm.occasion {
            Occasion::Enrolment(_) => None,
            Occasion::Unblocking(id) => Some(id),
        };
        let row = row(now, &kept.user, "puk.confirmed", &kept.device)
            .with("deposit", kept.deposit)
            .with("for", confirm.occasion);
        match self.custody.confirm_puk(kept.deposit, unblocking, now, row).await {
            Err(StoreError::Conflict(Conflict::Missing)) => Err(DepositError::Unknown),
            result => Ok(result?),
        }
    }

    async fn holder(
        &self,
        occasion: Occasion,
        bearer: &SecretString,
        now: Timestamp,
    ) -> Result<Holder, DepositError> {
        match occasion {
            Occasion::Enrolment(id) => {
                let enrolment = self.certificates.enrolment(id).await?;
                let stands = |state: &EnrolmentState| !matches!(state, EnrolmentState::Refused { .. });
                let enrolment = enrolment
                    .filter(|e| is_bearer_of(bearer, e) && now < e.expires_at && stands(&e.state))
                    .ok_or(DepositError::Bearer)?;
                Ok(Holder { user: enrolment.user, device: enrolment.device })
            }
            Occasion::Unblocking(id) => {
                let request = self.custody.unblocking(id).await?;
                let request = request
                    .filter(|r| token::matches(bearer.expose_secret(), &r.bearer_sha256))
                    // Done already: the confirmation is repeated.
                    .filter(|r| r.is(Stage::Released, now) || r.stage == Stage::Done)
                    .ok_or(DepositError::Bearer)?;
                Ok(Holder { user: request.user, device: request.device })
            }
        }
    }

    async fn written(
        &self,
        result: Result<(), DepositError>,
        occasion: Occasion,
        deposit: Uuid,
        now: Timestamp,
    ) -> Result<(), DepositError> {
        match result {
            Ok(()) => Ok(()),
            Err(error @ DepositError::Failure(_)) => Err(error),
            Err(error) => {
                let row = event(now, Actor::System, "puk.refused", deposit)
                    .with("for", occasion)
                    .with("why", error.code());
                Err(refused_stranger((&*self.audit, &self.budget), "puk", row, error).await)
            }
        }
    }
}

fn row(now: Timestamp, user: &UserId, action: &'static str, device: &Device) -> AuditEvent {
    event(now, Actor::User(user.to_string()), action, &device.serial).with("kind", device.kind.as_str())
}

/// Whether `first` is what was to be kept as `wanted`.
fn is_repeat(keys: &CustodyKeys, first: &KeptPuk, wanted: &KeptPuk, puk: &str) -> Result<(), DepositError> {
    let same_holder = (&first.user, &first.device) == (&wanted.user, &wanted.device);
    let kept = keys.open(first).map_err(Failure::defect)?;
    let same = bool::from(kept.expose_secret().as_bytes().ct_eq(puk.as_bytes()));
    if same_holder && same { Ok(()) } else { Err(DepositError::Taken) }
}
