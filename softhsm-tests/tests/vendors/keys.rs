//! The inventory of a token's keys.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use signer_protocol::{client::Client, message::RevocationEntry};
use softhsm_tests::{
    bank::{AUDIT_HEAD, Orders},
    hsm::Kind,
};

use crate::rig::{DEADLINE, Rig, inro_hsm};

fn key_of<'a>(inventory: &'a Value, id: &str) -> &'a Value {
    let keys = inventory[0]["keys"].as_array().expect("keys");
    keys.iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("no key {id}: {inventory:#}"))
}

fn remarks(key: &Value) -> Vec<&str> {
    key["remarks"].as_array().expect("remarks").iter().map(|remark| remark.as_str().expect("text")).collect()
}

fn on(kind: Kind) {
    let mut rig = Rig::prepare(kind);
    rig.tool(&[
        "--keypairgen",
        "--key-type",
        "EC:prime256v1",
        "--id",
        "77",
        "--label",
        "spare",
        "--extractable",
    ]);
    rig.bank.start_signer().expect("the signer");
    let ended = rig.bank.signer.as_mut().expect("runs").terminate(DEADLINE).expect("ended");
    assert!(ended.success(), "{ended}");
    let listed = inro_hsm(&["keys", "--json", "--config", &rig.config()], &[]).expect(0).json();
    assert_eq!(listed[0]["token"]["label"], "inro-online");
    let issuing = key_of(&listed, "11");
    assert_eq!(
        (&issuing["label"], &issuing["configured_as"]),
        (&"customer-issuing".into(), &"customer-issuing".into())
    );
    assert_eq!(issuing["algorithm"], "P-256");
    assert_eq!(issuing["attributes"]["never_extractable"], true);
    assert!(
        issuing["certificate"]["subject"].as_str().expect("a name").contains("Example Customer CA"),
        "{issuing:#}"
    );
    assert!(issuing["certificate"]["days_left"].as_i64().expect("days") > 3_600, "{issuing:#}");
    assert!(remarks(issuing).is_empty(), "{issuing:#}");
    assert_eq!(issuing["public_key_sha256"].as_str().expect("a hash").len(), 64);
    // Made in the ceremony for another signer.
    assert!(remarks(key_of(&listed, "12"))[0].contains("no certificate is known for it"), "{listed:#}");
    let spare = key_of(&listed, "77");
    assert!(remarks(spare).contains(&"CKA_EXTRACTABLE is true"), "{spare:#}");

    rig.edit("id = \"21\"", "id = \"99\"");
    let listed = inro_hsm(&["keys", "--json", "--config", &rig.config()], &[]).expect(0).json();
    assert!(remarks(key_of(&listed, "99"))[0].contains("there is no such private key"), "{listed:#}");
    let people = inro_hsm(&["keys", "--config", &rig.config()], &[]).expect(0);
    for told in ["Example Customer CA", "! CKA_EXTRACTABLE is true", "customer-issuing", "never used"] {
        assert!(people.stdout.contains(told), "{told}: {}", people.stdout);
    }
}

#[test]
fn softhsms_keys_are_listed_with_what_is_odd_about_them() {
    on(Kind::SoftHsm);
}

#[test]
fn kryoptics_keys_are_listed_with_what_is_odd_about_them() {
    on(Kind::Kryoptic);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_are_counted_from_the_journal() {
    let mut rig = Rig::prepare(Kind::SoftHsm);
    rig.bank.start_signer().expect("the signer");
    let client = Client::new(rig.bank.path("signer/socket")).with_deadline(DEADLINE);
    let (key, head) = (Orders::issuing(), AUDIT_HEAD);
    let orders = Orders::of(&rig.bank).expect("certificates");
    for number in 2..4 {
        client.sign_crl(&key, head, orders.crl(number, &[]).expect("a CRL")).await.expect("signed");
    }
    let now = Timestamp::now();
    let not_after = now + SignedDuration::from_hours(24);
    let revoked =
        |serial: u8| RevocationEntry { serial: vec![serial], revoked_at: now, reason: 1, not_after };
    client.revoke(&key, head, vec![revoked(1), revoked(2), revoked(3)]).await.expect("recorded");
    let listed = inro_hsm(&["keys", "--json", "--config", &rig.config()], &[]).expect(0).json();
    let uses = &key_of(&listed, "11")["uses"];
    let told = ["certificates", "crls", "revocations", "ocsp_responses"].map(|name| uses[name].as_u64());
    assert_eq!(told, [Some(0), Some(2), Some(3), Some(0)], "{uses:#}");
}

/// 1 is the doctor's warning, which the nightly check lets pass.
#[test]
fn what_can_not_be_listed_ends_as_an_error() {
    let told = inro_hsm(&["keys", "--module", "/nowhere/lib.so"], &[]).expect(2);
    assert!(told.stderr.contains("can't be loaded"), "{}", told.stderr);
}
