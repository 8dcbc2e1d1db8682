//! 「このパソコン(TPM)」: obtaining, renewing, changing the PIN and erasing without any token.

use softhsm_tests::{
    bank::{LOGIN_PASSWORD, TOKEN_PIN},
    virtual_yubikey::Profile,
};

use crate::{
    NEW,
    desktop::{Element, Role},
    office::Office,
};

const OTHER_PIN: &str = "616263-z";

fn chosen(words: &str) -> impl Fn(&Element) -> bool {
    move |element| element.checked && element.name.contains(words)
}

#[test]
fn a_key_in_the_tpm_lives_its_whole_life_in_the_window() {
    let mut office = Office::with_tpm("gui-tpm", vec![Profile::new(31_000_021, NEW)], (900, 900));
    office.user_of_tpm("hokkai-21", "北海 廿一");
    office.desk.keys[0].eject().expect("pulled out");
    {
        let _agent = office.window("ja", "hokkai-21", &[]);
        let screen = &office.desktop;
        screen.press("証明書発行").expect("pressed");
        screen.wait_for("他のパソコンでは使えません").expect("said what the TPM is");
        // Nothing is chosen that nobody chose: a token may still come.
        screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
        screen
            .wait("the button", |element| element.name == "認証して発行" && !element.enabled)
            .expect("grey");
        screen.press("このパソコン(TPM)").expect("pressed");
        screen.picture("tpm-ja-1-form").expect("a picture");
        screen.press("認証して発行").expect("pressed");
        screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
        screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
        screen.picture("tpm-ja-2-pin").expect("a picture");
        screen.press("OK").expect("pressed");
        screen.wait_for("証明書の取得が完了しました").expect("done");
        screen.press("ブラウザを設定する").expect("pressed");
        screen.wait_for("設定しました").expect("browsers know the module");
        screen.picture("tpm-ja-3-done").expect("a picture");
        assert!(screen.says("北海 廿一").expect("read"));
        screen.press("閉じる").expect("pressed");

        screen.press("証明書の確認").expect("pressed");
        screen.wait_for("このパソコン(TPM) 鍵1").expect("where it is");
        screen.picture("tpm-ja-4-certificates").expect("a picture");
        screen.press("戻る").expect("pressed");

        screen.press("PINの変更").expect("pressed");
        screen.wait("the key", chosen("鍵1")).expect("chosen");
        screen.press("次へ").expect("pressed");
        screen.wait_for("TPMの鍵のPIN").expect("which PIN is meant");
        screen.fill("PIN", "000001").expect("typed");
        screen.press("OK").expect("pressed");
        screen.wait_for("TPMの鍵のPINが正しくありません").expect("told");
        screen.picture("tpm-ja-5-wrong-pin").expect("a picture");
        screen.fill("PIN", TOKEN_PIN).expect("typed");
        screen.press("OK").expect("pressed");
        screen.fill("新しいPIN", OTHER_PIN).expect("typed");
        screen.fill("新しいPIN(確認)", OTHER_PIN).expect("typed");
        screen.press("OK").expect("pressed");
        screen.wait_for("PINを変更しました").expect("changed");
        screen.press("閉じる").expect("pressed");
        screen.press("中断").expect("pressed");
    }
    office.days_later(340);
    let _agent = office.window("ja", "", &[]);
    let screen = &office.desktop;
    screen.press("証明書更新").expect("pressed");
    screen.wait("the only one", chosen("このパソコンのTPM")).expect("chosen");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.picture("tpm-ja-6-renew").expect("a picture");
    screen.press("認証して発行").expect("pressed");
    screen.fill("PIN", OTHER_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("証明書の更新が完了しました").expect("done");
    assert_eq!(office.states("hokkai-21"), ["issued", "revoked"]);
    screen.press("閉じる").expect("pressed");

    // What nobody needs any more goes: the key signs that, and the bank revokes.
    screen.press("証明書の消去").expect("pressed");
    screen.wait_for("このパソコン(TPM) 鍵2").expect("the new key");
    screen.picture("tpm-ja-7-erase").expect("a picture");
    screen.wait_for("(hokkai-21)").expect("with its certificate");
    // The old key, which has no certificate any more, stands below.
    screen.press("消去する").expect("pressed");
    screen.wait("the button", |element| element.name == "消去する" && !element.enabled).expect("grey");
    let label = screen
        .wait("the field", |element| {
            element.role == Role::Entry && element.name.contains("シリアル番号の末尾")
        })
        .expect("asked");
    let wanted = label.name.split_whitespace().nth(1).expect("four characters").to_owned();
    screen.picture("tpm-ja-8-confirm").expect("a picture");
    screen.fill(&label.name, &wanted).expect("typed");
    screen.press("消去する").expect("pressed");
    screen.wait_for("PINを入力すると").expect("why the PIN");
    screen.picture("tpm-ja-9-erase-pin").expect("a picture");
    screen.fill("PIN", OTHER_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("銀行に通知し、証明書を失効しました").expect("told");
    screen.picture("tpm-ja-10-erased").expect("a picture");
    assert_eq!(office.states("hokkai-21"), ["revoked", "revoked"]);
}
