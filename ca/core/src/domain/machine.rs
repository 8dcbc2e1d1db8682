//! Registered machines: the bank's own systems, each known by the key of its client certificate and allowed no more
//! than its roles say. They are no users: a machine never logs in, and nobody's certificate makes them a machine.

use std::collections::BTreeSet;

use jiff::Timestamp;
use x509_cert::{certificate::TbsCertificate, time::Time};

use super::ids::{ContractNumber, MachineId};

/// What a machine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineRole {
    /// Vouch for users and obtain their certificates.
    Registration,
    /// Ask what a certificate is worth.
    Status,
}

impl MachineRole {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Registration, Self::Status];

    /// The stable name in the configuration and in audit rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Status => "status",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// A span of time, both ends included, as certificates have it (RFC 5280, 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValiditySpan {
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
}

impl ValiditySpan {
    /// A certificate's; the year 9999 is beyond what timestamps hold, so it ends with them.
    pub fn of(certificate: &TbsCertificate) -> Self {
        let at = |time: &Time| {
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
        };
        let validity = certificate.validity();
        Self { not_before: at(&validity.not_before), not_after: at(&validity.not_after) }
    }

    fn contains(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// A machine as the bank registered it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub id: MachineId,
    /// SHA-256 of its key's `SubjectPublicKeyInfo`, DER: what it is known by.
    pub public_key_sha256: [u8; 32],
    /// When the certificate that was registered is valid. A machine can sign itself another certificate for its key; it
    /// can't prolong this one.
    pub registered: ValiditySpan,
    /// What it may do.
    pub roles: BTreeSet<MachineRole>,
    /// The contracts whose users it may vouch for; `None`: all.
    pub contracts: Option<BTreeSet<ContractNumber>>,
}

/// Why a machine isn't admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineRefusal {
    /// No certificate came, or a customer's.
    #[error("no machine's certificate was presented")]
    NoMachine,
    /// A certificate whose key isn't registered.
    #[error("the certificate's key is not registered")]
    Unknown,
    /// The presented certificate, or the registered one, isn't valid now.
    #[error("the certificate is not valid at this time")]
    NotValidNow,
    /// The role isn't among its roles.
    #[error("the machine doesn't have the role {}", .0.as_str())]
    Role(MachineRole),
}

impl MachineRefusal {
    /// The stable code, for the audit trail and programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoMachine => "machine-no-certificate",
            Self::Unknown => "machine-unknown",
            Self::NotValidNow => "machine-not-valid-now",
            Self::Role(_) => "machine-role",
        }
    }
}

impl Machine {
    /// Whether it may act in `role` at `now`, having presented a certificate that is valid during `presented`.
    ///
    /// # Errors
    /// [`MachineRefusal`].
    pub fn admit(
        &self,
        presented: ValiditySpan,
        role: MachineRole,
        now: Timestamp,
    ) -> Result<(), MachineRefusal> {
        if !presented.contains(now) || !self.registered.contains(now) {
            return Err(MachineRefusal::NotValidNow);
        }
        if self.roles.contains(&role) { Ok(()) } else { Err(MachineRefusal::Role(role)) }
    }

    /// Whether it may vouch for users of this contract.
    pub fn may_register(&self, contract: &ContractNumber) -> bool {
        self.contracts.as_ref().is_none_or(|contracts| contracts.contains(contract))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * 86_400).expect("in range")
    }

    fn span(from: i64, to: i64) -> ValiditySpan {
        ValiditySpan { not_before: day(from), not_after: day(to) }
    }

    fn machine(contracts: Option<&[&str]>) -> Machine {
        let parse = |number: &&str| ContractNumber::parse(number).expect("a contract number");
        Machine {
            id: MachineId::parse("branch-terminals").expect("a name"),
            public_key_sha256: [7; 32],
            registered: span(0, 10),
            roles: BTreeSet::from([MachineRole::Status]),
            contracts: contracts.map(|numbers| numbers.iter().map(parse).collect()),
        }
    }

    #[test]
    fn a_machine_acts_in_its_roles_while_both_certificates_are_valid() {
        use MachineRefusal::{NotValidNow, Role};
        let machine = machine(None);
        for (presented, role, now, expected) in [
            (span(0, 10), MachineRole::Status, 0, Ok(())),
            (span(0, 10), MachineRole::Status, 10, Ok(())),
            (span(0, 10), MachineRole::Registration, 5, Err(Role(MachineRole::Registration))),
            (span(0, 10), MachineRole::Status, 11, Err(NotValidNow)),
            (span(0, 99), MachineRole::Status, 11, Err(NotValidNow)),
            (span(-9, 4), MachineRole::Status, 5, Err(NotValidNow)),
            (span(6, 10), MachineRole::Status, 5, Err(NotValidNow)),
            (span(-9, 10), MachineRole::Status, -1, Err(NotValidNow)),
        ] {
            assert_eq!(machine.admit(presented, role, day(now)), expected, "{presented:?} on day {now}");
        }
    }

    #[test]
    fn contracts_restrict_where_they_are_named() {
        let number = |text| ContractNumber::parse(text).expect("a contract number");
        assert!(machine(None).may_register(&number("1234567")));
        assert!(machine(Some(&["1234567"])).may_register(&number("1234567")));
        assert!(!machine(Some(&["1234567"])).may_register(&number("7654321")));
        assert!(!machine(Some(&[])).may_register(&number("1234567")));
    }
}
