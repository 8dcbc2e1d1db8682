//! `[shutdown]`: what happens between SIGTERM and the end.

use std::time::Duration;

use serde::Deserialize;

use super::{ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pause: String,
    deadline: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self { pause: "5s".to_owned(), deadline: "25s".to_owned() }
    }
}

/// How the node ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shutdown {
    /// From "not ready" until nothing new is accepted.
    pub(crate) pause: Duration,
    /// From then on, for requests and issuances that are under way.
    pub(crate) deadline: Duration,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Shutdown> {
        let pause = value::duration("shutdown.pause", &self.pause, value::seconds(0)..=value::minutes(5))?;
        let bounds = value::seconds(1)..=value::minutes(10);
        Ok(Shutdown { pause, deadline: value::duration("shutdown.deadline", &self.deadline, bounds)? })
    }
}
