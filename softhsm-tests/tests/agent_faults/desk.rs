//! A flow that is tried many times from one beginning: token, bank and the agent's own records are put back each time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use softhsm_tests::virtual_yubikey::{Firmware, State};
use x509_cert::{Certificate, der::Decode};

use super::{
    bench::{Bench, Run, pem_to_der},
    server::{Books, Manner},
};

/// A slot with the tag of its certificate's object.
const SLOTS: [(u8, u32); 3] = [(0x9a, 0x005f_c105), (0x9c, 0x005f_c10a), (0x9d, 0x005f_c10b)];

/// Commands that change something or prove something. Of the others, the first in a row stands for all.
const WEIGHTY: [u8; 9] = [0x20, 0x24, 0x47, 0x87, 0xdb, 0xf6, 0xf9, 0xfe, 0xff];

/// What the person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Obtain,
    Renew,
    /// Of what was renewed.
    ClearAway,
}

/// A desk at which a flow begins.
pub(crate) struct Desk {
    pub(crate) bench: Bench,
    flow: Flow,
    token: State,
    books: Books,
    records: Vec<(PathBuf, Vec<u8>)>,
    /// The certificate that is renewed, DER.
    old: Option<Vec<u8>>,
    /// How many certificates there are once the flow has ended well.
    issued: usize,
}

impl Desk {
    pub(crate) fn new(flow: Flow, firmware: Firmware) -> Self {
        let bench = Bench::one(firmware);
        let (mut old, mut issued) = (None, 1);
        if flow != Flow::Obtain {
            bench.server.bank.certify_for(20);
            let run = bench.enroll(&[]);
            bench.assert_done(&run, "the first certificate");
            old = Some(pem_to_der(run.json()["pem"].as_str().expect("PEM")));
            issued = 2;
        }
        if flow == Flow::ClearAway {
            let run = renew(&bench, &[]);
            assert_eq!(run.status(), 0, "the renewal: {run:?}");
        }
        let (token, books) = (bench.state(), bench.server.bank.books().clone());
        let mut records = Vec::new();
        collect(&state_folder(&bench), &mut records);
        Self { bench, flow, token, books, records, old, issued }
    }

    /// Everything is as at the beginning.
    pub(crate) fn begin(&self) {
        let mut card = self.bench.keys[0].card();
        card.behave();
        card.restore(self.token.clone());
        drop(card);
        self.bench.server.bank.behave(Manner::Honest);
        self.bench.server.bank.books().clone_from(&self.books);
        let folder = state_folder(&self.bench);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("cleared");
        }
        for (path, content) in &self.records {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, content).expect("put back");
        }
    }

    pub(crate) fn run(&self) -> Run {
        match self.flow {
            Flow::Obtain => self.bench.enroll(&[]),
            Flow::Renew => renew(&self.bench, &[]),
            Flow::ClearAway => renew(&self.bench, &["--grace-hours", "0"]),
        }
    }

    /// The commands, by their place in an undisturbed run, at which a disturbance is worth its time.
    pub(crate) fn steps(&self) -> Vec<u64> {
        self.begin();
        let run = self.run();
        self.assert_done(&run, "undisturbed");
        let instructions = self.bench.keys[0].card().instructions().to_vec();
        let first = |place: usize| place == 0 || instructions[place] != instructions[place - 1];
        let places =
            (0..instructions.len()).filter(|place| first(*place) || WEIGHTY.contains(&instructions[*place]));
        places.map(|place| place as u64).collect()
    }

    /// Whether the token is as at the beginning.
    pub(crate) fn is_untouched(&self) -> bool {
        let (state, before) = (self.bench.state(), &self.token);
        let secrets = |state: &State| (state.pin.value(), state.puk.value(), state.management_key.clone());
        let slots = |state: &State| state.slots.keys().copied().collect::<Vec<_>>();
        secrets(&state) == secrets(before)
            && slots(&state) == slots(before)
            && state.objects == before.objects
    }

    /// The certificate that the bank takes is on the token, beside its key.
    pub(crate) fn assert_a_working_certificate(&self, when: &str) {
        let Some(old) = &self.old else { return };
        let state = self.bench.state();
        let working: Vec<Vec<u8>> =
            SLOTS.iter().filter_map(|(slot, tag)| working(&state, *slot, *tag)).collect();
        if self.bench.server.bank.has_superseded(&serial(old)) {
            assert!(
                working.iter().any(|certificate| certificate != old),
                "{when}: the new certificate works"
            );
        } else {
            assert!(working.contains(old), "{when}: the old certificate works");
        }
    }

    /// The flow came to its end: one certificate more, on the token and confirmed, and nothing is left over.
    pub(crate) fn assert_done(&self, run: &Run, when: &str) {
        let bench = &self.bench;
        if self.flow == Flow::Obtain {
            return bench.assert_done(run, when);
        }
        assert_eq!(run.status(), 0, "{when}: {run:?}");
        assert_eq!(bench.server.bank.issued(), self.issued, "{when}: certificates issued");
        assert_eq!(bench.record(), None, "{when}: no record of a renewal is left");
        let (state, old) = (bench.state(), self.old.as_ref().expect("an old certificate"));
        assert!(bench.server.bank.has_superseded(&serial(old)), "{when}: the old one is superseded");
        let working: Vec<Vec<u8>> =
            SLOTS.iter().filter_map(|(slot, tag)| working(&state, *slot, *tag)).collect();
        let retired = bench.scratch.join(".local/state/inro-agent/retired");
        let remembered = fs::read_dir(retired).map_or(0, Iterator::count);
        let fresh = working.iter().filter(|certificate| *certificate != old).count();
        assert_eq!(fresh, 1, "{when}: the new one is on the token");
        if self.flow == Flow::Renew {
            assert!(working.contains(old) && remembered == 1, "{when}: the old one waits for its end");
        } else {
            assert_eq!((working.len(), state.slots.len(), remembered), (1, 1, 0), "{when}: nothing is left");
            assert!(state.slots.contains_key(&0x9a), "{when}: it came home");
            let certificates = SLOTS.iter().filter(|(_, tag)| state.objects.contains_key(tag)).count();
            assert_eq!(certificates, 1, "{when}: no other certificate");
        }
    }
}

/// `renew` with everything in files.
pub(crate) fn renew(bench: &Bench, more: &[&str]) -> Run {
    let (ca, password, pin) = (bench.path("ca.pem"), bench.path("password"), bench.path("pin"));
    let mut command = bench.agent(&["renew", "--json", "--server", &bench.server.url(), "--ca-file", &ca]);
    command.args(["--password-file", &password, "--pin-file", &pin]).args(more);
    Run::of(&mut command)
}

fn state_folder(bench: &Bench) -> PathBuf {
    bench.scratch.join(".local/state/inro-agent")
}

fn collect(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, into);
        } else {
            let content = fs::read(&path).expect("readable");
            into.push((path, content));
        }
    }
}

/// The certificate of a slot, if it is for the slot's key.
fn working(state: &State, slot: u8, tag: u32) -> Option<Vec<u8>> {
    let (object, slot) = (state.objects.get(&tag)?, state.slots.get(&slot)?);
    // The certificate is the first item, 70 82 and two octets of length.
    let length = usize::from(u16::from_be_bytes([*object.get(2)?, *object.get(3)?]));
    let der = object.get(4..4 + length)?;
    let certificate = Certificate::from_der(der).ok()?;
    let key = slot.key.public_key_info().ok()?;
    (*certificate.tbs_certificate().subject_public_key_info() == key).then(|| der.to_vec())
}

fn serial(certificate: &[u8]) -> String {
    let certificate = Certificate::from_der(certificate).expect("a certificate");
    hex::encode(certificate.tbs_certificate().serial_number().as_bytes())
}
