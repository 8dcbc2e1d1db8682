//! What a proxy answers when it is asked for the way to the server (CONNECT, RFC 9110, 9.3.6). The client that the
//! enrolment uses tells no more than that it was refused; people need to know why.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Builder, time::timeout};
use zeroize::Zeroizing;

use crate::proxy::Proxy;

/// It has been asked before and was there.
const WAIT: Duration = Duration::from_secs(15);

/// The proxy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The kinds of authentication that it offers, such as `Basic` or `NTLM`.
    pub(crate) schemes: Vec<String>,
}

/// Asks once, and waits no longer than `patience`; `None` when there is no answer, or when the proxy is spoken to over TLS.
pub(crate) fn ask(proxy: &Proxy, host: &str, port: u16, patience: Duration) -> Option<Answer> {
    if proxy.address.scheme() != "http" {
        return None;
    }
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { timeout(WAIT.min(patience), exchange(proxy, host, port)).await.ok()? })
}

async fn exchange(proxy: &Proxy, host: &str, port: u16) -> Option<Answer> {
    let address = proxy.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((address, proxy.port())).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the connection, and that with the runtime.
    tokio::spawn(connection);
    let target = format!("{host}:{port}");
    let mut request =
        Request::builder().method(Method::CONNECT).uri(target.as_str()).header(header::HOST, target.as_str());
    if let Some(authorization) = authorization(proxy) {
        request = request.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let response = sender.send_request(request.body(String::new()).ok()?).await.ok()?;
    let schemes = response.headers().get_all(header::PROXY_AUTHENTICATE).iter();
    let schemes = schemes.filter_map(|value| value.to_str().ok()?.split_whitespace().next());
    Some(Answer { status: response.status().as_u16(), schemes: schemes.map(str::to_owned).collect() })
}

/// RFC 7617.
fn authorization(proxy: &Proxy) -> Option<HeaderValue> {
    let (user, password) = proxy.credentials.as_ref()?;
    let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
    let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&encoded).ok()?;
    value.set_sensitive(true);
    Some(value)
}
