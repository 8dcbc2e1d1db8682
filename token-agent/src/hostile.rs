//! Octets from strangers: whatever a reader of foreign structures is given, a server's answer, a card's object, a file that
//! somebody sent, it answers and doesn't panic. `make test` gives each a few thousand, always the same. `make soak` gives
//! millions (`INRO_HOSTILE_INPUTS`), each time others (`INRO_HOSTILE_SEED` repeats them), and there each has 100 ms: a test
//! asserts no times.

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

#[path = "../../softhsm-tests/src/soak/bend.rs"]
mod bend;

/// The longest that any input may take.
const BOUND: Duration = Duration::from_millis(100);
const USUAL_INPUTS: u64 = 3000;

/// Gives `read` octets that were bent from the samples.
pub(crate) fn bombard(samples: &[Vec<u8>], read: impl Fn(&[u8])) {
    bombard_with(|rng| bend::hostile(samples, rng), read);
}

/// Gives `read` documents whose values were bent, and now and then the octets of one.
pub(crate) fn bombard_json(samples: &[Value], read: impl Fn(&[u8])) {
    let written = |value: &Value| serde_json::to_vec(value).expect("JSON");
    let octets: Vec<Vec<u8>> = samples.iter().map(written).collect();
    let input = |rng: &mut StdRng| {
        if rng.random_range(0..5) == 0 {
            return bend::hostile(&octets, rng);
        }
        let mut document = samples[rng.random_range(0..samples.len())].clone();
        for _ in 0..rng.random_range(1..4) {
            bend_value(&mut document, rng);
        }
        written(&document)
    };
    bombard_with(input, read);
}

fn bombard_with(mut input: impl FnMut(&mut StdRng) -> Vec<u8>, read: impl Fn(&[u8])) {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let full = number("INRO_HOSTILE_INPUTS");
    let seed = number("INRO_HOSTILE_SEED").unwrap_or_else(|| if full.is_some() { rand::random() } else { 1 });
    let mut rng = StdRng::seed_from_u64(seed);
    for place in 0..full.unwrap_or(USUAL_INPUTS) {
        let octets = input(&mut rng);
        let began = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| read(&octets)));
        let took = began.elapsed();
        let head = || hex::encode(&octets[..octets.len().min(4096)]);
        assert!(ended.is_ok(), "input {place} of INRO_HOSTILE_SEED={seed} panicked: {}", head());
        assert!(
            full.is_none() || took <= BOUND,
            "input {place} of INRO_HOSTILE_SEED={seed} took {took:?}: {}",
            head()
        );
    }
}

/// One change at a random place, which may be the whole document.
fn bend_value(document: &mut Value, rng: &mut StdRng) {
    let mut places = vec![String::new()];
    collect(document, "", &mut places);
    let other = places[rng.random_range(0..places.len())].clone();
    let other = document.pointer(&other).cloned().unwrap_or_default();
    let place = &places[rng.random_range(0..places.len())];
    let Some(value) = document.pointer_mut(place) else { return };
    let new = match (rng.random_range(0..10), &*value) {
        (0, _) => Value::Null,
        (1, _) => other,
        (2, _) => (0..rng.random_range(1..200)).fold(Value::Null, |inner, _| json!([inner])),
        (3, Value::Array(items)) => items.iter().cycle().take((items.len() * 60).min(200)).cloned().collect(),
        (_, Value::Number(_)) => {
            let extremes = [json!(0), json!(-1), json!(u64::MAX), json!(i64::MIN), json!(1e308), json!(0.5)];
            extremes[rng.random_range(0..extremes.len())].clone()
        }
        (_, Value::String(text)) => Value::String(bend_text(text, rng)),
        (4, _) => json!("\u{202e}\u{0}\u{1b}[2J"),
        _ => return,
    };
    *value = new;
}

/// Octets in base64 or PEM stay that, and others are in them; a text becomes another one.
fn bend_text(text: &str, rng: &mut StdRng) -> String {
    if let Ok((_, der)) = der::pem::decode_vec(text.as_bytes()) {
        let bent = bend::hostile(&[der], rng);
        return der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &bent).unwrap_or_default();
    }
    match (STANDARD.decode(text), URL_SAFE_NO_PAD.decode(text)) {
        (Ok(octets), _) if rng.random_range(0..8) > 0 => STANDARD.encode(bend::hostile(&[octets], rng)),
        (_, Ok(octets)) if rng.random_range(0..8) > 0 => {
            URL_SAFE_NO_PAD.encode(bend::hostile(&[octets], rng))
        }
        _ => String::from_utf8_lossy(&bend::hostile(&[text.as_bytes().to_vec()], rng)).into_owned(),
    }
}

fn collect(value: &Value, here: &str, places: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let place = format!("{here}/{name}");
        collect(value, &place, places);
        places.push(place);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| below(&n.to_string(), item)),
        Value::Object(members) => members.iter().for_each(|(name, member)| below(name, member)),
        _ => {}
    }
}
