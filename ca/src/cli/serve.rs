//! `inro-ca serve`: checks, then the listeners and jobs until SIGTERM or SIGINT.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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
    config::{Config, Shutdown},
    http::{
        api,
        client_verifier::ClientVerifier,
        clients::Clients,
        connection::{Listener, Service},
        ending::Ending,
        forwarded::Forwarding,
        gate::Gate,
        late::Late,
        layers, machine, openapi, ops, portal, staff, tls, validation,
    },
    jobs::TlsFiles,
    material::{self, Material, Proxies},
    wiring::{self, Adapters, Server},
};

/// Bodies are small everywhere; routes that take more set a limit of their own.
const BODY_LIMIT: usize = 64 * 1024;
/// The portal's largest form ticks every user of the largest plan.
const FORM_LIMIT: usize = 16 * 1024;
/// When all else has ended, a scrape that is under way may take so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) async fn run(config: Config) -> Result<(), CliError> {
    for warning in warnings(&config) {
        tracing::warn!("{warning}");
    }
    let material = material::load(&config).map_err(CliError::configuration)?;
    let adapters = Adapters::open(&config).await.map_err(CliError::configuration)?;
    doctor::prove_keys(&config, &material, &adapters).await?;
    let listeners = Listeners::bind(&config, &material).await?;
    let max_connections = config.listen.max_connections;
    let ending = Ending::new(config.shutdown);
    let node = config.node.name.clone();
    let server = wiring::server(config, &material, &adapters).await.map_err(CliError::configuration)?;
    end_on_signal(&ending, &server)?;
    tracing::info!(
        %node,
        public = %listeners.public.1,
        client = %listeners.client.1,
        validation = %listeners.validation.1,
        ops = %listeners.ops.1,
        staff = listeners.staff.as_ref().map(|staff| tracing::field::display(staff.socket.1)),
        "serving"
    );
    // Where one started this.
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(%error, "the service manager can't be told");
    }
    serve(server, listeners, max_connections, ending).await;
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
    client_verifier: Arc<ClientVerifier>,
    clients: Arc<Clients>,
    /// Where there are reverse proxies in front of the public listener.
    proxies: Option<Arc<Clients>>,
    staff: Option<StaffListener>,
    tls: TlsFiles,
}

impl Listeners {
    async fn bind(config: &Config, material: &Material) -> Result<Self, CliError> {
        let identity = material::server_identity(&config.tls).map_err(CliError::configuration)?;
        let current = Arc::new(tls::CurrentIdentity::new(&identity).map_err(CliError::configuration)?);
        let issuing = material::customer(config, &material.issuers).map_err(CliError::configuration)?;
        let clients = Arc::new(wiring::clients(config, material).map_err(CliError::configuration)?);
        let verifier = ClientVerifier::new(&issuing.certificate, clients.clone());
        let verifier = Arc::new(verifier.map_err(CliError::configuration)?);
        let behind = !material.proxies.is_empty();
        let proxies = behind.then(|| Arc::new(Clients::proxies_only(material.proxies.clone())));
        let of_proxies = proxies.clone().map(|proxies| Arc::new(ClientVerifier::of_proxies(proxies)));
        Ok(Self {
            public_tls: tls::public(current.clone(), of_proxies).map_err(CliError::configuration)?,
            client_tls: tls::with_client_certificates(current.clone(), verifier.clone())
                .map_err(CliError::configuration)?,
            staff: StaffListener::bind(config, material, &current).await?,
            client_verifier: verifier,
            clients,
            proxies,
            tls: TlsFiles { files: config.tls.clone(), taken_up: identity, current },
            public: bind("listen.public", config.listen.public).await?,
            client: bind("listen.client", config.listen.client).await?,
            validation: bind("listen.validation", config.listen.validation).await?,
            ops: bind("listen.ops", config.listen.ops).await?,
        })
    }
}

/// The console's socket. Its clients are who the staff CA issued a certificate, and nobody else.
struct StaffListener {
    socket: (TcpListener, SocketAddr),
    tls: Arc<rustls::ServerConfig>,
    clients: Arc<Clients>,
}

impl StaffListener {
    async fn bind(
        config: &Config,
        material: &Material,
        identity: &Arc<tls::CurrentIdentity>,
    ) -> Result<Option<Self>, CliError> {
        let Some((address, issuer)) = config.listen.staff.zip(material.staff_issuer.as_ref()) else {
            return Ok(None);
        };
        // No proxies: the console is reached straight, from the bank's own network.
        let clients = Clients::new(issuer, &[], Proxies::default()).map_err(CliError::configuration)?;
        let clients = Arc::new(clients);
        let verifier = ClientVerifier::new(issuer, clients.clone()).map_err(CliError::configuration)?;
        let tls = tls::with_client_certificates(identity.clone(), Arc::new(verifier));
        let tls = tls.map_err(CliError::configuration)?;
        Ok(Some(Self { socket: bind("listen.staff", address).await?, tls, clients }))
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

/// The first signal begins the end, the second one hurries it.
fn end_on_signal(ending: &Ending, server: &Server) -> Result<(), CliError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (ending, readiness) = (ending.clone(), server.readiness.clone());
    tokio::spawn(async move {
        let mut asked = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        asked().await;
        tracing::info!("asked to end; not ready any more, finishing what is under way");
        readiness.drain();
        let beginning = tokio::spawn({
            let ending = ending.clone();
            async move { ending.begin().await }
        });
        asked().await;
        tracing::warn!("asked again: ending at once");
        ending.hurry();
        drop(beginning);
    });
    Ok(())
}

/// TLS, and whose certificates are asked for; plain HTTP without.
#[derive(Default)]
struct Secured {
    tls: Option<Arc<rustls::ServerConfig>>,
    clients: Option<Arc<Clients>>,
}

async fn serve(server: Server, listeners: Listeners, max_connections: usize, ending: Ending) {
    let (metrics, store, rng) = (server.metrics.clone(), server.store.clone(), server.rng.clone());
    let gate = Gate::new(server.accords.clone(), server.api.clock.clone());
    let forwarding = |verifier| Forwarding { verifier, ..server.forwarding.clone() };
    let private =
        |verifier, late: Late, routes| layers::private(late.before(forwarding(verifier).before(routes)));
    let listener = |name,
                    (socket, _): (TcpListener, SocketAddr),
                    secured: Secured,
                    (routes, limit),
                    end: &Ending| {
        let router = layers::common(routes, name, metrics.clone(), rng.clone(), limit);
        let (Secured { tls, clients }, metrics, ending) = (secured, metrics.clone(), end.clone());
        Listener { socket, max_connections, service: Service { name, tls, clients, router, metrics, ending } }
    };
    let late = Late::Problem(server.api.clock.clone());
    let api = gate.before_api(api::router(server.api).merge(openapi::router(server.document)));
    let pages = gate.before(portal::public_router(server.public));
    let public = private(None, Late::Text, pages).merge(private(None, late.clone(), api));
    let verifier = Some(listeners.client_verifier);
    let machines = private(verifier.clone(), late, gate.before_api(machine::router(server.machines)));
    let pages = gate.before(portal::router(server.portal.clone()));
    let client = private(verifier, portal::late(server.portal), pages).merge(machines);
    let validation = Late::Text.before(gate.before(validation::router(server.validation)));
    let secured = Secured { tls: Some(listeners.public_tls), clients: listeners.proxies };
    let mut all = vec![listener("public", listeners.public, secured, (public, BODY_LIMIT), &ending)];
    let secured = Secured { tls: Some(listeners.client_tls), clients: Some(listeners.clients) };
    all.push(listener("client", listeners.client, secured, (client, FORM_LIMIT), &ending));
    let plain = Secured::default();
    all.push(listener("validation", listeners.validation, plain, (validation, BODY_LIMIT), &ending));
    if let Some((StaffListener { socket, tls, clients }, console)) = listeners.staff.zip(server.console) {
        let secured = Secured { tls: Some(tls), clients: Some(clients) };
        let console = private(None, staff::late(), gate.before(staff::router(console)));
        all.push(listener("staff", socket, secured, (console, FORM_LIMIT), &ending));
    }
    // Health and metrics are told to the last, and for what follows nobody waits.
    let end = Ending::new(Shutdown { pause: Duration::ZERO, deadline: LAST_WORDS });
    let ops = Late::Text.before(ops::router(server.ops));
    let ops = listener("ops", listeners.ops, Secured::default(), (ops, FORM_LIMIT), &end);
    let ops = tokio::spawn(ops.serve());

    let stop_jobs = CancellationToken::new();
    let mut jobs = server.jobs.start(listeners.tls, &stop_jobs);
    let mut serving: JoinSet<()> = all.into_iter().map(Listener::serve).collect();
    while serving.join_next().await.is_some() {}
    if ending.grace(server.detached.ended()).await.is_none() {
        tracing::warn!(
            count = server.detached.count(),
            "use cases are cut off; the next start carries them on from what is durable"
        );
    }
    stop_jobs.cancel();
    while jobs.join_next().await.is_some() {}
    store.close().await;
    end.begin().await;
    drop(ops.await);
}
