//! What we are held against: a static file served by nginx, raw signatures by the token, and argon2id alone.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::Attribute,
    session::UserType,
    types::AuthPin,
};
use softhsm_tests::{
    bank::Bank,
    ports::PortLease,
    process::{Process, run},
};

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

/// `C_Sign`s a second with the bank's OCSP key. The module reads its configuration's place from the environment, so
/// another process counts.
pub(crate) fn raw_signatures_per_second(bank: &Bank, seconds: u64) -> Result<f64> {
    let mut command = Command::new(std::env::current_exe().context("locating this program")?);
    command.args(["--seconds", &seconds.to_string(), "--raw-signatures"]).arg(bank.secret("online-pin"));
    command.envs(bank.signer_environment().iter().cloned());
    run(&mut command)?.trim().parse().context("reading the raw rate")
}

/// The other process: two sessions for `seconds`.
pub(crate) fn count_raw_signatures(pin_file: &Path, seconds: u64) -> Result<f64> {
    let pin = fs::read_to_string(pin_file).context("reading the PIN")?;
    let module = Pkcs11::new(softhsm_tests::softhsm::MODULE).context("loading the module")?;
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .context("initialising the module")?;
    let slot = *module.get_slots_with_initialized_token()?.first().context("no token")?;
    let guard = module.open_ro_session(slot)?;
    guard.login(UserType::User, Some(&AuthPin::new(pin.trim_end().into())))?;
    let end = Instant::now() + Duration::from_secs(seconds);
    let count = thread::scope(|scope| {
        let lanes: Vec<_> = (0..2).map(|_| scope.spawn(|| sign_until(&module, slot, end))).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane panicked")).sum::<Result<u32>>()
    })?;
    Ok(f64::from(count) / Duration::from_secs(seconds).as_secs_f64())
}

fn sign_until(module: &Pkcs11, slot: cryptoki::slot::Slot, end: Instant) -> Result<u32> {
    let session = module.open_ro_session(slot)?;
    let wanted = [Attribute::Id(vec![0x21]), Attribute::Sign(true)];
    let key = *session.find_objects(&wanted)?.first().context("no OCSP key")?;
    let mut count = 0;
    while Instant::now() < end {
        session.sign(&Mechanism::Ecdsa, key, &[7; 32])?;
        count += 1;
    }
    Ok(count)
}

/// Seconds that one argon2id hash takes alone, with the configuration's cost.
pub(crate) fn argon2id_seconds() -> Result<f64> {
    const ROUNDS: u32 = 40;
    let parameters = Params::new(19_456, 2, 1, None).map_err(|error| anyhow::anyhow!("{error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    let began = Instant::now();
    for round in 0..ROUNDS {
        let mut hash = [0; 32];
        argon2
            .hash_password_into(b"kiri-no-hana-2026", &round.to_be_bytes().repeat(4), &mut hash)
            .map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(ROUNDS))
}
