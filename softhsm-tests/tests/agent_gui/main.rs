//! The agent's window on a real (if invisible) desktop: read over AT-SPI as by a screen reader, typed into at a keyboard,
//! with a virtual YubiKey behind a real pcscd and the real authority.

mod desktop;
mod erase;
mod office;
mod proxy;
mod tpm;

use std::{fs, time::Duration};

use softhsm_tests::{
    bank::{LOGIN_PASSWORD, TOKEN_PIN},
    squid::Squid,
    virtual_yubikey::{Firmware, Profile, Touch},
};

use self::office::Office;

const NEW: Firmware = Firmware(5, 7, 2);

fn slow_to_touch(serial: u32) -> Profile {
    let mut profile = Profile::new(serial, NEW);
    profile.touch = Touch::After(Duration::from_secs(5));
    profile
}

#[test]
fn a_whole_enrolment_in_japanese() {
    let office = Office::open("gui-ja", vec![slow_to_touch(31_000_001)], (900, 760));
    office.user("hokkai-01", "北海 太郎", Some(31_000_001));
    let mut agent = office.window("ja", "hokkai-01", &[]);
    let screen = &office.desktop;
    screen.wait_for("スタートメニュー").expect("the start menu");
    screen.picture("ja-1-start").expect("a picture");

    screen.press("証明書発行").expect("pressed");
    screen.wait("the token", |element| element.name.contains("31000001") && element.checked).expect("chosen");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.picture("ja-2-form").expect("a picture");
    assert!(!screen.says(LOGIN_PASSWORD).expect("read"), "the password can be read");
    screen.press("認証して発行").expect("pressed");

    screen.wait_for("新しいPINの設定").expect("asked for a PIN");
    screen.wait_for("認証: 完了").expect("a screen reader says how far it is");
    screen.fill("新しいPIN", "111111").expect("typed");
    screen.fill("新しいPIN(確認)", "111111").expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("推測されやすい").expect("a weak PIN is refused");
    screen.picture("ja-3-weak-pin").expect("a picture");
    screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
    screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");

    screen.wait_for("トークンに触れてください").expect("asked to touch");
    screen.picture("ja-4-touch").expect("a picture");
    screen.wait_for("証明書の取得が完了しました").expect("done");
    screen.picture("ja-5-done").expect("a picture");
    for words in ["北海 太郎", "hokkai-01", "31000001", "有効期限", "ブラウザの画面をすべて閉じて"]
    {
        screen.wait_for(words).unwrap_or_else(|error| panic!("{words}: {error}"));
    }
    assert_eq!(office.certificates(), 1);

    let page = office.scratch.join("result.html");
    screen.fill("保存先", &page.display().to_string()).expect("typed");
    screen.press("保存").expect("pressed");
    screen.wait_for("保存しました").expect("saved");
    let html = fs::read_to_string(&page).expect("saved");
    assert!(html.contains("北海 太郎") && html.contains("BEGIN CERTIFICATE"), "{html}");
    screen.press("閉じる").expect("pressed");

    screen.wait_for("スタートメニュー").expect("the start menu again");
    screen.press("証明書の確認").expect("pressed");
    screen.wait_for("北海 太郎 (hokkai-01)").expect("the certificate");
    screen.press("詳細").expect("pressed");
    screen.wait_for("SHA-256 フィンガープリント").expect("details");
    screen.picture("ja-6-certificates").expect("a picture");
    screen.press("戻る").expect("pressed");
    screen.press("中断").expect("pressed");
    assert!(agent.wait(Duration::from_secs(20)).expect("it ends").success(), "{}", agent.log());
    assert!(!agent.log().contains(TOKEN_PIN) && !agent.log().contains(LOGIN_PASSWORD));
}

#[test]
fn wrong_password_and_wrong_pin_are_told_with_remedies() {
    let office = Office::open("gui-wrong", vec![Profile::new(31_000_002, NEW)], (900, 760));
    office.user("hokkai-02", "北海 花子", Some(31_000_002));
    let _agent = office.window("ja", "hokkai-02", &[]);
    let screen = &office.desktop;

    // The factory's PIN is replaced without being asked for.
    screen.press("PINの変更").expect("pressed");
    screen.wait("the token", |element| element.name.contains("31000002") && element.checked).expect("chosen");
    screen.press("次へ").expect("pressed");
    screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
    screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("PINを変更しました").expect("changed");
    screen.press("閉じる").expect("pressed");

    screen.press("証明書発行").expect("pressed");
    screen.fill("ログインパスワード", "not-the-password").expect("typed");
    screen.press("認証して発行").expect("pressed");
    screen.wait_for("手続きを完了できませんでした").expect("refused");
    screen.wait_for("authentication-failed").expect("a support code");
    screen.picture("ja-7-wrong-password").expect("a picture");
    screen.press("コピー").expect("pressed");
    screen.wait_for("コピーしました").expect("copied");

    screen.press("もう一度").expect("pressed");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.press("認証して発行").expect("pressed");
    screen.fill("PIN", "000001").expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("残り2回").expect("the tries left");
    screen.picture("ja-8-wrong-pin").expect("a picture");
    // Enter is OK as well.
    screen.fill("PIN", TOKEN_PIN).expect("typed");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait_for("証明書の取得が完了しました").expect("done");
    assert_eq!(office.certificates(), 1);
    screen.press("閉じる").expect("pressed");

    // What was obtained can be erased, after being asked.
    screen.press("証明書の消去").expect("pressed");
    screen.press("消去する").expect("pressed");
    screen.wait_for("消去の確認").expect("asked");
    screen.picture("ja-9-erase").expect("a picture");
    screen.press("キャンセル").expect("pressed");
    screen.wait_for("変更していません").expect("nothing was done");
    screen.press("もう一度").expect("pressed");
    screen.press("消去する").expect("pressed");
    screen.wait_for("消去の確認").expect("asked");
    screen.keys(&["Tab", "space"]).expect("pressed");
    screen.fill("PIN", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("鍵と証明書を消去しました").expect("erased");
    assert!(office.desk.keys[0].state().slots.is_empty(), "the key is gone");
}

#[test]
fn by_keyboard_alone_in_english_on_a_small_screen() {
    let office = Office::open("gui-en", vec![Profile::new(31_000_003, NEW)], (480, 420));
    office.user("hokkai-03", "Hokkai Jiro", Some(31_000_003));
    office.desk.keys[0].eject().expect("pulled out");
    let _agent = office.window("en", "", &[]);
    let screen = &office.desktop;
    screen
        .wait("the focus", |element| element.focused && element.name == "Obtain a certificate")
        .expect("there");
    screen.picture("en-1-small").expect("a picture");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait_for("No token is connected").expect("said");
    office.desk.keys[0].insert().expect("plugged in");
    screen
        .wait("the token", |element| element.name.contains("31000003") && element.checked)
        .expect("appears");
    // The login ID has the focus already.
    screen.wait("the focus", |element| element.focused && element.name == "Login ID").expect("there");
    screen.type_text("hokkai-03").expect("typed");
    screen.keys(&["Tab"]).expect("pressed");
    screen.type_text(LOGIN_PASSWORD).expect("typed");
    screen.picture("en-2-small-form").expect("a picture");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait("the focus", |element| element.focused && element.name == "New PIN").expect("there");
    screen.type_text(TOKEN_PIN).expect("typed");
    screen.keys(&["Tab"]).expect("pressed");
    screen.type_text(TOKEN_PIN).expect("typed");
    screen.picture("en-3-small-pin").expect("a picture");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait_for("The certificate is on the token").expect("done");
    screen.picture("en-4-small-done").expect("a picture");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait_for("Start menu").expect("the start menu again");
    assert_eq!(office.certificates(), 1);
}

#[test]
fn a_server_out_of_reach_leads_to_the_connection_page_and_no_port_is_open() {
    let office = Office::open("gui-proxy", vec![Profile::new(31_000_004, NEW)], (900, 760));
    office.user("hokkai-04", "北海 四郎", Some(31_000_004));
    let closed =
        std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
    let agent = office.window("ja", "hokkai-04", &["--server", &format!("https://{closed}")]);
    let screen = &office.desktop;
    screen.press("証明書発行").expect("pressed");
    screen.wait("the token", |element| element.name.contains("31000004") && element.checked).expect("chosen");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.press("認証して発行").expect("pressed");
    screen.wait_for("Server.ConnectionRefused").expect("a support code");
    assert!(!office::listens(agent.id()), "the window listens on a port");
    screen.press("接続設定(プロキシ)").expect("pressed");
    screen.press("社内プロキシサーバを使う").expect("pressed");
    screen.wait_for("ログインIDとログインパスワードではありません").expect("warned");
    screen.fill("プロキシサーバ", "proxy.example").expect("typed");
    screen.press("次へ").expect("pressed");
    screen.wait_for("1〜65535").expect("a port is missing");
    screen.picture("ja-10-proxy").expect("a picture");
    screen.press("社内プロキシサーバを使う").expect("pressed");
    screen.fill("接続先(銀行のアドレス)", &office.bank.urls().public).expect("typed");
    screen.press("次へ").expect("pressed");
    screen.press("English").expect("pressed");
    screen.press("Obtain a certificate").expect("pressed");
    screen.fill("Login password", LOGIN_PASSWORD).expect("typed");
    screen.press("Authenticate and obtain").expect("pressed");
    screen.wait_for("Choose a new PIN").expect("the server is reached");
    // Whoever gives up is back at the form, and nothing was issued.
    screen.keys(&["Escape"]).expect("pressed");
    screen.wait("the form", |element| element.name == "Authenticate and obtain").expect("there");
    assert_eq!(office.certificates(), 0);
}

#[test]
fn a_diagnosis_leads_to_the_proxy_s_password_and_is_kept_for_the_help_desk() {
    let office = Office::open("gui-doctor", vec![Profile::new(31_000_009, NEW)], (900, 900));
    let squid = Squid::start(&office.scratch.directory("squid").expect("a directory")).expect("squid");
    let _agent = office.window("ja", "hokkai-09", &["--proxy", &squid.url()]);
    let screen = &office.desktop;
    screen.press("診断").expect("pressed");
    screen.wait_for("お問い合わせ用コード: proxy.authentication").expect("the proxy wants a password");
    screen.wait_for("の認証が必要です").expect("said so");
    screen.picture("ja-9-diagnosis-proxy").expect("a picture");
    screen.press("閉じる").expect("pressed");

    screen.press("接続設定(プロキシ)").expect("pressed");
    screen.wait_for("ログインIDとログインパスワードではありません").expect("the form says whose they are");
    screen.fill("プロキシのユーザ名", softhsm_tests::squid::USER).expect("typed");
    screen.fill("プロキシのパスワード", softhsm_tests::squid::PASSWORD).expect("typed");
    screen.picture("ja-9-connection").expect("a picture");
    screen.press("次へ").expect("pressed");
    screen.press("診断").expect("pressed");
    screen.wait_for("問題は見つかりませんでした").expect("nothing is wrong");
    screen.wait_for("31000009").expect("the token");
    screen.picture("ja-9-diagnosis").expect("a picture");
    screen.press("コピー").expect("pressed");
    screen.wait_for("コピーしました").expect("copied");
    let page = office.scratch.join("diagnosis.txt");
    screen.fill("保存先", &page.display().to_string()).expect("typed");
    screen.press("保存").expect("pressed");
    screen.wait_for("保存しました").expect("saved");
    let text = fs::read_to_string(&page).expect("saved");
    assert!(text.contains("お問い合わせ用コード: ok") && text.contains("31000009"), "{text}");
    assert!(!text.contains(softhsm_tests::squid::PASSWORD), "{text}");
}

#[test]
fn a_renewal_in_japanese_and_what_is_cleared_away_afterwards() {
    let mut office = Office::open("gui-renew", vec![slow_to_touch(31_000_005)], (900, 860));
    office.user("hokkai-05", "北海 五郎", Some(31_000_005));
    office.desk.enroll(&office.bank, "hokkai-05", 31_000_005).expect("a certificate");
    office.days_later(340);
    let mut agent = office.window("ja", "", &[]);
    let screen = &office.desktop;
    screen.press("証明書更新").expect("pressed");
    screen.wait_for("更新できます").expect("a certificate that can be renewed");
    screen
        .wait("the only one", |element| element.name.contains("31000005") && element.checked)
        .expect("chosen");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.picture("ja-11-renew").expect("a picture");
    screen.press("認証して発行").expect("pressed");
    screen.fill("PIN", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("トークンに触れてください").expect("asked to touch");
    screen.picture("ja-12-renewing").expect("a picture");
    screen.wait_for("証明書の更新が完了しました").expect("done");
    screen.picture("ja-13-renewed").expect("a picture");
    screen.press("閉じる").expect("pressed");
    assert_eq!(office.states("hokkai-05"), ["issued", "revoked"]);
    screen.press("証明書更新").expect("pressed");
    screen.wait_for("更新済みです").expect("the old one");
    assert!(!screen.says("更新前の証明書の消去").expect("read"), "its grace isn't over");
    screen.press("戻る").expect("pressed");
    screen.press("中断").expect("pressed");
    assert!(agent.wait(Duration::from_secs(20)).expect("it ends").success(), "{}", agent.log());

    office.days_later(344);
    let _agent = office.window("ja", "", &[]);
    let screen = &office.desktop;
    screen.press("証明書更新").expect("pressed");
    screen.press("更新前の証明書の消去").expect("pressed");
    screen.fill("PIN", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("消去しました").expect("cleared away");
    screen.picture("ja-14-cleared-away").expect("a picture");
    let slots: Vec<u8> = office.desk.keys[0].state().slots.keys().copied().collect();
    assert_eq!(slots, [0x9a], "one key is left, where the first one was");
}

#[test]
fn a_renewal_by_keyboard_alone_in_english_on_a_small_screen() {
    let mut office = Office::open("gui-renew-keys", vec![Profile::new(31_000_006, NEW)], (480, 420));
    office.user("hokkai-06", "Hokkai Rokuro", Some(31_000_006));
    office.desk.enroll(&office.bank, "hokkai-06", 31_000_006).expect("a certificate");
    office.days_later(340);
    let mut agent = office.window("en", "", &[]);
    let screen = &office.desktop;
    let focus = |name: &str| {
        screen.wait(&format!("the focus on {name:?}"), |element| element.focused && element.name == name)
    };
    focus("Obtain a certificate").expect("the first entry");
    screen.keys(&["Tab"]).expect("pressed");
    focus("Renew a certificate").expect("the next");
    screen.keys(&["Return"]).expect("pressed");
    // There is one certificate, and its login ID is filled in: the password comes next.
    focus("Login password").expect("there");
    screen.type_text(LOGIN_PASSWORD).expect("typed");
    screen.picture("en-5-small-renew").expect("a picture");
    screen.keys(&["Return"]).expect("pressed");
    focus("PIN").expect("there");
    screen.type_text(TOKEN_PIN).expect("typed");
    screen.keys(&["Return"]).expect("pressed");
    screen.wait_for("The certificate is renewed").expect("done");
    focus("Close").expect("there");
    screen.picture("en-6-small-renewed").expect("a picture");
    assert_eq!(office.states("hokkai-06"), ["issued", "revoked"]);
    screen.keys(&["Return"]).expect("pressed");
    focus("Obtain a certificate").expect("the start menu again");
    // The last button before the first entry, around the corner, is the other language; before it comes “Quit”.
    screen.keys(&["shift+Tab", "shift+Tab"]).expect("pressed");
    focus("Quit").expect("there");
    screen.keys(&["Return"]).expect("pressed");
    assert!(agent.wait(Duration::from_secs(20)).expect("it ends").success(), "{}", agent.log());
}
