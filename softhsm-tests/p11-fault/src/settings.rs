//! What the simulated device is like at the moment.

use std::{
    env, fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// How the device behaves. What isn't given is as the real module does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Microseconds from the moment that the device takes up a signature to its end.
    pub(crate) latency_us: u64,
    /// Signatures that the device makes at once; others wait. `null` is no limit.
    pub(crate) lanes: Option<NonZeroUsize>,
}

impl Settings {
    /// What was last set over the control socket; else what the environment says.
    pub(crate) fn load(control: Option<&Path>) -> Result<Self, String> {
        if let Some(kept) = control.map(kept)
            && kept.exists()
        {
            let text = fs::read_to_string(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
            return serde_json::from_str(&text).map_err(|error| format!("{}: {error}", kept.display()));
        }
        match env::var("P11_FAULT_SETTINGS") {
            Ok(text) => serde_json::from_str(&text).map_err(|error| format!("P11_FAULT_SETTINGS: {error}")),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Keeps them for the next process that loads the module.
    pub(crate) fn keep(&self, control: &Path) -> io::Result<()> {
        let new = control.with_extension("settings.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, kept(control))
    }

    /// How long a signature takes at least.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.latency_us)
    }
}

fn kept(control: &Path) -> PathBuf {
    let mut name = control.as_os_str().to_owned();
    name.push(".settings");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_or_senseless_is_refused() {
        let read = |text| serde_json::from_str::<Settings>(text);
        let settings = read(r#"{"latency_us": 8000, "lanes": 16}"#).expect("as documented");
        assert_eq!((settings.latency(), settings.lanes), (Duration::from_millis(8), NonZeroUsize::new(16)));
        assert_eq!(read("{}").expect("all by default"), Settings::default());
        assert!(read(r#"{"latency": 8}"#).is_err() && read(r#"{"lanes": 0}"#).is_err());
    }
}
