//! Enrolments between the wire and the use cases, the same for agents and for machines.

use ca_core::{
    app::enrol::{open, tpm::TpmKeys},
    domain::{
        attestation::{
            Evidence,
            tpm::TpmEvidence,
            yubikey::{Firmware, YubiKeyEvidence},
        },
        custody::PukRule,
        device::{Device, DeviceKind},
        ids::{SerialNumber, TokenSerial},
        key_kind::key_name,
    },
};
use ca_wire::{
    Base64Url,
    enrolment::{
        Certified, DeviceClaim, Evidence as WireEvidence, KeyRequirements, Opened, TpmCredential, TpmIdentity,
    },
    problem::Code,
};
use secrecy::ExposeSecret;

use super::problem::Refused;

/// What answers about enrolments are written with.
pub(crate) struct Forms {
    /// The issuing CA's certificate and those above it, DER.
    pub(crate) chain: Vec<Base64Url>,
    /// Whether there is a custody for PUKs.
    pub(crate) keeps_puks: bool,
}

impl Forms {
    /// A certificate with its issuers.
    pub(crate) fn certified(&self, der: &[u8]) -> Certified {
        Certified { certificate: Base64Url(der.to_vec()), chain: self.chain.clone() }
    }

    /// The answer to step 1.
    pub(crate) fn opened(&self, opened: &open::Opened) -> Opened {
        let der = opened.certified.as_ref().and_then(|record| record.der());
        let challenge = opened.enrolment.challenge.to_vec();
        Opened {
            enrolment_id: opened.enrolment.id.0,
            bearer: opened.bearer.expose_secret().to_owned(),
            // A TPM's challenge is worth something only because nobody sees it but the TPM.
            challenge: (opened.enrolment.device.kind != DeviceKind::Tpm).then_some(Base64Url(challenge)),
            tpm_credential: opened.tpm_credential.as_ref().map(|credential| TpmCredential {
                credential_blob: Base64Url(credential.credential_blob.clone()),
                encrypted_secret: Base64Url(credential.encrypted_secret.clone()),
            }),
            expires_at: opened.enrolment.expires_at,
            key: self.key_requirements(opened),
            certified: der.map(|der| self.certified(der)),
        }
    }

    /// What the contract's policy asks of a key and its token.
    fn key_requirements(&self, opened: &open::Opened) -> KeyRequirements {
        let rules = &opened.policy.rules;
        let yubikey = &rules.devices.yubikey;
        let kept = self.keeps_puks && rules.puk == PukRule::Kept;
        if rules.puk == PukRule::Kept && !kept {
            tracing::error!(
                "a policy wants PUKs to be kept, but there is no [token_custody]: they are forgotten"
            );
        }
        let puk = if kept { PukRule::Kept } else { PukRule::Forgotten };
        KeyRequirements {
            slots: opened.slots.iter().map(ToString::to_string).collect(),
            algorithms: opened.keys.iter().map(|kind| key_name(*kind)).collect(),
            pin_policy: yubikey.pin_policies.first().map_or("once", |pin| pin.as_str()).to_owned(),
            touch_policy: yubikey.touch_policies.first().map_or("never", |touch| touch.as_str()).to_owned(),
            puk: puk.as_str().to_owned(),
        }
    }
}

/// The device of a claim, and a YubiKey's firmware.
pub(crate) fn device(claim: &DeviceClaim) -> Result<(Device, Option<Firmware>), Refused> {
    let malformed = |what: &str| Refused::new(Code::MalformedRequest).because(what);
    let device = Device {
        kind: DeviceKind::parse(&claim.kind).ok_or_else(|| malformed("device.kind is unknown."))?,
        serial: TokenSerial::parse(&claim.serial)
            .map_err(|_| malformed("device.serial isn't a serial number."))?,
    };
    let firmware = Firmware::parse(&claim.firmware);
    if device.kind == DeviceKind::YubiKeyPiv && firmware.is_none() {
        return Err(malformed("device.firmware isn't major.minor.patch."));
    }
    Ok((device, firmware))
}

/// The certificate that is to be renewed.
pub(crate) fn renews(serial: Option<&str>) -> Result<Option<SerialNumber>, Refused> {
    let parsed = serial.map(SerialNumber::parse).transpose();
    parsed.map_err(|_| {
        Refused::new(Code::MalformedRequest).because("renews isn't a serial number in hexadecimal.")
    })
}

/// A TPM's keys, and who vouches for it.
pub(crate) fn tpm_keys(wire: TpmIdentity) -> TpmKeys {
    TpmKeys {
        ek_public: wire.ek_public.0,
        ek_certificate: wire.ek_certificate.map(|der| der.0),
        ek_intermediates: octets(wire.ek_intermediates),
        ak_public: wire.ak_public.0,
        ak_certificates: octets(wire.ak_certificates),
    }
}

/// Evidence, as it came. What a request should carry and doesn't is empty: the judge refuses it, and that is kept.
pub(crate) fn evidence(wire: WireEvidence, csr: &[u8]) -> Evidence {
    match wire {
        WireEvidence::YubikeyPiv { slot, f9, intermediates } => Evidence::YubiKeyPiv(YubiKeyEvidence {
            slot: slot.0,
            f9: f9.0,
            intermediates: octets(intermediates),
        }),
        WireEvidence::YubikeyPivRequest {} => {
            Evidence::YubiKeyPiv(YubiKeyEvidence::in_request(csr).unwrap_or_default())
        }
        WireEvidence::Tpm {
            ek_public,
            ek_certificate,
            ek_intermediates,
            ak_public,
            ak_certificates,
            key_public,
            certify_info,
            certify_signature,
        } => Evidence::Tpm(TpmEvidence {
            ek_public: ek_public.0,
            ek_certificate: ek_certificate.map(|certificate| certificate.0),
            ek_intermediates: octets(ek_intermediates),
            ak_public: ak_public.0,
            ak_certificates: octets(ak_certificates),
            key_public: key_public.0,
            certify_info: certify_info.0,
            certify_signature: certify_signature.0,
        }),
        WireEvidence::Asserted {} => Evidence::Asserted,
    }
}

fn octets(wire: Vec<Base64Url>) -> Vec<Vec<u8>> {
    wire.into_iter().map(|octets| octets.0).collect()
}

/// The hash of a confirmation.
pub(crate) fn certificate_sha256(wire: Base64Url) -> Result<[u8; 32], Refused> {
    let hash = wire.0.try_into();
    hash.map_err(|_| Refused::new(Code::MalformedRequest).because("certificate_sha256 has 32 octets."))
}
