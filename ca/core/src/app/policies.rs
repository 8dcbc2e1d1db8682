//! Which policy holds for a contract, at this moment: the bank's own of the configuration, or the newest version of the one
//! that the contract was given.
//!
//! Policies are kept in memory and looked for in the ledger at most once a second, by a number that rises with each
//! change: so all nodes follow a change within [`LOOK_EVERY`], without restart. A policy that this program can't read
//! stops the enrolments of the contracts that have it, and of nobody else.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{failure::Failure, hours::CurrentHours};
use crate::{
    domain::{
        ids::{ContractNumber, PolicyName},
        policy::{IssuancePolicy, PolicyVersion},
    },
    ports::{
        clock::Clock,
        policies::{PoliciesInForce, PolicyForm, PolicyStore},
    },
};

/// How long a change may stay unseen.
pub const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// The policies in force.
pub struct Policies {
    store: Arc<dyn PolicyStore>,
    form: Arc<dyn PolicyForm>,
    clock: Arc<dyn Clock>,
    bank: Arc<IssuancePolicy>,
    hours: Arc<CurrentHours>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// `None` before the first look.
    looked_at: Option<Timestamp>,
    in_force: Arc<InForce>,
}

#[derive(Default)]
struct InForce {
    head: u64,
    policies: HashMap<PolicyName, Result<Arc<IssuancePolicy>, PolicyVersion>>,
    assigned: HashMap<ContractNumber, PolicyName>,
}

impl Policies {
    /// `bank` is the policy of contracts that were given none; its hours are everybody's, until others take their place.
    pub fn new(
        store: Arc<dyn PolicyStore>,
        form: Arc<dyn PolicyForm>,
        clock: Arc<dyn Clock>,
        bank: Arc<IssuancePolicy>,
    ) -> Self {
        let seen = Mutex::new(Seen { looked_at: None, in_force: Arc::default() });
        let hours = Arc::new(CurrentHours::new(bank.hours.clone()));
        Self { store, form, clock, bank, hours, seen }
    }

    /// The bank's own policy.
    pub fn bank(&self) -> Arc<IssuancePolicy> {
        self.at_present(&self.bank)
    }

    /// The hours of issuing, everybody's.
    pub fn hours(&self) -> &Arc<CurrentHours> {
        &self.hours
    }

    /// A policy with the hours that hold now.
    fn at_present(&self, policy: &Arc<IssuancePolicy>) -> Arc<IssuancePolicy> {
        let hours = self.hours.current();
        if Arc::ptr_eq(&policy.hours, &hours) {
            return policy.clone();
        }
        Arc::new(IssuancePolicy { hours, ..(**policy).clone() })
    }

    /// The policy that holds for a contract.
    ///
    /// # Errors
    /// [`Failure`] when the ledger can't be asked, or the policy can't be read.
    pub async fn of(&self, contract: &ContractNumber) -> Result<Arc<IssuancePolicy>, Failure> {
        let in_force = self.in_force().await?;
        let Some(name) = in_force.assigned.get(contract) else { return Ok(self.bank()) };
        match in_force.policies.get(name) {
            Some(Ok(policy)) => Ok(self.at_present(policy)),
            Some(Err(id)) => {
                Err(Failure::defect(format_args!("the policy {id} can't be read by this program")))
            }
            None => {
                Err(Failure::defect(format_args!("contract {contract} has a policy {name} that isn't there")))
            }
        }
    }

    async fn in_force(&self) -> Result<Arc<InForce>, Failure> {
        let now = self.clock.now();
        let known = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let is_fresh = |at: Timestamp| now.duration_since(at).abs() < LOOK_EVERY;
            if seen.looked_at.is_some_and(is_fresh) {
                return Ok(seen.in_force.clone());
            }
            // Others go on with what is known meanwhile, unless nothing is known yet.
            if seen.looked_at.is_some() {
                seen.looked_at = Some(now);
            }
            seen.in_force.clone()
        };
        match self.look(&known).await {
            Ok(found) => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.looked_at = Some(now);
                if found.head >= seen.in_force.head {
                    seen.in_force = found;
                }
                Ok(seen.in_force.clone())
            }
            Err(failure) => {
                // The next one looks again: nobody is judged by what may be old for longer than a second.
                self.seen.lock().unwrap_or_else(PoisonError::into_inner).looked_at = None;
                Err(failure)
            }
        }
    }

    async fn look(&self, known: &Arc<InForce>) -> Result<Arc<InForce>, Failure> {
        if self.store.policy_head().await? == known.head {
            return Ok(known.clone());
        }
        let found = self.store.policies_in_force().await?;
        Ok(Arc::new(self.read(found)))
    }

    fn read(&self, found: PoliciesInForce) -> InForce {
        let policies = found.policies.into_iter().map(|record| {
            let read = self.form.read(&record.text);
            let policy = match read {
                Ok(written) if written.id == record.id => Ok(Arc::new(IssuancePolicy {
                    id: record.id.clone(),
                    rules: written.rules,
                    ..(*self.bank).clone()
                })),
                Ok(written) => {
                    tracing::error!(policy = %record.id, says = %written.id, "a policy names another version");
                    Err(record.id.clone())
                }
                Err(error) => {
                    tracing::error!(policy = %record.id, error = %error, "a policy can't be read");
                    Err(record.id.clone())
                }
            };
            (record.id.name, policy)
        });
        InForce {
            head: found.head,
            policies: policies.collect(),
            assigned: found.assigned.into_iter().collect(),
        }
    }
}
