//! A PKCS#11 module for tests that types the PIN for a person: it wraps a real module, and each session that is opened
//! there is logged in at once. A browser without a screen can't ask for a PIN. It is never a part of Inro.
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
    env,
    ffi::c_void,
    fs, ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki_sys::{
    CK_FLAGS, CK_FUNCTION_LIST, CK_NOTIFY, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG, CKR_ARGUMENTS_BAD,
    CKR_GENERAL_ERROR, CKR_OK, CKR_PIN_INCORRECT, CKU_USER, Pkcs11,
};

/// The real module and what stands before it.
struct Wrapped {
    real: CK_FUNCTION_LIST,
    shown: CK_FUNCTION_LIST,
    pin: Vec<u8>,
    _library: Pkcs11,
}

/// Sessions are opened one after the other: a login meets no other one half-way.
static OPENING: Mutex<()> = Mutex::new(());

/// Whether the card refused the PIN.
static REFUSED: AtomicBool = AtomicBool::new(false);

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
    let _one = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the caller vouches for the arguments; the session is there once it was opened, and the PIN isn't written to.
    unsafe {
        let code = open(slot, flags, application, notify, session);
        if code != CKR_OK {
            return code;
        }
        // A wrong PIN is wrong again at the next session, and three block the card.
        if REFUSED.load(Ordering::Relaxed) {
            return CKR_OK;
        }
        let (pin, length) = (wrapped.pin.as_ptr().cast_mut(), wrapped.pin.len() as CK_ULONG);
        let code = login(*session, CKU_USER, pin, length);
        REFUSED.fetch_or(code == CKR_PIN_INCORRECT, Ordering::Relaxed);
        // Logged in, before or now; or a token without a PIN, which has nothing to hide.
        CKR_OK
    }
}
