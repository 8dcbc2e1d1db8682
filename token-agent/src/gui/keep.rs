//! Keeping a certificate's details: a page for the browser, which also prints it, or a text.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use askama::Template;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    certificate::{CertificateDetails, local_time, save_new, to_pem},
    messages::{Lang, as_text, rows, window::Word},
};

/// The form that it is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Page,
    Text,
}

impl Format {
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Page => "html",
            Self::Text => "txt",
        }
    }
}

#[derive(Template)]
#[template(path = "certificate.html")]
struct CertificatePage<'a> {
    language: &'a str,
    title: &'a str,
    product: &'a str,
    hint: &'a str,
    rows: &'a [(&'a str, String)],
    written: String,
    pem: String,
}

/// A name in the person's own folder that isn't taken.
pub(super) fn suggestion(user_id: &str, format: Format, now: Timestamp) -> PathBuf {
    let safe: String =
        user_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    free(&format!("certificate-{safe}"), format.extension(), now)
}

/// The same for a diagnosis.
pub(super) fn diagnosis_file(now: Timestamp) -> PathBuf {
    free("inro-agent-diagnosis", "txt", now)
}

fn free(stem: &str, extension: &str, now: Timestamp) -> PathBuf {
    let day = now.to_zoned(TimeZone::system()).strftime("%Y%m%d").to_string();
    let folder = own_folder();
    let name = |more: &str| folder.join(format!("{stem}-{day}{more}.{extension}"));
    let more = (2..100).map(|number| format!("-{number}"));
    let mut names = std::iter::once(String::new()).chain(more).map(|more| name(&more));
    names.find(|path| !path.exists()).unwrap_or_else(|| name("-100"))
}

fn own_folder() -> PathBuf {
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let home = env::var_os(home).map_or_else(env::temp_dir, PathBuf::from);
    let documents = ["Documents", "ドキュメント", "文書"].map(|name| home.join(name));
    documents.into_iter().find(|folder| folder.is_dir()).unwrap_or(home)
}

/// Writes the details to a new file.
///
/// # Errors
/// When it exists or can't be written.
pub(super) fn save(path: &Path, der: &[u8], format: Format, lang: Lang, now: Timestamp) -> io::Result<()> {
    let text = match format {
        Format::Page => page(der, lang, now)?,
        Format::Text => as_text(der, lang),
    };
    save_new(path, &text)
}

fn page(der: &[u8], lang: Lang, now: Timestamp) -> io::Result<String> {
    let details = CertificateDetails::read(der).map_err(io::Error::other)?;
    let rows = rows(&details).map(|(label, value)| (label.text(lang), value));
    let page = CertificatePage {
        language: match lang {
            Lang::Ja => "ja",
            Lang::En => "en",
        },
        title: Word::PageTitle.text(lang),
        product: Word::Product.text(lang),
        hint: Word::PrintHint.text(lang),
        rows: &rows,
        written: local_time(now),
        pem: to_pem(der).unwrap_or_default(),
    };
    page.render().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_page_is_escaped_and_overwrites_nothing() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "<script>北海</script>");
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        for format in [Format::Page, Format::Text] {
            let path = folder.path().join(format!("x.{}", format.extension()));
            save(&path, certificate.der(), format, Lang::Ja, Timestamp::UNIX_EPOCH).expect("saved");
            let text = fs::read_to_string(&path).expect("readable");
            assert!(text.contains("北海") && text.contains("BEGIN CERTIFICATE"), "{text}");
            if format == Format::Page {
                assert!(text.contains("lang=\"ja\"") && !text.contains("<script>"), "{text}");
            }
            let again = save(&path, certificate.der(), format, Lang::Ja, Timestamp::UNIX_EPOCH);
            assert_eq!(again.expect_err("it exists").kind(), io::ErrorKind::AlreadyExists);
        }
    }

    #[test]
    fn a_user_id_cannot_name_another_folder() {
        let path = suggestion("../../etc/x", Format::Text, Timestamp::UNIX_EPOCH);
        assert_eq!(path.parent(), Some(own_folder().as_path()));
        assert!(path.to_string_lossy().ends_with(".txt"));
    }
}
