//! The list as a file (RFC 4180) that spreadsheets open: nothing in it is taken for a formula.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    super::{
        Portal,
        catalogue::Catalogue,
        forms::{failed, not_permitted},
        visitor::LoggedIn,
    },
    Line, lines,
};

/// With it, spreadsheets read the file as UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The file.
pub(in super::super) async fn get(State(portal): State<Arc<Portal>>, logged_in: LoggedIn) -> Response {
    if !logged_in.is_master() {
        return not_permitted(&portal, &logged_in);
    }
    match lines(&portal, &logged_in).await {
        Ok((_, users)) => {
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"users.csv\""),
            ];
            (headers, file(logged_in.visitor.language.catalogue(), &users)).into_response()
        }
        Err(error) => failed("the list of users", &error, &portal, &logged_in),
    }
}

fn file(t: &Catalogue, users: &[Line]) -> String {
    let head = [t.user_id, t.name, t.users.account_state, t.certificate_state, t.valid_until, t.users.token]
        .map(field);
    let mut text = format!("{BYTE_ORDER_MARK}{}\r\n", head.join(","));
    for user in users {
        let token = user.token.as_deref().unwrap_or_default();
        let certificate = match &user.renewal {
            Some(renewal) => format!("{} / {}", user.certificate.text, renewal.text),
            None => user.certificate.text.to_owned(),
        };
        let line = [&*user.user_id, &*user.name, user.account.text, &*certificate, &*user.valid_until, token];
        text += &line.map(field).join(",");
        text += "\r\n";
    }
    text
}

/// A quoted field. What a spreadsheet would take for a formula becomes text by an apostrophe.
fn field(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, value.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_is_a_formula_and_quotes_stay_inside() {
        for (value, expected) in [
            ("山田 太郎", "\"山田 太郎\""),
            ("", "\"\""),
            ("=HYPERLINK(\"http://x\")", "\"'=HYPERLINK(\"\"http://x\"\")\""),
            ("+81", "\"'+81\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("＝1+1", "\"'＝1+1\""),
            ("a\",=1", "\"a\"\",=1\""),
        ] {
            assert_eq!(field(value), expected, "{value}");
        }
    }
}
