//! What can go wrong with a simulated HSM, as its control socket takes it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

/// Something that goes wrong at calls of one PKCS#11 function: at all of them until it is cleared, unless said otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    function: &'static str,
    action: Value,
    times: Option<u64>,
    done: bool,
}

impl Fault {
    fn new(function: &'static str, action: Value) -> Self {
        Self { function, action, times: None, done: false }
    }

    /// The function returns this, such as `CKR_DEVICE_ERROR`.
    pub fn returns(function: &'static str, code: &str) -> Self {
        Self::new(function, json!({ "return": code }))
    }

    /// The function takes so much longer; `None`: until faults are cleared.
    pub fn hangs(function: &'static str, time: Option<Duration>) -> Self {
        Self::new(function, json!({ "hang": time.map(|time| time.as_millis()) }))
    }

    /// The process dies of SIGSEGV.
    pub fn segfault(function: &'static str) -> Self {
        Self::new(function, json!("segfault"))
    }

    /// The process aborts.
    pub fn abort(function: &'static str) -> Self {
        Self::new(function, json!("abort"))
    }

    /// A bit of the signature is wrong.
    pub fn corrupt_signature() -> Self {
        Self::new("C_Sign", json!("corrupt_signature"))
    }

    /// The private key with this `CKA_ID` signs instead.
    pub fn other_key(id: &str) -> Self {
        Self::new("C_SignInit", json!({ "other_key": id }))
    }

    /// So many times, and then no more.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// After the token has done what it was asked: its answer is lost.
    #[must_use]
    pub fn when_done(self) -> Self {
        Self { done: true, ..self }
    }
}

/// How the HSM treats who uses it.
#[derive(Clone, Debug, Serialize)]
pub struct Conduct {
    /// Whether the token is in its slot. When it is taken out, all its sessions end for good.
    pub present: bool,
    /// Sessions that may be open at once.
    pub max_sessions: Option<u16>,
    /// What is lost when nobody calls for a while.
    pub idle: Option<Idle>,
    /// The user's PIN, which is typed at the device: a login must give none.
    pub protected_path: Option<String>,
}

/// What is lost when nobody has called for so long.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Idle {
    /// Milliseconds.
    pub after_ms: u64,
    /// What.
    pub loses: Loss,
}

/// What an HSM may forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The login; the sessions stay.
    Login,
    /// All sessions, and with them the login.
    Sessions,
}

impl Conduct {
    /// As SoftHSM does it.
    pub const PLAIN: Self = Self { present: true, max_sessions: None, idle: None, protected_path: None };
    /// The token is out of its slot.
    pub const ABSENT: Self = Self { present: false, ..Self::PLAIN };
}
