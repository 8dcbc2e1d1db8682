//! What commands print: readable lines, or one JSON document with `--json`.

use std::io::{self, Write};

use serde::Serialize;

use super::exit::CliError;

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints a result.
    pub(super) fn result<T: Serialize>(
        self,
        value: &T,
        readable: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            readable(&mut out)?;
        }
        Ok(out.flush()?)
    }

    /// Prints why it didn't work, with every cause, on standard error.
    pub(super) fn error(self, error: &CliError) {
        let mut err = io::stderr().lock();
        let causes: Vec<String> = error.error.chain().map(ToString::to_string).collect();
        // There is nobody left to tell when standard error is gone.
        let _ = if self.json {
            let document = serde_json::json!({ "error": causes.join(": "), "exit_code": error.exit as u8 });
            writeln!(err, "{document}")
        } else {
            writeln!(err, "inro-ca: {}", causes.join(": "))
        };
    }

    /// Says on standard error how far a long thing is, where a person watches.
    pub(super) fn progress(self, step: &str) {
        if !self.json {
            let _ = writeln!(io::stderr().lock(), "{step}");
        }
    }
}

/// Left-aligned columns, two blanks apart; the first row is the heading.
pub(super) fn table(out: &mut dyn Write, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Lines of `name: value`, values aligned.
pub(super) fn facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    let rows: Vec<Vec<String>> =
        facts.iter().map(|(name, value)| vec![format!("{name}:"), value.clone()]).collect();
    table(out, &rows)
}
