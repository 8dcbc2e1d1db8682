//! What answers in place of the bank, or of an honest proxy.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use softhsm_tests::soft_pki::Identity;

/// What it says to every request.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// A page for a browser.
    WebPage,
    /// That everything is elsewhere.
    Redirect,
    /// Nothing of interest, at this time.
    Dated(&'static str),
    /// These octets.
    Raw(&'static str),
    /// Nothing, for as long as the client waits.
    Silence,
    /// These octets, and then nothing.
    Half(&'static str),
}

impl Answer {
    fn text(self) -> String {
        match self {
            Self::WebPage => {
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 22\r\n\
                              Connection: close\r\n\r\n<html>Log in!</html>\r\n"
                    .to_owned()
            }
            Self::Redirect => "HTTP/1.1 307 Elsewhere\r\nLocation: https://login.example/\r\n\
                               Content-Length: 0\r\nConnection: close\r\n\r\n"
                .to_owned(),
            Self::Dated(date) => format!(
                "HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            Self::Raw(text) | Self::Half(text) => text.to_owned(),
            Self::Silence => String::new(),
        }
    }
}

/// It listens for as long as the process lives.
pub(crate) struct Stranger {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Stranger {
    /// One that speaks TLS with this identity.
    pub(crate) fn tls(identity: &Identity, answer: Answer) -> Self {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("an identity");
        let config = Arc::new(config);
        Self::listen(move |stream| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            converse(StreamOwned::new(connection, stream), answer);
        })
    }

    /// One that doesn't.
    pub(crate) fn plain(answer: Answer) -> Self {
        Self::listen(move |stream| converse(stream, answer))
    }

    fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                serve(stream);
            }
        });
        Self { port, connections }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn plain_url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Hears something and answers. A client that distrusts what it sees goes away, which ends it as well.
fn converse(mut stream: impl Read + Write, answer: Answer) {
    let mut heard = [0; 4096];
    if stream.read(&mut heard).is_ok_and(|count| count > 0)
        && stream.write_all(answer.text().as_bytes()).and_then(|()| stream.flush()).is_ok()
    {
        let waits = matches!(answer, Answer::Silence | Answer::Half(_));
        // What isn't read would cut the answer off.
        while stream.read(&mut heard).is_ok_and(|count| count > 0) && waits {}
    }
}
