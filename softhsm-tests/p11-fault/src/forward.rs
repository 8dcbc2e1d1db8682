//! For each function the way to the real module: through the [`Device`], or past it.

#![expect(
    unsafe_code,
    non_snake_case,
    reason = "functions of a C interface, named as the standard names them"
)]

use std::ffi::c_void;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID,
    CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CK_VERSION,
};

use crate::{
    device::Device,
    functions::{Function, for_each_function},
};

macro_rules! forward {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            /// As the standard says, when the device lets it.
            ///
            /// # Safety
            /// As for the real module's function.
            pub(crate) unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
                // SAFETY: the caller vouches for the arguments, which go on as they are to the function that they are
                // meant for.
                Device::pass(Function::$name, |device, _| unsafe { device.real().$name($($argument),*) })
            }
        )*

        /// A module that only forwards.
        pub(crate) const FORWARDING: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
            version: CK_VERSION { major: 2, minor: 40 },
            $($name: Some($name)),*
        };
    };
}

for_each_function!(forward);
