//! A token that ends what isn't used: its profile says when, and the worker calls it before that.

use std::{fs, thread, time::Duration, time::Instant};

use signer_protocol::client::Client;
use softhsm_tests::{
    bank::{AUDIT_HEAD, Bank, Options, Orders},
    scratch::Scratch,
    simulated_hsm::{Conduct, Idle, Loss, Settings, SimulatedHsm},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_mins(1);
/// Calls in all that time in which nobody asks for anything.
const CALLS: u64 = 6;

/// The test's HSM logs out who hasn't called for two seconds; the profile says so.
#[test]
fn an_idle_token_is_called_before_it_logs_us_out() {
    let scratch = Scratch::new("awake").expect("scratch");
    let mut bank = Bank::prepare(&scratch.join("bank"), &Options::default()).expect("a bank");
    bank.hold_ceremony().expect("the ceremony");
    let hsm = SimulatedHsm::in_front_of(&bank, Settings::AT_ONCE, 3).expect("between");
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/../hsm-config/vendors");
    let profile = fs::read_to_string(format!("{profiles}/softhsm2.toml")).expect("a profile");
    let profile = profile
        .replace("name = \"softhsm2\"", "name = \"sleepy\"")
        .replace("[pin]", "[sessions]\nidle_seconds = 2\n\n[pin]");
    let profile = scratch.write("sleepy.toml", profile).expect("written");
    bank.reconfigure_signer(|table| {
        let token = table.get_mut("token").and_then(toml::Value::as_table_mut).expect("[token]");
        token.insert("vendor".to_owned(), profile.display().to_string().into());
        Ok(())
    })
    .expect("signer.toml");
    let idle = Some(Idle { after_ms: 2_000, loses: Loss::Login });
    hsm.conduct(&Conduct { idle, ..Conduct::PLAIN }).expect("told");
    bank.start_signer().expect("ready");
    let calls = || hsm.status().expect("counted").calls.get("C_GenerateRandom").copied().unwrap_or(0);
    let begun = Instant::now();
    while calls() < CALLS {
        assert!(begun.elapsed() < DEADLINE, "the token isn't called: {} times", calls());
        thread::sleep(Duration::from_millis(50));
    }
    let orders = Orders::of(&bank).expect("orders");
    let certificate =
        orders.certificate().and_then(|template| Ok(template.to_tbs_der()?)).expect("a certificate");
    let client = Client::new(bank.path("signer/socket")).with_deadline(DEADLINE);
    let runtime = Runtime::new().expect("a runtime");
    let key = Orders::issuing();
    let signing = client.sign_certificate(&key, Uuid::new_v4(), AUDIT_HEAD, certificate);
    runtime.block_on(signing).expect("it signs");
    assert_eq!(hsm.logins().expect("counted"), 1, "nothing was lost in between");
}
