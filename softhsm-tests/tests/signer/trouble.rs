//! Trouble that stays is in the signer's log, its status and the doctor, and doesn't fill the log.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::rig::{DEADLINE, Rig};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_id_is_told_and_does_not_fill_the_log() {
    let rig = Rig::prepare();
    rig.edit("id = \"11\"", "id = \"77\"");
    let mut signer = rig.spawn("wrong-id");
    signer.wait_for_log("signer not ready", DEADLINE).expect("a verdict");
    let (client, began) = (rig.client(), Instant::now());
    // Each try is a worker of its own.
    let status = loop {
        let status = client.status().await.expect("answers");
        if status.worker_restarts >= 6 {
            break status;
        }
        assert!(began.elapsed() < DEADLINE, "{status:?}");
        sleep(Duration::from_millis(100)).await;
    };
    assert!(!status.healthy, "{status:?}");
    let log = signer.log();
    let told = log.matches("the token can't be used; trying again").count();
    assert!((1..=2).contains(&told), "told {told} times in {} tries:\n{log}", status.worker_restarts);
    assert_eq!(log.matches("signer not ready").count(), 1, "{log}");
    assert!(log.lines().count() < 10, "{log}");
    let doctor = rig.inro_hsm(&["doctor", "--config", "signer.toml"]);
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(2), "{found}");
    assert!(found.contains("no key pair with CKA_ID 77") && found.contains("inro-hsm keys"), "{found}");

    // The configuration is mended.
    assert!(signer.terminate(DEADLINE).expect("ended").success());
    rig.edit("id = \"77\"", "id = \"11\"");
    let mut signer = rig.spawn("right-id");
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
}
