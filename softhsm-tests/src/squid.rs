//! A company's proxy: a real squid that demands a user name and password (Basic), and may look into TLS.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    openssl::{openssl, openssl_with_input},
    ports::PortLease,
    process::{Process, run},
    wait::PATIENCE,
};

/// The user name that it knows.
pub const USER: &str = "office";
/// And the password.
pub const PASSWORD: &str = "pr0xy:p@ss";

const SQUID: &str = "/usr/sbin/squid";
const BASIC: &str = "/usr/lib/squid/basic_ncsa_auth";
const CERTIFICATES: &str = "/usr/lib/squid/security_file_certgen";

/// A running squid. Dropping it ends it.
#[derive(Debug)]
pub struct Squid {
    directory: PathBuf,
    port: PortLease,
    _process: Process,
}

impl Squid {
    /// One that only passes connections on, in a directory of its own.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn start(directory: &Path) -> Result<Self> {
        Self::with(directory, "", "")
    }

    /// One that looks into TLS: it answers for every server with certificates by an authority of its own
    /// ([`Self::authority`]), and takes the servers' own to be right when `trusted` (PEM) has certified them.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn inspecting(directory: &Path, trusted: &Path) -> Result<Self> {
        let [key, certificate, both, certificates] =
            ["authority.key", "authority.pem", "authority-and-key.pem", "certificates"]
                .map(|name| directory.join(name).display().to_string());
        let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"];
        let names = ["-subj", "/CN=Hokkai Trading Inspection", "-keyout", &key, "-out", &certificate];
        openssl(&[request.as_slice(), names.as_slice()].concat())?;
        fs::write(&both, fs::read_to_string(&key)? + &fs::read_to_string(&certificate)?)?;
        run(Command::new(CERTIFICATES).args(["-c", "-s", &certificates, "-M", "4MB"]))?;
        let bump = format!("ssl-bump cert={both} generate-host-certificates=on");
        let more = format!(
            "sslcrtd_program {CERTIFICATES} -s {certificates} -M 4MB\nsslcrtd_children 1\nssl_bump bump all\n\
             tls_outgoing_options cafile={}\n",
            trusted.display()
        );
        Self::with(directory, &bump, &more)
    }

    /// One that passes TLS on, and nothing else.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn for_tls_alone(directory: &Path) -> Result<Self> {
        Self::with(directory, "", "acl tls method CONNECT\nhttp_access deny !tls\n")
    }

    fn with(directory: &Path, port_options: &str, more: &str) -> Result<Self> {
        let port = PortLease::one()?;
        let below = |name: &str| directory.join(name).display().to_string();
        let hash = openssl_with_input(&["passwd", "-apr1", "-stdin"], PASSWORD.as_bytes())?;
        fs::write(below("users"), format!("{USER}:{}", String::from_utf8_lossy(&hash)))?;
        let configuration = format!(
            "http_port {address} {port_options}\n{more}\
             auth_param basic program {BASIC} {users}\nauth_param basic children 1\n\
             auth_param basic realm Hokkai Trading\nacl users proxy_auth REQUIRED\n\
             http_access allow users\nhttp_access deny all\n\
             visible_hostname proxy.example\npid_filename none\npinger_enable off\ncache deny all\n\
             access_log stdio:{access}\ncache_log {log}\ncoredump_dir {directory}\n\
             shutdown_lifetime 0 seconds\n",
            address = port.address(),
            users = below("users"),
            access = below("access.log"),
            log = below("cache.log"),
            directory = directory.display(),
        );
        let file = directory.join("squid.conf");
        fs::write(&file, configuration).context("configuring squid")?;
        let mut command = Command::new(SQUID);
        if rustix::process::geteuid().is_root() {
            // It wants another account of its own where it is root; in a user namespace it isn't.
            command = Command::new("unshare");
            command.args(["--user", SQUID]);
        }
        command.args(["-N", "-f"]).arg(&file);
        let mut process = Process::spawn("squid", &mut command, directory)?;
        process.wait_for_listener(port.address(), PATIENCE)?;
        Ok(Self { directory: directory.to_owned(), port, _process: process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `http://host:port`
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// PEM of the authority of one that looks into TLS.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// What it was asked, a line each: result, status, method, target, user.
    ///
    /// # Errors
    /// When its log can't be read.
    pub fn requests(&self) -> Result<Vec<String>> {
        let path = self.directory.join("access.log");
        let log = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let fields = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            [3, 5, 6, 7].map(|index| fields.get(index).copied().unwrap_or("-")).join(" ")
        };
        // A connection without a request is somebody who looks whether it listens.
        let requests = log.lines().filter(|line| !line.contains("error:transaction-end-before-headers"));
        Ok(requests.map(fields).collect())
    }
}
