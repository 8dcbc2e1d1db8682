//! The trust store, and what follows from judging the fleet again.

use std::sync::Arc;

use anyhow::{Context, bail};
use ca_core::{
    app::{
        certificates::Certificates,
        export_evidence::ExportEvidence,
        judge_fleet::JudgeFleet,
        policies::Policies,
        rejudge::Rejudge,
        trust::{ReadTrust, TrustDesk, Trusted},
    },
    domain::attestation::Anchors,
    ports::{clock::Clock, store::CustomerStore},
};

use super::adapters::Adapters;
use crate::{
    config::Config,
    material::{
        self,
        trust::{self, bundle::Json},
    },
};

/// Reads versions of the ledger's trust store.
///
/// # Errors
/// When an officer's certificate can't be used.
pub(super) fn read(config: &Config, adapters: &Adapters) -> anyhow::Result<ReadTrust> {
    Ok(ReadTrust {
        store: adapters.store.clone(),
        officers: Arc::new(trust::officers(&config.trust)?),
        form: Arc::new(Json),
        lowest: config.trust.lowest_version,
    })
}

/// What is believed at the start: the newest version of the trust store, or the configuration's files where it has none.
///
/// # Errors
/// When the newest version's signatures don't hold, or nothing is there at all.
pub(super) async fn trusted(
    config: &Config,
    adapters: &Adapters,
) -> anyhow::Result<(Arc<Trusted>, ReadTrust)> {
    let read = read(config, adapters)?;
    let trusted = match read.newest().await.context("ALARM: the trust store is refused")? {
        Some(newest) => Trusted::new(newest.in_use()?),
        None if config.trust.has_files() => Trusted::files(Anchors::new(&material::anchors(config)?)?),
        None => bail!(
            "trust: the trust store has no version yet and no files are named; make one with `inro-ca trust import`, \
             `stage` and `approve`, or name the makers' roots in trust.yubikey_roots or trust.tpm_roots"
        ),
    };
    let haul = trust::crls::all(&config.trust)?;
    for fault in &haul.faults {
        tracing::warn!(file = fault.from, problem = fault.problem, "ALARM: a maker's CRL can't be read");
    }
    for (file, refusal) in trusted.take_up_crls(haul.found).refused {
        tracing::warn!(file, %refusal, "ALARM: a maker's CRL counts for nothing");
    }
    Ok((Arc::new(trusted), read))
}

/// Opens the ledger for `inro-ca trust`.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn trust_desk(config: &Config) -> anyhow::Result<TrustDesk> {
    let adapters = Adapters::open(config).await?;
    Ok(TrustDesk { read: read(config, &adapters)?, clock: adapters.clock.clone() })
}

impl Adapters {
    /// What follows from judging the fleet again.
    pub(crate) fn rejudge(&self) -> Rejudge {
        Rejudge {
            plans: self.store.clone(),
            revocations: self.store.clone(),
            signer: self.signer(),
            signers: self.store.clone(),
            accords: self.accords.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Everything that proves one certificate.
    pub(crate) fn export_evidence(&self) -> ExportEvidence {
        ExportEvidence {
            certificates: self.store.clone(),
            audit: self.store.clone(),
            books: self.store.clone(),
            policies: self.store.clone(),
            trust: self.store.clone(),
            signer: self.signer(),
        }
    }
}

/// What `inro-ca evidence` works with.
pub(crate) struct EvidenceDesk {
    pub(crate) certificates: Certificates,
    pub(crate) contracts: Arc<dyn CustomerStore>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) trust: ReadTrust,
    pub(crate) judge: JudgeFleet,
    pub(crate) rejudge: Rejudge,
    pub(crate) export: ExportEvidence,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Opens the ledger for `inro-ca evidence`.
///
/// # Errors
/// As [`Adapters::open`], or when an officer's certificate can't be used.
pub(crate) async fn evidence_desk(config: &Config) -> anyhow::Result<EvidenceDesk> {
    let adapters = Adapters::open(config).await?;
    Ok(EvidenceDesk {
        certificates: adapters.certificates(),
        contracts: adapters.store.clone(),
        policies: adapters.policies.clone(),
        trust: read(config, &adapters)?,
        judge: JudgeFleet { fleet: adapters.store.clone(), clock: adapters.clock.clone() },
        rejudge: adapters.rejudge(),
        export: adapters.export_evidence(),
        clock: adapters.clock.clone(),
    })
}
