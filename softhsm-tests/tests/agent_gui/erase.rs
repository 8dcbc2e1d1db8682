//! 証明書の消去: a whole token, with its PIN and without, and what the bank can't be told at once.

use softhsm_tests::{
    bank::{LOGIN_PASSWORD, TOKEN_PIN},
    virtual_yubikey::Profile,
};

use crate::{NEW, desktop::Element, office::Office};

#[test]
fn a_whole_token_is_reset_and_the_bank_is_told_later() {
    let token = 31_000_031;
    let office = Office::open("gui-whole", vec![Profile::new(token, NEW)], (900, 900));
    office.user("hokkai-31", "北海 卅一", Some(token));
    office.desk.enroll(&office.bank, "hokkai-31", token).expect("a certificate");
    // The network is down: nobody is at that address.
    let _agent = office.window("ja", "", &["--server", "https://127.0.0.1:9"]);
    let screen = &office.desktop;
    screen.press("証明書の消去").expect("pressed");
    screen.wait_for("トークン全体の初期化").expect("offered");
    screen.picture("ja-15-whole-token").expect("a picture");
    screen.press("初期化する").expect("pressed");
    let label = "続けるには、シリアル番号の末尾 0031 を入力してください";
    screen.fill(label, "0032").expect("typed");
    screen.wait("the button", |element| element.name == "初期化する" && !element.enabled).expect("grey");
    screen.picture("ja-16-whole-token-confirm").expect("a picture");
    screen.fill(label, "0031").expect("typed");
    screen.press("初期化する").expect("pressed");
    screen.wait_for("別に失効の手続きが必要です").expect("why the PIN");
    screen.fill("PIN", "000001").expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("残り2回").expect("the tries left");
    screen.fill("PIN", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("出荷時の状態に戻しました").expect("reset");
    screen.wait_for("現在、銀行に通知できません").expect("kept");
    screen.picture("ja-17-untold").expect("a picture");
    assert!(office.desk.keys[0].state().slots.is_empty(), "the key is gone");
    assert_eq!(office.states("hokkai-31"), ["issued"], "the bank doesn't know yet");

    // The start menu reminds of it; once the bank can be reached, it is told.
    screen.press("閉じる").expect("pressed");
    screen.wait_for("銀行への通知が済んでいません").expect("reminded");
    screen.picture("ja-18-start-untold").expect("a picture");
    screen.press("接続設定(プロキシ)").expect("pressed");
    screen.fill("接続先(銀行のアドレス)", &office.bank.urls().public).expect("typed");
    screen.press("次へ").expect("pressed");
    screen.press("今すぐ通知する").expect("pressed");
    screen.wait_for("銀行に通知し、証明書を失効しました").expect("told");
    assert_eq!(office.states("hokkai-31"), ["revoked"]);
    screen.press("閉じる").expect("pressed");
    screen.wait_for("スタートメニュー").expect("the start menu");
    assert!(!screen.says("銀行への通知が済んでいません").expect("read"));

    // It serves again, and ends without anybody knowing its PIN.
    screen.press("証明書発行").expect("pressed");
    screen.fill("ログインID", "hokkai-31").expect("typed");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.press("認証して発行").expect("pressed");
    screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
    screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("証明書の取得が完了しました").expect("done");
    screen.press("閉じる").expect("pressed");
    screen.press("証明書の消去").expect("pressed");
    screen.press("初期化する").expect("pressed");
    screen.fill(label, "0031").expect("typed");
    screen.press("初期化する").expect("pressed");
    screen.press("PINがわからない").expect("pressed");
    screen.wait_for("失効も行ってください").expect("what is left to be done");
    screen.picture("ja-19-to-revoke").expect("a picture");
    assert_eq!(office.states("hokkai-31"), ["issued", "revoked"]);
    let list = office.bank.operator(&["certificate", "list", "--user", "hokkai-31"]).expect("a list");
    let mut rows = list.as_array().expect("a list").iter();
    let issued = rows.find(|row| row["state"] == "issued").expect("one");
    let serial = issued["serial"].as_str().expect("a serial number");
    screen.wait_for(serial).expect("named");

    // The agent reminds of it until the bank says that it is revoked.
    screen.press("閉じる").expect("pressed");
    screen.wait_for("失効を確認できていません").expect("reminded");
    screen.picture("ja-19-start-to-revoke").expect("a picture");
    screen.press("失効を確認する").expect("pressed");
    screen.wait_for("失効も行ってください").expect("not yet");
    screen.press("閉じる").expect("pressed");
    office
        .bank
        .operator(&["certificate", "revoke", serial, "--reason", "cessationOfOperation"])
        .expect("revoked");
    let known = "銀行に通知する内容はありません";
    // The responder knows within seconds.
    loop {
        screen.press("失効を確認する").expect("pressed");
        let said = |element: &Element| element.says(known) || element.says("失効も行ってください");
        if screen.wait("what the bank says", said).expect("said").says(known) {
            break;
        }
        screen.press("閉じる").expect("pressed");
    }
    screen.press("閉じる").expect("pressed");
    screen.wait_for("スタートメニュー").expect("the start menu");
    assert!(!screen.says("失効を確認できていません").expect("read"));
}
