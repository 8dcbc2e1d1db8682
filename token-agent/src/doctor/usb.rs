//! Card readers and tokens that the kernel sees on USB, whether or not the smart-card service does.

use std::{
    fs,
    path::{Path, PathBuf},
};

const DEVICES: &str = "/sys/bus/usb/devices";
/// USB class for chip cards and their readers (USB-IF, CCID 1.1).
const CHIP_CARD: &str = "0b";

/// Their makers' names for them.
pub(super) fn card_readers() -> Vec<String> {
    card_readers_below(Path::new(DEVICES))
}

fn card_readers_below(devices: &Path) -> Vec<String> {
    let interfaces: Vec<PathBuf> = match fs::read_dir(devices) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        // Not every machine has USB, nor every container its files.
        Err(_) => return Vec::new(),
    };
    let text = |path: PathBuf| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let is_reader = |path: &PathBuf| text(path.join("bInterfaceClass")).as_deref() == Some(CHIP_CARD);
    let mut names: Vec<String> = interfaces
        .iter()
        .filter(|path| is_reader(path))
        .filter_map(|path| {
            // `1-2:1.1` is an interface of the device `1-2`.
            let device = path.file_name()?.to_str()?.split(':').next()?;
            text(devices.join(device).join("product")).or_else(|| Some(device.to_owned()))
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_for_chip_cards_are_found_with_their_device_s_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        file("1-2/product", "YubiKey OTP+FIDO+CCID\n");
        file("1-2:1.0/bInterfaceClass", "03\n");
        file("1-2:1.2/bInterfaceClass", "0b\n");
        file("1-4:1.0/bInterfaceClass", "08\n");
        assert_eq!(card_readers_below(folder.path()), ["YubiKey OTP+FIDO+CCID"]);
        assert!(card_readers_below(&folder.path().join("none")).is_empty());
    }
}
