//! The way to the bank's server, by going it: one question for the versions, and what its answer or its failure says
//! about every station before.

use std::net::ToSocketAddrs;

use jiff::{SignedDuration, Timestamp};

use super::fact::{Area, Fact, Route as Passage};
use crate::{
    route::{Route, RouteError},
    server::{EnrolmentApi, ServerError, Version, https::HttpsApi},
};

/// A clock that differs by more is wrong.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// Returns the server, if it was reached and is the bank's.
pub(super) fn examine(route: &Route, now: Timestamp, facts: &mut Vec<Fact>) -> Option<HttpsApi> {
    let api = match route.connect() {
        Ok(api) => api,
        Err(error) => {
            facts.push(Fact::ClockUnknown { here: now });
            facts.push(match error {
                RouteError::Server(error) => Fact::ServerFails(error),
                other => Fact::NoRoute(other),
            });
            return None;
        }
    };
    facts.push(Fact::Way(passage(&api)));
    match api.versions() {
        Ok(versions) => {
            passed(&api, facts);
            let issuer = api.connection().trust.presented().map(|presented| presented.issuer);
            let (origin, issuer) = (api.origin().to_owned(), issuer.unwrap_or_default());
            facts.push(Fact::Server { origin, issuer });
            let differs = Timestamp::now().duration_since(versions.server_time);
            facts.push(if differs.abs() > CLOCK_TOLERANCE {
                Fact::ClockWrong { here: now, there: versions.server_time }
            } else {
                Fact::Clock { differs }
            });
            facts.push(version(versions.lowest, versions.newest, versions.download));
            Some(api)
        }
        Err(error) => {
            if !matches!(error, ServerError::Clock { .. }) {
                facts.push(Fact::ClockUnknown { here: now });
            }
            let failed = Fact::ServerFails(error);
            match failed.area() {
                Area::Network => {}
                Area::Proxy => connected(&api, facts),
                _ => passed(&api, facts),
            }
            facts.push(failed);
            None
        }
    }
}

fn passage(api: &HttpsApi) -> Passage {
    let way = &api.connection().way;
    match (&way.proxy, way.excepted, &way.script) {
        (Some(proxy), ..) => Passage::Through {
            proxy: proxy.to_string(),
            origin: proxy.origin,
            user: proxy.credentials.as_ref().map(|(user, _)| user.clone()),
        },
        (None, Some(origin), _) => Passage::Excepted(origin),
        (None, None, Some(script)) => Passage::Script(script.clone()),
        (None, None, None) => Passage::Direct,
    }
}

/// Everything up to the server answered.
fn passed(api: &HttpsApi, facts: &mut Vec<Fact>) {
    connected(api, facts);
    if let Some(proxy) = &api.connection().way.proxy {
        facts.push(Fact::ProxyLetsThrough { proxy: proxy.to_string() });
    }
}

/// The first machine on the way answered.
fn connected(api: &HttpsApi, facts: &mut Vec<Fact>) {
    let connection = api.connection();
    let url = connection.way.proxy.as_ref().map_or(&connection.server, |proxy| &proxy.address);
    let hop = crate::server::https::host_and_port(url);
    let addresses = hop.to_socket_addrs().into_iter().flatten().map(|address| address.ip().to_string());
    facts.push(Fact::Connected { addresses: addresses.collect(), hop });
}

fn version(lowest: String, newest: String, download: String) -> Fact {
    let own = Version::parse(Version::OWN);
    if Version::parse(&lowest) > own {
        Fact::VersionTooOld { lowest, download }
    } else if Version::parse(&newest) > own {
        Fact::VersionNewer { newest, download }
    } else {
        Fact::VersionCurrent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart() {
        let code = |lowest: &str, newest: &str| version(lowest.into(), newest.into(), String::new()).code();
        assert_eq!(code("0.0.1", Version::OWN), "version.current");
        assert_eq!(code("0.0.1", "99.0.0"), "version.newer");
        assert_eq!(code("99.0.0", "99.0.0"), "version.too-old");
    }

    #[test]
    fn without_a_server_nothing_is_asked() {
        let mut facts = Vec::new();
        assert!(examine(&Route::default(), Timestamp::UNIX_EPOCH, &mut facts).is_none());
        let codes: Vec<&str> = facts.iter().map(Fact::code).collect();
        assert_eq!(codes, ["clock.unknown", "server.not-configured"]);
    }
}
