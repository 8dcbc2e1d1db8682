//! The certificates of registered machines.

use anyhow::{Context, bail};
use ca_core::domain::machine::{Machine, ValiditySpan};
use der::{Decode, Encode};
use sha2::{Digest, Sha256};
use x509_cert::{Certificate, ext::pkix::BasicConstraints};

use super::certificate;
use crate::config;

/// A registered machine and the certificate that was registered for it, DER.
pub(crate) type Registered = (Machine, Vec<u8>);

/// Reads the certificates of all machines.
///
/// # Errors
/// When one can't be a machine's, or two have the same key.
pub(super) fn machines(config: &config::Config, customer: &[u8]) -> anyhow::Result<Vec<Registered>> {
    let customer = Certificate::from_der(customer).context("the customer issuer's certificate isn't DER")?;
    let mut machines: Vec<Registered> = Vec::with_capacity(config.machines.len());
    for machine in &config.machines {
        let key = format!("machine.{}.certificate", machine.id);
        let der = certificate(&key, &machine.certificate)?;
        let registered = registered(&key, machine, &der, &customer)?;
        let same_key = |(other, _): &&Registered| other.public_key_sha256 == registered.public_key_sha256;
        if let Some((other, _)) = machines.iter().find(same_key) {
            bail!("{key}: {} has the same key; give each machine a key of its own", other.id);
        }
        machines.push((registered, der));
    }
    Ok(machines)
}

fn registered(
    key: &str,
    machine: &config::Machine,
    der: &[u8],
    customer: &Certificate,
) -> anyhow::Result<Machine> {
    let path = machine.certificate.display();
    let parsed = Certificate::from_der(der).with_context(|| format!("{key}: {path} isn't valid DER"))?;
    let tbs = parsed.tbs_certificate();
    if tbs.issuer() == customer.tbs_certificate().subject() {
        bail!("{key}: {path} is a customer's certificate; machines have certificates of another authority");
    }
    let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
    if constraints.is_some_and(|(_, constraints)| constraints.ca) {
        bail!("{key}: {path} is an authority's certificate; name the machine's own");
    }
    let public_key = tbs.subject_public_key_info().to_der()?;
    Ok(Machine {
        id: machine.id.clone(),
        public_key_sha256: Sha256::digest(public_key).into(),
        registered: ValiditySpan::of(tbs),
        roles: machine.roles.clone(),
        contracts: machine.contracts.clone(),
    })
}
