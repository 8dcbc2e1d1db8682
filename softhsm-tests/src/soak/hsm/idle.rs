//! R6: the token was idle, and logged us out or ended our sessions behind our back.

use std::{path::Path, thread, time::Duration};

use anyhow::Result;

use super::{LANES, Ward};
use crate::{
    simulated_hsm::{Conduct, Idle, Loss},
    soak::{Outcome, Size},
};

pub(in crate::soak) fn run(directory: &Path, size: &Size) -> Result<Outcome> {
    let mut outcome = Outcome::new(
        "R6",
        "a token that was idle has logged us out or ended our sessions: the next request succeeds",
    );
    let ward = Ward::open(directory)?;
    let mut took = Vec::new();
    for round in 0..size.idle_spells {
        let loses = if round % 2 == 0 { Loss::Login } else { Loss::Sessions };
        let after_ms = u64::try_from(size.idle.as_millis())?;
        ward.hsm.conduct(&Conduct { idle: Some(Idle { after_ms, loses }), ..Conduct::PLAIN })?;
        let before = ward.hsm.status()?;
        // Nothing is awaited here but that time passes.
        thread::sleep(size.idle + Duration::from_millis(50));
        let order = ward.order()?;
        let answered = ward.ask(&order);
        let status = ward.hsm.status()?;
        outcome.check(status.logins > before.logins, || {
            format!("spell {round}: nobody had to log in again, so nothing was lost")
        });
        outcome.check(status.sessions.most <= u32::from(LANES), || format!("{:?}", status.sessions));
        match answered.result {
            Ok(signed) => {
                took.push(answered.took);
                outcome.check(ward.is_right(&order, &signed), || format!("spell {round}: a wrong signature"));
            }
            Err(error) => outcome.violations.push(format!("spell {round}, {loses:?}: {error}")),
        }
    }
    outcome.figure("spells", size.idle_spells);
    outcome.times("next_request", &took);
    Ok(outcome.ended())
}
