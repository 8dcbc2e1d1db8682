//! Retention (保存期間): which personal data is kept for how long, and no longer.
//!
//! What the authority's promises rest on has no period: certificates with the names in them, revocations, the audit trail and
//! its chain, the journals' anchors, approvals. A period begins where its data is of no more use to anybody: see
//! [`PersonalData`].

use jiff::{SignedDuration, Timestamp};

/// A kind of personal data that is erased after its period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PersonalData {
    /// A user's logins (利用履歴照会), from each login on.
    Logins,
    /// Mails with the addresses that they went to, from when they were settled.
    Mail,
    /// Enrolments that came to no certificate, with what was handed in, from the end of their last challenge.
    Enrolments,
    /// What a certificate was issued on, from its notAfter: until then, and for the period, anybody can check it.
    Evidence,
    /// Name, logins and mails of a user who was removed, from the removal, or from the end of the last certificate that
    /// stood then.
    RemovedUsers,
}

impl PersonalData {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Logins, Self::Mail, Self::Enrolments, Self::Evidence, Self::RemovedUsers];

    /// The stable name in storage, audit rows, metrics and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logins => "logins",
            Self::Mail => "mail",
            Self::Enrolments => "enrolments",
            Self::Evidence => "evidence",
            Self::RemovedUsers => "removed-users",
        }
    }

    /// Days below which no period may be configured: the ledger itself needs the data for so long.
    pub fn fewest_days(self) -> u32 {
        match self {
            Self::Logins => 1,
            // Longer than the 40 days in which a certificate is told of: what is remembered isn't told again.
            Self::Mail => 60,
            // A repeat of an enrolment finds the first one by its key; letters with acquisition codes live for 90 days.
            Self::Enrolments => 90,
            // Lasting evidence: a year after the end is when auditors look at that year.
            Self::Evidence => 366,
            Self::RemovedUsers => 30,
        }
    }

    /// The period in days where nothing else is configured.
    pub fn usual_days(self) -> u32 {
        match self {
            Self::Logins | Self::RemovedUsers => 400,
            Self::Mail => 90,
            Self::Enrolments => 180,
            Self::Evidence => 3_653,
        }
    }
}

/// How long each kind is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Of [`PersonalData::Logins`].
    pub logins: SignedDuration,
    /// Of [`PersonalData::Mail`].
    pub mail: SignedDuration,
    /// Of [`PersonalData::Enrolments`].
    pub enrolments: SignedDuration,
    /// Of [`PersonalData::Evidence`].
    pub evidence: SignedDuration,
    /// Of [`PersonalData::RemovedUsers`].
    pub removed_users: SignedDuration,
}

impl Default for Periods {
    fn default() -> Self {
        let usual = |kind: PersonalData| SignedDuration::from_hours(i64::from(kind.usual_days()) * 24);
        Self {
            logins: usual(PersonalData::Logins),
            mail: usual(PersonalData::Mail),
            enrolments: usual(PersonalData::Enrolments),
            evidence: usual(PersonalData::Evidence),
            removed_users: usual(PersonalData::RemovedUsers),
        }
    }
}

impl Periods {
    /// How long data of this kind is kept.
    pub fn of(&self, kind: PersonalData) -> SignedDuration {
        match kind {
            PersonalData::Logins => self.logins,
            PersonalData::Mail => self.mail,
            PersonalData::Enrolments => self.enrolments,
            PersonalData::Evidence => self.evidence,
            PersonalData::RemovedUsers => self.removed_users,
        }
    }

    /// At `now` the period is over for what began before this.
    pub fn before(&self, kind: PersonalData, now: Timestamp) -> Timestamp {
        now.checked_sub(self.of(kind)).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_long_enough() {
        let periods = Periods::default();
        for kind in PersonalData::ALL {
            assert!(kind.usual_days() >= kind.fewest_days(), "{}", kind.as_str());
            assert_eq!(periods.of(kind).as_hours(), i64::from(kind.usual_days()) * 24);
        }
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().expect("a time");
        let before = periods.before(PersonalData::Mail, now);
        assert_eq!(before.to_string(), "2026-08-24T00:00:00Z");
        assert_eq!(periods.before(PersonalData::Evidence, Timestamp::MIN), Timestamp::MIN);
    }
}
