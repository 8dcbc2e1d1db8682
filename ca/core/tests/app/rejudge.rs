//! Plans after a new judgement, and their execution at the date.

use std::sync::Arc;

use async_trait::async_trait;
use ca_core::{
    app::rejudge::{Executed, Plan, Rejudge, RejudgeError},
    domain::{
        audit::AuditEvent,
        certificate::CertificateState,
        ids::{IssuerId, SerialNumber},
        revocation::RevocationReason,
    },
    ports::{
        clock::Clock,
        rejudgements::{Fallen, NewRejudgement, PlanEnd, Rejudgement, RejudgementStore},
        store::{CertificateStore, RevokeOutcome, StoreResult},
    },
    testing::{Fault, MemoryStore},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    pki::issuer_id,
    world::{GENERAL, MASTER, World, clerk},
};

pub(super) fn rejudge(world: &World) -> Rejudge {
    Rejudge {
        plans: world.store.clone(),
        revocations: world.store.clone(),
        signer: world.signer.clone(),
        signers: world.store.clone(),
        accords: world.revoke.accords.clone(),
        clock: world.clock.clone(),
    }
}

async fn fallen(world: &World, user: &str, token: u32) -> Fallen {
    let record = world.enrol(user, token).await;
    Fallen {
        issuer: record.issuer,
        serial: record.serial,
        user: record.user,
        code: "evidence-firmware-too-old".to_owned(),
        detail: "too old".to_owned(),
    }
}

pub(super) fn plan(fallen: &[Fallen], revoke_at: Timestamp) -> Plan {
    Plan {
        basis: "trust version 2".to_owned(),
        judged: 2,
        revoke_at,
        reason: RevocationReason::PrivilegeWithdrawn,
        fallen: fallen.to_vec(),
    }
}

async fn is_revoked(world: &World, fallen: &Fallen) -> bool {
    let record = world.store.certificate(&issuer_id(), &fallen.serial).await.expect("the store");
    matches!(record.expect("a row").state, CertificateState::Revoked { .. })
}

#[tokio::test]
async fn a_plan_revokes_at_its_date_and_not_before() {
    let world = World::new().await;
    let rejudge = rejudge(&world);
    let (one, other) = (fallen(&world, GENERAL, 1_000_001).await, fallen(&world, MASTER, 1_000_000).await);
    let now = world.clock.now();
    let past =
        rejudge.plan(clerk(), plan(std::slice::from_ref(&one), now - SignedDuration::from_secs(1))).await;
    assert!(matches!(past, Err(RejudgeError::Past(_))));
    assert!(matches!(rejudge.plan(clerk(), plan(&[], now)).await, Err(RejudgeError::NothingFell)));
    let gentle = Plan { reason: RevocationReason::Unspecified, ..plan(std::slice::from_ref(&one), now) };
    assert!(matches!(rejudge.plan(clerk(), gentle).await, Err(RejudgeError::Reason)));

    let date = now + SignedDuration::from_hours(24);
    let number = rejudge.plan(clerk(), plan(std::slice::from_ref(&one), date)).await.expect("planned");
    assert_eq!(rejudge.execute().await.expect("nothing is due"), Executed::default());
    assert!(!is_revoked(&world, &one).await);
    world.clock.advance(SignedDuration::from_hours(25));

    // Fails after the commit: the next run goes on, and nobody is revoked twice.
    world.store.faults().order("revoke_fallen", Fault::After);
    assert!(rejudge.execute().await.is_err());
    assert_eq!(rejudge.execute().await.expect("done"), Executed { plans: 1, revoked: 0 });
    assert!(is_revoked(&world, &one).await && !is_revoked(&world, &other).await);
    assert_eq!(world.rows("certificate.revoked"), 1);
    assert_eq!(rejudge.execute().await.expect("nothing is left"), Executed::default());
    let plans = world.store.rejudgements().await.expect("the store");
    assert_eq!(plans[0].ended.map(|(end, _)| end), Some(PlanEnd::Done));
    assert!(matches!(rejudge.cancel(clerk(), number).await, Err(RejudgeError::NoPlan(1))));
}

#[tokio::test]
async fn a_plan_that_was_called_off_revokes_nobody() {
    let world = World::new().await;
    let rejudge = rejudge(&world);
    let one = fallen(&world, GENERAL, 1_000_001).await;
    let date = world.clock.now() + SignedDuration::from_hours(1);
    let number = rejudge.plan(clerk(), plan(std::slice::from_ref(&one), date)).await.expect("planned");
    rejudge.cancel(clerk(), number).await.expect("called off");
    world.clock.advance(SignedDuration::from_hours(2));
    assert_eq!(rejudge.execute().await.expect("nothing is due"), Executed::default());
    assert!(!is_revoked(&world, &one).await);
    assert_eq!(world.rows("rejudgement.planned"), 1);
    assert_eq!(world.rows("rejudgement.ended"), 1);
}

/// Somebody calls the plan off as soon as it has revoked somebody.
struct CalledOffMeanwhile(Arc<MemoryStore>);

#[async_trait]
impl RejudgementStore for CalledOffMeanwhile {
    async fn plan_rejudgement(&self, plan: &NewRejudgement, audit: AuditEvent) -> StoreResult<u64> {
        self.0.plan_rejudgement(plan, audit).await
    }

    async fn rejudgements(&self) -> StoreResult<Vec<Rejudgement>> {
        self.0.rejudgements().await
    }

    async fn fallen(&self, plan: u64) -> StoreResult<Vec<Fallen>> {
        self.0.fallen(plan).await
    }

    async fn planned_revocation(
        &self,
        issuer: &IssuerId,
        serial: &SerialNumber,
    ) -> StoreResult<Option<Timestamp>> {
        self.0.planned_revocation(issuer, serial).await
    }

    async fn revoke_fallen(
        &self,
        plan: u64,
        issuer: &IssuerId,
        serial: &SerialNumber,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<RevokeOutcome> {
        let outcome = self.0.revoke_fallen(plan, issuer, serial, at, audit.clone()).await;
        if let Ok(RevokeOutcome::Revoked(_)) = outcome {
            let row = AuditEvent { action: "rejudgement.ended", ..audit };
            // `Missing` when it was called off already.
            let _ = self.0.end_rejudgement(plan, PlanEnd::Cancelled, at, row).await;
        }
        outcome
    }

    async fn end_rejudgement(
        &self,
        plan: u64,
        end: PlanEnd,
        at: Timestamp,
        audit: AuditEvent,
    ) -> StoreResult<()> {
        self.0.end_rejudgement(plan, end, at, audit).await
    }
}

/// Whom a plan hasn't revoked when it is called off it spares.
#[tokio::test]
async fn a_plan_that_is_called_off_while_it_is_executed_revokes_no_more() {
    let world = World::new().await;
    let rejudge = Rejudge { plans: Arc::new(CalledOffMeanwhile(world.store.clone())), ..rejudge(&world) };
    let both = [fallen(&world, GENERAL, 1_000_001).await, fallen(&world, MASTER, 1_000_000).await];
    let number = rejudge.plan(clerk(), plan(&both, world.clock.now())).await.expect("planned");
    assert_eq!(rejudge.execute().await.expect("called off"), Executed { plans: 0, revoked: 1 });

    let fallen = world.store.fallen(number).await.expect("the store");
    let [first, second] = fallen.as_slice() else { panic!("{fallen:?}") };
    assert!(is_revoked(&world, first).await && !is_revoked(&world, second).await);
    let journaled: Vec<_> = world.signer.revocations().into_iter().map(|one| one.serial).collect();
    assert_eq!(journaled, std::slice::from_ref(&first.serial), "the signer knows at once");
    let plans = world.store.rejudgements().await.expect("the store");
    assert_eq!(plans[0].ended.map(|(end, _)| end), Some(PlanEnd::Cancelled));
    assert_eq!((world.rows("certificate.revoked"), world.rows("rejudgement.ended")), (1, 1));
    assert_eq!(rejudge.execute().await.expect("nothing is left"), Executed::default());
}
