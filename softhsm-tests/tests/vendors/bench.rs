//! The benchmark's figures, and that it leaves no trace in the journal.

use std::fs;

use serde_json::Value;
use softhsm_tests::hsm::Kind;

use crate::rig::{Rig, inro_hsm};

fn figures(json: &Value) -> Vec<(String, String, u64)> {
    let figures = json["figures"].as_array().unwrap_or_else(|| panic!("no figures: {json:#}"));
    let one = |figure: &Value| {
        assert!(figure["signatures"].as_u64().expect("a number") > 0, "{figure:#}");
        assert_eq!(figure["failures"], 0, "{figure:#}");
        let at = |name: &str| figure[name].as_f64().expect("a number");
        assert!(at("per_second") > 0.0 && at("p50_ms") > 0.0, "{figure:#}");
        assert!(at("p50_ms") <= at("p95_ms") && at("p95_ms") <= at("p99_ms") && at("p99_ms") <= at("max_ms"));
        let text = |name: &str| figure[name].as_str().expect("text").to_owned();
        (text("path"), text("key"), figure["lanes"].as_u64().expect("a number"))
    };
    figures.iter().map(one).collect()
}

fn on(kind: Kind) {
    let mut rig = Rig::prepare(kind);
    let config = rig.config();
    let arguments = ["bench", "--json", "--config", &config, "--seconds", "0.2", "--lanes", "1,3"];
    let raw = inro_hsm(&arguments, &[]).expect(0);
    assert!(raw.stderr.contains("raw: key \"customer-ocsp\", 3 lane(s)"), "progress: {}", raw.stderr);
    assert!(raw.stderr.contains("isn't running"), "{}", raw.stderr);
    let measured = figures(&raw.json());
    let expected = |path: &str, key: &str, lanes| (path.to_owned(), key.to_owned(), lanes);
    for key in ["customer-issuing", "customer-ocsp"] {
        for lanes in [1, 3] {
            assert!(measured.contains(&expected("raw", key, lanes)), "{measured:?}");
        }
    }
    assert_eq!(measured.len(), 4);

    rig.bank.start_signer().expect("the signer");
    let before = fs::read(rig.bank.path("signer/journal")).expect("the journal");
    let through = inro_hsm(&[&arguments[..], &["--key", "customer-issuing"]].concat(), &[]).expect(0);
    let measured = figures(&through.json());
    assert_eq!(measured.len(), 4, "{measured:?}");
    assert!(measured.contains(&expected("signer", "customer-issuing", 3)), "{measured:?}");
    // Its counters are sealed into the journal once a minute, and when it ends.
    let ended = rig.bank.signer.as_mut().expect("runs").terminate(crate::rig::DEADLINE).expect("ended");
    assert!(ended.success(), "{ended}");
    assert_eq!(
        fs::read(rig.bank.path("signer/journal")).expect("the journal"),
        before,
        "nothing was journaled"
    );
}

#[test]
fn softhsm_is_measured_alone_and_through_the_signer() {
    on(Kind::SoftHsm);
}

#[test]
fn kryoptic_is_measured_alone_and_through_the_signer() {
    on(Kind::Kryoptic);
}

#[test]
fn what_can_not_be_measured_is_told() {
    let rig = Rig::prepare(Kind::SoftHsm);
    let unknown = inro_hsm(&["bench", "--config", &rig.config(), "--key", "nobody"], &[]).expect(1);
    assert!(unknown.stderr.contains("customer-issuing, customer-ocsp"), "{}", unknown.stderr);
    let stopped = inro_hsm(&["bench", "--config", &rig.config(), "--signer-only"], &[]).expect(1);
    assert!(stopped.stderr.contains("start the signer"), "{}", stopped.stderr);
    rig.edit("id = \"11\"", "id = \"12\"");
    let wrong = inro_hsm(&["bench", "--config", &rig.config(), "--raw-only", "--lanes", "1"], &[]).expect(1);
    assert!(wrong.stderr.contains("its certificate doesn't verify"), "{}", wrong.stderr);
}
