//! A TLS client whose key lives on a card: curl, OpenSSL's PKCS#11 engine, OpenSC, pcscd.
//!
//! Cookies are kept between requests, as a browser keeps them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    pcscd::{Pcscd, Reader},
    process::{Environment, output_of},
};

/// OpenSC's PKCS#11 module, as Debian installs it.
pub const OPENSC_MODULE: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Header fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header field of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// `GET` where empty.
    pub method: &'a str,
    /// The whole address.
    pub url: &'a str,
    /// Header fields.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; none where empty.
    pub body: &'a [u8],
}

/// The environment in which OpenSC sees the card in this reader and no other.
///
/// # Errors
/// When the configuration can't be written.
pub fn opensc_environment(pcscd: &Pcscd, reader: &Reader, directory: &Path) -> Result<Environment> {
    ensure!(
        Path::new(OPENSC_MODULE).exists(),
        "{OPENSC_MODULE} is missing: install the package opensc-pkcs11"
    );
    let ignored: Vec<_> = pcscd
        .readers()
        .iter()
        .filter(|other| other.name != reader.name)
        .map(|other| format!("\"{}\"", other.name))
        .collect();
    let ignored =
        if ignored.is_empty() { String::new() } else { format!("ignored_readers = {};", ignored.join(", ")) };
    // More slots than OpenSC's default of 4 readers; nothing cached, since cards change under it.
    let text = format!(
        "app default {{\n {ignored}\n framework pkcs15 {{ use_file_caching = no; }}\n}}\n\
         app opensc-pkcs11 {{\n pkcs11 {{ max_virtual_slots = 64; slots_per_card = 1; }}\n}}\n"
    );
    let path = directory.join("opensc.conf");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    let mut environment = pcscd.environment().clone();
    environment.push(("OPENSC_CONF".to_owned(), path.display().to_string()));
    environment.push(("PKCS11_MODULE_PATH".to_owned(), OPENSC_MODULE.to_owned()));
    Ok(environment)
}

/// A client with the key and certificate of one slot.
#[derive(Debug)]
pub struct CardClient {
    environment: Environment,
    directory: PathBuf,
    key: String,
    certificate: String,
    trust: PathBuf,
}

impl CardClient {
    /// For the card in this reader. `slot` is 9a, 9c, 9d or 9e; servers are trusted by `trust` (PEM); `directory`
    /// holds cookies and the PIN for OpenSSL's engine.
    ///
    /// # Errors
    /// When the slot isn't one of those or a file can't be written.
    pub fn new(
        pcscd: &Pcscd,
        reader: &Reader,
        slot: u8,
        pin: &str,
        trust: &Path,
        directory: &Path,
    ) -> Result<Self> {
        // OpenSC's object identifiers for the PIV slots.
        let id = match slot {
            0x9a => "%01",
            0x9c => "%02",
            0x9d => "%03",
            0x9e => "%04",
            _ => bail!("OpenSC shows no key for slot {slot:02x}"),
        };
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let environment = opensc_environment(pcscd, reader, directory)?;
        Self::of_module(environment, &format!("id={id}"), pin, trust, directory)
    }

    /// For a key of whatever module `PKCS11_MODULE_PATH` in the environment names; `object` is the part of a PKCS#11 URI
    /// (RFC 7512) by which key and certificate are found.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn of_module(
        environment: Environment,
        object: &str,
        pin: &str,
        trust: &Path,
        directory: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let pin_file = directory.join("pin");
        fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&pin_file)
            .and_then(|mut file| file.write_all(pin.as_bytes()))
            .with_context(|| format!("writing {}", pin_file.display()))?;
        Ok(Self {
            environment,
            directory: directory.to_owned(),
            key: format!("pkcs11:{object};type=private;pin-source=file:{}", pin_file.display()),
            certificate: format!("pkcs11:{object};type=cert"),
            trust: trust.to_owned(),
        })
    }

    /// Forgets all cookies.
    ///
    /// # Errors
    /// When they can't be removed.
    pub fn forget_cookies(&self) -> Result<()> {
        let jar = self.directory.join("cookies");
        if jar.exists() {
            fs::remove_file(&jar).with_context(|| format!("removing {}", jar.display()))?;
        }
        Ok(())
    }

    /// A GET.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn get(&self, url: &str) -> Result<Response> {
        self.send(&Request { url, ..Request::default() })
    }

    /// A POST of a form; the names and values are encoded here.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let body = reqwest::Url::parse_with_params("x:", fields).context("encoding a form")?;
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = body.query().unwrap_or_default().as_bytes();
        self.send(&Request { method: "POST", url, headers: &headers, body })
    }

    /// Sends a request over a new connection; follows no redirect.
    ///
    /// # Errors
    /// With curl's words, when there is no response: no card, wrong PIN, TLS refused.
    pub fn send(&self, request: &Request<'_>) -> Result<Response> {
        let (headers, jar) = (self.directory.join("headers"), self.directory.join("cookies"));
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "60", "--tlsv1.3", "--noproxy", "*"])
            .args(["--engine", "pkcs11", "--key-type", "ENG", "--cert-type", "ENG"])
            .args(["--key", &self.key, "--cert", &self.certificate])
            .arg("--cacert")
            .arg(&self.trust)
            .arg("--dump-header")
            .arg(&headers)
            .arg("--cookie")
            .arg(&jar)
            .arg("--cookie-jar")
            .arg(&jar)
            .envs(self.environment.iter().cloned());
        for (name, value) in request.headers {
            command.arg("--header").arg(format!("{name}: {value}"));
        }
        if !request.method.is_empty() {
            command.args(["--request", request.method]);
        }
        if !request.body.is_empty() {
            command.args(["--data-binary", "@-"]);
        }
        let output = output_of(command.arg(request.url), request.body)?;
        if !output.status.success() {
            bail!("{} failed: {}", request.url, String::from_utf8_lossy(&output.stderr).trim());
        }
        let text = fs::read_to_string(&headers).context("reading the response's headers")?;
        let (status, headers) = parse_headers(&text).context("reading the response's headers")?;
        Ok(Response { status, headers, body: output.stdout })
    }
}

/// The last header block, since interim responses may come before it.
fn parse_headers(text: &str) -> Option<(u16, Vec<(String, String)>)> {
    let block = text.trim_end().rsplit("\r\n\r\n").next()?;
    let mut lines = block.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let fields = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some((status, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_header_block_counts() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 303 See Other\r\nLocation: /x\r\nSet-Cookie: a=b: c\r\n\r\n";
        let (status, headers) = parse_headers(text).expect("valid");
        assert_eq!(status, 303);
        assert_eq!(headers[1], ("set-cookie".to_owned(), "a=b: c".to_owned()));
    }
}
