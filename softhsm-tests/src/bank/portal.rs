//! A customer at the portal: the forms that a browser would send, with the key on the card.

use anyhow::{Context, Result, ensure};

use super::{Bank, CONFIRMATION_PASSWORD, Desk, LOGIN_PASSWORD};
use crate::card_client::{CardClient, Response};

/// A browser window at the portal. Cookies are kept; no redirect is followed by itself.
#[derive(Debug)]
pub struct Portal {
    client: CardClient,
    base: String,
}

impl Portal {
    /// Opens the portal with a token's certificate.
    ///
    /// # Errors
    /// When no such token is at the desk.
    pub fn new(bank: &Bank, desk: &Desk, token: u32) -> Result<Self> {
        Ok(Self { client: desk.browser(bank, token)?, base: bank.urls().client })
    }

    /// Opens the staff console with a token's certificate and logs in.
    ///
    /// # Errors
    /// When no such token is at the desk, or the login is refused.
    pub fn console(bank: &Bank, desk: &Desk, token: u32) -> Result<Self> {
        let console = Self { client: desk.browser(bank, token)?, base: bank.urls().staff };
        let front = console.get("/")?;
        let csrf = hidden(&front, "csrf").with_context(|| format!("no login: {}", front.text()))?;
        let answer = console.post("/login", &[("csrf", &csrf)])?;
        ensure!(answer.status == 303, "the login was refused ({}): {}", answer.status, answer.text());
        Ok(console)
    }

    /// GETs a path.
    ///
    /// # Errors
    /// When the connection is refused or fails.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.client.get(&format!("{}{path}", self.base))
    }

    /// POSTs a form to a path.
    ///
    /// # Errors
    /// When the connection is refused or fails.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        self.client.post_form(&format!("{}{path}", self.base), fields)
    }

    /// Forgets the session, as closing every window does.
    ///
    /// # Errors
    /// When the cookies can't be removed.
    pub fn forget(&self) -> Result<()> {
        self.client.forget_cookies()
    }

    /// Fills in the login form with this password; returns what came back.
    ///
    /// # Errors
    /// When there is no login form.
    pub fn try_login(&self, password: &str) -> Result<Response> {
        let form = self.get("/login")?;
        let csrf = hidden(&form, "csrf").with_context(|| format!("no login form: {}", form.text()))?;
        self.post("/login", &[("csrf", &csrf), ("password", password)])
    }

    /// Logs in and returns the home page.
    ///
    /// # Errors
    /// When the login or the home page is refused.
    pub fn login(&self) -> Result<Response> {
        let answer = self.try_login(LOGIN_PASSWORD)?;
        ensure!(answer.status == 303, "the login was refused ({}): {}", answer.status, answer.text());
        let home = self.get("/home")?;
        ensure!(home.status == 200, "no home page ({}): {}", home.status, home.text());
        Ok(home)
    }

    /// The master revokes a general user's certificate: list, tick, confirmation password, execute. Returns the result
    /// page.
    ///
    /// # Errors
    /// When a page is missing on the way.
    pub fn revoke(&self, user: &str) -> Result<Response> {
        let list = self.get("/manage/users/revoke")?;
        let csrf = hidden(&list, "csrf").with_context(|| format!("no list of users: {}", list.text()))?;
        let confirm = self.post("/manage/users/revoke/confirm", &[("csrf", &csrf), ("user", user)])?;
        let csrf =
            hidden(&confirm, "csrf").with_context(|| format!("nothing to confirm: {}", confirm.text()))?;
        let fields = [
            ("csrf", csrf.as_str()),
            ("user", user),
            ("reason", "unspecified"),
            ("confirmation", CONFIRMATION_PASSWORD),
        ];
        let answer = self.post("/manage/users/revoke", &fields)?;
        ensure!(answer.status == 303, "nothing was revoked ({}): {}", answer.status, answer.text());
        self.get(answer.header("location").context("no result page")?)
    }
}

/// The value of a form's hidden field.
pub fn hidden(page: &Response, name: &str) -> Option<String> {
    let text = page.text();
    let (_, after) = text.split_once(&format!("<input type=\"hidden\" name=\"{name}\" value=\""))?;
    after.split_once('"').map(|(value, _)| value.to_owned())
}
