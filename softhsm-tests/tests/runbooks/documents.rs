//! Links lead somewhere, and the CP/CPS has every section of RFC 3647 and names nothing that isn't there.

use std::{collections::BTreeSet, fs, path::PathBuf};

use super::root;

/// Folders of documents.
const FOLDERS: [&str; 4] = ["", "hsm-config/docs", "ca/docs", "ca/docs/decisions"];
/// RFC 3647, 6: chapters and their sections.
const SECTIONS: [usize; 9] = [6, 4, 4, 12, 8, 8, 3, 0, 17];
/// What the abbreviations in its paths stand for.
const PLACES: [(&str, &str); 4] = [
    ("d/", "ca/core/src/domain/"),
    ("app/", "ca/core/src/app/"),
    ("hsm/", "hsm-config/src/"),
    ("st/", "softhsm-tests/tests/"),
];

fn documents() -> Vec<PathBuf> {
    let files = FOLDERS.iter().flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"));
    let paths = files.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn links_lead_to_files() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in
            targets.filter(|target| !target.contains("://") && !target.contains(char::is_whitespace))
        {
            let file = target.split('#').next().unwrap_or_default();
            let path = document.parent().expect("a folder").join(file);
            assert!(file.is_empty() || path.exists(), "{}: {target} isn't there", document.display());
        }
    }
}

#[test]
fn the_practice_statement_has_every_section_and_names_what_exists() {
    let text = fs::read_to_string(root().join("ca/docs/cp-cps.md")).expect("the statement");
    let headings: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')?.split(' ').next())
        .collect();
    for (chapter, sections) in SECTIONS.iter().enumerate() {
        let chapter = chapter + 1;
        assert!(headings.contains(format!("{chapter}.").as_str()), "chapter {chapter} is missing");
        for section in 1..=*sections {
            assert!(
                headings.contains(format!("{chapter}.{section}").as_str()),
                "{chapter}.{section} is missing"
            );
        }
    }
    for name in text.split('`').skip(1).step_by(2) {
        let Some((short, long)) = PLACES.iter().find(|(short, _)| name.starts_with(short)) else { continue };
        let path = root().join(long).join(&name[short.len()..]);
        assert!(
            path.exists() || path.with_extension("rs").exists() || short.len() == name.len(),
            "the statement names {name}, which isn't there"
        );
    }
}
