//! Versions of the agent.

use std::fmt;

/// `major.minor.patch`, compared number by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u64; 3]);

impl Version {
    /// This agent's.
    pub(crate) const OWN: &str = env!("CARGO_PKG_VERSION");

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        });
        let version = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self(version))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let version = |text| Version::parse(text).expect("a version");
        assert!(version("0.10.0") > version("0.9.9"));
        assert!(version("1.0.0") > version("0.99.99"));
        for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "+1.2.3", "1..3", "1.2.3-rc1"] {
            assert_eq!(Version::parse(bad), None, "{bad:?} was taken");
        }
        assert!(Version::parse(Version::OWN).is_some());
    }
}
