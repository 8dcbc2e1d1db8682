//! Worker and signer die, hang, and come back. No signature that anybody saw is ever missing from the journal.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use signer_protocol::{
    client::{Client, ClientError},
    message::Signed,
};
use softhsm_tests::hsm::Kind;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::rig::{DEADLINE, HEAD, Rig, issuing, tbs};

/// What a client saw: the bytes it sent and the signature it got.
pub(crate) type Seen = HashMap<Uuid, (Vec<u8>, Signed)>;

/// Eight connections that sign until told to stop, repeating an intent until it is signed, as the authority does.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub(crate) fn start(rig: &Arc<Rig>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..8)
            .map(|_| {
                let (rig, stop, client) = (Arc::clone(rig), Arc::clone(&stop), rig.client());
                tokio::spawn(async move {
                    let mut seen = Seen::new();
                    while !stop.load(Ordering::Relaxed) {
                        let (intent, octets) = (Uuid::new_v4(), tbs(&rig.certificate()));
                        if let Some(signed) = insist(&client, intent, &octets).await {
                            assert!(rig.is_issuers(&octets, &signed.signature));
                            seen.insert(intent, (octets, signed));
                        }
                    }
                    seen
                })
            })
            .collect();
        Self { stop, clients }
    }

    pub(crate) async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::new();
        for client in self.clients {
            all.extend(client.await.expect("ran"));
        }
        all
    }
}

/// Repeats the same intent and bytes until there is a signature. Only unavailability is borne.
async fn insist(client: &Client, intent: Uuid, octets: &[u8]) -> Option<Signed> {
    let trying = async {
        loop {
            match client.sign_certificate(&issuing(), intent, HEAD, octets.to_vec()).await {
                Ok(signed) => return signed,
                Err(ClientError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, trying).await.ok()
}

/// The worker's process, a child of the signer.
fn worker(signer: u32) -> Option<Pid> {
    let children = fs::read_dir(format!("/proc/{signer}/task"))
        .ok()?
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let ids: Vec<i32> = children
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<i32>>())
        .collect();
    ids.first().copied().and_then(Pid::from_raw)
}

/// Until the kernel is done with a process that was killed, though nobody has waited for it.
async fn wait_for_end(process: Pid) {
    let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
    let ended = async {
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.expect("it ended");
}

async fn signed_once_more(client: &Client, rig: &Rig) {
    let octets = tbs(&rig.certificate());
    let signed = insist(client, Uuid::new_v4(), &octets).await.expect("it recovered");
    assert!(rig.is_issuers(&octets, &signed.signature));
}

async fn assert_recorded(rig: &Rig, seen: &Seen) {
    let client = rig.client();
    for (intent, (octets, signed)) in seen {
        let entry = client.recorded(*intent).await.expect("answered").expect("what was seen is recorded");
        assert_eq!(Some(entry.position), signed.position);
        let again =
            client.sign_certificate(&issuing(), *intent, HEAD, octets.clone()).await.expect("recorded");
        assert_eq!(again.signature, signed.signature);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_are_replaced_under_load() {
    let rig = Arc::new(Rig::start());
    let client = rig.client();
    let signer = rig.bank.signer.as_ref().expect("runs").id();
    let load = Load::start(&rig);
    for _ in 0..3 {
        let victim = worker(signer).expect("a worker");
        kill_process(victim, Signal::KILL).expect("killed");
        let replaced = async {
            while worker(signer).is_none_or(|worker| worker == victim) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, replaced).await.expect("replaced");
        signed_once_more(&client, &rig).await;
    }
    let seen = load.stop().await;
    assert!(!seen.is_empty());
    assert_recorded(&rig, &seen).await;
    let status = client.status().await.expect("status");
    assert!(status.healthy && status.worker_restarts >= 3, "{status:?}");
    assert_eq!(rig.verify_journal()["certificates"], seen.len() + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_worker_costs_its_life_and_no_request() {
    let mut rig = Rig::prepare();
    rig.edit("[token]", "[token]\nsign_seconds = 1");
    rig.bank.start_signer().expect("the signer");
    let client = rig.client().with_deadline(Duration::from_secs(10));
    client.welcome().await.expect("greeted");
    let victim = worker(rig.bank.signer.as_ref().expect("runs").id()).expect("a worker");
    kill_process(victim, Signal::STOP).expect("stopped");
    let (intent, octets) = (Uuid::new_v4(), tbs(&rig.certificate()));
    // Its successor signs within the caller's own deadline.
    let signed = insist(&client, intent, &octets).await.expect("it recovered");
    assert!(rig.is_issuers(&octets, &signed.signature));
    assert_ne!(worker(rig.bank.signer.as_ref().expect("runs").id()), Some(victim));
    assert!(client.status().await.expect("status").worker_restarts >= 1);
    assert_eq!(rig.verify_journal()["certificates"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_token_is_told_and_found_again() {
    let rig = Rig::start();
    let client = rig.client();
    let tokens = rig.bank.path("hsm/online/tokens");
    let away = rig.bank.path("hsm/online/away");
    fs::rename(&tokens, &away).expect("moved away");
    if rig.kind == Kind::Kryoptic {
        // It holds its database open, wherever that goes.
        let signer = rig.bank.signer.as_ref().expect("runs").id();
        kill_process(worker(signer).expect("a worker"), Signal::KILL).expect("killed");
    }
    let octets = tbs(&rig.certificate());
    let refused = client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, octets).await;
    assert!(matches!(refused, Err(ClientError::Unavailable { .. })), "{refused:?}");
    assert!(!client.status().await.expect("answers").healthy);
    fs::rename(&away, &tokens).expect("moved back");
    signed_once_more(&client, &rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_saw_survives_the_signers_death() {
    let mut rig = Rig::prepare();
    let mut seen = Seen::new();
    for _ in 0..5 {
        rig.bank.start_signer().expect("the signer");
        let shared = Arc::new(rig);
        let load = Load::start(&shared);
        // Under load: something was signed in this life.
        signed_once_more(&shared.client(), &shared).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let signer = shared.bank.signer.as_ref().expect("runs").id();
        let signer = i32::try_from(signer).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(signer, Signal::KILL).expect("killed");
        load.stop.store(true, Ordering::Relaxed);
        wait_for_end(signer).await;
        // The clients insist on their last intents, so the next signer is started first.
        let mut signer = shared.spawn("successor");
        signer.wait_for_log("signer ready", DEADLINE).expect("ready again");
        seen.extend(load.stop().await);
        assert_recorded(&shared, &seen).await;
        signer.kill().expect("killed");
        shared.verify_journal();
        rig = Arc::into_inner(shared).expect("the load has ended");
        rig.bank.signer = None;
        fs::remove_file(rig.bank.path("logs/successor.log")).expect("its log");
    }
    let report = rig.verify_journal();
    assert!(report["certificates"].as_u64().expect("a number") >= seen.len() as u64);
    assert!(seen.len() > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_journal_lets_nothing_out_and_recovers_unaided() {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

    let rig = Rig::start();
    let client = rig.client();
    let (intent, octets) = (Uuid::new_v4(), tbs(&rig.certificate()));
    client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, tbs(&rig.certificate())).await.expect("signed");
    let length = fs::metadata(rig.journal()).expect("there").len();
    let process = i32::try_from(rig.bank.signer.as_ref().expect("runs").id()).ok().and_then(Pid::from_raw);
    let unlimited = getrlimit(Resource::Fsize);
    // Room for a part of the next entry.
    let limit = Rlimit { current: Some(length + 100), ..unlimited };
    prlimit(process, Resource::Fsize, limit).expect("limited");

    let key = issuing();
    let certificate = || client.sign_certificate(&key, intent, HEAD, octets.clone());
    let revocation = signer_protocol::message::RevocationEntry {
        serial: rig.certificate().serial,
        revoked_at: jiff::Timestamp::now(),
        reason: 1,
        not_after: jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24),
    };
    let crl = rig.crl(1, &[]);
    for _ in 0..3 {
        let refused = certificate().await;
        assert!(
            matches!(&refused, Err(ClientError::Unavailable { reason }) if reason.contains("journal")),
            "{refused:?}"
        );
        let refused = client.sign_crl(&issuing(), HEAD, crl.clone()).await;
        assert!(matches!(refused, Err(ClientError::Unavailable { .. })), "{refused:?}");
        let refused = client.revoke(&issuing(), HEAD, vec![revocation.clone()]).await;
        assert!(matches!(refused, Err(ClientError::Unavailable { .. })), "{refused:?}");
        assert_eq!(rig.verify_journal()["certificates"], 1);
    }

    prlimit(process, Resource::Fsize, unlimited).expect("unlimited");
    let signed = certificate().await.expect("signed, with no hand");
    assert!(rig.is_issuers(&octets, &signed.signature));
    let report = rig.verify_journal();
    assert_eq!((&report["certificates"], &report["incomplete_octets"]), (&2.into(), &0.into()));
}
