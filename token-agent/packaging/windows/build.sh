#!/usr/bin/env bash
# Builds inro-agent for Windows and its installer, on Debian: build.sh VERSION FOLDER
#
# The toolchain is Debian's own (rustc-web and the sources of its standard library), for rustup's can't be mixed with
# it; so its target folder is apart. The window's program is the same with another mark in its header: a console program
# would open a black window from the start menu.
set -euo pipefail

version=$1
mkdir -p "$2"
out=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
tree=$(cd "$here/../../.." && pwd)

target=x86_64-pc-windows-gnu
cd "$tree"
env PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
	CARGO_BUILD_TARGET=$target CARGO_UNSTABLE_BUILD_STD=std,panic_abort \
	CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc \
	CC_x86_64_pc_windows_gnu=x86_64-w64-mingw32-gcc CXX_x86_64_pc_windows_gnu=x86_64-w64-mingw32-g++ \
	AR_x86_64_pc_windows_gnu=x86_64-w64-mingw32-ar \
	CARGO_PROFILE_RELEASE_PANIC=abort CARGO_PROFILE_RELEASE_STRIP=symbols \
	CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	cargo build --locked --release -p token-agent --target-dir target/windows

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "target/windows/$target/release/inro-agent.exe" "$work/inro-agent.exe"
x86_64-w64-mingw32-objcopy --subsystem windows "$work/inro-agent.exe" "$work/inro-agent-window.exe"
sed 's/$/\r/' LICENSE >"$work/LICENSE.txt"
for example in agent policy; do
	sed 's/$/\r/' "$here/../$example.toml" >"$work/$example.toml"
done
cp "$work/inro-agent.exe" "$work/inro-agent-window.exe" target/windows/
makensis -V2 -INPUTCHARSET UTF8 "-DVERSION=$version" "-DSOURCE=$work" \
	"-DOUTPUT=$out/inro-agent-$version-x64-setup.exe" "$here/installer.nsi"
