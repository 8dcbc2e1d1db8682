//! The other places that a signer's PIN comes from: a credential of the service manager's, and the token's own way.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use softhsm_tests::{
    bank::{Bank, Options},
    binaries,
    process::Process,
    scratch::Scratch,
    simulated_hsm::{Conduct, Settings, SimulatedHsm},
};

use crate::rig::DEADLINE;

struct House {
    bank: Bank,
    hsm: SimulatedHsm,
    scratch: Scratch,
    pin: String,
}

impl House {
    /// With this in the place of `pin_file`.
    fn new(key: &'static str, value: &'static str) -> Self {
        let scratch = Scratch::new("sources").expect("scratch");
        let bank = Bank::prepare(scratch.path(), &Options::default()).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        let pin = fs::read_to_string(bank.secret("online-pin")).expect("a PIN").trim().to_owned();
        let hsm = SimulatedHsm::in_front_of(&bank, Settings::AT_ONCE, 4).expect("between");
        bank.reconfigure_signer(|table| {
            let token = table.get_mut("token").and_then(toml::Value::as_table_mut).expect("[token]");
            token.remove("pin_file");
            token.insert(key.to_owned(), value.into());
            Ok(())
        })
        .expect("signer.toml");
        Self { bank, hsm, scratch, pin }
    }

    fn spawn(&self, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command
            .arg("signer")
            .arg("--config")
            .arg(self.bank.path("signer.toml"))
            .envs(environment.iter().copied());
        Process::spawn("signer", &mut command, &self.bank.path("logs")).expect("started")
    }
}

#[test]
fn a_credential_of_the_service_manager_is_read_at_each_login() {
    let house = House::new("pin_credential", "hsm-pin");
    let folder = house.scratch.directory("credentials").expect("a folder");
    let file = folder.join("hsm-pin");
    fs::write(&file, &house.pin).expect("written");
    // The service manager's mask of an access list.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).expect("mode set");
    let mut signer = house.spawn(&[("CREDENTIALS_DIRECTORY", &folder.display().to_string())]);
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
    drop(signer);

    let mut alone = house.spawn(&[]);
    let words = "start this program as a systemd service with LoadCredentialEncrypted=hsm-pin:FILE";
    alone.wait_for_log(words, DEADLINE).expect("it says so");
    assert_eq!(house.hsm.logins().expect("counted"), 1);
}

#[test]
fn a_token_that_asks_itself_is_given_no_pin() {
    let house = House::new("pin", "protected-path");
    let conduct = Conduct { protected_path: Some(house.pin.clone()), ..Conduct::PLAIN };
    house.hsm.conduct(&conduct).expect("told");
    let mut signer = house.spawn(&[]);
    signer.wait_for_log("signer ready", DEADLINE).expect("ready");
    assert_eq!(house.hsm.logins().expect("counted"), 1);
}

#[test]
fn a_token_that_can_t_ask_itself_is_not_logged_in_to() {
    let house = House::new("pin", "protected-path");
    let mut signer = house.spawn(&[]);
    signer.wait_for_log("it has no way of its own to ask for the PIN", DEADLINE).expect("it says so");
    assert_eq!(house.hsm.logins().expect("counted"), 0);
}
