//! Every sentence of every mail, once per language; what is missing in one of them doesn't compile. `{name}` and the like
//! stand for values. No web or mail address: rule 9.

use jiff::{Timestamp, civil::Date};

/// The sentences of a language.
pub(super) struct Texts {
    pub(super) date: fn(Date) -> String,
    pub(super) time: fn(Timestamp) -> String,
    pub(super) greeting: &'static str,
    pub(super) expires_subject: &'static str,
    pub(super) expires_40: &'static str,
    pub(super) expires_10: &'static str,
    pub(super) expires_today: &'static str,
    pub(super) issued_subject: &'static str,
    pub(super) issued: &'static str,
    pub(super) renewed_subject: &'static str,
    pub(super) renewed: &'static str,
    pub(super) to_be_revoked_subject: &'static str,
    pub(super) to_be_revoked: &'static str,
    pub(super) date_changed: &'static str,
    pub(super) not_to_be_revoked_subject: &'static str,
    pub(super) not_to_be_revoked: &'static str,
    pub(super) revoked_subject: &'static str,
    pub(super) revoked: &'static str,
    pub(super) locked_subject: &'static str,
    pub(super) locked: &'static str,
    pub(super) email_changed_subject: &'static str,
    pub(super) email_changed: &'static str,
    pub(super) email_code_subject: &'static str,
    pub(super) email_code: &'static str,
    pub(super) not_you: &'static str,
    pub(super) rules: &'static str,
    pub(super) contact: &'static str,
    pub(super) automatic: &'static str,
}

pub(super) const JA: Texts = Texts {
    date: super::japanese_date,
    time: super::japanese_time,
    greeting: "{name} 様",
    expires_subject: "電子証明書の有効期限のお知らせ",
    expires_40: "お使いの電子証明書の有効期限は {last} です。更新の受付が始まりました。
お手数ですが、いつもの手順でログインし、更新のお手続きをお願いいたします。",
    expires_10: "お使いの電子証明書の有効期限は {last} です。まだ更新されていません。
有効期限を過ぎるとログインできなくなります。お早めに、いつもの手順でログインし、更新のお手続きをお願いいたします。",
    expires_today: "お使いの電子証明書の有効期限は本日（{last}）です。まだ更新されていません。
本日を過ぎるとログインできなくなり、失効と再取得のお手続きが必要になります。いつもの手順でログインし、更新のお手続きをお願いいたします。",
    issued_subject: "電子証明書の発行のお知らせ",
    issued: "{at} に、お客さまの電子証明書を発行しました。有効期限は {last} です。",
    renewed_subject: "電子証明書の更新のお知らせ",
    renewed: "{at} に、お客さまの電子証明書を更新しました。新しい電子証明書の有効期限は {last} です。
これまでの電子証明書はご利用いただけなくなりました。",
    to_be_revoked_subject: "電子証明書の失効予定のお知らせ",
    to_be_revoked: "お客さまの電子証明書は、{revoke_at} に失効する予定です。この電子証明書のトークンが、現在の安全基準を満たさなくなったためです。
それまでは、今までどおりご利用いただけます。それ以降は、この電子証明書ではログインできません。失効するのは電子証明書だけで、お客さまの資金には影響ありません。
失効までに、基準を満たすトークンで新しい電子証明書を取得してください。トークンとお手続きについては、お取引店にお尋ねください。",
    date_changed: "先にお知らせした日時（{told}）は、変更になりました。",
    not_to_be_revoked_subject: "電子証明書の失効予定の取消しのお知らせ",
    not_to_be_revoked: "先にお知らせしました電子証明書の失効の予定は、取り消しました。
お使いの電子証明書は、有効期限（{last}）まで、今までどおりご利用いただけます。お手続きは必要ありません。",
    revoked_subject: "電子証明書の失効のお知らせ",
    revoked: "{at} に、お客さまの電子証明書が失効しました。この電子証明書ではログインできません。",
    locked_subject: "ログイン停止（IDロック）のお知らせ",
    locked: "パスワードの誤りが続いたため、{at} に、お客さまのログインを停止しました。
ロックの解除は、マスターユーザまたはお取引店にご依頼ください。",
    email_changed_subject: "メールアドレス変更のお知らせ",
    email_changed: "{at} に、お知らせの送り先のメールアドレスが変更されました。今後のお知らせは新しいアドレスにお送りし、このアドレスにはお送りしません。",
    email_code_subject: "メールアドレスの確認番号",
    email_code: "お知らせの送り先をこのアドレスに変更するお申し込みがありました。
確認番号: {code}
メールアドレス変更の画面で、この番号を 30 分以内に入力してください。番号はほかの人に教えないでください。",
    not_you: "お心当たりがない場合は、すぐに下記までお電話ください。",
    rules: "{bank}からのメールで、パスワードや PIN をお尋ねすることはありません。メールにリンクや添付ファイルを付けることもありません。そのようなメールが届いたときは、開いたり答えたりせず、お知らせください。",
    contact: "お問い合わせ: {contact}",
    automatic: "このメールは自動でお送りしています。ご返信いただいてもお答えできません。",
};

pub(super) const EN: Texts = Texts {
    date: super::english_date,
    time: super::english_time,
    greeting: "Dear {name},",
    expires_subject: "Your certificate expires soon",
    expires_40: "Your certificate is valid until the end of {last}. It can be renewed from now on.
Please log in the way you always do, and renew it.",
    expires_10: "Your certificate is valid until the end of {last}. It has not been renewed yet.
After that day you can't log in. Please log in soon, the way you always do, and renew it.",
    expires_today: "Your certificate is valid until the end of today, {last}. It has not been renewed yet.
From tomorrow on you can't log in: the certificate would have to be revoked, and a new one obtained. Please log in today, \
the way you always do, and renew it.",
    issued_subject: "Your certificate was issued",
    issued: "Your certificate was issued on {at}. It is valid until the end of {last}.",
    renewed_subject: "Your certificate was renewed",
    renewed: "Your certificate was renewed on {at}. The new one is valid until the end of {last}.
The old one can't be used any more.",
    to_be_revoked_subject: "Your certificate will be revoked",
    to_be_revoked: "Your certificate will be revoked on {revoke_at}: the token that it is on no longer meets our security rules.
Until then everything works as before. From then on you can't log in with this certificate. Only the certificate ends: nothing \
happens to your money.
Before that date, please obtain a new certificate on a token that we accept. Your branch tells you which one, and how.",
    date_changed: "The date that we told you before, {told}, no longer holds.",
    not_to_be_revoked_subject: "Your certificate stays valid",
    not_to_be_revoked: "We had told you that your certificate would be revoked. That is called off.
Your certificate is valid until the end of {last} and works as before. You needn't do anything.",
    revoked_subject: "Your certificate was revoked",
    revoked: "Your certificate was revoked on {at}. You can't log in with it any more.",
    locked_subject: "Your login was locked",
    locked: "After several wrong passwords in a row your login was locked on {at}.
Your master user or your branch can unlock it.",
    email_changed_subject: "Your e-mail address was changed",
    email_changed: "The address that our notices go to was changed on {at}. From now on they go to the new address, and no longer \
to this one.",
    email_code_subject: "The code for your e-mail address",
    email_code: "Somebody asked us to send our notices to this address.
The code is {code}
Type it in on the page where you changed the address, within 30 minutes. Don't tell it to anybody.",
    not_you: "If this wasn't you, call us at once.",
    rules: "Mail from {bank} never asks for a password or PIN, and never has a link or an attachment. If you get such a mail, \
don't open or answer it: tell us.",
    contact: "Whom to call: {contact}",
    automatic: "This mail was sent automatically. Nobody reads answers to it.",
};
