//! Uses PC/SC and the `yubikey` crate on behalf of a test, in a process of its own: one JSON request per line in,
//! one JSON answer per line out. See `softhsm_tests::probe`.

use std::{
    ffi::CString,
    io::{self, BufRead, Write},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use pcsc::{Protocols, ReaderState, Scope, ShareMode, State};
use serde_json::{Value, json};
use softhsm_tests::probe::{Answer, Reader, Request};
use x509_cert::der::Encode;
use yubikey::{
    MgmKey, PinPolicy, Serial, TouchPolicy, YubiKey,
    piv::{self, AlgorithmId, SlotId},
};

fn main() -> Result<()> {
    let mut key = None;
    for line in io::stdin().lock().lines() {
        let outcome = serde_json::from_str(&line.context("reading a request")?)
            .context("decoding a request")
            .and_then(|request| serve(request, &mut key));
        let answer = match outcome {
            Ok(value) => Answer::Done(value),
            Err(error) => Answer::Failed(format!("{error:#}")),
        };
        let mut output = io::stdout().lock();
        serde_json::to_writer(&mut output, &answer).context("answering")?;
        writeln!(output).and_then(|()| output.flush()).context("answering")?;
    }
    Ok(())
}

fn serve(request: Request, key: &mut Option<YubiKey>) -> Result<Value> {
    match request {
        Request::Readers => readers(),
        Request::Wait { reader, present, timeout } => wait(&reader, present, Duration::from_millis(timeout)),
        Request::Transmit { reader, commands } => transmit(&reader, &commands),
        Request::Open { serial } => {
            // The old one first: a second handle to the same card would wait for it.
            *key = None;
            let opened = YubiKey::open_by_serial(Serial(serial))?;
            let version = opened.version().to_string();
            *key = Some(opened);
            Ok(json!(version))
        }
        request => serve_key(request, key.as_mut().context("no YubiKey is open")?),
    }
}

fn serve_key(request: Request, key: &mut YubiKey) -> Result<Value> {
    match request {
        Request::VerifyPin { pin } => key.verify_pin(pin.as_bytes())?,
        Request::PinRetries => return Ok(json!(key.get_pin_retries()?)),
        Request::ChangePin { old, new } => key.change_pin(old.as_bytes(), new.as_bytes())?,
        Request::ChangePuk { old, new } => key.change_puk(old.as_bytes(), new.as_bytes())?,
        Request::UnblockPin { puk, new } => key.unblock_pin(puk.as_bytes(), new.as_bytes())?,
        Request::Authenticate { protected } => {
            let management = if protected { MgmKey::get_protected(key)? } else { MgmKey::get_default(key)? };
            key.authenticate(&management)?;
        }
        Request::ProtectManagementKey => {
            MgmKey::generate_for(key, &mut rand::rng())?.set_protected(key)?;
        }
        Request::Generate { slot, algorithm, pin, touch } => {
            let (pin, touch) = (pin_policy(pin)?, touch_policy(touch)?);
            let public = piv::generate(key, self::slot(&slot)?, self::algorithm(&algorithm)?, pin, touch)?;
            return Ok(json!(hex::encode(public.to_der()?)));
        }
        Request::ImportP256 { slot, scalar } => {
            let (touch, pin) = (TouchPolicy::Default, PinPolicy::Default);
            piv::import_ecc_key(
                key,
                self::slot(&slot)?,
                AlgorithmId::EccP256,
                &hex::decode(scalar)?,
                touch,
                pin,
            )?;
        }
        Request::Attest { slot } => return Ok(json!(hex::encode(piv::attest(key, self::slot(&slot)?)?))),
        Request::Sign { slot, algorithm, input } => {
            let input = hex::decode(input)?;
            let result = piv::sign_data(key, &input, self::algorithm(&algorithm)?, self::slot(&slot)?)?;
            return Ok(json!(hex::encode(result)));
        }
        Request::Fetch { object } => return Ok(json!(hex::encode(key.fetch_object(tag(&object)?)?))),
        Request::Save { object, content } => key.save_object(tag(&object)?, &mut hex::decode(content)?)?,
        Request::Metadata { slot } => {
            let metadata = piv::metadata(key, self::slot(&slot)?)?;
            let (pin, touch) = metadata.policy.context("no policies")?;
            let generated = metadata.origin == Some(piv::Origin::Generated);
            return Ok(json!((generated, u8::from(pin), u8::from(touch))));
        }
        Request::Readers | Request::Wait { .. } | Request::Transmit { .. } | Request::Open { .. } => {
            bail!("not a request to an open YubiKey")
        }
    }
    Ok(Value::Null)
}

fn slot(text: &str) -> Result<SlotId> {
    let number = u8::from_str_radix(text, 16).with_context(|| format!("`{text}` is not a slot"))?;
    SlotId::try_from(number).with_context(|| format!("`{text}` is not a slot"))
}

fn tag(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 16).with_context(|| format!("`{text}` is not an object"))
}

fn algorithm(text: &str) -> Result<AlgorithmId> {
    Ok(match text {
        "rsa1024" => AlgorithmId::Rsa1024,
        "rsa2048" => AlgorithmId::Rsa2048,
        "rsa3072" => AlgorithmId::Rsa3072,
        "rsa4096" => AlgorithmId::Rsa4096,
        "p256" => AlgorithmId::EccP256,
        "p384" => AlgorithmId::EccP384,
        _ => bail!("`{text}` is not an algorithm"),
    })
}

fn pin_policy(number: u8) -> Result<PinPolicy> {
    PinPolicy::try_from(number).map_err(|_| anyhow!("{number} is not a PIN policy"))
}

fn touch_policy(number: u8) -> Result<TouchPolicy> {
    TouchPolicy::try_from(number).map_err(|_| anyhow!("{number} is not a touch policy"))
}

fn readers() -> Result<Value> {
    let context = pcsc::Context::establish(Scope::User)?;
    let mut states: Vec<ReaderState> = context
        .list_readers_owned()?
        .into_iter()
        .map(|name| ReaderState::new(name, State::UNAWARE))
        .collect();
    if !states.is_empty() {
        context.get_status_change(Duration::ZERO, &mut states)?;
    }
    let readers: Vec<_> = states
        .iter()
        .map(|state| Reader {
            name: state.name().to_string_lossy().into_owned(),
            present: state.event_state().contains(State::PRESENT),
        })
        .collect();
    Ok(json!(readers))
}

/// Driven by pcscd's events; looks again by itself only for readers that don't exist yet.
fn wait(reader: &str, present: bool, timeout: Duration) -> Result<Value> {
    const LOOK_AGAIN: Duration = Duration::from_millis(200);
    let started = Instant::now();
    let context = pcsc::Context::establish(Scope::User)?;
    let mut states = [ReaderState::new(CString::new(reader)?, State::UNAWARE)];
    loop {
        let left = timeout.checked_sub(started.elapsed()).context("it never came to that")?;
        match context.get_status_change(left.min(LOOK_AGAIN), &mut states) {
            Ok(()) | Err(pcsc::Error::Timeout) => {
                let seen = states[0].event_state();
                let known = !seen.intersects(State::UNKNOWN | State::UNAVAILABLE);
                let settled = seen.contains(if present { State::PRESENT } else { State::EMPTY });
                if known && settled && !seen.contains(State::MUTE) {
                    return Ok(Value::Null);
                }
                if !known {
                    std::thread::sleep(LOOK_AGAIN);
                }
                states[0].sync_current_state();
            }
            Err(pcsc::Error::UnknownReader) => std::thread::sleep(LOOK_AGAIN),
            Err(error) => return Err(error.into()),
        }
    }
}

fn transmit(reader: &str, commands: &[String]) -> Result<Value> {
    let context = pcsc::Context::establish(Scope::User)?;
    let mut card = context.connect(&CString::new(reader)?, ShareMode::Shared, Protocols::T1)?;
    let transaction = card.transaction()?;
    let mut answers = Vec::new();
    for command in commands {
        let mut buffer = vec![0; pcsc::MAX_BUFFER_SIZE_EXTENDED];
        answers.push(hex::encode(transaction.transmit(&hex::decode(command)?, &mut buffer)?));
    }
    drop(transaction);
    // What has been proven to the card stays proven, for an open YubiKey beside this.
    card.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error)?;
    Ok(json!(answers))
}
