//! Unblocking a PIN when a process dies (kill -9): the agent around every command that counts, the authority at
//! every step that the agent announces. Each time running again comes to the end, and what the token has is in the bank's
//! custody: the next unblocking works as well.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use softhsm_tests::{
    bank::TOKEN_PIN,
    process::Process,
    virtual_yubikey::{Misbehaviour, Moment, Profile},
    wait::until,
    yubikey::PluggedYubiKey,
};

use crate::rig::{NEW, Office};

const FIRST: u32 = 63_600_001;
/// RESET RETRY COUNTER and CHANGE REFERENCE DATA (NIST SP 800-73-4, part 2).
const UNBLOCK: u8 = 0x2c;
const CHANGE: u8 = 0x24;
/// Progress that unblocking announces once it is approved, from the first to the last at which the server matters.
const ANNOUNCED: [&str; 3] = ["Authenticating", "Approved", "The new PIN is set"];
const DEADLINE: Duration = Duration::from_mins(2);

struct Customer {
    id: String,
    token: u32,
}

/// Customers with a certificate each. The first of them shows what is undisturbed.
fn open(name: &str, first: u32, customers: u32) -> (Office, Vec<Customer>) {
    let customers: Vec<Customer> = (0..customers)
        .map(|number| Customer { id: format!("hokkai-{number:02}"), token: first + number })
        .collect();
    let tokens: Vec<(&str, Profile)> =
        customers.iter().map(|customer| (&*customer.id, Profile::new(customer.token, NEW))).collect();
    let office = Office::open(name, &tokens);
    for customer in &customers {
        office.desk.enroll(office.bank(), &customer.id, customer.token).expect("a certificate");
    }
    (office, customers)
}

impl Office {
    fn key(&self, customer: &Customer) -> &PluggedYubiKey {
        self.desk.keys.iter().find(|key| key.serial() == customer.token).expect("a key")
    }

    fn run_unblock(&self, customer: &Customer) -> crate::rig::Run {
        self.unblock(&customer.id, customer.token, TOKEN_PIN)
    }

    /// The PIN is blocked, and somebody has approved that it be unblocked.
    fn block_and_approve(&self, customer: &Customer, when: &str) {
        self.key(customer).card().misbehave(Misbehaviour::BlockPinAfter(0));
        let asked = self.run_unblock(customer);
        assert_eq!(asked.status, Some(7), "{when}: {asked:?}");
        self.master_does(&customer.id, "unblock-pin");
    }

    /// Runs again until it is done. What was fetched and lost with the process is approved anew.
    fn resume(&self, customer: &Customer, when: &str) {
        for _ in 0..3 {
            let run = self.run_unblock(customer);
            match run.status {
                // The second says that nothing is blocked any more.
                Some(0 | 2) => return,
                Some(7)
                    if run.stderr.contains("hasn't been approved")
                        || run.stdout.contains("hasn't been approved") =>
                {
                    self.master_does(&customer.id, "unblock-pin");
                }
                // The bank has released it to the run that died; the next one asks anew.
                Some(5 | 7) => {}
                _ => panic!("{when}: {run:?}"),
            }
        }
        panic!("{when}: it never came to its end");
    }

    /// The PIN works, and the bank keeps what the token has.
    fn assert_whole(&self, customer: &Customer, when: &str) {
        let state = self.state(customer.token);
        assert_eq!((state.pin.left, state.puk.left), (3, 3), "{when}");
        assert_eq!(&state.pin.value()[..TOKEN_PIN.len()], TOKEN_PIN.as_bytes(), "{when}");
        let before = state.puk.value();
        self.block_and_approve(customer, when);
        let run = self.run_unblock(customer);
        assert_eq!((run.status, &run.json()["puk_replaced"]), (Some(0), &true.into()), "{when}: {run:?}");
        let state = self.state(customer.token);
        assert_eq!((state.pin.left, state.puk.left), (3, 3), "{when}");
        assert_ne!(state.puk.value(), before, "{when}: the PUK is another");
    }

    /// The commands of an undisturbed unblocking, once it is approved.
    fn undisturbed(&self, customer: &Customer) -> Vec<u8> {
        self.block_and_approve(customer, "undisturbed");
        let before = self.key(customer).card().instructions().len();
        let run = self.run_unblock(customer);
        assert_eq!(run.status, Some(0), "{run:?}");
        self.key(customer).card().instructions()[before..].to_vec()
    }

    /// Runs the agent and kills it at this command. The card does one that is on its way all the same.
    fn killed_at(&self, customer: &Customer, moment: Moment, when: &str) {
        let key = self.key(customer);
        let before = key.card().commands();
        let moment = match moment {
            Moment::Before(number) => Moment::Before(before + number),
            Moment::After(number) => Moment::After(before + number),
        };
        let agent: Arc<Mutex<Option<Process>>> = Arc::default();
        let (started, wait) = mpsc::channel::<()>();
        let (killed, heard) = mpsc::channel();
        let victim = agent.clone();
        key.interrupt(moment, move || {
            wait.recv().expect("the agent was started");
            let mut victim = victim.lock().unwrap_or_else(PoisonError::into_inner);
            victim.as_mut().expect("an agent").kill().expect("killed");
            killed.send(()).expect("somebody waits for it");
        });
        let directory = self.bank().path("killed").join(when.replace([' ', '(', ')'], "-"));
        std::fs::create_dir_all(&directory).expect("a folder");
        let mut command = self.unblock_command(&customer.id, customer.token, TOKEN_PIN);
        *agent.lock().expect("unpoisoned") =
            Some(Process::spawn("agent", &mut command, &directory).expect("the agent runs"));
        started.send(()).expect("somebody waits for it");
        heard.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{when}: it never came to that"));
    }
}

#[test]
fn the_agent_killed_at_every_command_that_counts_leaves_nothing_lost() {
    let (office, customers) = open("lifecycle-agent-killed", FIRST, 7);
    let instructions = office.undisturbed(&customers[0]);
    let place = |instruction: u8| {
        let found = instructions.iter().position(|i| *i == instruction);
        found.unwrap_or_else(|| panic!("no {instruction:x}: {instructions:x?}"))
    };
    let (unblock, change) = (place(UNBLOCK), place(CHANGE));
    let at = |place: usize| place as u64;
    let moments = [
        ("at the first command", Moment::After(0)),
        ("before the PUK is fetched", Moment::After(at(unblock) - 1)),
        ("while the PIN is set", Moment::Before(at(unblock))),
        ("after the PIN is set", Moment::After(at(unblock))),
        ("while the PUK is replaced", Moment::Before(at(change))),
        ("after the PUK is replaced", Moment::After(at(change))),
    ];
    for (customer, (when, moment)) in customers[1..].iter().zip(moments) {
        office.block_and_approve(customer, when);
        office.killed_at(customer, moment, when);
        let before = matches!(moment, Moment::After(number) if number < at(unblock));
        // The card may still be at the command that was on its way.
        until(when, || office.state(customer.token).pin.left, |left| (*left == 0) == before);
        office.resume(customer, when);
        office.assert_whole(customer, when);
    }
    office.bank().operator(&["audit", "verify"]).expect("a whole chain");
}

#[test]
fn the_authority_killed_at_every_step_of_unblocking_leaves_nothing_lost() {
    let (mut office, customers) = open("lifecycle-authority-killed", FIRST + 50, 3);
    for (customer, announced) in customers.iter().zip(ANNOUNCED) {
        let when = format!("killed at {announced:?}");
        office.block_and_approve(customer, &when);
        let mut agent = office.unblock_command(&customer.id, customer.token, TOKEN_PIN);
        let mut agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the agent runs");
        let mut said = Vec::new();
        for line in BufReader::new(agent.stderr.take().expect("piped")).lines().map_while(Result::ok) {
            if line.starts_with(announced)
                && let Some(mut authority) = office.bank_mut().authority.take()
            {
                authority.kill().expect("killed");
            }
            said.push(line);
        }
        let status = agent.wait().expect("it ends");
        assert!(office.bank().authority.is_none(), "{when}: it was never announced: {said:?}");
        // The answer may have been on its way; and once the PIN is set, it is done.
        assert!(matches!(status.code(), Some(0 | 6 | 7)), "{when}: {status} {said:?}");
        office.bank_mut().start_authority().expect("an authority");
        office.resume(customer, &when);
        office.assert_whole(customer, &when);
    }
    office.bank().operator(&["audit", "verify"]).expect("a whole chain");
}
