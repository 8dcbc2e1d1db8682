//! The real module: loaded once, its functions called as they are.

#![expect(
    unsafe_code,
    non_snake_case,
    reason = "functions of a C interface, named as the standard names them"
)]

use std::{ffi::c_void, path::Path, ptr};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_CLASS, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE,
    CK_SESSION_INFO, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CKA_CLASS,
    CKA_ID, CKO_PRIVATE_KEY, CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_HANDLE_INVALID, CKR_OK, Pkcs11,
};

use crate::functions::for_each_function;

/// No `CKA_ID` of a test is longer.
const ID_OCTETS: usize = 64;

/// The real module.
pub(crate) struct Real {
    list: CK_FUNCTION_LIST,
    _library: Pkcs11,
}

impl Real {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let failed = |reason: &str| format!("{}: {reason}", path.display());
        // SAFETY: the test that names the module vouches for it, as with any PKCS#11 module.
        let library = unsafe { Pkcs11::new(path) }.map_err(|error| failed(&error.to_string()))?;
        let mut list = ptr::null_mut();
        let get = *library.C_GetFunctionList.as_ref().map_err(|error| failed(&error.to_string()))?;
        // SAFETY: the function wants a place for a pointer, and on success has put there that of a list which lives
        // as long as the library, whose first 69 fields every version of PKCS#11 2 and 3 has.
        let list = unsafe {
            match get(&raw mut list) {
                CKR_OK if !list.is_null() => *list,
                code => return Err(failed(&format!("C_GetFunctionList returned {code:#x}"))),
            }
        };
        Ok(Self { list, _library: library })
    }

    /// `CKA_ID` of an object in hexadecimal, `None` when it isn't told.
    pub(crate) fn id_of(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Option<String> {
        let mut id = [0_u8; ID_OCTETS];
        let mut template =
            CK_ATTRIBUTE { type_: CKA_ID, pValue: id.as_mut_ptr().cast(), ulValueLen: ID_OCTETS as CK_ULONG };
        // SAFETY: one attribute with a buffer of the length that it says.
        let code = unsafe { self.C_GetAttributeValue(session, object, &raw mut template, 1) };
        let length = usize::try_from(template.ulValueLen).ok().filter(|length| *length <= ID_OCTETS)?;
        (code == CKR_OK).then(|| hex::encode(&id[..length]))
    }

    /// The private key with this `CKA_ID`.
    pub(crate) fn private_key(
        &self,
        session: CK_SESSION_HANDLE,
        id: &[u8],
    ) -> Result<CK_OBJECT_HANDLE, CK_RV> {
        let class = CKO_PRIVATE_KEY;
        let mut id = id.to_vec();
        let mut template = [
            CK_ATTRIBUTE {
                type_: CKA_CLASS,
                pValue: (&raw const class).cast_mut().cast(),
                ulValueLen: size_of::<CK_OBJECT_CLASS>() as CK_ULONG,
            },
            CK_ATTRIBUTE { type_: CKA_ID, pValue: id.as_mut_ptr().cast(), ulValueLen: id.len() as CK_ULONG },
        ];
        let (mut found, mut count) = (0, 0);
        // SAFETY: two attributes whose values live as long as the call, and a place for one handle.
        let code = unsafe {
            match self.C_FindObjectsInit(session, template.as_mut_ptr(), 2) {
                CKR_OK => {
                    let code = self.C_FindObjects(session, &raw mut found, 1, &raw mut count);
                    self.C_FindObjectsFinal(session);
                    code
                }
                code => code,
            }
        };
        match (code, count) {
            (CKR_OK, 1) => Ok(found),
            (CKR_OK, _) => Err(CKR_KEY_HANDLE_INVALID),
            (code, _) => Err(code),
        }
    }
}

macro_rules! methods {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        #[expect(clippy::too_many_arguments, reason = "as many as the standard says")]
        impl Real {
            $(
                /// As the standard says.
                ///
                /// # Safety
                /// As for any module's function.
                pub(crate) unsafe fn $name(&self, $($argument: $type),*) -> CK_RV {
                    match self.list.$name {
                        // SAFETY: the caller vouches for the arguments.
                        Some(function) => unsafe { function($($argument),*) },
                        None => CKR_FUNCTION_NOT_SUPPORTED,
                    }
                }
            )*
        }
    };
}

for_each_function!(methods);
