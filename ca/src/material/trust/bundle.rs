//! The trust bundle as a JSON document: read strictly, written readably, because people read it before they sign it.

use ca_core::{
    app::trust::BundleForm,
    domain::{
        attestation::{Anchor, Purpose, Trust},
        trust::{Bundle, BundleError, MAX_BUNDLE_BYTES, TrustedAnchor},
    },
};
use ca_wire::{
    Base64,
    trust::{TRUST_BUNDLE, TrustAnchor, TrustBundle},
};

/// The form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json;

impl BundleForm for Json {
    fn read(&self, document: &[u8]) -> Result<Bundle, BundleError> {
        if document.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::TooLarge);
        }
        let form = |problem: String| BundleError::Form(problem);
        let document: TrustBundle =
            serde_json::from_slice(document).map_err(|error| form(error.to_string()))?;
        if document.format != TRUST_BUNDLE {
            return Err(form(format!("its format is {:?} instead of {TRUST_BUNDLE:?}", document.format)));
        }
        let previous_sha256 = document.previous_sha256.as_deref();
        let previous_sha256 =
            previous_sha256.map(|text| digest(text).ok_or_else(|| form(format!("{text:?} is no SHA-256"))));
        let anchors = document.anchors.into_iter().map(|anchor| read_anchor(anchor).map_err(form));
        Ok(Bundle {
            version: document.version,
            previous_sha256: previous_sha256.transpose()?,
            comment: document.comment,
            anchors: anchors.collect::<Result<_, _>>()?,
        })
    }
}

/// Writes a bundle.
///
/// # Errors
/// Only when memory runs out.
pub(crate) fn write(bundle: &Bundle) -> serde_json::Result<Vec<u8>> {
    let document = TrustBundle {
        format: TRUST_BUNDLE.to_owned(),
        version: bundle.version,
        previous_sha256: bundle.previous_sha256.map(hex::encode),
        comment: bundle.comment.clone(),
        anchors: bundle.anchors.iter().map(write_anchor).collect(),
    };
    let mut json = serde_json::to_vec_pretty(&document)?;
    json.push(b'\n');
    Ok(json)
}

fn write_anchor(anchor: &TrustedAnchor) -> TrustAnchor {
    TrustAnchor {
        sha256: hex::encode(anchor.sha256()),
        purpose: anchor.anchor.purpose.as_str().to_owned(),
        trust: anchor.anchor.trust.as_str().to_owned(),
        source: anchor.source.clone(),
        note: anchor.note.clone(),
        added_at: anchor.added_at,
        retired_at: anchor.retired_at,
        certificate: Base64(anchor.anchor.der.clone()),
    }
}

fn read_anchor(anchor: TrustAnchor) -> Result<TrustedAnchor, String> {
    let name = &anchor.sha256;
    let purpose = Purpose::parse(&anchor.purpose);
    let purpose = purpose.ok_or_else(|| format!("{name} has the unknown purpose {:?}", anchor.purpose))?;
    let trust = Trust::parse(&anchor.trust);
    let trust = trust.ok_or_else(|| format!("{name} is trusted as the unknown {:?}", anchor.trust))?;
    let read = TrustedAnchor {
        anchor: Anchor { der: anchor.certificate.0, trust, purpose },
        source: anchor.source,
        note: anchor.note,
        added_at: anchor.added_at,
        retired_at: anchor.retired_at,
    };
    let is = hex::encode(read.sha256());
    if is == anchor.sha256 { Ok(read) } else { Err(format!("{name} is said of the certificate {is}")) }
}

/// A SHA-256 in hexadecimal digits of either case.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    hex::decode(text).ok()?.try_into().ok()
}
