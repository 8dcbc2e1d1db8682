//! The module and its token, as far as nobody has to log in: what they are, whether a login would be safe, and what
//! they can do.

use jiff::{Timestamp, tz::TimeZone};

use super::Subject;
use super::finding::Report;
use crate::token::{KeyAlgorithm, TokenDescription};
use crate::vendor::{Evidence, ProtectedPath, list};
use crate::worker::look::{Library, TokenState};

/// Seconds by which a token's own clock may be off.
const CLOCK_OFF: i64 = 300;

/// Which profile is used, and what it rests on.
pub(super) fn vendor(subject: &Subject, report: &mut Report) {
    let vendor = &subject.access.vendor;
    report.vendor.clone_from(&vendor.name);
    if vendor.is_unknown() {
        return report.warn(
            "vendor",
            subject.access.module.display().to_string(),
            "no vendor profile describes this module",
            "write one (docs/vendors.md) and name it as `vendor`; until then only what PKCS#11 promises is assumed",
        );
    }
    match vendor.evidence {
        Evidence::Tested => report.fine("vendor", &vendor.name, format!("{}, tested with Inro", vendor.product)),
        Evidence::Documents => report.note(
            "vendor",
            &vendor.name,
            format!(
                "{}: from the vendor's documents, untested here. What differs below is worth more than the profile",
                vendor.product
            ),
        ),
    }
}

/// What the library says of itself.
pub(super) fn library(subject: &Subject, library: &Library, report: &mut Report) {
    let about = subject.access.module.display().to_string();
    let text = format!(
        "{} by {}, version {}, PKCS#11 {}",
        library.description, library.manufacturer, library.version, library.cryptoki
    );
    let expected = &subject.access.vendor.module.manufacturer;
    if expected.is_empty() || library.manufacturer.starts_with(expected.as_str()) {
        report.fine("module", about, text);
    } else {
        report.warn(
            "module",
            about,
            format!("{text}; profile {:?} expects it by {expected:?}", subject.access.vendor.name),
            "correct the module's path or `vendor`",
        );
    }
}

/// The token's state; true when a login is safe.
pub(super) fn state(token: &TokenDescription, state: &TokenState, report: &mut Report) -> bool {
    let about = token.label.as_str();
    let TokenDescription { manufacturer, model, serial, firmware, hardware, .. } = token;
    report.fine(
        "token",
        about,
        format!(
            "{manufacturer} {model}, serial {serial}, firmware {firmware}, hardware {hardware}, slot {}",
            token.slot
        ),
    );
    if state.error_state {
        report.fail(
            "token",
            about,
            "is in its error state (CKF_ERROR_STATE)",
            "follow the vendor's manual for failed self-tests",
        );
    }
    if state.write_protected {
        report.note("token", about, "is write-protected: it can sign, and a ceremony can't make keys on it");
    }
    if !state.user_pin_initialised {
        report.fail(
            "pin-tries",
            about,
            "has no user PIN yet",
            "let the ceremony initialise it, or the vendor's tool",
        );
        return false;
    }
    if state.user_pin_locked {
        report.fail(
            "pin-tries",
            about,
            "its user PIN is locked",
            "the security officer unlocks it with the vendor's tool",
        );
        return false;
    }
    if state.user_pin_final_try {
        report.fail(
            "pin-tries",
            about,
            "one more wrong PIN locks it, so no program gives one",
            "log in by hand with the vendor's tool and the right PIN, which resets the count",
        );
        return false;
    }
    if state.user_pin_count_low {
        report.warn(
            "pin-tries",
            about,
            "a wrong PIN was given since the last right one (CKF_USER_PIN_COUNT_LOW), so the doctor gives none",
            "find out who gave it; then log in by hand with the right PIN, which resets the count",
        );
        return false;
    }
    if state.user_pin_to_be_changed {
        report.warn(
            "pin-tries",
            about,
            "its user PIN is to be changed",
            "change it with the vendor's tool, and in its file",
        );
    }
    report.fine("pin-tries", about, "no wrong PIN is counted");
    true
}

/// What else the token says of itself, against its profile.
pub(super) fn rules(subject: &Subject, token: &TokenDescription, state: &TokenState, report: &mut Report) {
    let (about, vendor) = (token.label.as_str(), &subject.access.vendor);
    if state.protected_path && vendor.pin.protected_path == ProtectedPath::Never {
        report.note(
            "pin",
            about,
            format!("takes its PIN on a device of its own, unlike profile {:?}", vendor.name),
        );
    }
    sessions(subject, state, about, report);
    match vendor.sessions.idle_seconds {
        Some(seconds) => report.note(
            "idle",
            about,
            format!(
                "a session that isn't used for {seconds} s ends; {}. The signer calls the token before that, and does \
                 so by itself",
                vendor.sessions.recovery
            ),
        ),
        None => report.fine("idle", about, "no time-out of idle sessions is known"),
    }
    if let Some(clock) = state.clock {
        let off = clock.to_zoned(TimeZone::UTC).map_or(i64::MAX, |clock| {
            clock
                .timestamp()
                .as_second()
                .abs_diff(Timestamp::now().as_second())
                .try_into()
                .unwrap_or(i64::MAX)
        });
        if off > CLOCK_OFF {
            report.warn(
                "clock",
                about,
                format!("its own clock says {clock}, {off} s off this host's"),
                "set whichever is wrong",
            );
        } else {
            report.fine("clock", about, "its own clock agrees with this host's");
        }
    }
    match (&vendor.backup.clone, vendor.backup.wrap.is_empty()) {
        (None, true) => report.warn(
            "backup",
            about,
            "no way is known to get a key of it to a second HSM",
            "plan to make new keys when it is lost: two signers with keys of their own, or another HSM",
        ),
        (clone, _) => {
            let ways = clone
                .iter()
                .cloned()
                .chain(vendor.backup.wrap.iter().map(|wrap| format!("wrapped by {wrap}")));
            report.note("backup", about, format!("to a second HSM: {}", ways.collect::<Vec<_>>().join("; ")));
        }
    }
}

fn sessions(subject: &Subject, state: &TokenState, about: &str, report: &mut Report) {
    let most = state.most_sessions.or(subject.access.vendor.sessions.most);
    // One more keeps the login.
    let needed = u64::from(subject.lanes) + 1;
    match most {
        Some(most) if most < needed => report.fail(
            "sessions",
            about,
            format!("allows {most} sessions; {} lanes and the login need {needed}", subject.lanes),
            format!("set lanes to {} or fewer", most.saturating_sub(1)),
        ),
        Some(most) => {
            report.fine("sessions", about, format!("allows {most} sessions, of which {needed} are needed"));
        }
        None => report.fine("sessions", about, format!("tells no limit of sessions; {needed} are needed")),
    }
}

/// Which mechanisms Inro needs and which are missing.
pub(super) fn mechanisms(subject: &Subject, about: &str, found: &[String], report: &mut Report) {
    let vendor = &subject.access.vendor;
    let has = |name: &str| found.iter().any(|mechanism| mechanism == name);
    let remedy = |name: &str| {
        vendor.remedies.get(name).cloned().unwrap_or_else(|| {
            "switch it on with the vendor's tool (a FIPS mode or a partition policy often hides it), or use keys of \
             another kind"
                .to_owned()
        })
    };
    let algorithms = subject.algorithms();
    let mut missing = false;
    for algorithm in &algorithms {
        let (make, sign) = needed(*algorithm);
        if !sign.iter().any(|name| has(name)) {
            missing = true;
            report.fail(
                "mechanisms",
                about,
                format!("has neither {} nor {}, with one of which {algorithm} keys sign", sign[0], sign[1]),
                remedy(sign[0]),
            );
        }
        if !has(make) {
            missing = true;
            let finding = format!("lacks {make}, which makes {algorithm} keys");
            // A signer doesn't make any.
            if subject.keys.is_empty() {
                report.fail("mechanisms", about, finding, remedy(make));
            } else {
                report.warn("mechanisms", about, finding, remedy(make));
            }
        }
    }
    if !missing {
        let kinds: Vec<String> = algorithms.iter().map(ToString::to_string).collect();
        report.fine("mechanisms", about, format!("{} in all, with those for {}", found.len(), list(&kinds)));
    }
    let unexpected: Vec<String> = vendor.mechanisms.shown.iter().filter(|name| !has(name)).cloned().collect();
    if !unexpected.is_empty() {
        report.warn(
            "mechanisms",
            about,
            format!("lacks {}, which tokens of profile {:?} show", list(&unexpected), vendor.name),
            remedy(&unexpected[0]),
        );
    }
}

/// The mechanism that makes such keys, and those of which one signs with them.
fn needed(algorithm: KeyAlgorithm) -> (&'static str, [&'static str; 2]) {
    match algorithm {
        KeyAlgorithm::P256 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA256"]),
        KeyAlgorithm::P384 => ("CKM_EC_KEY_PAIR_GEN", ["CKM_ECDSA", "CKM_ECDSA_SHA384"]),
        KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            ("CKM_RSA_PKCS_KEY_PAIR_GEN", ["CKM_RSA_PKCS", "CKM_SHA256_RSA_PKCS"])
        }
    }
}
