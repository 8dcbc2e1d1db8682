//! Tokens that the bank knows: a vendor's list in whole, hand-outs, and what becomes of who holds a lost one.

use ca_wire::problem::Code;
use softhsm_tests::virtual_yubikey::Profile;

use crate::rig::{House, NEW};

#[test]
fn a_vendors_list_hands_out_and_a_lost_token_serves_nobody() {
    let house = House::open("policy-inventory");
    let user = house.contract("1000001", None);
    house.contract("2000001", None);
    house.set("registered", 1, "algorithms = [\"p256\"]\ninventory = \"required\"");
    house.assign("1000001", "registered");

    let list = house.scratch.join("list.csv");
    let path = list.to_string_lossy().into_owned();
    let write = |text: &str| std::fs::write(&list, text).expect("a list");
    write("Order;Serial Number;Product\nA1;63000001;5C NFC\nA1;063;5C NFC\nA1;63000001;5C NFC\n");
    let (code, said) = house.refused(&["token", "import", &path]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("line 3: \\\"063\\\"") && said.contains("leading zeros"), "{said}");
    write("Order;Serial Number;Product\nA1;63000001;5C NFC\nA1;63000002;5C NFC\nA1;63000001;5C NFC\n");
    let (_, said) = house.refused(&["token", "import", &path]);
    assert!(said.contains("line 4: 63000001 stands in line 2 already"), "{said}");
    let all = || house.bank.operator(&["token", "list"]).expect("a list").as_array().expect("a list").clone();
    assert_eq!(all().len(), 0, "nothing of a bad list is taken");

    let assign = ["user", "assign-token", user.as_str(), "--serial", "63000001"];
    let (code, said) = house.refused(&assign);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("not in the bank's inventory"), "{said}");

    write("Order;Serial Number;Product\nA1;63000001;5C NFC\nA1;63000002;5C NFC\n");
    let imported = house.bank.operator(&["token", "import", &path]).expect("imported");
    assert_eq!(imported["registered"], 2);
    let (_, said) = house.refused(&["token", "import", &path]);
    assert!(said.contains("line 2: 63000001 is registered already"), "{said}");
    let again = house.bank.operator(&["token", "import", &path, "--skip-known"]).expect("nothing new");
    assert_eq!((&again["registered"], &again["skipped"]), (&0.into(), &2.into()));

    house.bank.operator(&["token", "hand-out", "2000001", "63000002"]).expect("handed out");
    let (_, said) = house.refused(&["user", "assign-token", &user, "--serial", "63000002"]);
    assert!(said.contains("another contract"), "{said}");
    house.bank.operator(&assign).expect("from the stock");
    let shown = house.bank.operator(&["token", "show", "63000001"]).expect("the token");
    assert_eq!(
        (&shown["state"], &shown["contract"], &shown["user"]),
        (&"assigned".into(), &"1000001".into(), &user.as_str().into())
    );

    let token = house.token(Profile::new(63_000_001, NEW));
    let certified = house.client.enroll(&user, &token, "policy-inventory-key").expect("an answer");
    let shown = house.shown(&certified.expect("a certificate"));
    let gone = house.bank.operator(&["token", "lost", "63000001", "--note", "branch 12"]).expect("lost");
    assert_eq!(gone[0]["taken_from"], user.as_str());
    assert_eq!(gone[0]["revoked"][0], shown["serial"], "what stood on it is revoked at once");

    // Not even with a code from the branch.
    house.refused(&assign);
    let code = house.bank.operator(&["user", "acquisition-code", &user]).expect("a code");
    let mut opening = softhsm_tests::bank::EnrolmentClient::opening(&user, &token);
    opening.acquisition_code = code["acquisition_code"].as_str().map(ToOwned::to_owned);
    let problem = house.client.open_with(&opening, "policy-inventory-lost").expect("an answer");
    assert_eq!(problem.err().expect("it was opened").code, Code::NotPermitted);
    assert_eq!(house.why("enrolment.refused", &user), "token-out-of-use");
    let left = house.bank.operator(&["user", "show", &user]).expect("the user");
    assert_eq!(left["token_serial"], serde_json::Value::Null);
    house.bank.operator(&["audit", "verify"]).expect("a whole chain");
}
