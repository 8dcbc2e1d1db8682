//! What a PKCS#11 module does by itself: signs with one key in so many threads, and tells how many signatures there
//! were in how long. A process of its own, as modules take their configuration from the environment.
//!
//! Prints `{"signatures":N,"seconds":S}` when done, and ends when its input is closed: until then the module stays
//! loaded, to be asked what it saw.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use serde_json::json;

/// Counts the signatures that a module makes.
#[derive(Debug, Parser)]
struct Arguments {
    /// The PKCS#11 module.
    #[arg(long)]
    module: PathBuf,
    /// The file with the user's PIN. The module's first initialised token is used.
    #[arg(long)]
    pin_file: PathBuf,
    /// `CKA_ID` of the key, hexadecimal.
    #[arg(long)]
    key: String,
    /// Threads, each with a session of its own.
    #[arg(long, default_value_t = 2)]
    threads: u16,
    /// For how long.
    #[arg(long, default_value_t = 5.0, conflicts_with = "count")]
    seconds: f64,
    /// How many signatures instead.
    #[arg(long)]
    count: Option<u64>,
}

/// When to stop.
#[derive(Clone, Copy)]
enum Limit {
    At(Instant),
    Count(u64),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when even that can't be said.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let pin = fs::read_to_string(&arguments.pin_file).context("reading the PIN")?;
    let key = hex::decode(&arguments.key).context("reading --key")?;
    let module = Pkcs11::new(&arguments.module).context("loading the module")?;
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .context("initialising the module")?;
    let slot = *module.get_slots_with_initialized_token()?.first().context("no token")?;
    // It keeps the login.
    let guard = module.open_ro_session(slot)?;
    guard.login(UserType::User, Some(&AuthPin::new(pin.trim_end().into()))).context("logging in")?;
    let began = Instant::now();
    let limit = match arguments.count {
        Some(count) => Limit::Count(count),
        None => Limit::At(began + Duration::from_secs_f64(arguments.seconds)),
    };
    let taken = AtomicU64::new(0);
    let signatures = thread::scope(|scope| {
        let lane = || sign(&module, slot, &key, limit, &taken);
        let lanes: Vec<_> = (0..arguments.threads).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane panicked")).sum::<Result<u64>>()
    })?;
    let result = json!({ "signatures": signatures, "seconds": began.elapsed().as_secs_f64() });
    writeln!(io::stdout(), "{result}").context("telling the result")?;
    io::stdin().read_to_end(&mut Vec::new()).context("waiting for the end of the input")?;
    Ok(())
}

fn sign(module: &Pkcs11, slot: Slot, id: &[u8], limit: Limit, taken: &AtomicU64) -> Result<u64> {
    let session = module.open_ro_session(slot)?;
    let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.to_vec())];
    let key = *session.find_objects(&wanted)?.first().context("no such key")?;
    let (mechanism, input) = how(&session, key)?;
    let mut signatures = 0;
    loop {
        match limit {
            Limit::At(end) if Instant::now() >= end => break,
            Limit::Count(count) if taken.fetch_add(1, Ordering::Relaxed) >= count => break,
            Limit::At(_) | Limit::Count(_) => {}
        }
        session.sign(&mechanism, key, &input)?;
        signatures += 1;
    }
    Ok(signatures)
}

/// The mechanism for this key, and something of a digest's length to sign.
fn how(session: &Session, key: cryptoki::object::ObjectHandle) -> Result<(Mechanism<'static>, Vec<u8>)> {
    let attributes = session.get_attributes(key, &[AttributeType::KeyType])?;
    match attributes.first() {
        Some(Attribute::KeyType(KeyType::EC)) => Ok((Mechanism::Ecdsa, vec![7; 32])),
        // A DigestInfo with SHA-256.
        Some(Attribute::KeyType(KeyType::RSA)) => Ok((Mechanism::RsaPkcs, vec![7; 51])),
        other => bail!("no key to sign with: {other:?}"),
    }
}
