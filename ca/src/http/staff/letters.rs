//! Letters that a clerk prints and hands over. What stands in them is kept nowhere: the page is the only copy, which is
//! why it answers the form directly.

use axum::response::Response;
use ca_core::{
    app::customers::IssuedCode,
    domain::{
        contract::Contract,
        ids::UserId,
        user::{PasswordKind, User},
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::{Console, Trouble, page::Letter, visitor::Officer};

/// 取得用コードのお知らせ.
pub(super) async fn code(
    console: &Console,
    officer: &Officer,
    user: &UserId,
    code: &IssuedCode,
) -> Result<Response, Trouble> {
    let t = officer.t();
    let (user, contract) = addressee(console, officer, user).await?;
    let facts = vec![
        (t.contract_number, contract.number.to_string()),
        (t.user_id, user.id.to_string()),
        (t.deadline, officer.time(code.expires_at)),
    ];
    Ok(Letter {
        title: t.code_letter_title,
        paragraphs: t.code_letter_text,
        facts,
        secret_label: t.acquisition_code,
        secret: code.code.expose_secret().to_owned(),
        closing: t.code_letter_closing,
        ..blank(console, officer, &user, &contract)
    }
    .respond())
}

/// 初期パスワードのお知らせ.
pub(super) async fn password(
    console: &Console,
    officer: &Officer,
    user: &UserId,
    (kind, password): (PasswordKind, &SecretString),
) -> Result<Response, Trouble> {
    let t = officer.t();
    let (user, contract) = addressee(console, officer, user).await?;
    let (title, label) = match kind {
        PasswordKind::Login => (t.password_letter_title, t.login_password),
        PasswordKind::Confirmation => (t.confirmation_letter_title, t.confirmation_password),
    };
    let facts = vec![(t.contract_number, contract.number.to_string()), (t.user_id, user.id.to_string())];
    Ok(Letter {
        title,
        paragraphs: t.password_letter_text,
        facts,
        secret_label: label,
        secret: password.expose_secret().to_owned(),
        closing: t.password_letter_closing,
        ..blank(console, officer, &user, &contract)
    }
    .respond())
}

fn blank(console: &Console, officer: &Officer, user: &User, contract: &Contract) -> Letter {
    Letter {
        frame: officer.page("/search", "").frame,
        title: "",
        date: officer.time(console.clock.now()),
        contract_name: contract.name.clone(),
        user_name: user.display_name.clone(),
        paragraphs: &[],
        facts: Vec::new(),
        secret_label: "",
        secret: String::new(),
        closing: &[],
        back: format!("/users/{}", user.id),
    }
}

async fn addressee(console: &Console, officer: &Officer, user: &UserId) -> Result<(User, Contract), Trouble> {
    let dossier = console.overview.user(officer.acting(), user).await?.ok_or(Trouble::NotFound)?;
    Ok((dossier.user, dossier.contract.ok_or(Trouble::NotFound)?))
}
