//! Free TCP ports for servers that only take a number.
//!
//! A lease binds its ports without listening, so that no other lease on this machine can get them, in whatever
//! process. Once bound, `SO_REUSEADDR` is set on the held socket, which lets the server that the number is meant for
//! (it sets the option too, as nearly all do) bind and listen while the lease is held. Ports are taken from below the
//! kernel's range for outgoing connections, so that none of those can be in the way.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::OwnedFd,
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt},
};

const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

/// Consecutive ports that stay reserved as long as this lives.
#[derive(Debug)]
pub struct PortLease {
    first: u16,
    held: Vec<OwnedFd>,
}

impl PortLease {
    /// One port.
    ///
    /// # Errors
    /// When none is free.
    pub fn one() -> Result<Self> {
        Self::consecutive(1)
    }

    /// `count` ports in a row.
    ///
    /// # Errors
    /// When there is no such row.
    pub fn consecutive(count: u16) -> Result<Self> {
        let span = LAST - FIRST + 1 - count;
        let start: u16 = rand::random_range(0..span);
        for offset in 0..span {
            let first = FIRST + (start + offset) % span;
            let held: Result<Vec<_>, _> = (first..first + count).map(hold).collect();
            match held {
                Ok(held) => return Ok(Self { first, held }),
                Err(Errno::ADDRINUSE | Errno::ACCESS) => {}
                Err(error) => return Err(error).context("reserving a port"),
            }
        }
        bail!("no {count} consecutive ports are free between {FIRST} and {LAST}")
    }

    /// The first port.
    pub fn port(&self) -> u16 {
        self.first
    }

    /// The first port on the loopback address.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first))
    }

    /// How many ports are held.
    pub fn count(&self) -> usize {
        self.held.len()
    }
}

/// Takes the port exclusively on all addresses, then opens it to one who reuses it.
fn hold(port: u16) -> Result<OwnedFd, Errno> {
    let socket =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_leased_port_serves_its_server_and_no_second_lease() {
        let lease = PortLease::consecutive(2).expect("ports");
        assert_eq!(hold(lease.port()).err(), Some(Errno::ADDRINUSE));
        assert_eq!(hold(lease.port() + 1).err(), Some(Errno::ADDRINUSE));
        let server = TcpListener::bind(lease.address()).expect("the server the port is meant for");
        drop(server);
        TcpListener::bind(lease.address()).expect("the same server, restarted");
    }
}
