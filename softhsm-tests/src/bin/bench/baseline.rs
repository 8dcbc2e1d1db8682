//! What we are held against: a static file served by nginx, raw signatures by the token, and argon2id alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use serde::Deserialize;
use softhsm_tests::{
    bank::Bank,
    binaries,
    ports::PortLease,
    process::{Environment, Process, run},
    simulated_hsm::SimulatedHsm,
    softhsm,
};

use super::figure::count;

/// nginx with one worker a core, serving one file.
pub(crate) struct Nginx {
    _process: Process,
    port: PortLease,
}

impl Nginx {
    /// Serves `content` from `folder`.
    pub(crate) fn serving(folder: &Path, content: &[u8]) -> Result<Self> {
        let port = PortLease::one()?;
        fs::create_dir_all(folder.join("www")).context("making nginx's folder")?;
        fs::write(folder.join("www/response"), content).context("writing nginx's file")?;
        let shown = folder.display();
        let configuration = format!(
            "worker_processes auto; daemon off; pid {shown}/pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 1000000;\n\
             client_body_temp_path {shown}/t1; proxy_temp_path {shown}/t2; fastcgi_temp_path {shown}/t3;\n\
             uwsgi_temp_path {shown}/t4; scgi_temp_path {shown}/t5; default_type application/ocsp-response;\n\
             server {{ listen 127.0.0.1:{} reuseport; root {shown}/www; }} }}\n",
            port.port()
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).context("writing nginx.conf")?;
        let mut process = Process::spawn("nginx", Command::new("nginx").arg("-c").arg(&file), folder)?;
        process.wait_for_listener(port.address(), Duration::from_secs(10))?;
        Ok(Self { _process: process, port })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/response", self.port.address())
    }
}

/// A key of the bank's online token, for signing with it beside the signer.
pub(crate) struct RawKey {
    module: PathBuf,
    environment: Environment,
    pin: PathBuf,
    key: &'static str,
}

#[derive(Deserialize)]
struct Counted {
    signatures: u32,
    seconds: f64,
}

impl RawKey {
    /// The customers' issuing key, through the module that the signer uses.
    pub(crate) fn issuing(bank: &Bank, hsm: Option<&SimulatedHsm>) -> Self {
        Self::new(bank, hsm, "11")
    }

    /// The OCSP responder's key.
    pub(crate) fn ocsp(bank: &Bank) -> Self {
        Self::new(bank, None, "21")
    }

    fn new(bank: &Bank, hsm: Option<&SimulatedHsm>, key: &'static str) -> Self {
        let (module, environment) = match hsm {
            Some(hsm) => (hsm.module().to_owned(), hsm.environment_without_control()),
            None => (softhsm::MODULE.into(), bank.signer_environment().clone()),
        };
        Self { module, environment, pin: bank.secret("online-pin"), key }
    }

    /// `C_Sign`s a second by so many threads of one process.
    pub(crate) fn signatures_per_second(&self, threads: u16, seconds: f64) -> Result<f64> {
        let mut command = Command::new(binaries::find("raw-signatures")?);
        command.arg("--module").arg(&self.module).arg("--pin-file").arg(&self.pin).args(["--key", self.key]);
        command.args(["--threads", &threads.to_string(), "--seconds", &seconds.to_string()]);
        command.envs(self.environment.iter().cloned());
        let counted: Counted = serde_json::from_str(&run(&mut command)?).context("reading the raw rate")?;
        Ok(f64::from(counted.signatures) / counted.seconds)
    }

    /// Of 1, 2 and 8 threads, what signs fastest.
    pub(crate) fn best_threads(&self) -> Result<u16> {
        let mut best = (1, 0.0);
        for threads in [1, 2, 8] {
            let rate = self.signatures_per_second(threads, 0.7)?;
            if rate > best.1 {
                best = (threads, rate);
            }
        }
        Ok(best.0)
    }

    /// What one thread alone signs, for the reader to compare: how much more several do differs from machine to machine.
    pub(crate) fn note_of_one_thread(&self, seconds: f64) -> Result<String> {
        Ok(format!("One thread alone makes {:.0} raw signatures/s.", self.signatures_per_second(1, seconds)?))
    }
}

/// Milliseconds for an argon2id hash with the configuration's cost: the time for `hashes` by so many threads, each in
/// memory that it keeps, divided by their number.
pub(crate) fn argon2id(threads: usize, hashes: usize) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads).map(|_| scope.spawn(|| hash_until(&next, hashes))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("a thread panicked"))
    })?;
    Ok(began.elapsed().as_secs_f64() * 1e3 / count(hashes))
}

fn hash_until(next: &AtomicUsize, hashes: usize) -> Result<()> {
    let parameters = Params::new(19_456, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut memory = vec![Block::new(); parameters.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    let mut hash = [0; 32];
    while next.fetch_add(1, Ordering::Relaxed) < hashes {
        argon2
            .hash_password_into_with_memory(b"kiri-no-hana-2026", b"sixteen octets..", &mut hash, &mut memory)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(())
}
