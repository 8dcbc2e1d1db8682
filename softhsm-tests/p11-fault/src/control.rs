//! The control socket: a line of JSON to it, a line of JSON back.
//!
//! | request | does |
//! | --- | --- |
//! | `{"command":"status"}` | nothing |
//! | `{"command":"set","settings":{"latency_us":8000,"lanes":16}}` | replaces how fast the device is |
//! | `{"command":"token","token":{"present":false,"max_sessions":4}}` | replaces how it treats who uses it ([`Conduct`](crate::settings::Conduct)) |
//! | `{"command":"fault","fault":{"function":"C_Sign","action":{"return":"CKR_DEVICE_ERROR"},"times":1}}` | has something go wrong, after the faults that are pending ([`Fault`](crate::faults::Fault)) |
//! | `{"command":"clear"}` | ends all faults; what hangs goes on |
//! | `{"command":"log_out"}` | logs the user out behind everybody's back |
//! | `{"command":"end_sessions"}` | ends all sessions, and with them the login |
//! | `{"command":"reset"}` | sets the counters to zero, except for the logins |
//!
//! The reply is the [`Status`](crate::device::Status) afterwards, or `{"error":"…"}`. All but the first and the last
//! three outlive the process.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::state::Change;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Something that outlives the process.
    Change(Change),
    /// Something that doesn't.
    Deed(Deed),
}

/// What changes nothing that is kept.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Deed {
    Status {},
    LogOut {},
    EndSessions {},
    Reset {},
}

/// Opens the socket, on which `answer` answers; one that a dead process left is replaced.
///
/// # Errors
/// When it can't be opened.
pub(crate) fn listen<A>(path: &Path, answer: A) -> io::Result<()>
where
    A: Fn(Request) -> Result<Value, String> + Copy + Send + 'static,
{
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    let accept = move || {
        for peer in listener.incoming().flatten() {
            // A connection that breaks is its peer's loss.
            let _ = thread::Builder::new().spawn(move || drop(serve(answer, &peer)));
        }
    };
    thread::Builder::new().name("p11-fault".to_owned()).spawn(accept).map(drop)
}

fn serve(answer: impl Fn(Request) -> Result<Value, String>, peer: &UnixStream) -> io::Result<()> {
    for line in BufReader::new(peer).lines() {
        let reply = read(&line?).and_then(&answer).unwrap_or_else(|error| json!({ "error": error }));
        let mut peer = peer;
        writeln!(peer, "{reply}")?;
    }
    Ok(())
}

/// What is no change may be a deed; the error is that of the one which it looks like.
fn read(line: &str) -> Result<Request, String> {
    let change = match serde_json::from_str(line) {
        Ok(change) => return Ok(Request::Change(change)),
        Err(error) => error.to_string(),
    };
    match serde_json::from_str(line) {
        Ok(deed) => Ok(Request::Deed(deed)),
        Err(_) if !change.contains("unknown variant") => Err(change),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_documented() {
        assert!(matches!(read(r#"{"command":"status"}"#), Ok(Request::Deed(Deed::Status {}))));
        assert!(matches!(read(r#"{"command":"log_out"}"#), Ok(Request::Deed(Deed::LogOut {}))));
        assert!(matches!(read(r#"{"command":"clear"}"#), Ok(Request::Change(Change::Clear {}))));
        let set = read(r#"{"command":"set","settings":{"latency_us":8000,"lanes":16}}"#).expect("read");
        let Request::Change(Change::Set { settings }) = set else { panic!("{set:?}") };
        assert_eq!(settings.latency_us, 8000);
        let fault = read(
            r#"{"command":"fault","fault":{"function":"C_Sign","action":{"return":"CKR_DEVICE_ERROR"}}}"#,
        );
        assert!(matches!(fault, Ok(Request::Change(Change::Fault { .. }))), "{fault:?}");
        assert!(read(r#"{"command":"status","of":1}"#).is_err() && read(r#"{"command":"halt"}"#).is_err());
        let misspelt = read(r#"{"command":"token","token":{"presnt":true}}"#).expect_err("misspelt");
        assert!(misspelt.contains("presnt"), "{misspelt}");
    }
}
