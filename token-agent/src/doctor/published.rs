//! What the bank publishes about a certificate: its OCSP responder's answer and its revocation list, fetched from where the
//! certificate itself says (RFC 5280, 4.2.1.13 and 4.2.2.1) as browsers and other programs fetch them. Plain HTTP: what
//! comes is believed by its signature alone.

use ca_x509::{
    SignatureAlgorithm,
    ocsp::{
        BasicOcspResponse, CertId, CertStatus, OcspRequest, OcspResponse, Request, ResponseData, TbsRequest,
        Version,
    },
    signed::Signed,
    time, verify,
};
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::{
        rfc5280::{ID_AD_OCSP, ID_KP_OCSP_SIGNING},
        rfc5912::ID_SHA_256,
    },
};
use der::{Decode, Encode, asn1::OctetString};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use spki::AlgorithmIdentifierOwned;
use x509_cert::{
    Certificate,
    crl::CertificateList,
    ext::pkix::{
        AuthorityInfoAccessSyntax, CrlDistributionPoints, CrlReason, ExtendedKeyUsage,
        name::{DistributionPointName, GeneralName},
    },
};

use super::fact::{Place, Published, Word};

/// What a request brought, or `None`: the address, and what is posted there instead of only asking for it.
pub(super) type Fetch<'a> = dyn Fn(&str, Option<Vec<u8>>) -> Option<Vec<u8>> + 'a;

/// What every place that the certificate names says about it.
pub(super) fn examine(der: &[u8], issuer: &[u8], now: Timestamp, fetch: &Fetch<'_>) -> Vec<Published> {
    let (Ok(certificate), Ok(issuer)) = (Certificate::from_der(der), Certificate::from_der(issuer)) else {
        return Vec::new();
    };
    let asked = Asked { certificate, issuer, now };
    let mut found = Vec::new();
    let mut look =
        |place, url: Option<String>, posted: Option<Vec<u8>>, read: &dyn Fn(&[u8]) -> Option<Word>| {
            if let Some(url) = url {
                let word = match fetch(&url, posted) {
                    Some(octets) => read(&octets).unwrap_or(Word::NotTheBanks),
                    None => Word::Nothing,
                };
                found.push(Published { place, url, word });
            }
        };
    look(Place::Ocsp, asked.responder(), asked.request(), &|octets| asked.by_ocsp(octets));
    look(Place::Crl, asked.list(), None, &|octets| asked.by_crl(octets));
    found
}

struct Asked {
    certificate: Certificate,
    issuer: Certificate,
    now: Timestamp,
}

impl Asked {
    fn responder(&self) -> Option<String> {
        let access = self.certificate.tbs_certificate().get_extension::<AuthorityInfoAccessSyntax>().ok()??.1;
        let ocsp = access.0.into_iter().filter(|access| access.access_method == ID_AD_OCSP);
        ocsp.map(|access| access.access_location).find_map(|name| plain_http(&name))
    }

    fn list(&self) -> Option<String> {
        let points = self.certificate.tbs_certificate().get_extension::<CrlDistributionPoints>().ok()??.1;
        points.0.into_iter().find_map(|point| match point.distribution_point? {
            DistributionPointName::FullName(names) => names.iter().find_map(plain_http),
            DistributionPointName::NameRelativeToCRLIssuer(_) => None,
        })
    }

    fn name(&self) -> Option<CertId> {
        let issuer = self.issuer.tbs_certificate();
        let hash = |octets: &[u8]| OctetString::new(Sha256::digest(octets).to_vec()).ok();
        Some(CertId {
            hash_algorithm: AlgorithmIdentifierOwned { oid: ID_SHA_256, parameters: None },
            issuer_name_hash: hash(&issuer.subject().to_der().ok()?)?,
            issuer_key_hash: hash(issuer.subject_public_key_info().subject_public_key.raw_bytes())?,
            serial_number: self.certificate.tbs_certificate().serial_number().clone(),
        })
    }

    /// Without a nonce: an answer that is kept ready is as good.
    fn request(&self) -> Option<Vec<u8>> {
        let request = Request { req_cert: self.name()?, single_request_extensions: None };
        let tbs_request = TbsRequest {
            version: Version::V1,
            requestor_name: None,
            request_list: vec![request],
            request_extensions: None,
        };
        OcspRequest { tbs_request, optional_signature: None }.to_der().ok()
    }

    /// `None` when it isn't this issuer's answer about this certificate.
    fn by_ocsp(&self, octets: &[u8]) -> Option<Word> {
        let response = OcspResponse::from_der(octets).ok()?.response_bytes?;
        let basic = BasicOcspResponse::from_der(response.response.as_bytes()).ok()?;
        let data = basic.tbs_response_data.to_der().ok()?;
        let algorithm = SignatureAlgorithm::from_identifier(&basic.signature_algorithm).ok()?;
        let signature = basic.signature.as_bytes()?;
        let responders = basic.certs.iter().flatten().filter(|responder| self.may_answer(responder));
        let mut keys =
            responders.chain([&self.issuer]).map(|c| c.tbs_certificate().subject_public_key_info());
        keys.find(|key| verify::verify(key, algorithm, &data, signature).is_ok())?;
        let name = self.name()?;
        let answers = ResponseData::from_der(&data).ok()?.responses;
        let answer = answers.into_iter().find(|answer| answer.cert_id == name)?;
        let next = answer.next_update.as_ref().map(time::from_generalized);
        if next.is_some_and(|next| next.map_or(true, |next| next < self.now)) {
            return Some(Word::Outdated);
        }
        match answer.cert_status {
            CertStatus::Good(_) => Some(Word::Good),
            CertStatus::Revoked(info) => Some(Word::Revoked {
                at: time::from_generalized(&info.revocation_time).ok()?,
                superseded: info.revocation_reason == Some(CrlReason::Superseded),
            }),
            CertStatus::Unknown(_) => None,
        }
    }

    /// Whether the issuer lets this responder answer (RFC 6960, 4.2.2.2).
    fn may_answer(&self, responder: &Certificate) -> bool {
        let issuer = self.issuer.tbs_certificate();
        let signed = responder.to_der().is_ok_and(|der| {
            Signed::parse(&der).is_ok_and(|signed| signed.verify(issuer.subject_public_key_info()).is_ok())
        });
        let usages = responder.tbs_certificate().get_extension::<ExtendedKeyUsage>().ok().flatten();
        signed && usages.is_some_and(|(_, usages)| usages.0.contains(&ID_KP_OCSP_SIGNING))
    }

    /// `None` when it isn't this issuer's list.
    fn by_crl(&self, octets: &[u8]) -> Option<Word> {
        let issuer = self.issuer.tbs_certificate();
        Signed::parse(octets).ok()?.verify(issuer.subject_public_key_info()).ok()?;
        let list = CertificateList::from_der(octets).ok()?.tbs_cert_list;
        if list.issuer != *issuer.subject() {
            return None;
        }
        let next = list.next_update.as_ref().map(time::from_x509);
        if next.is_some_and(|next| next.map_or(true, |next| next < self.now)) {
            return Some(Word::Outdated);
        }
        let serial = self.certificate.tbs_certificate().serial_number();
        let entry =
            list.revoked_certificates.into_iter().flatten().find(|entry| entry.serial_number == *serial);
        let Some(entry) = entry else { return Some(Word::Good) };
        let reason = entry.crl_entry_extensions.into_iter().flatten().find(|e| e.extn_id == REASON);
        let reason = reason.and_then(|reason| CrlReason::from_der(reason.extn_value.as_bytes()).ok());
        let at = time::from_x509(&entry.revocation_date).ok()?;
        Some(Word::Revoked { at, superseded: reason == Some(CrlReason::Superseded) })
    }
}

const REASON: ObjectIdentifier = CrlReason::OID;

fn plain_http(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::UniformResourceIdentifier(url) => {
            Some(url.as_str().to_owned()).filter(|url| url.starts_with("http://"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ca_x509::ocsp::{ResponderId, SingleResponse};
    use jiff::ToSpan;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
        CrlDistributionPoint, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
        RevokedCertParams, SerialNumber, SigningKey,
    };

    use super::*;

    const URL: &str = "http://pki.example/1.crl";

    fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an issuer")
    }

    fn certificate(issuer: &CertifiedIssuer<'_, KeyPair>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.serial_number = Some(SerialNumber::from(4711));
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![URL.to_owned()] }];
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, issuer).expect("a certificate").der().to_vec()
    }

    /// A list that is new for so many days yet.
    fn list(
        by: &CertifiedIssuer<'_, KeyPair>,
        revoked: Option<(u64, RevocationReason)>,
        days: i64,
    ) -> Vec<u8> {
        let time = |days: i64| {
            let second = (Timestamp::now() + (24 * days).hours()).as_second();
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(second.unsigned_abs())
        };
        let entry = |(serial, reason): (u64, RevocationReason)| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: time(-3),
            reason_code: Some(reason),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: time(-4),
            next_update: time(days),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.map(entry).into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(by).expect("a list").der().to_vec()
    }

    /// The issuer's own answer: good, until that many days from now on.
    fn answer(by: &CertifiedIssuer<'_, KeyPair>, name: CertId, days: i64) -> Vec<u8> {
        let time = |days: i64| {
            let at = Timestamp::now() + (24 * days).hours();
            time::to_generalized(at.round(jiff::Unit::Second).expect("a second")).expect("a time")
        };
        let issuer = Certificate::from_der(by.der()).expect("a certificate");
        let data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::by_key(issuer.tbs_certificate().subject_public_key_info())
                .expect("a name"),
            produced_at: time(-2),
            responses: vec![SingleResponse {
                cert_id: name,
                cert_status: CertStatus::Good(der::asn1::Null),
                this_update: time(-2),
                next_update: Some(time(days)),
                single_extensions: None,
            }],
            response_extensions: None,
        };
        let data = data.to_der().expect("DER");
        let signature = by.key().sign(&data).expect("signed");
        let response = OcspResponse::successful(&data, SignatureAlgorithm::EcdsaSha256, &signature, &issuer);
        response.and_then(|response| response.to_der()).expect("DER")
    }

    fn asked(by: &CertifiedIssuer<'_, KeyPair>) -> Asked {
        Asked {
            certificate: Certificate::from_der(&certificate(by)).expect("a certificate"),
            issuer: Certificate::from_der(by.der()).expect("a certificate"),
            now: Timestamp::now(),
        }
    }

    #[test]
    fn a_responder_is_believed_by_its_issuer_s_signature() {
        let (bank, other) = (issuer("Bank"), issuer("Bank"));
        let asked = asked(&bank);
        let name = || asked.name().expect("a name");
        assert_eq!(asked.by_ocsp(&answer(&bank, name(), 1)), Some(Word::Good));
        assert_eq!(asked.by_ocsp(&answer(&bank, name(), -1)), Some(Word::Outdated));
        assert_eq!(asked.by_ocsp(&answer(&other, name(), 1)), None, "somebody else's");
        let another = CertId { serial_number: x509_cert::serial_number::SerialNumber::from(1_u8), ..name() };
        assert_eq!(asked.by_ocsp(&answer(&bank, another, 1)), None, "about another certificate");
    }

    #[test]
    fn hostile_answers_and_lists_are_read_without_a_panic() {
        let bank = issuer("Bank");
        let asked = asked(&bank);
        let answer = answer(&bank, asked.name().expect("a name"), 1);
        let revoked = list(&bank, Some((4711, RevocationReason::KeyCompromise)), 1);
        crate::hostile::bombard(&[answer, revoked, bank.der().to_vec()], |octets| {
            let _ = (asked.by_ocsp(octets), asked.by_crl(octets));
            let _ = examine(octets, octets, asked.now, &|_, _| Some(octets.to_vec()));
        });
    }

    #[test]
    fn a_list_is_believed_by_its_issuer_s_signature() {
        let (bank, other) = (issuer("Bank"), issuer("Bank"));
        let der = certificate(&bank);
        let word = |list: Option<Vec<u8>>| {
            let fetch = |url: &str, posted: Option<Vec<u8>>| {
                assert_eq!((url, posted), (URL, None));
                list.clone()
            };
            let mut found = examine(&der, bank.der(), Timestamp::now(), &fetch);
            let published = found.pop().expect("a place");
            assert!(found.is_empty() && published.place == Place::Crl, "it names no responder");
            published.word
        };
        assert_eq!(word(Some(list(&bank, None, 1))), Word::Good);
        assert_eq!(word(Some(list(&bank, Some((1, RevocationReason::KeyCompromise)), 1))), Word::Good);
        let revoked = word(Some(list(&bank, Some((4711, RevocationReason::KeyCompromise)), 1)));
        assert!(matches!(revoked, Word::Revoked { superseded: false, .. }), "{revoked:?}");
        let superseded = word(Some(list(&bank, Some((4711, RevocationReason::Superseded)), 1)));
        assert!(matches!(superseded, Word::Revoked { superseded: true, .. }), "{superseded:?}");
        assert_eq!(word(Some(list(&bank, None, -1))), Word::Outdated);
        assert_eq!(word(Some(list(&other, None, 1))), Word::NotTheBanks);
        assert_eq!(word(Some(b"<html>Log in!</html>".to_vec())), Word::NotTheBanks);
        assert_eq!(word(None), Word::Nothing);
    }
}
