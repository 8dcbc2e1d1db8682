//! Fields of forms. What is typed into a [`SecretField`] is in one place only, wiped when it is dropped or taken: the
//! toolkit, which keeps texts for drawing and undoing, is shown a row of dots.

use std::{any::TypeId, ops::Range};

use eframe::egui::{Margin, Response, TextBuffer, TextEdit, Ui, WidgetText, text::CharIndex};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// In octets. The memory is taken at once and never grows, so no copy is left behind.
const LONGEST: usize = 1024;

/// What stands for a character.
const DOT: &str = "•";

/// A password, PIN or code that is being typed.
pub(super) struct SecretField {
    secret: Zeroizing<String>,
    dots: String,
}

impl Default for SecretField {
    fn default() -> Self {
        Self { secret: Zeroizing::new(String::with_capacity(LONGEST)), dots: String::new() }
    }
}

impl SecretField {
    pub(super) fn is_empty(&self) -> bool {
        self.secret.is_empty()
    }

    pub(super) fn expose(&self) -> &str {
        &self.secret
    }

    /// Hands the text on; the field is empty afterwards.
    pub(super) fn take_secret(&mut self) -> Secret {
        Secret::new(std::mem::take(self).secret)
    }

    fn offset(&self, index: CharIndex) -> usize {
        self.secret.char_indices().nth(index.0).map_or(self.secret.len(), |(offset, _)| offset)
    }

    fn cover(&mut self) {
        self.dots = DOT.repeat(self.secret.chars().count());
    }
}

impl TextBuffer for SecretField {
    fn is_mutable(&self) -> bool {
        true
    }

    fn as_str(&self) -> &str {
        &self.dots
    }

    fn insert_text(&mut self, text: &str, char_index: CharIndex) -> usize {
        let mut offset = self.offset(char_index);
        let mut count = 0;
        // A line break comes along when a password is pasted.
        for character in text.chars().filter(|character| !character.is_control()) {
            if self.secret.len() + character.len_utf8() > LONGEST {
                break;
            }
            self.secret.insert(offset, character);
            offset += character.len_utf8();
            count += 1;
        }
        self.cover();
        count
    }

    fn delete_char_range(&mut self, char_range: Range<CharIndex>) {
        let range = self.offset(char_range.start)..self.offset(char_range.end);
        // `drain` moves what follows and leaves its last octets behind; they are overwritten or wiped later, as they
        // are within the capacity.
        self.secret.drain(range);
        self.cover();
    }

    /// Undoing would bring the dots back, not the text.
    fn replace_with(&mut self, _: &str) {
        *self = Self::default();
    }

    fn take(&mut self) -> String {
        *self = Self::default();
        String::new()
    }

    fn type_id(&self) -> TypeId {
        TypeId::of::<Self>()
    }
}

/// A labelled line of text.
pub(super) fn text(ui: &mut Ui, label: impl Into<WidgetText>, text: &mut String) -> Response {
    line(ui, label.into(), TextEdit::singleline(text))
}

/// A labelled line that shows dots.
pub(super) fn secret(ui: &mut Ui, label: impl Into<WidgetText>, field: &mut SecretField) -> Response {
    line(ui, label.into(), TextEdit::singleline(field).password(true))
}

fn line(ui: &mut Ui, label: WidgetText, edit: TextEdit<'_>) -> Response {
    let label = ui.label(label.strong());
    let width = ui.available_width().min(440.0);
    let response = ui.add(edit.desired_width(width).margin(Margin::symmetric(10, 8))).labelled_by(label.id);
    ui.add_space(10.0);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(field: &mut SecretField, text: &str, at: usize) -> usize {
        field.insert_text(text, CharIndex(at))
    }

    #[test]
    fn the_toolkit_sees_dots_and_the_flow_the_text() {
        let mut field = SecretField::default();
        assert_eq!(typed(&mut field, "pa55\n", 0), 4);
        assert_eq!(typed(&mut field, "語", 2), 1);
        assert_eq!((field.expose(), field.as_str()), ("pa語55", "•••••"));
        field.delete_char_range(CharIndex(1)..CharIndex(3));
        assert_eq!((field.expose(), field.as_str()), ("p55", "•••"));
        assert_eq!(TextBuffer::take(&mut field), "");
        assert!(field.is_empty());
        typed(&mut field, "862915", 0);
        assert_eq!(field.take_secret().expose(), "862915");
        assert!(field.is_empty() && field.as_str().is_empty());
    }

    #[test]
    fn its_memory_never_moves() {
        let mut field = SecretField::default();
        let place = field.secret.as_ptr();
        assert_eq!(typed(&mut field, &"あ".repeat(1000), 0), LONGEST / 3);
        assert_eq!(field.secret.as_ptr(), place);
        field.replace_with("•••");
        assert!(field.is_empty());
    }
}
