//! What the module does itself: it starts the control socket, and it signs through the lanes.

#![expect(non_snake_case, reason = "named as the standard names them")]

use std::{ffi::c_void, io::Write as _};

use cryptoki_sys::{
    CK_BYTE, CK_FUNCTION_LIST, CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKR_ARGUMENTS_BAD, CKR_GENERAL_ERROR,
    CKR_OK,
};

use crate::{
    control,
    device::Device,
    table::{FORWARDING, Function, forward},
};

static MODULE: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    C_Initialize: Some(C_Initialize),
    C_GetFunctionList: Some(C_GetFunctionList),
    C_Sign: Some(C_Sign),
    C_SignFinal: Some(C_SignFinal),
    ..FORWARDING
};

/// As the standard says (5.4), for this module.
///
/// # Safety
/// `list` is null or a place for a pointer.
#[expect(unsafe_code, reason = "the one function that a PKCS#11 module must export")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let answer = |_: &CK_FUNCTION_LIST| {
        // SAFETY: the caller vouches for the place. Nobody may write to the list (2.40, 5.4), whatever its type says.
        unsafe { *list = (&raw const MODULE).cast_mut() };
        CKR_OK
    };
    Device::pass(Function::C_GetFunctionList, answer)
}

/// As the standard says; then the control socket is open.
#[expect(unsafe_code, reason = "a function of a C interface")]
unsafe extern "C" fn C_Initialize(arguments: *mut c_void) -> CK_RV {
    // SAFETY: the caller vouches for the arguments.
    let code = unsafe { forward::C_Initialize(arguments) };
    let (CKR_OK, Some(device)) = (code, Device::get()) else { return code };
    match control::start(device) {
        Ok(()) => CKR_OK,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "p11-fault: the control socket can't be opened: {error}");
            CKR_GENERAL_ERROR
        }
    }
}

/// As the standard says, in a lane. The question for a signature's length (5.2) is no work for the device: client
/// libraries of network HSMs answer it themselves.
#[expect(unsafe_code, reason = "a function of a C interface")]
unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    written: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller vouches for the arguments.
    let sign = || unsafe { forward::C_Sign(session, data, length, signature, written) };
    if signature.is_null() { sign() } else { Device::occupy(sign) }
}

/// As [`C_Sign`], for data that came in parts.
#[expect(unsafe_code, reason = "a function of a C interface")]
unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    written: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller vouches for the arguments.
    let sign = || unsafe { forward::C_SignFinal(session, signature, written) };
    if signature.is_null() { sign() } else { Device::occupy(sign) }
}
