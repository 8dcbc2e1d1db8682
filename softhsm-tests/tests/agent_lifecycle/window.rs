//! PINロック解除 in the window, read as by a screen reader; and tokens that come and go while it is open.

use std::{path::Path, process::Command, time::Duration};

use softhsm_tests::{
    bank::{LOGIN_PASSWORD, Portal, TOKEN_PIN},
    binaries,
    process::Process,
    virtual_yubikey::Profile,
};

use crate::{
    desktop::Desktop,
    rig::{NEW, Office},
};

fn window(office: &Office, desktop: &Desktop, lang: &str, more: &[&str]) -> Process {
    let bank = office.bank();
    let mut command = Command::new(binaries::find("inro-agent").expect("a fresh agent"));
    command.envs(office.desk.pcscd.environment().iter().cloned());
    command.args(["--lang", lang]).args(more).args(["gui", "--user", "hokkai-01", "--state-dir"]);
    command.arg(bank.path("window-state")).arg("--ca-file").arg(bank.path("tls/ca.pem"));
    command.args(["--server", &bank.urls().public]).envs(desktop.environment());
    let mut agent = Process::spawn("agent", &mut command, &bank.path("desktop")).expect("started");
    desktop.focus_window(&mut agent).expect("a window");
    agent
}

fn desktop(directory: &Path) -> Desktop {
    Desktop::start(directory, 900, 860).expect("a desktop")
}

#[test]
fn a_blocked_pin_is_unblocked_in_the_window() {
    let token = 63_600_001;
    let office = Office::open("lifecycle-window", &[("hokkai-01", Profile::new(token, NEW))]);
    office.desk.enroll(office.bank(), "hokkai-01", token).expect("a certificate");
    office.block_pin(token);
    let screen = desktop(&office.bank().path("desktop"));
    let mut agent = window(&office, &screen, "ja", &[]);
    screen.wait_for("スタートメニュー").expect("the start menu");
    screen.press("PINロック解除").expect("pressed");
    let listed = |element: &crate::desktop::Element| element.name.contains("63600001") && element.checked;
    screen.wait("the token", listed).expect("chosen");
    // It is pulled out and put back: the list follows by itself.
    office.desk.keys[0].eject().expect("pulled out");
    screen.wait_for("トークンが接続されていません").expect("gone from the list");
    office.desk.keys[0].insert().expect("put back");
    screen.wait("the token", listed).expect("there again");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.picture("unblock-ja-1-form").expect("a picture");
    screen.press("ロック解除を申請").expect("pressed");
    screen.wait_for("受付番号").expect("waiting for the approval");
    screen.picture("unblock-ja-2-waiting").expect("a picture");
    // Later, by the same request.
    screen.press("あとで続ける").expect("pressed");
    screen.wait_for("まだ承認されていません").expect("told how to go on");
    screen.picture("unblock-ja-3-later").expect("a picture");
    office.master_does("hokkai-01", "unblock-pin");
    screen.press("もう一度").expect("pressed");
    screen.wait("the token", listed).expect("chosen");
    screen.fill("ログインパスワード", LOGIN_PASSWORD).expect("typed");
    screen.press("ロック解除を申請").expect("pressed");
    screen.fill("新しいPIN", TOKEN_PIN).expect("typed");
    screen.fill("新しいPIN(確認)", TOKEN_PIN).expect("typed");
    screen.press("OK").expect("pressed");
    screen.wait_for("新しいPINを設定しました").expect("done");
    screen.picture("unblock-ja-4-done").expect("a picture");
    assert_eq!(office.audit("unblocking.asked").len(), 1, "one request for both");
    screen.press("閉じる").expect("pressed");
    screen.press("中断").expect("pressed");
    assert!(agent.wait(Duration::from_secs(20)).expect("it ends").success(), "{}", agent.log());
    assert!(!agent.log().contains(TOKEN_PIN) && !agent.log().contains(LOGIN_PASSWORD));
    Portal::new(office.bank(), &office.desk, token).expect("a browser").login().expect("logged in");

    // In English, and a token that stays while nobody works.
    let configuration = office.bank().path("agent.toml");
    std::fs::write(&configuration, "remind_minutes = 1\n").expect("a file");
    let file = configuration.display().to_string();
    let _agent = window(&office, &screen, "en", &["--config", &file]);
    screen.press("Unblock the PIN").expect("pressed");
    screen.wait_for("Your master user or the branch approves it").expect("the page");
    screen.picture("unblock-en-1-form").expect("a picture");
    screen.press("Back").expect("pressed");
    // It takes a minute, which is as long as a desktop waits for anything.
    let reminded = || screen.wait_for("The token is still plugged in");
    reminded().or_else(|_| reminded()).expect("reminded");
    screen.picture("reminder-en").expect("a picture");
}
