//! Startup and shutdown. In order: configuration, journal, tokens (latch first), every key proven, then the socket. A
//! token that can't be used yet doesn't keep the signer down: it says so, to every caller when there is no other, and goes
//! on trying.

use std::{io, sync::Arc, time::Duration};

use rustix::process::Signal;
use sd_notify::NotifyState;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::{Config, Role},
    places::Use,
    server::{self, Server},
    service::Service,
    token::{Telling, TokenKey},
    tokens::{Overall, Tokens},
};
use crate::{
    clock,
    custody::socket,
    journal::{Journal, OpenError},
};

/// How often counts of OCSP responses go into the journal.
const SEAL_EVERY: Duration = Duration::from_mins(1);
/// How long requests may take to finish once the signer was told to stop.
const DRAIN: Duration = Duration::from_secs(15);

/// Why the signer didn't start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The socket.
    #[error("the socket {path:?} can't be opened")]
    Socket {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime or its signals.
    #[error("the signer can't run")]
    Runtime(#[source] io::Error),
}

/// Runs the signer until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`], before the first request was taken.
pub fn run(config: Config) -> Result<(), RunError> {
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    let outcome = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(config: Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Runtime)?;
    // A limit to the size of files is an error like a full disk's, not the end of the process.
    let _handled = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map_err(RunError::Runtime)?;
    let journal = Journal::open(&config.journal, clock::now)?;
    tracing::info!(
        signer = config.name,
        journal = %config.journal.display(),
        entries = journal.index().entries(),
        head = hex::encode(journal.index().head()),
        "journal opened"
    );
    let keys = token_keys(&config);
    let stop = CancellationToken::new();
    let custodians = custodians(&config, &stop)?;
    let tokens = Tokens::new(config.tokens, keys);
    let mut stopped = false;
    // A first verdict on the tokens, whatever it is; a stop may come while a module hangs.
    tokio::select! {
        () = tokens.settled() => {}
        _ = terminate.recv() => stopped = true,
        _ = interrupt.recv() => stopped = true,
    }
    if stopped {
        tokens.stop().await;
        return Ok(());
    }
    let service =
        Arc::new(Service::new(config.name.clone(), config.keys, journal, tokens.clone(), clock::now));
    let path = config.socket.path.clone();
    let server = Server::bind(config.socket, Arc::clone(&service), stop.clone())
        .map_err(|source| RunError::Socket { path: path.clone(), source })?;
    let serving = tokio::spawn(server.run(DRAIN));
    let telling = tokio::spawn(tell_readiness(config.name, path, tokens.clone()));
    let sealing = tokio::spawn(seal(Arc::clone(&service)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: finishing what was begun");
    stop.cancel();
    let _ = serving.await;
    if let Some(custodians) = custodians {
        let _ = custodians.await;
    }
    telling.abort();
    sealing.abort();
    service.seal_counters().await;
    tokens.stop().await;
    tracing::info!("signer stopped");
    Ok(())
}

/// Opens the socket on which custodians give their shares, where a PIN is theirs. It is there before any token is tried.
fn custodians(config: &Config, stop: &CancellationToken) -> Result<Option<JoinHandle<()>>, RunError> {
    let Some(settings) = &config.custody else { return Ok(None) };
    let vaults = config.tokens.iter().filter_map(|token| token.supply.vault().cloned()).collect();
    let listener = server::listen(&settings.path, settings.mode)
        .map_err(|source| RunError::Socket { path: settings.path.clone(), source })?;
    tracing::info!(socket = %settings.path.display(), "custodians give their shares here");
    let (path, ours) = (settings.path.clone(), server::identity(&settings.path).ok());
    let serving = socket::serve(listener, settings.allowed_uids.clone(), vaults, stop.clone());
    Ok(Some(tokio::spawn(async move {
        serving.await;
        // Another signer may have taken the name.
        if ours.is_some() && server::identity(&path).ok() == ours {
            let _ = std::fs::remove_file(&path);
        }
    })))
}

fn token_keys(config: &Config) -> Vec<TokenKey> {
    config
        .keys
        .iter()
        .map(|key| TokenKey {
            label: key.label().clone(),
            id: key.id.clone(),
            public_key: key.identity().public_key.clone(),
            public_key_der: key.identity().public_key_der.clone(),
            algorithm: key.identity().algorithm,
            used_for: match key.role {
                Role::Issuing(_) => Use::Issuing,
                Role::Ocsp(_) => Use::Ocsp,
            },
        })
        .collect()
}

/// Says in the log whenever the signer becomes ready or isn't. That what is away is being tried again is no news.
async fn tell_readiness(name: String, socket: std::path::PathBuf, tokens: Tokens) {
    let mut changes = tokens.changes();
    let (mut told, mut telling) = (None, Telling::default());
    loop {
        let overall = tokens.overall();
        let again = overall == Overall::Starting && matches!(told, Some(Overall::Down(_)));
        if !again && told.as_ref() != Some(&overall) {
            announce(&match &overall {
                Overall::Ready => {
                    telling.over();
                    tracing::info!(signer = name, socket = %socket.display(), "signer ready");
                    "signer ready".to_owned()
                }
                Overall::Starting => {
                    tracing::info!(signer = name, "signer not ready: the worker is being started");
                    "signer not ready: the worker is being started".to_owned()
                }
                Overall::Down(reason) => {
                    if telling.due(reason, Instant::now()).is_some() {
                        tracing::warn!(signer = name, reason, "signer not ready");
                    }
                    format!("signer not ready: {reason}")
                }
                Overall::LockedOut(remedy) => {
                    tracing::warn!(signer = name, remedy, "signer locked out");
                    format!("signer locked out: {remedy}")
                }
            });
            told = Some(overall);
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the service manager, where one started this, that the socket is open and what the verdict on the tokens is.
fn announce(verdict: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(verdict)]) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}

async fn seal(service: Arc<Service>) {
    let mut ticks = tokio::time::interval(SEAL_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        service.seal_counters().await;
    }
}
