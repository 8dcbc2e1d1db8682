# make demo   the main job, for real, on this machine; ONCE=1 ends after the last step
# make test   every test, on real stacks
# make agent-packages, agent-windows   the agent for customers, into target/packages; test-windows runs it under Wine
# make check  format, lints, licences
# make bench  figures side by side with a baseline, into target/bench/results.json and report.html; BENCH="…" only those
# make soak   every fault that must be survived, at full size, for hours, into target/soak/report.md; ONLY=R1,R4 MINUTES=5 SMALL=1

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What a fresh Debian machine lacks.
PACKAGES := \
	build-essential pkg-config openssl curl \
	softhsm2 opensc opensc-pkcs11 libengine-pkcs11-openssl \
	pcscd libpcsclite-dev vsmartcard-vpcd yubico-piv-tool ykcs11 yubikey-manager \
	libtss2-dev libtss2-tcti-swtpm0 swtpm swtpm-tools tpm2-tools gnutls-bin gcab \
	sqlite3 postgresql pgbouncer \
	squid-openssl gsettings-desktop-schemas libglib2.0-bin \
	xvfb xdotool scrot dbus at-spi2-core man-db \
	libgl1 libegl1 libgl1-mesa-dri libx11-xcb1 libxcursor1 libxi6 libxrandr2 libxkbcommon-x11-0 \
	systemd sudo iproute2 openssh-server \
	clang libssl-dev \
	haproxy python3-aiosmtpd \
	chromium chromium-driver libnss3-tools fonts-noto-cjk

ifneq ($(shell id -u),0)
SUDO := sudo
endif

.PHONY: help setup build kryoptic axe test check deny demo bench soak sqlx-prepare

help:
	@sed -n 's/^# make/make/p' Makefile

setup:
	@missing=(); \
	for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$$package"); \
	done; \
	if [ "$${#missing[@]}" -gt 0 ]; then \
		echo "installing: $${missing[*]}"; \
		$(SUDO) apt-get update -qq; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$${missing[@]}" >/dev/null; \
	fi
	@[ -d /run/pcscd ] || $(SUDO) mkdir -p /run/pcscd # Without systemd; pcscd wants it even for a private socket.

build: setup
	cargo build --locked --workspace

# The second token that tests run on, in a workspace of its own.
kryoptic: setup
	cargo build --locked --manifest-path softhsm-tests/kryoptic/Cargo.toml --target-dir target/kryoptic

# What the browser tests check accessibility with, at the version of the lock file.
axe: setup
	@command -v npm >/dev/null || { echo "installing: npm"; $(SUDO) apt-get update -qq; $(SUDO) env DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 npm >/dev/null; }
	@cmp -s softhsm-tests/axe/package-lock.json target/axe/fetched || { \
		mkdir -p target/axe; \
		cp softhsm-tests/axe/package.json softhsm-tests/axe/package-lock.json target/axe/; \
		npm --prefix target/axe ci --ignore-scripts --no-audit --no-fund --loglevel=error; \
		cp softhsm-tests/axe/package-lock.json target/axe/fetched; \
	}

# All targets at once: with the tests' features everything is built once, and no program is built again under a test.
# Where this isn't root's, the runbooks alone are executed by sudo: they boot machines.
ifneq ($(shell id -u),0)
test: export CARGO_TARGET_$(shell rustc --print host-tuple 2>/dev/null | tr 'a-z-' 'A-Z_')_RUNNER := $(CURDIR)/softhsm-tests/runner.sh
endif
test: setup kryoptic axe
	cargo build --locked --workspace --all-targets
	cargo test --locked --workspace --no-fail-fast

check: setup deny
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	ca/store-sqlite/prepare.sh --check
	ca/store-postgres/prepare.sh --check

deny:
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	cargo deny --locked check bans licenses sources
	cargo deny --locked --manifest-path softhsm-tests/kryoptic/Cargo.toml check bans licenses sources

demo: build
	@target/debug/demo $(if $(ONCE),--once)

# Optimised, unlike tests and demo: a build of its own.
bench: PACKAGES += wrk nginx-light golang-cfssl
bench: setup
	cargo build --locked --release --workspace
	@target/release/bench $(BENCH)

# Optimised as well. R11 and FUZZ-AGENT are tests of other targets, which the soak builds and runs.
soak: setup
	cargo build --locked --release --workspace
	@target/release/soak $(if $(ONLY),--only $(ONLY)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SMALL),--small)

# The version that all crates share.
VERSION = $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# RELEASE_KEY=key.pem RELEASE_CERTIFICATE=certificate.pem sign the list.
agent-packages: setup
	cargo build --locked --release -p token-agent -p tpm-pkcs11
	token-agent/packaging/linux/deb.sh target/release/inro-agent $(VERSION) target/packages
	token-agent/packaging/manifest.sh target/packages $(VERSION) $(RELEASE_KEY) $(RELEASE_CERTIFICATE)

# With Debian's own Rust; rustup's can't be mixed with the sources of its standard library.
agent-windows: PACKAGES += rustc-web cargo-web rust-web-src nsis \
	gcc-mingw-w64-x86-64-win32 g++-mingw-w64-x86-64-win32
agent-windows: setup
	token-agent/packaging/windows/build.sh $(VERSION) target/packages
	token-agent/packaging/manifest.sh target/packages $(VERSION) $(RELEASE_KEY) $(RELEASE_CERTIFICATE)

# The installer and the program for Windows under Wine 10, which lies in a folder of 2 GB.
test-windows: PACKAGES += debootstrap
test-windows: agent-windows
	$(SUDO) token-agent/packaging/windows/wine.sh target/windows/trixie
	cargo build --locked --bins -p ca -p hsm-config -p softhsm-tests
	cargo test --locked -p softhsm-tests --features windows --test windows

# After a change to a query or a migration; `make check` says when it was forgotten.
sqlx-prepare: setup
	ca/store-sqlite/prepare.sh
	ca/store-postgres/prepare.sh
