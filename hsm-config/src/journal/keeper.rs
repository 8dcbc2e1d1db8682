//! Two threads beside the writer's: one writes checkpoints, the other reads, after a start from a checkpoint, what the
//! checkpoint stood for.
//!
//! A journal whose past isn't what the checkpoint said is unsound: policy was judging by a past that didn't happen, or
//! somebody changed the one that did. From then on nothing is signed or recorded, for ever: the checkpoint is taken out of
//! use, so that a restart reads the whole journal and says by itself whether it can be used. Failing checkpoints harm
//! nobody: the next start reads more.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    change::Change,
    checkpoint::{self, KeySummary, Summary},
    extent::Extent,
    frame::{self, HEADER, Next, Scanner},
    index::Index,
    record,
};

/// When checkpoints are worth their writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// A journal of fewer octets is read whole, which takes no time.
    pub(super) from_octets: u64,
    /// So many new entries at least, and so large a part of all: what is written stays in proportion.
    pub(super) entries: u64,
    pub(super) part: u64,
    /// So many new octets are enough: a few entries may be large CRLs.
    pub(super) octets: u64,
    /// After so long a thousandth is enough.
    pub(super) every: Duration,
    /// How often this is looked at.
    pub(super) poll: Duration,
    /// Reading again what a checkpoint stood for begins so long after the start, and after an error.
    pub(super) patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            from_octets: 32 * 1024 * 1024,
            entries: 50_000,
            part: 16,
            octets: 256 * 1024 * 1024,
            every: Duration::from_mins(30),
            poll: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }
}

/// Octets between two rests of the reading again.
const STRETCH: usize = 512 * 1024;

/// What the journal's threads share.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) identifier: Uuid,
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) fault: Arc<OnceLock<String>>,
    pub(super) settings: Settings,
}

/// The two threads; they end when it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    stops: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Keeper {
    /// `unread` is what a checkpoint stood for.
    pub(super) fn start(kept: &Kept, unread: Option<Summary>) -> io::Result<Self> {
        let mut keeper = Self { stops: Vec::new(), threads: Vec::new() };
        let written = unread.as_ref().map_or(0, |summary| summary.extent.entries);
        keeper.thread("checkpoints", kept, move |kept, stop| Checkpoints::new(kept, written).run(&stop))?;
        if let Some(unread) = unread {
            keeper.thread("reading-again", kept, move |kept, stop| read_again(&kept, &unread, &stop))?;
        }
        Ok(keeper)
    }

    fn thread(
        &mut self,
        name: &str,
        kept: &Kept,
        run: impl FnOnce(Kept, Receiver<()>) + Send + 'static,
    ) -> io::Result<()> {
        let (stop, stopped) = channel();
        let kept = kept.clone();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(kept, stopped))?;
        self.stops.push(stop);
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that kept the journal's checkpoint has panicked");
            }
        }
    }
}

struct Checkpoints {
    kept: Kept,
    /// Entries and octets that the last one covers.
    covered: (u64, u64),
    since: Instant,
}

impl Checkpoints {
    fn new(kept: Kept, entries: u64) -> Self {
        let octets = read(&kept.index).place(entries).map_or(0, |place| place.offset + place.length);
        Self { kept, covered: (entries, octets), since: Instant::now() }
    }

    fn run(mut self, stop: &Receiver<()>) {
        while stop.recv_timeout(self.kept.settings.poll) == Err(RecvTimeoutError::Timeout) {
            if self.is_due() {
                self.write();
            }
        }
        // The writer has ended before: this is all there is.
        if self.grown().0 > 0 && self.is_worthwhile() {
            self.write();
        }
    }

    /// New entries and octets.
    fn grown(&self) -> (u64, u64) {
        let index = read(&self.kept.index);
        (index.entries() - self.covered.0, index.end().saturating_sub(self.covered.1))
    }

    fn is_worthwhile(&self) -> bool {
        self.kept.fault.get().is_none() && read(&self.kept.index).end() >= self.kept.settings.from_octets
    }

    fn is_due(&self) -> bool {
        let settings = &self.kept.settings;
        let (entries, octets) = self.grown();
        let many = entries >= settings.entries.max(self.covered.0 / settings.part);
        let some = entries > self.covered.0 / 1000 && self.since.elapsed() >= settings.every;
        (many || some || octets >= settings.octets) && self.is_worthwhile()
    }

    fn write(&mut self) {
        let began = Instant::now();
        self.since = began;
        match checkpoint::write(&self.kept.path, self.kept.identifier, &self.kept.index) {
            Ok(summary) => {
                self.covered = (summary.extent.entries, summary.extent.end);
                tracing::info!(entries = summary.extent.entries, took = ?began.elapsed(), "wrote the journal's checkpoint");
            }
            Err(error) => tracing::warn!(
                %error, "the journal's checkpoint can't be written: the next start takes longer, nothing else"
            ),
        }
        // The fault may have been found while it was written.
        if self.kept.fault.get().is_some() {
            discard(&self.kept.path);
        }
    }
}

fn read(index: &RwLock<Index>) -> std::sync::RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}

fn discard(journal: &Path) {
    if let Err(error) = checkpoint::discard(journal) {
        tracing::error!(
            %error,
            checkpoint = %checkpoint::path_of(journal).display(),
            "the checkpoint can't be removed: remove it by hand before the signer is started again"
        );
    }
}

/// Reads what the checkpoint stood for, until it is done or the journal is closed.
fn read_again(kept: &Kept, unread: &Summary, stop: &Receiver<()>) {
    let stopped = |wait: Duration| stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
    loop {
        if stopped(kept.settings.patience) {
            return;
        }
        match compare(kept, unread, stopped) {
            Ok(Compared::Same) => {
                tracing::info!(
                    entries = unread.extent.entries,
                    "the whole journal was read again and is what its checkpoint says"
                );
                return;
            }
            Ok(Compared::Stopped) => return,
            Ok(Compared::Unsound(fault)) => {
                tracing::error!(
                    journal = %kept.path.display(),
                    fault,
                    "ALARM: the journal is not what its checkpoint says: nothing is signed any more. Keep the file, run \
                     `inro-hsm journal verify`, and compare with the copy and the authority's ledger"
                );
                let _ = kept.fault.set(fault);
                return discard(&kept.path);
            }
            Err(error) => tracing::error!(%error, "ALARM: the journal can't be read again; trying later"),
        }
    }
}

/// What came of reading again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Unsound(String),
    Stopped,
}

/// Reads the file from its begin to the checkpoint's end. It rests as long as it works twice over: threads that sign
/// come first, and a lower priority could leave the index locked while they wait.
pub(super) fn compare(
    kept: &Kept,
    unread: &Summary,
    stopped: impl Fn(Duration) -> bool,
) -> io::Result<Compared> {
    let mut file = File::open(&kept.path)?;
    let mut header = [0; HEADER];
    io::Read::read_exact(&mut file, &mut header)?;
    let Some(genesis) = frame::genesis(&header) else {
        return Ok(Compared::Unsound("its beginning is damaged".to_owned()));
    };
    file.seek(SeekFrom::Start(HEADER as u64))?;
    let mut scanner = Scanner::new(BufReader::with_capacity(256 * 1024, file), genesis);
    let mut again = Again::new(kept.identifier, genesis);
    let mut bodies = Vec::new();
    let mut began = Instant::now();
    let mut octets = 0;
    while again.0.extent.entries < unread.extent.entries {
        bodies.clear();
        let next = scanner.next(&mut bodies)?;
        if let Err(fault) = again.take(&next, &bodies, &kept.index) {
            let Extent { entries, end, .. } = again.0.extent;
            return Ok(Compared::Unsound(format!("entry {} (octet {end}): {fault}", entries + 1)));
        }
        octets += bodies.len();
        if octets >= STRETCH {
            octets = 0;
            if stopped(began.elapsed() * 2) {
                return Ok(Compared::Stopped);
            }
            began = Instant::now();
        }
    }
    if again.0 == *unread {
        return Ok(Compared::Same);
    }
    Ok(Compared::Unsound(format!(
        "the checkpoint says {:?} of its first {} entries, which say {:?}",
        unread, unread.extent.entries, again.0
    )))
}

/// The summary as the entries themselves make it.
struct Again(Summary);

impl Again {
    fn new(journal: Uuid, genesis: frame::Hash) -> Self {
        Self(Summary { journal, extent: Extent::new(genesis), intents: 0, keys: BTreeMap::new() })
    }

    fn take(&mut self, next: &Next, body: &[u8], index: &RwLock<Index>) -> Result<(), String> {
        let (place, hash) = match next {
            Next::Frame(place, hash) => (*place, *hash),
            Next::Damaged(fault) => return Err((*fault).to_owned()),
            Next::End | Next::Torn { .. } => return Err("it is gone".to_owned()),
        };
        let record = record::decode(body).map_err(|error| error.to_string())?;
        let change = Change::of(&record.body)?;
        let Summary { extent, intents, keys, .. } = &mut self.0;
        extent.check(record.at, &change, |key| keys.get(key).map(|key| key.past))?;
        if !read(index).knows(extent.entries + 1, place, &change) {
            return Err("the index has something else".to_owned());
        }
        extent.take(place, hash, record.at, &change);
        if let Change::Clock { .. } = &change {
            for key in keys.values_mut() {
                key.past.not_before(record.at);
            }
        }
        let Some(label) = change.key() else { return Ok(()) };
        if !keys.contains_key(label) {
            keys.insert(label.clone(), KeySummary::default());
        }
        let Some(key) = keys.get_mut(label) else { return Ok(()) };
        key.past.take(extent.entries, &change);
        match change {
            Change::Certificate { .. } => {
                *intents += 1;
                key.serials += 1;
            }
            Change::Revocation { .. } => key.revocations += 1,
            _ => {}
        }
        Ok(())
    }
}
