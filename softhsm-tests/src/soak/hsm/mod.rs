//! R5 to R9: what goes wrong behind PKCS#11. The signer is the real one, its token a SoftHSM token behind `p11-fault`, and
//! it is asked as the authority asks it.

pub(super) mod errors;
pub(super) mod hangs;
pub(super) mod idle;
pub(super) mod lies;
pub(super) mod pins;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use signer_protocol::{
    client::{Client, ClientError},
    message::Signed,
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::{
    bank::{AUDIT_HEAD, Bank, Options, Orders},
    simulated_hsm::{Settings, SimulatedHsm},
};

/// The signer's lanes, and so the sessions that it may have.
const LANES: u16 = 3;
/// Nobody waits longer for the signer.
const DEADLINE: Duration = Duration::from_secs(10);
/// What has cleared must be over so soon.
const RECOVERY: Duration = Duration::from_secs(5);

/// A signer in front of a sick HSM.
struct Ward {
    bank: Bank,
    hsm: SimulatedHsm,
    orders: Orders,
    runtime: Runtime,
    client: Client,
}

/// A certificate that was asked for.
struct Order {
    intent: Uuid,
    tbs: Vec<u8>,
}

/// What was answered, and when.
struct Answered {
    result: Result<Signed, ClientError>,
    took: Duration,
}

impl Ward {
    /// After the ceremony; the signer isn't started.
    fn prepare(directory: &Path) -> Result<Self> {
        let bank = Bank::prepare(directory, &Options::default())?;
        bank.hold_ceremony()?;
        let hsm = SimulatedHsm::in_front_of(&bank, Settings::AT_ONCE, LANES)?;
        let orders = Orders::of(&bank)?;
        let client = Client::new(bank.path("signer/socket")).with_deadline(DEADLINE);
        let runtime = Runtime::new().context("starting a runtime")?;
        Ok(Self { bank, hsm, orders, runtime, client })
    }

    /// With the signer ready.
    fn open(directory: &Path) -> Result<Self> {
        let mut ward = Self::prepare(directory)?;
        ward.bank.start_signer()?;
        Ok(ward)
    }

    /// A certificate to ask for.
    fn order(&self) -> Result<Order> {
        Ok(Order { intent: Uuid::new_v4(), tbs: self.orders.certificate()?.to_tbs_der()? })
    }

    /// Asks once.
    fn ask(&self, order: &Order) -> Answered {
        let (began, key) = (Instant::now(), Orders::issuing());
        let asking = self.client.sign_certificate(&key, order.intent, AUDIT_HEAD, order.tbs.clone());
        let result = self.runtime.block_on(asking);
        Answered { result, took: began.elapsed() }
    }

    /// Whether what was answered is the issuing key's signature.
    fn is_right(&self, order: &Order, signed: &Signed) -> bool {
        self.orders.is_issuers(&order.tbs, &signed.signature)
    }

    /// Asks until it is signed, and says how long that took.
    fn insist(&self, order: &Order, patience: Duration) -> Result<(Signed, Duration)> {
        let began = Instant::now();
        loop {
            match self.ask(order).result {
                Ok(signed) => return Ok((signed, began.elapsed())),
                Err(ClientError::Unavailable { .. }) if began.elapsed() < patience => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => bail!("no signature after {:?}: {error}", began.elapsed()),
            }
        }
    }

    /// How many certificates the journal has, which must be sound.
    fn journaled(&self) -> Result<u64> {
        self.bank.journal()?["certificates"].as_u64().context("the journal has no number of certificates")
    }
}
