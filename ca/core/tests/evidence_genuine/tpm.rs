//! TPMs, against their makers' roots and intermediates.

use std::path::Path;

use crate::index::{evidence, rows};

/// The columns of the table of endorsement certificates.
const ENDORSEMENT: [&str; 4] = ["file", "device", "key", "expected verdict"];

#[test]
fn every_listed_endorsement_certificate_is_there() {
    let Some(folder) = evidence() else { return };
    for row in rows(&folder, &ENDORSEMENT) {
        let file = folder.join("tpm").join(row.cell("file"));
        assert!(Path::is_file(&file), "{}", file.display());
    }
}
