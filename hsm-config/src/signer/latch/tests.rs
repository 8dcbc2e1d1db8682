//! Each call of `Place::latch` is the latch as another process sees it.

use super::*;
use crate::token::TokenDescription;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    fn latch(&self) -> Latch {
        Latch::new(self.folder.path().join("latch"))
    }

    fn is_set(&self) -> bool {
        self.latch().read().expect("readable").is_some()
    }

    fn begin(&self, pin: &str) -> Result<Begun, NotBegun> {
        self.latch().begin(Timestamp::UNIX_EPOCH, attempt("1", pin))
    }

    fn accept(&self, pin: &str) {
        self.begin(pin).expect("begun").accepted().expect("noted");
    }
}

fn token(serial: &str) -> TokenDescription {
    TokenDescription {
        slot: 0,
        initialised: true,
        label: "online".to_owned(),
        manufacturer: "Vendor".to_owned(),
        model: "Model".to_owned(),
        serial: serial.to_owned(),
        firmware: "1.0".to_owned(),
        hardware: "1.0".to_owned(),
        min_pin_length: 4,
        max_pin_length: 64,
    }
}

/// Its mark is readable, as none of a [`Pin`] is.
fn attempt(serial: &str, pin: &str) -> Attempt {
    Attempt::new(&token(serial), Mark::Argon2id(pin.to_owned()))
}

fn refused() -> Refused {
    Refused { at: Timestamp::UNIX_EPOCH, detail: "CKR_PIN_INCORRECT".to_owned() }
}

#[test]
fn it_holds_what_it_was_first_told_until_it_is_cleared() {
    let place = Place::new();
    let latch = place.latch();
    assert_eq!(latch.read().expect("readable"), None);
    latch.set(&refused()).expect("set");
    latch.set(&Refused { detail: "later".to_owned(), ..refused() }).expect("set again");
    assert_eq!(place.latch().read().expect("readable"), Some(refused()));
    assert!(matches!(place.begin("right"), Err(NotBegun::Latched(found)) if found == refused()));
    assert_eq!(latch.clear(false).expect("cleared"), Some(refused()));
    assert_eq!(latch.clear(false).expect("nothing to clear"), None);
}

/// Whoever has the signer's account could have root, who clears the latch, open and give them any file.
#[test]
fn what_somebody_put_in_the_place_of_the_lock_is_neither_followed_nor_given_away() {
    use std::os::unix::fs::{chown, symlink};
    let place = Place::new();
    let (theirs, lock) = (place.folder.path().join("roots"), place.folder.path().join("latch.lock"));
    fs::write(&theirs, "root:x:0:0").expect("written");
    let owner = |path: &Path| fs::metadata(path).expect("there").uid();
    let before = owner(&theirs);
    if rustix::process::geteuid().is_root() {
        chown(place.folder.path(), Some(65_534), Some(65_534)).expect("the signer's folder");
    }
    symlink(&theirs, &lock).expect("a link");
    assert!(matches!(place.begin("right"), Err(NotBegun::Unwritable(_))));
    assert!(place.latch().clear(false).is_err());
    assert_eq!(owner(&theirs), before);
    fs::remove_file(&lock).expect("removed");
    if rustix::process::geteuid().is_root() {
        fs::hard_link(&theirs, &lock).expect("another name");
        assert!(matches!(place.begin("right"), Err(NotBegun::Unwritable(_))));
        assert_eq!(owner(&theirs), before);
        fs::remove_file(&lock).expect("removed");
    }
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &lock, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    assert!(place.latch().clear(false).is_err(), "and it doesn't hang");
    fs::remove_file(&lock).expect("removed");
    place.begin("right").expect("begun").accepted().expect("noted");
    assert_eq!(owner(&lock), owner(place.folder.path()), "the latch's own files are the signer's");
}

#[test]
fn a_file_that_was_cut_by_a_crash_still_latches() {
    for name in ["latch", "latch.login"] {
        let place = Place::new();
        fs::write(place.folder.path().join(name), b"").expect("written");
        assert!(place.is_set(), "{name}");
        place.latch().clear(false).expect("cleared");
        assert!(!place.is_set(), "{name}");
    }
}

#[test]
fn a_latch_that_cannot_be_kept_holds_in_this_process() {
    let place = Place::new();
    std::os::unix::fs::symlink("nowhere", place.folder.path().join("latch")).expect("a link");
    let latch = place.latch();
    latch.set(&refused()).expect_err("it would not be found again");
    assert_eq!(latch.clone().read().expect("readable"), Some(refused()));
    // Nor does a PIN that was accepted long ago let another process try again.
    let place = Place::new();
    place.accept("changed at the token");
    place.begin("changed at the token").expect("begun").refused(false).expect("noted");
    assert!(place.is_set());
}

#[test]
fn a_login_that_never_ended_latches_whoever_looks() {
    let place = Place::new();
    drop(place.begin("one").expect("begun"));
    let found = place.latch().read().expect("readable").expect("set");
    assert!(found.detail.contains("isn't known"), "{found:?}");
    assert!(matches!(place.begin("another"), Err(NotBegun::Latched(_))));
    place.latch().clear(false).expect("cleared");
    assert!(!place.is_set());

    place.begin("another").expect("begun").unjudged().expect("noted");
    assert!(!place.is_set(), "the token didn't judge it");
    place.accept("another");
}

#[test]
fn a_refused_pin_is_not_given_again_after_the_latch_is_cleared_until_a_person_says_so() {
    let unlatched = |place: &Place| drop(place.begin("wrong").expect("begun"));
    let latched = |place: &Place| {
        let begun = place.begin("wrong").expect("begun");
        place.latch().set(&refused()).expect("set");
        begun.refused(true).expect("noted");
    };
    let killed_in_between = |place: &Place| {
        let _begun = place.begin("wrong").expect("begun");
        place.latch().set(&refused()).expect("set");
    };
    for refuse in [unlatched, latched, killed_in_between] {
        for accepted_before in [false, true] {
            let place = Place::new();
            if accepted_before {
                place.accept("wrong");
            }
            refuse(&place);
            if !place.is_set() {
                assert!(accepted_before, "a good PIN, given without an answer");
                continue;
            }
            place.latch().clear(false).expect("cleared");
            assert!(!place.is_set());
            assert!(matches!(place.begin("wrong"), Err(NotBegun::Same)));
            place.latch().clear(false).expect("nothing to clear");
            assert!(matches!(place.begin("wrong"), Err(NotBegun::Same)));
            place.accept("right");
            assert!(matches!(place.begin("wrong"), Err(NotBegun::Same)));
            place.latch().clear(true).expect("forgotten");
            place.accept("wrong");
        }
    }
}

#[test]
fn what_one_token_refused_another_may_be_given_and_what_nobody_saw_is_never_the_same() {
    let place = Place::new();
    place.begin("wrong").expect("begun").refused(true).expect("noted");
    assert!(matches!(place.begin("wrong"), Err(NotBegun::Same)));
    let elsewhere = place.latch().begin(Timestamp::UNIX_EPOCH, attempt("2", "wrong")).expect("begun");
    elsewhere.accepted().expect("noted");
    let unseen = || place.latch().begin(Timestamp::UNIX_EPOCH, Attempt::new(&token("1"), Mark::Unseen));
    unseen().expect("begun").refused(true).expect("noted");
    unseen().expect("a person types it anew").accepted().expect("noted");
}

#[test]
fn a_pin_that_was_accepted_may_be_given_again_after_a_crash_and_another_may_not() {
    let place = Place::new();
    place.accept("signer's");
    // Others, of a doctor with another copy, or of the time before a change, don't displace it.
    place.accept("doctor's");
    for pin in ["signer's", "doctor's", "signer's"] {
        drop(place.begin(pin).expect("begun"));
        assert!(!place.is_set());
    }
    drop(place.begin("new").expect("begun"));
    assert!(place.is_set(), "another PIN");
    place.latch().clear(false).expect("cleared");
    let elsewhere = place.latch().begin(Timestamp::UNIX_EPOCH, attempt("2", "signer's")).expect("begun");
    drop(elsewhere);
    assert!(place.is_set(), "another token");
}

#[test]
fn one_logs_in_after_the_other() {
    let place = Place::new();
    let begun = place.begin("new").expect("begun");
    assert!(!place.is_set(), "nothing is known yet");
    assert!(matches!(place.begin("new"), Err(NotBegun::Busy)));
    assert!(matches!(place.begin("another"), Err(NotBegun::Busy)));
    place.latch().clear(true).expect_err("it may be refused in a moment");
    place.latch().set(&refused()).expect("set");
    begun.refused(true).expect("noted");
    assert!(matches!(place.begin("another"), Err(NotBegun::Latched(_))));
}

#[test]
fn it_does_not_grow() {
    let place = Place::new();
    for number in 0..3 * KEPT {
        place.accept(&format!("accepted {number}"));
        place.begin(&format!("refused {number}")).expect("begun").refused(true).expect("noted");
    }
    assert_eq!(place.latch().refused_pins().expect("readable"), KEPT);
    let logins = place.latch().logins().expect("readable").expect("understood");
    assert_eq!((logins.accepted.len(), logins.refused.len()), (KEPT, KEPT));
}

#[tokio::test]
async fn a_pin_is_known_again_wherever_it_comes_from_and_not_to_be_read() {
    let place = Place::new();
    let mark =
        async |place: &Place, pin: &str| place.latch().mark(&Pin::new(pin.into())).await.expect("a mark");
    let of_file = mark(&place, "987654").await;
    assert_eq!(of_file, mark(&place, "987654").await, "as another process knows it");
    assert_ne!(of_file, mark(&place, "987653").await);
    assert_ne!(of_file, mark(&Place::new(), "987654").await, "a salt of its own");
    assert_eq!(place.latch().mark(&Pin::at_the_token()).await.expect("none"), Mark::Unseen);
    place.latch().begin(Timestamp::UNIX_EPOCH, Attempt::new(&token("1"), of_file)).expect("begun");
    for entry in fs::read_dir(place.folder.path()).expect("a folder") {
        let file = entry.expect("an entry");
        assert_eq!(file.metadata().expect("there").mode() & 0o777, 0o600, "{file:?}");
        assert!(!String::from_utf8_lossy(&fs::read(file.path()).expect("readable")).contains("987654"));
    }
    // A latch that was cleared knows it still.
    place.latch().clear(false).expect("cleared");
    let again = mark(&place, "987654").await;
    let begun = place.latch().begin(Timestamp::UNIX_EPOCH, Attempt::new(&token("1"), again));
    assert!(matches!(begun, Err(NotBegun::Same)));
}
