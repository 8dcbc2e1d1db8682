//! The only file that names concrete adapters: it puts them behind the ports, and the ports into use cases.

use std::sync::{Arc, atomic::AtomicBool};

use anyhow::Context;
use ca_core::{
    app::{
        answer_ocsp::AnswerOcsp,
        audit_budget::AuditBudget,
        audit_verify::VerifyAudit,
        certificates::Certificates,
        customers::Customers,
        enrol::{
            bearer::BearerKey, certify::CertifyEnrolment, confirm::ConfirmEnrolment, open::OpenEnrolment,
            throttle::Throttles,
        },
        issue::Issue,
        login::LogIn,
        logout::LogOut,
        publish_crl::PublishCrl,
        reconcile::{Reconcile, ReconcileTerms},
        revoke::Revoke,
        session::{CheckSession, SessionTerms},
    },
    domain::{
        crl::CrlPolicy,
        ocsp::Responder,
        policy::IssuancePolicy,
        profile::{Issuer, Profile, Publication},
        throttle::ThrottlePolicy,
    },
    ports::{clock::Clock, password::Passwords, rng::Rng, signer::Signer},
};
use jiff::SignedDuration;
use store_sqlite::{Options, SqliteStore};
use tokio::sync::Notify;

use crate::{
    adapters::{clock::SystemClock, passwords::Argon2Passwords, rng::SystemRng, signer::Signers},
    config::{self, Config},
    http::{
        api::Api,
        ops::Ops,
        portal::{Portal, Top},
        validation::{
            Validation,
            certificates::CaCertificates,
            crl::{Crls, PARTITION},
            ocsp,
        },
    },
    jobs::{Files, Jobs},
    material::{IssuerMaterial, Material},
    metrics::Metrics,
};

/// Creates the database or brings it up to date; returns the schema's version before and after.
///
/// # Errors
/// When it can't.
pub(crate) async fn migrate(config: &Config) -> anyhow::Result<(Option<i64>, i64)> {
    let migrated = store_sqlite::migrate(&config.node.database).await?;
    Ok((migrated.from, migrated.to))
}

/// The adapters.
pub(crate) struct Adapters {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) signers: Arc<Signers>,
    clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    passwords: Arc<dyn Passwords>,
}

impl Adapters {
    /// Opens the ledger; connects to no signer yet.
    ///
    /// # Errors
    /// When the ledger is missing or its schema isn't this program's.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let store = SqliteStore::open(&config.node.database, &Options::default()).await?;
        Ok(Self {
            store: Arc::new(store),
            signers: Arc::new(Signers::new(&config.issuers)),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            passwords: Arc::new(Argon2Passwords::new(&config.passwords)?),
        })
    }

    fn signer(&self) -> Arc<dyn Signer> {
        self.signers.clone()
    }

    fn customers(&self) -> Customers {
        Customers {
            customers: self.store.clone(),
            logins: self.store.clone(),
            audit: self.store.clone(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        }
    }

    fn certificates(&self) -> Certificates {
        Certificates { certificates: self.store.clone() }
    }

    fn revoke(&self, config: &Config) -> Revoke {
        Revoke {
            customers: self.store.clone(),
            logins: self.store.clone(),
            certificates: self.store.clone(),
            revocations: self.store.clone(),
            audit: self.store.clone(),
            signer: self.signer(),
            passwords: self.passwords.clone(),
            clock: self.clock.clone(),
            issuer: config.customer_issuer().id.clone(),
            lock_at: config.login.lock_at,
        }
    }
}

/// What the operator's command line works with.
pub(crate) struct Desk {
    pub(crate) customers: Customers,
    pub(crate) certificates: Certificates,
    pub(crate) revoke: Revoke,
    pub(crate) audit: VerifyAudit,
}

/// Opens the ledger for the operator's command line.
///
/// # Errors
/// As [`Adapters::open`].
pub(crate) async fn desk(config: &Config) -> anyhow::Result<Desk> {
    let adapters = Adapters::open(config).await?;
    Ok(Desk {
        customers: adapters.customers(),
        certificates: adapters.certificates(),
        revoke: adapters.revoke(config),
        audit: VerifyAudit { audit: adapters.store.clone() },
    })
}

/// Everything that serving needs.
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) top: Arc<Top>,
    pub(crate) portal: Arc<Portal>,
    pub(crate) validation: Arc<Validation>,
    pub(crate) ops: Arc<Ops>,
    pub(crate) jobs: Jobs,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) rng: Arc<dyn Rng>,
}

/// Builds the server from configuration, files and adapters.
///
/// # Errors
/// When they don't fit together; the message names the key.
pub(crate) fn server(config: Config, material: &Material, adapters: &Adapters) -> anyhow::Result<Server> {
    let metrics = Arc::new(Metrics::default());
    let revoked = Arc::new(Notify::new());
    let reconciled = Arc::new(AtomicBool::new(false));
    let certificates = Arc::new(adapters.certificates());
    let sessions = Arc::new(check_session(&config, adapters)?);
    let policy = Arc::new(IssuancePolicy {
        version: config.policy.version,
        hours: material.hours.clone(),
        devices: config.policy.devices.clone(),
        approve_from: config.policy.approve_from,
        hold_from: None,
    });
    let issuers = issuers(&config, material)?;
    let validation = Arc::new(validation(&config, material, adapters, metrics.clone(), &issuers)?);
    let portal = Arc::new(Portal {
        login: Arc::new(log_in(&config, adapters)),
        session: sessions.clone(),
        logout: Arc::new(LogOut { logins: adapters.store.clone(), clock: adapters.clock.clone() }),
        revoke: Arc::new(adapters.revoke(&config)),
        customers: Arc::new(adapters.customers()),
        certificates,
        logins: adapters.store.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        issuer: config.customer_issuer().id.clone(),
        public_url: config.listen.public_url.clone(),
        revoked: revoked.clone(),
        metrics: metrics.clone(),
    });
    let ops = Arc::new(Ops {
        metrics: metrics.clone(),
        clock: adapters.clock.clone(),
        signer: adapters.signer(),
        audit: adapters.store.clone(),
        revocations: adapters.store.clone(),
        issuers: config.issuers.iter().map(|issuer| issuer.id.clone()).collect(),
        reconciled: reconciled.clone(),
        last: tokio::sync::Mutex::new(None),
    });
    Ok(Server {
        api: Arc::new(api(&config, material, adapters, policy, metrics.clone())?),
        top: Arc::new(Top {
            client_url: config.listen.client_url.clone(),
            public_url: config.listen.public_url.clone(),
            always_open: config.hours.mode == config::HoursMode::AlwaysOpen,
            download: Some(config.enrolment.agent_download.clone()).filter(|url| !url.is_empty()),
        }),
        portal,
        ops,
        jobs: Jobs {
            publish: publish_crl(&config, adapters, &issuers)?,
            first_crls: crate::material::first_crls(&config)?,
            reconcile: reconcile(adapters, &issuers),
            sessions,
            validation: validation.clone(),
            revocations: adapters.store.clone(),
            clock: adapters.clock.clone(),
            metrics: metrics.clone(),
            revoked,
            reconciled,
            files: files(config, material, adapters, issuers),
        },
        validation,
        metrics,
        store: adapters.store.clone(),
        rng: adapters.rng.clone(),
    })
}

fn issuers(config: &Config, material: &Material) -> anyhow::Result<Vec<Arc<Issuer>>> {
    let pairs = config.issuers.iter().zip(&material.issuers);
    pairs
        .map(|(issuer, files)| {
            Issuer::from_certificate(issuer.id.clone(), &files.certificate)
                .map(Arc::new)
                .with_context(|| format!("issuer.{}.certificate can't be an issuer's", issuer.id))
        })
        .collect()
}

fn check_session(config: &Config, adapters: &Adapters) -> anyhow::Result<CheckSession> {
    Ok(CheckSession {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        terms: SessionTerms {
            idle: SignedDuration::try_from(config.login.idle)?,
            absolute: SignedDuration::try_from(config.login.absolute)?,
        },
    })
}

fn log_in(config: &Config, adapters: &Adapters) -> LogIn {
    LogIn {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        passwords: adapters.passwords.clone(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        issuer: config.customer_issuer().id.clone(),
        lock_at: config.login.lock_at,
        budget: Arc::default(),
    }
}

fn publication(config: &Config, issuer: &config::Issuer) -> Publication {
    let base = &config.validation.base_url;
    Publication {
        crl_base_url: format!("{base}/crl/{}", issuer.id),
        crl_partition: PARTITION,
        ocsp_url: format!("{base}/ocsp"),
        ca_issuers_url: format!("{base}/ca/{}.cer", issuer.id),
    }
}

fn customer_material<'a>(config: &Config, material: &'a Material) -> anyhow::Result<&'a IssuerMaterial> {
    let id = &config.customer_issuer().id;
    let position = config.issuers.iter().position(|issuer| issuer.id == *id);
    position.and_then(|position| material.issuers.get(position)).context("there is no customer issuer")
}

fn profile(config: &Config, material: &Material) -> anyhow::Result<Profile> {
    let issuer = config.customer_issuer();
    let files = customer_material(config, material)?;
    let certificate = Issuer::from_certificate(issuer.id.clone(), &files.certificate)?;
    Profile::new(certificate, issuer.policies, publication(config, issuer))
        .with_context(|| format!("issuer.{}: its certificates couldn't be validated", issuer.id))
}

fn api(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    policy: Arc<IssuancePolicy>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Api> {
    let files = customer_material(config, material)?;
    let enrolment = &config.enrolment;
    let users = ThrottlePolicy {
        free_failures: enrolment.throttle_free_failures,
        first_wait: SignedDuration::try_from(enrolment.throttle_first_wait)?,
        longest_wait: SignedDuration::try_from(enrolment.throttle_longest_wait)?,
        ..ThrottlePolicy::default()
    };
    let sources = ThrottlePolicy { free_failures: users.free_failures * 10, ..users };
    let budget = Arc::new(AuditBudget::default());
    let open = OpenEnrolment {
        customers: adapters.store.clone(),
        logins: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        // Its own: a flood of strangers' passwords here must not keep customers out of the portal.
        passwords: Arc::new(Argon2Passwords::new(&config.passwords)?),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        throttles: Arc::new(Throttles::new(users, sources)),
        budget: budget.clone(),
        policy: policy.clone(),
        bearer_key: BearerKey::generate(&*adapters.rng),
        challenge_lifetime: SignedDuration::try_from(enrolment.challenge_lifetime)?,
    };
    let issue = Issue {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        rng: adapters.rng.clone(),
        profile: Arc::new(profile(config, material)?),
    };
    let certify = CertifyEnrolment {
        customers: adapters.store.clone(),
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        anchors: Arc::new(material.anchors.clone()),
        policy: policy.clone(),
        issue: Arc::new(issue),
        budget: budget.clone(),
    };
    let confirm = ConfirmEnrolment {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        clock: adapters.clock.clone(),
        budget,
    };
    let download = Some(enrolment.agent_download.clone()).filter(|url| !url.is_empty());
    Ok(Api {
        open: Arc::new(open),
        certify: Arc::new(certify),
        confirm: Arc::new(confirm),
        policy,
        chain: std::iter::once(&files.certificate).chain(&files.chain).cloned().collect(),
        lowest_agent: enrolment.lowest_agent.clone(),
        newest_agent: enrolment.newest_agent.clone(),
        agent_download: download.unwrap_or_else(|| format!("{}/", config.listen.public_url)),
        clock: adapters.clock.clone(),
        metrics,
    })
}

fn validation(
    config: &Config,
    material: &Material,
    adapters: &Adapters,
    metrics: Arc<Metrics>,
    issuers: &[Arc<Issuer>],
) -> anyhow::Result<Validation> {
    let mut certificates: std::collections::HashMap<String, bytes::Bytes> = config
        .issuers
        .iter()
        .zip(&material.issuers)
        .map(|(issuer, files)| (issuer.id.to_string(), files.certificate.clone().into()))
        .collect();
    if let Some(root) = material.issuers.first().and_then(|issuer| issuer.chain.last()) {
        certificates.insert("root".to_owned(), root.clone().into());
    }
    let ids = config.issuers.iter().map(|issuer| issuer.id.clone());
    let answer = OcspFactory::new(adapters, issuers).build(&ocsp_certificates(material))?;
    Ok(Validation {
        ocsp: ocsp::Responder::new(answer, adapters.clock.clone()),
        crls: Crls::new(adapters.store.clone(), adapters.clock.clone(), ids, material.root_crl.clone())?,
        certificates: CaCertificates(certificates),
        metrics,
    })
}

/// Builds OCSP responders: at the start, and again when a responder certificate was renewed.
struct OcspFactory {
    store: Arc<SqliteStore>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
    issuers: Vec<Arc<Issuer>>,
}

impl OcspFactory {
    fn new(adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Self {
        Self {
            store: adapters.store.clone(),
            signer: adapters.signer(),
            clock: adapters.clock.clone(),
            issuers: issuers.to_vec(),
        }
    }

    fn build(&self, certificates: &[Vec<u8>]) -> anyhow::Result<AnswerOcsp> {
        let mut responders = Vec::new();
        for (issuer, certificate) in self.issuers.iter().zip(certificates) {
            let responder = Responder::from_certificate(certificate, issuer)
                .with_context(|| format!("issuer.{}.ocsp_certificate can't be a responder's", issuer.id()))?;
            responders.push((Issuer::clone(issuer), responder));
        }
        let (store, signer) = (self.store.clone(), self.signer.clone());
        Ok(AnswerOcsp::new(store.clone(), store, signer, self.clock.clone(), responders))
    }
}

fn publish_crl(
    config: &Config,
    adapters: &Adapters,
    issuers: &[Arc<Issuer>],
) -> anyhow::Result<Vec<Arc<PublishCrl>>> {
    let policy = CrlPolicy::new(
        SignedDuration::try_from(config.validation.crl_validity)?,
        SignedDuration::try_from(config.validation.crl_interval)?,
    )
    .context("validation.crl_validity and crl_interval don't fit")?;
    let publish = |issuer: &Arc<Issuer>| {
        Arc::new(PublishCrl {
            revocations: adapters.store.clone(),
            audit: adapters.store.clone(),
            signer: adapters.signer(),
            clock: adapters.clock.clone(),
            issuer: issuer.clone(),
            policy,
        })
    };
    Ok(issuers.iter().map(publish).collect())
}

fn reconcile(adapters: &Adapters, issuers: &[Arc<Issuer>]) -> Vec<Reconcile> {
    let reconcile = |issuer: &Arc<Issuer>| Reconcile {
        certificates: adapters.store.clone(),
        audit: adapters.store.clone(),
        signer: adapters.signer(),
        clock: adapters.clock.clone(),
        issuer: issuer.clone(),
        terms: ReconcileTerms::default(),
    };
    issuers.iter().map(reconcile).collect()
}

fn ocsp_certificates(material: &Material) -> Vec<Vec<u8>> {
    material.issuers.iter().map(|issuer| issuer.ocsp_certificate.clone()).collect()
}

/// What the job that watches files needs: what was read, and how to build responders anew.
fn files(config: Config, material: &Material, adapters: &Adapters, issuers: Vec<Arc<Issuer>>) -> Files {
    let factory = OcspFactory::new(adapters, &issuers);
    let root = material.issuers.first().and_then(|issuer| issuer.chain.last()).cloned();
    Files {
        issuers: config.issuers,
        authorities: issuers,
        root: root.unwrap_or_default(),
        root_crl_path: config.validation.root_crl,
        root_crl: material.root_crl.clone(),
        ocsp_certificates: ocsp_certificates(material),
        rebuild: Box::new(move |certificates| factory.build(certificates)),
    }
}
