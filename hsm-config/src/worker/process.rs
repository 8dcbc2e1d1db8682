//! The worker's own main function: read the setup, log in, run lanes until the parent closes the pipe.
//!
//! The worker ends whenever its parent does, even while the module hangs. A panic ends the process: the parent
//! notices and starts another.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cryptoki::session::Session;
use rustix::process::{Signal, getpid, kill_process};

use super::frame;
use super::lane::Lane;
use super::module::{Module, OpenToken};
use super::protocol::{Command, CommandError, ErrorClass, FromWorker, Setup, SetupFailure, ToWorker};
use crate::token::TokenDescription;
use crate::vendor::{Behaviour, Threads};

/// How long lanes may take to finish what they do when the parent has closed the pipe.
const GRACE: Duration = Duration::from_secs(2);

type Job = (u64, Command);

/// Runs until the parent closes the pipe.
///
/// # Errors
/// When the pipe carries anything but this protocol.
pub fn run() -> io::Result<()> {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        previous(info);
        std::process::abort();
    }));
    let (from_parent, mut to_parent) = take_pipes()?;
    let mut from_parent = BufReader::with_capacity(64 * 1024, from_parent);
    let Some(first) = frame::read::<ToWorker>(&mut from_parent)? else {
        return Ok(());
    };
    let ToWorker::Setup(setup, behaviour) = first else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a request before the setup"));
    };
    let (lanes, queue) =
        setup.login.as_ref().map_or((1, 1), |login| (login.lanes.max(1), login.queue.max(1)));
    let lanes = if behaviour.threads == Threads::Single { 1 } else { lanes };
    let permit = |token: &TokenDescription| {
        frame::write(&FromWorker::LoginNext(token.clone()), &mut to_parent)?;
        match frame::read::<ToWorker>(&mut from_parent)? {
            Some(ToWorker::LogIn) => Ok(()),
            _ => Err(io::Error::other("the parent doesn't permit it")),
        }
    };
    match open(&setup, behaviour, permit) {
        Err(failure) => frame::write(&FromWorker::SetupFailed(failure), &mut to_parent),
        Ok((module, opened)) => {
            // The PIN isn't needed again.
            drop(setup);
            let (token, guard, description) = match opened {
                None => (None, None, None),
                Some((token, guard, description)) => (Some(Arc::new(token)), Some(guard), Some(description)),
            };
            frame::write(&FromWorker::Ready(description), &mut to_parent)?;
            // The login lasts as long as a session is open. Of several lanes the first keeps it. A single lane drops its
            // session after an error and goes on, so the login has another.
            let (guard, first) = if lanes > 1 { (None, guard) } else { (guard, None) };
            let result = serve(&mut from_parent, to_parent, &module, (token.as_ref(), first), lanes, queue);
            drop(guard);
            module.finalize();
            result
        }
    }
}

type Opened = (OpenToken, Session, TokenDescription);

fn open(
    setup: &Setup,
    behaviour: Behaviour,
    permit: impl FnOnce(&TokenDescription) -> io::Result<()>,
) -> Result<(Module, Option<Opened>), SetupFailure> {
    let module = Module::load(&setup.module, behaviour)?;
    let opened = match &setup.login {
        None => None,
        Some(login) => Some(module.open(&login.token, &login.pin, permit)?),
    };
    Ok((module, opened))
}

fn serve(
    from_parent: &mut BufReader<File>,
    to_parent: File,
    module: &Module,
    (token, mut first): (Option<&Arc<OpenToken>>, Option<Session>),
    lanes: u16,
    queue: u16,
) -> io::Result<()> {
    let call_every = token.and_then(|token| token.behaviour.call_every);
    let replies = Arc::new(Replies::new(to_parent));
    let (jobs, inbox) = sync_channel::<Job>(usize::from(queue));
    let inbox = Arc::new(Mutex::new(inbox));
    let lanes: Vec<JoinHandle<()>> = (0..lanes)
        .map(|number| {
            let mut lane = Lane::new(module.clone(), token.cloned(), first.take());
            let (inbox, replies) = (Arc::clone(&inbox), Arc::clone(&replies));
            thread::Builder::new()
                .name(format!("lane-{number}"))
                .spawn(move || run_lane(&mut lane, &inbox, &replies, call_every))
        })
        .collect::<io::Result<_>>()?;
    let result = read_commands(from_parent, &jobs, &replies);
    drop(jobs);
    thread::spawn(|| {
        thread::sleep(GRACE);
        // A lane hangs in the module; an orderly exit would hang as well.
        let _ = kill_process(getpid(), Signal::KILL);
    });
    for thread in lanes {
        let _ = thread.join();
    }
    result
}

fn read_commands(
    from_parent: &mut BufReader<File>,
    jobs: &SyncSender<Job>,
    replies: &Replies,
) -> io::Result<()> {
    loop {
        let (number, command) = match frame::read::<ToWorker>(from_parent)? {
            None => return Ok(()),
            Some(ToWorker::Request { number, command }) => (number, command),
            Some(ToWorker::Setup(..) | ToWorker::LogIn) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a second setup"));
            }
        };
        if let Err(TrySendError::Full((number, _)) | TrySendError::Disconnected((number, _))) =
            jobs.try_send((number, command))
        {
            let error =
                CommandError::own(ErrorClass::Busy, "QUEUE_FULL", "every lane is busy and the queue is full");
            replies.send(&FromWorker::Reply { number, result: Err(error), lane_us: 0 })?;
        }
    }
}

fn run_lane(lane: &mut Lane, inbox: &Mutex<Receiver<Job>>, replies: &Replies, call_every: Option<Duration>) {
    loop {
        let (number, command) = match next(inbox, call_every) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                lane.call();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let began = Instant::now();
        let result = lane.execute(command);
        let lane_us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        if let Err(error) = &result {
            // The parent knows what it means, and tells.
            tracing::debug!(class = ?error.class, "{error}");
        }
        if replies.send(&FromWorker::Reply { number, result, lane_us }).is_err() {
            // The parent is gone; its end of the pipe tells the reader, too.
            return;
        }
    }
}

/// The next job; a time-out when there was none for so long. The lock is held while waiting, which is what hands each job
/// to one lane, and has one of them notice that there is none.
fn next(inbox: &Mutex<Receiver<Job>>, call_every: Option<Duration>) -> Result<Job, RecvTimeoutError> {
    let inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
    match call_every {
        Some(pause) => inbox.recv_timeout(pause),
        None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// The way to the parent. Whichever lane finds nobody writing writes, with its own reply all those that come while it
/// does: no reply waits for another thread to wake up, and under load many leave together.
struct Replies {
    outbox: Mutex<Outbox>,
}

struct Outbox {
    frames: Vec<u8>,
    /// `None` while somebody writes.
    pipe: Option<File>,
    broken: bool,
}

impl Replies {
    fn new(to_parent: File) -> Self {
        let frames = Vec::with_capacity(64 * 1024);
        Self { outbox: Mutex::new(Outbox { frames, pipe: Some(to_parent), broken: false }) }
    }

    /// Fails when the parent is gone.
    fn send(&self, reply: &FromWorker) -> io::Result<()> {
        let mut outbox = self.lock();
        if let Err(error) = frame::encode(reply, &mut outbox.frames) {
            tracing::error!("a reply can't be encoded: {error}");
        }
        if outbox.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let Some(mut pipe) = outbox.pipe.take() else { return Ok(()) };
        let mut batch = Vec::new();
        let mut written = Ok(());
        while written.is_ok() && !outbox.frames.is_empty() {
            batch.clear();
            std::mem::swap(&mut batch, &mut outbox.frames);
            drop(outbox);
            written = pipe.write_all(&batch);
            outbox = self.lock();
        }
        outbox.broken = written.is_err();
        outbox.pipe = Some(pipe);
        written
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes standard input and output for the protocol and puts harmless ones in their place: a module that prints must
/// not break a frame.
fn take_pipes() -> io::Result<(File, File)> {
    let stdin: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let stdout: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok((File::from(stdin), File::from(stdout)))
}
