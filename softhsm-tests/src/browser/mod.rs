//! A customer's browser: Chromium, driven through chromedriver, with the certificate's key on the virtual YubiKey. TLS goes
//! the way it goes at a customer's: NSS, OpenSC's PKCS#11 module, pcscd, the card. Without a screen nobody can type the
//! PIN; `p11-login` does. Where it matters how often it is asked for, a [`Person`] types it at a screen.

mod accessibility;
mod command;
mod person;
mod pictures;
mod profile;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Error, Result, bail};
use fantoccini::{Client, ClientBuilder, Locator, key::Key};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    bank::{Bank, Desk},
    process::{Environment, Process},
    wait::{PATIENCE, awaited},
};

pub use accessibility::Finding;
pub use person::Person;
use profile::PinBy;

/// A browser window. Dropping it ends its processes.
#[derive(Debug)]
pub struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Process,
    screenshots: PathBuf,
}

impl Browser {
    /// A new window with a profile of its own below `directory`. With a token, its certificates can be chosen; the first
    /// that the server takes is. Screenshots go to `target/screenshots/NAME`.
    ///
    /// # Errors
    /// When a program is missing or doesn't start.
    pub fn open(
        bank: &Bank,
        token: Option<(&Desk, u32)>,
        directory: &Path,
        screenshots: &str,
    ) -> Result<Self> {
        Self::start(profile::prepare(bank, token, PinBy::Module, directory)?, true, directory, screenshots)
    }

    /// The same on the screen of a person, who types the PIN into the browser's own dialog: nothing stands between NSS and
    /// OpenSC.
    ///
    /// # Errors
    /// When a program is missing or doesn't start.
    pub fn before(
        person: &Person,
        bank: &Bank,
        token: (&Desk, u32),
        directory: &Path,
        screenshots: &str,
    ) -> Result<Self> {
        let environment = profile::prepare(bank, Some(token), PinBy::PersonAt(person.display()), directory)?;
        Self::start(environment, false, directory, screenshots)
    }

    /// The same in a home that somebody else prepared: `directory`, which the environment names as `HOME`.
    ///
    /// # Errors
    /// When a program is missing or doesn't start.
    pub fn at_home(environment: Environment, directory: &Path, screenshots: &str) -> Result<Self> {
        Self::start(environment, true, directory, screenshots)
    }

    fn start(environment: Environment, headless: bool, directory: &Path, screenshots: &str) -> Result<Self> {
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--allowed-ips=127.0.0.1"]).envs(environment);
        let mut driver = Process::spawn("chromedriver", &mut command, directory)?;
        let mut port = None;
        driver.wait_until("a port of chromedriver", PATIENCE, |process| {
            port = port_in(&process.log());
            Ok(port.is_some())
        })?;
        let port = port.context("chromedriver says no port")?;
        let runtime = Runtime::new().context("starting a runtime")?;
        let capabilities = profile::capabilities(headless, directory)?;
        let client = runtime
            .block_on(
                ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
                    .capabilities(capabilities)
                    .connect(&format!("http://127.0.0.1:{port}")),
            )
            .with_context(|| format!("starting Chromium: {}", driver.log()))?;
        let screenshots = pictures::folder(screenshots)?;
        Ok(Self { runtime, client, driver, screenshots })
    }

    /// Whether something went wrong because the browser itself has died.
    pub fn is_gone(error: &Error) -> bool {
        format!("{error:#}").contains("invalid session id")
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When the page can't be loaded.
    pub fn goto(&self, url: &str) -> Result<()> {
        self.runtime.block_on(self.client.goto(url)).with_context(|| format!("going to {url}"))
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the browser doesn't say.
    pub fn url(&self) -> Result<String> {
        Ok(self.runtime.block_on(self.client.current_url()).context("asking where we are")?.to_string())
    }

    /// The text of the page, as a person sees it.
    ///
    /// # Errors
    /// When the browser doesn't say.
    pub fn text(&self) -> Result<String> {
        let text = self.script("return document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// The main heading.
    ///
    /// # Errors
    /// When there is none.
    pub fn heading(&self) -> Result<String> {
        let text = self.script("return document.querySelector('h1').innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// The page's source.
    ///
    /// # Errors
    /// When the browser doesn't say.
    pub fn source(&self) -> Result<String> {
        self.runtime.block_on(self.client.source()).context("reading a page")
    }

    /// Clicks what a CSS selector names, and waits until the page that follows is there.
    ///
    /// # Errors
    /// When nothing matches, or it can't be clicked.
    pub fn click(&self, css: &str) -> Result<()> {
        self.leave(css, || {
            let find = async { self.client.find(Locator::Css(css)).await?.click().await };
            self.runtime.block_on(find).with_context(|| format!("clicking {css}"))
        })
    }

    /// Clicks the link or button with this text.
    ///
    /// # Errors
    /// When there is none.
    pub fn follow(&self, text: &str) -> Result<()> {
        let path = format!(
            "//main//*[self::a or self::button][normalize-space()={0}] | //header//*[self::a or self::button][normalize-space()={0}]",
            quoted(text)
        );
        self.leave(text, || {
            let find = async { self.client.find(Locator::XPath(&path)).await?.click().await };
            self.runtime.block_on(find).with_context(|| format!("clicking {text:?} at {}", self.place()))
        })
    }

    /// Does what leads to another page, and waits until that is loaded.
    fn leave(&self, what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
        self.script("window.inroLeft = false")?;
        act()?;
        let arrived = "return window.inroLeft === undefined && document.readyState === 'complete'";
        self.until(&format!("the page after {what}"), arrived)
    }

    /// Polls a script until it returns true; a page that is being replaced has no answer yet.
    fn until(&self, what: &str, script: &str) -> Result<()> {
        let reached = awaited(
            what,
            || self.script(script),
            |answer| match answer {
                Ok(value) => *value == Value::Bool(true),
                Err(error) => Self::is_gone(error),
            },
        );
        reached.with_context(|| format!("still at {}", self.place()))?.map(drop)
    }

    fn place(&self) -> String {
        let heading = self.heading().unwrap_or_default();
        format!("{} ({heading})", self.url().unwrap_or_default())
    }

    /// Types into a field in the place of what is there.
    ///
    /// # Errors
    /// When there is no such field.
    pub fn fill(&self, css: &str, text: &str) -> Result<()> {
        let fill = async {
            let field = self.client.find(Locator::Css(css)).await?;
            field.clear().await?;
            field.send_keys(text).await
        };
        self.runtime.block_on(fill).with_context(|| format!("filling in {css} at {}", self.place()))
    }

    /// Chooses an option by its value.
    ///
    /// # Errors
    /// When there is no such field or option.
    pub fn select(&self, css: &str, value: &str) -> Result<()> {
        let select = async { self.client.find(Locator::Css(css)).await?.select_by_value(value).await };
        self.runtime.block_on(select).with_context(|| format!("choosing {value} in {css}"))
    }

    /// Ticks a box; no page follows.
    ///
    /// # Errors
    /// When there is no such box.
    pub fn tick(&self, css: &str) -> Result<()> {
        let tick = async { self.client.find(Locator::Css(css)).await?.click().await };
        self.runtime.block_on(tick).with_context(|| format!("ticking {css}"))
    }

    /// Presses the tabulator key until the focus is on what `css` names; nothing else is touched.
    ///
    /// # Errors
    /// When the whole page was walked through without reaching it.
    pub fn tab_to(&self, css: &str) -> Result<()> {
        let reached = format!("return document.activeElement.matches({})", json!(css));
        for _ in 0..80 {
            if self.script(&reached)? == Value::Bool(true) {
                return Ok(());
            }
            self.press(Key::Tab)?;
        }
        bail!("the keyboard doesn't reach {css} at {}", self.place())
    }

    /// Types at the focus.
    ///
    /// # Errors
    /// When nothing has it.
    pub fn type_here(&self, text: &str) -> Result<()> {
        let keys = async { self.client.active_element().await?.send_keys(text).await };
        self.runtime.block_on(keys).context("typing")
    }

    /// Presses a key at the focus.
    ///
    /// # Errors
    /// When nothing has it.
    pub fn press(&self, key: Key) -> Result<()> {
        self.type_here(&char::from(key).to_string())
    }

    /// Presses Enter at the focus, and waits for the page that follows.
    ///
    /// # Errors
    /// When none does.
    pub fn enter(&self) -> Result<()> {
        self.leave("Enter", || self.press(Key::Enter))
    }

    /// Runs a script in the page.
    ///
    /// # Errors
    /// When it throws.
    pub fn script(&self, script: &str) -> Result<Value> {
        self.runtime.block_on(self.client.execute(script, Vec::new())).context("running a script")
    }

    /// A window of this size, in CSS pixels.
    ///
    /// # Errors
    /// When the browser can't.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).map(drop)
    }

    /// Shows the page as it is printed, or as on a screen again.
    ///
    /// # Errors
    /// When the browser can't.
    pub fn as_printed(&self, printed: bool) -> Result<()> {
        let media = if printed { "print" } else { "" };
        self.devtools("Emulation.setEmulatedMedia", json!({ "media": media })).map(drop)
    }

    /// Keeps a picture of the whole page as `NAME.png`.
    ///
    /// # Errors
    /// When it can't be taken or written.
    pub fn screenshot(&self, name: &str) -> Result<()> {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let size = self.devtools("Page.getLayoutMetrics", json!({}))?["cssContentSize"].clone();
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let parameters = json!({ "captureBeyondViewport": true, "clip": clip });
        let taken = self.devtools("Page.captureScreenshot", parameters)?;
        let data = taken["data"].as_str().context("no picture")?;
        let png = BASE64_STANDARD.decode(data).context("reading a picture")?;
        let path = self.screenshots.join(format!("{name}.png"));
        fs::write(&path, png).with_context(|| format!("writing {}", path.display()))
    }

    /// Whether the page is wider than the window, so that one would have to scroll sideways.
    ///
    /// # Errors
    /// When the browser doesn't say.
    pub fn overflows(&self) -> Result<bool> {
        let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
        Ok(self.script(wide)? == Value::Bool(true))
    }

    /// What the accessibility checker finds serious or critical on the page.
    ///
    /// # Errors
    /// When it isn't there or fails.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        accessibility::findings(self)
    }

    fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let command = command::DevTools { command: command.to_owned(), parameters };
        self.runtime.block_on(self.client.issue_cmd(command)).context("asking the developer tools")
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn close(mut self) -> Result<()> {
        self.runtime.block_on(self.client.clone().close()).context("closing the browser")?;
        self.driver.terminate(PATIENCE).map(drop)
    }
}

/// `… started successfully on port 12345.`
fn port_in(log: &str) -> Option<u16> {
    log.rsplit_once("successfully on port ")?.1.split('.').next()?.trim().parse().ok()
}

/// A text in an `XPath`; ours have no double quotes.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
