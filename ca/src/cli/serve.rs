//! `inro-ca serve`: checks, then the listeners and jobs until SIGTERM or SIGINT.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::warnings,
    doctor,
    exit::{CliError, Exit},
};
use crate::{
    config::Config,
    http::{
        api, client_verifier::CustomerVerifier, connection::Listener, layers, ops, portal, tls, validation,
    },
    material::{self, Material},
    wiring::{self, Adapters, Server},
};

/// Bodies are small everywhere; routes that take more set a limit of their own.
const BODY_LIMIT: usize = 64 * 1024;
/// The portal's largest form ticks every user of the largest plan.
const FORM_LIMIT: usize = 16 * 1024;

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    for warning in warnings(&config) {
        tracing::warn!("{warning}");
    }
    let material = material::load(&config).map_err(CliError::configuration)?;
    let adapters = Adapters::open(&config).await.map_err(CliError::configuration)?;
    doctor::prove_keys(&config, &material, &adapters).await?;
    let listeners = Listeners::bind(&config, &material).await?;
    let max_connections = config.listen.max_connections;
    let node = config.node.name.clone();
    let server = wiring::server(config, &material, &adapters).map_err(CliError::configuration)?;
    let stop = stop_on_signal()?;
    tracing::info!(
        %node,
        public = %listeners.public.1,
        client = %listeners.client.1,
        validation = %listeners.validation.1,
        ops = %listeners.ops.1,
        "serving"
    );
    serve(server, listeners, max_connections, &stop).await;
    tracing::info!("ended");
    Ok(())
}

/// The bound sockets with their addresses, and TLS for two of them.
struct Listeners {
    public: (TcpListener, SocketAddr),
    client: (TcpListener, SocketAddr),
    validation: (TcpListener, SocketAddr),
    ops: (TcpListener, SocketAddr),
    public_tls: Arc<rustls::ServerConfig>,
    client_tls: Arc<rustls::ServerConfig>,
}

impl Listeners {
    async fn bind(config: &Config, material: &Material) -> Result<Self, CliError> {
        let identity = material::server_identity(&config.tls).map_err(CliError::configuration)?;
        let customer = config.issuers.iter().position(|issuer| issuer.id == config.customer_issuer().id);
        let issuing = customer.and_then(|position| material.issuers.get(position));
        let issuing = issuing.context("there is no customer issuer").map_err(CliError::configuration)?;
        let verifier = CustomerVerifier::new(&issuing.certificate).map_err(CliError::configuration)?;
        Ok(Self {
            public_tls: tls::public(&identity).map_err(CliError::configuration)?,
            client_tls: tls::with_customer_certificates(&identity, verifier)
                .map_err(CliError::configuration)?,
            public: bind("listen.public", config.listen.public).await?,
            client: bind("listen.client", config.listen.client).await?,
            validation: bind("listen.validation", config.listen.validation).await?,
            ops: bind("listen.ops", config.listen.ops).await?,
        })
    }
}

async fn bind(key: &str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), CliError> {
    let socket = TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: can't listen on {address}; is another program there already?"))
        .map_err(|error| CliError { exit: Exit::Configuration, error })?;
    let bound = socket.local_addr()?;
    Ok((socket, bound))
}

fn stop_on_signal() -> Result<CancellationToken, CliError> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to end; finishing what is under way");
        asked.cancel();
    });
    Ok(stop)
}

async fn serve(server: Server, listeners: Listeners, max_connections: usize, stop: &CancellationToken) {
    let metrics = server.metrics.clone();
    let (store, rng) = (server.store.clone(), server.rng.clone());
    let public = layers::private(portal::public_router(server.top).merge(api::router(server.api)));
    let client = layers::private(portal::router(server.portal));
    let listener = |name, (socket, _): (TcpListener, SocketAddr), tls, router, body_limit| Listener {
        name,
        socket,
        tls,
        router: layers::common(router, name, metrics.clone(), rng.clone(), body_limit),
        max_connections,
    };
    let all = [
        listener("public", listeners.public, Some(listeners.public_tls), public, BODY_LIMIT),
        listener("client", listeners.client, Some(listeners.client_tls), client, FORM_LIMIT),
        listener("validation", listeners.validation, None, validation::router(server.validation), BODY_LIMIT),
        listener("ops", listeners.ops, None, ops::router(server.ops), FORM_LIMIT),
    ];
    let mut jobs = server.jobs.start(stop);
    let mut serving = JoinSet::new();
    for one in all {
        serving.spawn(one.serve(stop.clone()));
    }
    while serving.join_next().await.is_some() {}
    while jobs.join_next().await.is_some() {}
    store.close().await;
}
