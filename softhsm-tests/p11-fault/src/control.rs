//! The control socket: a line of JSON to it, a line of JSON back.
//!
//! | request | does |
//! | --- | --- |
//! | `{"command":"status"}` | nothing |
//! | `{"command":"set","settings":{"latency_us":8000,"lanes":16}}` | replaces all settings |
//! | `{"command":"reset"}` | sets the counters to zero |
//!
//! The reply is the status afterwards, `{"process":…,"settings":{…},"calls":{"C_Sign":…},"signatures":{…}}`, or
//! `{"error":"…"}`.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::Once,
    thread,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{device::Device, settings::Settings};

#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Status {},
    Set { settings: Settings },
    Reset {},
}

/// Opens the socket, once in this process; one that a dead process left is replaced.
///
/// # Errors
/// When it can't be opened.
pub(crate) fn start(device: &'static Device) -> io::Result<()> {
    static STARTED: Once = Once::new();
    let mut outcome = Ok(());
    if let Some(path) = device.control() {
        STARTED.call_once(|| outcome = listen(device, path));
    }
    outcome
}

fn listen(device: &'static Device, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let accept = move || {
        for peer in listener.incoming().flatten() {
            // A connection that breaks is its peer's loss.
            let _ = thread::Builder::new().spawn(move || drop(serve(device, &peer)));
        }
    };
    thread::Builder::new().name("p11-fault".to_owned()).spawn(accept).map(drop)
}

fn serve(device: &Device, peer: &UnixStream) -> io::Result<()> {
    for line in BufReader::new(peer).lines() {
        let reply = answer(device, &line?).unwrap_or_else(|error| json!({ "error": error }));
        let mut peer = peer;
        writeln!(peer, "{reply}")?;
    }
    Ok(())
}

fn answer(device: &Device, line: &str) -> Result<Value, String> {
    match serde_json::from_str(line).map_err(|error| error.to_string())? {
        Request::Status {} => {}
        Request::Set { settings } => device.set(settings).map_err(|error| error.to_string())?,
        Request::Reset {} => device.reset(),
    }
    serde_json::to_value(device.status()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_documented() {
        let read = |text| serde_json::from_str::<Request>(text);
        assert!(matches!(read(r#"{"command":"status"}"#), Ok(Request::Status {})));
        assert!(matches!(read(r#"{"command":"reset"}"#), Ok(Request::Reset {})));
        let set = read(r#"{"command":"set","settings":{"latency_us":8000,"lanes":16}}"#).expect("read");
        let Request::Set { settings } = set else { panic!("{set:?}") };
        assert_eq!(settings.latency_us, 8000);
        assert!(read(r#"{"command":"status","of":1}"#).is_err() && read(r#"{"command":"halt"}"#).is_err());
    }
}
