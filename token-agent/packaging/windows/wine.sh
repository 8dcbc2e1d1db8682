#!/usr/bin/env bash
# Prepares the folder with Wine 10, which is newer than Debian bookworm's: wine.sh FOLDER (2 GB, once)
set -euo pipefail

folder=$1
if [ -e "$folder/.ready" ]; then exit; fi
rm -rf "$folder"
debootstrap --variant=minbase \
	--include=wine64,wine,libpcsclite1,fonts-noto-cjk,libgl1,libegl1,libgl1-mesa-dri trixie "$folder" >/dev/null
# A client and a pcscd of different versions don't understand each other: ours goes in.
for library in /usr/lib/x86_64-linux-gnu/libpcsclite{,_real}.so.1; do
	if [ -e "$library" ]; then
		rm -f "$folder$library"
		cp -L "$library" "$folder$library"
	fi
done
rm -rf "$folder"/var/cache/apt/archives/*.deb
touch "$folder/.ready"
