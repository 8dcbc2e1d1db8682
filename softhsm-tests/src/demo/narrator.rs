//! Says each step in a line, with its time.

use std::{
    fmt,
    io::{self, Write},
    time::Instant,
};

use anyhow::{Context, Result};

/// Tells the steps to somebody, or to nobody.
pub struct Narrator {
    to: Box<dyn Write>,
    began: Instant,
    told: u32,
}

impl fmt::Debug for Narrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Narrator").field("told", &self.told).finish_non_exhaustive()
    }
}

impl Narrator {
    /// To standard output.
    pub fn aloud() -> Self {
        Self::to(Box::new(io::stdout()))
    }

    /// To nobody.
    pub fn silent() -> Self {
        Self::to(Box::new(io::sink()))
    }

    fn to(to: Box<dyn Write>) -> Self {
        Self { to, began: Instant::now(), told: 0 }
    }

    /// Does a step and says so: its number, seconds since the beginning, seconds that it took.
    ///
    /// # Errors
    /// The step's own error, with its name.
    pub fn step<T>(&mut self, what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        self.told += 1;
        let done = step().with_context(|| format!("step {} ({what})", self.told))?;
        let (at, took) = (self.began.elapsed().as_secs_f64(), began.elapsed().as_secs_f64());
        self.say(&format!("{:>2}  {at:6.1} s  {took:5.1} s  {what}", self.told))?;
        Ok(done)
    }

    /// Says a line.
    ///
    /// # Errors
    /// When nobody can be reached any more.
    pub fn say(&mut self, line: &str) -> Result<()> {
        writeln!(self.to, "{line}").and_then(|()| self.to.flush()).context("telling the story")
    }
}
