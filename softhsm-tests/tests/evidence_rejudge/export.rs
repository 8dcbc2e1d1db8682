//! The proof that leaves the bank: checked by the agent and by openssl alone, and every way to bend it.

use std::process::Command;

use serde_json::{Value, json};
use softhsm_tests::process::{output_of, run};

use crate::rig::{House, NEW, NEWEST, agent, sha256, text, write_pem};

struct Proof {
    house: House,
    document: Value,
    /// Of another certificate: genuine parts for somebody else's key.
    other: Value,
    anchors: Vec<String>,
}

impl Proof {
    fn gather(name: &str) -> Self {
        let house = House::with_trust(name);
        let (one, other) = (house.enrol(63_000_001, NEWEST), house.enrol(63_000_002, NEW));
        let export = |serial: &str| {
            let path = house.path(format!("{serial}.json"));
            run(&mut house.bank.inro_ca(&["evidence", "export", serial, "-o", &path]).expect("inro-ca"))
                .expect("exported");
            serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
        };
        let (document, other) = (export(&one.serial), export(&other.serial));
        let anchors = house.makers().iter().map(|der| sha256(der)).collect();
        Self { house, document, other, anchors }
    }

    /// What the agent says of a document, and its status.
    fn verify(&self, document: &Value, anchors: &[String], root: Option<&str>) -> (Option<i32>, Value) {
        let file = self.house.path("checked.json");
        std::fs::write(&file, serde_json::to_vec_pretty(document).expect("JSON")).expect("a file");
        let mut arguments = vec!["verify-evidence", &file];
        arguments.extend(anchors.iter().flat_map(|anchor| ["--anchor", anchor]));
        arguments.extend(root.iter().flat_map(|root| ["--root", root]));
        let output = agent(&arguments);
        let said = serde_json::from_slice(&output.stdout);
        (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout))))
    }

    fn whole(&self, document: &Value) -> (Option<i32>, Value) {
        self.verify(document, &self.anchors, Some(&self.house.path("ceremony/root.pem")))
    }
}

#[test]
fn what_is_proven_depends_on_whom_the_verifier_trusts() {
    let proof = Proof::gather("export");
    for document in [&proof.document, &proof.other] {
        let (status, said) = proof.whole(document);
        assert_eq!((status, &said["verdict"]), (Some(0), &json!("proven")), "{said:#}");
        let proven = said["proven"].to_string();
        for word in [
            "by the word of its maker",
            "the device says serial=",
            "asks for its PIN",
            "leads to the root",
            "audit trail",
            "journal",
        ] {
            assert!(proven.contains(word), "{word}: {said:#}");
        }
    }
    // People read it in their language.
    let file = proof.house.path("checked.json");
    let mut agent = Command::new(softhsm_tests::binaries::find("inro-agent").expect("inro-agent"));
    agent.args(["--lang", "ja", "verify-evidence", &file]);
    agent.args(proof.anchors.iter().flat_map(|anchor| ["--anchor", anchor]));
    let said = text(&output_of(&mut agent, b"").expect("inro-agent runs").stdout);
    for words in [
        "証明された事項:",
        "の中で生成され、取り出せません",
        "装置の記載: serial=",
        "主張のみの事項:",
        "--root で指定",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("the device"), "{said}");
    // The bank's root isn't given: its word is a claim, the maker's is not.
    let (status, said) = proof.verify(&proof.document, &proof.anchors, None);
    assert_eq!((status, &said["verdict"]), (Some(0), &json!("proven")), "{said:#}");
    assert!(said["claimed"].to_string().contains("give --root"), "{said:#}");
    // The maker isn't trusted: everything fits, and nothing is proven of the device.
    let root = proof.house.path("ceremony/root.pem");
    let (status, said) = proof.verify(&proof.document, &[], Some(&root));
    assert_eq!((status, &said["verdict"]), (Some(5), &json!("only-claimed")), "{said:#}");
    assert!(said["claimed"].to_string().contains("which nobody here trusts"), "{said:#}");
    // Another bank's root.
    let stranger = proof.house.path("tls/ca.pem");
    let (status, said) = proof.verify(&proof.document, &proof.anchors, Some(&stranger));
    assert_eq!((status, &said["verdict"]), (Some(5), &json!("refused")), "{said:#}");
}

/// Every bent file is refused, and what doesn't fit is named.
#[test]
fn tampering_is_named() {
    let proof = Proof::gather("export-bent");
    let other = |pointer: &str| proof.other.pointer(pointer).cloned().expect("a value");
    let intended = position(&proof.document, "certificate.intended");
    let issued = position(&proof.document, "certificate.issued");
    let audit = |row: usize, member: &str| format!("/audit/{row}/{member}");
    let bent: Vec<(&str, String, Value, &str)> = vec![
        ("format", "/format".into(), json!("inro-evidence-2"), "format"),
        ("serial", "/certificate/serial".into(), other("/certificate/serial"), "certificate.serial"),
        ("user", "/certificate/user".into(), json!("user-63000002"), "certificate.user"),
        ("contract", "/certificate/contract".into(), json!("1111111"), "certificate.contract"),
        ("device", "/certificate/device_serial".into(), json!("63000002"), "certificate.device_serial"),
        ("device kind", "/certificate/device_kind".into(), json!("piv"), "another device"),
        ("assurance", "/certificate/assurance".into(), json!("attested"), "certificate.assurance"),
        ("intent", "/certificate/intent".into(), other("/certificate/intent"), "intent"),
        ("certificate", "/certificate/pem".into(), other("/certificate/pem"), "certificate.serial"),
        ("no chain", "/certificate/chain".into(), json!([]), "doesn't end with a root"),
        (
            "chain",
            "/certificate/chain/0".into(),
            proof.document["certificate"]["chain"][1].clone(),
            "isn't signed by",
        ),
        ("revoked", "/certificate/revoked_at".into(), json!("2026-01-01T00:00:00Z"), "revo"),
        ("request", "/request/csr".into(), other("/request/csr"), "request.csr"),
        ("challenge", "/request/challenge".into(), other("/request/challenge"), "challenge"),
        ("answer", "/request/challenge_signature".into(), other("/request/challenge_signature"), "challenge"),
        ("slot", "/evidence/parts/0".into(), other("/evidence/parts/0"), "evidence"),
        ("f9", "/evidence/parts/1".into(), other("/evidence/parts/1"), "evidence"),
        ("evidence kind", "/evidence/format".into(), json!("tpm"), "evidence"),
        ("verdict", "/verdict/verdict".into(), json!("refused"), "verdict.verdict"),
        ("decoded", "/verdict/decoded/2".into(), json!("firmware=9.9.9"), "firmware=9.9.9"),
        ("judged", "/verdict/judged_at".into(), json!("2027-01-01T00:00:00Z"), "verdict.record_sha256"),
        ("record", "/verdict/record_sha256".into(), json!("0".repeat(64)), "verdict.record_sha256"),
        ("policy version", "/policy/version".into(), json!(99), "verdict.record_sha256"),
        ("trust version", "/trust/version".into(), json!(2), "trust.version"),
        ("bundle", "/trust/bundle".into(), json!("e30="), "trust.bundle"),
        ("no bundle", "/trust/bundle".into(), Value::Null, "trust.bundle"),
        (
            "one signature",
            "/trust/signatures".into(),
            json!([proof.document["trust"]["signatures"][0]]),
            "signatures",
        ),
        (
            "one person",
            "/trust/signatures/1".into(),
            proof.document["trust"]["signatures"][0].clone(),
            "both are",
        ),
        ("audit actor", audit(intended, "actor"), json!("operator:me"), "was changed"),
        ("audit time", audit(issued, "at_ms"), json!(0), "was changed"),
        ("audit details", audit(intended, "details"), json!("evidence=00"), "was changed"),
        ("audit number", audit(issued, "sequence"), json!(100_000), "audit row"),
        ("audit hash", audit(intended, "previous_hash"), json!("0".repeat(64)), "was changed"),
        (
            "journal intent",
            "/journal/entry/intent".into(),
            other("/certificate/intent"),
            "journal.entry.intent",
        ),
        ("journal content", "/journal/entry/tbs".into(), other("/journal/entry/tbs"), "journal.entry.tbs"),
        (
            "journal signature",
            "/journal/entry/signature".into(),
            other("/journal/entry/signature"),
            "journal.entry.signature",
        ),
        ("journal anchor", "/journal/entry/audit_hash".into(), json!("0".repeat(64)), "another hash"),
        ("journal anchor row", "/journal/entry/audit_sequence".into(), json!(999_999), "which is missing"),
    ];
    assert!(bent.len() >= 35);
    for (what, pointer, value, named) in bent {
        let mut document = proof.document.clone();
        if let Some(member) = document.pointer_mut(&pointer) {
            assert_ne!(*member, value, "{what}: nothing was changed");
            *member = value;
        } else {
            document["certificate"]["revoked_at"] = value;
        }
        let (status, said) = proof.whole(&document);
        assert_eq!((status, &said["verdict"]), (Some(5), &json!("refused")), "{what}: {said:#}");
        assert!(said["wrong"].to_string().contains(named), "{what} isn't named: {said:#}");
    }
    let mut lacking = proof.document.clone();
    lacking["audit"].as_array_mut().expect("rows").remove(intended);
    let (_, said) = proof.whole(&lacking);
    assert!(said["wrong"].to_string().contains("no row certificate.intended"), "{said:#}");
    let mut more = proof.document.clone();
    more["extra"] = json!(1);
    assert_eq!(proof.whole(&more).1["verdict"], "refused");
}

fn position(document: &Value, action: &str) -> usize {
    let rows = document["audit"].as_array().expect("rows");
    rows.iter().position(|row| row["action"] == action).expect("the row")
}

/// The recipe for auditors, as it stands in the documentation, and that it sees what is bent.
#[test]
fn the_recipe_needs_nothing_but_openssl() {
    let proof = Proof::gather("export-recipe");
    let documentation = include_str!("../../../ca/docs/evidence-export.md");
    let recipe = documentation.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    let recipe = format!("set -eu\n{}", recipe.expect("a recipe"));
    let follow = |name: &str, document: &Value| {
        let folder = proof.house.bank.path(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("evidence.json"), serde_json::to_vec_pretty(document).expect("JSON"))
            .expect("a file");
        std::fs::copy(proof.house.path("ceremony/root.pem"), folder.join("root.pem")).expect("a copy");
        write_pem(&folder.join("makers.pem"), &proof.house.makers());
        output_of(Command::new("bash").arg("-c").arg(&recipe).current_dir(&folder), b"").expect("bash runs")
    };
    for (name, document) in [("newest", &proof.document), ("new", &proof.other)] {
        let output = follow(name, document);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{name}: {said}");
        assert!(said.contains("CN = sato") && said.contains("CN = suzuki"), "{said}");
        assert!(said.contains("1.3.6.1.4.1.41482.3.7"), "{said}");
    }
    for (name, pointer) in [
        ("csr", "/request/csr"),
        ("answer", "/request/challenge_signature"),
        ("slot", "/evidence/parts/0"),
        ("pem", "/certificate/pem"),
    ] {
        let mut document = proof.document.clone();
        *document.pointer_mut(pointer).expect("a value") =
            proof.other.pointer(pointer).cloned().expect("a value");
        assert!(!follow(name, &document).status.success(), "{name} was taken");
    }
}
