//! The layers of this crate: `app` may use `ports` and `domain`, `ports` may use `domain`, `domain` nothing of the
//! world. Crate borders hold the rest.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every line of a layer's sources that mentions one of `words`, outside comments.
fn mentions(layer: &str, words: &[&str]) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(layer);
    let mut files = Vec::new();
    sources(&folder, &mut files);
    assert!(!files.is_empty(), "no sources in {}", folder.display());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| has_word(code, word)) {
                found.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    found
}

/// `word` not as part of a longer identifier.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

#[test]
fn domain_knows_neither_ports_nor_use_cases_nor_the_world() {
    let upward =
        ["crate::ports", "crate::app", "crate::testing", "super::ports", "super::app", "ports::", "app::"];
    assert_eq!(mentions("domain", &upward), [""; 0]);
    let world = [
        "async",
        "async_trait",
        "await",
        "tokio",
        "serde",
        "tracing",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "Zoned::now",
        "rand",
    ];
    let found: Vec<String> =
        mentions("domain", &world).into_iter().filter(|line| !line.contains("fixtures.rs")).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn ports_know_the_domain_and_no_use_cases() {
    assert_eq!(
        mentions("ports", &["crate::app", "crate::testing", "super::super::app", "tokio", "serde"]),
        [""; 0]
    );
}

#[test]
fn use_cases_know_no_runtime() {
    let found: Vec<String> = mentions("app", &["tokio", "sqlx", "axum", "serde", "cryptoki", "rustls"])
        .into_iter()
        .filter(|line| !line.contains("tokio::test"))
        .collect();
    assert_eq!(found, [""; 0]);
}
