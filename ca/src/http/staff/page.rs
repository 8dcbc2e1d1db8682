//! What the console's pages are made of: facts, tables and forms, so that all of them look and behave alike. askama
//! escapes every value; a [`Cell`] is the only thing that a page takes as it is, and it escapes its own.

use std::borrow::Cow;

use askama::Template;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::catalogue::Catalogue;
use crate::http::{
    portal::{
        catalogue::Language,
        pages::{STYLESHEET_PATH, page},
    },
    support::SupportId,
};

const STAFF_STYLESHEET: &str = include_str!("../../../templates/staff/staff.css");
pub(super) const STAFF_STYLESHEET_PATH: &str = concat!("/assets/staff-", env!("CARGO_PKG_VERSION"), ".css");

/// What every page has round its content.
pub(super) struct Frame {
    pub(super) t: &'static Catalogue,
    pub(super) lang: &'static str,
    pub(super) other_lang: &'static str,
    pub(super) portal_stylesheet: &'static str,
    pub(super) stylesheet: &'static str,
    /// The address of the menu's item that is marked.
    pub(super) section: &'static str,
    pub(super) who: Option<Who>,
    /// What the language switch keeps of the address, such as `q=a&`.
    pub(super) query: String,
}

/// Who is logged in.
pub(super) struct Who {
    pub(super) id: String,
    pub(super) csrf: String,
    /// Label and address.
    pub(super) menu: Vec<(&'static str, &'static str)>,
}

impl Frame {
    /// Round a page that anybody sees.
    pub(super) fn anonymous(language: Language) -> Self {
        let (lang, other_lang) = match language {
            Language::Japanese => ("ja", "en"),
            Language::English => ("en", "ja"),
        };
        Self {
            t: Catalogue::of(language),
            lang,
            other_lang,
            portal_stylesheet: STYLESHEET_PATH,
            stylesheet: STAFF_STYLESHEET_PATH,
            section: "",
            who: None,
            query: String::new(),
        }
    }
}

/// A value in a table or among facts.
#[derive(Clone, Debug, Template)]
#[template(path = "staff/cell.html")]
pub(super) enum Cell {
    Text(String),
    Code(String),
    Time(String),
    Link {
        href: String,
        label: String,
    },
    CodeLink {
        href: String,
        label: String,
    },
    /// An act of the audit trail, in words and by its name there.
    Act {
        words: &'static str,
        name: String,
    },
    Good(String),
    Bad(String),
    /// Several lines, small.
    Details(String),
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn code(text: impl std::fmt::Display) -> Self {
        Self::Code(text.to_string())
    }

    pub(super) fn user(id: impl std::fmt::Display) -> Self {
        Self::CodeLink { href: format!("/users/{id}"), label: id.to_string() }
    }

    pub(super) fn contract(number: impl std::fmt::Display) -> Self {
        Self::CodeLink { href: format!("/contracts/{number}"), label: number.to_string() }
    }

    pub(super) fn certificate(serial: impl std::fmt::Display) -> Self {
        Self::CodeLink { href: format!("/certificates/{serial}"), label: serial.to_string() }
    }
}

/// A part of a page.
pub(super) enum Section {
    Text {
        title: String,
        paragraphs: Vec<String>,
    },
    Links {
        title: String,
        links: Vec<(String, String)>,
    },
    Facts {
        title: String,
        facts: Vec<(&'static str, Cell)>,
    },
    Table {
        title: String,
        head: Vec<&'static str>,
        rows: Vec<Vec<Cell>>,
        empty: &'static str,
        more: Option<(String, String)>,
    },
    Form(Form),
    /// Several beside each other.
    Forms {
        title: &'static str,
        forms: Vec<Form>,
    },
}

impl Section {
    /// A table without a continuation.
    pub(super) fn table(
        title: &str,
        head: &[&'static str],
        rows: Vec<Vec<Cell>>,
        empty: &'static str,
    ) -> Self {
        Self::Table { title: title.to_owned(), head: head.to_vec(), rows, empty, more: None }
    }
}

/// A form. It gets the session's token from its page.
#[derive(Template)]
#[template(path = "staff/form.html")]
pub(super) struct Form {
    csrf: String,
    /// Unique on its page.
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    pub(super) action: String,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) warning: &'static str,
    pub(super) button: &'static str,
    pub(super) danger: bool,
}

impl Form {
    /// A form that is posted to `action`.
    pub(super) fn post(
        id: &'static str,
        action: impl Into<String>,
        title: &'static str,
        button: &'static str,
    ) -> Self {
        Self {
            csrf: String::new(),
            id,
            method: "post",
            action: action.into(),
            title,
            text: "",
            fields: Vec::new(),
            warning: "",
            button,
            danger: false,
        }
    }

    /// A form that only asks.
    pub(super) fn get(id: &'static str, action: &str, title: &'static str, button: &'static str) -> Self {
        Self { method: "get", ..Self::post(id, action, title, button) }
    }

    pub(super) fn text(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    /// What it takes away can be given back.
    pub(super) fn warned(self, warning: &'static str) -> Self {
        Self { warning, ..self }
    }

    /// What it does is final.
    pub(super) fn danger(self, warning: &'static str) -> Self {
        Self { warning, danger: true, ..self }
    }

    pub(super) fn with(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }
}

/// Characters of a name at the most.
pub(super) const MAX_NAME: usize = 64;
/// Characters of a reason or a note at the most.
pub(super) const MAX_NOTE: usize = 200;

/// A field of a form.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: Cow<'static, str>,
    pub(super) value: String,
    pub(super) required: bool,
    pub(super) ticked: bool,
    pub(super) kind: FieldKind,
}

pub(super) enum FieldKind {
    Tick,
    /// Values and what is shown of them.
    Choice(Vec<(Cow<'static, str>, String)>),
    Long,
    /// With so many characters at the most.
    Line(usize),
    Day,
}

impl Field {
    fn new(name: &'static str, label: &'static str, value: impl Into<String>, kind: FieldKind) -> Self {
        Self {
            name,
            label,
            hint: Cow::Borrowed(""),
            value: value.into(),
            required: false,
            ticked: false,
            kind,
        }
    }

    pub(super) fn line(name: &'static str, label: &'static str, value: &str, maximum: usize) -> Self {
        Self { required: true, ..Self::new(name, label, value, FieldKind::Line(maximum)) }
    }

    pub(super) fn long(name: &'static str, label: &'static str, value: &str) -> Self {
        Self { required: true, ..Self::new(name, label, value, FieldKind::Long) }
    }

    pub(super) fn day(name: &'static str, label: &'static str, value: &str) -> Self {
        Self::new(name, label, value, FieldKind::Day)
    }

    pub(super) fn tick(name: &'static str, label: &'static str, value: &str, ticked: bool) -> Self {
        Self { ticked, ..Self::new(name, label, value, FieldKind::Tick) }
    }

    pub(super) fn choice(
        name: &'static str,
        label: &'static str,
        value: &str,
        choices: impl IntoIterator<Item = (impl Into<Cow<'static, str>>, String)>,
    ) -> Self {
        let choices = choices.into_iter().map(|(value, shown)| (value.into(), shown)).collect();
        Self::new(name, label, value, FieldKind::Choice(choices))
    }

    pub(super) fn hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    pub(super) fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    pub(super) fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// A page.
#[derive(Template)]
#[template(path = "staff/page.html")]
pub(super) struct Page {
    pub(super) frame: Frame,
    pub(super) title: String,
    /// Label and address.
    pub(super) crumbs: Vec<(String, String)>,
    pub(super) alert: Option<String>,
    pub(super) notice: Option<&'static str>,
    pub(super) sections: Vec<Section>,
    pub(super) support_id: Option<String>,
    pub(super) link: Option<(&'static str, String)>,
    csrf: String,
}

impl Page {
    pub(super) fn new(frame: Frame, title: impl Into<String>) -> Self {
        let csrf = frame.who.as_ref().map(|who| who.csrf.clone()).unwrap_or_default();
        Self {
            frame,
            title: title.into(),
            crumbs: Vec::new(),
            alert: None,
            notice: None,
            sections: Vec::new(),
            support_id: None,
            link: None,
            csrf,
        }
    }

    /// With the token of a form before there is a session.
    pub(super) fn with_csrf(self, csrf: String) -> Self {
        Self { csrf, ..self }
    }

    pub(super) fn crumb(mut self, label: impl Into<String>, href: impl Into<String>) -> Self {
        self.crumbs.push((label.into(), href.into()));
        self
    }

    pub(super) fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    pub(super) fn form(self, form: Form) -> Self {
        let csrf = self.csrf.clone();
        self.section(Section::Form(Form { csrf, ..form }))
    }

    pub(super) fn forms(self, title: &'static str, forms: Vec<Form>) -> Self {
        let with_token = |form| Form { csrf: self.csrf.clone(), ..form };
        let forms = forms.into_iter().map(with_token).collect();
        self.section(Section::Forms { title, forms })
    }

    pub(super) fn paragraphs(self, paragraphs: &[&str]) -> Self {
        let paragraphs = paragraphs.iter().map(|paragraph| (*paragraph).to_owned()).collect();
        self.section(Section::Text { title: String::new(), paragraphs })
    }

    pub(super) fn linked(self, label: &'static str, href: &str) -> Self {
        Self { link: Some((label, href.to_owned())), ..self }
    }

    pub(super) fn support(self, support_id: SupportId) -> Self {
        Self { support_id: Some(support_id.to_string()), ..self }
    }

    pub(super) fn respond(self, status: StatusCode) -> Response {
        page(status, &self)
    }

    /// A page with a form: shown for the first time, or again with why what was typed wasn't taken.
    pub(super) fn respond_unless_refused(mut self, refused: Option<(StatusCode, String)>) -> Response {
        let (status, alert) = refused.map_or((StatusCode::OK, None), |(status, why)| (status, Some(why)));
        self.alert = alert;
        self.respond(status)
    }
}

/// A letter to a customer, with something that is shown this once.
#[derive(Template)]
#[template(path = "staff/letter.html")]
pub(super) struct Letter {
    pub(super) frame: Frame,
    pub(super) title: &'static str,
    pub(super) date: String,
    pub(super) contract_name: String,
    pub(super) user_name: String,
    pub(super) paragraphs: &'static [&'static str],
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) secret_label: &'static str,
    pub(super) secret: String,
    pub(super) closing: &'static [&'static str],
    pub(super) back: String,
}

impl Letter {
    pub(super) fn respond(self) -> Response {
        page(StatusCode::OK, &self)
    }
}

/// The console's own stylesheet.
pub(super) async fn stylesheet() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, STAFF_STYLESHEET).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_script_is_harmless_in_every_kind_of_cell() {
        const SCRIPT: &str = "<script>alert(\"x\")</script>'&";
        let text = SCRIPT.to_owned();
        for cell in [
            Cell::Text(text.clone()),
            Cell::Code(text.clone()),
            Cell::Time(text.clone()),
            Cell::Link { href: text.clone(), label: text.clone() },
            Cell::CodeLink { href: text.clone(), label: text.clone() },
            Cell::Act { words: SCRIPT, name: text.clone() },
            Cell::Good(text.clone()),
            Cell::Bad(text.clone()),
            Cell::Details(text.clone()),
        ] {
            let html = cell.render().expect("a cell");
            assert!(!html.contains("<script") && !html.contains("\"x\""), "{html}");
        }
    }
}
