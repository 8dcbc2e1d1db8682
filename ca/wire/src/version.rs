//! `GET /api/v1/agent`: which agents the server works with.

use serde::{Deserialize, Serialize};

/// Versions are `major.minor.patch`, compared number by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentVersions {
    /// Older agents are refused; they stop before anything happens on the token.
    pub lowest: String,
    /// The newest there is.
    pub newest: String,
    /// Where people get it.
    pub download: String,
    /// The server's clock, so that the agent can tell a person that theirs is wrong.
    pub server_time: jiff::Timestamp,
}
