#!/usr/bin/env bash
# Packs a built inro-agent as a Debian package: [COMPRESSION=gzip] deb.sh PROGRAM VERSION FOLDER
# Man pages and completions come from the program itself, dependencies from what it is linked with.
set -euo pipefail

program=$(realpath "$1")
version=$2
mkdir -p "$3"
out=$(realpath "$3")
here=$(cd "$(dirname "$0")/.." && pwd)
# Same program, same octets: every file bears the date of the sources, or the program's own where they have no history.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || stat -c %Y "$program")}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
umask 022

install -D -m 755 "$program" "$root/usr/bin/inro-agent"
strip --strip-unneeded "$root/usr/bin/inro-agent"
# The TPM's keys for browsers, where it was built beside the program; `inro-agent browser setup` finds it there.
binaries=("$root/usr/bin/inro-agent")
if [ -f "$(dirname "$program")/libinro_tpm_pkcs11.so" ]; then
	install -D -m 644 "$(dirname "$program")/libinro_tpm_pkcs11.so" "$root/usr/lib/inro/libinro_tpm_pkcs11.so"
	strip --strip-unneeded "$root/usr/lib/inro/libinro_tpm_pkcs11.so"
	binaries+=("$root/usr/lib/inro/libinro_tpm_pkcs11.so")
fi
install -D -m 644 "$here/linux/inro-agent.desktop" "$root/usr/share/applications/inro-agent.desktop"
install -D -m 644 "$here/inro-agent.svg" "$root/usr/share/icons/hicolor/scalable/apps/inro-agent.svg"
for example in agent policy; do
	install -D -m 644 "$here/$example.toml" "$root/usr/share/doc/inro-agent/examples/$example.toml"
done
install -D -m 644 "$here/../../LICENSE" "$root/usr/share/doc/inro-agent/copyright"
for guide in "$here"/../docs/*.md; do
	install -D -m 644 "$guide" "$root/usr/share/doc/inro-agent/$(basename "$guide")"
done

"$program" generate --folder "$work/generated"
for page in "$work"/generated/man/*.1; do
	install -D -m 644 "$page" "$root/usr/share/man/man1/$(basename "$page")"
done
gzip -9 -n "$root"/usr/share/man/man1/*.1
completions=$work/generated/completions
install -D -m 644 "$completions/inro-agent.bash" "$root/usr/share/bash-completion/completions/inro-agent"
install -D -m 644 "$completions/_inro-agent" "$root/usr/share/zsh/vendor-completions/_inro-agent"
install -D -m 644 "$completions/inro-agent.fish" "$root/usr/share/fish/vendor_completions.d/inro-agent.fish"

# dpkg-shlibdeps wants a source package around it.
mkdir "$work/debian"
printf 'Source: inro-agent\n\nPackage: inro-agent\nArchitecture: any\n' >"$work/debian/control"
libraries=$(cd "$work" && dpkg-shlibdeps -O "${binaries[@]/#/-e}" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
# Loaded while it runs: what a window under X11 needs.
window="libgl1, libx11-6, libx11-xcb1, libxcursor1, libxi6, libxrandr2, libxkbcommon-x11-0"

# In KiB as Debian Policy 5.6.20 wants it, from the files alone: what they take on a disk is the file system's affair.
size=$(find "$root/usr" -type f -printf '%s\n' | awk '{ size += int(($1 + 1023) / 1024) } END { print size }')
mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: inro-agent
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: Inro <inro@localhost>
Installed-Size: $size
Depends: pcscd, $libraries, $window
Recommends: fonts-noto-cjk | fonts-japanese-gothic, xdg-utils
Section: utils
Priority: optional
Description: certificates for corporate banking whose keys live on tokens
 Obtains a certificate onto a YubiKey, a PIV card or a TPM, shows what tokens
 hold, changes PINs and erases keys: in a window (inro-agent gui) or by
 commands that scripts can use.
CONTROL
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
# Also where that date is yet to come: dpkg-deb only turns clocks back.
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$root" "$out/inro-agent_${version}_$(dpkg --print-architecture).deb"
