//! 接続設定: the bank's address and the company's proxy. It holds for as long as the window is open; what shall hold
//! longer stands in `agent.toml`. What the administrator's policy fixes is shown, and can't be changed.

use std::sync::Arc;

use eframe::egui::{RichText, Ui};

use super::Page;
use crate::{
    gui::{
        desk::Desk,
        field::{self, SecretField},
        look,
    },
    messages::{Lang, window::Word},
    proxy::DIRECT,
    route::{ProxyPassword, Route},
};

/// What the form holds.
#[derive(Default)]
pub(in crate::gui) struct ConnectionForm {
    server: String,
    use_proxy: bool,
    host: String,
    port: String,
    user: String,
    password: SecretField,
    wrong: bool,
    /// What is wrong was not seen yet.
    unseen: bool,
}

impl ConnectionForm {
    pub(super) fn of(route: &Route) -> Self {
        let given = route.proxy.as_deref().filter(|proxy| *proxy != DIRECT);
        let (host, port) = given.map(host_and_port).unwrap_or_default();
        Self {
            server: route.server.clone().unwrap_or_default(),
            use_proxy: given.is_some(),
            host,
            port,
            user: route.proxy_user.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The proxy's address; `None` when it isn't one.
    fn proxy(&self) -> Option<String> {
        let host = self.host.trim();
        let port: u16 = self.port.trim().parse().ok().filter(|port| *port > 0)?;
        let plausible = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || ".-_:[]".contains(c));
        plausible.then(|| format!("http://{host}:{port}"))
    }

    /// The way to the server that the form describes; `None` when it isn't right.
    fn apply(&mut self, present: &Route) -> Option<Route> {
        let server = Some(self.server.trim().to_owned()).filter(|server| !server.is_empty());
        let route = Route {
            server: if present.fixed.server { present.server.clone() } else { server },
            ca_file: present.ca_file.clone(),
            company_ca_file: present.company_ca_file.clone(),
            no_proxy: present.no_proxy.clone(),
            fixed: present.fixed,
            patience: present.patience,
            against_policy: present.against_policy,
            ..Route::default()
        };
        if !self.use_proxy {
            // Without a proxy that is given, the system's settings count, unless they were ruled out.
            let direct = present.proxy.clone().filter(|proxy| proxy == DIRECT);
            return Some(Route { proxy: direct, ..route });
        }
        let proxy = if present.fixed.proxy { present.proxy.clone()? } else { self.proxy()? };
        let user = self.user.trim();
        let password = self.password.take_secret();
        let password = if password.expose().is_empty() { None } else { Some(ProxyPassword::Typed(password)) };
        Some(Route {
            proxy: Some(proxy),
            proxy_user: (!user.is_empty()).then(|| user.to_owned()),
            // One that a file holds is used as long as nothing else is typed.
            proxy_password: password.or_else(|| match &present.proxy_password {
                Some(ProxyPassword::File(path)) => Some(ProxyPassword::File(path.clone())),
                _ => None,
            }),
            ..route
        })
    }

    fn proxy_fields(&mut self, ui: &mut Ui, fixed: bool, lang: Lang) {
        look::callout(ui, look::AMBER, |ui| look::paragraph(ui, Word::ProxyWarning.text(lang)));
        ui.add_enabled_ui(!fixed, |ui| {
            look::focusable(field::text(ui, Word::ProxyHost.text(lang), &mut self.host));
            look::focusable(field::text(ui, Word::ProxyPort.text(lang), &mut self.port));
        });
        look::focusable(field::text(ui, Word::ProxyUser.text(lang), &mut self.user));
        look::focusable(field::secret(ui, Word::ProxyPassword.text(lang), &mut self.password));
    }

    pub(super) fn show(&mut self, ui: &mut Ui, desk: &mut Desk) -> Option<Page> {
        let lang = desk.lang;
        look::title(ui, Word::Connection.text(lang));
        let fixed = desk.route.fixed;
        let first = ui.add_enabled_ui(!fixed.server, |ui| {
            look::focusable(field::text(ui, Word::Server.text(lang), &mut self.server))
        });
        if desk.fresh && !fixed.server {
            first.inner.request_focus();
        }
        look::hint(ui, Word::ServerHint.text(lang));
        if fixed.server || fixed.proxy {
            look::hint(ui, Word::FixedByPolicy.text(lang));
        }
        ui.add_space(8.0);
        ui.add_enabled_ui(!fixed.proxy, |ui| {
            look::focusable(ui.checkbox(&mut self.use_proxy, Word::UseProxy.text(lang)));
        });
        if self.use_proxy {
            self.proxy_fields(ui, fixed.proxy, lang);
        } else {
            look::hint(ui, Word::SystemProxy.text(lang));
        }
        if self.wrong {
            let said = look::status(ui, RichText::new(Word::PortWrong.text(lang)).color(look::RED));
            if std::mem::take(&mut self.unseen) {
                said.scroll_to_me(None);
            }
        }
        let (back, next) = look::buttons(ui, |ui| {
            let next = look::primary(ui, Word::Next.text(lang), true).clicked();
            (look::secondary(ui, Word::Back.text(lang)).clicked(), next)
        });
        if next {
            if let Some(route) = self.apply(&desk.route) {
                self.wrong = false;
                desk.route = Arc::new(route);
                return Some(Page::Start);
            }
            (self.wrong, self.unseen) = (true, true);
            ui.ctx().request_repaint();
            return None;
        }
        back.then_some(Page::Start)
    }
}

fn host_and_port(address: &str) -> (String, String) {
    let bare = address.split_once("://").map_or(address, |(_, rest)| rest).trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':').unwrap_or((bare, ""));
    (host.to_owned(), port.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_proxy_stands_in_the_form_and_comes_out_again() {
        let preset = Route {
            server: Some("https://bank.example".into()),
            proxy: Some("http://proxy.example:3128/".into()),
            proxy_user: Some("office".into()),
            proxy_password: Some(ProxyPassword::File("/etc/proxy".into())),
            ..Route::default()
        };
        let mut form = ConnectionForm::of(&preset);
        let route = form.apply(&preset).expect("right");
        assert_eq!(route.proxy.as_deref(), Some("http://proxy.example:3128"));
        assert_eq!(route.proxy_user.as_deref(), Some("office"));
        assert!(matches!(route.proxy_password, Some(ProxyPassword::File(_))));
        form.use_proxy = false;
        assert!(form.apply(&preset).expect("right").proxy.is_none());
        let direct = Route { proxy: Some(DIRECT.into()), ..preset };
        let mut form = ConnectionForm::of(&direct);
        assert!(!form.use_proxy);
        assert_eq!(form.apply(&direct).expect("right").proxy.as_deref(), Some(DIRECT));
    }

    #[test]
    fn what_the_administrator_fixed_survives_the_form() {
        let fixed = crate::config::Fixed { server: true, proxy: true, ..Default::default() };
        let policy = Route {
            server: Some("https://bank.example".into()),
            company_ca_file: Some("/etc/inro/company.pem".into()),
            proxy: Some("http://proxy.example:3128".into()),
            no_proxy: Some(String::new()),
            fixed,
            ..Route::default()
        };
        let mut form = ConnectionForm::of(&policy);
        (form.server, form.host) = ("https://evil.example".into(), "evil.example".into());
        form.user = "office".into();
        let route = form.apply(&policy).expect("right");
        assert_eq!(route.server.as_deref(), Some("https://bank.example"));
        assert_eq!(route.proxy.as_deref(), Some("http://proxy.example:3128"));
        assert_eq!((route.no_proxy.as_deref(), route.fixed), (Some(""), fixed));
        assert_eq!(route.company_ca_file, Some("/etc/inro/company.pem".into()));
        assert_eq!(route.proxy_user.as_deref(), Some("office"));
    }

    #[test]
    fn a_proxy_has_a_name_and_a_port() {
        for (host, port) in
            [("", "3128"), ("proxy", ""), ("proxy", "0"), ("proxy", "70000"), ("a b", "1"), ("u@p", "1")]
        {
            let form = ConnectionForm {
                host: host.into(),
                port: port.into(),
                use_proxy: true,
                ..ConnectionForm::default()
            };
            assert_eq!(form.proxy(), None, "{host}:{port}");
        }
    }
}
