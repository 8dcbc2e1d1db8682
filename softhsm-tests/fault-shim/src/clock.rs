//! A wall clock that is wrong. Timers and deadlines use the monotonic clock, which stays right.
#![expect(unsafe_code, reason = "these take the places of C functions, by name and by interface")]

use libc::{
    CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, c_int, c_void, clockid_t, time_t, timespec, timeval,
};

use crate::{
    control::{Control, Word},
    fail, real,
};

const SECOND: i64 = 1_000_000_000;

fn wrong_by() -> i64 {
    Control::get().map_or(0, |control| control.load(Word::Clock))
}

fn shifted(time: timespec, by: i64) -> timespec {
    let nanoseconds = time.tv_nsec + by.rem_euclid(SECOND);
    timespec {
        tv_sec: time.tv_sec + by.div_euclid(SECOND) + nanoseconds.div_euclid(SECOND),
        tv_nsec: nanoseconds.rem_euclid(SECOND),
    }
}

/// As `clock_gettime(2)`.
///
/// # Safety
/// As for `clock_gettime(2)`: `time` points to a `timespec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let Some(real) = real!(clock_gettime(clockid_t, *mut timespec) -> c_int) else {
        return fail(libc::ENOSYS);
    };
    // SAFETY: passed on as it came; where the call succeeded it has filled `time`.
    unsafe {
        let result = real(clock, time);
        if result == 0 && matches!(clock, CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI) {
            let by = wrong_by();
            if by != 0 {
                *time = shifted(*time, by);
            }
        }
        result
    }
}

/// As `gettimeofday(2)`.
///
/// # Safety
/// As for `gettimeofday(2)`: `time` is null or points to a `timeval`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, zone: *mut c_void) -> c_int {
    let Some(real) = real!(gettimeofday(*mut timeval, *mut c_void) -> c_int) else {
        return fail(libc::ENOSYS);
    };
    // SAFETY: passed on as it came; where the call succeeded and `time` isn't null it has been filled.
    unsafe {
        let result = real(time, zone);
        let by = wrong_by();
        if result == 0 && by != 0 && !time.is_null() {
            let exact = timespec { tv_sec: (*time).tv_sec, tv_nsec: (*time).tv_usec * 1000 };
            let wrong = shifted(exact, by);
            *time = timeval { tv_sec: wrong.tv_sec, tv_usec: wrong.tv_nsec / 1000 };
        }
        result
    }
}

/// As `time(2)`.
///
/// # Safety
/// As for `time(2)`: `result` is null or points to a `time_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(result: *mut time_t) -> time_t {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the call, and `result` is written to only where it isn't null.
    unsafe {
        if clock_gettime(CLOCK_REALTIME, &raw mut now) != 0 {
            return -1;
        }
        if !result.is_null() {
            *result = now.tv_sec;
        }
    }
    now.tv_sec
}
