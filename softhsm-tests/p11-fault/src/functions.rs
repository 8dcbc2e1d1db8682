//! All functions of PKCS#11 2.40: what they are called and what they take. Nothing here knows what is done with them.

use serde::{Deserialize, Serialize};

/// Hands the list to another macro: `name(argument: type, …);` for each function, in the order of `CK_FUNCTION_LIST`.
macro_rules! for_each_function {
    ($macro:ident) => {
        $macro! {
            C_Initialize(pointer: *mut c_void);
            C_Finalize(pointer: *mut c_void);
            C_GetInfo(info: *mut CK_INFO);
            C_GetFunctionList(info: *mut *mut CK_FUNCTION_LIST);
            C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, written: *mut CK_ULONG);
            C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO);
            C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO);
            C_GetMechanismList(slot: CK_SLOT_ID, kinds: *mut CK_MECHANISM_TYPE, written: *mut CK_ULONG);
            C_GetMechanismInfo(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
            C_InitToken(slot: CK_SLOT_ID, text: *mut CK_UTF8CHAR, length: CK_ULONG, text_2: *mut CK_UTF8CHAR);
            C_InitPIN(session: CK_SESSION_HANDLE, text: *mut CK_UTF8CHAR, length: CK_ULONG);
            C_SetPIN(session: CK_SESSION_HANDLE, text: *mut CK_UTF8CHAR, length: CK_ULONG, text_2: *mut CK_UTF8CHAR, length_2: CK_ULONG);
            C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, pointer: *mut c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE);
            C_CloseSession(session: CK_SESSION_HANDLE);
            C_CloseAllSessions(slot: CK_SLOT_ID);
            C_GetSessionInfo(session: CK_SESSION_HANDLE, info: *mut CK_SESSION_INFO);
            C_GetOperationState(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_SetOperationState(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, object: CK_OBJECT_HANDLE, object_2: CK_OBJECT_HANDLE);
            C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, text: *mut CK_UTF8CHAR, length: CK_ULONG);
            C_Logout(session: CK_SESSION_HANDLE);
            C_CreateObject(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG, objects: *mut CK_OBJECT_HANDLE);
            C_CopyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG, objects: *mut CK_OBJECT_HANDLE);
            C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
            C_GetObjectSize(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, written: *mut CK_ULONG);
            C_GetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG);
            C_SetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG);
            C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG);
            C_FindObjects(session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, length: CK_ULONG, written: *mut CK_ULONG);
            C_FindObjectsFinal(session: CK_SESSION_HANDLE);
            C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_Encrypt(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_EncryptUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_EncryptFinal(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_Decrypt(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DecryptUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DecryptFinal(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DigestInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM);
            C_Digest(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DigestUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_DigestKey(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
            C_DigestFinal(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_Sign(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_SignUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_SignFinal(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_SignRecoverInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_SignRecover(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_VerifyInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_Verify(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, length_2: CK_ULONG);
            C_VerifyUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_VerifyFinal(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_VerifyRecoverInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE);
            C_VerifyRecover(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DigestEncryptUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DecryptDigestUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_SignEncryptUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_DecryptVerifyUpdate(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, octets_2: *mut CK_BYTE, written: *mut CK_ULONG);
            C_GenerateKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, length: CK_ULONG, objects: *mut CK_OBJECT_HANDLE);
            C_GenerateKeyPair(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, length: CK_ULONG, template_2: *mut CK_ATTRIBUTE, length_2: CK_ULONG, objects: *mut CK_OBJECT_HANDLE, objects_2: *mut CK_OBJECT_HANDLE);
            C_WrapKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE, object_2: CK_OBJECT_HANDLE, octets: *mut CK_BYTE, written: *mut CK_ULONG);
            C_UnwrapKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG, template: *mut CK_ATTRIBUTE, length_2: CK_ULONG, objects: *mut CK_OBJECT_HANDLE);
            C_DeriveKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, length: CK_ULONG, objects: *mut CK_OBJECT_HANDLE);
            C_SeedRandom(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_GenerateRandom(session: CK_SESSION_HANDLE, octets: *mut CK_BYTE, length: CK_ULONG);
            C_GetFunctionStatus(session: CK_SESSION_HANDLE);
            C_CancelFunction(session: CK_SESSION_HANDLE);
            C_WaitForSlotEvent(flags: CK_FLAGS, slots: *mut CK_SLOT_ID, pointer: *mut c_void);
        }
    };
}

pub(crate) use for_each_function;

macro_rules! name_them {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        /// A function, by its place in `CK_FUNCTION_LIST`.
        #[expect(non_camel_case_types, clippy::enum_variant_names, reason = "named as the standard names them")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum Function { $($name),* }

        impl Function {
            /// In the list's order.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
            /// How many there are.
            pub(crate) const COUNT: usize = Self::ALL.len();

            /// As the standard names it.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

for_each_function!(name_them);
