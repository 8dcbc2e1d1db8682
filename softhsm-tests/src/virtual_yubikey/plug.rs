//! A virtual YubiKey in a reader: a thread that serves vpcd, and the handle that pulls it out and puts it in.

use std::{
    fmt, io,
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::net::sockopt;
use vpicc::{Connection, VSmartCard};

use super::{
    card::{Card, Reaction},
    status::Status,
};

/// Between attempts to reach a vpcd that isn't there (yet).
const RETRY: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Inserted,
    Ejected,
    Stopped,
}

#[derive(Debug)]
struct Link {
    wish: Wish,
    stream: Option<TcpStream>,
}

/// When something happens at this computer, by the number of commands that the card has had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The next command is on its way, and the card hasn't seen it.
    Before(u64),
    /// The next command is done, and the answer hasn't left.
    After(u64),
}

/// What happens then.
struct Interlude(Moment, Box<dyn FnOnce() + Send>);

impl fmt::Debug for Interlude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interlude").field(&self.0).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    card: Mutex<Card>,
    interlude: Mutex<Option<Interlude>>,
    link: Mutex<Link>,
    changed: Condvar,
    /// How long it has worked on commands.
    busy: Mutex<Duration>,
}

/// A virtual YubiKey that is served by a thread. Dropping it pulls it out for good.
#[derive(Debug)]
pub struct VirtualYubiKey {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl VirtualYubiKey {
    /// Puts the card into the reader whose vpcd listens at `vpcd`; waits for a vpcd that isn't there yet.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn insert_into(vpcd: SocketAddr, card: Card) -> io::Result<Self> {
        let name = format!("yubikey-{}", card.profile().serial);
        let shared = Arc::new(Shared {
            card: Mutex::new(card),
            interlude: Mutex::default(),
            link: Mutex::new(Link { wish: Wish::Inserted, stream: None }),
            changed: Condvar::new(),
            busy: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name(name).spawn(move || served.serve(vpcd))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Has something happen once, while the card makes everybody wait.
    pub fn interrupt(&self, at: Moment, interlude: impl FnOnce() + Send + 'static) {
        *self.shared.interlude() = Some(Interlude(at, Box::new(interlude)));
    }

    /// Pulls it out. pcscd notices within half a second.
    pub fn eject(&self) {
        self.shared.wish(Wish::Ejected);
    }

    /// Puts it back in. pcscd notices within half a second.
    pub fn insert(&self) {
        self.shared.wish(Wish::Inserted);
    }

    /// How long it has worked on commands until now, without their way to it and back.
    pub fn busy(&self) -> Duration {
        *self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is meant to be in the reader; false after a misbehaviour pulled it out.
    pub fn is_inserted(&self) -> bool {
        self.shared.link().wish == Wish::Inserted
    }

    /// The device itself, to look at or to change its behaviour. It serves no command meanwhile.
    pub fn card(&self) -> MutexGuard<'_, Card> {
        self.shared.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for VirtualYubiKey {
    fn drop(&mut self) {
        self.shared.wish(Wish::Stopped);
        if let Some(thread) = self.thread.take() {
            // The thread can only have ended or panicked; neither is news to whoever drops the device.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interlude(&self) -> MutexGuard<'_, Option<Interlude>> {
        self.interlude.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happen(&self, now: Moment) {
        let due = self.interlude().take_if(|interlude| interlude.0 == now);
        if let Some(Interlude(_, interlude)) = due {
            interlude();
        }
    }

    fn wish(&self, wish: Wish) {
        let mut link = self.link();
        link.wish = wish;
        if wish != Wish::Inserted
            && let Some(stream) = link.stream.take()
        {
            // Already closed by the other side is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(link);
        self.changed.notify_all();
    }

    fn serve(self: Arc<Self>, vpcd: SocketAddr) {
        while self.wait_until_inserted() {
            let stream = match TcpStream::connect_timeout(&vpcd, CONNECT_TIMEOUT) {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::trace!(%vpcd, %error, "no vpcd there yet");
                    self.pause();
                    continue;
                }
            };
            match self.attach(stream) {
                Ok(Some(stream)) => {
                    if let Err(error) = self.converse(stream) {
                        tracing::debug!(%vpcd, %error, "the conversation with vpcd ended");
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%vpcd, %error, "the connection to vpcd can't be used"),
            }
            self.card.lock().unwrap_or_else(PoisonError::into_inner).reset();
            self.link().stream = None;
            self.pause();
        }
    }

    /// False when it is time to end.
    fn wait_until_inserted(&self) -> bool {
        let link = self
            .changed
            .wait_while(self.link(), |link| link.wish == Wish::Ejected)
            .unwrap_or_else(PoisonError::into_inner);
        link.wish == Wish::Inserted
    }

    /// A short wait that a new wish ends.
    fn pause(&self) {
        let link = self.link();
        if link.wish == Wish::Inserted {
            drop(self.changed.wait_timeout(link, RETRY));
        }
    }

    /// `None` when the card was pulled out while it was being put in.
    fn attach(&self, stream: TcpStream) -> io::Result<Option<TcpStream>> {
        stream.set_nodelay(true)?;
        let mut link = self.link();
        if link.wish != Wish::Inserted {
            return Ok(None);
        }
        link.stream = Some(stream.try_clone()?);
        Ok(Some(stream))
    }

    /// Until vpcd or a wish ends it.
    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let socket = stream.try_clone()?;
        let mut connection = Connection::from(stream);
        let mut served = Served { shared: self };
        loop {
            // vpcd writes a command's length and the command apart, and Nagle's algorithm holds the second back until
            // the first is acknowledged: 40 ms for each command. Linux forgets this option with each answer.
            sockopt::set_tcp_quickack(&socket, true)?;
            connection.poll(&mut served)?;
        }
    }
}

/// The card as the vpcd protocol sees it.
struct Served<'a> {
    shared: &'a Shared,
}

impl Served<'_> {
    fn card(&self) -> MutexGuard<'_, Card> {
        self.shared.card.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VSmartCard for Served<'_> {
    fn atr(&self) -> &[u8] {
        self.card().atr()
    }

    fn power_on(&mut self) {
        self.card().reset();
    }

    fn power_off(&mut self) {
        self.card().reset();
    }

    fn reset(&mut self) {
        self.card().reset();
    }

    fn execute(&mut self, bytes: &[u8]) -> Vec<u8> {
        let before = self.card().commands();
        self.shared.happen(Moment::Before(before));
        let began = Instant::now();
        let reaction = self.card().receive(bytes);
        *self.shared.busy.lock().unwrap_or_else(PoisonError::into_inner) += began.elapsed();
        self.shared.happen(Moment::After(before));
        match reaction {
            Reaction::Answer(answer) => answer,
            Reaction::PulledOut => {
                self.shared.wish(Wish::Ejected);
                // Nobody gets this: the stream is already closed.
                Status::INTERNAL.0.to_be_bytes().to_vec()
            }
        }
    }
}
