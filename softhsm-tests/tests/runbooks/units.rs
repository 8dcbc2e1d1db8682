//! The systemd units: correct, closed, and of one mind with the example configurations.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use softhsm_tests::process::run;

/// Where units are.
const FOLDERS: [&str; 2] = ["hsm-config/systemd", "ca/systemd"];
/// How exposed a service may be at most, by `systemd-analyze security`, of 100. The authority has the network.
const EXPOSURE: [(&str, u32); 5] = [
    ("inro-signer@.service", 10),
    ("inro-hsm-check@.service", 10),
    ("inro-journal-copy@.service", 10),
    ("inro-ca-backup.service", 10),
    ("inro-ca.service", 20),
];

fn services() -> BTreeMap<String, String> {
    let mut services = BTreeMap::new();
    for folder in FOLDERS {
        let folder = super::root().join(folder);
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "service") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                services.insert(name, fs::read_to_string(path).expect("a unit"));
            }
        }
    }
    services
}

/// The last value of a key.
fn value<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

fn example(path: &str) -> toml::Table {
    let text = fs::read_to_string(super::root().join(path)).expect("an example");
    toml::from_str(&text).expect("TOML")
}

#[test]
fn every_service_is_closed() {
    for (name, unit) in services() {
        let (_, exposure) = EXPOSURE
            .iter()
            .find(|(service, _)| *service == name)
            .unwrap_or_else(|| panic!("no limit for {name}"));
        let folder =
            FOLDERS.iter().find(|folder| super::root().join(folder).join(&name).exists()).expect("a folder");
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager", &format!("--threshold={exposure}")]);
        run(analyze.arg(super::root().join(folder).join(&name)))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(value(&unit, "LimitCORE"), Some("0"), "{name}: a core file can hold secrets");
        assert!(
            value(&unit, "User").is_some_and(|user| user.starts_with("inro")),
            "{name}: an account of its own"
        );
    }
}

#[test]
fn accounts_are_apart_and_made() {
    let services = services();
    let user = |name: &str| value(&services[name], "User").expect("a user").replace("%i", "customer-1");
    assert_ne!(user("inro-signer@.service"), user("inro-ca.service"));
    let sysusers: String = ["hsm-config/systemd/inro-signer.sysusers", "ca/systemd/inro-ca.sysusers"]
        .map(|path| fs::read_to_string(super::root().join(path)).expect("sysusers"))
        .concat();
    for name in services.keys() {
        let user = user(name);
        assert!(sysusers.contains(&format!("u {user} ")), "nobody makes the account {user} of {name}");
    }
}

#[test]
fn paths_are_those_of_the_example_configurations() {
    let services = services();
    let (unit, signer) = (&services["inro-signer@.service"], example("hsm-config/examples/signer.toml"));
    let name = signer["name"].as_str().expect("a name");
    let folder = |unit: &str, root: &str, key: &str| {
        format!("{root}/{}", value(unit, key).expect("a folder").replace("%i", name))
    };
    let below = |path: &str, folder: &str| Path::new(path).parent() == Some(Path::new(folder));
    for key in ["journal", "latch"] {
        let path = signer[key].as_str().expect("a path");
        assert!(below(path, &folder(unit, "/var/lib", "StateDirectory")), "{key} = {path}");
    }
    let socket = signer["socket"]["path"].as_str().expect("a path");
    assert!(below(socket, &folder(unit, "/run", "RuntimeDirectory")), "{socket}");
    let credential = signer["token"]["pin_credential"].as_str().expect("a credential");
    let loaded = value(unit, "LoadCredentialEncrypted").expect("a credential");
    assert_eq!(loaded.split_once(':').map(|(id, _)| id), Some(credential));
    let configuration = format!("/etc/inro-signer/{name}/");
    for key in signer["key"].as_array().expect("keys") {
        let path = key["certificate"].as_str().expect("a path");
        assert!(path.starts_with(&configuration), "{path}");
    }
    let start = value(unit, "ExecStart").expect("a command").replace("%i", name);
    assert!(start.ends_with(&format!("--config {configuration}signer.toml")), "{start}");
    let copy = &services["inro-journal-copy@.service"];
    let start = value(copy, "ExecStart").expect("a command").replace("%i", name);
    assert!(start.contains(signer["journal"].as_str().expect("a path")), "{start}");

    let (unit, authority) = (&services["inro-ca.service"], example("ca/examples/inro.toml"));
    let database = authority["node"]["database"].as_str().expect("a path");
    assert!(below(database, &folder(unit, "/var/lib", "StateDirectory")), "{database}");
    assert_eq!(authority["issuer"][0]["signer_socket"].as_str(), Some(socket));
    assert_eq!(authority["issuer"][0]["signer"].as_str(), Some(name));
    assert_eq!(value(unit, "SupplementaryGroups"), value(&services["inro-signer@.service"], "Group"));
}
