//! What stands in a path: one spelling for each thing, so that it has one address.

use uuid::Uuid;

/// An identifier as it is printed: no braces, no capital letters, no `urn:uuid:`.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|uuid| uuid.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_one_spelling() {
        let right = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert_eq!(uuid(right).expect("an identifier").to_string(), right);
        for other in [
            &*right.to_uppercase(),
            &*right.replace('-', ""),
            &*format!("{{{right}}}"),
            &*format!("urn:uuid:{right}"),
            "",
        ] {
            assert_eq!(uuid(other), None, "{other:?} was taken");
        }
    }
}
