//! The folder of evidence and the tables of its `INDEX.md`, by the names of their columns.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use der::Document;
use jiff::Timestamp;

/// The folder of evidence; says so and returns `None` when there is none.
pub(crate) fn evidence() -> Option<PathBuf> {
    let folder = std::env::var_os("INRO_EVIDENCE_DIR").map(PathBuf::from);
    if folder.is_none() {
        use io::Write;
        let _ =
            writeln!(io::stderr().lock(), "skipped: INRO_EVIDENCE_DIR names no folder of genuine evidence");
    }
    folder
}

/// When the folder's verdicts were found.
pub(crate) fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().expect("a timestamp")
}

/// All PEM blocks of a file, as DER.
pub(crate) fn pem(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let blocks = text.split_inclusive('\n').fold(vec![String::new()], |mut blocks, line| {
        let open = blocks.last_mut().expect("a block");
        if line.starts_with("-----BEGIN") || !open.is_empty() {
            open.push_str(line);
        }
        if line.starts_with("-----END CERTIFICATE") {
            blocks.push(String::new());
        }
        blocks
    });
    let whole = blocks.into_iter().filter(|block| !block.trim().is_empty());
    whole.map(|block| Document::from_pem(block.trim()).expect("PEM").1.as_bytes().to_vec()).collect()
}

/// A row of a table: each cell by the name of its column, as it is written there.
#[derive(Clone, Debug)]
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    /// The cell in this column; `-` in the document is nothing here.
    pub(crate) fn cell(&self, column: &str) -> &str {
        let cell = self.0.get(column).unwrap_or_else(|| panic!("no column {column:?} in {self:?}"));
        if cell == "-" { "" } else { cell }
    }

    /// The parts of a cell such as `5.7.4 / 33064031 / 9a`; `-` is nothing.
    pub(crate) fn parts<const N: usize>(&self, column: &str) -> [Option<&str>; N] {
        let parts: Vec<Option<&str>> = match self.cell(column) {
            "" => vec![None; N],
            cell => cell.split(" / ").map(str::trim).map(|part| (part != "-").then_some(part)).collect(),
        };
        parts.try_into().unwrap_or_else(|parts| panic!("{column:?} is {parts:?}"))
    }
}

/// The rows of every table of `INDEX.md` that has all of these columns.
pub(crate) fn rows(folder: &Path, columns: &[&str]) -> Vec<Row> {
    let text = fs::read_to_string(folder.join("INDEX.md")).expect("INDEX.md");
    let rows = tables(&text).into_iter().filter(|row| columns.iter().all(|name| row.0.contains_key(*name)));
    let rows: Vec<Row> = rows.collect();
    assert!(!rows.is_empty(), "INDEX.md has no table with the columns {columns:?}");
    rows
}

/// The rows of all tables. Columns are set apart by bars with spaces: a cell may have bars of its own.
fn tables(text: &str) -> Vec<Row> {
    let mut head: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines().map(str::trim) {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
        let cells: Vec<&str> = cells.into_iter().flat_map(|line| line.split(" | ")).map(str::trim).collect();
        if !line.starts_with('|') {
            head.clear();
        } else if head.is_empty() {
            head = cells;
        } else if !line.starts_with("|-") {
            assert_eq!(cells.len(), head.len(), "a row of INDEX.md has other cells than its head: {line}");
            rows.push(Row(head.iter().zip(cells).map(|(k, v)| ((*k).to_owned(), v.to_owned())).collect()));
        }
    }
    rows
}
