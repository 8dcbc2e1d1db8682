//! The certificates of reverse proxies.

use anyhow::{Context, bail};
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, ext::pkix::BasicConstraints};

use super::{Registered, certificate};
use crate::{
    config,
    http::proxies::{Proxies, Proxy},
};

/// Reads the certificates of all proxies.
///
/// # Errors
/// When one can't be a proxy's, or its key is a machine's or another proxy's.
pub(super) fn proxies(config: &config::Config, machines: &[Registered]) -> anyhow::Result<Proxies> {
    let mut proxies = Proxies::default();
    for proxy in &config.proxies {
        let key = format!("proxy.{}.certificate", proxy.name);
        let path = proxy.certificate.display();
        let der = certificate(&key, &proxy.certificate)?;
        let parsed = Certificate::from_der(&der).with_context(|| format!("{key}: {path} isn't valid DER"))?;
        let tbs = parsed.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
        if constraints.is_some_and(|(_, constraints)| constraints.ca) {
            bail!("{key}: {path} is an authority's certificate; name the proxy's own");
        }
        let public_key_sha256 = Sha256::digest(tbs.subject_public_key_info().to_der()?).into();
        if machines.iter().any(|(machine, _)| machine.public_key_sha256 == public_key_sha256) {
            bail!("{key}: {path} has the key of a machine; give the proxy a key of its own");
        }
        let known = Proxy { name: proxy.name.clone(), address_header: proxy.address_header };
        if !proxies.insert(public_key_sha256, known, tbs.issuer().to_der()?) {
            bail!("{key}: {path} has the key of another proxy; give each a key of its own");
        }
    }
    Ok(proxies)
}
