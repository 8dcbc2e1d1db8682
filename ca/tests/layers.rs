//! The floors of this crate: a module names those below it and no other, so there is no circle among them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From the ground up.
const FLOORS: [&str; 14] = [
    "mail",
    "config",
    "telemetry",
    "logging",
    "metrics",
    "material",
    "calendar",
    "responders",
    "readiness",
    "adapters",
    "http",
    "jobs",
    "wiring",
    "cli",
];

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

/// The module of this crate that a path begins with.
fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// What follows `crate::`: a name, or names in braces.
fn names(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else { return vec![first_name(rest)] };
    let (mut depth, mut start, mut found) = (1_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            found.push(first_name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn a_module_names_only_those_below_it() {
    let floor = |name: &str| FLOORS.iter().position(|floor| *floor == name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut upward = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("a source of this crate");
        let module = inside.iter().next().and_then(|name| name.to_str()).expect("a name");
        let module = module.trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let own = floor(module).unwrap_or_else(|| panic!("{module} stands on no floor; give it one"));
        let text = fs::read_to_string(&file).expect("a source file");
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let code = code.join("\n");
        // Tests may look at everything.
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (at, word) in code.match_indices("crate::") {
            for name in names(&code[at + word.len()..]) {
                if floor(name).is_some_and(|other| other > own) {
                    upward.push(format!("{} names {name}", inside.display()));
                }
            }
        }
    }
    assert_eq!(upward, [""; 0]);
}
