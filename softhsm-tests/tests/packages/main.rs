//! The agent's packages: built by the scripts that build them for customers, installed into an empty root, run there and
//! removed again; the list of packages and its signature.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use softhsm_tests::{binaries, openssl::openssl, process::run, scratch::Scratch};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../token-agent/packaging")
}

fn deb(folder: &Path) -> PathBuf {
    deb_with(folder, &[])
}

fn deb_with(folder: &Path, environment: &[(&str, &str)]) -> PathBuf {
    let agent = binaries::find("inro-agent").expect("a fresh agent");
    // Customers' packages are packed tighter, which takes a minute.
    let mut command = Command::new(packaging().join("linux/deb.sh"));
    run(command
        .arg(agent)
        .arg(VERSION)
        .arg(folder)
        .env("COMPRESSION", "gzip")
        .envs(environment.iter().copied()))
    .expect("packed");
    let mut files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "deb")).expect("a package")
}

/// dpkg with a root of its own; what the package depends on is the host's.
fn dpkg(root: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("dpkg");
    command.arg(format!("--root={}", root.display())).args(["--force-depends", "--force-not-root"]);
    command.arg(format!("--log={}", root.join("dpkg.log").display())).args(arguments);
    // dpkg wants its helpers, some of which are in sbin.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    run(&mut command).expect("dpkg")
}

fn files(folder: &Path) -> Vec<String> {
    let mut command = Command::new("find");
    let list = run(command.current_dir(folder).args([".", "(", "-type", "f", "-o", "-type", "l", ")"]));
    let mut list: Vec<String> = list.expect("listed").lines().map(str::to_owned).collect();
    list.retain(|path| !path.starts_with("./var/lib/dpkg") && path != "./dpkg.log");
    list.sort();
    list
}

#[test]
fn the_debian_package_installs_runs_and_leaves_nothing_behind() {
    let scratch = Scratch::new("deb").expect("scratch");
    let package = deb(&scratch.directory("packages").expect("a folder"));
    let package_name = package.display().to_string();
    let field =
        |name: &str| run(Command::new("dpkg-deb").args(["--field", &package_name, name])).expect("a field");
    assert_eq!((field("Package").trim(), field("Version").trim()), ("inro-agent", VERSION));
    let depends = field("Depends");
    for needed in ["pcscd", "libc6", "libpcsclite1", "libgl1"] {
        assert!(depends.contains(needed), "{depends}");
    }

    let root = scratch.directory("root").expect("a folder");
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
        fs::create_dir_all(root.join(folder)).expect("made");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("written");
    dpkg(&root, &["--install", &package_name]);
    let installed = files(&root);
    for path in [
        "./usr/bin/inro-agent",
        "./usr/share/applications/inro-agent.desktop",
        "./usr/share/icons/hicolor/scalable/apps/inro-agent.svg",
        "./usr/share/man/man1/inro-agent.1.gz",
        "./usr/share/man/man1/inro-agent-enroll.1.gz",
        "./usr/share/bash-completion/completions/inro-agent",
        "./usr/share/zsh/vendor-completions/_inro-agent",
        "./usr/share/fish/vendor_completions.d/inro-agent.fish",
        "./usr/share/doc/inro-agent/copyright",
        "./usr/share/doc/inro-agent/examples/agent.toml",
        "./usr/share/doc/inro-agent/examples/policy.toml",
        "./usr/share/doc/inro-agent/guide.ja.md",
    ] {
        assert!(installed.iter().any(|file| file == path), "{path} is missing: {installed:#?}");
    }
    assert_eq!(dpkg(&root, &["--verify", "inro-agent"]), "", "every file is as it was packed");

    let agent = root.join("usr/bin/inro-agent");
    let version = run(Command::new(&agent).args(["version", "--json"])).expect("it runs");
    let version: Value = serde_json::from_str(&version).expect("JSON");
    assert_eq!(version["version"], VERSION);
    let manual = root.join("usr/share/man/man1/inro-agent-enroll.1.gz");
    let manual =
        run(Command::new("man").args(["--warnings", "--local-file"]).arg(manual).env("MANPAGER", "cat"));
    assert!(manual.expect("a manual").contains("--password-file"));
    let completion = root.join("usr/share/bash-completion/completions/inro-agent");
    let complete = "COMP_WORDS=(inro-agent change); COMP_CWORD=1; _inro__agent inro-agent change inro-agent; echo ${COMPREPLY[*]}";
    let script = format!("source {}; {complete}", completion.display());
    assert_eq!(run(Command::new("bash").args(["-c", &script])).expect("completed").trim(), "change-pin");

    dpkg(&root, &["--purge", "inro-agent"]);
    assert_eq!(files(&root), Vec::<String>::new());
}

#[test]
fn the_same_program_makes_the_same_package() {
    let scratch = Scratch::new("deb-twice").expect("scratch");
    let no_history = scratch.join("no-repository").display().to_string();
    // In a repository, from sources without their history, with a clock behind the last change.
    let circumstances = [
        ("history", vec![]),
        ("none", vec![("GIT_DIR", &*no_history)]),
        ("clock", vec![("SOURCE_DATE_EPOCH", "4102444800")]),
    ];
    for (name, environment) in circumstances {
        let package = |turn: &str| {
            let folder = scratch.directory(&format!("{name}-{turn}")).expect("a folder");
            fs::read(deb_with(&folder, &environment)).expect("readable")
        };
        assert!(package("one") == package("two"), "{name}: the packages differ");
    }
}

#[test]
fn the_list_of_packages_is_signed_and_a_change_is_noticed() {
    let scratch = Scratch::new("packages").expect("scratch");
    let folder = scratch.directory("packages").expect("a folder");
    let setup = format!("inro-agent-{VERSION}-x64-setup.exe");
    fs::write(folder.join(&setup), b"an installer").expect("written");
    fs::write(folder.join(format!("inro-agent_{VERSION}_amd64.deb")), b"a package").expect("written");
    fs::write(folder.join("notes.txt"), b"no package").expect("written");
    // What earlier builds left isn't of this list.
    for stale in ["inro-agent-0.0.9-x64-setup.exe", "inro-agent_10.1.0_amd64.deb"] {
        fs::write(folder.join(stale), b"an older one").expect("written");
    }
    let (key, certificate) = (scratch.join("key.pem"), scratch.join("certificate.pem"));
    let [key, certificate] = [&key, &certificate].map(|path| path.display().to_string());
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-subj",
        "/CN=Release",
        "-days",
        "30",
    ])
    .expect("a release key");
    let mut command = Command::new(packaging().join("manifest.sh"));
    run(command.arg(&folder).arg(VERSION).args([&key, &certificate])).expect("listed");

    let list: Value =
        serde_json::from_slice(&fs::read(folder.join("packages.json")).expect("a list")).expect("JSON");
    assert_eq!(list["version"], VERSION);
    let packages = list["packages"].as_array().expect("packages");
    let platforms: Vec<&str> = packages.iter().filter_map(|package| package["platform"].as_str()).collect();
    assert_eq!(platforms, ["windows-x86_64", "linux-x86_64"]);
    assert_eq!(packages[0]["file"], setup.as_str());
    assert_eq!(packages[0]["size"], 12);
    let expected = run(Command::new("sha256sum").arg(folder.join(&setup))).expect("a checksum");
    assert_eq!(packages[0]["sha256"].as_str(), expected.split_whitespace().next());

    let [sums, signature] =
        ["SHA256SUMS", "SHA256SUMS.p7s"].map(|name| folder.join(name).display().to_string());
    let verify = || {
        openssl(&[
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "PEM",
            "-in",
            &signature,
            "-content",
            &sums,
            "-CAfile",
            &certificate,
            "-purpose",
            "any",
        ])
    };
    let check =
        || run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&folder));
    verify().expect("signed");
    check().expect("as listed");
    fs::write(folder.join(&setup), b"another one!").expect("written");
    check().expect_err("another installer");
    let forged = fs::read_to_string(&sums).expect("readable").replacen('a', "b", 1);
    fs::write(&sums, forged).expect("written");
    verify().expect_err("another list");
}
