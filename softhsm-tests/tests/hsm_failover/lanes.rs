//! OCSP and issuing on the same lanes: neither waits behind all that the other wants.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ca_x509::ocsp::CertStatus;
use signer_protocol::client::{Client, ClientError};
use softhsm_tests::{
    bank::{AUDIT_HEAD, Bank, Options, Orders},
    scratch::Scratch,
    simulated_hsm::{Settings, SimulatedHsm},
    wait::{PATIENCE, settled},
};
use uuid::Uuid;

/// Slow enough that a flood stays a flood on any machine.
const SLOW: Settings = Settings { latency_us: 10_000, lanes: Some(2) };
const LANES: u16 = 2;
/// Places of a token with two lanes: eight calls, four of which are kept for each use.
const PLACES: u64 = 8;
const FLOOD: usize = 200;
const WANTED: u64 = 20;

struct Rig {
    bank: Bank,
    orders: Orders,
    _scratch: Scratch,
}

impl Rig {
    fn start() -> Arc<Self> {
        let scratch = Scratch::new("lanes").expect("scratch");
        let mut bank = Bank::prepare(scratch.path(), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        SimulatedHsm::in_front_of(&bank, SLOW, LANES).expect("an HSM");
        bank.start_signer().expect("the signer");
        let orders = Orders::of(&bank).expect("certificates");
        Arc::new(Self { bank, orders, _scratch: scratch })
    }

    fn client(&self) -> Client {
        Client::new(self.bank.path("signer/socket")).with_deadline(PATIENCE)
    }

    async fn certificate(&self, client: &Client) -> Result<(), ClientError> {
        let tbs = self.orders.certificate().expect("a certificate").to_tbs_der().expect("DER");
        client.sign_certificate(&Orders::issuing(), Uuid::new_v4(), AUDIT_HEAD, tbs).await.map(drop)
    }

    async fn response(&self, client: &Client) -> Result<(), ClientError> {
        let status = CertStatus::Unknown(der::asn1::Null);
        let data = self.orders.response(&[1, 2, 3, 4, 5, 6, 7, 8, 9], status).expect("a response");
        client.sign_ocsp(&Orders::ocsp(), data).await.map(drop)
    }
}

#[derive(Clone, Copy)]
enum Asking {
    Certificates,
    Responses,
}

impl Asking {
    async fn one(self, rig: &Rig, client: &Client) -> Result<(), ClientError> {
        match self {
            Self::Certificates => rig.certificate(client).await,
            Self::Responses => rig.response(client).await,
        }
    }
}

/// While `flood` asks for as much as it can, one client at a time asks for the other thing: before each of its answers
/// the flood gets about as much as fits the token at once, and not all that it wants.
async fn is_not_starved(wanted: Asking, flood: Asking) {
    let rig = Rig::start();
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let client = rig.client();
    let one = |_| {
        let (rig, stop, done, client) =
            (Arc::clone(&rig), Arc::clone(&stop), Arc::clone(&done), client.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                flood.one(&rig, &client).await.expect("signed");
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let clients: Vec<_> = (0..FLOOD).map(one).collect();
    let asking = rig.client();
    let queued = async || asking.status().await.expect("status").queued;
    settled("a flood", queued, |queued| *queued >= 100).await;
    let before = done.load(Ordering::Relaxed);
    for _ in 0..WANTED {
        wanted.one(&rig, &asking).await.expect("signed in time");
    }
    let meanwhile = done.load(Ordering::Relaxed) - before;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("the flood was served, too");
    }
    // Twice the places for the time that each of them spends outside the lanes.
    assert!(meanwhile <= 2 * WANTED * PLACES, "{meanwhile} went before {WANTED}");
    assert!(meanwhile >= WANTED / 2, "the flood stood still: {meanwhile}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ocsp_does_not_starve_issuing() {
    is_not_starved(Asking::Certificates, Asking::Responses).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issuing_does_not_starve_ocsp() {
    is_not_starved(Asking::Responses, Asking::Certificates).await;
}
