//! What is to go wrong, and at which call.

use serde::{Deserialize, Serialize};

use crate::{code::Code, functions::Function};

/// Something that goes wrong at calls of one function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// At calls of this function. A question for a signature's length is no call of `C_Sign`.
    function: Function,
    action: Action,
    /// How many calls; until it is cleared when not given.
    #[serde(default)]
    times: Option<u64>,
    /// With which probability each call.
    #[serde(default = "always")]
    probability: f64,
    /// Whether the real module does its work first: what it answered is lost then.
    #[serde(default)]
    done: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// The call returns this.
    Return(Code),
    /// The call takes so many milliseconds longer, or until the fault is cleared.
    Hang(Option<u64>),
    /// The process dies of a signal.
    Segfault,
    /// The process aborts.
    Abort,
    /// A bit of the signature is wrong. Only for `C_Sign` and `C_SignFinal`.
    CorruptSignature,
    /// The private key with this `CKA_ID`, hexadecimal, signs instead. Only for `C_SignInit`.
    OtherKey(String),
}

/// A fault at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Struck {
    pub(crate) action: Action,
    /// Whether the real module does its work first.
    pub(crate) done: bool,
}

impl Fault {
    /// Refuses what would never do anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let fits = match &self.action {
            Action::CorruptSignature => matches!(self.function, Function::C_Sign | Function::C_SignFinal),
            Action::OtherKey(id) => self.function == Function::C_SignInit && hex::decode(id).is_ok(),
            Action::Return(_) | Action::Hang(_) | Action::Segfault | Action::Abort => true,
        };
        if !fits {
            return Err(format!("{:?} can't happen at {}", self.action, self.function.name()));
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(format!("{} is no probability", self.probability));
        }
        Ok(())
    }
}

/// All faults that are pending.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one, after those that are there.
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Whether any is for this function.
    pub(crate) fn concern(&self, function: Function) -> bool {
        self.0.iter().any(|fault| fault.function == function)
    }

    /// The first that strikes a call of this function, which uses it up by one.
    pub(crate) fn strike(&mut self, function: Function, mut chance: impl FnMut() -> f64) -> Option<Struck> {
        let strikes = |fault: &Fault| fault.function == function && chance() < fault.probability;
        let place = self.0.iter().position(strikes)?;
        let fault = &mut self.0[place];
        let struck = Struck { action: fault.action.clone(), done: fault.done };
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(place);
            }
        }
        Some(struck)
    }
}

fn always() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).expect("as documented")
    }

    #[test]
    fn a_fault_strikes_its_function_so_many_times() {
        let mut faults = Faults::default();
        faults.add(fault(r#"{"function":"C_Sign","action":{"return":"CKR_DEVICE_ERROR"},"times":2}"#));
        faults.add(fault(r#"{"function":"C_Sign","action":"segfault","probability":0.5,"done":true}"#));
        assert!(faults.concern(Function::C_Sign) && !faults.concern(Function::C_Login));
        assert_eq!(faults.strike(Function::C_Login, || 0.0), None);
        let device_error = Action::Return(Code(cryptoki_sys::CKR_DEVICE_ERROR));
        for _ in 0..2 {
            let struck = faults.strike(Function::C_Sign, || 0.9);
            assert_eq!(struck, Some(Struck { action: device_error.clone(), done: false }));
        }
        assert_eq!(faults.strike(Function::C_Sign, || 0.9), None);
        for _ in 0..3 {
            let struck = faults.strike(Function::C_Sign, || 0.4);
            assert_eq!(struck, Some(Struck { action: Action::Segfault, done: true }));
        }
    }

    #[test]
    fn what_could_never_happen_is_refused() {
        for senseless in [
            r#"{"function":"C_Login","action":"corrupt_signature"}"#,
            r#"{"function":"C_Sign","action":{"other_key":"21"}}"#,
            r#"{"function":"C_SignInit","action":{"other_key":"x"}}"#,
            r#"{"function":"C_Sign","action":{"hang":null},"probability":2.0}"#,
        ] {
            assert!(fault(senseless).check().is_err(), "{senseless}");
        }
        assert!(fault(r#"{"function":"C_SignInit","action":{"other_key":"21"}}"#).check().is_ok());
        assert!(serde_json::from_str::<Fault>(r#"{"function":"C_Nothing","action":"abort"}"#).is_err());
    }
}
