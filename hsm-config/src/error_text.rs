//! Errors in words, for logs and people: with all their causes, or as a list of mistakes.

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Mistakes as lines of a list, each with its bullet, beginning on a new line.
pub(crate) fn bullets(mistakes: &[String]) -> String {
    mistakes.iter().fold(String::new(), |list, mistake| list + "\n  - " + mistake)
}
