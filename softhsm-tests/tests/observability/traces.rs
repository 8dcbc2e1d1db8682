//! An enrolment's trace, from the socket to the HSM's lane, and what strangers can't do to it.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::Method;
use softhsm_tests::{
    bank::{LOGIN_PASSWORD, MachineClient, NewMachine, Options},
    wait::until,
};

use crate::{
    collector::{Collector, texts},
    customers::House,
    restart, section, stop,
};

const MACHINE: NewMachine = NewMachine::trusted("terminals");
const CERTIFY: &str = "POST /api/v1/enrolments/{id}/certificate";
/// A stranger's trace, with the flag that asks for sampling.
const STRANGERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn traced(name: &str, sample: f64) -> (House, Collector) {
    let options = Options { machines: vec![MACHINE], ..Options::default() };
    let (mut house, collector) = (House::with(name, &options), Collector::start());
    let url = collector.url();
    restart(&mut house, &[("OTEL_BSP_SCHEDULE_DELAY", "100")], |table| {
        let telemetry = section(table, "telemetry");
        telemetry.insert("endpoint".to_owned(), url.into());
        telemetry.insert("sample".to_owned(), sample.into());
    });
    (house, collector)
}

/// GETs the public top page as a part of a stranger's trace.
fn visit(house: &House) {
    let trust = std::fs::read(house.bank.path("tls/ca.pem")).expect("the server's authority");
    let authority = reqwest::Certificate::from_pem(&trust).expect("a certificate");
    let client = reqwest::blocking::Client::builder().tls_certs_only([authority]).no_proxy().build();
    let request = client.expect("a client").get(house.bank.urls().public).header("traceparent", STRANGERS);
    assert_eq!(request.send().expect("a response").status().as_u16(), 200);
}

fn children<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect()
}

fn names(spans: &[&Span]) -> BTreeSet<String> {
    spans.iter().map(|span| span.name.clone()).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn an_enrolment_is_followed_from_the_socket_to_the_lane() {
    let (mut house, collector) = traced("traces", 1.0);
    let customer = house.customer("traced-01", "general", 42_000_701);
    visit(&house);
    let seen = || collector.spans().into_iter().map(|span| span.name).collect::<Vec<_>>();
    until("the trace", seen, |names| names.iter().any(|name| name == CERTIFY));
    stop(&mut house);

    let spans = collector.spans();
    let roots: Vec<_> = spans.iter().filter(|span| span.name == CERTIFY).collect();
    let [root] = roots[..] else { panic!("{} traces of one enrolment", roots.len()) };
    assert!(root.parent_span_id.is_empty(), "it has a parent");
    let trace: Vec<Span> = spans.iter().filter(|span| span.trace_id == root.trace_id).cloned().collect();
    let steps = children(&trace, root);
    let expected =
        ["authenticate", "evidence", "policy", "draft", "ledger.intent", "signer", "verify", "ledger.issued"];
    assert_eq!(names(&steps), set(&expected));
    let signer = steps.iter().find(|span| span.name == "signer").expect("the signer's span");
    let parts = children(&trace, signer);
    assert_eq!(names(&parts), set(&["signer.queue", "hsm.lane", "journal.sync"]));
    assert_eq!(trace.len(), 1 + steps.len() + parts.len(), "the trace has other spans: {trace:?}");

    for (parent, within) in [(root, &steps), (*signer, &parts)] {
        for span in within {
            let inside = parent.start_time_unix_nano <= span.start_time_unix_nano
                && span.end_time_unix_nano <= parent.end_time_unix_nano;
            assert!(inside, "{} isn't within {}", span.name, parent.name);
        }
    }
    let lane = parts.iter().find(|span| span.name == "hsm.lane").expect("the lane's span");
    assert!(lane.end_time_unix_nano > lane.start_time_unix_nano, "a signature took no time");
    let step = |name: &str| steps.iter().find(|span| span.name == name).expect("a step");
    assert!(
        step("ledger.intent").end_time_unix_nano <= signer.start_time_unix_nano,
        "signed before the intent"
    );
    assert!(signer.end_time_unix_nano <= step("ledger.issued").start_time_unix_nano);
    assert_eq!(texts(&root.attributes).get("http.response.status_code").map(String::as_str), Some("201"));

    let visited = spans.iter().find(|span| span.name == "GET /").expect("the visit's span");
    assert_ne!(
        hex::encode(&visited.trace_id),
        "0af7651916cd43dd8448eb211c80319c",
        "a stranger's trace was joined"
    );
    let linked: Vec<_> = visited.links.iter().map(|link| hex::encode(&link.trace_id)).collect();
    assert_eq!(linked, ["0af7651916cd43dd8448eb211c80319c"]);

    for span in &spans {
        let told = format!("{} {:?} {:?}", span.name, span.attributes, span.events);
        for secret in [LOGIN_PASSWORD, "traced-01", &customer.serial] {
            assert!(!told.contains(secret), "{secret} is in {told}");
        }
    }
}

#[test]
fn a_machine_can_have_a_request_sampled_and_a_stranger_can_not() {
    let (mut house, collector) = traced("traces-none", 0.0);
    for _ in 0..5 {
        visit(&house);
    }
    let machine = MachineClient::new(&house.bank, MACHINE.name).expect("a machine");
    for (flags, parent) in [("01", "b7ad6b7169203331"), ("00", "b7ad6b7169203332")] {
        let traceparent = format!("00-0af7651916cd43dd8448eb211c80319c-{parent}-{flags}");
        let request = machine.request(Method::GET, "/machine/v1/nowhere").header("traceparent", traceparent);
        request.send().expect("a refusal");
    }
    // The end sends everything that is left.
    stop(&mut house);
    let spans = collector.spans();
    let parents: Vec<_> = spans.iter().map(|span| hex::encode(&span.parent_span_id)).collect();
    assert_eq!(parents, ["b7ad6b7169203331"], "only the machine's sampled request: {spans:?}");
    assert_eq!(hex::encode(&spans[0].trace_id), "0af7651916cd43dd8448eb211c80319c");
}
