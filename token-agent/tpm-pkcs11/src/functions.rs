//! The C interface (PKCS#11 2.40, 5). Pointers end here: what comes in is copied, what goes out is written where the
//! caller vouches for the room. No panic leaves.

#![expect(
    unsafe_code,
    non_snake_case,
    reason = "functions of a C interface, named as the standard names them"
)]

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_EFFECTIVELY_INFINITE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO,
    CK_MECHANISM, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG,
    CK_UNAVAILABLE_INFORMATION, CK_USER_TYPE, CK_UTF8CHAR, CK_VERSION, CKF_EC_F_P, CKF_EC_NAMEDCURVE,
    CKF_EC_UNCOMPRESS, CKF_HW, CKF_HW_SLOT, CKF_LOGIN_REQUIRED, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_SIGN,
    CKF_TOKEN_INITIALIZED, CKF_TOKEN_PRESENT, CKF_USER_PIN_INITIALIZED, CKF_WRITE_PROTECTED, CKM_ECDSA,
    CKR_ARGUMENTS_BAD, CKR_BUFFER_TOO_SMALL, CKR_GENERAL_ERROR, CKR_MECHANISM_INVALID, CKR_OK,
    CKR_OPERATION_NOT_INITIALIZED, CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_TOKEN_WRITE_PROTECTED,
    CKR_USER_TYPE_INVALID, CKS_RO_PUBLIC_SESSION, CKS_RO_USER_FUNCTIONS, CKU_CONTEXT_SPECIFIC, CKU_USER,
};
use zeroize::Zeroizing;

use crate::{
    mechanism,
    module::{self, Module, Template, with},
    unsupported::UNSUPPORTED,
};

static LIST: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    C_Initialize: Some(C_Initialize),
    C_Finalize: Some(C_Finalize),
    C_GetInfo: Some(C_GetInfo),
    C_GetFunctionList: Some(C_GetFunctionList),
    C_GetSlotList: Some(C_GetSlotList),
    C_GetSlotInfo: Some(C_GetSlotInfo),
    C_GetTokenInfo: Some(C_GetTokenInfo),
    C_GetMechanismList: Some(C_GetMechanismList),
    C_GetMechanismInfo: Some(C_GetMechanismInfo),
    C_OpenSession: Some(C_OpenSession),
    C_CloseSession: Some(C_CloseSession),
    C_CloseAllSessions: Some(C_CloseAllSessions),
    C_GetSessionInfo: Some(C_GetSessionInfo),
    C_Login: Some(C_Login),
    C_Logout: Some(C_Logout),
    C_GetAttributeValue: Some(C_GetAttributeValue),
    C_FindObjectsInit: Some(C_FindObjectsInit),
    C_FindObjects: Some(C_FindObjects),
    C_FindObjectsFinal: Some(C_FindObjectsFinal),
    C_SignInit: Some(C_SignInit),
    C_Sign: Some(C_Sign),
    ..UNSUPPORTED
};

const MANUFACTURER: &str = "Inro";
const VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };

fn answer(act: impl FnOnce() -> Result<(), CK_RV>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(code)) => code,
        Err(_) => CKR_GENERAL_ERROR,
    }
}

/// Text as the standard pads it. A letter is never cut in two.
fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
    field
}

fn count(number: usize) -> CK_ULONG {
    CK_ULONG::try_from(number).unwrap_or(CK_ULONG::MAX)
}

fn size(number: CK_ULONG) -> Result<usize, CK_RV> {
    usize::try_from(number).map_err(|_| CKR_ARGUMENTS_BAD)
}

/// # Safety
/// `place` is null or fit for a `T`.
unsafe fn write<T>(place: *mut T, value: T) -> Result<(), CK_RV> {
    if place.is_null() {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: the caller vouches for the place.
    unsafe { ptr::write(place, value) };
    Ok(())
}

/// A list by the convention of 5.2: without a place only its length is told.
///
/// # Safety
/// `length` is null or fit for a number; `place` is null or fit for as many `T` as the number says.
unsafe fn write_list<T: Copy>(list: &[T], place: *mut T, length: *mut CK_ULONG) -> Result<(), CK_RV> {
    if length.is_null() {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: the caller vouches for both places.
    unsafe {
        let room = size(*length)?;
        *length = count(list.len());
        if place.is_null() {
            return Ok(());
        }
        if room < list.len() {
            return Err(CKR_BUFFER_TOO_SMALL);
        }
        ptr::copy_nonoverlapping(list.as_ptr(), place, list.len());
    }
    Ok(())
}

/// # Safety
/// `octets` is null or the first of `length`.
unsafe fn read<'a>(octets: *const u8, length: CK_ULONG) -> Result<&'a [u8], CK_RV> {
    match size(length)? {
        0 => Ok(&[]),
        _ if octets.is_null() => Err(CKR_ARGUMENTS_BAD),
        // SAFETY: the caller vouches for the octets, and nobody keeps them beyond the call.
        length => Ok(unsafe { slice::from_raw_parts(octets, length) }),
    }
}

/// # Safety
/// `template` is null or the first of `length` attributes, each with its value.
unsafe fn read_template(template: *const CK_ATTRIBUTE, length: CK_ULONG) -> Result<Template, CK_RV> {
    if template.is_null() && length > 0 {
        return Err(CKR_ARGUMENTS_BAD);
    }
    let mut read_attributes = Template::new();
    for index in 0..size(length)? {
        // SAFETY: the caller vouches for the attributes and their values.
        let (kind, value) = unsafe {
            let attribute = &*template.add(index);
            (attribute.type_, read(attribute.pValue.cast_const().cast(), attribute.ulValueLen)?)
        };
        read_attributes.push((kind, value.to_vec()));
    }
    Ok(read_attributes)
}

/// As the standard says (5.4), for this module.
///
/// # Safety
/// `list` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    // SAFETY: the caller vouches for the place. Nobody may write to the list (2.40, 5.4), whatever its type says.
    answer(|| unsafe { write(list, (&raw const LIST).cast_mut()) })
}

/// The system's locks are always used; callers with their own are served by these as well.
unsafe extern "C" fn C_Initialize(_: *mut c_void) -> CK_RV {
    answer(module::initialize)
}

unsafe extern "C" fn C_Finalize(reserved: *mut c_void) -> CK_RV {
    answer(|| if reserved.is_null() { module::finalize() } else { Err(CKR_ARGUMENTS_BAD) })
}

unsafe extern "C" fn C_GetInfo(info: *mut CK_INFO) -> CK_RV {
    answer(|| {
        with(|_| Ok(()))?;
        let described = CK_INFO {
            cryptokiVersion: CK_VERSION { major: 2, minor: 40 },
            manufacturerID: padded(MANUFACTURER),
            flags: 0,
            libraryDescription: padded("Keys in this computer's TPM"),
            libraryVersion: VERSION,
        };
        // SAFETY: the caller vouches for the place.
        unsafe { write(info, described) }
    })
}

unsafe extern "C" fn C_GetSlotList(_: CK_BBOOL, slots: *mut CK_SLOT_ID, length: *mut CK_ULONG) -> CK_RV {
    answer(|| {
        let list = with(|module| {
            if slots.is_null() {
                module.read_shelf()?;
            }
            Ok(module.slots())
        })?;
        // SAFETY: the caller vouches for the places.
        unsafe { write_list(&list, slots, length) }
    })
}

unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) -> CK_RV {
    answer(|| {
        with(|module| module.token(slot).map(drop))?;
        let described = CK_SLOT_INFO {
            slotDescription: padded(&format!("TPM of this computer, key {slot}")),
            manufacturerID: padded(MANUFACTURER),
            flags: CKF_TOKEN_PRESENT | CKF_HW_SLOT,
            hardwareVersion: VERSION,
            firmwareVersion: VERSION,
        };
        // SAFETY: the caller vouches for the place.
        unsafe { write(info, described) }
    })
}

unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) -> CK_RV {
    answer(|| {
        let described = with(|module| {
            let token = module.token(slot)?;
            Ok(CK_TOKEN_INFO {
                label: padded(token.label()),
                manufacturerID: padded(MANUFACTURER),
                model: padded("TPM 2.0"),
                serialNumber: padded(token.serial()),
                flags: CKF_LOGIN_REQUIRED
                    | CKF_USER_PIN_INITIALIZED
                    | CKF_TOKEN_INITIALIZED
                    | CKF_WRITE_PROTECTED,
                ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
                ulSessionCount: count(module.sessions_of(slot)),
                ulMaxRwSessionCount: 0,
                ulRwSessionCount: 0,
                ulMaxPinLen: 8,
                ulMinPinLen: 6,
                ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
                ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
                ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
                ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
                hardwareVersion: VERSION,
                firmwareVersion: VERSION,
                utcTime: [b' '; 16],
            })
        })?;
        // SAFETY: the caller vouches for the place.
        unsafe { write(info, described) }
    })
}

unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    kinds: *mut CK_MECHANISM_TYPE,
    length: *mut CK_ULONG,
) -> CK_RV {
    answer(|| {
        let list = with(|module| Ok(mechanism::mechanisms(module.token(slot)?.objects.key_type)))?;
        // SAFETY: the caller vouches for the places.
        unsafe { write_list(list, kinds, length) }
    })
}

unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    kind: CK_MECHANISM_TYPE,
    info: *mut CK_MECHANISM_INFO,
) -> CK_RV {
    answer(|| {
        let key = with(|module| Ok(module.token(slot)?.objects.key_type))?;
        if !mechanism::mechanisms(key).contains(&kind) {
            return Err(CKR_MECHANISM_INVALID);
        }
        let (bits, more) = match kind {
            CKM_ECDSA => (256, CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS),
            _ => (2048, 0),
        };
        let described =
            CK_MECHANISM_INFO { ulMinKeySize: bits, ulMaxKeySize: bits, flags: CKF_HW | CKF_SIGN | more };
        // SAFETY: the caller vouches for the place.
        unsafe { write(info, described) }
    })
}

unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _: *mut c_void,
    _: CK_NOTIFY,
    session: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    answer(|| {
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        }
        if flags & CKF_RW_SESSION != 0 {
            return Err(CKR_TOKEN_WRITE_PROTECTED);
        }
        let opened = with(|module| module.open(slot))?;
        // SAFETY: the caller vouches for the place.
        unsafe { write(session, opened) }
    })
}

unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    answer(|| with(|module| module.close(session)))
}

unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    answer(|| with(|module| module.close_all(slot)))
}

unsafe extern "C" fn C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO) -> CK_RV {
    answer(|| {
        let (slot, logged_in) = with(|module| module.state(session))?;
        let state = if logged_in { CKS_RO_USER_FUNCTIONS } else { CKS_RO_PUBLIC_SESSION };
        let described = CK_SESSION_INFO { slotID: slot, state, flags: CKF_SERIAL_SESSION, ulDeviceError: 0 };
        // SAFETY: the caller vouches for the place.
        unsafe { write(info, described) }
    })
}

unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: *mut CK_UTF8CHAR,
    length: CK_ULONG,
) -> CK_RV {
    answer(|| {
        match user {
            CKU_USER => {}
            CKU_CONTEXT_SPECIFIC => return Err(CKR_OPERATION_NOT_INITIALIZED),
            _ => return Err(CKR_USER_TYPE_INVALID),
        }
        // SAFETY: the caller vouches for the PIN.
        let pin = unsafe { Zeroizing::new(read(pin, length)?.to_vec()) };
        with(|module| module.login(session, pin))
    })
}

unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    answer(|| with(|module| module.logout(session)))
}

unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: *mut CK_ATTRIBUTE,
    length: CK_ULONG,
) -> CK_RV {
    answer(|| {
        if template.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        with(|module| {
            let object = module.object(session, object)?;
            let mut done = Ok(());
            for index in 0..size(length)? {
                // SAFETY: the caller vouches for that many attributes, and for the room that each tells.
                let written = unsafe {
                    let attribute = &mut *template.add(index);
                    fill(attribute, Module::attribute(object, attribute.type_))
                };
                // All are filled in as far as possible; one of the errors is told (5.7).
                done = done.and(written);
            }
            done
        })
    })
}

/// # Safety
/// The attribute's place is null or fit for as many octets as it says.
unsafe fn fill(attribute: &mut CK_ATTRIBUTE, value: Result<&[u8], CK_RV>) -> Result<(), CK_RV> {
    let room = attribute.ulValueLen;
    attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
    let value = value?;
    if attribute.pValue.is_null() {
        attribute.ulValueLen = count(value.len());
        return Ok(());
    }
    if room < count(value.len()) {
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    // SAFETY: the caller vouches for the room.
    unsafe { ptr::copy_nonoverlapping(value.as_ptr(), attribute.pValue.cast(), value.len()) };
    attribute.ulValueLen = count(value.len());
    Ok(())
}

unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: *mut CK_ATTRIBUTE,
    length: CK_ULONG,
) -> CK_RV {
    answer(|| {
        // SAFETY: the caller vouches for the template.
        let template = unsafe { read_template(template, length)? };
        with(|module| module.find(session, &template))
    })
}

unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    written: *mut CK_ULONG,
) -> CK_RV {
    answer(|| {
        if objects.is_null() || written.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        let found = with(|module| module.found(session, size(most)?))?;
        // SAFETY: the caller vouches for room for `most` handles, and there are no more.
        unsafe {
            ptr::copy_nonoverlapping(found.as_ptr(), objects, found.len());
            write(written, count(found.len()))
        }
    })
}

unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    answer(|| with(|module| module.end_find(session)))
}

unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    answer(|| {
        if mechanism.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        // SAFETY: the caller vouches for the mechanism.
        let kind = unsafe { (*mechanism).mechanism };
        with(|module| module.begin_signing(session, kind, key))
    })
}

unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    written: *mut CK_ULONG,
) -> CK_RV {
    answer(|| {
        if written.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        with(|module| {
            let needed = module.signature_length(session)?;
            // SAFETY: the caller vouches for the places and for the data.
            unsafe {
                let room = size(*written)?;
                if signature.is_null() || room < needed {
                    *written = count(needed);
                    return if signature.is_null() { Ok(()) } else { Err(CKR_BUFFER_TOO_SMALL) };
                }
                let signed = module.sign(session, read(data, length)?)?;
                write_list(&signed, signature, written)
            }
        })
    })
}
