//! Unblocking with a token and a bank in memory, interrupted at each of its steps.

use std::time::Duration;

use super::*;
use crate::{
    enrol::Question,
    secret::{PinLength, Secret, SecretError},
    server::fake::{FakeServer, Loss},
    token::fake::{FakeDriver, Pull},
};

struct Clerk {
    password: &'static str,
    told: Vec<Step>,
}

impl Person for Clerk {
    fn password(&mut self) -> Result<Secret, SecretError> {
        Ok(Secret::new(Zeroizing::new(self.password.to_owned())))
    }

    fn acquisition_code(&mut self) -> Result<Option<Secret>, SecretError> {
        unreachable!("unblocking needs no code")
    }

    fn pin(&mut self, _: Option<u8>) -> Result<Option<Pin>, SecretError> {
        unreachable!("the PIN is blocked")
    }

    fn new_pin(&mut self) -> Result<Pin, EnrolError> {
        Ok(Pin::chosen("862915", PinLength::default()).expect("a PIN"))
    }

    fn agrees(&mut self, _: &Question) -> bool {
        unreachable!("nothing is destroyed")
    }

    fn tell(&mut self, step: Step) {
        self.told.push(step);
    }
}

struct Desk {
    driver: FakeDriver,
    server: FakeServer,
    folder: tempfile::TempDir,
}

impl Desk {
    /// A token whose PIN is blocked and whose PUK the bank keeps.
    fn blocked() -> Self {
        let desk = Self {
            driver: FakeDriver::fresh(Firmware::new(5, 7, 2)),
            server: FakeServer::new(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        let mut card = desk.driver.card();
        (card.pin, card.pin_tries, card.puk) = (b"314159".to_vec(), 0, b"k3pt-puk".to_vec());
        drop(card);
        desk.server.puks.borrow_mut().push((Uuid::new_v4(), "k3pt-puk".to_owned()));
        desk
    }

    fn run_as(&self, password: &'static str, patience: u64) -> Result<Unblocked, Failure> {
        let requests = Requests::new(self.folder.path());
        let mut world = World {
            driver: &self.driver,
            api: &self.server,
            person: &mut Clerk { password, told: Vec::new() },
            requests: &requests,
            pause: &mut |_| true,
        };
        let patience = Duration::from_secs(patience);
        unblock(&mut world, &Order { user_id: "hokkai-01".to_owned(), token: None, patience })
    }

    fn run(&self) -> Result<Unblocked, Failure> {
        self.run_as("right", 60)
    }

    fn is_kept(&self) -> bool {
        let puk = String::from_utf8(self.driver.card().puk.clone()).expect("ASCII");
        self.server.puks.borrow().iter().any(|(_, kept)| *kept == puk)
    }
}

fn error(run: Result<Unblocked, Failure>) -> UnblockError {
    match run.expect_err("a failure").error {
        EnrolError::Unblock(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_pin_and_a_new_puk_that_only_the_bank_knows() {
    let desk = Desk::blocked();
    let unblocked = desk.run().expect("unblocked");
    assert!(unblocked.puk_replaced);
    let card = desk.driver.card();
    assert_eq!((card.pin.as_slice(), card.pin_tries), (b"862915".as_slice(), 3));
    assert_ne!(card.puk, b"k3pt-puk");
    drop(card);
    assert!(desk.is_kept());
    assert_eq!(desk.server.puks.borrow().len(), 1, "the old one is given up");
    let again = desk.run();
    assert_eq!(error(again), UnblockError::NotBlocked { tries_left: 3 });
}

#[test]
fn interrupted_anywhere_what_the_token_has_is_kept_and_running_again_ends_it() {
    let undisturbed = Desk::blocked();
    undisturbed.run().expect("unblocked");
    let (operations, requests) = (undisturbed.driver.card().operations, undisturbed.server.requests.get());
    let pulls = (0..operations).flat_map(|n| [Some(Pull::Before(n)), Some(Pull::After(n))]);
    let losses = (0..requests).flat_map(|n| [Some(Loss::Request(n)), Some(Loss::Answer(n))]);
    let faults = pulls.map(|pull| (pull, None)).chain(losses.map(|loss| (None, loss)));
    for (pull, loss) in faults {
        let desk = Desk::blocked();
        desk.driver.card().pull = pull;
        desk.server.loss.set(loss);
        let first = desk.run();
        assert!(desk.is_kept(), "{pull:?} {loss:?}: what the token has is kept");
        assert!(desk.server.puks.borrow().len() <= 2, "{pull:?} {loss:?}");
        let unblocked = desk.driver.card().pin_tries > 0;
        assert!(first.is_err() || unblocked, "{pull:?} {loss:?}");
        if !unblocked {
            // What was fetched and lost is asked for anew, which somebody approves anew.
            desk.run().or_else(|_| desk.run()).unwrap_or_else(|error| panic!("{pull:?} {loss:?}: {error:?}"));
        }
        assert_eq!(desk.driver.card().pin, b"862915", "{pull:?} {loss:?}");
        // Blocked once more: the next unblocking finds the right PUK, whichever it was that the token has.
        desk.driver.card().pin_tries = 0;
        assert!(desk.is_kept(), "{pull:?} {loss:?}");
        desk.run().unwrap_or_else(|error| panic!("{pull:?} {loss:?}: {error:?}"));
        assert_eq!(desk.server.puks.borrow().len(), 1, "{pull:?} {loss:?}");
        assert_eq!(desk.driver.card().puk_tries, 3, "{pull:?} {loss:?}");
    }
}

#[test]
fn nobody_approves_and_running_again_goes_on_with_the_same_request() {
    let desk = Desk::blocked();
    desk.server.decision.set(UnblockState::Waiting);
    for _ in 0..2 {
        let waiting = desk.run_as("right", 5);
        assert!(waiting.as_ref().is_err_and(|failure| failure.resumable));
        assert!(matches!(error(waiting), UnblockError::Waiting { branch_only: false, .. }));
    }
    assert_eq!(desk.server.unblockings.borrow().len(), 1);
    desk.server.decision.set(UnblockState::Declined);
    let declined = desk.run();
    assert!(matches!(error(declined), UnblockError::Declined { .. }));
    desk.server.decision.set(UnblockState::Approved);
    desk.run().expect("another request, which is approved");
    assert_eq!(desk.server.unblockings.borrow().len(), 2);
}

#[test]
fn a_wrong_puk_never_blocks_it() {
    let desk = Desk::blocked();
    desk.driver.card().puk = b"anothers".to_vec();
    desk.server.puks.borrow_mut().push((Uuid::new_v4(), "another1".to_owned()));
    let unknown = desk.run();
    assert_eq!(error(unknown), UnblockError::PukUnknown);
    assert_eq!(desk.driver.card().puk_tries, 1, "the last try is left");
    desk.driver.card().puk_tries = 0;
    let blocked = desk.run();
    assert_eq!(error(blocked), UnblockError::PukBlocked);
    assert!(desk.run_as("wrong", 5).is_err());
}
