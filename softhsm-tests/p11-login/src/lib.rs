//! A PKCS#11 module for tests that types the PIN for a person: it wraps a real module, and before the first session that
//! is opened with a token, the token is logged in to. A browser without a screen can't ask for a PIN. It is never a part of
//! Inro.
//!
//! A session of its own holds that login: whatever the browser closes, the token isn't logged out of and in to again.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `P11_LOGIN_MODULE` | the real module's path |
//! | `P11_LOGIN_PIN_FILE` | a file with the user's PIN |
//!
//! Everything but opening a session goes straight to the real module, by its own function list.

#![expect(
    unsafe_code,
    non_snake_case,
    reason = "functions of a C interface, named as the standard names them"
)]

use std::{
    collections::BTreeSet,
    env,
    ffi::c_void,
    fs, ptr,
    sync::{Mutex, OnceLock, PoisonError},
};

use cryptoki_sys::{
    CK_FLAGS, CK_FUNCTION_LIST, CK_NOTIFY, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG,
    CKF_SERIAL_SESSION, CKR_ARGUMENTS_BAD, CKR_GENERAL_ERROR, CKR_OK, CKU_USER, Pkcs11,
};

/// The real module and what stands before it.
struct Wrapped {
    real: CK_FUNCTION_LIST,
    shown: CK_FUNCTION_LIST,
    pin: Vec<u8>,
    _library: Pkcs11,
}

/// The slots that were logged in to, once each: a wrong PIN is wrong again the next time, and three block the card.
static LOGGED_IN: Mutex<BTreeSet<CK_SLOT_ID>> = Mutex::new(BTreeSet::new());

static WRAPPED: OnceLock<Option<Wrapped>> = OnceLock::new();

fn wrapped() -> Option<&'static Wrapped> {
    WRAPPED.get_or_init(load).as_ref()
}

fn load() -> Option<Wrapped> {
    let pin = fs::read(env::var_os("P11_LOGIN_PIN_FILE")?).ok()?.trim_ascii().to_vec();
    let path = env::var_os("P11_LOGIN_MODULE")?;
    // SAFETY: the test that names the module vouches for it, as with any PKCS#11 module.
    let library = unsafe { Pkcs11::new(path) }.ok()?;
    let get = *library.C_GetFunctionList.as_ref().ok()?;
    let mut list = ptr::null_mut();
    // SAFETY: the function wants a place for a pointer, and on success has put there that of a list which lives as long
    // as the library.
    let real = unsafe {
        if get(&raw mut list) != CKR_OK || list.is_null() {
            return None;
        }
        *list
    };
    let shown = CK_FUNCTION_LIST {
        C_GetFunctionList: Some(C_GetFunctionList),
        C_OpenSession: Some(C_OpenSession),
        ..real
    };
    Some(Wrapped { real, shown, pin, _library: library })
}

/// As the standard says (2.40, 5.4).
///
/// # Safety
/// `list` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    match wrapped() {
        _ if list.is_null() => CKR_ARGUMENTS_BAD,
        None => CKR_GENERAL_ERROR,
        Some(wrapped) => {
            // SAFETY: the caller vouches for the place. Nobody may write to the list, whatever its type says.
            unsafe { *list = (&raw const wrapped.shown).cast_mut() };
            CKR_OK
        }
    }
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    application: *mut c_void,
    notify: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    let Some(wrapped) = wrapped() else { return CKR_GENERAL_ERROR };
    let (Some(open), Some(login)) = (wrapped.real.C_OpenSession, wrapped.real.C_Login) else {
        return CKR_GENERAL_ERROR;
    };
    let mut logged_in = LOGGED_IN.lock().unwrap_or_else(PoisonError::into_inner);
    if !logged_in.contains(&slot) {
        let mut held = 0;
        // SAFETY: the place for the handle is this function's, the session is there once it was opened, and the PIN isn't
        // written to.
        unsafe {
            let code = open(slot, CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut held);
            if code != CKR_OK {
                return code;
            }
            // A token without a PIN has nothing to hide; of a refused one the browser hears when it signs.
            login(held, CKU_USER, wrapped.pin.as_ptr().cast_mut(), wrapped.pin.len() as CK_ULONG);
        }
        logged_in.insert(slot);
    }
    drop(logged_in);
    // SAFETY: the caller vouches for the arguments.
    unsafe { open(slot, flags, application, notify, session) }
}
