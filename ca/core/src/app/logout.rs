//! ログアウト.

use std::sync::Arc;

use super::{
    failure::Failure,
    token,
    trail::{Details, event},
};
use crate::{
    domain::{audit::Actor, ids::SerialNumber},
    ports::{clock::Clock, store::LoginStore},
};

/// The use case.
pub struct LogOut {
    /// Sessions.
    pub logins: Arc<dyn LoginStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl LogOut {
    /// Ends the session with this token. One that is no session any more is no error.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(&self, session_token: &str) -> Result<(), Failure> {
        let Some(sha256) = token::sha256(session_token) else { return Ok(()) };
        let Some(session) = self.logins.session(&sha256).await? else { return Ok(()) };
        let actor = Actor::User(session.user.to_string());
        let row = event(self.clock.now(), actor, "session.closed", &session.user);
        Ok(self.logins.close_session(&sha256, row).await?)
    }

    /// Ends the session that a browser had before it logged in with this certificate again. Another certificate's session
    /// is left alone: whoever sends its token isn't thereby its owner.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn superseded(&self, session_token: &str, by: &SerialNumber) -> Result<(), Failure> {
        let Some(sha256) = token::sha256(session_token) else { return Ok(()) };
        let session = self.logins.session(&sha256).await?.filter(|session| session.serial == *by);
        let Some(session) = session else { return Ok(()) };
        let actor = Actor::User(session.user.to_string());
        let row = event(self.clock.now(), actor, "session.closed", &session.user).with("reason", "new-login");
        Ok(self.logins.close_session(&sha256, row).await?)
    }
}
