//! Kinds of ceremony: what each may contain. A specification that says less or more than its kind is a mistake, so that
//! nobody makes a root by the way of a CRL.

use serde::{Deserialize, Serialize};

use super::mistake::Mistakes;
use super::{Profile, Spec};

/// What a ceremony is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A new root with all that stands below it.
    #[default]
    NewAuthority,
    /// Keys and certification requests on the online host, for a root elsewhere.
    Request,
    /// The root signs authorities below it by their requests.
    SignRequests,
    /// Certificates come back to the online host: responders and first CRLs.
    Install,
    /// Issuing authorities get new certificates for the keys that they have.
    Renew,
    /// New issuing authorities, with new keys, below the root there is.
    RollIssuing,
    /// A new root takes over from the old: both certify each other.
    RollRoot,
    /// The root certifies an authority that somebody else operates.
    ExternalIntermediate,
    /// The root's next CRL.
    RootCrl,
    /// Certificates for staff, their keys on their own tokens.
    Staff,
    /// Keys are destroyed.
    Retire,
    /// Keys are copied to a second token.
    Backup,
    /// Keys are copied from the backup to a new token.
    Restore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    None,
    Any,
    Some,
    One,
}

impl Count {
    fn holds(self, count: usize) -> bool {
        match self {
            Self::None => count == 0,
            Self::Any => true,
            Self::Some => count > 0,
            Self::One => count == 1,
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::None => "remove it, or choose the kind that it belongs to",
            Self::Any => "",
            Self::Some => "add at least one",
            Self::One => "describe exactly one",
        }
    }
}

struct Rule {
    new_keys: Count,
    existing_roots: Count,
    new_roots: Count,
    /// What may be signed besides roots.
    issues: &'static [Profile],
    issued: Count,
    requests: Count,
    crls: Count,
    copies: Count,
    destructions: Count,
}

/// Nothing at all; kinds say what they add.
const NOTHING: Rule = Rule {
    new_keys: Count::None,
    existing_roots: Count::Any,
    new_roots: Count::None,
    issues: &[],
    issued: Count::None,
    requests: Count::None,
    crls: Count::None,
    copies: Count::None,
    destructions: Count::None,
};

impl Kind {
    /// All of them, by their names in a specification.
    pub const ALL: [(&'static str, Self); 13] = [
        ("new-authority", Self::NewAuthority),
        ("request", Self::Request),
        ("sign-requests", Self::SignRequests),
        ("install", Self::Install),
        ("renew", Self::Renew),
        ("roll-issuing", Self::RollIssuing),
        ("roll-root", Self::RollRoot),
        ("external-intermediate", Self::ExternalIntermediate),
        ("root-crl", Self::RootCrl),
        ("staff", Self::Staff),
        ("retire", Self::Retire),
        ("backup", Self::Backup),
        ("restore", Self::Restore),
    ];

    /// Its name in a specification.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    fn rule(self) -> Rule {
        use Profile as P;
        match self {
            Self::NewAuthority => Rule {
                new_keys: Count::Some,
                existing_roots: Count::None,
                new_roots: Count::One,
                issues: &[P::Issuing, P::StaffIssuing, P::OcspResponder],
                issued: Count::Any,
                crls: Count::Some,
                copies: Count::Any,
                ..NOTHING
            },
            Self::Request => {
                Rule { new_keys: Count::Some, requests: Count::Some, copies: Count::Any, ..NOTHING }
            }
            Self::SignRequests => Rule {
                existing_roots: Count::Any,
                new_roots: Count::Any,
                new_keys: Count::Any,
                issues: &[P::Issuing, P::StaffIssuing],
                issued: Count::Some,
                crls: Count::Any,
                ..NOTHING
            },
            Self::Install => Rule {
                new_keys: Count::Any,
                issues: &[P::OcspResponder],
                issued: Count::Any,
                crls: Count::Any,
                ..NOTHING
            },
            Self::Renew => Rule {
                existing_roots: Count::One,
                issues: &[P::Issuing, P::StaffIssuing],
                issued: Count::Some,
                crls: Count::Any,
                ..NOTHING
            },
            Self::RollIssuing => Rule {
                new_keys: Count::Some,
                existing_roots: Count::One,
                issues: &[P::Issuing, P::StaffIssuing, P::OcspResponder],
                issued: Count::Some,
                crls: Count::Some,
                copies: Count::Any,
                ..NOTHING
            },
            Self::RollRoot => Rule {
                new_keys: Count::Some,
                existing_roots: Count::One,
                new_roots: Count::One,
                issues: &[P::Link, P::Issuing, P::StaffIssuing],
                issued: Count::Some,
                crls: Count::Some,
                copies: Count::Any,
                ..NOTHING
            },
            Self::ExternalIntermediate => Rule {
                existing_roots: Count::One,
                issues: &[P::Intermediate],
                issued: Count::Some,
                crls: Count::Any,
                ..NOTHING
            },
            Self::RootCrl => Rule { existing_roots: Count::One, crls: Count::One, ..NOTHING },
            Self::Staff => Rule { issues: &[P::Administrator], issued: Count::Some, ..NOTHING },
            Self::Retire => Rule { crls: Count::Any, destructions: Count::Some, ..NOTHING },
            Self::Backup | Self::Restore => Rule { copies: Count::Some, ..NOTHING },
        }
    }

    /// Holds a specification to its kind.
    pub(in super::super) fn check(self, spec: &Spec, mistakes: &mut Mistakes) {
        let rule = self.rule();
        let root = |existing: bool| {
            let roots = spec.certificates.iter().filter(|certificate| certificate.profile == Profile::Root);
            roots.filter(|certificate| certificate.existing().is_some() == existing).count()
        };
        let below = spec
            .certificates
            .iter()
            .filter(|certificate| certificate.issued().is_some() && certificate.profile != Profile::Root);
        let counts = [
            ("key", "new keys", rule.new_keys, spec.keys.iter().filter(|key| key.is_new()).count()),
            ("certificate", "existing roots", rule.existing_roots, root(true)),
            ("certificate", "roots", rule.new_roots, root(false)),
            ("certificate", "certificates to sign below a root", rule.issued, below.clone().count()),
            ("request", "requests", rule.requests, spec.requests.len()),
            ("crl", "CRLs", rule.crls, spec.crls.len()),
            ("copy", "copies", rule.copies, spec.copies.len()),
            ("destroy", "keys to destroy", rule.destructions, spec.destructions.len()),
        ];
        for (section, what, wanted, count) in counts {
            if !wanted.holds(count) {
                let problem =
                    format!("has {count} {what}, which a ceremony of kind {:?} doesn't fit", self.name());
                mistakes.add(section, problem, wanted.remedy());
            }
        }
        for certificate in below.filter(|certificate| !rule.issues.contains(&certificate.profile)) {
            if rule.issued == Count::None {
                continue;
            }
            let names: Vec<&str> = rule.issues.iter().map(|profile| profile.name()).collect();
            mistakes.add(
                format!("certificate.{}.profile", certificate.name),
                format!(
                    "is {:?}, which a ceremony of kind {:?} doesn't sign",
                    certificate.profile.name(),
                    self.name()
                ),
                format!("it signs: {}", names.join(", ")),
            );
        }
    }
}
