#!/usr/bin/env bash
# Prepares the folder with Wine 10, which is newer than Debian bookworm's: wine.sh FOLDER (2 GB, once)
set -euo pipefail

folder=$1
if [ -e "$folder/.ready" ]; then exit; fi
rm -rf "$folder"
debootstrap --variant=minbase \
	--include=wine64,wine,libpcsclite1,fonts-noto-cjk,libgl1,libegl1,libgl1-mesa-dri trixie "$folder" >/dev/null
rm -rf "$folder"/var/cache/apt/archives/*.deb
touch "$folder/.ready"
