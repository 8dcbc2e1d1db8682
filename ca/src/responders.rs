//! The certificates that OCSP is answered with: those of the configured files, or what was renewed for the same keys since
//! and stands in the ledger.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use ca_core::{
    app::{failure::Failure, renew_responder::in_use},
    domain::{ocsp::Responder, profile::Issuer},
    ports::{clock::Clock, responders::ResponderStore},
};

use crate::{config, material};

/// One responder for each issuer, in the order of the configuration.
pub(crate) struct Responders {
    all: Vec<Configured>,
    store: Arc<dyn ResponderStore>,
    clock: Arc<dyn Clock>,
}

/// A responder as its file says it.
struct Configured {
    files: config::Issuer,
    issuer: Arc<Issuer>,
    /// What the file held when it could be read last.
    last: Mutex<Responder>,
}

impl Responders {
    /// Reads the files.
    ///
    /// # Errors
    /// When one holds no certificate of a responder of its issuer; the message names the key.
    pub(crate) fn read(
        files: &[config::Issuer],
        issuers: &[Arc<Issuer>],
        store: Arc<dyn ResponderStore>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let configured = |(files, issuer): (&config::Issuer, &Arc<Issuer>)| {
            let last = Mutex::new(from_file(files, issuer)?);
            Ok(Configured { files: files.clone(), issuer: issuer.clone(), last })
        };
        let all = files.iter().zip(issuers).map(configured).collect::<anyhow::Result<_>>()?;
        Ok(Self { all, store, clock })
    }

    /// What the files say now; where one can't be read, what it said last.
    pub(crate) fn configured(&self) -> Vec<Responder> {
        self.all.iter().map(Configured::look).collect()
    }

    /// What to answer with now.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub(crate) async fn in_use(&self) -> Result<Vec<Responder>, Failure> {
        let (now, mut found) = (self.clock.now(), Vec::with_capacity(self.all.len()));
        for one in &self.all {
            found.push(in_use(&*self.store, &one.issuer, one.look(), now).await?);
        }
        Ok(found)
    }
}

impl Configured {
    fn look(&self) -> Responder {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match from_file(&self.files, &self.issuer) {
            Ok(responder) => *last = responder,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(issuer = %self.files.id, error, "keeping the configured responder as it was");
            }
        }
        last.clone()
    }
}

fn from_file(files: &config::Issuer, issuer: &Issuer) -> anyhow::Result<Responder> {
    let der = material::ocsp_certificate(files, issuer.der())?;
    Responder::from_certificate(&der, issuer)
        .with_context(|| format!("issuer.{}.ocsp_certificate can't be a responder's", files.id))
}
