//! What the module does itself, before or after the real one: it keeps count of sessions and logins, signs through the
//! lanes, and tells what its conduct demands.

#![expect(
    unsafe_code,
    non_snake_case,
    reason = "functions of a C interface, named as the standard names them"
)]

use std::{ffi::c_void, ptr};

use cryptoki_sys::{
    CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR,
    CKF_PROTECTED_AUTHENTICATION_PATH, CKR_ARGUMENTS_BAD, CKR_GENERAL_ERROR, CKR_KEY_HANDLE_INVALID, CKR_OK,
    CKR_SESSION_COUNT,
};

use crate::{device::Device, faults::Action, forward::FORWARDING, functions::Function};

static MODULE: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    C_GetFunctionList: Some(C_GetFunctionList),
    C_Finalize: Some(C_Finalize),
    C_GetSlotList: Some(C_GetSlotList),
    C_GetTokenInfo: Some(C_GetTokenInfo),
    C_OpenSession: Some(C_OpenSession),
    C_CloseSession: Some(C_CloseSession),
    C_CloseAllSessions: Some(C_CloseAllSessions),
    C_Login: Some(C_Login),
    C_SignInit: Some(C_SignInit),
    C_Sign: Some(C_Sign),
    C_SignFinal: Some(C_SignFinal),
    ..FORWARDING
};

/// As the standard says (5.4), for this module.
///
/// # Safety
/// `list` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    Device::pass(Function::C_GetFunctionList, |_, _| {
        // SAFETY: the caller vouches for the place. Nobody may write to the list (2.40, 5.4), whatever its type says.
        unsafe { *list = (&raw const MODULE).cast_mut() };
        CKR_OK
    })
}

unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    Device::pass(Function::C_Finalize, |device, _| {
        // SAFETY: the caller vouches for the arguments.
        let code = unsafe { device.real().C_Finalize(reserved) };
        if code == CKR_OK {
            device.sessions().none_left();
        }
        code
    })
}

/// A slot without its token isn't among those that have one.
unsafe extern "C" fn C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    Device::pass(Function::C_GetSlotList, |device, _| {
        if present == 0 || count.is_null() || device.state().token.present {
            // SAFETY: the caller vouches for the arguments.
            return unsafe { device.real().C_GetSlotList(present, slots, count) };
        }
        // SAFETY: the caller vouches for the place.
        unsafe { *count = 0 };
        CKR_OK
    })
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    Device::pass(Function::C_GetTokenInfo, |device, _| {
        // SAFETY: the caller vouches for the arguments; on success a description is in the place.
        unsafe {
            let code = device.real().C_GetTokenInfo(slot, info);
            if code == CKR_OK && device.state().token.protected_path.is_some() {
                (*info).flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
            }
            code
        }
    })
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    Device::pass(Function::C_OpenSession, |device, _| {
        let most = device.state().token.max_sessions;
        let mut sessions = device.sessions();
        if most.is_some_and(|most| sessions.len() >= most) {
            return CKR_SESSION_COUNT;
        }
        // SAFETY: the caller vouches for the arguments; on success a handle is in the place.
        unsafe {
            let code = device.real().C_OpenSession(slot, flags, application, notify, session);
            if code == CKR_OK {
                sessions.opened(*session, slot);
            }
            code
        }
    })
}

unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    Device::pass(Function::C_CloseSession, |device, _| {
        // SAFETY: a handle only.
        let code = unsafe { device.real().C_CloseSession(session) };
        device.sessions().closed(session);
        code
    })
}

unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    Device::pass(Function::C_CloseAllSessions, |device, _| {
        // SAFETY: a slot's number only.
        let code = unsafe { device.real().C_CloseAllSessions(slot) };
        device.sessions().all_closed(slot);
        code
    })
}

/// With a protected path (5.6, `C_Login`) the PIN comes from the device.
unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    Device::pass(Function::C_Login, |device, _| {
        device.count_login();
        let typed = device.state().token.protected_path.clone();
        let (pin, length) = match &typed {
            None => (pin, length),
            Some(typed) if pin.is_null() => (typed.as_ptr().cast_mut(), typed.len() as CK_ULONG),
            Some(_) => return CKR_ARGUMENTS_BAD,
        };
        // SAFETY: the caller vouches for the arguments; the PIN that was typed lives longer than the call.
        unsafe { device.real().C_Login(session, user, pin, length) }
    })
}

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    Device::pass(Function::C_SignInit, |device, wrong| {
        let key = match wrong {
            Some(Action::OtherKey(id)) => {
                let id = hex::decode(id).map_err(|_| CKR_KEY_HANDLE_INVALID);
                match id.and_then(|id| device.real().private_key(session, &id)) {
                    Ok(other) => other,
                    Err(code) => return code,
                }
            }
            _ => key,
        };
        let known = device.sessions().id(key);
        let id = known.or_else(|| device.real().id_of(session, key));
        // SAFETY: the caller vouches for the arguments.
        let code = unsafe { device.real().C_SignInit(session, mechanism, key) };
        if code == CKR_OK {
            device.sessions().signing(session, key, id);
        }
        code
    })
}

/// In a lane. The question for a signature's length (5.2) is no work for the device: client libraries of network HSMs
/// answer it themselves.
unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    written: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller vouches for the arguments.
    let sign = |device: &Device| unsafe { device.real().C_Sign(session, data, length, signature, written) };
    finish(Function::C_Sign, session, signature, written, sign)
}

/// As [`C_Sign`], for data that came in parts.
unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    written: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller vouches for the arguments.
    let sign = |device: &Device| unsafe { device.real().C_SignFinal(session, signature, written) };
    finish(Function::C_SignFinal, session, signature, written, sign)
}

fn finish(
    function: Function,
    session: CK_SESSION_HANDLE,
    signature: *mut CK_BYTE,
    written: *const CK_ULONG,
    sign: impl FnOnce(&Device) -> CK_RV,
) -> CK_RV {
    if signature.is_null() {
        let Some(device) = Device::get() else { return CKR_GENERAL_ERROR };
        device.count(function);
        return sign(device);
    }
    Device::pass(function, |device, wrong| {
        let code = device.occupy(|| sign(device));
        if code == CKR_OK {
            device.sessions().signed(session);
            if wrong == Some(&Action::CorruptSignature) {
                // SAFETY: the module has just written that many octets there, and at least one.
                unsafe {
                    let middle = usize::try_from(ptr::read(written)).unwrap_or_default() / 2;
                    *signature.add(middle) ^= 1;
                }
            }
        }
        code
    })
}
