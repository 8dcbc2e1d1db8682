//! A signer with two HSMs that hold the same keys, and clients that ask it as authorities do: once, without trying again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use signer_protocol::{
    client::{Client, ClientError},
    message::{Signed, Status, TokenState},
};
use softhsm_tests::{
    bank::{AUDIT_HEAD, Bank, Options, Orders},
    scratch::Scratch,
    simulated_hsm::{Settings, SimulatedHsm, Status as HsmStatus},
    wait::settled,
};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What an authority gives its signer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Field order is drop order: processes end before their files go.
pub(crate) struct Rig {
    pub(crate) bank: Bank,
    pub(crate) hsms: [SimulatedHsm; 2],
    pub(crate) orders: Orders,
    _scratch: Scratch,
}

impl Rig {
    /// After the ceremony; the signer isn't started. A call that takes a second hangs.
    pub(crate) fn prepare(settings: Settings, lanes: u16) -> Self {
        let scratch = Scratch::new("failover").expect("scratch");
        let bank = Bank::prepare(scratch.path(), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        let hsms = SimulatedHsm::two_in_front_of(&bank, settings, lanes).expect("two HSMs");
        bank.reconfigure_signer(|table| {
            for token in table.get_mut("token").and_then(toml::Value::as_array_mut).into_iter().flatten() {
                token.as_table_mut().expect("a table").insert("sign_seconds".to_owned(), 1.into());
            }
            Ok(())
        })
        .expect("configured");
        let orders = Orders::of(&bank).expect("certificates");
        Self { bank, hsms, orders, _scratch: scratch }
    }

    /// With the signer ready, on both.
    pub(crate) async fn start() -> Arc<Self> {
        let mut rig = Self::prepare(Settings::AT_ONCE, 2);
        rig.bank.start_signer().expect("the signer");
        rig.states([TokenState::Ready, TokenState::Ready]).await;
        Arc::new(rig)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.bank.path("signer/socket")).with_deadline(DEADLINE)
    }

    /// Waits until the tokens are so.
    pub(crate) async fn states(&self, wanted: [TokenState; 2]) -> Status {
        let client = self.client();
        let as_wanted = |status: &Result<Status, ClientError>| {
            status.as_ref().is_ok_and(|status| status.tokens.iter().map(|token| token.state).eq(wanted))
        };
        settled(&format!("{wanted:?}"), async || client.status().await, as_wanted).await.expect("awaited")
    }

    pub(crate) fn hsm(&self, number: usize) -> HsmStatus {
        self.hsms[number].status().expect("the HSM's status")
    }

    /// Signatures of each HSM's present worker.
    pub(crate) fn signed(&self) -> [u64; 2] {
        [self.hsm(0).signatures.done, self.hsm(1).signatures.done]
    }

    /// What `inro-hsm journal verify` counts.
    pub(crate) fn journaled(&self) -> u64 {
        self.bank.journal().expect("a sound journal")["certificates"].as_u64().expect("a number")
    }

    /// Asks once for a new certificate.
    pub(crate) async fn ask(&self, client: &Client) -> Result<Asked, ClientError> {
        let (intent, tbs) = (Uuid::new_v4(), self.orders.certificate().expect("a certificate"));
        let tbs = tbs.to_tbs_der().expect("DER");
        let key = Orders::issuing();
        let signed = client.sign_certificate(&key, intent, AUDIT_HEAD, tbs.clone()).await?;
        assert!(self.orders.is_issuers(&tbs, &signed.signature), "a wrong signature left");
        Ok(Asked { intent, tbs, signed })
    }
}

/// A certificate that was asked for, and its signature.
#[derive(Debug)]
pub(crate) struct Asked {
    intent: Uuid,
    tbs: Vec<u8>,
    signed: Signed,
}

impl Asked {
    /// The journal has this signature and no other: asking again gives it.
    pub(crate) async fn is_the_one(&self, client: &Client) {
        let key = Orders::issuing();
        let again = client.sign_certificate(&key, self.intent, AUDIT_HEAD, self.tbs.clone()).await;
        let again = again.expect("recorded");
        assert_eq!((again.signature, again.position), (self.signed.signature.clone(), self.signed.position));
    }
}

/// Eight clients that ask until told to stop. None of their requests may fail.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Asked>>>,
}

impl Load {
    pub(crate) fn start(rig: &Arc<Rig>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let one = |_| {
            let (rig, stop, client) = (Arc::clone(rig), Arc::clone(&stop), rig.client());
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    asked.push(rig.ask(&client).await.expect("signed within the deadline"));
                }
                asked
            })
        };
        let clients = (0..8).map(one).collect();
        Self { stop, clients }
    }

    pub(crate) async fn stop(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.expect("no request failed"));
        }
        all
    }
}
