//! A browser's profile: whom it trusts, where its certificates are, and that it asks nobody which to take.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::{
    bank::{Bank, Desk},
    binaries,
    card_client::{OPENSC_MODULE, opensc_environment},
    process::{Environment, run},
};

/// Who types the token's PIN.
#[derive(Clone, Copy, Debug)]
pub(super) enum PinBy<'a> {
    /// `p11-login`, before anybody is asked.
    Module,
    /// A person at this display, whenever the browser asks.
    PersonAt(&'a str),
}

/// Makes the profile and returns the environment for it.
pub(super) fn prepare(
    bank: &Bank,
    token: Option<(&Desk, u32)>,
    pin_by: PinBy<'_>,
    directory: &Path,
) -> Result<Environment> {
    let nss = directory.join(".pki/nssdb");
    fs::create_dir_all(&nss).with_context(|| format!("making {}", nss.display()))?;
    let database = format!("sql:{}", nss.display());
    let mut environment = match token {
        Some((desk, serial)) => {
            let key =
                desk.keys.iter().find(|key| key.serial() == serial).context("no such token at the desk")?;
            let mut environment = opensc_environment(&desk.pcscd, key.reader(), directory)?;
            match pin_by {
                PinBy::Module => {
                    let pin = bank.secret("token-pin").display().to_string();
                    environment.push(("P11_LOGIN_MODULE".to_owned(), OPENSC_MODULE.to_owned()));
                    environment.push(("P11_LOGIN_PIN_FILE".to_owned(), pin));
                }
                PinBy::PersonAt(display) => environment.push(("DISPLAY".to_owned(), display.to_owned())),
            }
            environment
        }
        None => Environment::new(),
    };
    environment.push(("HOME".to_owned(), directory.display().to_string()));
    run(Command::new("certutil").args(["-d", &database, "-N", "--empty-password"]))?;
    let authority = bank.path("tls/ca.pem");
    let mut trust = Command::new("certutil");
    trust.args(["-d", &database, "-A", "-n", "server authority", "-t", "C,,", "-i"]).arg(&authority);
    run(&mut trust)?;
    if token.is_some() {
        let module = match pin_by {
            PinBy::Module => binaries::find_library("p11_login")?,
            PinBy::PersonAt(_) => PathBuf::from(OPENSC_MODULE),
        };
        let mut add = Command::new("modutil");
        add.args(["-dbdir", &database, "-force", "-add", "token", "-libfile"]).arg(module);
        run(add.envs(environment.iter().cloned()))?;
    }
    Ok(environment)
}

/// What the driver asks of Chromium.
pub(super) fn capabilities(headless: bool, directory: &Path) -> Result<Map<String, Value>> {
    let profile = directory.join("profile");
    let filters = json!({ "filters": [{}] });
    let anywhere = json!({ "https://localhost,*": { "setting": filters } });
    let capabilities = json!({
        "goog:chromeOptions": {
            "binary": "/usr/bin/chromium",
            "args": [
                // Nothing for the other: it is on a screen anyway.
                if headless { "--headless=new" } else { "--lang=en-US" },
                // Tests run as root in containers.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-proxy-server",
                "--window-size=1280,900",
                format!("--user-data-dir={}", profile.display()),
            ],
            "prefs": {
                // What the policy AutoSelectCertificateForUrls does, for this profile alone.
                "profile.content_settings.exceptions.auto_select_certificate": anywhere,
                "profile.password_manager_enabled": false,
                "credentials_enable_service": false,
                "profile.password_manager_leak_detection": false,
                "download.default_directory": directory.join("downloads"),
            },
        },
    });
    match capabilities {
        Value::Object(map) => Ok(map),
        _ => anyhow::bail!("capabilities are an object"),
    }
}
