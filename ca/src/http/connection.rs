//! The accept loop of a listener: bounded connections, handshakes and headers with deadlines, slow peers dropped,
//! connections drained at the end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A TLS handshake may take so long.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request's header may take so long.
const HEADER: Duration = Duration::from_secs(10);
/// A connection on which nothing moves for so long, in either direction, is dropped. Longer than any request takes.
const STALLED: Duration = Duration::from_secs(45);
/// Open requests may take so long to finish after the end was asked for.
const DRAIN: Duration = Duration::from_secs(20);
/// At the most so much of a request's header.
const HEADER_BYTES: u32 = 32 * 1024;

/// Who is at the other end of a connection, in the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where from.
    pub(crate) address: SocketAddr,
    /// The certificate whose key the TLS handshake proved, DER; on the portal's listener only.
    pub(crate) certificate: Option<CertificateDer<'static>>,
}

/// A listener.
pub(crate) struct Listener {
    /// In logs: `public`, `client`, `validation`, `ops`.
    pub(crate) name: &'static str,
    pub(crate) socket: TcpListener,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) router: Router,
    pub(crate) max_connections: usize,
}

impl Listener {
    /// Serves until `stop`, then finishes the requests that are under way.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&slots) => accepted,
            };
            let (stream, address, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, for example: the loop must not spin.
                    tracing::warn!(listener = self.name, %error, "a connection couldn't be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let connection = Connection {
                listener: self.name,
                address,
                tls: self.tls.clone(),
                router: self.router.clone(),
            };
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                connection.serve(stream, watcher).await;
                drop(slot);
            });
        }
        drop(self.socket);
        if timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!(listener = self.name, "some requests didn't finish in time");
        }
    }

    async fn accept(
        &self,
        slots: &Arc<Semaphore>,
    ) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, address) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, address, slot))
    }
}

/// What a connection speaks. It is never guessed from its first octets: hyper waits for those without a deadline.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    /// Chosen in the TLS handshake.
    Http2,
}

struct Connection {
    listener: &'static str,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
}

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        let stream = Progress::new(stream, STALLED);
        let Some(config) = self.tls.clone() else {
            let peer = Peer { address: self.address, certificate: None };
            return self.serve_http(Protocol::Http1, stream, peer, watcher).await;
        };
        match timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let certificate = certificates.and_then(|c| c.first()).map(|c| c.clone().into_owned());
                let peer = Peer { address: self.address, certificate };
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = if is_h2 { Protocol::Http2 } else { Protocol::Http1 };
                self.serve_http(protocol, stream, peer, watcher).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(listener = self.listener, peer = %self.address, %error, "TLS handshake failed");
            }
            Err(_) => {
                tracing::debug!(listener = self.listener, peer = %self.address, "TLS handshake took too long");
            }
        }
    }

    async fn serve_http(
        self,
        protocol: Protocol,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let router = self.router;
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            async move {
                Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {}))
            }
        });
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
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(listener = self.listener, peer = %self.address, error = %error, "a connection broke");
        }
    }
}

/// A stream that fails when nothing moves in either direction for a time: hyper has no deadline for a peer that
/// doesn't read its answers.
struct Progress<S> {
    stream: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Progress<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)) }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            let next = Instant::now() + self.patience;
            self.deadline.as_mut().reset(next);
            return result;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.judge(cx, result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.judge(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
