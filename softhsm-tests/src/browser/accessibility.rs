//! The accessibility checker axe-core, put into a page as its authors say. `make axe` fetches it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Browser;
use crate::binaries;

/// What is wrong on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The checker's name of the rule.
    pub rule: String,
    /// `serious` or `critical`.
    pub impact: String,
    /// The elements, and what is wrong with them.
    pub elements: Vec<String>,
}

const RUN: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document, { preload: false, resultTypes: ['violations'] })
        .then(result => done({ violations: result.violations, passes: result.passes.length }))
        .catch(error => done({ error: String(error) }));
";

pub(super) fn findings(browser: &Browser) -> Result<Vec<Finding>> {
    let path = binaries::target()?.join("axe/node_modules/axe-core/axe.min.js");
    let axe =
        fs::read_to_string(&path).with_context(|| format!("{}: run `make axe` first", path.display()))?;
    browser.script(&axe)?;
    let result = browser.runtime.block_on(browser.client.execute_async(RUN, Vec::new()));
    let result = result.context("running the accessibility checker")?;
    ensure!(result["error"].is_null(), "the accessibility checker failed: {}", result["error"]);
    ensure!(result["passes"].as_u64().is_some_and(|passes| passes > 5), "it checked nothing: {result}");
    let violations = result["violations"].as_array().cloned().unwrap_or_default();
    let grave = |impact: &Value| matches!(impact.as_str(), Some("serious" | "critical"));
    Ok(violations.iter().filter(|violation| grave(&violation["impact"])).map(finding).collect())
}

fn finding(violation: &Value) -> Finding {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let element = |node: &Value| format!("{}: {}", node["html"], node["failureSummary"]);
    Finding {
        rule: text(&violation["id"]),
        impact: text(&violation["impact"]),
        elements: violation["nodes"].as_array().into_iter().flatten().map(element).collect(),
    }
}
