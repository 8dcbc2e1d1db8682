//! A TCP relay in front of a server: what stands for the network when it goes silent, or leads elsewhere.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};

/// A relay on the loopback address. It listens for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Relay {
    port: u16,
    target: Arc<Mutex<SocketAddr>>,
    /// Connections that began before the last freeze carry nothing any more.
    frozen: Arc<AtomicU64>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Listens, and leads to this port of the loopback address.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("listening")?;
        let relay = Self {
            port: listener.local_addr().context("listening")?.port(),
            target: Arc::new(Mutex::new(loopback(port))),
            frozen: Arc::default(),
            connections: Arc::default(),
        };
        let accepting = relay.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that refuses is a connection that ends.
                let _ = accepting.connect(client);
            }
        });
        Ok(relay)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing comes through on the connections that there are, and neither side is told. New ones work.
    pub fn freeze(&self) {
        self.frozen.fetch_add(1, Ordering::SeqCst);
    }

    /// New connections lead to this port; those that there are end.
    pub fn lead_to(&self, port: u16) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = loopback(port);
        for connection in self.connections.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    fn connect(&self, client: TcpStream) -> Result<()> {
        let target = *self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let server = TcpStream::connect(target).context("connecting")?;
        let began = self.frozen.load(Ordering::SeqCst);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.extend([client.try_clone()?, server.try_clone()?]);
        for (from, to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            let frozen = self.frozen.clone();
            thread::spawn(move || carry(from, to, &frozen, began));
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Carries octets one way. After a freeze they are swallowed, as by a network that loses them.
fn carry(mut from: TcpStream, mut to: TcpStream, frozen: &AtomicU64, began: u64) {
    let mut octets = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut octets) {
        if frozen.load(Ordering::SeqCst) != began {
            continue;
        }
        if to.write_all(&octets[..count]).is_err() {
            break;
        }
    }
    if frozen.load(Ordering::SeqCst) == began {
        // The other side may have ended by itself.
        let _ = to.shutdown(Shutdown::Write);
    }
}
