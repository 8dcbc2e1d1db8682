//! Takes up a renewed server certificate without a restart. A half of it alone, certificate or key, is left until the
//! other half is there too.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    config::Tls,
    http::tls::CurrentIdentity,
    material::{self, ServerIdentity},
};

const PERIOD: Duration = Duration::from_secs(10);

/// The files of the server certificate, as they were when last taken up.
pub(crate) struct TlsFiles {
    pub(crate) files: Tls,
    pub(crate) taken_up: ServerIdentity,
    pub(crate) current: Arc<CurrentIdentity>,
}

pub(super) async fn run(mut tls: TlsFiles) {
    loop {
        sleep(PERIOD).await;
        // Two small files: not worth a thread of their own.
        if let Err(error) = tls.take_up() {
            tracing::warn!(error = %format!("{error:#}"), "keeping the server certificate that is in use");
        }
    }
}

impl TlsFiles {
    fn take_up(&mut self) -> anyhow::Result<()> {
        let found = material::server_identity(&self.files)?;
        if found != self.taken_up {
            self.current.replace(&found)?;
            self.taken_up = found;
            tracing::info!("a new server certificate was taken up");
        }
        Ok(())
    }
}
