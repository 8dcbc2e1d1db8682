//! The socket: who may connect, how much at once, and how long a silence in mid-sentence is borne.
//!
//! Every peer is judged by the credentials that the kernel vouches for, then greets, then pipelines. A peer that
//! breaks the protocol loses its connection, never anybody else's.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use rustix::fs::Mode;
use signer_protocol::{
    codec::{self, FrameError, Limits, MAX_LARGE_FRAME},
    message::{PROTOCOL_VERSION, Refusal, RefusalCode, Reply, ReplyBody, Request, RequestBody},
};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, UCred},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::Socket,
    service::{Held, Service},
};

/// A reply that hasn't left in this time goes to a peer that doesn't read, which loses its connection. Revocations wait
/// so long at most for what is leaving.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// A connection that doesn't greet in this time is closed.
const HELLO_TIME: Duration = Duration::from_secs(10);
/// No request occupies the signer longer, whatever its deadline says.
const LONGEST: Duration = Duration::from_mins(1);
/// An answer has this part of a request's deadline, at most [`LONGEST_WAY`], to reach a caller that still waits.
const WAY: u32 = 20;
const LONGEST_WAY: Duration = Duration::from_millis(500);
/// Frames with CRLs in memory at once, over all connections.
const LARGE_FRAMES: usize = 2;
/// Replies that wait to be written on one connection.
const REPLIES: usize = 64;

/// The listening socket.
#[derive(Debug)]
pub(super) struct Server {
    listener: UnixListener,
    /// Device and inode of its file.
    file: (u64, u64),
    socket: Socket,
    service: Arc<Service>,
    connections: Arc<Semaphore>,
    large_frames: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Server {
    /// Binds the socket. A socket file that a killed signer left is replaced; one that answers is not.
    pub(super) fn bind(
        socket: Socket,
        service: Arc<Service>,
        stopping: CancellationToken,
    ) -> io::Result<Self> {
        let listener = listen(&socket.path, socket.mode)?;
        Ok(Self {
            file: identity(&socket.path)?,
            listener,
            connections: Arc::new(Semaphore::new(socket.max_connections.into())),
            large_frames: Arc::new(Semaphore::new(LARGE_FRAMES)),
            tasks: TaskTracker::new(),
            socket,
            service,
            stopping,
        })
    }

    /// Serves until told to stop, then finishes what was begun.
    pub(super) async fn run(self, drain: Duration) {
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream),
                    Err(error) => {
                        tracing::error!(%error, "accepting a connection failed");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        // First its name, then the socket: between the two another signer could have taken the name.
        if identity(&self.socket.path).is_ok_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.socket.path);
        }
        drop(self.listener);
        self.tasks.close();
        if timeout(drain, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests were not finished in time");
        }
    }

    /// Judges who connects, and lets them in.
    fn welcome(&self, stream: UnixStream) {
        let peer = match stream.peer_cred() {
            Ok(peer) => peer,
            Err(error) => return tracing::warn!(%error, "a peer without credentials: refused"),
        };
        if !self.socket.allowed_uids.contains(&peer.uid()) {
            return tracing::warn!(
                uid = peer.uid(),
                pid = peer.pid(),
                "this user may not use the signer: refused"
            );
        }
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            return tracing::warn!(
                uid = peer.uid(),
                limit = self.socket.max_connections,
                "too many connections: refused"
            );
        };
        let connection = Connection {
            service: Arc::clone(&self.service),
            peer,
            in_flight: Arc::new(Semaphore::new(self.socket.max_in_flight.into())),
            large_frames: Arc::clone(&self.large_frames),
            tasks: self.tasks.clone(),
            stopping: self.stopping.clone(),
        };
        self.tasks.spawn(async move {
            connection.run(stream).await;
            drop(permit);
        });
    }
}

/// Binds a socket with this mode. A file that a killed signer left is replaced; one that answers is not.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<UnixListener> {
    remove_stale(path)?;
    // Nobody can connect before the mode is the configured one.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!(
                    "{} is something else than a socket: remove it, or correct socket.path",
                    path.display()
                ),
            ));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another signer answers at {}", path.display()),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

struct Connection {
    service: Arc<Service>,
    peer: UCred,
    in_flight: Arc<Semaphore>,
    large_frames: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// A reply on its way out.
struct Leaving {
    frame: Vec<u8>,
    by: Instant,
    _held: Held,
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        &self.frame
    }
}

type Replies = mpsc::Sender<Leaving>;

impl Connection {
    async fn run(mut self, stream: UnixStream) {
        let (reading, writing) = stream.into_split();
        let (replies, queue) = mpsc::channel(REPLIES);
        self.tasks.spawn(write_replies(writing, queue));
        let mut reading = BufReader::new(reading);
        let stopping = self.stopping.clone();
        tokio::select! {
            ended = self.read_requests(&mut reading, &replies) => if let Err(error) = ended {
                tracing::warn!(
                    uid = self.peer.uid(),
                    pid = self.peer.pid(),
                    %error,
                    "a peer broke the protocol: connection closed"
                );
            },
            () = stopping.cancelled() => {}
        }
        // The writer ends when the last request has handed in its reply.
    }

    async fn read_requests(
        &mut self,
        reading: &mut BufReader<OwnedReadHalf>,
        replies: &Replies,
    ) -> Result<(), FrameError> {
        let hello = timeout(HELLO_TIME, codec::read_frame(reading, &Limits::SIGNER));
        let Some(hello) = hello.await.map_err(|_| FrameError::Stalled(HELLO_TIME))?? else { return Ok(()) };
        let request = codec::decode_request(&hello)?;
        let reply = self.greet(&request);
        let refused = matches!(reply, ReplyBody::Refused(_));
        if let ReplyBody::Refused(Refusal { detail, .. }) = &reply {
            tracing::warn!(
                uid = self.peer.uid(),
                pid = self.peer.pid(),
                detail,
                "a peer greeted wrongly: refused"
            );
        }
        send(replies, request.number, reply, Held::default()).await;
        if refused {
            return Ok(());
        }
        // The permit comes first: a peer with too much in flight is simply not read.
        loop {
            let permit = Arc::clone(&self.in_flight).acquire_owned().await.map_err(io::Error::other)?;
            let read = codec::read_gated_frame(reading, &Limits::SIGNER, Some(&self.large_frames)).await?;
            let Some((body, large)) = read else { return Ok(()) };
            let request = codec::decode_request(&body)?;
            drop(body);
            self.answer(request, replies.clone(), (permit, large));
        }
    }

    fn greet(&self, request: &Request) -> ReplyBody {
        match &request.body {
            RequestBody::Hello { version: PROTOCOL_VERSION } => {
                ReplyBody::Welcome { signer: self.service.name().to_owned(), keys: self.service.labels() }
            }
            RequestBody::Hello { version } => ReplyBody::Refused(Refusal {
                code: RefusalCode::Protocol,
                detail: format!("this signer speaks version {PROTOCOL_VERSION}, not {version}"),
            }),
            _ => ReplyBody::Refused(Refusal {
                code: RefusalCode::Protocol,
                detail: "the first message must be Hello".to_owned(),
            }),
        }
    }

    /// Answers in a task of its own, which ends even when the peer goes away: a retry then finds its intent signed.
    fn answer(
        &self,
        request: Request,
        replies: Replies,
        permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    ) {
        let service = Arc::clone(&self.service);
        let (uid, pid) = (self.peer.uid(), self.peer.pid());
        self.tasks.spawn(async move {
            let Request { number, deadline_ms, body } = request;
            let what = describe(&body);
            let (asked, limit) = (Instant::now(), Duration::from_millis(deadline_ms.into()).min(LONGEST));
            let way = (limit / WAY).min(LONGEST_WAY);
            // What waits inside gives up first and knows why.
            let mut answer = pin!(service.answer(body, asked + limit.saturating_sub(2 * way)));
            let (reply, held) = tokio::select! {
                answered = &mut answer => answered,
                () = sleep_until(asked + limit.saturating_sub(way)) => {
                    let reason = format!("no answer within {:?}; ask again with the same content", limit.saturating_sub(way));
                    send(&replies, number, ReplyBody::Unavailable { reason }, Held::default()).await;
                    // What was begun is finished and journaled all the same: asking again then finds it.
                    drop(answer.await);
                    return drop(permits);
                }
            };
            if let ReplyBody::Refused(refusal) = &reply {
                tracing::warn!(uid, pid, request = what, code = ?refusal.code, detail = refusal.detail, "refused");
            }
            send(&replies, number, reply, held).await;
            drop(permits);
        });
    }
}

/// A request for the log: its kind, key and intent, never its content.
fn describe(body: &RequestBody) -> String {
    match body {
        RequestBody::Hello { .. } => "Hello".to_owned(),
        RequestBody::SignCertificate { key, intent, .. } => format!("SignCertificate {:?} {intent}", key.0),
        RequestBody::SignCrl { key, .. } => format!("SignCrl {:?}", key.0),
        RequestBody::SignOcsp { key, .. } => format!("SignOcsp {:?}", key.0),
        RequestBody::Revoke { key, revocations, .. } => {
            format!("Revoke {:?}, {} certificates", key.0, revocations.len())
        }
        RequestBody::Recorded { intent } => format!("Recorded {intent}"),
        RequestBody::Entries { after, limit } => format!("Entries after {after}, {limit} at most"),
        RequestBody::Prove { key } => format!("Prove {:?}", key.0),
        RequestBody::Journal => "Journal".to_owned(),
        RequestBody::Certificates => "Certificates".to_owned(),
        RequestBody::Status => "Status".to_owned(),
    }
}

async fn send(replies: &Replies, number: u64, body: ReplyBody, held: Held) {
    let by = Instant::now() + WRITE_TIME;
    match codec::encode(&Reply { number, body }, MAX_LARGE_FRAME) {
        // Nobody to send to, or nobody who reads, is nobody to tell.
        Ok(frame) => drop(timeout_at(by, replies.send(Leaving { frame, by, _held: held })).await),
        Err(error) => tracing::error!(%error, "a reply can't be sent"),
    }
}

/// Writes replies, as many at a time as are ready.
async fn write_replies(mut writing: OwnedWriteHalf, mut queue: mpsc::Receiver<Leaving>) {
    let mut ready = Vec::with_capacity(REPLIES);
    while queue.recv_many(&mut ready, REPLIES).await > 0 {
        // What others are about to answer leaves with it.
        tokio::task::yield_now().await;
        while ready.len() < REPLIES
            && let Ok(reply) = queue.try_recv()
        {
            ready.push(reply);
        }
        let Some(by) = ready.iter().map(|reply| reply.by).min() else { continue };
        match timeout_at(by, codec::write_frames(&mut writing, &ready)).await {
            // What was held for them is let go.
            Ok(Ok(())) => ready.clear(),
            Ok(Err(error)) => return tracing::debug!(%error, "a peer went away"),
            Err(_) => return tracing::warn!("a peer doesn't read its replies: connection closed"),
        }
    }
    let _ = writing.shutdown().await;
}
