//! What every mail keeps, whatever it is about and whoever it goes to.

use ca_core::{
    domain::{
        ids::UserId,
        mail::{EmailAddress, MailId, MailState, OutboxMail},
    },
    ports::outbox::Announcement,
};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn claimed(kind: MailKind, name: &str) -> ClaimedMail {
    let code = (kind == MailKind::EmailCode).then(|| "01234567".to_owned());
    ClaimedMail {
        mail: OutboxMail {
            id: MailId(7),
            kind,
            user: UserId::parse("hokkai-01").expect("a user ID"),
            certificate: None,
            recipient: Some(EmailAddress::parse("yamada@hokkai.example").expect("an address")),
            queued_at: at("2026-11-22T10:05:00+09"),
            state: MailState::Queued,
            attempts: 1,
            next_attempt_at: at("2026-11-22T10:06:00+09"),
            settled_at: None,
            answer: None,
        },
        name: name.to_owned(),
        code,
        not_after: Some(at("2026-12-31T23:59:59+09")),
        is_revoked: false,
        to_be_revoked_at: None,
        announcement: Announcement {
            revoke_at: (kind == MailKind::ToBeRevoked).then(|| at("2027-01-31T00:00:00+09")),
            ..Announcement::default()
        },
    }
}

fn head() -> Letterhead {
    Letterhead { bank: "〇〇銀行".to_owned(), contact: "03-0000-0000".to_owned() }
}

/// Rule 9: "Mail from the bank never asks for a password, has no link and no attachment, is plain text, and says so."
#[test]
fn rule_9_no_mail_has_a_link_and_each_says_so() {
    let names = [
        "山田 太郎",
        "Taro Yamada",
        "J.R. Smith",
        "https://evil.example/login",
        "www.evil.example",
        "evil.example",
        "WWW.EVIL.EXAMPLE",
        "a@evil.example",
        "ｅｖｉｌ。example",
        "evil。example",
        "wwwwww.x",
        "<a href=x.y>",
        "http:/x",
        "mailto:a＠b.c",
    ];
    for kind in MailKind::ALL {
        for name in names {
            let letter = letter(&head(), &claimed(kind, name));
            for text in [&letter.subject, &letter.body] {
                assert!(!has_link(text), "{kind:?} to {name}: {text}");
                for sign in ["://", "www", "WWW", "http:", "https:", "mailto:", "@", "＠", "<", ">", "&"] {
                    assert!(!text.contains(sign), "{kind:?} to {name} has {sign}: {text}");
                }
                assert!(!text.contains(['{', '}', '\r']), "{kind:?}: a value is missing in {text}");
            }
            assert!(letter.body.contains("パスワードや PIN をお尋ねすることはありません"), "{kind:?}");
            assert!(letter.body.contains("never asks for a password or PIN"), "{kind:?}");
            assert!(letter.body.contains("リンクや添付ファイルを付けることもありません"), "{kind:?}");
            assert!(letter.body.contains("03-0000-0000") && letter.body.contains("〇〇銀行"), "{kind:?}");
            assert!(!letter.subject.contains('\n'), "{kind:?}");
        }
    }
}

#[test]
fn links_are_recognised_as_mail_programs_do() {
    for text in ["http://x", "x.jp", "see WWW", "a@b", "1.2", "文 evil.example 文", "//host", "evil。com"]
    {
        assert!(has_link(text), "{text}");
    }
    for text in
        ["お知らせです。次に", "First. Second.", "J. Smith", "23:59", "03-0000-0000", "A/B", "株式会社．商事"]
    {
        assert!(!has_link(text), "{text}");
    }
}

#[test]
fn each_mail_says_what_it_is_about_in_both_languages() {
    let soon = letter(&head(), &claimed(MailKind::ExpiresIn40Days, "山田 太郎"));
    assert_eq!(soon.subject, "電子証明書の有効期限のお知らせ / Your certificate expires soon");
    assert!(
        soon.body.starts_with("山田 太郎 様\n\nお使いの電子証明書の有効期限は 2026年12月31日 です。"),
        "{}",
        soon.body
    );
    assert!(
        soon.body.contains("Dear 山田 太郎,\n\nYour certificate is valid until the end of 31 December 2026.")
    );
    let issued = letter(&head(), &claimed(MailKind::Issued, "山田 太郎"));
    assert!(
        issued.body.contains("2026年11月22日 10:05 に")
            && issued.body.contains("22 November 2026, 10:05 (Japan time)")
    );
    let planned = letter(&head(), &claimed(MailKind::ToBeRevoked, "山田 太郎"));
    assert!(planned.body.contains("2027年1月31日 00:00 に失効する予定です"), "{}", planned.body);
    assert!(
        planned.body.contains("will be revoked on 31 January 2027, 00:00 (Japan time)"),
        "{}",
        planned.body
    );
    assert!(
        planned.body.contains("資金には影響ありません")
            && planned.body.contains("nothing happens to your money")
    );
    assert!(!planned.body.contains("If this wasn't you"), "nobody but the bank could have done it");
    assert!(!planned.body.contains("変更になりました"), "{}", planned.body);
    let mut moved = claimed(MailKind::ToBeRevoked, "山田 太郎");
    moved.announcement.told = Some(at("2027-01-15T00:00:00+09"));
    let moved = letter(&head(), &moved).body;
    assert!(moved.contains("先にお知らせした日時（2027年1月15日 00:00）は、変更になりました"), "{moved}");
    assert!(
        moved.contains(
            "The date that we told you before, 15 January 2027, 00:00 (Japan time), no longer holds."
        )
    );
    let kept = letter(&head(), &claimed(MailKind::NotToBeRevoked, "山田 太郎"));
    assert!(kept.body.contains("失効の予定は、取り消しました") && kept.body.contains("2026年12月31日"));
    assert!(kept.body.contains("That is called off") && !kept.body.contains("If this wasn't you"));
    let code = letter(&head(), &claimed(MailKind::EmailCode, "山田 太郎"));
    assert_eq!(code.body.matches("01234567").count(), 2);
    let all: std::collections::BTreeSet<String> =
        MailKind::ALL.map(|kind| letter(&head(), &claimed(kind, "x")).body).into();
    assert_eq!(all.len(), MailKind::ALL.len(), "two kinds of mail say the same");
}

/// The Japanese half and the English half: nothing is left in the other language, nothing is empty.
#[test]
fn both_languages_say_everything() {
    let japanese = |text: &str| text.chars().any(|c| ('\u{3040}'..='\u{9fff}').contains(&c));
    for kind in MailKind::ALL {
        let mail = claimed(kind, "X");
        let head = Letterhead { bank: "X".to_owned(), contact: "X".to_owned() };
        let (ja, en) =
            (Wording { t: &JA, head: &head, mail: &mail }, Wording { t: &EN, head: &head, mail: &mail });
        assert!(japanese(ja.about().0) && japanese(ja.about().1), "{kind:?}");
        assert!(!japanese(&en.text()) && !japanese(en.about().0), "{kind:?}: {}", en.text());
        assert!(en.about().1.len() > 40, "{kind:?}");
        let places = |text: &str| {
            ["{at}", "{last}", "{code}", "{revoke_at}", "{told}"].map(|place| text.contains(place))
        };
        assert_eq!(
            places(ja.about().1),
            places(en.about().1),
            "{kind:?}: one language says more than the other"
        );
    }
}
