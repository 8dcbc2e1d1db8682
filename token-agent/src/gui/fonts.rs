//! The system's own font for Japanese, found by its file's name. Nothing is bundled: each system that these customers
//! have comes with one, and its licence stays its own.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use eframe::egui::{FontData, FontDefinitions, FontFamily};

/// No font was found.
#[derive(Debug, thiserror::Error)]
#[error("no font was found in {}", .0.join(", "))]
pub(crate) struct NoFont(Vec<String>);

/// File names in the order of preference, with the face in a collection that is Japanese.
const JAPANESE: [(&str, u32); 16] = [
    ("YuGothM.ttc", 0),
    ("YuGothR.ttc", 0),
    ("meiryo.ttc", 0),
    ("msgothic.ttc", 0),
    ("NotoSansCJK-Regular.ttc", 0),
    ("NotoSansCJKjp-Regular.otf", 0),
    ("NotoSansJP-Regular.otf", 0),
    ("NotoSansJP-Regular.ttf", 0),
    ("NotoSansJP-VF.otf", 0),
    ("NotoSansJP[wght].ttf", 0),
    ("BIZUDPGothic-Regular.ttf", 0),
    ("ipaexg.ttf", 0),
    ("ipagp.ttf", 0),
    ("TakaoPGothic.ttf", 0),
    ("VL-PGothic-Regular.ttf", 0),
    ("fonts-japanese-gothic.ttf", 0),
];

/// Where there is no Japanese font, English can still be read.
const LATIN: [(&str, u32); 6] = [
    ("segoeui.ttf", 0),
    ("DejaVuSans.ttf", 0),
    ("LiberationSans-Regular.ttf", 0),
    ("NotoSans-Regular.ttf", 0),
    ("Ubuntu-R.ttf", 0),
    ("arial.ttf", 0),
];

/// No system nests its fonts deeper.
const DEEPEST: usize = 6;

/// The fonts of this machine that the window draws with.
pub(super) fn of_system() -> Result<FontDefinitions, NoFont> {
    of_folders(&folders())
}

fn of_folders(folders: &[PathBuf]) -> Result<FontDefinitions, NoFont> {
    let mut found = BTreeMap::new();
    for folder in folders {
        collect(folder, DEEPEST, &mut found);
    }
    let first = |names: &[(&str, u32)]| names.iter().find_map(|(name, face)| load(found.get(*name)?, *face));
    let mut fonts = FontDefinitions::empty();
    for (name, font) in [("japanese", first(&JAPANESE)), ("latin", first(&LATIN))] {
        if let Some(font) = font {
            fonts.font_data.insert(name.to_owned(), Arc::new(font));
            for family in [FontFamily::Proportional, FontFamily::Monospace] {
                fonts.families.entry(family).or_default().push(name.to_owned());
            }
        }
    }
    if fonts.font_data.is_empty() {
        return Err(NoFont(folders.iter().map(|folder| folder.display().to_string()).collect()));
    }
    Ok(fonts)
}

fn folders() -> Vec<PathBuf> {
    let below = |variable: &str, path: &str| env::var_os(variable).map(|base| PathBuf::from(base).join(path));
    let own = if cfg!(windows) {
        vec![below("WINDIR", "Fonts"), below("LOCALAPPDATA", "Microsoft/Windows/Fonts")]
    } else {
        vec![
            Some(PathBuf::from("/usr/share/fonts")),
            Some(PathBuf::from("/usr/local/share/fonts")),
            below("XDG_DATA_HOME", "fonts").or_else(|| below("HOME", ".local/share/fonts")),
            below("HOME", ".fonts"),
        ]
    };
    own.into_iter().flatten().collect()
}

/// Every font file below a folder, by name; the first of a name counts.
fn collect(folder: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found);
            }
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            let name = known(name);
            found.entry(name).or_insert(path);
        }
    }
}

/// Windows' file names differ in case between its versions.
fn known(name: &str) -> String {
    let all = JAPANESE.iter().chain(&LATIN);
    let same = all.map(|(known, _)| *known).find(|known| known.eq_ignore_ascii_case(name));
    same.unwrap_or(name).to_owned()
}

fn load(path: &Path, face: u32) -> Option<FontData> {
    let mut font = FontData::from_owned(fs::read(path).ok()?);
    font.index = face;
    Some(font)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_font_is_found_whatever_its_case_and_depth() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("opentype/noto");
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("NotoSansCJK-Regular.ttc"), b"noto").expect("written");
        fs::write(folder.path().join("SEGOEUI.TTF"), b"segoe").expect("written");
        let fonts = of_folders(&[folder.path().to_owned()]).expect("fonts");
        assert_eq!(fonts.families[&FontFamily::Proportional], ["japanese", "latin"]);
        assert_eq!(fonts.font_data["japanese"].bytes(), b"noto");
        fs::write(folder.path().join("yugothm.ttc"), b"yu").expect("written");
        let fonts = of_folders(&[folder.path().to_owned()]).expect("fonts");
        assert_eq!(fonts.font_data["japanese"].bytes(), b"yu");
    }

    #[test]
    fn a_machine_without_fonts_is_told_where_they_were_looked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = of_folders(&[folder.path().to_owned()]).expect_err("no font");
        assert!(error.to_string().contains(&folder.path().display().to_string()));
    }
}
