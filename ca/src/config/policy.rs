//! `[policy]`: which devices and keys are accepted. The defaults are the recommended ones.

use ca_core::domain::{
    attestation::yubikey::{DevicePolicy, Firmware, Slot, TouchPolicy},
    device::Assurance,
};
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    version: u32,
    slots: Vec<String>,
    accept_pin_never: bool,
    touch: Vec<String>,
    lowest_firmware_ec: String,
    lowest_firmware_rsa2048: String,
    lowest_firmware_larger_rsa: String,
}

impl Default for Raw {
    fn default() -> Self {
        let devices = DevicePolicy::default();
        Self {
            version: 1,
            slots: devices.slots.iter().map(ToString::to_string).collect(),
            accept_pin_never: devices.accept_pin_never,
            touch: devices.touch_policies.iter().map(ToString::to_string).collect(),
            lowest_firmware_ec: devices.lowest_for_ec.to_string(),
            lowest_firmware_rsa2048: devices.lowest_for_rsa_2048.to_string(),
            lowest_firmware_larger_rsa: devices.lowest_for_larger_rsa.to_string(),
        }
    }
}

/// The rules of issuance that the bank sets.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Stored with each verdict; raise it with each change.
    pub(crate) version: u32,
    /// Devices and keys.
    pub(crate) devices: DevicePolicy,
    /// The lowest assurance on which a certificate is issued.
    pub(crate) approve_from: Assurance,
}

impl Raw {
    pub(super) fn validate(self) -> ConfigResult<Policy> {
        let slots = each("policy.slots", &self.slots, Slot::parse, "PIV slots such as \"9a\"")?;
        let touch = each(
            "policy.touch",
            &self.touch,
            TouchPolicy::parse,
            "\"never\", \"always\" and \"cached\", the one to be generated first",
        )?;
        let approve_from =
            if self.accept_pin_never { Assurance::Attested } else { Assurance::AttestedWithPin };
        Ok(Policy {
            version: value::within("policy.version", self.version, 1..=u32::MAX)?,
            approve_from,
            devices: DevicePolicy {
                slots,
                accept_pin_never: self.accept_pin_never,
                touch_policies: touch,
                lowest_for_ec: firmware("policy.lowest_firmware_ec", &self.lowest_firmware_ec)?,
                lowest_for_rsa_2048: firmware(
                    "policy.lowest_firmware_rsa2048",
                    &self.lowest_firmware_rsa2048,
                )?,
                lowest_for_larger_rsa: firmware(
                    "policy.lowest_firmware_larger_rsa",
                    &self.lowest_firmware_larger_rsa,
                )?,
            },
        })
    }
}

fn each<T>(
    key: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Option<T>,
    allowed: &str,
) -> ConfigResult<Vec<T>> {
    let parsed: Option<Vec<T>> = texts.iter().map(|text| parse(text)).collect();
    parsed.filter(|parsed| !parsed.is_empty()).ok_or_else(|| {
        ConfigError::value(key, format_args!("{texts:?} can't be read"), format!("list {allowed}"))
    })
}

fn firmware(key: &str, text: &str) -> ConfigResult<Firmware> {
    Firmware::parse(text).ok_or_else(|| {
        ConfigError::value(
            key,
            format_args!("{text:?} isn't a firmware version"),
            "write it as major.minor.patch, such as \"5.7.0\"",
        )
    })
}
