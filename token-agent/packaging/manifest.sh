#!/usr/bin/env bash
# Lists the packages of a version in a folder and signs the list: manifest.sh FOLDER VERSION [KEY CERTIFICATE]
#
# packages.json         what the portal's download page shows: file, version, platform, size in octets, SHA-256
# SHA256SUMS            of every package and of packages.json, for sha256sum --check
# SHA256SUMS.p7s        its signature (CMS in PEM, detached), where a release key and its certificate are given;
#                       openssl cms -verify -binary -inform PEM -in SHA256SUMS.p7s -content SHA256SUMS -CAfile …
set -euo pipefail

cd "$1"
version=$2
key=${3:-}
certificate=${4:-}

# Of this version: what an earlier build left in the folder is nobody's download.
platform() {
	case $1 in
	*_"$version"_amd64.deb) echo linux-x86_64 ;;
	*_"$version"_arm64.deb) echo linux-aarch64 ;;
	*-"$version"-*.exe) echo windows-x86_64 ;;
	*) return 1 ;;
	esac
}

rm -f SHA256SUMS SHA256SUMS.p7s packages.json
packages=()
for file in *; do
	[[ $file =~ ^[A-Za-z0-9._+~-]+$ ]] || { echo "$file: not a name for a package" >&2; exit 1; }
	if platform "$file" >/dev/null; then
		packages+=("$file")
	elif [[ $file == *.deb || $file == *.exe ]]; then
		echo "left out: $file is not of version $version" >&2
	fi
done
[ "${#packages[@]}" -gt 0 ] || { echo "no package of version $version in $PWD" >&2; exit 1; }

{
	printf '{\n  "version": "%s",\n  "packages": [' "$version"
	separator=
	for file in "${packages[@]}"; do
		printf '%s\n    {"file": "%s", "version": "%s", "platform": "%s", "size": %d, "sha256": "%s"}' \
			"$separator" "$file" "$version" "$(platform "$file")" \
			"$(stat -c %s "$file")" "$(sha256sum "$file" | cut -d' ' -f1)"
		separator=,
	done
	printf '\n  ]\n}\n'
} >packages.json
sha256sum "${packages[@]}" packages.json >SHA256SUMS

if [ -n "$key" ]; then
	openssl cms -sign -binary -md sha256 -in SHA256SUMS -inkey "$key" -signer "$certificate" \
		-outform PEM -out SHA256SUMS.p7s
else
	echo "not signed: no release key was given" >&2
fi
