//! The key: that request, challenge, evidence and certificate are of one and the same, and who vouches for where it lives.

use ca_core::domain::{
    attestation::{
        self, Anchor, Anchors, Attested, Claim, Evidence, Particulars, Refusal, Rules, Trust,
        tpm::{TpmRules, Voucher},
        yubikey::{Firmware, PinPolicy, Slot, TouchPolicy, YubiKeyRules},
    },
    csr::{self, Csr},
    device::{Assurance, DeviceKind},
    ids::UserId,
    key_kind::KEY_KINDS,
    trust::sha256,
};
use ca_wire::evidence::EvidenceExport;

use super::{
    Findings,
    anchors::{Carried, Trusted},
    certificate::Read,
};
use crate::messages::told;

/// True when a maker that is trusted here vouches for the key.
pub(super) fn examine(
    export: &EvidenceExport,
    certificate: &Read,
    carried: &[Carried],
    trusted: &Trusted,
    findings: &mut Findings,
) -> bool {
    let Some(csr) = request(export, certificate, findings) else { return false };
    let parts: Vec<Vec<u8>> = export.evidence.parts.iter().map(|part| part.0.clone()).collect();
    let Some(evidence) = Evidence::from_parts(&export.evidence.format, &parts) else {
        findings
            .wrong(told!("evidence: it isn't of a form that is known", "evidence: 証拠の形式が不明です",));
        return false;
    };
    let Ok(challenge) = <[u8; 32]>::try_from(export.request.challenge.0.as_slice()) else {
        findings.wrong(told!(
            "request.challenge doesn't have 32 octets",
            "request.challenge が 32 オクテットではありません",
        ));
        return false;
    };
    let claim = Claim {
        csr: &csr,
        device: &certificate.device,
        is_inventoried: true,
        ak_name: export.request.ak_name.as_ref().map(|name| name.0.as_slice()),
        challenge: &challenge,
        challenge_signature: &export.request.challenge_signature.0,
    };
    let judge = |anchors: &[Anchor]| judge(&evidence, &claim, anchors, (export, trusted));
    let is_tpm = certificate.device.kind == DeviceKind::Tpm;
    let of_bank: Vec<Anchor> = carried.iter().map(|carried| carried.anchor(None, is_tpm)).collect();
    let attested = match judge(&of_bank) {
        Ok(attested) => attested,
        Err(refusal) => {
            let (code, why) = (refusal.code(), full(&refusal));
            findings.wrong(told!("evidence: {why}", "evidence: 証拠が成り立ちません({code}: {why})"));
            return false;
        }
    };
    let is_retired =
        |carried: &Carried| carried.retired && attested.root_sha256 == Some(sha256(&carried.der));
    if carried.iter().any(is_retired) {
        findings.wrong(told!(
            "evidence: it leads to a root that the trust bundle has retired",
            "evidence: トラストバンドルで廃止されたルートに至ります",
        ));
    }
    decoded(export, &attested, findings);
    let of_verifier: Vec<Anchor> = carried
        .iter()
        .filter(|carried| {
            carried.trust == Trust::Intermediate || trusted.purpose(&carried.der, is_tpm).is_some()
        })
        .map(|carried| carried.anchor(Some(trusted), is_tpm))
        .collect();
    let by_trusted_maker = judge(&of_verifier).is_ok_and(|again| again == attested);
    let is_vouched_for = tell(&attested, by_trusted_maker, trusted, findings);
    let decoded = attested.decoded();
    let decoded = decoded.lines().map(|line| told!("the device says {line}", "装置の記載: {line}"));
    if is_vouched_for {
        findings.proven.extend(decoded);
    } else {
        findings.claimed.extend(decoded);
    }
    is_vouched_for
}

/// What the attested key is worth here.
fn tell(attested: &Attested, by_trusted_maker: bool, trusted: &Trusted, findings: &mut Findings) -> bool {
    let device = format!("{} {}", attested.device.kind.as_str(), attested.device.serial);
    findings.proven(told!(
        "request, challenge and certificate are of one key, which signed both request and challenge",
        "申請・チャレンジ・証明書は同一の鍵のもので、その鍵が申請とチャレンジの両方に署名しました",
    ));
    if trusted.crls.is_empty() {
        findings.claimed(told!(
            "the maker has revoked none of its certificates here: give its CRLs by --maker-crl to look",
            "メーカーはここにある証明書を失効させていない(確認するには --maker-crl で CRL を指定してください)",
        ));
    }
    let inventoried =
        matches!(&attested.particulars, Particulars::Tpm(tpm) if tpm.voucher == Voucher::Inventory);
    match (attested.root_sha256, by_trusted_maker) {
        _ if attested.assurance == Assurance::Asserted => {
            findings.claimed(told!(
                "the key lives in {device}: nothing vouches for it",
                "鍵は {device} の中にある(証明するものはありません)",
            ));
            false
        }
        (None, _) | (Some(_), true) if inventoried => {
            findings.claimed(told!(
                "{device} is genuine by the bank's inventory alone: its maker doesn't vouch for it",
                "{device} が真正であることの根拠は銀行の台帳だけです(メーカーの証明はありません)",
            ));
            false
        }
        (Some(root), true) => {
            let root = hex::encode(root);
            findings.proven(told!(
                "the key was made in {device} and can't leave it, by the word of its maker (root SHA-256 {root})",
                "鍵は {device} の中で生成され、取り出せません(メーカーの証明、ルート SHA-256 {root})",
            ));
            match attested.assurance {
                Assurance::AttestedWithPin => findings.proven(told!(
                    "the device asks for its PIN before it uses the key",
                    "装置は鍵を使う前に PIN を要求します",
                )),
                _ => findings.claimed(told!(
                    "that the device asks for a PIN: nothing here proves it",
                    "装置が PIN を要求すること(ここでは証明されません)",
                )),
            }
            true
        }
        (root, _) => {
            let root = root.map_or_else(|| "-".to_owned(), hex::encode);
            findings.claimed(told!(
                "the key lives in {device}, by the word of the maker's root with SHA-256 {root}, which nobody here trusts: \
                 compare it with what the maker publishes, then give --anchor",
                "鍵は {device} の中にある(根拠はメーカーのルート SHA-256 {root} ですが、信頼が設定されていません。\
                 メーカーの公表値と照合し、--anchor で指定してください)",
            ));
            false
        }
    }
}

fn request(export: &EvidenceExport, certificate: &Read, findings: &mut Findings) -> Option<Csr> {
    let Ok(user) = UserId::parse(&export.certificate.user) else {
        findings.wrong(told!(
            "certificate.user isn't a user ID",
            "certificate.user はログインIDの形式ではありません",
        ));
        return None;
    };
    let csr = match csr::verify(&export.request.csr.0, &user) {
        Ok(csr) => csr,
        Err(refusal) => {
            let why = full(&refusal);
            findings
                .wrong(told!("request.csr: {why}", "request.csr: 証明書発行要求が正しくありません({why})"));
            return None;
        }
    };
    findings
        .fits(csr.public_key_der() == certificate.public_key, || {
            told!(
                "request.csr: its key isn't the certificate's",
                "request.csr: 鍵が証明書のものと異なります",
            )
        })
        .then_some(csr)
}

/// The evidence is judged apart from any bank's rules: what they were is another question than what is proven.
fn judge(
    evidence: &Evidence,
    claim: &Claim<'_>,
    anchors: &[Anchor],
    (export, trusted): (&EvidenceExport, &Trusted),
) -> Result<Attested, Refusal> {
    let slots = (0x82..=0x9e).filter_map(Slot::new).collect();
    let yubikey = YubiKeyRules {
        slots,
        pin_policies: (0..=5).filter_map(PinPolicy::from_octet).collect(),
        touch_policies: (0..=3).filter_map(TouchPolicy::from_octet).collect(),
        lowest_for_ec: Firmware::new(0, 0, 0),
        lowest_for_rsa_2048: Firmware::new(0, 0, 0),
        lowest_for_larger_rsa: Firmware::new(0, 0, 0),
        fips_only: false,
        cspn_only: false,
        form_factors: None,
    };
    let tpm = TpmRules {
        manufacturers: None,
        accept_expired_ek_certificates: true,
        accept_ek_by_inventory: true,
        accept_sha1: true,
    };
    let kinds = [DeviceKind::YubiKeyPiv, DeviceKind::Tpm, DeviceKind::Piv, DeviceKind::Pkcs11];
    let rules = Rules { kinds: &kinds, algorithms: &KEY_KINDS, yubikey: &yubikey, tpm: &tpm };
    // Without a single root nothing leads anywhere, which only what is asserted doesn't mind.
    let anchors = Anchors::new(anchors).unwrap_or_else(|_| Anchors::none());
    let (anchors, _) = anchors.with_crls(&trusted.crls);
    attestation::verify(evidence, claim, &anchors, rules, export.verdict.judged_at)
}

/// What the authority decoded is what is decoded here.
fn decoded(export: &EvidenceExport, attested: &Attested, findings: &mut Findings) {
    let (said, found) = (&export.verdict.decoded, attested.decoded());
    let differing = said.iter().find(|line| !found.lines().any(|found| found == line.as_str()));
    if let Some(line) = differing {
        findings.wrong(told!(
            "verdict.decoded says {line:?}, the evidence doesn't",
            "verdict.decoded の {line:?} は証拠と一致しません",
        ));
    } else {
        findings.fits(said.len() == found.lines().count(), || {
            told!(
                "verdict.decoded leaves out what the evidence says",
                "verdict.decoded に証拠の内容の一部がありません",
            )
        });
    }
    findings.fits(export.verdict.verdict == "accepted", || {
        let verdict = &export.verdict.verdict;
        told!(
            "verdict.verdict is {verdict:?}, yet there is a certificate",
            "verdict.verdict は {verdict:?} ですが、証明書が発行されています",
        )
    });
    findings.fits(export.certificate.assurance == attested.assurance.as_str(), || {
        let said = &export.certificate.assurance;
        told!(
            "certificate.assurance is {said:?}, the evidence comes to another",
            "certificate.assurance は {said:?} ですが、証拠からは別の結果になります",
        )
    });
}

fn full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
