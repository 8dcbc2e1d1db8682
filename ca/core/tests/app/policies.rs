//! Policies by contract: what is set when, whom it holds for, what it would have refused, and the tokens that the bank
//! knows.

use std::sync::{Arc, Mutex};

use ca_core::{
    app::{
        enrol::{certify::CertifyError, open::OpenError},
        inventory::{Inventory, InventoryError, KnownTokens, Line, LineProblem},
        judge_fleet::{Bench, JudgeFleet, Scope},
        manage_policies::{ManagePolicies, PolicyError, Set},
    },
    domain::{
        attestation::yubikey::TouchPolicy,
        enrolment::Binding,
        ids::{ContractNumber, PolicyName},
        policy::{
            BindingRules, DevicePolicy, InventoryRule, ListedToken, PolicyRules, Reason, TokenState,
            UnfitToken,
        },
        revocation::RevocationReason,
        user::Role,
    },
    ports::store::{CertificateStore, CustomerStore},
};
use ca_x509::KeyKind;
use jiff::SignedDuration;

use crate::{
    device::{Statement, device},
    pki::issuer_id,
    world::{GENERAL, MASTER, World, clerk, contract, user},
};

const SERIAL: u32 = 1_000_001;

fn name(text: &str) -> PolicyName {
    PolicyName::parse(text).expect("a policy name")
}

fn manage(world: &World) -> ManagePolicies {
    ManagePolicies {
        policies: world.store.clone(),
        customers: world.store.clone(),
        audit: world.store.clone(),
        clock: world.clock.clone(),
        form: world.form.clone(),
    }
}

fn inventory(world: &World) -> Inventory {
    world.inventory()
}

fn touch_always() -> PolicyRules {
    let mut devices = DevicePolicy::default();
    devices.yubikey.touch_policies = vec![TouchPolicy::Always];
    PolicyRules { devices, ..PolicyRules::default() }
}

fn binding(accepted: &[Binding]) -> PolicyRules {
    PolicyRules { binding: BindingRules::of(accepted.to_vec()).expect("rules"), ..PolicyRules::default() }
}

/// Sets a policy and gives it to the one contract; nodes see it a second later.
async fn hold(world: &World, version: u32, rules: PolicyRules) {
    let text = world.form.write("strict", version, rules);
    manage(world).set(clerk(), &text, "a test").await.expect("set");
    manage(world).assign(clerk(), &contract(), Some(&name("strict")), "a test").await.expect("assigned");
    world.clock.advance(SignedDuration::from_secs(1));
}

#[tokio::test]
async fn the_contracts_policy_judges_from_the_next_second_on_and_stands_with_the_verdict() {
    let world = World::new().await;
    let opened = world.opened(GENERAL, SERIAL, "one").await;
    assert_eq!(opened.policy.id.to_string(), "bank/1");
    hold(&world, 1, touch_always()).await;

    let token = world.maker.token(&Statement::of(SERIAL));
    let refused = world.certified(&opened, &token).await.expect_err("the touch policy is never");
    let CertifyError::Refused(refusal) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.code, "evidence-touch-policy");
    let stored = world.store.evidence(opened.enrolment.id).await.expect("the store").expect("evidence");
    assert_eq!(stored.policy.to_string(), "strict/1");

    let again = world.opened(GENERAL, SERIAL, "two").await;
    assert_eq!(again.policy.id.to_string(), "strict/1");
    assert_eq!(again.policy.rules.devices.yubikey.touch_policies, [TouchPolicy::Always], "what is told");
    hold(&world, 2, PolicyRules::default()).await;
    world.certified(&again, &token).await.expect("a certificate under the second version");
    let stored = world.store.evidence(again.enrolment.id).await.expect("the store").expect("evidence");
    assert_eq!(stored.policy.to_string(), "strict/2");
    manage(&world).assign(clerk(), &contract(), None, "back to the bank's").await.expect("assigned");
    world.clock.advance(SignedDuration::from_secs(1));
    let policy = world.open.policies.of(&contract()).await.expect("the ledger");
    assert_eq!(policy.id.to_string(), "bank/1");
    world.audit.run().await.expect("a whole chain");
}

#[tokio::test]
async fn a_contract_whose_policy_cannot_be_read_gets_nothing_and_others_go_on() {
    let world = World::new().await;
    hold(&world, 1, PolicyRules::default()).await;
    // What a newer program may have written.
    let unreadable = ca_core::domain::policy::PolicyRecord {
        id: ca_core::domain::policy::PolicyVersion { name: name("strict"), version: 2 },
        text: "from the future".to_owned(),
        reason: "a test".to_owned(),
        by: "clerk".to_owned(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let row = ca_core::domain::audit::AuditEvent {
        at: jiff::Timestamp::UNIX_EPOCH,
        actor: clerk(),
        action: "policy.set",
        subject: String::new(),
        details: Vec::new(),
    };
    ca_core::ports::policies::PolicyStore::set_policy(&*world.store, &unreadable, row).await.expect("set");
    world.clock.advance(SignedDuration::from_secs(1));
    let error = world.opening_fails(World::asked(GENERAL, SERIAL, "one")).await;
    assert!(matches!(error, OpenError::Failure(_)), "{error:?}");
    let other = ContractNumber::parse("7654321").expect("a number");
    world.open.policies.of(&other).await.expect("the bank's own");
}

/// Two operators changed the same version: one wins, the other is told whose work is there, and nothing is lost.
#[tokio::test]
async fn of_two_operators_one_wins_and_the_other_is_told() {
    let world = World::new().await;
    let manage = manage(&world);
    let first = world.form.write("strict", 1, PolicyRules::default());
    assert!(matches!(manage.set(clerk(), &first, "first").await, Ok(Set::New(_))));
    assert!(matches!(manage.set(clerk(), &first, "first").await, Ok(Set::Standing(_))), "a repeat");

    let one = world.form.write("strict", 2, touch_always());
    let two = world.form.write("strict", 2, binding(&[Binding::FirstCome]));
    let (one, two) = tokio::join!(manage.set(clerk(), &one, "one"), manage.set(clerk(), &two, "two"));
    let (winners, losers): (Vec<_>, Vec<_>) = [one, two].into_iter().partition(Result::is_ok);
    assert_eq!((winners.len(), losers.len()), (1, 1));
    let error = losers.into_iter().next().and_then(Result::err).expect("a loser");
    let PolicyError::NotTheNext { next, standing, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*next, 3);
    assert!(standing.contains("version 2 was set") && standing.contains("clerk"), "{standing}");
    assert!(world.last_row().starts_with("policy.refused"), "{}", world.last_row());
    assert_eq!(manage.versions(&name("strict")).await.expect("versions").len(), 2);

    for (text, expected) in [
        (world.form.write("bank", 1, PolicyRules::default()), "banks-own"),
        (world.form.write("strict", 9, PolicyRules::default()), "not-the-next-version"),
        ("nonsense".to_owned(), "unreadable"),
        ("x".repeat(70_000), "too-long"),
    ] {
        manage.set(clerk(), &text, "a test").await.expect_err(expected);
        assert!(world.last_row().contains(expected), "{}", world.last_row());
    }
    let unknown = manage.assign(clerk(), &contract(), Some(&name("nobody")), "a test").await;
    assert!(matches!(unknown, Err(PolicyError::UnknownPolicy(_))), "{unknown:?}");
    let empty = manage.assign(clerk(), &contract(), None, " ").await;
    assert!(matches!(empty, Err(PolicyError::Reason(_))), "{empty:?}");
}

/// Rule 12, 先着: "First-come binding exists, per contract, off by default."
#[tokio::test]
async fn rule_12_first_come_is_per_contract_and_for_the_first_certificate() {
    let world = World::new().await;
    let newcomer = "hokkai-02";
    world.register(newcomer, Role::General, None).await;
    let error = world.opening_fails(World::asked(newcomer, 1_000_002, "off")).await;
    assert!(matches!(error, OpenError::Authentication), "{error:?}");

    hold(&world, 1, binding(&[Binding::AssignedSerial, Binding::FirstCome])).await;
    world.clock.advance(SignedDuration::from_mins(1));
    let record = world.enrol(newcomer, 1_000_002).await;
    let enrolment = world.store.enrolment(record.intent).await.expect("the store").expect("the enrolment");
    assert_eq!(enrolment.binding, Binding::FirstCome);

    world.revoke_user(newcomer, RevocationReason::Superseded).await;
    let error = world.opening_fails(World::asked(newcomer, 1_000_003, "second")).await;
    assert!(matches!(error, OpenError::Authentication), "{error:?}");
    assert!(world.last_row().contains("why=binding-not-first"), "{}", world.last_row());
    world.clock.advance(SignedDuration::from_mins(1));
    world
        .customers
        .assign_device(clerk(), &user(newcomer), Some(&device(1_000_003)))
        .await
        .expect("assigned");
    world.enrol(newcomer, 1_000_003).await;
}

/// Rule 12: what bound the user when the enrolment was opened isn't accepted any more when the certificate is issued.
#[tokio::test]
async fn rule_12_a_binding_that_the_policy_drops_binds_no_more() {
    let world = World::new().await;
    let newcomer = "hokkai-02";
    world.register(newcomer, Role::General, None).await;
    hold(&world, 1, binding(&[Binding::FirstCome])).await;
    let opened = world.opened(newcomer, 1_000_002, "one").await;
    hold(&world, 2, PolicyRules::default()).await;
    let token = world.maker.token(&Statement::of(1_000_002));
    let error = world.certified(&opened, &token).await.expect_err("first come was switched off");
    assert!(matches!(error, CertifyError::Policy(Reason::TokenNotAssigned)), "{error:?}");
}

#[tokio::test]
async fn a_required_inventory_is_asked_when_a_token_is_assigned_and_when_it_is_used() {
    let world = World::new().await;
    let inventory = inventory(&world);
    hold(&world, 1, PolicyRules { inventory: InventoryRule::Required, ..PolicyRules::default() }).await;

    let error = world.opening_fails(World::asked(GENERAL, SERIAL, "unknown")).await;
    let OpenError::Policy(Reason::Token(unfit)) = error else { panic!("{error:?}") };
    assert_eq!(unfit, UnfitToken::Unknown);
    let unknown = world.customers.assign_device(clerk(), &user(MASTER), Some(&device(7))).await;
    assert!(unknown.is_err_and(|error| error.to_string().contains("inventory")));

    let lines = [SERIAL, 7].map(|n| Line { number: n as usize, token: listed(n) });
    inventory.import(clerk(), "list.csv", lines.to_vec(), KnownTokens::Refuse).await.expect("imported");
    world.customers.assign_device(clerk(), &user(MASTER), Some(&device(7))).await.expect("assigned");
    let shown = inventory.show(&device(7)).await.expect("known");
    assert_eq!(shown.state, TokenState::HandedOut { contract: contract() });
    assert_eq!(shown.user, Some(user(MASTER)));
    world.enrol(GENERAL, SERIAL).await;

    let moved =
        inventory.put(&clerk(), &device(7), &TokenState::Lost, Some("branch 12")).await.expect("lost");
    assert_eq!(moved.before.user, Some(user(MASTER)));
    let master = world.store.user(&user(MASTER)).await.expect("the store").expect("the master");
    assert_eq!(master.assigned_device, None, "a lost token is nobody's");
    let back = inventory.put(&clerk(), &device(7), &TokenState::InStock, None).await;
    assert!(matches!(back, Err(InventoryError::NotPossible { .. })), "{back:?}");
    assert!(world.last_row().starts_with("token.refused"), "{}", world.last_row());
    world.audit.run().await.expect("a whole chain");
}

/// A token that was lost meanwhile gets no certificate by a code that was handed out before.
#[tokio::test]
async fn a_lost_token_is_refused_though_nothing_requires_the_inventory() {
    let world = World::new().await;
    let newcomer = "hokkai-02";
    world.register(newcomer, Role::General, None).await;
    let code = world.issue_code(newcomer).await;
    let inventory = inventory(&world);
    let line = Line { number: 1, token: listed(1_000_002) };
    inventory.import(clerk(), "list.csv", vec![line], KnownTokens::Refuse).await.expect("imported");
    let mut asked = World::asked(newcomer, 1_000_002, "one");
    World::login_of(&mut asked).acquisition_code = Some(code);
    let opened = world.open.run(asked).await.expect("the token is in stock");
    inventory.put(&clerk(), &device(1_000_002), &TokenState::Lost, None).await.expect("lost");
    let token = world.maker.token(&Statement::of(1_000_002));
    let error = world.certified(&opened, &token).await.expect_err("it is lost");
    assert!(matches!(error, CertifyError::Policy(Reason::Token(UnfitToken::OutOfUse))), "{error:?}");
}

fn listed(serial: u32) -> ListedToken {
    ListedToken { device: device(serial), model: None }
}

#[tokio::test]
async fn a_list_with_a_bad_line_is_refused_whole_and_every_bad_line_is_named() {
    let world = World::new().await;
    let inventory = inventory(&world);
    let line = |number, serial| Line { number, token: listed(serial) };
    inventory.import(clerk(), "a", vec![line(1, 5)], KnownTokens::Refuse).await.expect("imported");
    let lines = vec![line(2, 6), line(3, 5), line(4, 7), line(5, 6)];
    let refused = inventory.import(clerk(), "b", lines.clone(), KnownTokens::Refuse).await;
    let Err(InventoryError::Lines(problems)) = refused else { panic!("{refused:?}") };
    let expected = [(line(3, 5), LineProblem::Known), (line(5, 6), LineProblem::Repeated { first: 2 })];
    assert_eq!(problems, expected);
    assert!(inventory.show(&device(7)).await.is_err(), "nothing of the list was taken");
    let kept = vec![line(2, 6), line(3, 5), line(4, 7)];
    let imported = inventory.import(clerk(), "b", kept, KnownTokens::Skip).await.expect("imported");
    assert_eq!((imported.registered, imported.skipped), (2, 1));
    let empty = inventory.import(clerk(), "c", Vec::new(), KnownTokens::Refuse).await;
    assert!(matches!(empty, Err(InventoryError::Empty)), "{empty:?}");
}

/// What would this policy have refused? Nothing is changed by asking.
#[tokio::test]
async fn the_fleet_is_judged_again_without_changing_anything() {
    let world = World::new().await;
    world.enrol(GENERAL, SERIAL).await;
    world.enrol(MASTER, 1_000_000).await;
    let rows = world.store.audit_rows().len();
    let engine = JudgeFleet { fleet: world.store.clone(), clock: world.clock.clone() };
    let scope = Scope { issuer: issuer_id(), contract: None };
    let anchors = world.maker.anchors();
    let fallen = |devices: DevicePolicy| {
        let devices = Arc::new(devices);
        let (engine, scope, anchors) = (&engine, &scope, &anchors);
        async move {
            let codes = Mutex::new(Vec::new());
            let policy_of = |_: &ContractNumber| Some(devices.clone());
            let bench = Bench { anchors, policy_of: &policy_of };
            let tally = engine
                .run(scope, &bench, &mut |page, _| {
                    let fallen = page.into_iter().filter_map(|judged| judged.verdict.err());
                    codes.lock().expect("a lock").extend(fallen.map(|fall| fall.code));
                    true
                })
                .await
                .expect("judged");
            assert_eq!((tally.total, tally.judged), (2, 2));
            codes.into_inner().expect("a lock")
        }
    };
    assert_eq!(fallen(DevicePolicy::default()).await, Vec::<String>::new());
    assert_eq!(fallen(touch_always().devices).await, ["evidence-touch-policy"; 2]);
    let rsa = DevicePolicy { algorithms: vec![KeyKind::Rsa { bits: 2048 }], ..DevicePolicy::default() };
    assert_eq!(fallen(rsa).await, ["evidence-algorithm"; 2]);
    assert_eq!(world.store.audit_rows().len(), rows, "nothing was written");

    // Years later, when makers' certificates may have expired, it is still what it was; what expired is left out.
    world.clock.advance(SignedDuration::from_hours(24 * 300));
    assert_eq!(fallen(DevicePolicy::default()).await, Vec::<String>::new());
}
