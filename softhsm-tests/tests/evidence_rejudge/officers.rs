//! Officers whose keys never leave their tokens: they sign with openssl, by the command in `ca/docs/trust.md`.

use std::process::Command;

use softhsm_tests::{
    bank::{Desk, TOKEN_PIN},
    card_client::opensc_environment,
    process::{Environment, run},
    softhsm::{MODULE, SoftHsm},
    virtual_yubikey::Profile,
};

use crate::rig::{House, NEWEST};

/// The PIN of the two tokens here.
const PIN: &str = TOKEN_PIN;

struct OnToken {
    environment: Environment,
    /// The key's PKCS#11 URI, with its PIN in a file.
    key: String,
    certificate: String,
}

impl OnToken {
    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        run(command.envs(self.environment.iter().cloned()).args(arguments)).expect("openssl");
    }

    /// The officer's certificate, signed by their own key on the token.
    fn certify(&self, name: &str) {
        let subject = format!("/O=Example Bank/CN={name}");
        let engine = ["-engine", "pkcs11", "-keyform", "engine", "-key", &self.key];
        let new = ["req", "-new", "-x509", "-days", "30", "-subj", &subject, "-out", &self.certificate];
        self.openssl(&[&new[..], &engine[..]].concat());
    }

    /// The command of the documentation.
    fn sign(&self, document: &str, signature: &str) {
        self.openssl(&[
            "cms",
            "-sign",
            "-binary",
            "-in",
            document,
            "-signer",
            &self.certificate,
            "-keyform",
            "engine",
            "-engine",
            "pkcs11",
            "-inkey",
            &self.key,
            "-outform",
            "DER",
            "-out",
            signature,
        ]);
    }
}

/// A key in a PKCS#11 token.
fn on_softhsm(house: &House) -> OnToken {
    let folder = house.bank.path("officers-token");
    std::fs::create_dir_all(&folder).expect("a folder");
    let token = SoftHsm::new(&folder).expect("SoftHSM");
    token.init_token("officer", "87654321", PIN).expect("a token");
    let mut tool = Command::new("pkcs11-tool");
    tool.envs(token.environment()).args([
        "--module",
        MODULE,
        "--login",
        "--pin",
        PIN,
        "--token-label",
        "officer",
    ]);
    run(tool.args(["--keypairgen", "--key-type", "EC:secp384r1", "--id", "01", "--label", "sign"]))
        .expect("a key");
    let pin = house.path("officers-token/pin");
    std::fs::write(&pin, PIN).expect("a file");
    let mut environment = token.environment();
    environment.push(("PKCS11_MODULE_PATH".to_owned(), MODULE.to_owned()));
    OnToken {
        environment,
        key: format!("pkcs11:token=officer;id=%01;type=private;pin-source=file:{pin}"),
        certificate: house.path("officers/suzuki.pem"),
    }
}

/// A key in slot 9c of a YubiKey: the agent's own enrolment put one into 9a, which signs as well.
fn on_yubikey(house: &House) -> (Desk, OnToken) {
    const SERIAL: u32 = 64_000_001;
    let folder = house.bank.path("officers-desk");
    let desk =
        Desk::new(&folder, house.bank.attestation(), vec![Profile::new(SERIAL, NEWEST)]).expect("a desk");
    let new = softhsm_tests::bank::NewUser {
        id: "officer-1",
        contract: "7654321",
        role: "general",
        name: "責任者",
        token: Some(SERIAL),
    };
    house.bank.register_user(&new).expect("a user");
    desk.enroll(&house.bank, "officer-1", SERIAL).expect("a key on the YubiKey");
    let environment = opensc_environment(&desk.pcscd, desk.keys[0].reader(), &folder).expect("OpenSC");
    let pin = house.path("officers-desk/pin");
    std::fs::write(&pin, PIN).expect("a file");
    let key = format!("pkcs11:id=%01;type=private;pin-source=file:{pin}");
    (desk, OnToken { environment, key, certificate: house.path("officers/sato.pem") })
}

#[test]
fn officers_sign_with_keys_on_tokens() {
    let mut house = House::open("trust-tokens");
    let (_desk, sato) = on_yubikey(&house);
    let suzuki = on_softhsm(&house);
    sato.certify("sato");
    suzuki.certify("suzuki");
    // The configuration names the certificates, which are others now.
    house.bank.authority = None;
    house.bank.start_authority().expect("an authority");

    house.import_makers();
    let (draft, staged) = (house.draft(), house.path("staged.json"));
    let (first, second) = (house.path("first.p7s"), house.path("second.p7s"));
    sato.sign(&draft, &first);
    house.operator(&["trust", "stage", "--draft", &draft, "--signature", &first]);
    run(&mut house.bank.inro_ca(&["trust", "export", "--staged", "-o", &staged]).expect("inro-ca"))
        .expect("exported");
    suzuki.sign(&staged, &second);
    house.operator(&["trust", "approve", "--signature", &second]);
    house.taken_up(1);
    let history = house.operator(&["trust", "history"]);
    assert_eq!(history[0]["trouble"], serde_json::Value::Null, "{history}");
}
