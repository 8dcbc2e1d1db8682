//! More nodes of the same bank: each with a signer of its own, whose token is a copy with the same keys, on one ledger.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};

use super::Bank;
use crate::{
    ports::PortLease,
    process::{Environment, run},
    softhsm::SoftHsm,
};

impl Bank {
    /// Changes `inro.toml` before the authority is started.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn reconfigure(&self, adjust: impl FnOnce(&mut toml::Table)) -> Result<()> {
        edit(&self.path("inro.toml"), adjust)
    }

    /// Puts the ledger into this PostgreSQL database, before anything runs.
    ///
    /// # Errors
    /// When `inro.toml` can't be written.
    pub fn use_postgres(&self, url: &str) -> Result<()> {
        self.reconfigure(|table| {
            let node = section(table, "node");
            node.remove("database");
            section(node, "postgres").insert("url".to_owned(), url.into());
        })
    }

    /// Another node of this bank after its ceremony, in a directory of its own: same ledger and keys, other ports, its own
    /// signer with its own journal. Before either signer runs: each must know that it isn't the only one. `number` is part of its names.
    ///
    /// # Errors
    /// When a file can't be copied or a port not be had.
    pub fn another_node(&self, directory: &Path, number: u32) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let directory =
            directory.canonicalize().with_context(|| format!("locating {}", directory.display()))?;
        for part in ["ceremony", "hsm", "tls", "attestation", "secrets", "inro.toml", "signer.toml"] {
            run(Command::new("cp").arg("-a").arg(self.path(part)).arg(&directory))?;
        }
        for folder in ["signer", "logs"] {
            fs::create_dir_all(directory.join(folder)).with_context(|| format!("making {folder}"))?;
        }
        let online = SoftHsm::new(&directory.join("hsm/online"))?;
        let node = Self {
            ports: PortLease::consecutive(5)?,
            signer_environment: online.environment(),
            authority_extra: Environment::new(),
            signer_extra: Environment::new(),
            attestation: self.attestation.clone(),
            signer: None,
            authority: None,
            directory,
        };
        for shared in [self, &node] {
            edit(&shared.path("signer.toml"), know_of_others)?;
        }
        let signer = format!("customer-{number}");
        edit(&node.path("signer.toml"), |table| {
            table.insert("name".to_owned(), signer.clone().into());
            let environment = section(section(table, "token"), "environment");
            let configuration = online.configuration().display().to_string();
            environment.insert("SOFTHSM2_CONF".to_owned(), configuration.into());
        })?;
        node.reconfigure(|table| node.take_place(table, number, &signer))?;
        Ok(node)
    }

    fn take_place(&self, table: &mut toml::Table, number: u32, signer: &str) {
        section(table, "node").insert("name".to_owned(), format!("ca-{number}").into());
        if let Some(toml::Value::Array(issuers)) = table.get_mut("issuer") {
            for issuer in issuers.iter_mut().filter_map(toml::Value::as_table_mut) {
                issuer.insert("signer".to_owned(), signer.into());
            }
        }
        let (urls, listen) = (self.urls(), section(table, "listen"));
        let all = [
            ("public", &urls.public),
            ("client", &urls.client),
            ("validation", &urls.validation),
            ("ops", &urls.ops),
            ("staff", &urls.staff),
        ];
        for (listener, url) in all {
            let port = url.rsplit(':').next().unwrap_or_default();
            listen.insert(listener.to_owned(), format!("127.0.0.1:{port}").into());
        }
        listen.insert("public_url".to_owned(), urls.public.into());
        listen.insert("client_url".to_owned(), urls.client.into());
    }
}

/// The signers' OCSP keys answer for what each other's issuing keys signed.
fn know_of_others(table: &mut toml::Table) {
    if let Some(toml::Value::Array(keys)) = table.get_mut("key") {
        for key in keys.iter_mut().filter_map(toml::Value::as_table_mut) {
            if key.get("role").and_then(toml::Value::as_str) == Some("ocsp") {
                key.insert("issued_elsewhere".to_owned(), true.into());
            }
        }
    }
}

fn edit(path: &Path, adjust: impl FnOnce(&mut toml::Table)) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut table = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    adjust(&mut table);
    let text = toml::to_string(&table).with_context(|| format!("composing {}", path.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A section, made where there is none.
fn section<'a>(table: &'a mut toml::Table, name: &str) -> &'a mut toml::Table {
    let entry = table.entry(name.to_owned()).or_insert_with(|| toml::Table::new().into());
    if !entry.is_table() {
        *entry = toml::Table::new().into();
    }
    entry.as_table_mut().expect("a table")
}
