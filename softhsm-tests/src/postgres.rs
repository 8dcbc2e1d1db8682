//! A private PostgreSQL: Debian's programs, a cluster of its own in a temporary directory, a Unix socket and a port on
//! the loopback address.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{
    ports::PortLease,
    process::{Process, Signal, output_of, run},
    soft_pki::SoftAuthority,
    wait::PATIENCE,
};

/// The superuser; trusted on socket and loopback alike.
const OWNER: &str = "postgres";

/// How a bank is told to make its database and the roles.
const GUIDE: &str = include_str!("../../ca/docs/postgresql.md");

/// What may differ between clusters.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether commits reach the disk. Only a test that cuts the power needs it: killed processes lose nothing either way.
    pub fsync: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { fsync: true }
    }
}

/// A cluster. Dropping it ends the server and removes the files.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    port: PortLease,
    options: Options,
    server: Mutex<Option<Process>>,
    databases: AtomicU32,
    template: OnceCell<String>,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// When PostgreSQL isn't installed, or with its words when it doesn't start.
    pub fn start(options: Options) -> Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("inro-pg-").tempdir().context("making a directory")?;
        let cluster = Self {
            directory,
            port: PortLease::one()?,
            options,
            server: Mutex::default(),
            databases: AtomicU32::new(0),
            template: OnceCell::new(),
        };
        cluster.server_certificate()?;
        own(cluster.directory.path())?;
        let mut initdb = program("initdb")?;
        initdb.arg("--pgdata").arg(cluster.data());
        initdb.args(["--username", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        run(&mut initdb).context("making a PostgreSQL cluster")?;
        cluster.resume()?;
        Ok(cluster)
    }

    /// The cluster that the tests of this process share, each with a database of its own; it ends with the last user.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start(Options { fsync: false })?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// Starts the server, after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// With its log when it doesn't answer.
    pub fn resume(&self) -> Result<()> {
        let mut command = program("postgres")?;
        command.arg("-D").arg(self.data()).arg("-k").arg(self.directory.path());
        command.args(["-p", &self.port.port().to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", if self.options.fsync { "fsync=on" } else { "fsync=off" }]);
        for setting in ["max_connections=200", "ssl=on", "log_min_messages=warning"] {
            command.args(["-c", setting]);
        }
        for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
            command.arg("-c").arg(format!("{setting}={}", self.directory.path().join(file).display()));
        }
        let mut server = Process::spawn("postgres", &mut command, self.directory.path())?;
        server.wait_until("answer", PATIENCE, |_| {
            let mut ready = program("pg_isready")?;
            ready.arg("--quiet").arg("--host").arg(self.directory.path());
            Ok(ready.args(["--port", &self.port.port().to_string()]).status()?.success())
        })?;
        *self.server() = Some(server);
        Ok(())
    }

    /// A streaming standby of this cluster: it answers questions and takes no writes.
    ///
    /// # Errors
    /// With the programs' words.
    pub fn standby(&self) -> Result<Self> {
        let directory =
            tempfile::Builder::new().prefix("inro-pg-").tempdir().context("making a directory")?;
        let standby = Self {
            directory,
            port: PortLease::one()?,
            options: self.options,
            server: Mutex::default(),
            databases: AtomicU32::new(0),
            template: OnceCell::new(),
        };
        standby.server_certificate()?;
        own(standby.directory.path())?;
        let mut backup = self.tool("pg_basebackup")?;
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        run(backup.arg("--pgdata").arg(standby.data())).context("copying a PostgreSQL cluster")?;
        standby.resume()?;
        Ok(standby)
    }

    /// The port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port.port()
    }

    /// Ends the server in order: transactions in flight are rolled back, connections cut ("fast shutdown").
    ///
    /// # Errors
    /// When it doesn't end.
    pub fn stop(&self) -> Result<()> {
        let Some(mut server) = self.server().take() else { return Ok(()) };
        server.signal(Signal::INT)?;
        server.wait(PATIENCE).map(drop)
    }

    /// `kill -9` for the server and all its processes.
    ///
    /// # Errors
    /// When they can't be found or waited for.
    pub fn kill(&self) -> Result<()> {
        self.server().take().map_or(Ok(()), |mut server| server.kill_with_children())
    }

    /// A new, empty database; returns its name.
    ///
    /// # Errors
    /// With the server's words.
    pub fn create_database(&self) -> Result<String> {
        self.copy_database("template0")
    }

    /// A copy of a database that nobody uses; returns its name.
    ///
    /// # Errors
    /// With the server's words.
    pub fn copy_database(&self, template: &str) -> Result<String> {
        let name = format!("ledger_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))?;
        Ok(name)
    }

    /// The database to copy for each test, made and filled at the first call.
    ///
    /// # Errors
    /// With the server's words, or what `fill` says.
    pub async fn template(&self, fill: impl AsyncFnOnce(&str) -> Result<()>) -> Result<&str> {
        let made = self.template.get_or_try_init(|| async {
            let name = self.create_database()?;
            fill(&name).await?;
            Ok::<_, anyhow::Error>(name)
        });
        Ok(made.await?)
    }

    /// Runs SQL as the superuser and returns what psql prints, without decoration.
    ///
    /// # Errors
    /// With the server's words.
    pub fn execute(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = program("psql")?;
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        psql.arg("--host").arg(self.directory.path()).args(["--port", &self.port.port().to_string()]);
        psql.args(["--username", OWNER, "--dbname", database, "--command", sql]);
        Ok(run(&mut psql)?.trim_end().to_owned())
    }

    /// The database `inro` with the roles `inro_owner` and `inro`, by the guide's own words. Once in a cluster.
    ///
    /// # Errors
    /// With the server's words, or when the guide has none.
    pub fn create_by_guide(&self) -> Result<()> {
        let sql = GUIDE.split_once("```sql\n").and_then(|(_, rest)| rest.split_once("```"));
        let (sql, _) = sql.context("the guide has no SQL")?;
        let mut psql = self.tool("psql")?;
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres"]);
        let made = output_of(&mut psql, sql.as_bytes())?;
        ensure!(made.status.success(), "the guide's SQL: {}", String::from_utf8_lossy(&made.stderr));
        Ok(())
    }

    /// A database's URL, by the Unix socket.
    pub fn url(&self, database: &str) -> String {
        self.url_of(OWNER, database)
    }

    /// The same for a role.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        let (host, port) = (self.directory.path().display(), self.port.port());
        format!("postgres://{role}@localhost/{database}?host={host}&port={port}")
    }

    /// The same by TCP, without what it says of TLS.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@localhost:{}/{database}", self.port.port())
    }

    /// The certificate of the authority that issued the server's, PEM.
    pub fn server_authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// For `localhost` and the loopback address.
    fn server_certificate(&self) -> Result<()> {
        let authority = SoftAuthority::new("Example database authority")?;
        let server = authority.server(&["localhost", "127.0.0.1"])?;
        let key = self.directory.path().join("server.key");
        fs::write(self.server_authority(), authority.certificate()).context("writing a certificate")?;
        fs::write(self.directory.path().join("server.pem"), &server.certificate)
            .context("writing a certificate")?;
        fs::write(&key, &server.key).context("writing a key")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).context("protecting a key")?;
        own(&key)
    }

    /// What the server wrote since it was started: warnings and worse.
    pub fn log(&self) -> String {
        self.server().as_ref().map_or_else(String::new, Process::log)
    }

    /// The cluster's files.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// One of PostgreSQL's programs, as the account that the files belong to, told where the server is.
    ///
    /// # Errors
    /// When PostgreSQL isn't installed.
    pub fn tool(&self, name: &str) -> Result<Command> {
        let mut command = program(name)?;
        command.env("PGHOST", self.directory.path()).env("PGPORT", self.port.port().to_string());
        command.env("PGUSER", OWNER);
        Ok(command)
    }

    /// A new, empty folder beside the cluster's files, for that account.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).context("protecting a folder")?;
        own(&path)?;
        Ok(path)
    }

    fn server(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Before the files are removed, and so that the server removes its shared memory; there is nobody to tell when it
        // fails.
        if let Some(mut server) = self.server().take() {
            let _ = server.signal(Signal::QUIT).and_then(|()| server.wait(PATIENCE));
        }
    }
}

/// `PgBouncer` before a cluster. Dropping it ends it.
#[derive(Debug)]
pub struct Pooler {
    port: PortLease,
    _process: Process,
}

impl Pooler {
    /// Starts one in `session` or `transaction` mode.
    ///
    /// # Errors
    /// When it isn't installed, or with its log when it doesn't listen.
    pub fn start(cluster: &Postgres, mode: &str) -> Result<Self> {
        let port = PortLease::one()?;
        let folder = cluster.folder(&format!("pooler-{mode}-{}", port.port()))?;
        let (socket, server) = (cluster.directory.path().display(), cluster.port());
        let configuration = format!(
            "[databases]\n* = host={socket} port={server} user={OWNER}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n",
            port.port()
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, configuration).context("writing a configuration")?;
        own(&file)?;
        let mut command = as_server(Path::new("/usr/sbin/pgbouncer"))?;
        let mut process = Process::spawn("pgbouncer", command.arg(&file), &folder)?;
        process.wait_until("listening", PATIENCE, |_| {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port.port())).is_ok())
        })?;
        Ok(Self { port, _process: process })
    }

    /// The port on the loopback address.
    pub fn port(&self) -> u16 {
        self.port.port()
    }
}

/// Gives a file to the account that the server runs as, where that isn't ours.
fn own(path: &Path) -> Result<()> {
    let Some((user, group)) = unprivileged()? else { return Ok(()) };
    chown(path, Some(user), Some(group)).with_context(|| format!("giving {} away", path.display()))
}

/// Debian's account for PostgreSQL when we are root: its server refuses to run as that.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("reading /etc/passwd")?;
    let account = accounts.lines().find(|line| line.starts_with("postgres:"));
    let mut fields =
        account.context("there is no account postgres: install the package postgresql")?.split(':').skip(2);
    let mut id = || fields.next().and_then(|id| id.parse().ok()).context("reading the account postgres");
    Ok(Some((id()?, id()?)))
}

/// One of PostgreSQL's programs, the newest version's, as the account that may run it.
fn program(name: &str) -> Result<Command> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("install the package postgresql")?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .max_by_key(|version| version.parse::<u32>().unwrap_or(0));
    let newest = newest.context("there is no PostgreSQL: install the package postgresql")?;
    as_server(&Path::new("/usr/lib/postgresql").join(newest).join("bin").join(name))
}

/// A program as the account that PostgreSQL's may run as.
fn as_server(path: &Path) -> Result<Command> {
    let Some((user, group)) = unprivileged()? else { return Ok(Command::new(path)) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}")]);
    command.args(["--clear-groups", "--"]).arg(path);
    Ok(command)
}
