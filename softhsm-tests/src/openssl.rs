//! The `openssl` command as a second opinion on what this project makes.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::process::{output_of, run};

/// Runs `openssl` with these arguments and returns its standard output.
///
/// # Errors
/// With what it wrote, when it fails.
pub fn openssl(arguments: &[&str]) -> Result<String> {
    run(Command::new("openssl").args(arguments))
}

/// The same with `input` on its standard input; returns the raw standard output.
///
/// # Errors
/// With what it wrote, when it fails.
pub fn openssl_with_input(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = output_of(Command::new("openssl").args(arguments), input)?;
    if !output.status.success() {
        bail!("openssl {} failed\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// `openssl verify`: a leaf (PEM) against anchors and intermediates (files), with further options first.
///
/// # Errors
/// With openssl's reason, when it doesn't verify.
pub fn verify(options: &[&str], anchors: &Path, untrusted: &[&Path], leaf: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    // -no-CApath and -no-CAstore: the machine's own anchors have no say.
    command.args(["verify", "-no-CApath", "-no-CAstore"]).args(options).arg("-CAfile").arg(anchors);
    for file in untrusted {
        command.arg("-untrusted").arg(file);
    }
    run(command.arg(leaf)).map(drop)
}

/// `openssl x509 -text` of a certificate file (PEM).
///
/// # Errors
/// When it isn't a certificate.
pub fn certificate_text(certificate: &Path) -> Result<String> {
    run(Command::new("openssl").args(["x509", "-noout", "-text", "-in"]).arg(certificate))
}
