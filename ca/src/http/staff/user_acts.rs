//! What a clerk does for a user: each a form on the user's page.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use ca_core::{
    app::staff::Acting,
    domain::{
        approval::Proposal,
        device::{Device, DeviceKind},
        ids::{TokenSerial, UserId},
        staff::Task,
        user::PasswordKind,
    },
};

use super::{Console, Fields, Trouble, catalogue::Catalogue, field, letters, see, visitor::Officer};

pub(super) async fn act(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path((id, act)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let Ok(user) = UserId::parse(&id) else { return Trouble::NotFound.page(&officer, "/search") };
    let back = format!("/users/{user}");
    let (desk, clerk, typed) = (console.clone(), officer.clone(), fields.clone());
    let done =
        console.act(&officer, &fields, async move { decide(&desk, &clerk, &user, &act, &typed).await });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, &back))
}

async fn decide(
    console: &Console,
    officer: &Officer,
    user: &UserId,
    act: &str,
    fields: &Fields,
) -> Result<Response, Trouble> {
    let (t, acting, desk) = (officer.t(), officer.acting(), &console.desk);
    console.first(officer, Task::KeepCustomers, user.as_str()).await?;
    let done = match act {
        "letter" => {
            let code = desk.issue_code(acting, user).await?;
            return letters::code(console, officer, user, &code).await;
        }
        "password" | "confirmation" => {
            let kind = if act == "password" { PasswordKind::Login } else { PasswordKind::Confirmation };
            let password = desk.reset_password(acting, user, kind).await?;
            return letters::password(console, officer, user, (kind, &password)).await;
        }
        "reobtain" => return ask(console, acting, t, user, fields).await,
        "token" => {
            desk.assign_token(acting, user, &device(t, fields)?).await?;
            "token"
        }
        "release" => {
            desk.release_token(acting, user).await?;
            "released"
        }
        "unlock" => {
            desk.unlock(acting, user).await?;
            "unlocked"
        }
        "suspend" => {
            desk.suspend(acting, user, true).await?;
            "suspended"
        }
        "resume" => {
            desk.suspend(acting, user, false).await?;
            "resumed"
        }
        "remove" if field(fields, "sure") != "yes" => return Err(Trouble::Field(t.tick_first)),
        "remove" => {
            desk.remove(acting, user).await?;
            console.revoked.notify_one();
            "removed"
        }
        _ => return Err(Trouble::NotFound),
    };
    Ok(see(&format!("/users/{user}?done={done}")))
}

/// Obtaining again takes two.
async fn ask(
    console: &Console,
    acting: &Acting,
    t: &'static Catalogue,
    user: &UserId,
    fields: &Fields,
) -> Result<Response, Trouble> {
    let user = user.clone();
    let proposal = match field(fields, "way") {
        "code" => Proposal::ReobtainByCode { user },
        "token" => Proposal::ReobtainWithToken { user, device: device(t, fields)? },
        _ => return Err(Trouble::Field(t.choose_way)),
    };
    let asked = console.approvals.ask(acting, proposal, field(fields, "reason")).await?;
    Ok(see(&format!("/approvals/{}?done=asked", asked.id)))
}

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
fn device(t: &'static Catalogue, fields: &Fields) -> Result<Device, Trouble> {
    Ok(Device {
        kind: DeviceKind::parse(field(fields, "kind")).ok_or(Trouble::Field(t.token_bad))?,
        serial: TokenSerial::parse(field(fields, "serial")).map_err(|_| Trouble::Field(t.token_bad))?,
    })
}
