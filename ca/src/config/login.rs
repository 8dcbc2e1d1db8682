//! `[login]` and `[passwords]`: portal sessions and password hashing.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    lock_at: u32,
    attempts_at_once: u32,
    attempt_every: String,
    idle: String,
    absolute: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            lock_at: 5,
            attempts_at_once: 20,
            attempt_every: "3s".to_owned(),
            idle: "15m".to_owned(),
            absolute: "8h".to_owned(),
        }
    }
}

/// Portal sessions.
#[derive(Debug)]
pub(crate) struct Login {
    /// Wrong passwords in a row that lock a user (IDロック).
    pub(crate) lock_at: u32,
    /// Passwords of a user that are looked at in a row, right or wrong.
    pub(crate) attempts_at_once: u32,
    /// From then on one in so long.
    pub(crate) attempt_every: Duration,
    /// A session ends after so long without a request.
    pub(crate) idle: Duration,
    /// A session ends after so long.
    pub(crate) absolute: Duration,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Login> {
        let bounds = value::minutes(1)..=value::days(1);
        let absolute = value::duration("login.absolute", &self.absolute, bounds.clone())?;
        let idle = value::duration("login.idle", &self.idle, bounds)?;
        if idle > absolute {
            return Err(ConfigError::value(
                "login.idle",
                "it is longer than login.absolute",
                "choose a shorter one, such as \"15m\"",
            ));
        }
        let lock_at = value::within("login.lock_at", self.lock_at, 3..=20)?;
        let attempts_at_once = value::within("login.attempts_at_once", self.attempts_at_once, 5..=1_000)?;
        if attempts_at_once < lock_at {
            return Err(ConfigError::value(
                "login.attempts_at_once",
                format_args!("{attempts_at_once} is less than login.lock_at, {lock_at}"),
                "choose at least as many: wrong passwords are to lock the ID before they are turned away",
            ));
        }
        let attempt_every = value::duration(
            "login.attempt_every",
            &self.attempt_every,
            value::seconds(1)..=value::minutes(10),
        )?;
        Ok(Login { lock_at, attempts_at_once, attempt_every, idle, absolute })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPasswords {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    at_a_time: usize,
    queue: usize,
}

impl Default for RawPasswords {
    /// OWASP's minimum for argon2id: 19 MiB, two iterations, one lane.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1, at_a_time: 2, queue: 64 }
    }
}

/// The cost of argon2id.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    /// KiB of memory.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) iterations: u32,
    /// Lanes.
    pub(crate) parallelism: u32,
    /// Hashes computed at a time: each takes a thread and the memory.
    pub(crate) at_a_time: usize,
    /// Requests that may wait for their turn; more are told to come again.
    pub(crate) queue: usize,
}

impl RawPasswords {
    pub(super) fn validate(self) -> ConfigResult<Passwords> {
        Ok(Passwords {
            memory_kib: value::within("passwords.memory_kib", self.memory_kib, 7_168..=2_097_152)?,
            iterations: value::within("passwords.iterations", self.iterations, 1..=16)?,
            parallelism: value::within("passwords.parallelism", self.parallelism, 1..=16)?,
            at_a_time: value::within("passwords.at_a_time", self.at_a_time, 1..=64)?,
            queue: value::within("passwords.queue", self.queue, 1..=4_096)?,
        })
    }
}
