//! Startup and shutdown. In order: configuration, journal, token (latch first), every key proven, then the socket. A
//! token that can't be used yet doesn't keep the signer down: it says so to every caller and goes on trying.

use std::{io, sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{
    clock,
    config::Config,
    latch::Latch,
    server::Server,
    service::Service,
    token::{State, Token, TokenKey},
};
use crate::journal::{Journal, OpenError};

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
    let token = Token::new(config.token.clone(), token_keys(&config), Latch::new(config.latch.clone()));
    let mut states = token.states();
    let mut stopped = false;
    // A first verdict on the token, whatever it is; a stop may come while a module hangs.
    tokio::select! {
        _ = states.wait_for(|state| !matches!(state, State::Starting)) => {}
        _ = terminate.recv() => stopped = true,
        _ = interrupt.recv() => stopped = true,
    }
    if stopped {
        token.stop().await;
        return Ok(());
    }
    let service =
        Arc::new(Service::new(config.name.clone(), config.keys, journal, token.clone(), clock::now));
    let stop = CancellationToken::new();
    let path = config.socket.path.clone();
    let server = Server::bind(config.socket, Arc::clone(&service), stop.clone())
        .map_err(|source| RunError::Socket { path: path.clone(), source })?;
    let serving = tokio::spawn(server.run(DRAIN));
    let telling = tokio::spawn(tell_readiness(config.name, path, token.states()));
    let sealing = tokio::spawn(seal(Arc::clone(&service)));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: finishing what was begun");
    stop.cancel();
    let _ = serving.await;
    telling.abort();
    sealing.abort();
    service.seal_counters().await;
    token.stop().await;
    tracing::info!("signer stopped");
    Ok(())
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
        })
        .collect()
}

/// Says in the log whenever the signer becomes ready or isn't.
async fn tell_readiness(name: String, socket: std::path::PathBuf, mut states: watch::Receiver<State>) {
    loop {
        match &*states.borrow_and_update() {
            State::Ready(_) => tracing::info!(signer = name, socket = %socket.display(), "signer ready"),
            State::Starting => tracing::info!(signer = name, "signer not ready: the worker is being started"),
            State::Down(reason) => tracing::warn!(signer = name, reason, "signer not ready"),
            State::LockedOut(remedy) => tracing::warn!(signer = name, remedy, "signer locked out"),
        }
        if states.changed().await.is_err() {
            return;
        }
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
