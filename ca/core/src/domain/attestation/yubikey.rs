//! YubiKey PIV attestation: a certificate that the device makes for a key which it generated, signed by the key in its
//! slot f9, whose certificate the maker signed.
//!
//! f9 certificates are per batch, not per device, and their names vary: only the slot's certificate says which device
//! it is, and no name is matched except to find issuers.

use const_oid::{ObjectIdentifier, db::rfc4519::COMMON_NAME};
use der::Decode;
use jiff::Timestamp;
use x509_cert::{ext::Extension, spki::SubjectPublicKeyInfoOwned};

use ca_x509::KeyKind;

pub use super::fields::{Firmware, FormFactor, PinPolicy, Slot, TouchPolicy};
use super::{
    Anchors, Attested, ChainError, ExtensionProblem, Particulars, Refusal,
    certificate::{CA_CRITICALS, DeviceCertificate, MAX_CERTIFICATE_BYTES},
    chain::Errand,
};
use crate::domain::{
    device::{Assurance, Device, DeviceKind},
    ids::TokenSerial,
};

/// Intermediates that may come with the evidence.
pub const MAX_INTERMEDIATES: usize = 3;

const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
const FORM_FACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");
/// In f9 certificates; in certification requests of old tools .11 is something else.
const FIPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.10");
const CSPN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.11");

/// The first and last firmware whose genuine f9 certificates may lack `basicConstraints`.
const WITHOUT_BASIC_CONSTRAINTS: std::ops::RangeInclusive<Firmware> =
    Firmware::new(4, 3, 7)..=Firmware::new(5, 2, 4);

/// The firmware whose RSA keys are weak (ROCA, YSA-2017-01); no policy accepts them.
const ROCA: std::ops::RangeInclusive<Firmware> = Firmware::new(4, 2, 6)..=Firmware::new(4, 3, 4);
/// The first firmware after it.
const AFTER_ROCA: Firmware = Firmware::new(4, 3, 5);

/// The evidence, DER.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct YubiKeyEvidence {
    /// The attestation certificate of the slot.
    pub slot: Vec<u8>,
    /// The certificate in f9.
    pub f9: Vec<u8>,
    /// Certificates between f9 and the root, if the agent has any; they only help to find the way.
    pub intermediates: Vec<Vec<u8>>,
}

/// Which YubiKeys and keys in them are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YubiKeyRules {
    /// The slots that keys may live in, in order of preference.
    pub slots: Vec<Slot>,
    /// The accepted PIN policies, the one to be generated first. A key that works without PIN has a lower assurance.
    pub pin_policies: Vec<PinPolicy>,
    /// The accepted touch policies, the one to be generated first.
    pub touch_policies: Vec<TouchPolicy>,
    /// The lowest firmware for keys on P-256 and P-384.
    pub lowest_for_ec: Firmware,
    /// The lowest firmware for RSA-2048.
    pub lowest_for_rsa_2048: Firmware,
    /// The lowest firmware for larger RSA keys.
    pub lowest_for_larger_rsa: Firmware,
    /// Only devices of the FIPS series.
    pub fips_only: bool,
    /// Only devices of the CSPN series.
    pub cspn_only: bool,
    /// Only devices of these shapes; `None` for any.
    pub form_factors: Option<Vec<FormFactor>>,
}

impl Default for YubiKeyRules {
    /// Slots 9a and 9c (a renewal's key is made beside the old one; Windows and OpenSC know both), PIN asked for, any touch
    /// policy. EC from 5.7.0, which is free of EUCLEAK (YSA-2024-03); RSA-2048 from
    /// 5.0.0, well clear of ROCA; larger RSA keys exist from 5.7.0.
    fn default() -> Self {
        Self {
            slots: vec![Slot::AUTHENTICATION, Slot::SIGNATURE],
            pin_policies: vec![
                PinPolicy::Once,
                PinPolicy::Always,
                PinPolicy::MatchOnce,
                PinPolicy::MatchAlways,
            ],
            touch_policies: vec![TouchPolicy::Never, TouchPolicy::Always, TouchPolicy::Cached],
            lowest_for_ec: Firmware::new(5, 7, 0),
            lowest_for_rsa_2048: Firmware::new(5, 0, 0),
            lowest_for_larger_rsa: Firmware::new(5, 7, 0),
            fips_only: false,
            cspn_only: false,
            form_factors: None,
        }
    }
}

impl YubiKeyRules {
    /// The lowest firmware for keys of this kind.
    pub fn lowest_firmware(&self, key: KeyKind) -> Firmware {
        match key {
            KeyKind::P256 | KeyKind::P384 => self.lowest_for_ec,
            KeyKind::Rsa { bits: 2048 } => self.lowest_for_rsa_2048,
            KeyKind::Rsa { .. } => self.lowest_for_larger_rsa,
        }
    }

    /// The firmware that such a key of this firmware would need, where it is too old: by the policy, or because its keys
    /// are known to be weak.
    fn needs(&self, firmware: Firmware, key: KeyKind) -> Option<Firmware> {
        let lowest = self.lowest_firmware(key);
        let is_weak = matches!(key, KeyKind::Rsa { .. }) && ROCA.contains(&firmware);
        match (firmware < lowest, is_weak) {
            (true, _) => Some(lowest),
            (false, true) => Some(AFTER_ROCA),
            (false, false) => None,
        }
    }
}

/// What is particular to a key in a YubiKey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YubiKey {
    /// The device's firmware.
    pub firmware: Firmware,
    /// The slot that holds the key.
    pub slot: Slot,
    /// When the device asks for its PIN.
    pub pin_policy: PinPolicy,
    /// When it asks for a touch.
    pub touch_policy: TouchPolicy,
    /// Its shape, where the firmware says so.
    pub form_factor: Option<FormFactor>,
    /// A FIPS device.
    pub fips: bool,
    /// A CSPN device.
    pub cspn: bool,
}

impl YubiKey {
    /// What was decoded, as `name=value` lines.
    pub(super) fn decoded(&self) -> Vec<String> {
        let form_factor = self.form_factor.map_or_else(|| "unknown".to_owned(), |form| form.to_string());
        vec![
            format!("firmware={}", self.firmware),
            format!("slot={}", self.slot),
            format!("pin_policy={}", self.pin_policy),
            format!("touch_policy={}", self.touch_policy),
            format!("form_factor={form_factor}"),
            format!("fips={}", self.fips),
            format!("cspn={}", self.cspn),
        ]
    }
}

/// What a genuine device says, before any policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The device.
    pub device: Device,
    /// The key that it generated.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// Its firmware.
    pub firmware: Firmware,
    /// The slot.
    pub slot: Slot,
    /// The key's PIN policy.
    pub pin_policy: PinPolicy,
    /// The key's touch policy.
    pub touch_policy: TouchPolicy,
    /// Its shape; missing before firmware 5.
    pub form_factor: Option<FormFactor>,
    /// A FIPS device.
    pub fips: bool,
    /// A CSPN device.
    pub cspn: bool,
    /// SHA-256 of the maker's root certificate.
    pub root_sha256: [u8; 32],
}

/// Checks that the evidence comes from a genuine device, and reads what it says.
///
/// # Errors
/// The first [`Refusal`].
pub fn examine(evidence: &YubiKeyEvidence, anchors: &Anchors, now: Timestamp) -> Result<Statement, Refusal> {
    if evidence.intermediates.len() > MAX_INTERMEDIATES {
        return Err(Refusal::TooManyCertificates { limit: MAX_INTERMEDIATES + 2 });
    }
    let slot = read(&evidence.slot, "slot's attestation certificate")?;
    let f9 = read(&evidence.f9, "device's attestation certificate")?;
    let offered = evidence
        .intermediates
        .iter()
        .map(|der| read(der, "intermediate certificate"))
        .collect::<Result<Vec<_>, _>>()?;

    if slot.tbs().issuer() != f9.tbs().subject() || slot.is_signed_by(&f9).is_err() {
        return Err(Refusal::SlotNotSignedByF9);
    }
    let root_sha256 = check_f9(&f9, offered, anchors, now).map_err(Refusal::Untrusted)?;
    slot.check_time_and_criticals(now, &[]).map_err(Refusal::Untrusted)?;
    statement(&slot, &f9, root_sha256)
}

fn read(der: &[u8], which: &'static str) -> Result<DeviceCertificate, Refusal> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(Refusal::TooLarge { limit: MAX_CERTIFICATE_BYTES });
    }
    DeviceCertificate::parse(der).map_err(|_| Refusal::Malformed { which })
}

/// f9 must be a CA that the maker certified for PIV, and not the attestation of a slot: a slot's certificate is signed
/// by a genuine device too, and its key does what the customer wants.
fn check_f9(
    f9: &DeviceCertificate,
    offered: Vec<DeviceCertificate>,
    anchors: &Anchors,
    now: Timestamp,
) -> Result<[u8; 32], ChainError> {
    if [SERIAL, POLICY].into_iter().any(|oid| f9.extensions(oid).next().is_some()) {
        return Err(ChainError::NotCa);
    }
    f9.check_time_and_criticals(now, &CA_CRITICALS)?;
    let path = anchors.path_above(f9, offered, Errand::Piv, now)?;
    match f9.check_ca(0) {
        Err(ChainError::NotCa) if lacks_constraints_as_shipped(f9) && path.length == 1 => {
            f9.check_key_usage()?;
        }
        other => other?,
    }
    Ok(path.root_sha256)
}

/// The one exception: f9 certificates of firmware 4.3.7 to 5.2.4 that have no `basicConstraints` at all. It holds only
/// directly below a root that issues them, so that nothing made by a device can claim it.
fn lacks_constraints_as_shipped(f9: &DeviceCertificate) -> bool {
    let firmware = one(f9, FIRMWARE, "firmware").ok().flatten().and_then(firmware_of);
    let constraints = const_oid::db::rfc5280::ID_CE_BASIC_CONSTRAINTS;
    f9.extensions(constraints).next().is_none()
        && firmware.is_some_and(|firmware| WITHOUT_BASIC_CONSTRAINTS.contains(&firmware))
}

fn statement(
    slot: &DeviceCertificate,
    f9: &DeviceCertificate,
    root_sha256: [u8; 32],
) -> Result<Statement, Refusal> {
    let firmware = required(slot, FIRMWARE, "firmware", firmware_of)?;
    let serial = required(slot, SERIAL, "serial number", serial_of)?;
    let (pin_policy, touch_policy) = required(slot, POLICY, "policy", policies_of)?;
    let form_octet =
        one(slot, FORM_FACTOR, "form factor")?.map(|extension| match extension.extn_value.as_bytes() {
            [octet] => Ok(*octet),
            _ => Err(malformed("form factor")),
        });
    let form_octet = form_octet.transpose()?;
    if let Some(extension) = one(f9, FIRMWARE, "firmware")?
        && firmware_of(extension) != Some(firmware)
    {
        return Err(Refusal::FirmwareMismatch);
    }
    Ok(Statement {
        device: Device { kind: DeviceKind::YubiKeyPiv, serial },
        public_key: slot.public_key().clone(),
        firmware,
        slot: slot_of(slot).ok_or(Refusal::NoSlot)?,
        pin_policy,
        touch_policy,
        // The upper half are flags, the highest of them FIPS.
        form_factor: form_octet
            .map(|octet| FormFactor::from_octet(octet & 0x0f).unwrap_or(FormFactor::Unknown)),
        fips: form_octet.is_some_and(|octet| octet & 0x80 != 0) || f9.extensions(FIPS).next().is_some(),
        cspn: f9.extensions(CSPN).next().is_some(),
        root_sha256,
    })
}

/// The extension, when there is exactly one.
fn one<'a>(
    certificate: &'a DeviceCertificate,
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<Option<&'a Extension>, Refusal> {
    let mut found = certificate.extensions(oid);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(_) => Err(Refusal::Extension { extension: name, problem: ExtensionProblem::Twice }),
    }
}

fn required<T>(
    certificate: &DeviceCertificate,
    oid: ObjectIdentifier,
    name: &'static str,
    read: fn(&Extension) -> Option<T>,
) -> Result<T, Refusal> {
    let missing = Refusal::Extension { extension: name, problem: ExtensionProblem::Missing };
    read(one(certificate, oid, name)?.ok_or(missing)?).ok_or_else(|| malformed(name))
}

fn malformed(extension: &'static str) -> Refusal {
    Refusal::Extension { extension, problem: ExtensionProblem::Malformed }
}

/// Three raw octets.
fn firmware_of(extension: &Extension) -> Option<Firmware> {
    match extension.extn_value.as_bytes() {
        [major, minor, patch] => Some(Firmware::new(*major, *minor, *patch)),
        _ => None,
    }
}

/// A DER INTEGER, printed in decimal on the device.
fn serial_of(extension: &Extension) -> Option<TokenSerial> {
    let number = u32::from_der(extension.extn_value.as_bytes()).ok()?;
    TokenSerial::parse(&number.to_string()).ok()
}

/// Two raw octets.
fn policies_of(extension: &Extension) -> Option<(PinPolicy, TouchPolicy)> {
    match extension.extn_value.as_bytes() {
        [pin, touch] => Some((PinPolicy::from_octet(*pin)?, TouchPolicy::from_octet(*touch)?)),
        _ => None,
    }
}

/// The last word of the subject `CN=YubiKey PIV Attestation 9a`.
fn slot_of(certificate: &DeviceCertificate) -> Option<Slot> {
    let name = ca_x509::name::text(certificate.tbs().subject(), COMMON_NAME)?;
    Slot::parse(name.strip_prefix("YubiKey PIV Attestation ")?)
}

impl Statement {
    /// Holds the statement against the policy, for a key of this kind.
    ///
    /// # Errors
    /// The first [`Refusal`].
    pub fn judge(self, key: KeyKind, policy: &YubiKeyRules) -> Result<Attested, Refusal> {
        if !policy.slots.contains(&self.slot) {
            return Err(Refusal::WrongSlot { found: self.slot });
        }
        if !policy.pin_policies.contains(&self.pin_policy) {
            return Err(Refusal::PinPolicy { found: self.pin_policy });
        }
        if !policy.touch_policies.contains(&self.touch_policy) {
            return Err(Refusal::TouchPolicy { found: self.touch_policy });
        }
        if policy.fips_only && !self.fips {
            return Err(Refusal::NotOfSeries { series: "FIPS" });
        }
        if policy.cspn_only && !self.cspn {
            return Err(Refusal::NotOfSeries { series: "CSPN" });
        }
        if let Some(shapes) = &policy.form_factors {
            let found = self.form_factor.unwrap_or(FormFactor::Unknown);
            if !shapes.contains(&found) {
                return Err(Refusal::FormFactor { found });
            }
        }
        if let Some(lowest) = policy.needs(self.firmware, key) {
            return Err(Refusal::FirmwareTooOld { found: self.firmware, lowest });
        }
        Ok(Attested {
            assurance: match self.pin_policy {
                PinPolicy::Never => Assurance::Attested,
                _ => Assurance::AttestedWithPin,
            },
            device: self.device,
            root_sha256: Some(self.root_sha256),
            particulars: Particulars::YubiKey(YubiKey {
                firmware: self.firmware,
                slot: self.slot,
                pin_policy: self.pin_policy,
                touch_policy: self.touch_policy,
                form_factor: self.form_factor,
                fips: self.fips,
                cspn: self.cspn,
            }),
        })
    }
}
