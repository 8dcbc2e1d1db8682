//! `search`: what a clerk waits for at the console among so many users, on both engines: the slowest of the questions that
//! its pages ask the ledger, first pages and later ones, rare names and the most frequent one.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ca_core::{
    domain::ids::{TokenSerial, UserId},
    ports::search::{AuditFilter, SearchStore},
};
use softhsm_tests::bank::{Bank, Options};
use store_postgres::{PostgresStore, Server};
use store_sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::{
    Lab,
    figure::{Better, Figure, Latency, Round},
    ledger::Ledger,
};

/// So long a page may wait for the ledger.
const ALLOWED_MS: f64 = 50.0;
/// Users of a contract.
const SEATS: usize = 10;
/// A page of results.
const PAGE: u32 = 50;
/// Questions of a kind.
const ASKED: usize = 200;
/// Rows of the trail that a filter looks through at a time.
const WINDOW: u64 = 20_000;
/// Four family names; every fourth user has the first.
const FAMILIES: &str = "佐藤鈴木高橋田中";
/// Ten characters of given names.
const GIVEN: &str = "一二三花雪春夏秋冬光";

pub(crate) fn search(lab: &Lab) -> Result<Vec<Figure>> {
    let runtime = Runtime::new().context("starting a runtime")?;
    let mut figures = Vec::new();
    for engine in ["sqlite", "postgres"] {
        let bank = Bank::prepare(&lab.directory(&format!("search-{engine}")), &Options::default())?;
        let ledger = if engine == "sqlite" { Ledger::sqlite(&bank) } else { Ledger::postgres(&bank)? };
        bank.hold_ceremony()?;
        bank.migrate()?;
        let began = Instant::now();
        fill(&ledger, lab.certificates())?;
        lab.say(&format!(
            "  {}: {} users within {:.0} s",
            ledger.name(),
            lab.certificates(),
            began.elapsed().as_secs_f64()
        ));
        figures.push(runtime.block_on(measure(lab, engine, &ledger))?);
    }
    Ok(figures)
}

/// Contracts, users and a row of the trail for each, whose hashes are nobody's: nothing here looks at those.
fn fill(ledger: &Ledger, users: usize) -> Result<()> {
    let number = |of: &str| format!("'9' || {}", ledger.padded(of, 6));
    let user = |of: &str| format!("'search-' || {}", ledger.padded(of, 7));
    let (contract, contract_of_user) = (number("value"), number(&format!("value / {SEATS}")));
    let given = |divisor: usize| format!("substr('{GIVEN}', CAST(value / {divisor} % 10 AS INTEGER) + 1, 1)");
    let name = format!(
        "substr('{FAMILIES}', CAST(value % 4 AS INTEGER) * 2 + 1, 2) || ' ' || {} || {} || {}",
        given(4),
        given(40),
        given(400)
    );
    let hash = match ledger {
        Ledger::Sqlite(_) => "zeroblob(32)",
        Ledger::Postgres(..) => "decode(repeat('00', 32), 'hex')",
    };
    let analyse = match ledger {
        Ledger::Sqlite(_) => "",
        Ledger::Postgres(..) => "ANALYZE;",
    };
    let (id, last, contracts) = (user("value"), users.saturating_sub(1), users.div_ceil(SEATS) - 1);
    let sql = format!(
        "BEGIN;
         INSERT INTO contracts (number, name, general_users, registered_at)
         SELECT {contract}, '北海商事' || {contract}, {SEATS}, 0 FROM generate_series(0, {contracts}) AS value;
         INSERT INTO users (id, contract, role, display_name, state, device_kind, device_serial, registered_at)
         SELECT {id}, {contract_of_user}, 'general', {name}, 'active', 'yubikey-piv',
                CAST(100000000 + value AS TEXT), 0 FROM generate_series(0, {last}) AS value;
         INSERT INTO audit (sequence, at, actor, action, subject, details, hash)
         SELECT value + (SELECT coalesce(max(sequence), 0) FROM audit) + 1, value, 'system', 'user.registered', {id},
                '[]', {hash} FROM generate_series(0, {last}) AS value;
         COMMIT;
         {analyse}"
    );
    ledger.execute(&sql).map(drop).context("filling the ledger")
}

async fn measure(lab: &Lab, engine: &str, ledger: &Ledger) -> Result<Figure> {
    let store: Box<dyn SearchStore> = match ledger {
        Ledger::Sqlite(file) => Box::new(SqliteStore::open(file, &store_sqlite::Options::default()).await?),
        Ledger::Postgres(cluster, database) => {
            let server = Server::parse(&cluster.url(database))?;
            Box::new(PostgresStore::open(&server, &store_postgres::Options::default()).await?)
        }
    };
    let (store, users) = (&*store, lab.certificates());
    let mut slowest: Option<(&str, Latency)> = None;
    let mut notes = Vec::new();
    for question in QUESTIONS {
        let mut took = Vec::with_capacity(ASKED);
        for n in 0..ASKED {
            // Spread over all of them, and the same in each run.
            let which = n * 7_919 % users;
            let began = Instant::now();
            let found = question.ask(store, which, users).await?;
            took.push(began.elapsed());
            ensure!(found > 0, "{question:?} found nothing for user {which}");
        }
        let latency = Latency::of(took).context("nothing was asked")?;
        notes.push(format!(
            "{}: p50 {:.2} ms, p99 {:.2} ms",
            question.name(),
            latency.p50_ms,
            latency.p99_ms
        ));
        if slowest.is_none_or(|(_, other)| latency.p99_ms > other.p99_ms) {
            slowest = Some((question.name(), latency));
        }
    }
    let (name, latency) = slowest.context("nothing was asked")?;
    let round = Round { ours: latency.p99_ms, baseline: ALLOWED_MS };
    let mut figure = Figure::of(
        format!("search_{engine}"),
        ("ms", Better::Lower),
        vec![round],
        "the 50 ms that are allowed",
    )
    .reaching(1.0)
    .with_note(format!("{users} users on {}; slowest: {name}", ledger.name()));
    figure.latency = Some(latency);
    Ok(notes.into_iter().fold(figure, Figure::with_note))
}

/// What the console's pages ask.
#[derive(Clone, Copy, Debug)]
enum Question {
    Contract,
    FrequentName,
    RareName,
    LaterPage,
    Id,
    Token,
    History,
    Trail,
}

const QUESTIONS: [Question; 8] = [
    Question::Contract,
    Question::FrequentName,
    Question::RareName,
    Question::LaterPage,
    Question::Id,
    Question::Token,
    Question::History,
    Question::Trail,
];

impl Question {
    fn name(self) -> &'static str {
        match self {
            Self::Contract => "contracts by the beginning of the name",
            Self::FrequentName => "users by a name that every fourth has",
            Self::RareName => "users by a whole name",
            Self::LaterPage => "the page after somebody in the middle",
            Self::Id => "users by the beginning of the ID",
            Self::Token => "who has a token",
            Self::History => "what happened to a user",
            Self::Trail => "a filter that lets nothing of a window through, and then one that does",
        }
    }

    /// How much it found.
    async fn ask(self, store: &dyn SearchStore, which: usize, users: usize) -> Result<usize> {
        let given = |n: usize| GIVEN.chars().nth(n % 10).unwrap_or_default();
        let family: String = FAMILIES.chars().skip(which % 4 * 2).take(2).collect();
        let name = format!("{family} {}{}{}", given(which / 4), given(which / 40), given(which / 400));
        let id = format!("search-{which:07}");
        Ok(match self {
            Self::Contract => {
                let prefix = format!("北海商事9{:04}", which / SEATS / 100);
                store.contracts_by_name(&prefix, None, PAGE).await?.len()
            }
            Self::FrequentName => store.users_by_name("佐藤", None, PAGE).await?.len(),
            Self::RareName => store.users_by_name(&name, None, PAGE).await?.len(),
            Self::LaterPage => {
                let after = UserId::parse(&format!("search-{:07}", users / 2))?;
                store.users_by_name("佐藤", Some(("佐藤 三", &after)), PAGE).await?.len()
            }
            Self::Id => store.users_by_id(&id[..id.len() - 2], None, PAGE).await?.len(),
            Self::Token => {
                store.users_by_token(&TokenSerial::parse(&(100_000_000 + which).to_string())?).await?.len()
            }
            Self::History => store.audit_about(&id, u64::MAX, PAGE).await?.len(),
            Self::Trail => {
                let before = u64::try_from(users)?;
                let nothing =
                    AuditFilter { actor: Some("staff:nobody".to_owned()), ..AuditFilter::default() };
                let found = store.audit_before(&nothing, before, WINDOW, PAGE).await?;
                ensure!(found.is_empty(), "the filter lets through what it shouldn't");
                store.audit_before(&AuditFilter::default(), before, WINDOW, PAGE).await?.len()
            }
        })
    }
}
