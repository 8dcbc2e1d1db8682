//! Where the TPM is, in the spelling of tpm2-tss' TCTI names; on Windows it is `platform`.

use std::{env, fmt, path::PathBuf, str::FromStr};

/// The variable that the TPM's other tools read as well.
const VARIABLE: &str = "TPM2TOOLS_TCTI";
/// Linux' device with a resource manager.
const DEVICE: &str = "/dev/tpmrm0";

/// A TPM's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A device, usually `/dev/tpmrm0`, behind the kernel's resource manager.
    Device(PathBuf),
    /// Another TCTI of tpm2-tss: `swtpm:…`, `mssim:…` or `tabrmd:…`.
    Tcti(String),
    /// The TPM of Windows, behind its Platform Crypto Provider.
    Platform,
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is neither a device's absolute path nor device:…, swtpm:…, mssim:…, tabrmd:… or platform")]
pub struct BadAddress(String);

impl Address {
    /// What `TPM2TOOLS_TCTI` says.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn of_environment() -> Result<Option<Self>, BadAddress> {
        env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()
    }
}

impl Default for Address {
    fn default() -> Self {
        if cfg!(windows) { Self::Platform } else { Self::Device(PathBuf::from(DEVICE)) }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if text.starts_with('/') {
            return Ok(Self::Device(PathBuf::from(text)));
        }
        match text.split_once(':').unwrap_or((text, "")) {
            ("device", "") => Ok(Self::Device(PathBuf::from(DEVICE))),
            ("platform", "") => Ok(Self::Platform),
            ("device", path) if path.starts_with('/') => Ok(Self::Device(PathBuf::from(path))),
            ("swtpm" | "mssim" | "tabrmd", _) => Ok(Self::Tcti(text.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => path.display().fmt(f),
            Self::Tcti(name) => f.write_str(name),
            Self::Platform => f.write_str("platform"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, shown) in [
            ("/dev/tpm0", "/dev/tpm0"),
            ("device", "/dev/tpmrm0"),
            ("device:/dev/tpmrm1", "/dev/tpmrm1"),
            ("platform", "platform"),
            ("swtpm:host=127.0.0.1,port=2321", "swtpm:host=127.0.0.1,port=2321"),
        ] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(shown.to_owned()));
        }
        for bad in ["", "tpm0", "device:tpm0", "pcap:x"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} was taken");
        }
    }
}
