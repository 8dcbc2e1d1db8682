//! Contracts and users.

use ca_core::{
    domain::{
        enrolment::AcquisitionCode,
        user::{Role, UserState},
    },
    ports::store::Conflict,
};

use crate::samples::{
    Ledger, at, contract, customers, device, digest, event, issue, number, refused, user, user_id,
    verified_actions,
};

pub async fn a_contract_is_registered_once(store: impl Ledger) {
    assert_eq!(store.contract(&number()).await.expect("a query"), None);
    store.register_contract(&contract(9), event("contract.registered")).await.expect("the contract");
    refused(store.register_contract(&contract(19), event("contract.registered")).await, Conflict::Taken);
    assert_eq!(store.contract(&number()).await.expect("a query"), Some(contract(9)));
    assert_eq!(store.contracts().await.expect("a query"), [contract(9)]);
    assert_eq!(verified_actions(&store).await, ["contract.registered"]);
}

/// Rule 1: 1 master and the plan's general users.
pub async fn the_plan_bounds_the_users(store: impl Ledger) {
    refused(store.register_user(&user(0, Role::Master), event("user.registered")).await, Conflict::Missing);
    customers(&store, 2).await;
    refused(store.register_user(&user(9, Role::General), event("user.registered")).await, Conflict::Quota);
    refused(store.register_user(&user(9, Role::Master), event("user.registered")).await, Conflict::Quota);
    let users = store.users_of(&number()).await.expect("a query");
    let ids: Vec<_> = users.iter().map(|user| user.id.clone()).collect();
    assert_eq!(ids, [user_id(0), user_id(1), user_id(2)], "master first, then by ID");
    assert_eq!(users[2], user(2, Role::General));
}

/// Rule 7: an ID is never reused.
pub async fn a_removed_user_leaves_the_place_but_keeps_the_id(store: impl Ledger) {
    customers(&store, 1).await;
    store
        .set_user_state(&user_id(1), UserState::Suspended, event("user.suspended"))
        .await
        .expect("suspended");
    refused(store.register_user(&user(2, Role::General), event("user.registered")).await, Conflict::Quota);
    store.set_user_state(&user_id(1), UserState::Removed, event("user.removed")).await.expect("removed");
    let removed = store.user(&user_id(1)).await.expect("a query").expect("the user");
    assert_eq!((removed.email, removed.assigned_device), (None, None), "more than ID and name was kept");
    refused(store.register_user(&user(1, Role::General), event("user.registered")).await, Conflict::Taken);
    store.register_user(&user(2, Role::General), event("user.registered")).await.expect("the place is free");
    refused(
        store.set_user_state(&user_id(1), UserState::Active, event("user.activated")).await,
        Conflict::Missing,
    );
    refused(
        store.set_user_state(&user_id(8), UserState::Active, event("user.activated")).await,
        Conflict::Missing,
    );
}

/// Rule 12: a serial belongs to at most one user.
pub async fn a_token_serves_one_user(store: impl Ledger) {
    customers(&store, 2).await;
    let assign = |n, token| {
        let store = &store;
        async move { store.assign_device(&user_id(n), Some(&device(token)), event("token.assigned")).await }
    };
    assign(1, 7).await.expect("assigned");
    assign(1, 7).await.expect("assigned again");
    refused(assign(2, 7).await, Conflict::DeviceInUse);
    store.assign_device(&user_id(1), None, event("token.taken")).await.expect("taken away");
    assign(2, 7).await.expect("free again");
    issue(&store, 1).await;
    refused(assign(2, 1).await, Conflict::DeviceInUse);
    refused(assign(8, 9).await, Conflict::Missing);
    let assigned = store.user(&user_id(2)).await.expect("a query").expect("the user").assigned_device;
    assert_eq!(assigned, Some(device(7)));
}

/// Rule 13: wrong attempts burn the code, and each leaves a trace also where there is none.
pub async fn attempts_burn_a_code(store: impl Ledger) {
    customers(&store, 1).await;
    let code = AcquisitionCode { sha256: digest(9, 1), expires_at: at(100), attempts_left: 2 };
    refused(store.set_acquisition_code(&user_id(8), &code, event("code.issued")).await, Conflict::Missing);
    store.set_acquisition_code(&user_id(1), &code, event("code.issued")).await.expect("the code");
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), Some(code.clone()));
    for left in [Some(1), None, None] {
        store.spend_code_attempt(&user_id(1), event("code.spent")).await.expect("spent");
        let code = store.acquisition_code(&user_id(1)).await.expect("a query");
        assert_eq!(code.map(|code| code.attempts_left), left);
    }
    store.spend_code_attempt(&user_id(8), event("code.spent")).await.expect("nobody's attempt");
    store.set_acquisition_code(&user_id(1), &code, event("code.issued")).await.expect("a new one");
    assert_eq!(store.acquisition_code(&user_id(1)).await.expect("a query"), Some(code));
    let spent = verified_actions(&store).await.into_iter().filter(|action| action == "code.spent").count();
    assert_eq!(spent, 4);
}
