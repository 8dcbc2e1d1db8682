//! What a master can do to a general user: its word in addresses, and the sentences about it.

use super::super::catalogue::Catalogue;

/// What can be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Unblock,
    Decline,
    Assign,
    Release,
    Lost,
    Unlock,
    Password,
    Suspend,
    Resume,
    Remove,
}

impl Act {
    /// In the order of the page.
    pub(super) const ALL: [Self; 10] = [
        Self::Unblock,
        Self::Decline,
        Self::Assign,
        Self::Release,
        Self::Lost,
        Self::Unlock,
        Self::Password,
        Self::Suspend,
        Self::Resume,
        Self::Remove,
    ];

    /// Its word in addresses.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Unblock => "unblock-pin",
            Self::Decline => "decline-unblocking",
            Self::Lost => "token-lost",
            Self::Assign => "assign",
            Self::Release => "release",
            Self::Unlock => "unlock",
            Self::Password => "password",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Remove => "remove",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.path() == word)
    }

    pub(super) fn title(self, t: &Catalogue) -> &'static str {
        match self {
            Self::Unblock => t.users.unblock_pin,
            Self::Decline => t.users.decline_pin,
            Self::Lost => t.users.token_lost,
            Self::Assign => t.users.assign,
            Self::Release => t.users.release,
            Self::Unlock => t.users.unlock,
            Self::Password => t.users.reset_password,
            Self::Suspend => t.users.suspend,
            Self::Resume => t.users.resume,
            Self::Remove => t.users.remove,
        }
    }

    pub(super) fn text(self, t: &Catalogue) -> &'static str {
        match self {
            Self::Unblock => t.users.unblock_pin_text,
            Self::Decline => t.users.decline_pin_text,
            Self::Lost => t.users.token_lost_text,
            Self::Assign => t.users.assign_text,
            Self::Release => t.users.release_text,
            Self::Unlock => t.users.unlock_text,
            Self::Password => t.users.reset_password_text,
            Self::Suspend => t.users.suspend_text,
            Self::Resume => t.users.resume_text,
            Self::Remove => t.users.remove_text,
        }
    }

    pub(super) fn done(self, t: &Catalogue) -> &'static str {
        match self {
            Self::Unblock => t.users.done_unblock_pin,
            Self::Decline => t.users.done_decline_pin,
            Self::Lost => t.users.done_token_lost,
            Self::Assign => t.users.done_assign,
            Self::Release => t.users.done_release,
            Self::Unlock => t.users.done_unlock,
            Self::Password => t.users.done_password,
            Self::Suspend => t.users.done_suspend,
            Self::Resume => t.users.done_resume,
            Self::Remove => t.users.done_remove,
        }
    }
}
