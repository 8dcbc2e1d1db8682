//! Distinguished names: countryName as PrintableString, everything else as UTF8String (RFC 5280, 4.1.2.4).

use const_oid::{
    ObjectIdentifier,
    db::rfc4519::{COMMON_NAME, COUNTRY_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME, UID},
};
use der::{
    Any, Tag, Tagged,
    asn1::{PrintableStringRef, SetOfVec},
};
use x509_cert::{
    attr::AttributeTypeAndValue,
    name::{Name, RdnSequence, RelativeDistinguishedName},
};

/// Builds a [`Name`] in the order in which attributes are added, one attribute per RDN. Values are taken as they are:
/// nothing in them is syntax.
#[derive(Clone, Debug, Default)]
pub struct NameBuilder(Vec<(ObjectIdentifier, String)>);

impl NameBuilder {
    /// An empty name.
    pub fn new() -> Self {
        Self::default()
    }

    /// C, two capital letters.
    #[must_use]
    pub fn country(self, value: &str) -> Self {
        self.attribute(COUNTRY_NAME, value)
    }

    /// O.
    #[must_use]
    pub fn organization(self, value: &str) -> Self {
        self.attribute(ORGANIZATION_NAME, value)
    }

    /// OU.
    #[must_use]
    pub fn organizational_unit(self, value: &str) -> Self {
        self.attribute(ORGANIZATIONAL_UNIT_NAME, value)
    }

    /// UID (RFC 4519, 2.39).
    #[must_use]
    pub fn user_id(self, value: &str) -> Self {
        self.attribute(UID, value)
    }

    /// CN.
    #[must_use]
    pub fn common_name(self, value: &str) -> Self {
        self.attribute(COMMON_NAME, value)
    }

    /// Any attribute.
    #[must_use]
    pub fn attribute(mut self, oid: ObjectIdentifier, value: &str) -> Self {
        self.0.push((oid, value.to_owned()));
        self
    }

    /// The name.
    ///
    /// # Errors
    /// A `der` error when the country isn't a PrintableString or a value is too long to encode.
    pub fn build(self) -> der::Result<Name> {
        let rdns = self.0.iter().map(|(oid, value)| rdn(*oid, value)).collect::<der::Result<Vec<_>>>()?;
        Ok(Name::hazmat_from_rdn_sequence(RdnSequence::from(rdns)))
    }
}

fn rdn(oid: ObjectIdentifier, value: &str) -> der::Result<RelativeDistinguishedName> {
    let value = if oid == COUNTRY_NAME {
        Any::encode_from(&PrintableStringRef::new(value)?)?
    } else {
        Any::new(Tag::Utf8String, value.as_bytes())?
    };
    Ok(RelativeDistinguishedName::from(SetOfVec::try_from(vec![AttributeTypeAndValue { oid, value }])?))
}

/// The first value of an attribute as text, when it is one of the ASN.1 string types that are also UTF-8.
pub fn text(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    let attribute = name.iter().find(|attribute| attribute.oid == oid)?;
    let textual = matches!(attribute.value.tag(), Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    textual.then(|| String::from_utf8(attribute.value.value().to_vec()).ok()).flatten()
}

/// A name as people read it: attributes in the certificate's order, such as `C=JP, O=…`. For the eye alone: values
/// aren't escaped, and come from outside.
pub fn shown(name: &Name) -> String {
    let attributes = name.iter().map(|attribute| {
        let octets = attribute.value.value();
        let value =
            String::from_utf8(octets.to_vec()).unwrap_or_else(|_| format!("#{}", hex::encode(octets)));
        format!("{}={value}", short(attribute.oid))
    });
    attributes.collect::<Vec<_>>().join(", ")
}

fn short(oid: ObjectIdentifier) -> String {
    match oid {
        COUNTRY_NAME => "C".to_owned(),
        ORGANIZATION_NAME => "O".to_owned(),
        ORGANIZATIONAL_UNIT_NAME => "OU".to_owned(),
        UID => "UID".to_owned(),
        COMMON_NAME => "CN".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use der::Encode;

    use super::*;

    #[test]
    fn order_and_string_types_are_as_given() {
        let name = NameBuilder::new()
            .country("JP")
            .organization("北洋商事, Inc. + CN=x")
            .user_id("hokkai-01")
            .build()
            .expect("a name");
        let der = name.to_der().expect("DER");
        let tags: Vec<Tag> = name.iter().map(|attribute| attribute.value.tag()).collect();
        assert_eq!(tags, [Tag::PrintableString, Tag::Utf8String, Tag::Utf8String]);
        assert_eq!(text(&name, ORGANIZATION_NAME).as_deref(), Some("北洋商事, Inc. + CN=x"));
        assert_eq!(shown(&name), "C=JP, O=北洋商事, Inc. + CN=x, UID=hokkai-01");
        assert_eq!(name.len(), 3);
        assert_eq!(der[0], 0x30);
        assert!(NameBuilder::new().country("日本").build().is_err());
    }
}
