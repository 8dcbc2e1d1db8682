//! What the simulated device is like when nothing is wrong with it.

use std::{num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Serialize};

/// How fast the device is. What isn't given is as the real module does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Microseconds from the moment that the device takes up a signature to its end.
    pub(crate) latency_us: u64,
    /// Signatures that the device makes at once; others wait. `null` is no limit.
    pub(crate) lanes: Option<NonZeroUsize>,
}

impl Settings {
    /// How long a signature takes at least.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us)
    }
}

/// How the device treats who uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Conduct {
    /// Whether the token is in its slot. When it is taken out, all its sessions end for good.
    pub(crate) present: bool,
    /// Sessions that may be open at once; further ones are `CKR_SESSION_COUNT`.
    pub(crate) max_sessions: Option<usize>,
    /// What happens when nobody has called for a while.
    pub(crate) idle: Option<Idle>,
    /// The user's PIN, which is typed at the device: `C_Login` must give none.
    pub(crate) protected_path: Option<String>,
}

/// What is lost when nobody has called for so many milliseconds; it is noticed at the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Idle {
    pub(crate) after_ms: u64,
    pub(crate) loses: Loss,
}

/// What a device may forget behind its users' back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// The user is logged out; the sessions stay.
    Login,
    /// All sessions end, and with them the login.
    Sessions,
}

impl Default for Conduct {
    fn default() -> Self {
        Self { present: true, max_sessions: None, idle: None, protected_path: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_or_senseless_is_refused() {
        let read = |text| serde_json::from_str::<Settings>(text);
        let settings = read(r#"{"latency_us": 8000, "lanes": 16}"#).expect("as documented");
        assert_eq!((settings.latency(), settings.lanes), (Duration::from_millis(8), NonZeroUsize::new(16)));
        assert_eq!(read("{}").expect("all by default"), Settings::default());
        assert!(read(r#"{"latency": 8}"#).is_err() && read(r#"{"lanes": 0}"#).is_err());

        let read = |text| serde_json::from_str::<Conduct>(text);
        assert!(read("{}").expect("all by default").present);
        let conduct = read(r#"{"idle": {"after_ms": 45000, "loses": "login"}}"#).expect("as documented");
        assert_eq!(conduct.idle, Some(Idle { after_ms: 45_000, loses: Loss::Login }));
        assert!(read(r#"{"idle": {"after_ms": 45000, "loses": "keys"}}"#).is_err());
    }
}
