//! How the window looks: colours of enough contrast (WCAG AA), sizes for all eyes, and the few parts that pages are made
//! of. Whatever gets the focus scrolls into sight.

use std::cmp::Ordering;

use eframe::egui::{
    Align, Button, CentralPanel, Color32, Context, CornerRadius, FontId, Frame, Label, Layout, Margin, Panel,
    Response, RichText, Role, ScrollArea, Sense, Stroke, Style, TextStyle, Theme, Ui, Vec2, Visuals,
    accesskit::Live, vec2,
};

const NAVY: Color32 = Color32::from_rgb(27, 42, 73);
const BLUE: Color32 = Color32::from_rgb(28, 90, 180);
const INK: Color32 = Color32::from_rgb(28, 32, 40);
const GREY: Color32 = Color32::from_rgb(84, 92, 106);
const LINE: Color32 = Color32::from_rgb(198, 205, 216);
pub(super) const PAPER: Color32 = Color32::from_rgb(246, 248, 251);
pub(super) const GREEN: Color32 = Color32::from_rgb(20, 108, 54);
pub(super) const AMBER: Color32 = Color32::from_rgb(140, 82, 0);
pub(super) const RED: Color32 = Color32::from_rgb(170, 28, 28);

/// Lines of text longer than this are hard to read.
const COLUMN: f32 = 700.0;

/// Sets the style, light whatever the desktop's theme.
pub(super) fn apply(context: &Context) {
    context.set_theme(Theme::Light);
    context.set_visuals_of(Theme::Light, visuals());
    context.style_mut_of(Theme::Light, style);
}

fn visuals() -> Visuals {
    let mut visuals = Visuals::light();
    visuals.override_text_color = Some(INK);
    visuals.weak_text_color = Some(GREY);
    visuals.panel_fill = PAPER;
    visuals.window_fill = Color32::WHITE;
    visuals.extreme_bg_color = Color32::WHITE;
    visuals.selection.bg_fill = BLUE.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(2.0, BLUE);
    let widgets = &mut visuals.widgets;
    for widget in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
        widget.corner_radius = CornerRadius::same(6);
        widget.bg_stroke = Stroke::new(1.0, LINE);
        widget.bg_fill = Color32::WHITE;
        widget.weak_bg_fill = Color32::WHITE;
        widget.fg_stroke.color = INK;
        widget.expansion = 0.0;
    }
    widgets.inactive.bg_stroke = Stroke::new(1.0, GREY);
    widgets.hovered.bg_stroke = Stroke::new(2.0, BLUE);
    widgets.active.bg_stroke = Stroke::new(2.0, NAVY);
    visuals
}

fn style(style: &mut Style) {
    for (text_style, size) in [
        (TextStyle::Small, 13.5),
        (TextStyle::Body, 16.0),
        (TextStyle::Button, 16.0),
        (TextStyle::Monospace, 15.0),
        (TextStyle::Heading, 24.0),
    ] {
        style.text_styles.insert(text_style, FontId::proportional(size));
    }
    style.spacing.item_spacing = vec2(10.0, 8.0);
    style.spacing.button_padding = vec2(18.0, 10.0);
    style.spacing.interact_size = vec2(48.0, 32.0);
    style.spacing.icon_width = 20.0;
    style.spacing.icon_width_inner = 11.0;
    style.spacing.icon_spacing = 8.0;
    style.spacing.window_margin = Margin::same(22);
}

/// The bar above every page, with the other language's name, if it may be chosen; whether it was.
pub(super) fn header(ui: &mut Ui, product: &str, other_language: &str) -> bool {
    let frame = Frame::new().fill(NAVY).inner_margin(Margin::symmetric(24, 12));
    // A height that the first frame needn't find out.
    let bar = Panel::top("header").frame(frame).exact_size(68.0).resizable(false).show_separator_line(false);
    bar.show(ui, |ui| {
        ui.allocate_ui_with_layout(
            vec2(ui.available_width(), 38.0),
            Layout::left_to_right(Align::Center),
            |ui| {
                ui.label(RichText::new(product).size(19.0).color(Color32::WHITE));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if other_language.is_empty() {
                        return false;
                    }
                    let text = RichText::new(other_language).color(Color32::WHITE);
                    let stroke = Stroke::new(1.0, Color32::WHITE);
                    let button = Button::new(text).fill(NAVY).stroke(stroke).min_size(vec2(0.0, 34.0));
                    focusable(ui.add(button)).clicked()
                })
                .inner
            },
        )
        .inner
    })
    .inner
}

/// A page's content: a column in the middle that scrolls.
pub(super) fn page<R>(ui: &mut Ui, name: &str, content: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = Frame::new().fill(PAPER).inner_margin(Margin::symmetric(24, 18));
    let panel = CentralPanel::no_frame().frame(frame);
    panel
        .show(ui, |ui| {
            let area = ScrollArea::vertical().id_salt(name.to_owned()).auto_shrink([false, false]);
            area.show(ui, |ui| {
                let width = ui.available_width();
                let margin = ((width - COLUMN) / 2.0).max(0.0);
                ui.horizontal_top(|ui| {
                    ui.add_space(margin);
                    ui.vertical(|ui| {
                        ui.set_width(width.min(COLUMN) - 12.0);
                        let result = content(ui);
                        ui.add_space(12.0);
                        result
                    })
                    .inner
                })
                .inner
            })
            .inner
        })
        .inner
}

/// A page's title, a heading to screen readers.
pub(super) fn title(ui: &mut Ui, text: &str) {
    let response = ui.add(Label::new(RichText::new(text).heading()).wrap());
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(Role::Heading);
        node.set_label(text);
    });
    ui.add_space(4.0);
}

/// A paragraph.
pub(super) fn paragraph(ui: &mut Ui, text: &str) {
    ui.add(Label::new(text).wrap());
}

/// The same in another colour.
pub(super) fn paragraph_in(ui: &mut Ui, text: RichText) {
    ui.add(Label::new(text).wrap());
}

/// A paragraph that only helps.
pub(super) fn hint(ui: &mut Ui, text: &str) {
    ui.add(Label::new(RichText::new(text).small().color(GREY)).wrap());
}

/// A paragraph that a screen reader says whenever it changes.
pub(super) fn status(ui: &mut Ui, text: RichText) -> Response {
    let response = ui.add(Label::new(text).wrap());
    ui.ctx().accesskit_node_builder(response.id, |node| node.set_live(Live::Polite));
    response
}

/// A box with a coloured bar.
pub(super) fn callout<R>(ui: &mut Ui, colour: Color32, content: impl FnOnce(&mut Ui) -> R) -> R {
    let frame = Frame::new()
        .fill(Color32::WHITE)
        .stroke(Stroke::new(1.0, LINE))
        .corner_radius(6)
        .inner_margin(Margin { left: 20, right: 16, top: 12, bottom: 12 });
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.vertical(content).inner
    });
    let mut bar = shown.response.rect;
    bar.max.x = bar.min.x + 6.0;
    ui.painter().rect_filled(bar, 3.0, colour);
    ui.add_space(8.0);
    shown.inner
}

/// A box.
pub(super) fn card<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    callout(ui, LINE, content)
}

/// The button that a page is for.
pub(super) fn primary(ui: &mut Ui, text: &str, enabled: bool) -> Response {
    filled(ui, text, BLUE, enabled)
}

/// A button that destroys something.
pub(super) fn destructive(ui: &mut Ui, text: &str, enabled: bool) -> Response {
    filled(ui, text, RED, enabled)
}

fn filled(ui: &mut Ui, text: &str, colour: Color32, enabled: bool) -> Response {
    let button = Button::new(RichText::new(text).color(Color32::WHITE)).fill(colour);
    let response = ui.add_enabled(enabled, button.min_size(vec2(150.0, 42.0)));
    focusable(response)
}

/// Any other button.
pub(super) fn secondary(ui: &mut Ui, text: &str) -> Response {
    focusable(ui.add(Button::new(text).min_size(vec2(110.0, 42.0))))
}

/// A wide button of the start menu, with what it is for.
pub(super) fn entry(ui: &mut Ui, text: &str, what_for: &str, main: bool) -> Response {
    let (fill, colour, weak) = if main {
        (BLUE, Color32::WHITE, Color32::from_rgb(226, 236, 252))
    } else {
        (Color32::WHITE, INK, GREY)
    };
    let size = Vec2::new(ui.available_width(), 64.0);
    let mut words = eframe::egui::text::LayoutJob::default();
    let format = |size: f32, color| eframe::egui::TextFormat::simple(FontId::proportional(size), color);
    words.append(&format!("{text}\n"), 0.0, format(18.0, colour));
    words.append(what_for, 0.0, format(13.5, weak));
    words.wrap.max_width = size.x - 40.0;
    let response = ui.add(Button::new(words).fill(fill).min_size(size));
    focusable(response).accessible_name(text)
}

/// Keeps what has the focus in sight, with a ring that can't be overlooked.
pub(super) fn focusable(response: Response) -> Response {
    if response.gained_focus() {
        response.scroll_to_me(None);
    }
    if response.has_focus() {
        let ring = response.rect.expand(3.0);
        let painter = response.ctx.layer_painter(response.layer_id);
        painter.rect_stroke(ring, 8.0, Stroke::new(2.5, AMBER), eframe::egui::StrokeKind::Outside);
    }
    response
}

/// A row of buttons.
pub(super) fn buttons<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    ui.add_space(10.0);
    ui.horizontal_wrapped(content).inner
}

/// A stage of a flow: passed, present or to come, which a screen reader says in words.
pub(super) fn stage(ui: &mut Ui, text: &str, state: &str, order: Ordering) {
    let (mark, colour) = match order {
        Ordering::Less => (GREEN, GREEN),
        Ordering::Equal => (BLUE, INK),
        Ordering::Greater => (LINE, GREY),
    };
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(18.0, 18.0), Sense::hover());
        let painter = ui.painter();
        painter.circle(rect.center(), 8.0, if order.is_gt() { PAPER } else { mark }, Stroke::new(1.5, mark));
        if order.is_lt() {
            let tick = [vec2(-4.0, 0.0), vec2(-1.0, 3.5), vec2(4.5, -3.5)].map(|at| rect.center() + at);
            painter.line(tick.to_vec(), Stroke::new(2.0, Color32::WHITE));
        }
        let label = ui.label(RichText::new(text).color(colour));
        ui.ctx().accesskit_node_builder(label.id, |node| node.set_value(format!("{text}: {state}")));
    });
}

/// A value with its label: beside it, or below it where the window is narrow.
pub(super) fn row(ui: &mut Ui, label: &str, value: &str) {
    let label = Label::new(RichText::new(label).color(GREY)).wrap();
    let value = Label::new(value).wrap();
    if ui.available_width() < 460.0 {
        ui.add(label);
        ui.add(value);
        return;
    }
    ui.horizontal_top(|ui| {
        let height = ui.text_style_height(&TextStyle::Body);
        ui.allocate_ui_with_layout(vec2(214.0, height), Layout::top_down(Align::Min), |ui| {
            ui.set_width(214.0);
            ui.add(label);
        });
        ui.add(value);
    });
}
