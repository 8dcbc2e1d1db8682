//! Whose request it is behind a reverse proxy (RFC 9440): a trusted proxy's headers say which certificate the client
//! proved to hold and where it came from; from anybody else the first is refused and the second isn't read. No handler
//! ever sees these headers, and none can tell whether there is a proxy.
//!
//! A proxy is believed that its client holds the key. Whether the certificate is the customer issuer's is checked here
//! once more, as in a handshake.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use base64::Engine;
use ca_core::{
    app::refuse_header::{HeaderFault, RefuseHeader},
    ports::clock::Clock,
};
use rustls_pki_types::CertificateDer;

use super::{
    base64::BASE64, client_verifier::ClientVerifier, clients::Identity, connection::Peer, layers::plain,
};
use crate::{config::AddressHeader, logging, material::Proxy};

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reads what proxies say on a listener.
#[derive(Clone)]
pub(crate) struct Forwarding {
    /// Whose certificates are believed; `None` where nobody has one.
    pub(crate) verifier: Option<Arc<ClientVerifier>>,
    pub(crate) refuse: Arc<RefuseHeader>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Forwarding {
    /// Puts it before everything that asks whose request it is.
    pub(crate) fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, resolve))
    }

    /// The peer as a proxy describes it.
    fn described(&self, headers: &HeaderMap, proxy: &Proxy, peer: &Peer) -> Result<Peer, HeaderFault> {
        let address = match address(headers, proxy.address_header) {
            Ok(Some(address)) => address,
            // The proxy speaks for itself, as in its probes.
            Ok(None) => peer.address,
            Err(()) => return Err(HeaderFault::Address),
        };
        let certificate = certificate(headers).map_err(|()| HeaderFault::Certificate)?;
        let identity = match (certificate, &self.verifier) {
            (Some(certificate), Some(verifier)) => verifier
                .identify_forwarded(&certificate, self.clock.now())
                .map_err(|_| HeaderFault::Certificate)?,
            _ => Identity::Nobody,
        };
        Ok(Peer { address, identity })
    }

    async fn refuse(&self, peer: &Peer, proxy: Option<&Proxy>, fault: HeaderFault) -> Response {
        let source = peer.address.ip().to_canonical().to_string();
        let name = proxy.map(|proxy| proxy.name.as_str());
        if let Err(error) = self.refuse.run(&source, name, fault).await {
            let error = logging::chain(&error);
            tracing::warn!(error, "a refused header can't be written to the audit trail");
        }
        if let Some(proxy) = name {
            tracing::error!(proxy, fault = fault.code(), "ALARM: a reverse proxy's headers can't be read");
        }
        plain(StatusCode::BAD_REQUEST, "This request's headers are refused.\n")
    }
}

async fn resolve(State(forwarding): State<Forwarding>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "The connection is unknown.\n");
    };
    let headers = request.headers();
    if let Identity::Proxy(proxy) = &peer.identity {
        match forwarding.described(headers, proxy, &peer) {
            Ok(described) => drop(request.extensions_mut().insert(described)),
            Err(fault) => return forwarding.refuse(&peer, Some(proxy), fault).await,
        }
    } else if headers.contains_key(&CLIENT_CERT) || headers.contains_key(&CLIENT_CERT_CHAIN) {
        return forwarding.refuse(&peer, None, HeaderFault::NotAProxy).await;
    }
    for name in [CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_FOR, header::FORWARDED] {
        request.headers_mut().remove(name);
    }
    next.run(request).await
}

/// RFC 9440, 2.2: one byte sequence (RFC 8941, 3.3.5). The chain beside it is of no use: the issuer signs customers'
/// certificates itself.
fn certificate(headers: &HeaderMap) -> Result<Option<CertificateDer<'static>>, ()> {
    let mut values = headers.get_all(CLIENT_CERT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(());
    }
    let text = value.to_str().map_err(drop)?.trim();
    let encoded = text.strip_prefix(':').and_then(|text| text.strip_suffix(':')).ok_or(())?;
    let der = BASE64.decode(encoded).map_err(drop)?;
    Ok(Some(CertificateDer::from(der)))
}

/// Where the proxy's client is: the last entry, which is the proxy's own; those before it are anybody's.
fn address(headers: &HeaderMap, name: AddressHeader) -> Result<Option<SocketAddr>, ()> {
    let name = match name {
        AddressHeader::XForwardedFor => X_FORWARDED_FOR,
        AddressHeader::Forwarded => header::FORWARDED,
    };
    let Some(value) = headers.get_all(&name).iter().next_back() else { return Ok(None) };
    let last = value.to_str().map_err(drop)?.rsplit(',').next().unwrap_or_default().trim();
    let node = if name == X_FORWARDED_FOR { last } else { for_node(last).ok_or(())? };
    node_address(node).map(Some).ok_or(())
}

/// RFC 7239, 4: `for=192.0.2.43`, `for="[2001:db8::17]:4711"`.
fn for_node(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    Some(value.trim_matches('"'))
}

/// An address with or without a port.
fn node_address(node: &str) -> Option<SocketAddr> {
    let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
    let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    address.or_else(|_| node.parse()).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        )
    }

    #[test]
    fn the_last_address_is_the_proxys_word() {
        for (name, line, expected) in [
            (AddressHeader::XForwardedFor, "192.0.2.1", Ok("192.0.2.1:0")),
            (AddressHeader::XForwardedFor, "10.0.0.1, 192.0.2.1", Ok("192.0.2.1:0")),
            (AddressHeader::XForwardedFor, "nonsense, 192.0.2.1:4711", Ok("192.0.2.1:4711")),
            (AddressHeader::XForwardedFor, "2001:db8::1", Ok("[2001:db8::1]:0")),
            (AddressHeader::XForwardedFor, "192.0.2.1, unknown", Err(())),
            (AddressHeader::XForwardedFor, "", Err(())),
            (AddressHeader::Forwarded, "for=10.0.0.1, for=192.0.2.1;proto=https", Ok("192.0.2.1:0")),
            (AddressHeader::Forwarded, "proto=https; For=\"[2001:db8::17]:4711\"", Ok("[2001:db8::17]:4711")),
            (AddressHeader::Forwarded, "for=\"[2001:db8::17]\"", Ok("[2001:db8::17]:0")),
            (AddressHeader::Forwarded, "for=_hidden", Err(())),
            (AddressHeader::Forwarded, "by=192.0.2.1", Err(())),
        ] {
            let of = if name == AddressHeader::Forwarded { header::FORWARDED } else { X_FORWARDED_FOR };
            let found = address(&headers(&[(of, line)]), name);
            let expected = expected.map(|text: &str| Some(text.parse().expect("an address")));
            assert_eq!(found, expected, "{line}");
        }
        let both = headers(&[(X_FORWARDED_FOR, "10.0.0.1"), (X_FORWARDED_FOR, "192.0.2.1")]);
        let last = "192.0.2.1:0".parse().expect("an address");
        assert_eq!(address(&both, AddressHeader::XForwardedFor), Ok(Some(last)));
        assert_eq!(address(&both, AddressHeader::Forwarded), Ok(None), "the other header isn't read");
    }

    #[test]
    fn a_certificate_is_one_byte_sequence() {
        let der = |text| certificate(&headers(&[(CLIENT_CERT, text)]));
        assert_eq!(certificate(&HeaderMap::new()), Ok(None));
        assert_eq!(der(":MAA=:"), Ok(Some(CertificateDer::from(vec![0x30, 0]))));
        assert_eq!(der(":MAA:"), Ok(Some(CertificateDer::from(vec![0x30, 0]))));
        for bad in ["MAA=", ":MAA=", "::MAA=:", ":MA-=:", ":MAA=:;a=1", ":MAA=:, :MAA=:"] {
            assert_eq!(der(bad), Err(()), "{bad}");
        }
        let twice = headers(&[(CLIENT_CERT, ":MAA=:"), (CLIENT_CERT, ":MAA=:")]);
        assert_eq!(certificate(&twice), Err(()));
    }
}
