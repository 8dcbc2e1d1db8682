//! Every flow of a customer in a real browser, from the first click to the last, in both languages: Chromium, with the key
//! on the virtual YubiKey through OpenSC and pcscd. Pictures of every page are kept below `target/screenshots/`.

mod branch;
mod email;
mod flows;
mod keyboard;
mod pages;
mod site;
mod slots;

use anyhow::{Result, ensure};
use softhsm_tests::browser::Browser;

/// How often a browser may die within one flow.
const DEATHS: usize = 2;

/// A flow from its beginning, at a bank of its own. Chromium (156, with OpenSC 0.23) dies at times of its own allocator's
/// checks, around the handshake in which the card signs; a customer opens it again then, and so does this. Whatever else
/// goes wrong is the flow's result.
fn in_a_browser(flow: impl Fn() -> Result<()>) -> Result<()> {
    for _ in 0..DEATHS {
        match flow() {
            Err(error) if Browser::is_gone(&error) => {}
            result => return result,
        }
    }
    flow()
}

/// A text is on the page, as a person sees it.
fn says(browser: &Browser, text: &str) -> Result<()> {
    let page = browser.text()?;
    ensure!(page.contains(text), "{text:?} isn't on the page: {page}");
    Ok(())
}
