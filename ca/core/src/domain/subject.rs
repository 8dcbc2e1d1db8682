//! The subject of user certificates: `C=JP, O=<contract name>, OU=<contract number>, UID=<user ID>, CN=<display name>`,
//! and what text may stand in it. People read these names in certificate choosers and staff screens, so nothing
//! invisible or reordering gets in.

use ca_x509::name::NameBuilder;
use x509_cert::name::Name;

use super::{contract::Contract, user::User};

/// ub-organization-name (RFC 5280, appendix A.1), characters.
pub const MAX_ORGANIZATION_CHARS: usize = 64;
/// ub-common-name (RFC 5280, appendix A.1), characters.
pub const MAX_COMMON_NAME_CHARS: usize = 64;
/// The longest note, characters.
pub const MAX_NOTE_CHARS: usize = 200;

/// Text that may not stand in a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing, or only blanks.
    #[error("the {field} is empty")]
    Empty {
        /// Which.
        field: &'static str,
    },
    /// Too many characters.
    #[error("the {field} has {found} characters; {allowed} are allowed")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        allowed: usize,
    },
    /// Begins or ends with a blank.
    #[error("the {field} begins or ends with a blank")]
    OuterBlank {
        /// Which.
        field: &'static str,
    },
    /// A control character, line break, directional mark or invisible character.
    #[error("the {field} contains the character U+{:04X}, which is not allowed in names", u32::from(*character))]
    Forbidden {
        /// Which.
        field: &'static str,
        /// The first such character.
        character: char,
    },
}

/// Checks a contract's name (契約名, the O).
///
/// # Errors
/// [`InvalidText`] says what is wrong with it.
pub fn check_organization(text: &str) -> Result<(), InvalidText> {
    check("contract name", text, MAX_ORGANIZATION_CHARS)
}

/// Checks a user's display name (the CN).
///
/// # Errors
/// [`InvalidText`] says what is wrong with it.
pub fn check_common_name(text: &str) -> Result<(), InvalidText> {
    check("display name", text, MAX_COMMON_NAME_CHARS)
}

/// Checks a reason or note that people write for people who look years later.
///
/// # Errors
/// [`InvalidText`] says what is wrong with it.
pub fn check_note(field: &'static str, text: &str) -> Result<(), InvalidText> {
    check(field, text, MAX_NOTE_CHARS)
}

fn check(field: &'static str, text: &str, allowed: usize) -> Result<(), InvalidText> {
    if text.trim().is_empty() {
        return Err(InvalidText::Empty { field });
    }
    let mut previous = None;
    for character in text.chars() {
        if is_forbidden(character) && !selects_variant(previous, character) {
            return Err(InvalidText::Forbidden { field, character });
        }
        previous = Some(character);
    }
    if text.trim() != text {
        return Err(InvalidText::OuterBlank { field });
    }
    match text.chars().count() {
        found if found > allowed => Err(InvalidText::TooLong { field, found, allowed }),
        _ => Ok(()),
    }
}

/// Characters that change how the rest is read without being seen, by Unicode's general categories Cc, Cf, Zl, Zp and
/// the invisible fillers; noncharacters and private use, which look different everywhere; U+FFFC and U+FFFD, which stand for
/// what was lost on the way here.
fn is_forbidden(c: char) -> bool {
    let invisible = matches!(
        u32::from(c),
        0x00ad | 0x034f | 0x0600..=0x0605 | 0x061c | 0x06dd | 0x070f | 0x0890..=0x0891 | 0x08e2
            | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffd
            | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
    );
    let private = matches!(u32::from(c), 0xe000..=0xf8ff | 0xf_0000..);
    let noncharacter = matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe;
    c.is_control() || invisible || private || noncharacter
}

/// 異体字セレクタ choose between the forms of a kanji, as Japanese names need; anywhere else they are invisible.
fn selects_variant(previous: Option<char>, c: char) -> bool {
    let ideograph =
        |c| matches!(u32::from(c), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af);
    matches!(u32::from(c), 0xe0100..=0xe01ef) && previous.is_some_and(ideograph)
}

/// The subject of a user's certificates.
///
/// # Errors
/// [`InvalidText`] when a name that was registered before these rules doesn't keep them.
pub fn of(contract: &Contract, user: &User) -> Result<Name, InvalidText> {
    check_organization(&contract.name)?;
    check_common_name(&user.display_name)?;
    let built = NameBuilder::new()
        .country("JP")
        .organization(&contract.name)
        .organizational_unit(contract.number.as_str())
        .user_id(user.id.as_str())
        .common_name(&user.display_name)
        .build();
    // Only a name of gigabytes fails to encode, and the lengths are checked.
    built.map_err(|_| InvalidText::Empty { field: "subject" })
}

#[cfg(test)]
mod tests {
    use ca_x509::name::text;
    use const_oid::db::rfc4519;
    use der::Encode;
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{
        contract::Plan,
        ids::{ContractNumber, UserId},
        user::{Role, UserState},
    };

    fn contract(name: &str) -> Contract {
        Contract {
            number: ContractNumber::parse("1234567").expect("a number"),
            name: name.to_owned(),
            plan: Plan::default(),
            registered_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn user(display_name: &str) -> User {
        User {
            id: UserId::parse("hokkai-01").expect("an ID"),
            contract: ContractNumber::parse("1234567").expect("a number"),
            role: Role::General,
            display_name: display_name.to_owned(),
            email: None,
            state: UserState::Active,
            assigned_device: None,
            locked_at: None,
            registered_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_subject_names_country_contract_and_user_in_this_order() {
        let name = of(&contract("北海商事株式会社"), &user("山田 太郎")).expect("a subject");
        let expected = [
            (rfc4519::COUNTRY_NAME, "JP"),
            (rfc4519::ORGANIZATION_NAME, "北海商事株式会社"),
            (rfc4519::ORGANIZATIONAL_UNIT_NAME, "1234567"),
            (rfc4519::UID, "hokkai-01"),
            (rfc4519::COMMON_NAME, "山田 太郎"),
        ];
        let order: Vec<_> = name.iter().map(|attribute| attribute.oid).collect();
        assert_eq!(order, expected.map(|(oid, _)| oid));
        for (oid, value) in expected {
            assert_eq!(text(&name, oid).as_deref(), Some(value));
        }
        assert!(name.to_der().expect("DER").len() < 200);
    }

    #[test]
    fn invisible_and_reordering_characters_are_refused() {
        for bad in [
            "a\0b",
            "a\rb",
            "a\nb",
            "a\tb",
            "a\u{7f}b",
            "a\u{85}b",
            "a\u{202e}b",
            "a\u{200f}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{feff}b",
            "a\u{ad}b",
            "a\u{2028}b",
            "a\u{3164}b",
            "a\u{e0041}b",
            "a\u{fe0f}b",
            "a\u{e0100}b",
            "a\u{e000}b",
            "a\u{fffe}b",
            "a\u{fffc}b",
            "a\u{fffd}b",
            "\u{200d}",
            "名\u{061c}前",
        ] {
            assert!(
                matches!(check_common_name(bad), Err(InvalidText::Forbidden { .. })),
                "{bad:?} was taken"
            );
        }
        for good in
            ["葛\u{e0100}城", "O'Neil & <b>Söhne</b>", "=cmd|'/c calc'", "ﾔﾏﾀﾞ ﾀﾛｳ", "が", "か\u{3099}"]
        {
            assert_eq!(check_common_name(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn lengths_count_characters_and_outer_blanks_are_refused() {
        assert_eq!(check_organization(&"株".repeat(64)), Ok(()));
        let too_long = check_organization(&"株".repeat(65));
        assert_eq!(too_long, Err(InvalidText::TooLong { field: "contract name", found: 65, allowed: 64 }));
        for bad in ["", " ", "\u{3000}"] {
            assert_eq!(check_organization(bad), Err(InvalidText::Empty { field: "contract name" }));
        }
        for bad in [" a", "a ", "\u{3000}株", "a\u{a0}"] {
            assert_eq!(check_organization(bad), Err(InvalidText::OuterBlank { field: "contract name" }));
        }
        assert!(of(&contract("北海 "), &user("山田")).is_err());
    }
}
