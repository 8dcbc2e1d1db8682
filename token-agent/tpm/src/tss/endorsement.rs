//! The endorsement key: what makes this TPM this TPM.

use der::{Reader, SliceReader};
use sha2::{Digest as _, Sha256};
use tss_esapi::{constants::PropertyTag, handles::KeyHandle, structures::Public, traits::Marshall};

use super::{
    TssTpm,
    failure::failed,
    spki_of,
    templates::{EkTemplate, fits},
};
use crate::{Hierarchy, Identity, TpmError};

/// The endorsement key that counts.
#[derive(Clone)]
pub(super) struct Endorsement {
    template: EkTemplate,
    public: Public,
    certificate: Option<Vec<u8>>,
}

impl TssTpm {
    pub(super) fn identify(&mut self) -> Result<Identity, TpmError> {
        let endorsement = self.endorsement()?;
        let [manufacturer, first, second] = self.properties([
            PropertyTag::Manufacturer,
            PropertyTag::FirmwareVersion1,
            PropertyTag::FirmwareVersion2,
        ])?;
        Ok(Identity {
            serial: hex::encode(Sha256::digest(spki_of(&endorsement.public)?)),
            manufacturer: Identity::letters(manufacturer),
            firmware: Identity::numbers(first, second),
            ek_public: endorsement.public.marshall().map_err(failed("describe its endorsement key"))?,
            ek_certificate: endorsement.certificate,
        })
    }

    /// The key's handle here.
    pub(super) fn endorsement_handle(&mut self) -> Result<KeyHandle, TpmError> {
        let handle = self.endorsement()?.template.handle();
        self.persistent(handle).map(|(key, _, _)| key)
    }

    /// The RSA key, unless only the elliptic-curve key has a certificate: the choice must be the same each time, for the
    /// key is the TPM's name.
    fn endorsement(&mut self) -> Result<Endorsement, TpmError> {
        if let Some(known) = &self.endorsement {
            return Ok(known.clone());
        }
        let mut certificate = self.certificate(EkTemplate::Rsa2048)?;
        let mut template = EkTemplate::Rsa2048;
        if certificate.is_none() {
            certificate = self.certificate(EkTemplate::P256)?;
            if certificate.is_some() {
                template = EkTemplate::P256;
            }
        }
        let public = self.endorsement_public(template)?;
        let found = Endorsement { template, public, certificate };
        self.endorsement = Some(found.clone());
        Ok(found)
    }

    /// Finds the key at its standard handle, or makes it there.
    fn endorsement_public(&mut self, template: EkTemplate) -> Result<Public, TpmError> {
        let expected = template.public().map_err(failed("describe an endorsement key"))?;
        let handle = template.handle();
        if !self.exists(handle)? {
            self.with_primary(Hierarchy::Endorsement, Ok(expected.clone()), |tpm, key, _| {
                tpm.evict(key.into(), handle)
            })?;
        }
        let (_, public, _) = self.persistent(handle)?;
        if fits(&public, &expected) { Ok(public) } else { Err(TpmError::ForeignObject(handle)) }
    }

    /// Some makers fill the rest of the index up.
    fn certificate(&mut self, template: EkTemplate) -> Result<Option<Vec<u8>>, TpmError> {
        let Some(content) = self.nv(template.certificate())? else { return Ok(None) };
        let read = || SliceReader::new(&content).ok()?.tlv_bytes().ok();
        Ok(read().map(<[u8]>::to_vec))
    }
}
