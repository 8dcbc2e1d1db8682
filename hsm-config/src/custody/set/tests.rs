//! Sets that are made, proven, opened, switched and split again, and what is refused on the way.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
};

use super::*;
use crate::{
    custody::{document::ShareFault, people::Understudies, plan::tests::plan, vault::Vault},
    token::PinSource,
};

const LENGTHS: PinLengths = PinLengths { min: 4, max: 64 };

struct Place {
    _folder: tempfile::TempDir,
    set: PathBuf,
    people: Understudies,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { set: folder.path().join("set"), _folder: folder, people: Understudies::default() }
    }

    fn create(&mut self) -> (Set, Pin) {
        Set::create(&self.set, &plan(), LENGTHS, &mut self.people).expect("created")
    }

    /// With generation 1 in force.
    fn in_force(&mut self) -> (Set, Pin) {
        let (mut set, pin) = self.create();
        prove_all(&mut set, &mut self.people);
        set.put_in_force().expect("in force");
        (set, pin)
    }

    fn share(&mut self, set: &Set, which: Which, custodian: &str) -> Share {
        set.open_share(which, custodian, None, &mut self.people).expect("opened")
    }
}

fn prove_all(set: &mut Set, people: &mut Understudies) {
    for name in set.unproven() {
        set.prove(&name, people).expect("proven");
    }
}

#[test]
fn a_set_is_in_force_only_when_every_custodian_has_opened_theirs() {
    let mut place = Place::new();
    let (mut set, pin) = place.create();
    assert_eq!((set.unproven().len(), set.is_proven()), (3, false));
    for name in ["alice", "bob"] {
        set.prove(name, &mut place.people).expect("proven");
    }
    assert!(matches!(set.put_in_force(), Err(CustodyError::Unproven { names, .. }) if names == ["carol"]));
    assert!(matches!(set.assemble(Which::Current, &mut place.people), Err(CustodyError::NoGeneration(_))));
    set.prove("carol", &mut place.people).expect("proven");
    set.put_in_force().expect("in force");
    assert_eq!(set.assemble(Which::Current, &mut place.people).expect("a PIN").expose(), pin.expose());
    drop(set);
    let set = Set::open(&place.set).expect("opened");
    assert_eq!(set.assemble(Which::Current, &mut place.people).expect("a PIN").expose(), pin.expose());
}

#[test]
fn no_file_of_a_set_holds_its_pin_or_a_share() {
    let mut place = Place::new();
    let (set, pin) = place.in_force();
    let share = place.share(&set, Which::Current, "alice");
    let secrets = [pin.expose().to_owned(), hex::encode(share.octets.expose())];
    let mut folders = vec![place.set.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let text = fs::read_to_string(entry.path()).expect("text");
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{}", entry.path().display());
        }
    }
    assert_eq!(files, 4);
}

#[test]
fn fewer_custodians_than_it_takes_open_nothing() {
    let mut place = Place::new();
    let (set, _) = place.in_force();
    let share = place.share(&set, Which::Current, "bob");
    let generation = set.generation(Which::Current).expect("there");
    assert!(assemble(set.document(), generation, &[share]).is_err());
}

#[test]
fn a_share_of_another_generation_or_set_is_named() {
    let mut place = Place::new();
    let (mut set, old_pin) = place.in_force();
    let old = place.share(&set, Which::Current, "alice");
    let old_file = fs::read_to_string(place.set.join("generation-1/alice.pem")).expect("sealed");
    let mut old_people = std::mem::take(&mut place.people);
    set.resplit(&plan(), LENGTHS, &mut place.people).expect("split again");
    // Until the next generation is in force, the current one opens the PIN.
    let now = set.assemble(Which::Current, &mut old_people).expect("a PIN");
    assert_eq!(now.expose(), old_pin.expose());
    prove_all(&mut set, &mut place.people);
    set.put_in_force().expect("in force");
    assert!(!place.set.join("generation-1").exists(), "what is over is removed");
    let fault = ShareFault::OtherGeneration { custodian: "alice".to_owned(), theirs: 1, ours: 2 };
    let generation = set.generation(Which::Current).expect("there");
    assert_eq!(set.document().judge(generation, &old), Err(fault.clone()));
    assert!(fault.to_string().contains("generation 1, this set is generation 2"), "{fault}");

    // Put in the place of the new one, the old sealed file is told as well.
    fs::write(place.set.join("generation-2/alice.pem"), old_file).expect("written");
    let told = set.open_share(Which::Current, "alice", None, &mut old_people).expect_err("old");
    assert!(matches!(&told, CustodyError::Share(told) if *told == fault), "{told}");

    let mut elsewhere = Place::new();
    let (other, _) = elsewhere.in_force();
    let foreign = elsewhere.share(&other, Which::Current, "bob");
    let told = set.document().judge(generation, &foreign).expect_err("foreign");
    assert!(matches!(&told, ShareFault::OtherSet { custodian, .. } if custodian == "bob"), "{told}");
}

#[test]
fn what_was_changed_on_the_disk_opens_nothing_and_is_told() {
    let mut place = Place::new();
    let (set, _) = place.in_force();
    let (alice, bob) = (place.set.join("generation-1/alice.pem"), place.set.join("generation-1/bob.pem"));
    let sealed = fs::read_to_string(&alice).expect("sealed");
    let mut damaged = sealed.clone().into_bytes();
    let middle = damaged.len() / 2;
    damaged[middle] = if damaged[middle] == b'A' { b'B' } else { b'A' };
    fs::write(&alice, damaged).expect("written");
    let told = set.open_share(Which::Current, "alice", None, &mut place.people).expect_err("damaged");
    assert!(matches!(&told, CustodyError::Damaged { custodian, .. } if custodian == "alice"), "{told}");
    fs::write(&alice, fs::read(&bob).expect("sealed")).expect("written");
    let told = set.open_share(Which::Current, "alice", None, &mut place.people).expect_err("bob's");
    assert!(matches!(&told, CustodyError::Damaged { .. }), "bob's passphrase isn't alice's: {told}");
    fs::write(&alice, &sealed).expect("written");

    let document = fs::read_to_string(place.set.join("set.json")).expect("set.json");
    drop(set);
    for (from, to) in [
        ("\"threshold\": 2", "\"threshold\": 3"),
        ("root-pin", "toor-pin"),
        ("\"root\"", "\"toor\""),
        ("libsofthsm2.so", "libevil.so"),
        ("\"environment\": {}", "\"environment\": { \"LD_PRELOAD\": \"/tmp/evil.so\" }"),
        ("\"vendor\": null", "\"vendor\": \"/tmp/evil.toml\""),
    ] {
        let changed = document.replace(from, to);
        assert_ne!(changed, document);
        fs::write(place.set.join("set.json"), changed).expect("written");
        let set = Set::open(&place.set).expect("opened");
        let told = set.assemble(Which::Current, &mut place.people).expect_err("tampered");
        assert!(matches!(told, CustodyError::Tampered(1)), "{from}: {told}");
    }
    fs::write(place.set.join("set.json"), document.replace("\"format\": 2", "\"format\": 3"))
        .expect("written");
    assert!(Set::open(&place.set).expect_err("another form").to_string().contains("form is 3"));
}

#[test]
fn a_wrong_passphrase_is_told_as_such() {
    let mut place = Place::new();
    let (set, _) = place.in_force();
    let mut strangers = Understudies::default();
    strangers.new_passphrase("alice").expect("another");
    let told = set.open_share(Which::Current, "alice", None, &mut strangers).expect_err("wrong");
    assert!(matches!(&told, CustodyError::Shut { custodian, .. } if custodian == "alice"), "{told}");
}

#[test]
fn a_set_is_for_one_command_at_a_time_and_for_one_pin() {
    let mut place = Place::new();
    let (mut set, _) = place.in_force();
    assert!(matches!(Set::open(&place.set), Err(CustodyError::Busy(_))));
    assert!(matches!(
        Set::create(&place.set, &plan(), LENGTHS, &mut place.people),
        Err(CustodyError::Exists(_))
    ));
    let other = Plan { pin: crate::token::PinKind::So, ..plan() };
    assert!(matches!(
        set.resplit(&other, LENGTHS, &mut place.people),
        Err(CustodyError::OtherPurpose { .. })
    ));
    let lone = Plan { threshold: 1, ..plan() };
    assert!(matches!(set.resplit(&lone, LENGTHS, &mut place.people), Err(CustodyError::Plan(_))));
    assert_eq!(set.document().next, None);
}

#[test]
fn a_making_that_was_interrupted_leaves_nothing_in_the_way() {
    let mut place = Place::new();
    let (set, _) = place.in_force();
    drop(set);
    fs::create_dir(place.set.join("making-2")).expect("a folder");
    fs::write(place.set.join("making-2/alice.pem"), "half").expect("written");
    let mut set = Set::open(&place.set).expect("opened");
    set.resplit(&plan(), LENGTHS, &mut place.people).expect("split again");
    assert!(!place.set.join("making-2").exists());
    // The machine died after set.json named it, before it was where shares are kept.
    drop(set);
    fs::rename(place.set.join("generation-2"), place.set.join("making-2")).expect("as it was");
    let mut set = Set::open(&place.set).expect("opened");
    place.share(&set, Which::Next, "alice");
    // Thrown away for another.
    set.resplit(&plan(), LENGTHS, &mut place.people).expect("split once more");
    assert_eq!(set.generation(Which::Next).expect("there").number, 3);
    assert!(!place.set.join("generation-2").exists(), "what was thrown away is removed");
    assert!(set.generation(Which::Current).is_ok_and(|generation| generation.number == 1));
}

#[test]
fn a_vault_opens_with_enough_shares_and_forgets_a_pin_that_is_over() {
    let mut place = Place::new();
    let (mut set, pin) = place.in_force();
    let vault = Vault::new(place.set.clone());
    assert_eq!(vault.standing().words(), "waiting for custodians: 0 of 2");
    let alice = place.share(&set, Which::Current, "alice");
    for _ in 0..2 {
        let standing = vault.give(&alice).expect("taken");
        assert_eq!(standing.words(), "waiting for custodians: 1 of 2 (alice)");
    }
    assert!(vault.pin().expect_err("one isn't enough").contains("1 of 2"));
    let bob = place.share(&set, Which::Current, "bob");
    assert!(vault.give(&bob).expect("taken").open);
    let (held, which) = vault.pin().expect("a PIN");
    assert_eq!(held.expose(), pin.expose());
    assert!(which.contains("generation 1") && !which.contains(pin.expose()));

    let mut old_people = std::mem::take(&mut place.people);
    set.resplit(&plan(), LENGTHS, &mut place.people).expect("split again");
    assert!(vault.pin().is_ok(), "the token has it still");
    set.set_switching(true).expect("noted");
    assert!(vault.pin().expect_err("nobody knows").contains("being changed"));
    prove_all(&mut set, &mut place.people);
    set.put_in_force().expect("in force");
    assert_eq!(vault.pin().expect_err("over"), "waiting for custodians: 0 of 2");
    let refused = vault.give(&alice).expect_err("old");
    assert!(refused.contains("generation 1, this set is generation 2"), "{refused}");
    for name in ["carol", "bob"] {
        vault.give(&place.share(&set, Which::Current, name)).expect("taken");
    }
    assert_ne!(vault.pin().expect("a PIN").0.expose(), pin.expose());
    assert!(old_people.passphrase("alice", 1).is_ok());
}

#[test]
fn a_set_json_that_is_older_than_its_shares_is_refused_and_they_are_kept() {
    let mut place = Place::new();
    let (mut set, _) = place.in_force();
    let old = fs::read(place.set.join("set.json")).expect("set.json");
    set.resplit(&plan(), LENGTHS, &mut place.people).expect("split again");
    prove_all(&mut set, &mut place.people);
    set.put_in_force().expect("in force");
    drop(set);
    let new = fs::read(place.set.join("set.json")).expect("set.json");
    fs::write(place.set.join("set.json"), old).expect("restored from an old copy");
    let told = Set::open(&place.set).expect_err("outdated").to_string();
    assert!(told.contains("generation-2") && told.contains("no generation after 1"), "{told}");
    assert!(Vault::new(place.set.clone()).pin().expect_err("outdated").contains("newest copy"));
    fs::write(place.set.join("set.json"), new).expect("restored from the newest");
    let set = Set::open(&place.set).expect("opened");
    assert!(set.assemble(Which::Current, &mut place.people).is_ok(), "nothing was lost");
}

#[test]
fn a_set_that_others_can_write_is_refused_until_that_is_mended() {
    let mut place = Place::new();
    let (mut set, _) = place.create();
    let file = place.set.join("set.json");
    for (path, open, shut) in [(&place.set, 0o770, 0o750), (&file, 0o666, 0o640)] {
        fs::set_permissions(path, Permissions::from_mode(open)).expect("mode set");
        let told = Document::read(&place.set).expect_err("open to others").to_string();
        assert!(told.contains(&format!("chmod -R go-w {}", place.set.display())), "{told}");
        fs::set_permissions(path, Permissions::from_mode(shut)).expect("mode set");
    }
    // Who can read it still can when it was replaced.
    set.prove("alice", &mut place.people).expect("proven");
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("mode set");
    set.prove("bob", &mut place.people).expect("proven");
    assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o600);
    let open = place.set.with_file_name("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("mode set");
    let told = Set::create(&open, &plan(), LENGTHS, &mut place.people).expect_err("open to others");
    assert!(told.to_string().contains("chmod -R go-w"), "{told}");
}

#[test]
fn a_forged_mark_proves_nothing() {
    let mut place = Place::new();
    let (mut set, _) = place.create();
    for name in ["alice", "bob"] {
        set.prove(name, &mut place.people).expect("proven");
    }
    drop(set);
    let file = place.set.join("set.json");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("set.json")).expect("JSON");
    let keepers = &mut document["next"]["custodians"];
    let mark = keepers[0]["proven"].clone();
    keepers[2]["proven"] = mark;
    fs::write(&file, document.to_string()).expect("written");
    let set = Set::open(&place.set).expect("opened");
    assert_eq!(set.unproven(), ["carol"]);
}

#[test]
fn a_set_is_for_one_pin_of_one_token() {
    let mut place = Place::new();
    let (set, _) = place.create();
    let token = |label: &str| TokenSelection::Label(label.to_owned());
    assert_eq!(set.is_for(&token("root"), PinKind::User), Ok(()));
    let told = set.is_for(&token("root"), PinKind::So).expect_err("the other PIN").to_string();
    assert!(told.contains("keeps the user PIN") && told.contains("not the SO PIN"), "{told}");
    let told = set.is_for(&token("online"), PinKind::User).expect_err("another token").to_string();
    assert!(told.contains("\"root\"") && told.contains("\"online\""), "{told}");
    assert!(set.is_for(&TokenSelection::Serial("root".to_owned()), PinKind::User).is_err());
    drop(set);
    let source = PinSource::Custody(place.set.clone());
    assert_eq!(source.mistake_for(&[token("root")], PinKind::User), None);
    assert_eq!(source.mistake_for(&[token("online"), token("root")], PinKind::User), None);
    let mistake = source.mistake_for(&[token("online")], PinKind::User).expect("another token");
    assert_eq!(mistake.key, "pin_custody");
}
