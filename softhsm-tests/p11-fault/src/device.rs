//! The simulated device: the real module, how it is to behave, and what was asked of it.

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    path::PathBuf,
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki_sys::{CK_RV, CKR_DEVICE_REMOVED, CKR_GENERAL_ERROR, CKR_TOKEN_NOT_PRESENT};
use serde::Serialize;
use serde_json::Value;

use crate::{
    control::{self, Deed, Request},
    faults::{Action, Faults, Struck},
    functions::Function,
    lanes::{Lanes, Load},
    real::Real,
    sessions::{Counts, Sessions},
    settings::{Conduct, Loss, Settings},
    state::{Change, State, Store},
};

/// The one device of this process.
pub(crate) struct Device {
    real: Real,
    store: Store,
    state: Mutex<State>,
    /// How often all faults were cleared: what hangs since before goes on.
    clearances: Mutex<u64>,
    cleared: Condvar,
    lanes: Lanes,
    sessions: Mutex<Sessions>,
    calls: [AtomicU64; Function::COUNT],
    began: Instant,
    /// Milliseconds since then, of the last call.
    last_call: AtomicU64,
}

/// How the device is, and what was asked of it.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    process: u32,
    settings: Settings,
    token: Conduct,
    /// Those that are still to come.
    faults: Faults,
    /// Calls of each function that was called.
    calls: BTreeMap<&'static str, u64>,
    /// Calls of `C_Login` in all processes that had the module loaded.
    logins: u64,
    sessions: Counts,
    signatures: Load,
    signatures_by_key: BTreeMap<String, u64>,
}

impl Device {
    /// The device; `None`, with a line on standard error, when the environment doesn't describe a usable one.
    pub(crate) fn get() -> Option<&'static Self> {
        static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
        static LISTENING: OnceLock<bool> = OnceLock::new();
        let device = DEVICE.get_or_init(|| Self::load().map_err(|reason| tell(&reason)).ok()).as_ref()?;
        let listening = LISTENING.get_or_init(|| device.listen().map_err(|reason| tell(&reason)).is_ok());
        listening.then_some(device)
    }

    fn load() -> Result<Self, String> {
        let path = env::var_os("P11_FAULT_MODULE").map(PathBuf::from);
        let path = path.ok_or("P11_FAULT_MODULE names no module")?;
        Ok(Self {
            real: Real::load(&path)?,
            store: Store::beside(env::var_os("P11_FAULT_CONTROL").map(PathBuf::from).as_deref()),
            state: Mutex::default(),
            clearances: Mutex::default(),
            cleared: Condvar::new(),
            lanes: Lanes::default(),
            sessions: Mutex::default(),
            calls: [const { AtomicU64::new(0) }; Function::COUNT],
            began: Instant::now(),
            last_call: AtomicU64::new(0),
        })
    }

    /// Takes up the state and opens the control socket, as one: a change either reaches the socket or is found.
    fn listen(&'static self) -> Result<(), String> {
        let _lock = self.store.lock().map_err(|error| format!("the state's lock: {error}"))?;
        let state = self.store.load()?;
        self.lanes.limit(state.settings.lanes);
        *self.state() = state;
        let Some(control) = self.store.control() else { return Ok(()) };
        control::listen(control, |request| self.answer(request))
            .map_err(|error| format!("{}: {error}", control.display()))
    }

    /// The real module.
    pub(crate) fn real(&self) -> &Real {
        &self.real
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call of one function: counted, and then done by `work`, unless something is wrong with the device. What is
    /// to go wrong with the work itself is handed to it. Every call that asks something of the device comes through
    /// here.
    pub(crate) fn pass(function: Function, work: impl FnOnce(&Self, Option<&Action>) -> CK_RV) -> CK_RV {
        let Some(device) = Self::get() else { return CKR_GENERAL_ERROR };
        device.count(function);
        device.notice_idleness();
        if let Some(code) = device.absence(function) {
            return code;
        }
        let Some(struck) = device.strike(function) else { return work(device, None) };
        let (before, after) = if struck.done { (Some(work), None) } else { (None, Some(work)) };
        let done = before.map(|work| work(device, None));
        match struck.action {
            Action::Return(code) => return code.0,
            Action::Hang(limit) => device.hang(limit.map(Duration::from_millis)),
            Action::Segfault => die_of_a_signal(),
            Action::Abort => std::process::abort(),
            Action::CorruptSignature | Action::OtherKey(_) => {
                return after.map_or(CKR_GENERAL_ERROR, |work| work(device, Some(&struck.action)));
            }
        }
        after.map(|work| work(device, None)).or(done).unwrap_or(CKR_GENERAL_ERROR)
    }

    pub(crate) fn count(&self, function: Function) {
        self.calls[function as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Work that the device itself has to do, in one of its lanes.
    pub(crate) fn occupy(&self, work: impl FnOnce() -> CK_RV) -> CK_RV {
        let latency = self.state().settings.latency();
        self.lanes.occupy(latency, work)
    }

    fn strike(&self, function: Function) -> Option<Struck> {
        let mut state = self.state();
        if !state.faults.concern(function) {
            return None;
        }
        let struck = state.faults.strike(function, rand::random::<f64>)?;
        // Before it strikes: the process may not live to keep it.
        if let Err(error) = self.store.keep(&state) {
            tell(&format!("the state can't be kept: {error}"));
        }
        Some(struck)
    }

    /// What a call of this function gets when the token isn't there.
    fn absence(&self, function: Function) -> Option<CK_RV> {
        use Function as F;
        if self.state().token.present {
            return None;
        }
        match function {
            F::C_Initialize
            | F::C_Finalize
            | F::C_GetInfo
            | F::C_GetFunctionList
            | F::C_GetSlotList
            | F::C_GetSlotInfo
            | F::C_CloseSession
            | F::C_CloseAllSessions
            | F::C_WaitForSlotEvent => None,
            F::C_GetTokenInfo
            | F::C_GetMechanismList
            | F::C_GetMechanismInfo
            | F::C_InitToken
            | F::C_OpenSession => Some(CKR_TOKEN_NOT_PRESENT),
            _ => Some(CKR_DEVICE_REMOVED),
        }
    }

    fn notice_idleness(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let last = self.last_call.swap(now, Ordering::Relaxed);
        let idle = self.state().token.idle;
        if let Some(idle) = idle.filter(|idle| now.saturating_sub(last) > idle.after_ms) {
            self.lose(idle.loses);
        }
    }

    /// Does to the real token what nobody asked for.
    #[expect(unsafe_code, reason = "PKCS#11 is a C interface")]
    fn lose(&self, what: Loss) {
        let mut sessions = self.sessions();
        for (slot, session) in sessions.one_of_each_slot() {
            // SAFETY: handles only. What the module says to it is of no interest: its users will notice.
            unsafe {
                match what {
                    Loss::Login => self.real.C_Logout(session),
                    Loss::Sessions => self.real.C_CloseAllSessions(slot),
                };
            }
        }
        if what == Loss::Sessions {
            sessions.none_left();
        }
    }

    /// Holds a call until the time is over or all faults are cleared.
    fn hang(&self, limit: Option<Duration>) {
        let clearances = self.clearances.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *clearances;
        let still = |now: &mut u64| *now == before;
        // What is waited for is the wait itself.
        match limit {
            Some(limit) => drop(self.cleared.wait_timeout_while(clearances, limit, still)),
            None => drop(self.cleared.wait_while(clearances, still)),
        }
    }

    /// Does what is asked for over the control socket, and says how it then is.
    fn answer(&self, request: Request) -> Result<Value, String> {
        match request {
            Request::Change(change) => self.change(change)?,
            Request::Deed(Deed::Status {}) => {}
            Request::Deed(Deed::LogOut {}) => self.lose(Loss::Login),
            Request::Deed(Deed::EndSessions {}) => self.lose(Loss::Sessions),
            Request::Deed(Deed::Reset {}) => self.reset(),
        }
        serde_json::to_value(self.status()?).map_err(|error| error.to_string())
    }

    /// How it is, and what was asked of it.
    fn status(&self) -> Result<Status, String> {
        let calls = Function::ALL.iter().zip(&self.calls);
        let calls = calls.map(|(function, count)| (function.name(), count.load(Ordering::Relaxed)));
        let State { settings, token, faults } = self.state().clone();
        let sessions = self.sessions();
        Ok(Status {
            process: std::process::id(),
            settings,
            token,
            faults,
            calls: calls.filter(|&(_, count)| count > 0).collect(),
            logins: self.store.logins().map_err(|error| format!("the logins: {error}"))?,
            sessions: sessions.counts(),
            signatures: self.lanes.load(),
            signatures_by_key: sessions.signatures(),
        })
    }

    /// Changes how it is, also for the next process that loads the module.
    fn change(&self, change: Change) -> Result<(), String> {
        let releases = matches!(change, Change::Clear {});
        let mut state = self.state();
        let before = state.clone();
        state.change(change)?;
        self.store.keep(&state).map_err(|error| error.to_string())?;
        if state.settings.lanes != before.settings.lanes {
            self.lanes.limit(state.settings.lanes);
        }
        let removed = before.token.present && !state.token.present;
        drop(state);
        if releases {
            *self.clearances.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            self.cleared.notify_all();
        }
        if removed {
            self.lose(Loss::Sessions);
        }
        Ok(())
    }

    /// Counts a login, for all processes.
    pub(crate) fn count_login(&self) {
        if let Err(error) = self.store.count_login() {
            tell(&format!("a login can't be counted: {error}"));
        }
    }

    /// Counts from zero again, except for the logins.
    fn reset(&self) {
        self.calls.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        self.lanes.reset();
        self.sessions().reset();
    }
}

fn tell(what: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "p11-fault: {what}");
}

/// As a module does that writes to where nothing is.
#[expect(unsafe_code, reason = "the C library's signals")]
fn die_of_a_signal() {
    // SAFETY: no memory is concerned. Rust's own handler would take the signal for nothing and go on.
    unsafe {
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::raise(libc::SIGSEGV);
    }
}
