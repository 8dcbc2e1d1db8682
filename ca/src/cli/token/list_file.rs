//! A vendor's list of tokens. Vendors agree on nothing: the column is found by its heading, or because it is the only one
//! that holds serial numbers.

use std::{fmt::Write, path::Path};

use ca_core::{
    app::inventory::{Line, MAX_LISTED},
    domain::{
        device::{Device, DeviceKind},
        ids::TokenSerial,
        policy::ListedToken,
    },
};

/// The largest list, in octets.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Bad lines that are named.
const NAMED_LINES: usize = 50;

const SERIAL_HEADINGS: [&str; 13] = [
    "serial",
    "serial number",
    "serial numbers",
    "serialnumber",
    "serial no",
    "serial no.",
    "s/n",
    "sn",
    "device serial",
    "device serial number",
    "token serial",
    "シリアル番号",
    "製造番号",
];
const EK_HEADINGS: [&str; 6] =
    ["ek sha256", "ek sha 256", "ek hash", "ek public key hash", "ek public sha256", "endorsement key hash"];
const MODEL_HEADINGS: [&str; 7] =
    ["model", "product", "product name", "description", "part number", "型番", "品名"];

/// Why a list can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error("it can't be read")]
    Unreadable(#[source] std::io::Error),
    #[error("it has {found} octets; lists have at most {MAX_BYTES}: split it")]
    TooLarge { found: u64 },
    #[error("it isn't UTF-8 from octet {place} on; save it as \"CSV UTF-8\"")]
    NotUtf8 { place: usize },
    #[error("line {line} can't be read as CSV")]
    NotCsv {
        line: u64,
        #[source]
        source: csv::Error,
    },
    #[error(
        "no column is known to hold serial numbers; name it \"serial\" in the first line, or leave only that column"
    )]
    NoColumn,
    #[error("the columns {} and {} could both hold serial numbers; name the right one \"serial\" in the first line", .0 + 1, .1 + 1)]
    Ambiguous(usize, usize),
    #[error("it has more than {MAX_LISTED} lines; split it")]
    TooLong,
    #[error("{} lines have no serial number of the kind {}:{}", .bad.len(), kind.as_str(), named(bad, *kind))]
    BadLines { kind: DeviceKind, bad: Vec<(usize, String)> },
}

/// Where things stand in a list.
struct Columns {
    serial: usize,
    model: Option<usize>,
    kind: DeviceKind,
}

/// Reads a list. `kind` and `model` are what the operator says of all its tokens.
///
/// # Errors
/// [`ListError`], with every bad line.
pub(super) fn read(
    file: &Path,
    kind: Option<DeviceKind>,
    model: Option<&str>,
) -> Result<Vec<Line>, ListError> {
    let length = std::fs::metadata(file).map_err(ListError::Unreadable)?.len();
    if length > MAX_BYTES {
        return Err(ListError::TooLarge { found: length });
    }
    parse(&std::fs::read(file).map_err(ListError::Unreadable)?, kind, model)
}

fn parse(octets: &[u8], kind: Option<DeviceKind>, model: Option<&str>) -> Result<Vec<Line>, ListError> {
    let text =
        std::str::from_utf8(octets).map_err(|error| ListError::NotUtf8 { place: error.valid_up_to() })?;
    let text = text.trim_start_matches('\u{feff}');
    let rows = rows(text)?;
    let Some((_, first)) = rows.first() else { return Ok(Vec::new()) };
    let (columns, body) = match heading(first, kind) {
        Some(columns) => (columns, &rows[1..]),
        None => (only_column(&rows, kind.unwrap_or(DeviceKind::YubiKeyPiv))?, &rows[..]),
    };
    let (mut lines, mut bad) = (Vec::with_capacity(body.len()), Vec::new());
    for (number, row) in body {
        let cell = |column: usize| row.get(column).map_or("", String::as_str);
        match serial(columns.kind, cell(columns.serial)) {
            None => bad.push((*number, cell(columns.serial).to_owned())),
            Some(serial) => {
                let listed = columns.model.map(cell).filter(|text| !text.is_empty()).or(model);
                let model = listed.map(|text| text.chars().filter(|c| !c.is_control()).take(64).collect());
                let device = Device { kind: columns.kind, serial };
                lines.push(Line { number: *number, token: ListedToken { device, model } });
            }
        }
    }
    if bad.is_empty() { Ok(lines) } else { Err(ListError::BadLines { kind: columns.kind, bad }) }
}

/// The rows that aren't blank, with their lines' numbers and trimmed cells.
fn rows(text: &str) -> Result<Vec<(usize, Vec<String>)>, ListError> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(text))
        .from_reader(text.as_bytes());
    let (mut rows, mut line, mut counted) = (Vec::new(), 1, 0);
    for record in reader.records() {
        let record = record.map_err(|source| ListError::NotCsv {
            line: source.position().map_or(0, csv::Position::line),
            source,
        })?;
        let cells: Vec<String> = record.iter().map(|cell| cell.trim().to_owned()).collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if rows.len() > MAX_LISTED {
            return Err(ListError::TooLong);
        }
        // The reader counts lines by what it has consumed, which may leave the ends of lines before this one.
        let begins = record.position().map_or(0, |place| usize::try_from(place.byte()).unwrap_or(text.len()));
        let blank = text[begins..].bytes().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        line += text[counted..begins + blank].matches('\n').count();
        counted = begins + blank;
        rows.push((line, cells));
    }
    Ok(rows)
}

/// What the first line has most of.
fn delimiter(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| first.bytes().filter(|octet| octet == delimiter).count();
    [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|delimiter| (count(delimiter), *delimiter == b','))
        .unwrap_or(b',')
}

/// The columns, when the row is a heading.
fn heading(row: &[String], kind: Option<DeviceKind>) -> Option<Columns> {
    let plain = |cell: &String| cell.to_lowercase().replace(['_', '-'], " ");
    let names: Vec<String> = row.iter().map(plain).collect();
    let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    let model = find(&MODEL_HEADINGS);
    let of_tpms = find(&EK_HEADINGS).map(|column| (column, DeviceKind::Tpm));
    let of_tokens = find(&SERIAL_HEADINGS).map(|column| (column, kind.unwrap_or(DeviceKind::YubiKeyPiv)));
    let (serial, kind) = match kind {
        Some(DeviceKind::Tpm) | None => of_tpms.or(of_tokens)?,
        Some(_) => of_tokens?,
    };
    Some(Columns { serial, model, kind })
}

/// The one column of which every cell is a serial number.
fn only_column(rows: &[(usize, Vec<String>)], kind: DeviceKind) -> Result<Columns, ListError> {
    let width = rows.iter().map(|(_, row)| row.len()).max().unwrap_or(0);
    if width == 1 {
        return Ok(Columns { serial: 0, model: None, kind });
    }
    let holds_serials = |column: &usize| {
        rows.iter().all(|(_, row)| row.get(*column).is_some_and(|cell| serial(kind, cell).is_some()))
    };
    let mut found = (0..width).filter(holds_serials);
    match (found.next(), found.next()) {
        (None, _) => Err(ListError::NoColumn),
        (Some(serial), None) => Ok(Columns { serial, model: None, kind }),
        (Some(one), Some(other)) => Err(ListError::Ambiguous(one, other)),
    }
}

/// A serial number as devices of this kind have it.
fn serial(kind: DeviceKind, cell: &str) -> Option<TokenSerial> {
    match kind {
        DeviceKind::YubiKeyPiv => {
            cell.parse::<u32>().ok().filter(|number| number.to_string() == cell)?;
            TokenSerial::parse(cell).ok()
        }
        DeviceKind::Tpm => {
            let hash: String =
                cell.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_lowercase();
            let is_hash = hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if is_hash { TokenSerial::parse(&hash).ok() } else { None }
        }
        DeviceKind::Piv | DeviceKind::Pkcs11 => TokenSerial::parse(cell).ok(),
    }
}

fn named(bad: &[(usize, String)], kind: DeviceKind) -> String {
    let mut text = String::new();
    for (number, cell) in bad.iter().take(NAMED_LINES) {
        let shown: String = cell.chars().take(80).collect();
        // Writing to a String can't fail.
        let _ = write!(text, "\n  line {number}: {shown:?}");
    }
    if bad.len() > NAMED_LINES {
        let _ = write!(text, "\n  and {} more", bad.len() - NAMED_LINES);
    }
    text.push_str(match kind {
        DeviceKind::YubiKeyPiv => "\nA YubiKey's is the decimal number printed on it, without leading zeros.",
        DeviceKind::Tpm => {
            "\nA TPM's is SHA-256 of its endorsement key's SubjectPublicKeyInfo, 64 hexadecimal digits."
        }
        DeviceKind::Piv | DeviceKind::Pkcs11 => "\nIt has 1 to 64 letters, digits, '-' and ':'.",
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serials(text: &str) -> Vec<(usize, String)> {
        let lines = parse(text.as_bytes(), None, None).expect(text);
        lines.into_iter().map(|line| (line.number, line.token.device.serial.to_string())).collect()
    }

    fn expected(lines: &[(usize, &str)]) -> Vec<(usize, String)> {
        lines.iter().map(|(number, serial)| (*number, (*serial).to_owned())).collect()
    }

    #[test]
    fn the_column_is_found_by_its_heading_or_because_there_is_no_other() {
        let both = expected(&[(2, "33064031"), (3, "33064032")]);
        assert_eq!(serials("Order,Serial Number,Product\nA1,33064031,5C NFC\nA1,33064032,5C NFC\n"), both);
        assert_eq!(serials("Model;Serial_Number\r\n5C;33064031\r\n5C;33064032"), both);
        assert_eq!(serials("\u{feff}品名\tシリアル番号\n\"5C\"\t33064031\n5C\t 33064032 \n"), both);
        assert_eq!(serials("33064031\n\n33064032\n"), expected(&[(1, "33064031"), (3, "33064032")]));
        assert_eq!(
            serials("YubiKey 5C,33064031\nYubiKey 5C,33064032\n"),
            expected(&[(1, "33064031"), (2, "33064032")])
        );
        assert_eq!(serials(""), []);
    }

    #[test]
    fn models_come_from_their_column_or_from_the_operator() {
        let models = |text: &str, model| {
            let lines = parse(text.as_bytes(), None, model).expect(text);
            lines.into_iter().map(|line| line.token.model).collect::<Vec<_>>()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(models("serial,model\n1,5C\n2,\n", Some("5A")), [some("5C"), some("5A")]);
        assert_eq!(models("1\n2\n", None), [None, None]);
    }

    #[test]
    fn endorsement_keys_are_hashes() {
        let hash = format!("{:0>64}", "ab12");
        let text = format!("Machine,EK SHA256\npc-1,{}\n", hash.to_uppercase());
        let lines = parse(text.as_bytes(), None, None).expect("a list of TPMs");
        assert_eq!(lines[0].token.device.kind, DeviceKind::Tpm);
        assert_eq!(lines[0].token.device.serial.as_str(), hash);
        let short = parse(b"ek hash\nab12\n", None, None);
        assert!(matches!(short, Err(ListError::BadLines { kind: DeviceKind::Tpm, .. })), "{short:?}");
    }

    #[test]
    fn every_bad_line_is_named_and_nothing_is_guessed() {
        let refused = parse(b"serial\n12\n012\n4294967296\n12a\n\n13\n", None, None);
        let Err(ListError::BadLines { bad, .. }) = &refused else { panic!("{refused:?}") };
        let lines: Vec<usize> = bad.iter().map(|(number, _)| *number).collect();
        assert_eq!(lines, [3, 4, 5]);
        let message = refused.expect_err("refused").to_string();
        assert!(message.contains("line 3: \"012\"") && message.contains("leading zeros"), "{message}");

        for (text, expected) in [
            (&b"1,2\n3,4\n"[..], "columns 1 and 2"),
            (b"a,b\nc,d\n", "no column"),
            (b"serial\n\xff\xfe\n", "UTF-8"),
        ] {
            let message = parse(text, None, None).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
        let long = "1\n".repeat(MAX_LISTED + 2);
        assert!(matches!(parse(long.as_bytes(), None, None), Err(ListError::TooLong)));
    }
}
