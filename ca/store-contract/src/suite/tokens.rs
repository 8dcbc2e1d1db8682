//! The token inventory.

use ca_core::{
    domain::{
        contract::Contract,
        ids::ContractNumber,
        policy::{ListedToken, TokenRecord, TokenState},
    },
    ports::{inventory::TokenFilter, store::Conflict},
};

use crate::samples::{
    Ledger, at, contract, customers, device, event, number, refused, user_id, verified_actions,
};

fn listed(n: u32) -> ListedToken {
    ListedToken { device: device(n), model: n.is_multiple_of(2).then(|| "YubiKey 5C NFC 'FIPS'".to_owned()) }
}

fn in_stock(n: u32) -> TokenRecord {
    let ListedToken { device, model } = listed(n);
    TokenRecord {
        device,
        model,
        state: TokenState::InStock,
        user: None,
        registered_at: at(1),
        changed_at: at(1),
    }
}

fn handed_out() -> TokenState {
    TokenState::HandedOut { contract: number() }
}

/// Tokens in stock, handed out, and lost.
pub async fn keep_some(store: &impl Ledger) {
    let tokens: Vec<_> = (801..=803).map(listed).collect();
    store.register_tokens(&tokens, at(1), event("token.registered")).await.expect("registered");
    for (n, next) in [(802, handed_out()), (803, TokenState::Lost)] {
        let token = device(n);
        let moved = store.move_token(&token, &TokenState::InStock, &next, at(2), event("token.moved"));
        moved.await.expect("moved");
    }
}

pub async fn a_list_of_tokens_is_registered_whole_or_not_at_all(store: impl Ledger) {
    let register = |tokens: Vec<ListedToken>| {
        let store = &store;
        async move { store.register_tokens(&tokens, at(1), event("token.registered")).await }
    };
    register((1..=3).map(listed).collect()).await.expect("registered");
    refused(register(vec![listed(4), listed(2)]).await, Conflict::Taken);
    assert_eq!(store.token(&device(4)).await.expect("a query"), None, "nor is the new one of that list");
    register(vec![listed(4)]).await.expect("registered");

    assert_eq!(store.token(&device(2)).await.expect("a query"), Some(in_stock(2)));
    let all: Vec<_> = (1..=4).map(in_stock).collect();
    assert_eq!(store.tokens(&TokenFilter::All, None, 9).await.expect("a query"), all);
    assert_eq!(store.tokens(&TokenFilter::All, Some(&device(2)), 1).await.expect("a query"), all[2..3]);
    let mut known = store.registered_among(&[device(4), device(9), device(1)]).await.expect("a query");
    known.sort_by_key(|device| device.serial.clone());
    assert_eq!(known, [device(1), device(4)]);
    assert_eq!(verified_actions(&store).await, ["token.registered"; 2]);
}

pub async fn a_token_moves_from_the_state_that_was_seen(store: impl Ledger) {
    customers(&store, 1).await;
    store.register_tokens(&[listed(1)], at(1), event("token.registered")).await.expect("registered");
    let go = |seen: TokenState, next: TokenState, seconds| {
        let store = &store;
        async move { store.move_token(&device(1), &seen, &next, at(seconds), event("token.moved")).await }
    };
    go(TokenState::InStock, handed_out(), 5).await.expect("handed out");
    let expected = TokenRecord { state: handed_out(), changed_at: at(5), ..in_stock(1) };
    assert_eq!(store.token(&device(1)).await.expect("a query"), Some(expected));
    refused(go(TokenState::InStock, TokenState::Lost, 6).await, Conflict::Taken);
    let nobody = TokenState::HandedOut { contract: ContractNumber::parse("0000").expect("a number") };
    refused(go(handed_out(), nobody, 6).await, Conflict::Missing);
    let unknown = device(9);
    let moved =
        store.move_token(&unknown, &TokenState::InStock, &TokenState::Lost, at(6), event("token.moved"));
    refused(moved.await, Conflict::Missing);
    go(handed_out(), TokenState::Retired, 7).await.expect("retired");
    let moved = verified_actions(&store).await.into_iter().filter(|action| action == "token.moved").count();
    assert_eq!(moved, 2);
}

/// Of a state or a contract, a page at a time.
pub async fn tokens_are_listed_by_state_and_contract(store: impl Ledger) {
    customers(&store, 1).await;
    let tokens: Vec<_> = (1..=6).map(listed).collect();
    store.register_tokens(&tokens, at(1), event("token.registered")).await.expect("registered");
    for (n, next) in [(2, TokenState::Lost), (3, handed_out()), (5, TokenState::Lost), (6, handed_out())] {
        let token = device(n);
        let moved = store.move_token(&token, &TokenState::InStock, &next, at(2), event("token.moved"));
        moved.await.expect("moved");
    }
    let list = |filter: TokenFilter, after: Option<u32>, limit| {
        let store = &store;
        async move {
            let after = after.map(device);
            let found = store.tokens(&filter, after.as_ref(), limit).await.expect("a query");
            found.into_iter().map(|token| token.device).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(TokenFilter::InState("lost"), None, 9).await, [device(2), device(5)]);
    assert_eq!(list(TokenFilter::InState("lost"), None, 1).await, [device(2)]);
    assert_eq!(list(TokenFilter::InState("lost"), Some(2), 9).await, [device(5)]);
    assert_eq!(list(TokenFilter::InState("in-stock"), Some(1), 9).await, [device(4)]);
    assert_eq!(list(TokenFilter::InState("retired"), None, 9).await, []);
    assert_eq!(list(TokenFilter::With(number()), None, 9).await, [device(3), device(6)]);
    assert_eq!(list(TokenFilter::With(number()), Some(3), 9).await, [device(6)]);
    let other = ContractNumber::parse("7654321").expect("a number");
    assert_eq!(list(TokenFilter::With(other), None, 9).await, []);
}

/// What is assigned is with the user's contract, and what is with no customer is assigned to nobody.
pub async fn assignments_and_inventory_agree(store: impl Ledger) {
    customers(&store, 2).await;
    let other = Contract { number: ContractNumber::parse("7654321").expect("a number"), ..contract(1) };
    store.register_contract(&other, event("contract.registered")).await.expect("another contract");
    store
        .register_tokens(&(1..=3).map(listed).collect::<Vec<_>>(), at(1), event("token.registered"))
        .await
        .expect("registered");
    let assign = |user, token| {
        let store = &store;
        async move { store.assign_device(&user_id(user), Some(&device(token)), event("token.assigned")).await }
    };
    assign(1, 1).await.expect("from the stock");
    let token = store.token(&device(1)).await.expect("a query").expect("the token");
    assert_eq!((token.state, token.user), (handed_out(), Some(user_id(1))));
    assign(2, 9).await.expect("one that the inventory doesn't know");

    let elsewhere = TokenState::HandedOut { contract: other.number.clone() };
    let go = |token, seen: TokenState, next: TokenState| {
        let store = &store;
        async move { store.move_token(&device(token), &seen, &next, at(9), event("token.moved")).await }
    };
    go(2, TokenState::InStock, elsewhere).await.expect("handed out");
    refused(assign(2, 2).await, Conflict::TokenUnfit);
    go(3, TokenState::InStock, TokenState::Broken).await.expect("broken");
    refused(assign(2, 3).await, Conflict::TokenUnfit);

    go(1, handed_out(), TokenState::Lost).await.expect("lost");
    let user = store.user(&user_id(1)).await.expect("a query").expect("the user");
    assert_eq!(user.assigned_device, None, "taken away in the same commit");
}
