//! Policies, their assignments, and the fleet that is judged by them.

use ca_core::{
    domain::{
        ids::{ContractNumber, PolicyName},
        policy::{Assignment, PolicyRecord, PolicyVersion},
        revocation::RevocationReason,
    },
    ports::{fleet::FleetPlace, store::Conflict},
};

use crate::samples::{
    Ledger, at, contract, customers, enrolment, event, evidence, intend, issue, issuer, number, record,
    refused, serial, verified_actions,
};

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).expect("a policy name")
}

fn policy(text: &str, version: u32) -> PolicyRecord {
    PolicyRecord {
        id: PolicyVersion { name: name(text), version },
        text: format!("name = \"{text}\" # 方針\nversion = {version}\n"),
        reason: "申請 '12'\\".to_owned(),
        by: "operator:tester".to_owned(),
        at: at(i64::from(version)),
    }
}

fn assignment(policy: Option<&str>, seconds: i64) -> Assignment {
    Assignment {
        contract: number(),
        policy: policy.map(name),
        reason: "because".to_owned(),
        by: "operator:tester".to_owned(),
        at: at(seconds),
    }
}

/// Two versions of a policy, which the contract was given and has no more.
pub async fn keep_some(store: &impl Ledger) {
    for version in [1, 2] {
        store.set_policy(&policy("strict", version), event("policy.set")).await.expect("a policy");
    }
    for (policy, seconds) in [(Some("strict"), 1), (None, 2)] {
        let assignment = assignment(policy, seconds);
        store.assign_policy(&assignment, event("policy.assigned")).await.expect("assigned");
    }
}

/// Of two operators who change the same version one is told that the other was faster, and nothing is lost.
pub async fn each_version_of_a_policy_is_set_once(store: impl Ledger) {
    assert_eq!(store.policy_head().await.expect("a query"), 0);
    let set = |policy: PolicyRecord| {
        let store = &store;
        async move { store.set_policy(&policy, event("policy.set")).await }
    };
    refused(set(policy("strict", 2)).await, Conflict::Missing);
    set(policy("strict", 1)).await.expect("the first");
    refused(set(policy("strict", 1)).await, Conflict::Taken);
    let head = store.policy_head().await.expect("a query");
    set(policy("strict", 2)).await.expect("the second");
    assert!(store.policy_head().await.expect("a query") > head, "nodes see that there is something new");
    let late = PolicyRecord { text: "another's".to_owned(), ..policy("strict", 2) };
    refused(set(late).await, Conflict::Taken);
    refused(set(policy("strict", 4)).await, Conflict::Missing);
    set(policy("lenient", 1)).await.expect("another");

    let versions = store.policy_versions(&name("strict")).await.expect("a query");
    assert_eq!(versions, [policy("strict", 1), policy("strict", 2)]);
    assert_eq!(store.policy_versions(&name("unknown")).await.expect("a query"), []);
    let in_force = store.policies_in_force().await.expect("a query");
    assert_eq!(in_force.policies, [policy("lenient", 1), policy("strict", 2)], "the newest of each, by name");
    assert_eq!(in_force.head, store.policy_head().await.expect("a query"));
    assert_eq!(verified_actions(&store).await, ["policy.set"; 3]);
}

pub async fn the_last_assignment_of_a_contract_counts(store: impl Ledger) {
    let assign = |assignment: Assignment| {
        let store = &store;
        async move { store.assign_policy(&assignment, event("policy.assigned")).await }
    };
    refused(assign(assignment(None, 0)).await, Conflict::Missing);
    store.register_contract(&contract(9), event("contract.registered")).await.expect("the contract");
    refused(assign(assignment(Some("strict"), 0)).await, Conflict::Missing);
    for name in ["strict", "lenient"] {
        store.set_policy(&policy(name, 1), event("policy.set")).await.expect("a policy");
    }
    let head = store.policy_head().await.expect("a query");
    assign(assignment(Some("strict"), 1)).await.expect("assigned");
    assert!(store.policy_head().await.expect("a query") > head);
    let in_force = store.policies_in_force().await.expect("a query");
    assert_eq!(in_force.assigned, [(number(), name("strict"))]);

    assign(assignment(Some("lenient"), 2)).await.expect("assigned");
    let in_force = store.policies_in_force().await.expect("a query");
    assert_eq!(in_force.assigned, [(number(), name("lenient"))]);
    assign(assignment(None, 3)).await.expect("the bank's own again");
    assert_eq!(store.policies_in_force().await.expect("a query").assigned, []);
    let history = store.policy_assignments(&number()).await.expect("a query");
    let expected = [assignment(Some("strict"), 1), assignment(Some("lenient"), 2), assignment(None, 3)];
    assert_eq!(history, expected, "nothing is lost");
}

/// What is judged again: issued, not revoked, not expired; each with all of its evidence, page by page.
pub async fn the_fleet_is_what_lives_with_its_evidence(store: impl Ledger) {
    customers(&store, 6).await;
    for n in 1..=4 {
        issue(&store, n).await;
    }
    intend(&store, 5).await.expect("an intent");
    let reason = RevocationReason::Superseded;
    store.revoke(&issuer(), &serial(2), reason, at(20), event("certificate.revoked")).await.expect("revoked");

    let (own, other) = (number(), ContractNumber::parse("7654321").expect("a number"));
    let size = |contract, when| {
        let store = &store;
        async move { store.fleet_size(&issuer(), contract, when).await.expect("a query") }
    };
    assert_eq!(size(None, at(30)).await, 3);
    assert_eq!(size(Some(&own), at(30)).await, 3);
    assert_eq!(size(Some(&other), at(30)).await, 0);
    assert_eq!(size(None, record(1).not_after + jiff::SignedDuration::from_secs(1)).await, 0);

    let page = |after, limit| {
        let store = &store;
        async move { store.fleet(&issuer(), None, at(30), after, limit).await.expect("a query") }
    };
    let first = page(FleetPlace::default(), 2).await;
    let serials: Vec<_> = first.iter().map(|member| member.serial.clone()).collect();
    assert_eq!(serials, [serial(1), serial(3)]);
    let member = &first[0];
    assert_eq!((&member.user, &member.contract), (&record(1).user, &number()));
    assert_eq!((&member.device, member.assurance), (&record(1).device, record(1).assurance));
    assert_eq!((member.binding, &member.ak_name), (enrolment(1).binding, &None));
    assert_eq!(member.evidence, evidence("accepted"));
    let second = page(first[1].place, 2).await;
    assert_eq!(second.iter().map(|member| member.serial.clone()).collect::<Vec<_>>(), [serial(4)]);
    assert_eq!(page(second[0].place, 2).await, []);
    let of_other = store.fleet(&issuer(), Some(&other), at(30), FleetPlace::default(), 9).await;
    assert_eq!(of_other.expect("a query"), []);
}
