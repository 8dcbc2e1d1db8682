//! A `bind(2)` that takes the loopback address for "all addresses", for `LD_PRELOAD`.
//!
//! The vpcd driver inside pcscd listens on 0.0.0.0 and has no option against it; a virtual card's port is nobody's
//! business outside this machine. Preloaded into that one test daemon, never into a program of Inro.

use std::{
    mem::{size_of, transmute},
    sync::OnceLock,
};

use libc::{
    AF_INET, AF_INET6, AF_UNSPEC, INADDR_ANY, INADDR_LOOPBACK, RTLD_NEXT, c_int, c_void, dlsym, sa_family_t,
    sockaddr, sockaddr_in, sockaddr_in6, socklen_t,
};

#[expect(clippy::cast_possible_truncation, reason = "16 and 28")]
const SOCKADDR_IN: socklen_t = size_of::<sockaddr_in>() as socklen_t;
#[expect(clippy::cast_possible_truncation, reason = "16 and 28")]
const SOCKADDR_IN6: socklen_t = size_of::<sockaddr_in6>() as socklen_t;

type Bind = unsafe extern "C" fn(c_int, *const sockaddr, socklen_t) -> c_int;

/// The C library's own `bind`, behind this one.
fn real() -> Option<Bind> {
    static REAL: OnceLock<Option<Bind>> = OnceLock::new();
    *REAL.get_or_init(|| {
        #[expect(unsafe_code, reason = "only the dynamic linker knows the next `bind`")]
        // SAFETY: the name is a C string; where the symbol exists it is POSIX's function of this very type, and
        // `Option` of a function pointer has the null pointer as `None`.
        unsafe {
            transmute::<*mut c_void, Option<Bind>>(dlsym(RTLD_NEXT, c"bind".as_ptr()))
        }
    })
}

/// As `bind(2)`, with 127.0.0.1 in the place of 0.0.0.0 and `::1` in the place of `::`.
///
/// # Safety
/// As for `bind(2)`: `address` points to `length` readable octets.
#[expect(unsafe_code, reason = "it takes the place of a C function, by name and by interface")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(socket: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    let Some(real) = real() else { return -1 };
    let holds = |size: usize| usize::try_from(length).is_ok_and(|length| length >= size);
    // SAFETY: the caller vouches for `length` octets; each structure is read only where it fits into them, and the
    // changed copy is aligned, lives until the real call returns, and is passed on with its own length.
    unsafe {
        let family = if address.is_null() || !holds(size_of::<sa_family_t>()) {
            AF_UNSPEC
        } else {
            c_int::from(address.cast::<sa_family_t>().read_unaligned())
        };
        match family {
            AF_INET if holds(size_of::<sockaddr_in>()) => {
                let mut inet = address.cast::<sockaddr_in>().read_unaligned();
                if inet.sin_addr.s_addr == INADDR_ANY.to_be() {
                    inet.sin_addr.s_addr = INADDR_LOOPBACK.to_be();
                }
                real(socket, (&raw const inet).cast(), SOCKADDR_IN)
            }
            AF_INET6 if holds(size_of::<sockaddr_in6>()) => {
                let mut inet = address.cast::<sockaddr_in6>().read_unaligned();
                if inet.sin6_addr.s6_addr == [0; 16] {
                    inet.sin6_addr.s6_addr[15] = 1;
                }
                real(socket, (&raw const inet).cast(), SOCKADDR_IN6)
            }
            // Unix sockets, and what the kernel refuses.
            _ => real(socket, address, length),
        }
    }
}
