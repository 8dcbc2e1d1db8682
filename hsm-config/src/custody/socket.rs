//! The custodians' socket: a running signer takes shares on it, from users that the kernel vouches for, and from nobody
//! else. It knows two requests, how things stand and a share, and says each time how things stand now.
//!
//! A message is a length of four octets, big-endian, and JSON.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    os::unix::net::UnixStream as BlockingStream,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    share::{Share, to_json},
    vault::{Standing, Vault},
};

/// A share needs a fraction of it.
const MAX_BYTES: usize = 16 * 1024;
/// A peer that takes longer over a message isn't served.
const TIME: Duration = Duration::from_secs(10);
/// Connections at once: no custodian needs more than one, and the signer's other socket needs descriptors, too.
const CONNECTIONS: usize = 32;

/// Where custodians reach a signer, and who may.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Users who may connect.
    pub allowed_uids: BTreeSet<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Status,
    Share(Share),
}

/// What a signer answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Standings(Vec<Standing>),
    Taken(Standing),
    Refused(String),
}

/// Serves a bound socket until told to stop.
pub(crate) async fn serve(
    listener: UnixListener,
    allowed_uids: BTreeSet<u32>,
    vaults: Vec<Vault>,
    stopping: CancellationToken,
) {
    let (vaults, connections) = (Arc::new(vaults), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let stream = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "accepting a custodian's connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let uid = match stream.peer_cred() {
            Ok(peer) if allowed_uids.contains(&peer.uid()) => peer.uid(),
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), pid = peer.pid(), "this user may give no shares: refused");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "a custodian without credentials: refused");
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            tracing::warn!(uid, limit = CONNECTIONS, "too many custodians' connections: refused");
            continue;
        };
        let vaults = Arc::clone(&vaults);
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = converse(stream, &vaults, uid).await {
                tracing::debug!(uid, %error, "a custodian's connection ended");
            }
        });
    }
}

async fn converse(mut stream: UnixStream, vaults: &[Vault], uid: u32) -> io::Result<()> {
    loop {
        let mut prefix = [0; 4];
        match timeout(TIME, stream.read_exact(&mut prefix)).await? {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut body = Zeroizing::new(vec![0; checked(prefix)?]);
        timeout(TIME, stream.read_exact(&mut body)).await??;
        let answer = match decode(&body)? {
            Request::Status => Answer::Standings(vaults.iter().map(Vault::standing).collect()),
            Request::Share(share) => take(vaults, &share, uid),
        };
        let message = encode(&answer)?;
        timeout(TIME, stream.write_all(&message)).await??;
    }
}

fn take(vaults: &[Vault], share: &Share, uid: u32) -> Answer {
    // The set it is for, or, when it is for none, the first, which then says so.
    let vault = vaults.iter().find(|vault| vault.standing().set == share.set).or(vaults.first());
    let Some(vault) = vault else { return Answer::Refused("this signer needs no custodians".to_owned()) };
    match vault.give(share) {
        Ok(standing) => {
            tracing::info!(
                uid,
                custodian = share.custodian,
                set = standing.name,
                generation = standing.generation,
                "{}",
                standing.words()
            );
            Answer::Taken(standing)
        }
        Err(reason) => {
            tracing::warn!(uid, custodian = share.custodian, reason, "a share was refused");
            Answer::Refused(reason)
        }
    }
}

/// Why a signer has no share now.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// Nobody there.
    #[error("no signer takes shares at {path:?}: is it running, and may this user connect?")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("the signer refused: {0}")]
    Refused(String),
    /// It answered something else.
    #[error("the signer at {0:?} speaks another language: are both of the same version?")]
    Confused(PathBuf),
}

/// Gives an opened share to the signer at a socket.
///
/// # Errors
/// [`GiveError`].
pub fn give(socket: &Path, share: Share) -> Result<Standing, GiveError> {
    match ask(socket, &Request::Share(share))? {
        Answer::Taken(standing) => Ok(standing),
        Answer::Refused(reason) => Err(GiveError::Refused(reason)),
        Answer::Standings(_) => Err(GiveError::Confused(socket.to_owned())),
    }
}

/// How the sets of the signer at a socket stand.
///
/// # Errors
/// [`GiveError`].
pub fn standings(socket: &Path) -> Result<Vec<Standing>, GiveError> {
    match ask(socket, &Request::Status)? {
        Answer::Standings(standings) => Ok(standings),
        Answer::Refused(reason) => Err(GiveError::Refused(reason)),
        Answer::Taken(_) => Err(GiveError::Confused(socket.to_owned())),
    }
}

fn ask(socket: &Path, request: &Request) -> Result<Answer, GiveError> {
    let exchange = || {
        let mut stream = BlockingStream::connect(socket)?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        stream.write_all(&encode(request)?)?;
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix)?;
        let mut body = vec![0; checked(prefix)?];
        stream.read_exact(&mut body)?;
        decode(&body)
    };
    exchange().map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => GiveError::Confused(socket.to_owned()),
        _ => GiveError::Unreachable { path: socket.to_owned(), source },
    })
}

fn encode(message: &impl Serialize) -> io::Result<Zeroizing<Vec<u8>>> {
    let json = to_json(message).ok_or_else(|| io::Error::other("no JSON"))?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut frame = Zeroizing::new(Vec::with_capacity(json.len() + 4));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}

fn checked(prefix: [u8; 4]) -> io::Result<usize> {
    match usize::try_from(u32::from_be_bytes(prefix)) {
        Ok(length) if length <= MAX_BYTES => Ok(length),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a message longer than any")),
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    // What is wrong isn't told: it may quote the content.
    serde_json::from_slice(body).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no message"))
}
