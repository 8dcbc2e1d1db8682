//! 「社内プロキシの認証」: the password at a real squid, asked for in the middle of a flow.

use softhsm_tests::{
    bank::{LOGIN_PASSWORD, TOKEN_PIN},
    squid::{PASSWORD, Squid, USER},
    virtual_yubikey::Profile,
};

use crate::{NEW, desktop::Desktop, office::Office};

/// From the start menu or the form to the question.
fn until_asked(screen: &Desktop) {
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.press("認証して発行").expect("pressed");
    screen.wait_for("社内プロキシの認証").expect("asked");
}

#[test]
fn the_proxy_s_password_is_asked_for_until_it_is_right_and_then_no_more() {
    let token = 31_000_041;
    let office = Office::open("gui-squid", vec![Profile::new(token, NEW)], (900, 760));
    office.user("hokkai-41", "北海 卌一", Some(token));
    let squid = Squid::start(&office.scratch.directory("squid").expect("a directory")).expect("squid");
    let mut agent = office.window("ja", "hokkai-41", &["--proxy", &squid.url(), "--proxy-user", USER]);
    let screen = &office.desktop;
    screen.press("証明書発行").expect("pressed");
    screen.wait("the token", |element| element.name.contains("31000041") && element.checked).expect("chosen");

    // It says whose password is meant, and whoever doesn't answer has asked nobody for anything.
    until_asked(screen);
    screen.wait_for("ログインIDとログインパスワードではありません").expect("warned");
    screen.wait_for(&format!("プロキシのユーザ名: {USER}")).expect("whose");
    screen.picture("ja-20-proxy-password").expect("a picture");
    screen.keys(&["Escape"]).expect("pressed");
    screen.wait("the form", |element| element.name == "認証して発行").expect("there");
    assert!(squid.requests().expect("a log").is_empty(), "{:?}", squid.requests());

    // A wrong one is refused by the proxy, before anything happens on the token, and asked for again.
    until_asked(screen);
    screen.fill("プロキシのパスワード", "guess").expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("手続きを完了できませんでした").expect("refused");
    screen.wait_for("Server.ProxyAuthentication").expect("a support code");
    screen.picture("ja-21-proxy-refused").expect("a picture");
    let refused = squid.requests().expect("a log");
    assert!(refused.iter().all(|line| line.contains("/407 CONNECT")) && !refused.is_empty(), "{refused:?}");
    assert!(office.desk.keys[0].state().pin.is_factory(), "the token was touched");
    screen.press("もう一度").expect("pressed");
    until_asked(screen);
    screen.fill("プロキシのパスワード", PASSWORD).expect("typed");
    assert!(!screen.says(PASSWORD).expect("read"), "the password can be read");
    screen.keys(&["Return"]).expect("pressed");
    screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
    screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("証明書の取得が完了しました").expect("done");
    let passed = &squid.requests().expect("a log")[refused.len()..];
    let through = |line: &String| line.contains("/200 CONNECT") && line.ends_with(USER);
    assert!(!passed.is_empty() && passed.iter().all(through), "{passed:?}");

    // The next flow has it already.
    screen.press("閉じる").expect("pressed");
    screen.press("診断").expect("pressed");
    screen.wait_for("問題は見つかりませんでした").expect("nothing is wrong");
    screen.press("閉じる").expect("pressed");
    screen.press("中断").expect("pressed");
    assert!(agent.wait(std::time::Duration::from_secs(20)).expect("it ends").success(), "{}", agent.log());
    assert!(!agent.log().contains(PASSWORD) && !agent.log().contains(LOGIN_PASSWORD));
}
