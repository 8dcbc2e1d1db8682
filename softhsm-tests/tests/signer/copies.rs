//! The journal copied off the host while the signer works, by programs that are killed in the middle, and a signer that
//! goes on from the copy.

use std::{fs, path::Path, process::Command, sync::Arc};

use softhsm_tests::{
    binaries,
    process::{Process, output_of},
    wait::settled,
};
use uuid::Uuid;

use crate::{
    crashes::Load,
    rig::{HEAD, Rig, issuing, tbs},
};

fn copier(rig: &Rig, name: &str, copy: &Path) -> Process {
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(["journal", "copy", "--follow"]).arg(rig.journal()).arg("--to").arg(copy);
    Process::spawn(name, &mut command, &rig.bank.path("logs")).expect("started")
}

fn octets(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_survives_its_copiers_and_replaces_the_journal() {
    let mut rig = Arc::new(Rig::start());
    let copy = rig.scratch.path().join("copy");
    let load = Load::start(&rig);
    for round in 0..5 {
        let already = octets(&copy);
        let mut copier = copier(&rig, &format!("copier-{round}"), &copy);
        settled("the copy's growth", async || octets(&copy), |octets| *octets > already).await;
        copier.kill().expect("killed");
        assert!(fs::read(rig.journal()).expect("reads").starts_with(&fs::read(&copy).expect("reads")));
    }
    let seen = load.stop().await;
    let paths = [rig.journal().display().to_string(), copy.display().to_string()];
    let once = rig.inro_hsm(&["journal", "copy", &paths[0], "--to", &paths[1]]);
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    assert_eq!(fs::read(rig.journal()).expect("reads"), fs::read(&copy).expect("reads"));
    let verified = rig.inro_hsm(&["journal", "verify", &paths[1]]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));

    // By a stream, as to another host.
    let sent = rig.inro_hsm(&["journal", "copy", &paths[0], "--to", "-"]).stdout;
    let mut receiver = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    let other_copy = rig.scratch.path().join("received");
    let output = output_of(receiver.args(["journal", "receive"]).arg(&other_copy), &sent).expect("ran");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(&other_copy).expect("reads"), sent);

    // The host is lost, and with it what lay beside the journal.
    let rig = Arc::get_mut(&mut rig).expect("nobody else has it");
    rig.bank.signer = None;
    let refused = rig.inro_hsm(&["journal", "restore", &paths[1], "--to", &paths[0]]);
    assert!(!refused.status.success(), "a journal isn't overwritten");
    for beside in ["", ".acknowledged", ".checkpoint"] {
        let _ = fs::remove_file(format!("{}{beside}", paths[0]));
    }
    let restored = rig.inro_hsm(&["journal", "restore", &paths[1], "--to", &paths[0]]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    rig.bank.start_signer().expect("it goes on");
    let client = rig.client();
    for (intent, (octets, signed)) in &seen {
        let again = client.sign_certificate(&issuing(), *intent, HEAD, octets.clone()).await;
        assert_eq!(again.expect("recorded").signature, signed.signature);
    }
    let octets = tbs(&rig.certificate());
    client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, octets).await.expect("goes on");
    let stat = rig.inro_hsm(&["journal", "stat", &paths[0], "--copy", &paths[1]]);
    let stat: serde_json::Value = serde_json::from_slice(&stat.stdout).expect("JSON");
    assert_eq!(stat["entries"], seen.len() + 1);
    assert!(stat["copy_behind_octets"].as_u64().is_some_and(|octets| octets > 0), "{stat}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_says_where_its_time_went() {
    let rig = Rig::start();
    let client = rig.client();
    let (intent, octets) = (Uuid::new_v4(), tbs(&rig.certificate()));
    let signed = client.sign_certificate(&issuing(), intent, HEAD, octets.clone()).await.expect("signed");
    let timing = signed.timing;
    assert!(timing.queued_us > 0 && timing.signed_us > 0 && timing.journaled_us > 0, "{timing:?}");
    let again = client.sign_certificate(&issuing(), intent, HEAD, octets).await.expect("recorded");
    assert_eq!(again.timing, signer_protocol::message::Timing::default(), "nothing was signed");
    let crl = client.sign_crl(&issuing(), HEAD, rig.crl(1, &[])).await.expect("signed").timing;
    assert!(crl.signed_us > 0 && crl.journaled_us > 0, "{crl:?}");
}
