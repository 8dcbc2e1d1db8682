//! Free TCP ports for servers that only take a number, and the ports that a process listens on.
//!
//! A lease binds its ports without listening, so that no other lease on this machine can get them, in whatever
//! process. Once bound, `SO_REUSEADDR` is set on the held socket, which lets the server that the number is meant for
//! (it sets the option too, as nearly all do) bind and listen while the lease is held. Ports are taken from below the
//! kernel's range for outgoing connections, so that none of those can be in the way.

use std::{
    collections::HashSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4},
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

/// The TCP addresses that a process listens on, as Linux tells (`proc(5)`).
///
/// # Errors
/// When the process is gone or another user's.
pub fn listeners(process: u32) -> Result<Vec<SocketAddr>> {
    let mut sockets = HashSet::new();
    let descriptors = format!("/proc/{process}/fd");
    for entry in fs::read_dir(&descriptors).with_context(|| format!("reading {descriptors}"))? {
        // A descriptor may be closed while the list is read.
        if let Ok(target) = fs::read_link(entry.context("reading a descriptor")?.path()) {
            sockets.insert(target.to_string_lossy().into_owned());
        }
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/{process}/net/{table}");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, local, _, LISTENING, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            if sockets.contains(&format!("socket:[{inode}]")) {
                found.push(address(local).with_context(|| format!("reading {path}: {local}"))?);
            }
        }
    }
    Ok(found)
}

/// `TCP_LISTEN`.
const LISTENING: &str = "0A";

/// Hexadecimal words of 32 bits, each in the byte order of the machine, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let octets: Vec<u8> = words
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?
        .concat();
    let ip = match octets.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
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

    #[test]
    fn listeners_of_both_families_are_seen() {
        let open = |address: &str| TcpListener::bind(address).expect("a listener");
        let servers = [open("127.0.0.1:0"), open("0.0.0.0:0"), open("[::1]:0")];
        let seen = listeners(std::process::id()).expect("a list");
        for server in &servers {
            let address = server.local_addr().expect("an address");
            assert!(seen.contains(&address), "{address} is missing in {seen:?}");
        }
        let lease = PortLease::one().expect("a port");
        let seen = listeners(std::process::id()).expect("a list");
        assert!(!seen.iter().any(|address| address.port() == lease.port()), "a lease listens");
    }
}
