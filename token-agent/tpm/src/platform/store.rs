//! The user's certificate store, where browsers look, and the store in which the provider shows the maker's certificate.

#![expect(
    unsafe_code,
    reason = "the certificate store is an interface of C; what is opened here is closed here"
)]

use std::{ffi::c_void, io, ptr, slice};

use windows_sys::{
    Win32::Security::Cryptography::{
        CERT_CONTEXT, CERT_KEY_PROV_INFO_PROP_ID, CERT_STORE_ADD_REPLACE_EXISTING, CRYPT_KEY_PROV_INFO,
        CertAddEncodedCertificateToStore, CertCloseStore, CertDeleteCertificateFromStore,
        CertDuplicateCertificateContext, CertEnumCertificatesInStore, CertFreeCertificateContext,
        CertOpenSystemStoreW, CertSetCertificateContextProperty, MS_PLATFORM_KEY_STORAGE_PROVIDER,
        X509_ASN_ENCODING,
    },
    core::w,
};

use super::cng::wide;

/// An open store.
pub(super) struct Store(*mut c_void);

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: it is open, and nothing of it is used any more.
        unsafe { CertCloseStore(self.0, 0) };
    }
}

impl Store {
    /// The user's own certificates.
    pub(super) fn own() -> io::Result<Self> {
        // SAFETY: the name is a constant with its NUL.
        Self::of(unsafe { CertOpenSystemStoreW(0, w!("MY")) }).ok_or_else(io::Error::last_os_error)
    }

    /// One that the provider opened, which is ours to close.
    pub(super) fn of(handle: *mut c_void) -> Option<Self> {
        (!handle.is_null()).then_some(Self(handle))
    }

    /// Every certificate, DER.
    pub(super) fn certificates(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        self.each(|context| found.push(encoded(context).to_vec()));
        found
    }

    /// Keeps a certificate with the name of its key in the provider.
    pub(super) fn keep(&self, certificate: &[u8], key: &str) -> io::Result<()> {
        let length = u32::try_from(certificate.len()).map_err(io::Error::other)?;
        let mut context: *mut CERT_CONTEXT = ptr::null_mut();
        // SAFETY: the certificate has the length that is given; the context is written before it is read.
        let added = unsafe {
            CertAddEncodedCertificateToStore(
                self.0,
                X509_ASN_ENCODING,
                certificate.as_ptr(),
                length,
                CERT_STORE_ADD_REPLACE_EXISTING,
                &raw mut context,
            )
        };
        if added == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut name = wide(key);
        let key = CRYPT_KEY_PROV_INFO {
            pwszContainerName: name.as_mut_ptr(),
            pwszProvName: MS_PLATFORM_KEY_STORAGE_PROVIDER.cast_mut(),
            // 0: a key of CNG's.
            dwProvType: 0,
            dwFlags: 0,
            cProvParam: 0,
            rgProvParam: ptr::null_mut(),
            dwKeySpec: 0,
        };
        // SAFETY: the context was just opened and is closed below; both names end with NULs and are only read.
        let (set, error) = unsafe {
            let data = (&raw const key).cast();
            let set = CertSetCertificateContextProperty(context, CERT_KEY_PROV_INFO_PROP_ID, 0, data);
            let error = io::Error::last_os_error();
            CertFreeCertificateContext(context);
            (set, error)
        };
        if set == 0 { Err(error) } else { Ok(()) }
    }

    /// Removes every certificate of this public key, DER of its `SubjectPublicKeyInfo`.
    pub(super) fn forget(&self, spki: &[u8]) {
        self.each(|context| {
            if encoded(context).windows(spki.len()).any(|part| part == spki) {
                // SAFETY: deleting closes a context: it gets one of its own, so that the walk can go on.
                unsafe { CertDeleteCertificateFromStore(CertDuplicateCertificateContext(context)) };
            }
        });
    }

    fn each(&self, mut look: impl FnMut(*const CERT_CONTEXT)) {
        let mut context: *const CERT_CONTEXT = ptr::null();
        loop {
            // SAFETY: the store is open; the context before is closed by the call.
            context = unsafe { CertEnumCertificatesInStore(self.0, context) };
            if context.is_null() {
                return;
            }
            look(context);
        }
    }
}

fn encoded<'a>(context: *const CERT_CONTEXT) -> &'a [u8] {
    // SAFETY: called only while the walk holds the context open, which owns so many octets.
    unsafe { slice::from_raw_parts((*context).pbCertEncoded, (*context).cbCertEncoded as usize) }
}
