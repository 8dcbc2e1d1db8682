//! `/metrics` after a bank has worked.

use std::collections::{BTreeMap, BTreeSet};

use softhsm_tests::{bank::fetch, wait::until};

use crate::customers::{House, page};

const DOCUMENTED: &str = include_str!("../../../ca/docs/metrics.md");

/// Samples by name with labels, and the kinds of the families.
struct Scrape {
    text: String,
    samples: BTreeMap<String, f64>,
    families: BTreeSet<String>,
}

impl Scrape {
    fn of(house: &House) -> Self {
        let response = fetch(&format!("{}/metrics", house.bank.urls().ops)).expect("metrics");
        let text = page(&response, 200);
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let families = kinds.map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            _ => name.to_owned(),
        });
        Self { samples: samples.collect(), families: families.collect(), text: text.clone() }
    }

    /// The sum of the samples whose name and labels contain all of this.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |sample: &&String| {
            sample.split('{').next() == Some(name) && labels.iter().all(|label| sample.contains(label))
        };
        self.samples.keys().filter(fits).map(|sample| self.samples[sample]).sum()
    }

    fn is(&self, name: &str, labels: &[&str], value: f64) -> bool {
        self.sum(name, labels).total_cmp(&value).is_eq()
    }
}

#[test]
fn a_working_bank_shows_in_its_metrics() {
    let house = House::open("metrics");
    let customer = house.customer("measured-01", "general", 42_000_711);
    customer.browser.login().expect("logged in");
    let urls = house.bank.urls();
    let crl = || fetch(&format!("{}/crl/customer-0.crl", urls.validation)).ok().map(|crl| crl.status);
    until("the first CRL", crl, |status| *status == Some(200));
    let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    for number in 0..50 {
        fetch(&format!("{}/no-such-path-{number}", urls.validation)).expect("a refusal");
        let method = format!("MADEUP{number}").parse().expect("a method");
        client.request(method, format!("{}/ca/root.cer", urls.validation)).send().expect("a refusal");
    }
    let number = || Scrape::of(&house).sum("inro_crl_number", &["issuer=\"customer\""]);
    until("refreshed gauges", number, |number| *number >= 1.0);
    let trail = || {
        let scrape = Scrape::of(&house);
        ["inro_audit_verified_sequence", "inro_audit_sequence"].map(|name| scrape.sum(name, &[]))
    };
    until("a verified trail", trail, |[verified, last]| *verified >= 5.0 && verified.total_cmp(last).is_eq());

    let scrape = Scrape::of(&house);
    let documented: BTreeSet<String> = DOCUMENTED
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    // What has never happened, such as a failed handshake, has no series; nor has a staff CA's CRL that isn't configured.
    let undocumented: Vec<_> = scrape.families.difference(&documented).collect();
    assert!(undocumented.is_empty(), "{undocumented:?}");
    assert!(scrape.families.len() + 7 > documented.len(), "{:?}", scrape.families);

    let certify = "route=\"/api/v1/enrolments/{id}/certificate\"";
    assert!(scrape.is("inro_http_requests_total", &[certify, "class=\"2xx\"", "method=\"POST\""], 1.0));
    assert!(scrape.sum("inro_http_request_duration_seconds_count", &[certify]) >= 1.0);
    for (name, labels, least) in [
        ("inro_ready", &[][..], 1.0),
        ("inro_ready_component", &["component=\"signer\"", "issuer=\"customer\""][..], 1.0),
        ("inro_signer_healthy", &["issuer=\"customer\""], 1.0),
        ("inro_signer_lanes", &["issuer=\"customer\""], 1.0),
        ("inro_signer_request_duration_seconds_count", &["what=\"certificate\""], 1.0),
        ("inro_signer_lane_seconds_count", &["what=\"certificate\""], 1.0),
        ("inro_signer_journal_seconds_count", &["what=\"certificate\""], 1.0),
        ("inro_signer_journal_sequence", &[], 1.0),
        ("inro_ledger_readers", &[], 1.0),
        ("inro_ledger_queue_limit", &[], 1.0),
        ("inro_ledger_commits_total", &[], 5.0),
        ("inro_ledger_disk_available_bytes", &[], 1.0),
        ("inro_crl_next_update_timestamp_seconds", &[], 1e9),
        ("inro_root_crl_next_update_timestamp_seconds", &[], 1e9),
        ("inro_issuer_not_after_timestamp_seconds", &[], 1e9),
        ("inro_server_not_after_timestamp_seconds", &[], 1e9),
        ("inro_passwords_computing_limit", &["pool=\"portal\""], 1.0),
        ("inro_outcomes_total", &["what=\"login\"", "outcome=\"admitted\""], 1.0),
        ("inro_http_connections_limit", &["listener=\"public\""], 16.0),
        ("process_resident_memory_bytes", &[], 1e6),
        ("process_open_fds", &[], 5.0),
        ("process_start_time_seconds", &[], 1e9),
    ] {
        assert!(scrape.sum(name, labels) >= least, "{name} {labels:?} is {}", scrape.sum(name, labels));
    }
    for name in ["inro_orphans", "inro_open_intents", "inro_audit_broken", "inro_unjournaled_revocations"] {
        assert!(scrape.is(name, &[], 0.0), "{name} is {}", scrape.sum(name, &[]));
    }

    let strangers = scrape.samples.keys().filter(|sample| sample.contains("unmatched"));
    let strangers: BTreeSet<_> =
        strangers.filter(|name| name.starts_with("inro_http_requests_total")).collect();
    assert_eq!(strangers.len(), 1, "made-up paths make series: {strangers:?}");
    for foreign in ["MADEUP", "no-such-path", "measured-01", "42000711", &customer.serial] {
        assert!(!scrape.text.contains(foreign), "{foreign} is in a label");
    }
}
