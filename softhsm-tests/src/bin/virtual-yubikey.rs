//! A YubiKey's PIV application in software, for a reader of vpcd.
//!
//! Commands on the standard input or signals pull it out (`eject`, SIGUSR1) and put it in (`insert`, SIGUSR2);
//! `quit`, SIGTERM and Ctrl-C end it. The state file keeps keys and certificates between runs.

use std::{
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Parser};
use softhsm_tests::virtual_yubikey::{
    AttestationAuthority, AttestationRoots, Card, Firmware, FormFactor, Misbehaviour, Profile, Touch,
    VirtualYubiKey,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::{SignalKind, signal},
};

/// A virtual YubiKey (PIV) for a reader of vpcd.
#[derive(Debug, Parser)]
#[command(version, about, after_help = MISBEHAVIOURS)]
#[command(group(ArgGroup::new("vendor").required(true).multiple(false)
    .args(["new_attestation_root", "attestation", "attestation_root"])))]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
struct Arguments {
    /// Makes a test vendor's attestation hierarchies (both generations) in this directory and ends.
    #[arg(long, value_name = "DIR")]
    new_attestation_root: Option<PathBuf>,
    /// Directory made by --new-attestation-root; the firmware decides which generation certifies the device.
    #[arg(long, value_name = "DIR", requires = "serial")]
    attestation: Option<PathBuf>,
    /// PEM certificates of one hierarchy: the issuer of attestation keys first, its root last.
    #[arg(long, value_name = "PEM", requires_all = ["attestation_key", "serial"])]
    attestation_root: Option<PathBuf>,
    /// PKCS#8 PEM key (RSA) of the first certificate of --attestation-root.
    #[arg(long, value_name = "PEM", requires = "attestation_root")]
    attestation_key: Option<PathBuf>,
    /// Serial number.
    #[arg(long)]
    serial: Option<u32>,
    /// Firmware version: before 5.7 with a 3DES management key, from 5.7 with AES-192.
    #[arg(long, default_value = "5.7.2")]
    firmware: Firmware,
    /// usb-a-keychain, usb-a-nano, usb-c-keychain, usb-c-nano, usb-c-lightning, usb-a-bio or usb-c-bio.
    #[arg(long, default_value = "usb-c-keychain")]
    form_factor: FormFactor,
    /// The device is certified after FIPS 140.
    #[arg(long)]
    fips: bool,
    /// The device is certified after CSPN.
    #[arg(long)]
    cspn: bool,
    /// A PIV card of another maker instead: no attestation, none of Yubico's commands.
    #[arg(long)]
    foreign: bool,
    /// Keeps the device's keys, certificates, PINs and counters.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where vpcd listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:35963")]
    vpcd: String,
    /// Nobody touches the key when it blinks.
    #[arg(long)]
    untouched: bool,
    /// How long a touch takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0, conflicts_with = "untouched")]
    touch_delay: u64,
    /// How much longer each command takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// A way to misbehave, as listed below; may be repeated.
    #[arg(long, value_name = "HOW")]
    misbehave: Vec<Misbehaviour>,
}

const MISBEHAVIOURS: &str = "\
Misbehaviours:
  look-alike-root                        the attestation key's issuer only has the right name
  foreign-root                           the attestation key's issuer is unknown
  attestation-key-replaced               slot f9 holds a self-signed key
  attestation-without-basic-constraints  as on genuine firmware 5.2.4
  attest-imported                        imported keys are attested as generated
  slot-not-signed-by-attestation-key     attestations are signed by another key
  attest-another-key                     attestations show another public key
  attested-serial=N                      attestations carry this serial number
  no-attested-serial                     attestations carry none
  attested-firmware=X.Y.Z                attestations carry this firmware
  attested-slot=XX                       attestations name this slot
  pin-policy-never                       keys never ask for the PIN
  policy-missing                         attestations lack the policies
  policy-twice                           attestations carry the policies twice
  eject-after=N                          pulled out instead of answering the command after N
  eject-at=XX                            pulled out instead of answering this instruction, once";

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(io::stderr).init();
    if let Some(directory) = &arguments.new_attestation_root {
        AttestationRoots::create()?.save(directory)?;
        say(&format!("attestation roots in {}", directory.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let vpcd = resolve(&arguments.vpcd)?;
    let card = make(arguments)?;
    let serial = card.profile().serial;
    let key = VirtualYubiKey::insert_into(vpcd, card).context("starting")?;
    say(&format!("YubiKey {serial} in the reader at {vpcd}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let outcome = runtime.block_on(obey(&key));
    drop(key);
    // A pending read of the standard input must not keep the process.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

fn resolve(text: &str) -> Result<SocketAddr> {
    let mut addresses = text.to_socket_addrs().with_context(|| format!("`{text}` is not a HOST:PORT"))?;
    addresses.next().with_context(|| format!("`{text}` has no address"))
}

fn make(arguments: Arguments) -> Result<Card> {
    let serial = arguments.serial.context("--serial is missing")?;
    let touch = if arguments.untouched {
        Touch::Never
    } else {
        Touch::After(Duration::from_millis(arguments.touch_delay))
    };
    let plain =
        if arguments.foreign { Profile::foreign(serial) } else { Profile::new(serial, arguments.firmware) };
    let profile = Profile {
        form_factor: arguments.form_factor,
        fips: arguments.fips,
        cspn: arguments.cspn,
        touch,
        latency: Duration::from_millis(arguments.latency),
        misbehaviours: arguments.misbehave,
        ..plain
    };
    let authority = match (arguments.attestation, arguments.attestation_root, arguments.attestation_key) {
        (Some(directory), ..) => AttestationRoots::load(&directory)?.authority(profile.firmware).clone(),
        (None, Some(certificates), Some(key)) => AttestationAuthority::load(&certificates, &key)?,
        _ => bail!("--attestation-root needs --attestation-key"),
    };
    Ok(Card::new(profile, &authority, arguments.state)?)
}

/// Until told to end.
async fn obey(key: &VirtualYubiKey) -> Result<()> {
    let mut eject = signal(SignalKind::user_defined1())?;
    let mut insert = signal(SignalKind::user_defined2())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut listening = true;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = eject.recv() => pull_out(key)?,
            _ = insert.recv() => put_in(key)?,
            line = lines.next_line(), if listening => match line.context("reading a command")?.as_deref() {
                // Started without input: signals remain.
                None => listening = false,
                Some("eject") => pull_out(key)?,
                Some("insert") => put_in(key)?,
                Some("quit") => return Ok(()),
                Some("") => {}
                Some(other) => say(&format!("`{other}` is none of eject, insert, quit"))?,
            },
        }
    }
}

fn pull_out(key: &VirtualYubiKey) -> Result<()> {
    key.eject();
    say("ejected")
}

fn put_in(key: &VirtualYubiKey) -> Result<()> {
    key.insert();
    say("inserted")
}

fn say(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).context("writing to the standard output")
}
