//! Whether this node would do its work, part by part: what `/readyz` and the gauges say.
//!
//! The ledger takes a write, every key signs, every CRL is within its validity, the schema is ours, ledger and journals
//! are reconciled, and nobody has asked the node to end. A signer or ledger that hiccups for a moment doesn't take the
//! node out of service; one that fails from the start does.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ca_core::{
    app::accord::Accords,
    domain::ids::IssuerId,
    ports::{census::LedgerCensus, clock::Clock, signer::Signer, store::StoreError},
};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::metrics::Metrics;

/// One look at a dependency may take so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A verdict is told again for so long: a probe must not become a load.
const FRESH: Duration = Duration::from_secs(1);
/// What was well counts as well for so long after it began to fail.
const HICCUP: Duration = Duration::from_secs(3);

/// Looks at everything that the node depends on.
pub(crate) struct Readiness {
    clock: Arc<dyn Clock>,
    signer: Arc<dyn Signer>,
    census: Arc<dyn LedgerCensus>,
    metrics: Arc<Metrics>,
    accords: Accords,
    draining: AtomicBool,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    last: Option<(Instant, Verdict)>,
    /// When each part that may hiccup was last well.
    well: HashMap<(&'static str, Option<String>), Instant>,
}

/// Whether the node would do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Send it requests.
    pub(crate) ready: bool,
    /// Everything that was looked at.
    pub(crate) components: Vec<Component>,
}

/// A part of the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Component {
    /// `serving`, `reconciled`, `ledger`, `schema`, `signer`, `crl`.
    pub(crate) name: &'static str,
    /// Whose, where there is one of each issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    /// All is well, or was a moment ago.
    pub(crate) ok: bool,
    /// What is in the way; with `ok`, what has just begun to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

impl Component {
    fn of(name: &'static str, issuer: Option<&IssuerId>, trouble: Option<String>) -> Self {
        Self { name, issuer: issuer.map(ToString::to_string), ok: trouble.is_none(), trouble }
    }

    /// Outside of this node, so that a single failed look says little.
    fn may_hiccup(&self) -> bool {
        matches!(self.name, "ledger" | "signer")
    }
}

impl Readiness {
    /// Nothing has been looked at yet.
    pub(crate) fn new(
        (clock, signer, census): (Arc<dyn Clock>, Arc<dyn Signer>, Arc<dyn LedgerCensus>),
        accords: Accords,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (draining, memory) = (AtomicBool::new(false), Mutex::default());
        Self { clock, signer, census, metrics, accords, draining, memory }
    }

    /// Not ready from now on, whatever else is well.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.metrics.node.draining();
        self.metrics.node.ready(false);
    }

    /// Looks, unless somebody has just done so.
    pub(crate) async fn look(&self) -> Verdict {
        let mut memory = self.memory.lock().await;
        if let Some((at, verdict)) = memory.last.as_ref()
            && at.elapsed() < FRESH
        {
            return self.unless_draining(verdict.clone());
        }
        let mut components = self.components().await;
        let now = Instant::now();
        for component in components.iter_mut().filter(|component| component.may_hiccup()) {
            memory.bear(component, now);
        }
        let verdict = Verdict { ready: components.iter().all(|component| component.ok), components };
        memory.last = Some((now, verdict.clone()));
        let verdict = self.unless_draining(verdict);
        self.show(&verdict);
        verdict
    }

    fn unless_draining(&self, mut verdict: Verdict) -> Verdict {
        let draining = self.draining.load(Ordering::Acquire);
        let trouble = draining.then(|| "the node is ending".to_owned());
        verdict.ready &= !draining;
        verdict.components.insert(0, Component::of("serving", None, trouble));
        verdict
    }

    fn show(&self, verdict: &Verdict) {
        self.metrics.node.ready(verdict.ready);
        for Component { name, issuer, ok, .. } in &verdict.components {
            self.metrics.node.component(name, issuer.as_deref(), *ok);
        }
    }

    async fn components(&self) -> Vec<Component> {
        let (ledger, schema) = tokio::join!(self.ledger(), self.schema());
        let mut components =
            vec![Component::of("ledger", None, ledger), Component::of("schema", None, schema)];
        for accord in self.accords.iter() {
            let issuer = accord.issuer();
            let halt = accord.halt().map(|halt| halt.to_string());
            components.push(Component::of("reconciled", Some(issuer), halt));
            let (signer, crl) = tokio::join!(self.signer(issuer), self.crl(issuer));
            components.push(Component::of("signer", Some(issuer), signer));
            components.push(Component::of("crl", Some(issuer), crl));
        }
        components
    }

    async fn ledger(&self) -> Option<String> {
        let probe = timeout(PATIENCE, self.census.probe()).await;
        probe.map_or_else(|_| Some("it takes no write in time".to_owned()), |probe| failed(&probe))
    }

    async fn schema(&self) -> Option<String> {
        match timeout(PATIENCE, self.census.schema_fits()).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("another version of the program has migrated the database".to_owned()),
            Ok(Err(error)) => Some(crate::logging::chain(&error)),
            Err(_) => Some("it can't be looked up in time".to_owned()),
        }
    }

    async fn signer(&self, issuer: &IssuerId) -> Option<String> {
        match timeout(PATIENCE, self.signer.healthy(issuer)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it doesn't answer".to_owned()),
        }
    }

    async fn crl(&self, issuer: &IssuerId) -> Option<String> {
        match timeout(PATIENCE, self.census.crl(issuer)).await {
            Ok(Ok(Some(crl))) if crl.next_update > self.clock.now() => None,
            Ok(Ok(Some(crl))) => Some(format!("it lapsed at {}", crl.next_update)),
            Ok(Ok(None)) => Some("none has been published yet".to_owned()),
            Ok(Err(error)) => Some(crate::logging::chain(&error)),
            Err(_) => Some("it can't be read in time".to_owned()),
        }
    }
}

fn failed(result: &Result<(), StoreError>) -> Option<String> {
    result.as_ref().err().map(|error| crate::logging::chain(error))
}

impl Memory {
    /// Bears a trouble for a moment where all was well before.
    fn bear(&mut self, component: &mut Component, now: Instant) {
        let key = (component.name, component.issuer.clone());
        if component.ok {
            self.well.insert(key, now);
        } else if self.well.get(&key).is_some_and(|well| now.duration_since(*well) < HICCUP) {
            component.ok = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(trouble: Option<&str>) -> Component {
        Component::of("signer", None, trouble.map(str::to_owned))
    }

    #[test]
    fn a_hiccup_is_borne_and_a_failure_from_the_start_is_not() {
        let mut memory = Memory::default();
        let begin = Instant::now();
        let mut ok_at = |seconds: u64, trouble: Option<&str>| {
            let mut component = signer(trouble);
            memory.bear(&mut component, begin + Duration::from_secs(seconds));
            assert_eq!(component.trouble.as_deref(), trouble, "a trouble is told even while it is borne");
            component.ok
        };
        assert!(!ok_at(0, Some("down")), "never well before");
        assert!(ok_at(1, None));
        assert!(ok_at(3, Some("down")), "2 s after it was well");
        assert!(!ok_at(5, Some("down")), "4 s after it was well");
        assert!(ok_at(6, None), "well again at once");
        assert!(ok_at(7, Some("down")));
    }
}
