//! One live connection: a task that writes, a task that reads, and the requests that wait for their reply.
//!
//! When either task ends, every pending request fails at once and the next one connects anew.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{ClientError, Welcome, expect};
use crate::{
    codec::{self, FrameError, Limits},
    message::{PROTOCOL_VERSION, Reply, ReplyBody, Request, RequestBody},
};

/// Requests that wait to be written; more than this and callers wait their turn.
const WRITE_QUEUE: usize = 256;
/// A greeting that takes longer is a signer that doesn't work.
const CONNECT_TIME: Duration = Duration::from_secs(5);
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_LAST: Duration = Duration::from_secs(2);

/// The way to one socket: the present connection, or when the next attempt is due.
#[derive(Debug)]
pub(super) struct Link {
    socket: PathBuf,
    numbers: AtomicU64,
    state: tokio::sync::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Arc<Connection>>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    error: ClientError,
    retry_at: Instant,
    back_off: Duration,
}

impl Link {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, numbers: AtomicU64::new(1), state: tokio::sync::Mutex::default() }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// The live connection, made now if there is none. While the last failure is fresh it is told again instead,
    /// so that a signer that is down doesn't make everybody wait.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, ClientError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            if connection.is_alive() {
                return Ok(Arc::clone(connection));
            }
            state.connection = None;
        }
        if let Some(failure) = &state.failure
            && Instant::now() < failure.retry_at
        {
            return Err(failure.error.clone());
        }
        let attempt = tokio::time::timeout(CONNECT_TIME, Connection::open(&self.socket)).await;
        match attempt.unwrap_or_else(|_| Err(ClientError::unavailable("the signer does not greet"))) {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *state = State { connection: Some(Arc::clone(&connection)), failure: None };
                Ok(connection)
            }
            Err(error) => {
                let back_off = state
                    .failure
                    .as_ref()
                    .map_or(BACK_OFF_FIRST, |failure| (failure.back_off * 2).min(BACK_OFF_LAST));
                tracing::warn!(socket = %self.socket.display(), %error, ?back_off, "no connection to the signer");
                state.failure =
                    Some(Failure { error: error.clone(), retry_at: Instant::now() + back_off, back_off });
                Err(error)
            }
        }
    }
}

type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<ReplyBody>>>>>;

/// A greeted connection.
#[derive(Debug)]
pub(super) struct Connection {
    frames: mpsc::Sender<Vec<u8>>,
    /// `None` once the connection is dead.
    pending: Pending,
    welcome: Welcome,
    tasks: [tokio::task::AbortHandle; 2],
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Connection {
    async fn open(socket: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            ClientError::unavailable(format!("can't connect to {}: {error}", socket.display()))
        })?;
        let (reading, mut writing) = stream.into_split();
        let mut reading = BufReader::new(reading);
        let welcome = greet(&mut reading, &mut writing).await?;
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let (frames, queue) = mpsc::channel(WRITE_QUEUE);
        let reader = tokio::spawn(read_replies(reading, Arc::clone(&pending)));
        let writer = tokio::spawn(write_requests(writing, queue, Arc::clone(&pending)));
        Ok(Self { frames, pending, welcome, tasks: [reader.abort_handle(), writer.abort_handle()] })
    }

    fn is_alive(&self) -> bool {
        lock(&self.pending).is_some()
    }

    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a frame and waits for the reply with its number.
    pub(super) async fn ask(&self, number: u64, frame: Vec<u8>) -> Result<ReplyBody, ClientError> {
        let lost = || ClientError::unavailable("the connection to the signer was lost");
        let (sender, receiver) = oneshot::channel();
        lock(&self.pending).as_mut().ok_or_else(lost)?.insert(number, sender);
        let _forget = Forget { pending: &self.pending, number };
        self.frames.send(frame).await.map_err(|_| lost())?;
        receiver.await.map_err(|_| lost())
    }
}

/// Takes a request off the list however its future ends, also when it is dropped at its deadline.
struct Forget<'connection> {
    pending: &'connection Pending,
    number: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(pending) = lock(self.pending).as_mut() {
            pending.remove(&self.number);
        }
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<ReplyBody>>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn greet(
    reading: &mut BufReader<OwnedReadHalf>,
    writing: &mut OwnedWriteHalf,
) -> Result<Welcome, ClientError> {
    let failed = |error: FrameError| ClientError::unavailable(format!("greeting the signer failed: {error}"));
    let hello = Request {
        number: 0,
        deadline_ms: u32::try_from(CONNECT_TIME.as_millis()).unwrap_or(u32::MAX),
        body: RequestBody::Hello { version: PROTOCOL_VERSION },
    };
    let frame = codec::encode_request(&hello).map_err(failed)?;
    codec::write_frame(writing, &frame).await.map_err(failed)?;
    let body = codec::read_frame(reading, &Limits::CLIENT)
        .await
        .map_err(failed)?
        .ok_or_else(|| ClientError::unavailable("the signer closed the connection: is this user allowed?"))?;
    let reply: Reply = codec::decode(&body).map_err(failed)?;
    expect(reply.body, |reply| match reply {
        ReplyBody::Welcome { signer, keys } => Ok(Welcome { signer, keys }),
        other => Err(other),
    })
}

async fn read_replies(mut reading: BufReader<OwnedReadHalf>, pending: Pending) {
    let end = loop {
        match codec::read_frame(&mut reading, &Limits::CLIENT).await {
            Ok(Some(body)) => match codec::decode::<Reply>(&body) {
                Ok(reply) => {
                    let sender = lock(&pending).as_mut().and_then(|pending| pending.remove(&reply.number));
                    if let Some(sender) = sender {
                        // The caller may have given up between the two.
                        let _ = sender.send(reply.body);
                    }
                }
                Err(error) => break Some(error),
            },
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    if let Some(error) = end {
        tracing::warn!(%error, "the connection to the signer broke");
    }
    lock(&pending).take();
}

async fn write_requests(mut writing: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>, pending: Pending) {
    let mut ready = Vec::with_capacity(WRITE_QUEUE);
    while queue.recv_many(&mut ready, WRITE_QUEUE).await > 0 {
        // What others are about to send leaves with it.
        tokio::task::yield_now().await;
        while ready.len() < WRITE_QUEUE
            && let Ok(frame) = queue.try_recv()
        {
            ready.push(frame);
        }
        if let Err(error) = codec::write_frames(&mut writing, &ready).await {
            tracing::warn!(%error, "the connection to the signer broke");
            break;
        }
        ready.clear();
    }
    let _ = writing.shutdown().await;
    lock(&pending).take();
}
