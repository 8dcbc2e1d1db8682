//! Companies' proxies that want to know who is there.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use crate::bench::{Bench, NEW, Run};

#[test]
fn a_proxy_that_always_asks_for_credentials_ends_it() {
    let bench = Bench::one(NEW);
    let address = proxy_that_refuses("Proxy-Authenticate: Basic realm=\"x\"\r\n");
    bench.scratch.write("proxy-password", "proxy-secret").expect("written");
    let file = bench.path("proxy-password");
    for more in [
        vec!["--proxy", &address],
        vec!["--proxy", &address, "--proxy-user", "office", "--proxy-password-file", &file],
    ] {
        let run = bench.enroll(&more);
        assert_eq!(run.status(), 6, "{run:?}");
        assert!(run.stderr.contains("proxy") && run.stderr.contains("--proxy-user"), "{run:?}");
        bench.assert_untouched("the proxy");
    }
    let run = Run::of(bench.enroll_command(&bench.server.url(), &[]).env("HTTPS_PROXY", &address));
    assert_eq!(run.status(), 6, "{run:?}");
}

/// It answers 407 to everything, and offers this.
fn proxy_that_refuses(offers: &'static str) -> String {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in proxy.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n";
            let _ = stream.write_all(format!("{head}{offers}\r\n").as_bytes());
        }
    });
    address
}

#[test]
fn a_proxy_that_wants_ntlm_or_kerberos_alone_is_named_in_both_languages() {
    let bench = Bench::one(NEW);
    let address = proxy_that_refuses("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n");
    bench.scratch.write("proxy-password", "proxy-secret").expect("written");
    let file = bench.path("proxy-password");
    let given = ["--proxy", &address, "--proxy-user", "office", "--proxy-password-file", &file];
    for more in [&given[..2], &given] {
        let run = bench.enroll(more);
        assert_eq!(run.status(), 6, "{run:?}");
        assert!(run.stderr.contains("doesn't have (Negotiate, NTLM)"), "{run:?}");
        assert!(run.stderr.contains("permit “Basic”"), "what the administrator can do: {run:?}");
        assert!(!run.stderr.contains("--proxy-user"), "nothing that is typed would help: {run:?}");
        let run = bench.enroll(&[more, &["--lang", "ja"]].concat());
        assert!(run.stderr.contains("(Negotiate, NTLM)には対応していません"), "{run:?}");
        bench.assert_untouched("such a proxy");
    }
    // Where Basic is among them, it is what the agent uses.
    let address = proxy_that_refuses("Proxy-Authenticate: NTLM\r\nProxy-Authenticate: Basic realm=\"x\"\r\n");
    let run = bench.enroll(&["--proxy", &address]);
    assert!(run.stderr.contains("--proxy-user"), "{run:?}");
}
