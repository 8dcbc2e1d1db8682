//! Policies as operators write them: `[policy]` of the configuration is the bank's own, a file of the same keys with a
//! name of its own is one for contracts. What is left out is the recommended value.

use ca_core::{
    domain::{
        attestation::{
            tpm::{Manufacturer, TpmRules},
            yubikey::{Firmware, FormFactor, PinPolicy, Slot, TouchPolicy, YubiKeyRules},
        },
        custody::PukRule,
        device::{Assurance, DeviceKind},
        enrolment::Binding,
        ids::PolicyName,
        key_kind::{key_name, parse_key_name},
        policy::{BindingRules, DevicePolicy, InventoryRule, PolicyRules, PolicyVersion, WrittenPolicy},
    },
    ports::policies::{PolicyForm, UnreadablePolicy},
};
use ca_x509::KeyKind;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    name: Option<String>,
    version: Option<u32>,
    devices: Option<Vec<String>>,
    lowest_assurance: Option<String>,
    algorithms: Option<Vec<String>>,
    binding: Option<Vec<String>>,
    inventory: Option<String>,
    puk: Option<String>,
    yubikey: RawYubiKey,
    tpm: RawTpm,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawYubiKey {
    slots: Option<Vec<String>>,
    pin: Option<Vec<String>>,
    touch: Option<Vec<String>>,
    fips_only: bool,
    cspn_only: bool,
    form_factors: Option<Vec<String>>,
    lowest_firmware: RawFirmware,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFirmware {
    ec: Option<String>,
    rsa2048: Option<String>,
    larger_rsa: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTpm {
    manufacturers: Option<Vec<String>>,
    expired_ek_certificates: Option<bool>,
    ek_by_inventory: Option<bool>,
    sha1: Option<bool>,
}

impl Raw {
    /// The bank's own policy.
    pub(super) fn validate(self) -> ConfigResult<WrittenPolicy> {
        if self.name.is_some() {
            return Err(ConfigError::value(
                "policy.name",
                "the bank's own policy has no name of its own",
                "leave it out; policies of other names are set with `inro-ca policy set`",
            ));
        }
        let version = value::within("policy.version", self.version.unwrap_or(1), 1..=u32::MAX)?;
        let id = PolicyVersion { name: PolicyName::bank(), version };
        Ok(WrittenPolicy { id, rules: self.rules(Keys("policy."))? })
    }

    fn named(self) -> ConfigResult<WrittenPolicy> {
        let missing = |key: &str, remedy: &str| ConfigError::value(key, "it is missing", remedy);
        let name = self
            .name
            .as_deref()
            .ok_or_else(|| missing("name", "name the policy, as in name = \"fips-only\""))?;
        let name = PolicyName::parse(name)
            .map_err(|error| ConfigError::value("name", error, "write it like \"fips-only\""))?;
        let version = self
            .version
            .ok_or_else(|| missing("version", "write version = 1, and raise it by one with each change"))?;
        let version = value::within("version", version, 1..=u32::MAX)?;
        Ok(WrittenPolicy { id: PolicyVersion { name, version }, rules: self.rules(Keys(""))? })
    }

    fn rules(self, keys: Keys) -> ConfigResult<PolicyRules> {
        let recommended = DevicePolicy::default();
        let devices = DevicePolicy {
            kinds: keys.list(
                "devices",
                self.devices,
                DeviceKind::parse,
                recommended.kinds,
                "\"yubikey-piv\", \"tpm\", \"piv\" and \"pkcs11\"",
            )?,
            lowest_assurance: keys.one(
                "lowest_assurance",
                self.lowest_assurance,
                Assurance::parse,
                recommended.lowest_assurance,
                "\"attested-pin\", \"attested\" or \"asserted\"",
            )?,
            algorithms: keys.list(
                "algorithms",
                self.algorithms,
                parse_key_name,
                recommended.algorithms,
                "\"p256\", \"p384\", \"rsa2048\", \"rsa3072\" and \"rsa4096\", the one to be generated first",
            )?,
            yubikey: self.yubikey.rules(keys)?,
            tpm: self.tpm.rules(keys)?,
        };
        keys.fit_together(&devices)?;
        let bindings = keys.list(
            "binding",
            self.binding,
            |text| Binding::parse(text).filter(|binding| *binding != Binding::Renewal),
            BindingRules::default().accepted().to_vec(),
            "\"assigned-serial\", \"acquisition-code\" and \"first-come\"",
        )?;
        Ok(PolicyRules {
            devices,
            binding: BindingRules::of(bindings).unwrap_or_default(),
            inventory: keys.one(
                "inventory",
                self.inventory,
                InventoryRule::parse,
                InventoryRule::default(),
                "\"optional\" or \"required\"",
            )?,
            puk: keys.one(
                "puk",
                self.puk,
                PukRule::parse,
                PukRule::default(),
                "\"forgotten\" or \"kept\", which needs [token_custody]",
            )?,
        })
    }
}

impl RawYubiKey {
    fn rules(self, keys: Keys) -> ConfigResult<YubiKeyRules> {
        let recommended = YubiKeyRules::default();
        if self.fips_only && self.cspn_only {
            return Err(keys.refuse(
                "yubikey.cspn_only",
                "no YubiKey is of the FIPS and of the CSPN series",
                "set only one of yubikey.fips_only and yubikey.cspn_only",
            ));
        }
        let firmware = |key: &str, text: Option<String>, recommended| {
            let form = "major.minor.patch, such as \"5.7.0\"";
            keys.one(&format!("yubikey.lowest_firmware.{key}"), text, Firmware::parse, recommended, form)
        };
        let form_factors = match self.form_factors {
            None => None,
            shapes => Some(keys.list(
                "yubikey.form_factors",
                shapes,
                FormFactor::parse,
                Vec::new(),
                "shapes such as \"usb-a-keychain\", \"usb-c-nano\" and \"usb-c-bio\", or leave the key out for any",
            )?),
        };
        Ok(YubiKeyRules {
            slots: keys.list(
                "yubikey.slots",
                self.slots,
                Slot::parse,
                recommended.slots,
                "PIV slots such as \"9a\", in order of preference",
            )?,
            pin_policies: keys.list(
                "yubikey.pin",
                self.pin,
                PinPolicy::parse,
                recommended.pin_policies,
                "\"once\", \"always\", \"match-once\", \"match-always\" and \"never\", the one to be generated first",
            )?,
            touch_policies: keys.list(
                "yubikey.touch",
                self.touch,
                TouchPolicy::parse,
                recommended.touch_policies,
                "\"never\", \"always\" and \"cached\", the one to be generated first",
            )?,
            lowest_for_ec: firmware("ec", self.lowest_firmware.ec, recommended.lowest_for_ec)?,
            lowest_for_rsa_2048: firmware(
                "rsa2048",
                self.lowest_firmware.rsa2048,
                recommended.lowest_for_rsa_2048,
            )?,
            lowest_for_larger_rsa: firmware(
                "larger_rsa",
                self.lowest_firmware.larger_rsa,
                recommended.lowest_for_larger_rsa,
            )?,
            fips_only: self.fips_only,
            cspn_only: self.cspn_only,
            form_factors,
        })
    }
}

impl RawTpm {
    fn rules(self, keys: Keys) -> ConfigResult<TpmRules> {
        let recommended = TpmRules::default();
        let manufacturers = match self.manufacturers {
            None => None,
            makers => {
                let form = "makers by their letters in the TCG's registry, such as \"INTC\", \"AMD\", \"IFX\", \"NTC\" and \
                            \"STM\", or leave the key out for any";
                let makers = keys.list("tpm.manufacturers", makers, manufacturer, Vec::new(), form)?;
                Some(makers.into_iter().flatten().collect())
            }
        };
        Ok(TpmRules {
            manufacturers,
            accept_expired_ek_certificates: self
                .expired_ek_certificates
                .unwrap_or(recommended.accept_expired_ek_certificates),
            accept_ek_by_inventory: self.ek_by_inventory.unwrap_or(recommended.accept_ek_by_inventory),
            accept_sha1: self.sha1.unwrap_or(recommended.accept_sha1),
        })
    }
}

/// The registry fills identifiers of three letters up with NUL or with a blank: both are meant.
fn manufacturer(letters: &str) -> Option<[Manufacturer; 2]> {
    let is_plain = letters.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if !is_plain || !(2..=4).contains(&letters.len()) {
        return None;
    }
    let filled = |filler: u8| {
        let mut octets = [filler; 4];
        octets[..letters.len()].copy_from_slice(letters.as_bytes());
        Manufacturer(u32::from_be_bytes(octets))
    };
    Some([filled(0), filled(b' ')])
}

/// What stands before a key's name in messages: the section, in the configuration.
#[derive(Clone, Copy)]
struct Keys(&'static str);

impl Keys {
    fn refuse(self, key: &str, problem: impl std::fmt::Display, remedy: impl Into<String>) -> ConfigError {
        ConfigError::value(format!("{}{key}", self.0), problem, remedy)
    }

    fn one<T>(
        self,
        key: &str,
        text: Option<String>,
        parse: impl Fn(&str) -> Option<T>,
        recommended: T,
        form: &str,
    ) -> ConfigResult<T> {
        let Some(text) = text else { return Ok(recommended) };
        parse(&text)
            .ok_or_else(|| self.refuse(key, format_args!("{text:?} isn't known"), format!("write {form}")))
    }

    fn list<T: PartialEq>(
        self,
        key: &str,
        texts: Option<Vec<String>>,
        parse: impl Fn(&str) -> Option<T>,
        recommended: Vec<T>,
        form: &str,
    ) -> ConfigResult<Vec<T>> {
        let Some(texts) = texts else { return Ok(recommended) };
        if texts.is_empty() {
            return Err(self.refuse(
                key,
                "the list is empty, so nothing would be accepted",
                format!("list {form}"),
            ));
        }
        let mut parsed = Vec::with_capacity(texts.len());
        for text in &texts {
            let one = parse(text).ok_or_else(|| {
                self.refuse(key, format_args!("{text:?} isn't known"), format!("list {form}"))
            })?;
            if parsed.contains(&one) {
                return Err(self.refuse(key, format_args!("{text:?} is listed twice"), "list it once"));
            }
            parsed.push(one);
        }
        Ok(parsed)
    }

    /// What can't both be meant.
    fn fit_together(self, devices: &DevicePolicy) -> ConfigResult<()> {
        let lowest = devices.lowest_assurance;
        for kind in &devices.kinds {
            let highest = kind.highest_assurance();
            if highest < lowest {
                let (kind, highest) = (kind.as_str(), highest.as_str());
                return Err(self.refuse(
                    "devices",
                    format_args!("keys in devices of the kind {kind:?} are never more than {highest:?}"),
                    format!("leave it out, or set lowest_assurance = \"{highest}\""),
                ));
            }
        }
        if devices.yubikey.pin_policies.contains(&PinPolicy::Never) && lowest > Assurance::Attested {
            return Err(self.refuse(
                "yubikey.pin",
                "keys that never ask for the PIN don't reach lowest_assurance = \"attested-pin\"",
                "leave \"never\" out, or set lowest_assurance = \"attested\"",
            ));
        }
        for kind in &devices.kinds {
            if devices.keys_for(*kind, None).is_empty() {
                let names: Vec<String> = devices.algorithms.iter().copied().map(key_name).collect();
                return Err(self.refuse(
                    "algorithms",
                    format_args!("no device of the kind {:?} has keys of {names:?}", kind.as_str()),
                    format!("add \"{}\", or leave the kind out of devices", key_name(KeyKind::P256)),
                ));
            }
        }
        Ok(())
    }
}

/// Reads a policy's file.
///
/// # Errors
/// [`ConfigError`] names the key and the remedy.
pub(crate) fn read(text: &str) -> ConfigResult<WrittenPolicy> {
    let raw: Raw = toml::from_str(text).map_err(|error| {
        let place = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let line = place.map_or_else(String::new, |line| format!("line {line}: "));
        ConfigError::value(
            "the policy",
            format_args!("{line}{}", error.message()),
            "see ca/docs/policy.md for its keys",
        )
    })?;
    raw.named()
}

/// The form of policies in the ledger: TOML.
pub(crate) struct TomlPolicies;

impl PolicyForm for TomlPolicies {
    fn read(&self, text: &str) -> Result<WrittenPolicy, UnreadablePolicy> {
        read(text).map_err(|error| UnreadablePolicy(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples are what they say, and each key of the documentation is one of the form.
    #[test]
    fn the_examples_are_policies() {
        for (text, name) in [
            (include_str!("../../examples/policy-fips.toml"), "fips-only"),
            (include_str!("../../examples/policy-touch.toml"), "touch-always"),
            (include_str!("../../examples/policy-tpm.toml"), "tpm"),
            (include_str!("../../examples/policy-other-cards.toml"), "other-cards"),
            (include_str!("../../examples/policy-first-come.toml"), "first-come"),
        ] {
            let written = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(written.id.to_string(), format!("{name}/1"));
        }
    }

    /// What the configuration's example shows in comments is the recommended policy.
    #[test]
    fn what_is_left_out_is_what_the_example_shows() {
        let example = include_str!("../../examples/inro.toml");
        let start = example.find("[policy]").expect("the section");
        let section = &example[start..start + example[start..].find("\n\n").expect("the next section")];
        let is_key =
            |line: &&str| line.starts_with("# ") && (line.contains(" = ") || line.starts_with("# ["));
        let text: Vec<String> =
            section.lines().filter(is_key).map(|line| line[2..].replace("[policy.", "[")).collect();
        let shown = format!("name = \"shown\"\n{}", text.join("\n"))
            .replace("form_factors = [\"usb-a-keychain\", \"usb-c-keychain\"]", "")
            .replace("manufacturers = [\"INTC\", \"AMD\", \"IFX\", \"NTC\", \"STM\"]", "");
        let shown = read(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
        assert_eq!(shown.rules, PolicyRules::default());
    }

    #[test]
    fn makers_of_three_letters_are_filled_up_either_way() {
        let text = "name = \"x\"\nversion = 1\n[tpm]\nmanufacturers = [\"STM\", \"INTC\"]";
        let makers = read(text).expect("a policy").rules.devices.tpm.manufacturers.expect("makers");
        for known in [0x5354_4d20, 0x5354_4d00, 0x494e_5443] {
            assert!(makers.contains(&Manufacturer(known)), "{known:08x}");
        }
        assert!(!makers.contains(&Manufacturer(0x414d_4400)));
    }

    #[test]
    fn the_banks_own_policy_has_no_name() {
        let named: Raw = toml::from_str("name = \"x\"").expect("a section");
        let error = named.validate().err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.starts_with("policy.name: ")));
    }
}
