//! What is wrong with where a PIN comes from, a custody set among the sources, without asking anybody.

use super::Document;
use crate::{
    error_text::chain,
    token::{PinKind, PinMistake, PinSource, PinSourceError, TokenSelection},
};

impl PinSource {
    /// What a look at this machine finds wrong, without asking anybody: key, problem and remedy.
    pub fn mistake(&self) -> Option<PinMistake> {
        match self {
            Self::File(_) => match self.read() {
                Err(PinSourceError::File(error)) => Some(PinMistake {
                    key: "pin_file",
                    problem: error.problem(),
                    remedy: error.fault.remedy(),
                }),
                _ => None,
            },
            // They are there only while the service runs.
            Self::Credential(_) | Self::ProtectedPath => None,
            Self::Custody(folder) => match Document::read(folder) {
                Ok(_) => None,
                Err(error) => Some(PinMistake {
                    key: "pin_custody",
                    problem: chain(&error),
                    remedy: "mend that; or correct the path, or make the set with `inro-hsm custody create`",
                }),
            },
        }
    }

    /// [`mistake`](Self::mistake), and whether a custody set keeps this PIN of this token, which may be known by several
    /// things: another's would cost a try.
    pub fn mistake_for(&self, token: &[TokenSelection], kind: PinKind) -> Option<PinMistake> {
        if let Some(mistake) = self.mistake() {
            return Some(mistake);
        }
        let Self::Custody(folder) = self else { return None };
        // It could be read just now.
        let document = Document::read(folder).ok()?;
        let others: Result<Vec<_>, ()> =
            token.iter().map(|token| document.is_for(token, kind).err().ok_or(())).collect();
        let other = others.ok()?.into_iter().next()?;
        Some(PinMistake {
            key: "pin_custody",
            problem: format!("in {} {other}", folder.display()),
            remedy: "name the folder of the set that keeps this PIN, and name the token as that set does, by label or \
                     by serial number",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_isn_t_there_is_a_mistake() {
        let source = PinSource::Custody("/etc/inro/set".into());
        assert_eq!(source.mistake().expect("no set").key, "pin_custody");
        let mistake = PinSource::File("/nowhere/pin".into()).mistake().expect("no file");
        assert_eq!(
            mistake.problem,
            "PIN file \"/nowhere/pin\" can't be read (No such file or directory (os error 2))"
        );
        assert!(mistake.remedy.contains("create it"), "said once, by whoever tells both");
    }
}
