//! `inro-agent verify-evidence`: an exported proof, checked offline.

use std::{fmt::Write as _, path::PathBuf};

use ca_core::domain::{attestation::MakerCrl, trust::sha256};
use clap::Args;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
use serde_json::json;

use super::{exit::CliError, output::Output};
use crate::{
    certificate::printable,
    evidence::{self, Findings, Trusted, Verdict},
    messages::{Lang, Told, say},
};

#[derive(Debug, Args)]
pub(super) struct VerifyEvidenceArgs {
    /// The file that `inro-ca evidence export` wrote
    file: PathBuf,
    /// PEM file with the bank's root certificate, or its SHA-256; without it nothing is said of the bank
    #[arg(long, value_name = "FILE|SHA256")]
    root: Vec<String>,
    /// SHA-256 of a device maker's certificate that you trust, besides those that the agent ships
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    anchor: Vec<[u8; 32]>,
    /// A device maker's CRL, PEM or DER: what it lists is refused
    #[arg(long, value_name = "FILE")]
    maker_crl: Vec<PathBuf>,
}

fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let octets = hex::decode(text.replace(':', "")).ok().and_then(|octets| octets.try_into().ok());
    octets.ok_or_else(|| "write a SHA-256 as 64 hexadecimal digits".to_owned())
}

pub(super) fn run(options: &VerifyEvidenceArgs, output: &mut Output) -> Result<(), CliError> {
    let unreadable = |path: &PathBuf| {
        let path = path.clone();
        move |source| CliError::Unreadable { path, source }
    };
    let mut trusted = Trusted { anchors: options.anchor.clone(), ..Trusted::default() };
    for path in &options.maker_crl {
        let octets = std::fs::read(path).map_err(unreadable(path))?;
        let der = CertificateRevocationListDer::from_pem_slice(&octets).map_or(octets, |crl| crl.to_vec());
        let crl = MakerCrl::read(&der);
        trusted.crls.push(crl.map_err(|source| CliError::NoCrl { path: path.clone(), source })?);
    }
    for root in &options.root {
        if let Ok(fingerprint) = fingerprint(root) {
            trusted.roots.push(fingerprint);
            continue;
        }
        let path = PathBuf::from(root);
        let octets = std::fs::read(&path).map_err(unreadable(&path))?;
        let certificates = CertificateDer::pem_slice_iter(&octets).flatten();
        let before = trusted.roots.len();
        trusted.roots.extend(certificates.map(|der| sha256(&der)));
        if trusted.roots.len() == before {
            return Err(CliError::NoCertificate(path));
        }
    }
    let file = std::fs::read(&options.file).map_err(unreadable(&options.file))?;
    let (verdict, findings, export) = evidence::verify(&file, &trusted);
    let document = json!({
        "verdict": verdict.as_str(),
        "serial": export.as_ref().map(|export| &export.certificate.serial),
        "user": export.as_ref().map(|export| &export.certificate.user),
        "device": export.as_ref().map(|export| &export.certificate.device_serial),
        "proven": said(&findings.proven, output.lang),
        "claimed": said(&findings.claimed, output.lang),
        "wrong": said(&findings.wrong, output.lang),
    });
    output.result(&document, |lang| text(lang, verdict, &findings))?;
    match verdict {
        Verdict::Proven => Ok(()),
        Verdict::OnlyClaimed => Err(CliError::NotProven),
        Verdict::Refused => Err(CliError::EvidenceWrong(findings.wrong.len())),
    }
}

fn said(findings: &[Told], lang: Lang) -> Vec<&str> {
    findings.iter().map(|finding| finding.in_lang(lang)).collect()
}

fn text(lang: Lang, verdict: Verdict, findings: &Findings) -> String {
    let mut text = String::new();
    let headings = [
        (say!(lang, "Proven:", "証明された事項:"), &findings.proven),
        (say!(lang, "Only claimed:", "主張のみの事項:"), &findings.claimed),
        (say!(lang, "WRONG:", "不一致:"), &findings.wrong),
    ];
    for (heading, lines) in headings.iter().filter(|(_, lines)| !lines.is_empty()) {
        // Writing to a String doesn't fail.
        let _ = writeln!(text, "{heading}");
        for line in *lines {
            let _ = writeln!(text, "  {}", printable(line.in_lang(lang)));
        }
    }
    text.push_str(&match verdict {
        Verdict::Proven => say!(
            lang,
            "The certificate's key lives in the device that it names.\n",
            "証明書の鍵は、記載された装置の中にあることが証明されました。\n"
        ),
        Verdict::OnlyClaimed => say!(
            lang,
            "Everything fits together, but no maker that you trust vouches for the key.\n",
            "矛盾はありませんが、信頼するメーカーによる証明はありません。\n"
        ),
        Verdict::Refused => {
            say!(
                lang,
                "The file is REFUSED: it doesn't fit together.\n",
                "このファイルは認められません(矛盾があります)。\n"
            )
        }
    });
    text
}
