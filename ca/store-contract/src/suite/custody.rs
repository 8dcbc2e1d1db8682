//! PUKs in custody, and requests to unblock a PIN.

use ca_core::{
    domain::custody::{KeptPuk, Sealed, Stage, Unblocking},
    ports::{
        custody::AskLimit,
        store::{Conflict, StoreResult},
    },
};
use uuid::Uuid;

use crate::samples::{Ledger, at, customers, device, digest, event, key, refused, user_id};

fn puk(n: u128, token: u32, seconds: i64) -> KeptPuk {
    KeptPuk {
        deposit: Uuid::from_u128(n),
        device: device(token),
        user: user_id(1),
        sealed: Sealed { key_version: 1, nonce: [u8::try_from(n).expect("small"); 12], octets: vec![7; 24] },
        deposited_at: at(seconds),
        confirmed_at: None,
    }
}

async fn kept(store: &impl Ledger, token: u32) -> Vec<u128> {
    let puks = store.puks_of(&device(token)).await.expect("PUKs");
    puks.iter().map(|puk| puk.deposit.as_u128()).collect()
}

pub async fn of_a_token_two_puks_are_kept_at_the_most(store: impl Ledger) {
    customers(&store, 2).await;
    let deposit = async |n: u128, proven: Option<u128>| -> StoreResult<()> {
        let puk = puk(n, 1, i64::try_from(n).expect("small"));
        store.deposit_puk(&puk, proven.map(Uuid::from_u128), event("puk.deposited")).await
    };
    let confirm =
        async |n: u128| store.confirm_puk(Uuid::from_u128(n), None, at(50), event("puk.confirmed")).await;
    deposit(1, None).await.expect("over the factory's");
    // Interrupted before the token had it: it has the factory's still.
    deposit(2, None).await.expect("over the factory's");
    assert_eq!(kept(&store, 1).await, [2]);
    confirm(2).await.expect("confirmed");
    confirm(2).await.expect("a repeat");
    store.deposit_puk(&puk(9, 2, 9), None, event("puk.deposited")).await.expect("another token's");
    deposit(3, Some(2)).await.expect("beside the one that the token has");
    assert_eq!(kept(&store, 1).await, [3, 2], "the last deposited first");
    deposit(4, Some(2)).await.expect("in place of the one that it never got");
    assert_eq!(kept(&store, 1).await, [4, 2]);
    refused(deposit(4, Some(2)).await, Conflict::Taken);
    for gone in [3, 9] {
        refused(deposit(5, Some(gone)).await, Conflict::Missing);
    }
    confirm(4).await.expect("confirmed");
    assert_eq!((kept(&store, 1).await, kept(&store, 2).await), (vec![4], vec![9]));
    refused(confirm(2).await, Conflict::Missing);
    let found = store.puk(Uuid::from_u128(4)).await.expect("a PUK").expect("a PUK");
    assert_eq!(found, KeptPuk { confirmed_at: Some(at(50)), ..puk(4, 1, 4) });
}

pub async fn a_new_custody_key_takes_over_row_by_row(store: impl Ledger) {
    customers(&store, 2).await;
    for n in 1..=3 {
        let token = u32::try_from(n).expect("small");
        store.deposit_puk(&puk(n, token, 0), None, event("puk.deposited")).await.expect("kept");
    }
    let fresh = Sealed { key_version: 2, nonce: [9; 12], octets: vec![8; 24] };
    let reseal = async |n| store.reseal_puk(Uuid::from_u128(n), &fresh, event("puk.resealed")).await;
    reseal(2).await.expect("resealed");
    assert_eq!(store.puk_census().await.expect("counts"), [(1, 2), (2, 1)]);
    let first = store.puks_not_under(2, None, 1).await.expect("a page");
    assert_eq!(first.iter().map(|puk| puk.deposit.as_u128()).collect::<Vec<_>>(), [1]);
    let next = store.puks_not_under(2, Some(first[0].deposit), 5).await.expect("a page");
    assert_eq!(next.iter().map(|puk| puk.deposit.as_u128()).collect::<Vec<_>>(), [3]);
    let found = store.puk(Uuid::from_u128(2)).await.expect("a PUK").expect("a PUK");
    assert_eq!(found.sealed, fresh);
    refused(reseal(7).await, Conflict::Missing);
}

fn asked(n: u32, user: u32, seconds: i64) -> Unblocking {
    Unblocking {
        id: Uuid::from_u128(u128::from(n)),
        idempotency_key: key(n),
        user: user_id(user),
        device: device(user),
        bearer_sha256: digest(1, n),
        asked_at: at(seconds),
        expires_at: at(seconds + 100),
        stage: Stage::Waiting,
        decision: None,
    }
}

pub async fn a_puk_is_released_once_after_an_approval_in_time(store: impl Ledger) {
    customers(&store, 2).await;
    let limit = AskLimit { since: at(-1), at_most: 5 };
    let ask = async |request: &Unblocking| store.ask_unblocking(request, limit, event("asked")).await;
    let decide = async |n: u32, approved, seconds| {
        let id = Uuid::from_u128(u128::from(n));
        store.decide_unblocking(id, approved, at(seconds), at(seconds + 10), event("decided")).await
    };
    let release = async |n: u32, seconds| {
        let id = Uuid::from_u128(u128::from(n));
        store.release_unblocking(id, at(seconds), at(seconds + 10), event("released")).await
    };
    ask(&asked(1, 1, 0)).await.expect("asked");
    refused(ask(&asked(1, 2, 0)).await, Conflict::Taken);
    refused(release(1, 1).await, Conflict::Missing);
    decide(1, true, 5).await.expect("approved");
    refused(decide(1, false, 5).await, Conflict::Missing);
    refused(release(1, 15).await, Conflict::Missing);
    release(1, 14).await.expect("in time");
    refused(release(1, 14).await, Conflict::Missing);
    let found = store.unblocking(Uuid::from_u128(1)).await.expect("a request").expect("a request");
    assert_eq!((found.stage, found.expires_at), (Stage::Released, at(24)));
    assert_eq!(found.decision, Some(("operator:tester".to_owned(), at(5))));

    // What the token took is confirmed: the request is done with it.
    store.deposit_puk(&puk(1, 1, 20), None, event("puk.deposited")).await.expect("kept");
    let done = store.confirm_puk(Uuid::from_u128(1), Some(found.id), at(21), event("puk.confirmed")).await;
    done.expect("confirmed");
    let stage = store.unblocking(found.id).await.expect("a request").expect("a request").stage;
    assert_eq!(stage, Stage::Done);
}

pub async fn a_user_has_one_open_request_and_a_few_in_a_day(store: impl Ledger) {
    customers(&store, 2).await;
    let limit = AskLimit { since: at(0), at_most: 2 };
    let ask = async |request: &Unblocking| store.ask_unblocking(request, limit, event("asked")).await;
    for (n, seconds) in [(1, 0), (2, 1), (3, 2)] {
        ask(&asked(n, 1, seconds)).await.unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    refused(ask(&asked(4, 1, 3)).await, Conflict::Quota);
    ask(&asked(5, 2, 3)).await.expect("another user's");
    let stages: Vec<_> =
        store.unblockings_of(&user_id(1), 9).await.expect("requests").into_iter().map(|r| r.stage).collect();
    assert_eq!(stages, [Stage::Waiting, Stage::Withdrawn, Stage::Withdrawn], "newest first");
    let waiting = async |seconds| -> Vec<u128> {
        let waiting = store.waiting_unblockings(at(seconds), 9).await.expect("requests");
        waiting.iter().map(|request| request.id.as_u128()).collect()
    };
    assert_eq!(waiting(50).await, [3, 5], "oldest first");
    assert_eq!(waiting(102).await, [5], "its time ran out");
    store.rebear_unblocking(Uuid::from_u128(3), &digest(2, 3)).await.expect("another bearer");
    let found = store.unblocking_by_key(&key(3)).await.expect("a request").expect("a request");
    assert_eq!(found, Unblocking { bearer_sha256: digest(2, 3), ..asked(3, 1, 2) });
    assert!(store.unblocking_by_key(&key(9)).await.expect("an answer").is_none());
}

/// A PUK and a request.
pub async fn keep_some(store: &impl Ledger) {
    store.deposit_puk(&puk(1, 901, 1), None, event("puk.deposited")).await.expect("kept");
    let limit = AskLimit { since: at(0), at_most: 5 };
    store.ask_unblocking(&asked(901, 1, 1), limit, event("asked")).await.expect("asked");
}
