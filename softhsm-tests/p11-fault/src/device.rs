//! The simulated device: the real module, how it is to behave, and what was asked of it.

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    path::PathBuf,
    ptr,
    sync::{
        OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cryptoki_sys::{CK_FUNCTION_LIST, CK_RV, CKR_GENERAL_ERROR, CKR_OK, Pkcs11};
use serde::Serialize;

use crate::{
    lanes::{Lanes, Load},
    settings::Settings,
    table::Function,
};

/// The one device of this process.
pub(crate) struct Device {
    real: CK_FUNCTION_LIST,
    _library: Pkcs11,
    control: Option<PathBuf>,
    settings: RwLock<Settings>,
    lanes: Lanes,
    calls: [AtomicU64; Function::COUNT],
}

/// How the device is, and what was asked of it.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    process: u32,
    settings: Settings,
    /// Calls of each function that was called.
    calls: BTreeMap<&'static str, u64>,
    signatures: Load,
}

impl Device {
    /// The device; `None`, with a line on standard error, when the environment doesn't describe a usable one.
    pub(crate) fn get() -> Option<&'static Self> {
        static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
        let device = DEVICE.get_or_init(|| {
            // Nobody is left to tell when standard error is closed.
            Self::load().map_err(|reason| writeln!(std::io::stderr(), "p11-fault: {reason}")).ok()
        });
        device.as_ref()
    }

    fn load() -> Result<Self, String> {
        let path = env::var_os("P11_FAULT_MODULE").ok_or("P11_FAULT_MODULE names no module")?;
        let control = env::var_os("P11_FAULT_CONTROL").map(PathBuf::from);
        let settings = Settings::load(control.as_deref())?;
        let failed = |reason: &str| format!("{}: {reason}", path.display());
        #[expect(unsafe_code, reason = "loading a library runs foreign code")]
        // SAFETY: the test that names the module vouches for it, as with any PKCS#11 module.
        let library = unsafe { Pkcs11::new(&path) }.map_err(|error| failed(&error.to_string()))?;
        let mut list = ptr::null_mut();
        let get = *library.C_GetFunctionList.as_ref().map_err(|error| failed(&error.to_string()))?;
        #[expect(unsafe_code, reason = "PKCS#11 is a C interface")]
        // SAFETY: the function wants a place for a pointer, and on success has put there that of a list which lives
        // as long as the library, whose first 69 fields every version of PKCS#11 2 and 3 has.
        let real = unsafe {
            match get(&raw mut list) {
                CKR_OK if !list.is_null() => *list,
                code => return Err(failed(&format!("C_GetFunctionList returned {code:#x}"))),
            }
        };
        let lanes = Lanes::default();
        lanes.limit(settings.lanes);
        let calls = [const { AtomicU64::new(0) }; Function::COUNT];
        Ok(Self { real, _library: library, control, settings: RwLock::new(settings), lanes, calls })
    }

    /// Where the control socket is to be.
    pub(crate) fn control(&self) -> Option<&PathBuf> {
        self.control.as_ref()
    }

    /// One call of one function, on its way to the real module. Every call comes through here.
    pub(crate) fn pass(function: Function, forward: impl FnOnce(&CK_FUNCTION_LIST) -> CK_RV) -> CK_RV {
        let Some(device) = Self::get() else { return CKR_GENERAL_ERROR };
        device.calls[function as usize].fetch_add(1, Ordering::Relaxed);
        forward(&device.real)
    }

    /// Work that the device itself has to do, in one of its lanes.
    pub(crate) fn occupy(work: impl FnOnce() -> CK_RV) -> CK_RV {
        let Some(device) = Self::get() else { return CKR_GENERAL_ERROR };
        let latency = device.settings.read().unwrap_or_else(PoisonError::into_inner).latency();
        device.lanes.occupy(latency, work)
    }

    /// How it is, and what was asked of it.
    pub(crate) fn status(&self) -> Status {
        let calls = Function::ALL.iter().zip(&self.calls);
        let calls = calls.map(|(function, count)| (function.name(), count.load(Ordering::Relaxed)));
        Status {
            process: std::process::id(),
            settings: self.settings.read().unwrap_or_else(PoisonError::into_inner).clone(),
            calls: calls.filter(|&(_, count)| count > 0).collect(),
            signatures: self.lanes.load(),
        }
    }

    /// Behaves like this from now on, and in the next process that loads the module.
    pub(crate) fn set(&self, settings: Settings) -> std::io::Result<()> {
        if let Some(control) = &self.control {
            settings.keep(control)?;
        }
        self.lanes.limit(settings.lanes);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    /// Counts from zero again.
    pub(crate) fn reset(&self) {
        self.calls.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.lanes.reset();
    }
}
