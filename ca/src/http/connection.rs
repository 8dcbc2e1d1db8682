//! The accept loop of a listener: bounded connections, handshakes and headers with deadlines, slow peers dropped,
//! connections drained at the end.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, header},
};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    clients::{Clients, Identity},
    ending::Ending,
    progress::{Pace, Progress},
};
use crate::metrics::Metrics;

/// A TLS handshake may take so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The same where people are asked for a certificate: one of them may be typing the token's PIN in the middle of it, as
/// with keys in slot 9c at each handshake. Browsers give up after half a minute.
const HANDSHAKE_BY_HAND: Duration = Duration::from_secs(40);
/// A request's header may take so long.
const HEADER: Duration = Duration::from_secs(10);
/// A connection that was made shortly before the end has so long for its first request.
const FIRST: Duration = Duration::from_secs(2);
/// A connection on which nothing moves for so long, in either direction, is dropped. Longer than any request takes.
const STALLED: Duration = Duration::from_secs(45);
/// A peer that is behind with its answers takes so many octets a second on the average: what the slowest lines carry. A
/// large CRL would occupy a place for days otherwise, octet by octet.
const SLOWEST: u64 = 8 * 1024;
/// A connection over HTTP/2 that carried no request for so long is closed. Over HTTP/1.1 the deadline of the next header
/// does it; here the answers to pings would keep a place occupied for ever.
const IDLE: Duration = Duration::from_mins(1);
/// Answers over HTTP/2 that are still being read when it is closed may take so long: how fast is in its peer's hands there,
/// by windows that the connection's own pace doesn't show.
const LAST: Duration = Duration::from_mins(30);
/// At the most so much of a request's header.
const HEADER_BYTES: u32 = 32 * 1024;

/// Who is at the other end of a connection, in the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where from.
    pub(crate) address: SocketAddr,
    /// Who, by the certificate whose key the TLS handshake proved; on the client-certificate listener only.
    pub(crate) identity: Identity,
}

impl Peer {
    /// By what a source of requests is throttled: an IPv4 address, or the /64 that an IPv6 host can move in.
    pub(crate) fn throttled_as(&self) -> String {
        match self.address.ip().to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

/// A listener.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) max_connections: usize,
    pub(crate) service: Service,
}

/// What a listener's connections are served with.
#[derive(Clone)]
pub(crate) struct Service {
    /// In logs and metrics: `public`, `client`, `validation`, `ops`.
    pub(crate) name: &'static str,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Whose certificates are asked for.
    pub(crate) clients: Option<Arc<Clients>>,
    pub(crate) router: Router,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ending: Ending,
}

/// The open connections of a listener.
struct Open {
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Ends them all at once.
    cut: CancellationToken,
}

impl Listener {
    /// Serves until the closing, then finishes the requests that are under way, within their deadline.
    pub(crate) async fn serve(self) {
        let Self { socket, max_connections, service } = self;
        service.metrics.http.limit(service.name, max_connections);
        let open = Open {
            slots: Arc::new(Semaphore::new(max_connections)),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
        };
        loop {
            let accepted = tokio::select! {
                () = service.ending.closing() => break,
                accepted = accept(&socket, &open.slots) => accepted,
            };
            match accepted {
                Ok((stream, address, slot)) => open.spawn(&service, stream, address, slot),
                Err(error) => {
                    // Out of file descriptors, for example: the loop must not spin.
                    tracing::warn!(listener = service.name, %error, "a connection couldn't be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        if let Err(error) = open.take_last(&service, socket) {
            tracing::warn!(listener = service.name, %error, "waiting connections couldn't be accepted");
        }
        open.tasks.close();
        if service.ending.grace(open.tasks.wait()).await.is_none() {
            tracing::warn!(listener = service.name, "some requests didn't finish in time");
        }
        open.cut.cancel();
    }
}

async fn accept(
    socket: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = socket.accept().await?;
    Ok((stream, address, slot))
}

impl Open {
    fn spawn(&self, service: &Service, stream: TcpStream, address: SocketAddr, slot: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(listener = service.name, %error, "a connection stays slow");
        }
        let connected = service.metrics.http.connected(service.name);
        let serving = Box::pin(service.clone().serve(stream, address));
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            cut.run_until_cancelled_owned(serving).await;
            drop((connected, slot));
        });
    }

    /// Closes the socket, but serves who stood in its queue: for them the connection is made already.
    fn take_last(&self, service: &Service, socket: TcpListener) -> io::Result<()> {
        let queue = socket.into_std()?;
        while let Ok(slot) = self.slots.clone().try_acquire_owned() {
            let (stream, address) = match queue.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            self.spawn(service, TcpStream::from_std(stream)?, address, slot);
        }
        Ok(())
    }
}

/// What a connection speaks. It is never guessed from its first octets: hyper waits for those without a deadline.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    /// Chosen in the TLS handshake.
    Http2,
}

impl Service {
    async fn serve(self, stream: TcpStream, address: SocketAddr) {
        let stream = Progress::new(stream, Pace { patience: STALLED, slowest: SLOWEST });
        let Some(config) = self.tls.clone() else {
            let peer = Peer { address, identity: Identity::Nobody };
            return self.serve_http(Protocol::Http1, stream, peer).await;
        };
        let by_hand = self.clients.as_ref().is_some_and(|clients| clients.asks_people());
        let patience = if by_hand { HANDSHAKE_BY_HAND } else { HANDSHAKE };
        match timeout(patience, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => {
                let peer = Peer { address, identity: self.identity(stream.get_ref().1) };
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = if is_h2 { Protocol::Http2 } else { Protocol::Http1 };
                self.serve_http(protocol, stream, peer).await;
            }
            Ok(Err(error)) => {
                self.metrics.http.handshake_failed(self.name);
                tracing::debug!(listener = self.name, peer = %address, %error, "TLS handshake failed");
            }
            Err(_) => {
                self.metrics.http.handshake_failed(self.name);
                tracing::debug!(listener = self.name, peer = %address, "TLS handshake took too long");
            }
        }
    }

    fn identity(&self, connection: &rustls::ServerConnection) -> Identity {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let identified =
            self.clients.as_ref().zip(certificate).map(|(c, certificate)| c.identify(certificate));
        // The verifier has read it before, so it can be read.
        identified.and_then(Result::ok).unwrap_or(Identity::Nobody)
    }

    async fn serve_http(
        self,
        protocol: Protocol,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) {
        let (name, address, ending) = (self.name, peer.address, self.ending.clone());
        let (usage, used) = watch::channel(Usage::default());
        let usage = Arc::new(usage);
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let under_way = UnderWay::begin(usage.clone());
            let (router, ending) = (self.router.clone(), self.ending.clone());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            async move {
                let mut response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
                if protocol == Protocol::Http1 && ending.is_draining() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                drop(under_way);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = builder(protocol)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = may_close(&ending, protocol, used.clone()) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = is_idle(protocol, used, IDLE) => {
                connection.as_mut().graceful_shutdown();
                timeout(LAST, connection).await.unwrap_or_else(|late| Err(late.into()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(listener = name, peer = %address, error = %error, "a connection broke");
        }
    }
}

/// What a connection is used for.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// Requests so far.
    begun: u64,
    /// Those that aren't answered yet.
    under_way: usize,
}

/// A request that isn't answered yet; also one that is given up ends.
struct UnderWay(Arc<watch::Sender<Usage>>);

impl UnderWay {
    fn begin(usage: Arc<watch::Sender<Usage>>) -> Self {
        usage.send_modify(|usage| {
            usage.begun += 1;
            usage.under_way += 1;
        });
        Self(usage)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|usage| usage.under_way -= 1);
    }
}

/// Waits until a connection over HTTP/2 had nothing to do for `patience`. An answer that is still being read then may be
/// finished all the same.
async fn is_idle(protocol: Protocol, mut used: watch::Receiver<Usage>, patience: Duration) {
    if protocol != Protocol::Http2 {
        return pending().await;
    }
    loop {
        let is_busy = used.borrow_and_update().under_way > 0;
        let next = timeout(if is_busy { Duration::MAX } else { patience }, used.changed());
        match next.await {
            Ok(Ok(())) => {}
            // Nobody is left who could ask.
            Ok(Err(_)) => return pending().await,
            Err(_) => return,
        }
    }
}

/// Waits for the closing, and on a connection that is only just made for its first request: hyper would close it, and cut
/// off what is on its way.
async fn may_close(ending: &Ending, protocol: Protocol, mut used: watch::Receiver<Usage>) {
    ending.closing().await;
    if protocol == Protocol::Http1 {
        // Either way it may close now.
        let _ = timeout(FIRST, used.wait_for(|usage| usage.begun > 0)).await;
    }
}

fn builder(protocol: Protocol) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_headers(64)
        .max_buf_size(HEADER_BYTES as usize * 2);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_does_not_escape_its_throttle_by_another_address() {
        let at = |text: &str| {
            let address = text.parse().expect("an address");
            Peer { address, identity: Identity::Nobody }.throttled_as()
        };
        assert_eq!(at("[2001:db8::1]:1"), at("[2001:db8::ffff:ffff:ffff:ffff]:2"));
        assert_ne!(at("[2001:db8::1]:1"), at("[2001:db8:0:1::1]:1"));
        assert_eq!(at("[::ffff:192.0.2.1]:1"), "192.0.2.1");
    }

    const PATIENCE: Duration = Duration::from_millis(30);
    /// Far longer than that.
    const LONG: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_connection_is_idle_when_nothing_was_asked_for_long_enough() {
        let (usage, used) = watch::channel(Usage::default());
        let usage = Arc::new(usage);
        is_idle(Protocol::Http2, used.clone(), PATIENCE).await;
        let over_http_1 = timeout(LONG, is_idle(Protocol::Http1, used.clone(), PATIENCE)).await;
        assert!(over_http_1.is_err(), "hyper has a deadline for that");

        let request = UnderWay::begin(usage.clone());
        let busy = timeout(LONG, is_idle(Protocol::Http2, used.clone(), PATIENCE)).await;
        assert!(busy.is_err(), "a request is under way");
        assert_eq!((used.borrow().begun, used.borrow().under_way), (1, 1));
        drop(request);
        assert_eq!((used.borrow().begun, used.borrow().under_way), (1, 0));
        is_idle(Protocol::Http2, used.clone(), PATIENCE).await;

        drop(usage);
        assert!(timeout(LONG, is_idle(Protocol::Http2, used, PATIENCE)).await.is_err());
    }
}
