//! Bytes from strangers by the million: whatever a reader of foreign structures is given, it answers within 100 ms and
//! doesn't panic. What it answers is for the tests of the domain; the time is only asserted here, on a machine that does
//! nothing else.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ca_core::domain::{
    attestation::{
        Anchor, Anchors, MakerCertificate, MakerCrl, Purpose, Trust,
        tpm::{Identity, Public, Signature, certified_key, key_of, of_attestation_key, of_endorsement_key},
        yubikey::{YubiKeyEvidence, examine},
    },
    csr,
    ids::UserId,
};
use jiff::Timestamp;
use rand::{SeedableRng, rngs::StdRng};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};

use super::{Outcome, Size, bend::hostile};

/// The longest that any input may take.
const BOUND: Duration = Duration::from_millis(100);

/// Genuine-shaped octets, from which hostile ones are made, and whom the readers believe.
struct Samples {
    all: Vec<Vec<u8>>,
    anchors: Anchors,
    user: UserId,
    now: Timestamp,
}

pub(super) fn run(_directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome =
        Outcome::new("FUZZ", "every parser of foreign octets answers within 100 ms and never panics");
    let samples = Samples::gather()?;
    let mut rng = StdRng::seed_from_u64(size.seed);
    let (mut slowest, mut worst) = (Duration::ZERO, String::new());
    for number in 0..size.hostile_inputs {
        let input = hostile(&samples.all, &mut rng);
        let began = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| samples.read(&input)));
        let took = began.elapsed();
        let head = || hex::encode(&input[..input.len().min(64)]);
        outcome.check(ended.is_ok(), || format!("input {number} (seed {}) panicked: {}…", size.seed, head()));
        outcome.check(took <= BOUND, || {
            format!("input {number} (seed {}) took {took:?}: {}…", size.seed, head())
        });
        if took > slowest {
            (slowest, worst) = (took, format!("number {number}, {} octets", input.len()));
        }
    }
    outcome.figure("inputs", size.hostile_inputs);
    outcome.figure("samples", samples.all.len());
    outcome.figure("slowest_us", u64::try_from(slowest.as_micros()).unwrap_or(u64::MAX));
    outcome.figure("slowest", worst);
    Ok(outcome.ended())
}

fn extension(arc: &[u64], content: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&[&[1, 3, 6, 1, 4, 1, 41482, 3], arc].concat(), content.to_vec())
}

fn named(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

impl Samples {
    fn gather() -> Result<Self> {
        let authority = |name: &str| -> Result<CertificateParams> {
            let mut params = named(name)?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Ok(params)
        };
        let root = CertifiedIssuer::self_signed(authority("Maker PIV Root")?, KeyPair::generate()?)?;
        let f9 = CertifiedIssuer::signed_by(authority("Device")?, KeyPair::generate()?, &root)?;
        let key = KeyPair::generate()?;
        let mut slot = named("YubiKey PIV Attestation 9a")?;
        slot.custom_extensions = vec![
            extension(&[3], &[5, 7, 4]),
            extension(&[7], &[2, 4, 1, 0xf8, 0x84, 0x5f]),
            extension(&[8], &[2, 1]),
        ];
        let slot = slot.signed_by(&key, &f9)?;
        let mut ek = named("")?;
        ek.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![2, 23, 133, 8, 1])];
        let ek = ek.signed_by(&key, &root)?;
        let request = named("hokkai-01")?.serialize_request(&key)?;
        let mut all = vec![
            root.der().to_vec(),
            f9.der().to_vec(),
            slot.der().to_vec(),
            ek.der().to_vec(),
            request.der().to_vec(),
            vec![0; 400],
        ];
        if let Some(folder) = std::env::var_os("INRO_EVIDENCE_DIR") {
            for kind in ["yubikey", "tpm"] {
                all.extend(files(&Path::new(&folder).join(kind))?);
            }
        }
        let of = |purpose| Anchor { der: root.der().to_vec(), trust: Trust::Root, purpose };
        let anchors = Anchors::new(&[of(Purpose::PivIssuer), of(Purpose::TpmMaker)])?;
        Ok(Self { all, anchors, user: UserId::parse("hokkai-01")?, now: Timestamp::now() })
    }

    /// Every reader of the evidence gets them.
    fn read(&self, octets: &[u8]) {
        let (anchors, now) = (&self.anchors, self.now);
        let whole = || octets.to_vec();
        let genuine = |index: usize| self.all[index].clone();
        for (slot, f9) in [(whole(), genuine(1)), (genuine(2), whole()), (whole(), whole())] {
            let intermediates = vec![whole(); 3];
            let _ = examine(&YubiKeyEvidence { slot, f9, intermediates }, anchors, now);
        }
        let _ = YubiKeyEvidence::in_request(octets);
        let _ = csr::verify(octets, &self.user);
        if let Ok(key) = key_of(octets) {
            let _ = of_endorsement_key(octets, &vec![whole(); 3], &key, anchors, now);
            if let Ok(signature) = Signature::parse(octets, &key) {
                let _ = certified_key(&key, &signature, octets, octets, |_| None);
            }
        }
        let _ = of_attestation_key(&vec![whole(); 3], anchors, now);
        let _ = Identity::parse(octets, octets);
        let _ = Public::parse(octets, "public area");
        if let Ok(certificate) = MakerCertificate::read(octets) {
            let _ = certificate.check_ca();
        }
        if let Ok(crl) = MakerCrl::read(octets) {
            let _ = anchors.with_crls(&[crl]);
        }
    }
}

/// PEM and DER files, and what else is there.
fn files(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let octets = std::fs::read(entry?.path())?;
        let text = std::str::from_utf8(&octets).ok().map(str::trim);
        match text.and_then(|text| der::pem::decode_vec(text.as_bytes()).ok()) {
            Some((_, der)) => found.push(der),
            None => found.push(octets),
        }
    }
    Ok(found)
}
