#!/usr/bin/env bash
# Runs a command in the folder that holds Wine, with this computer's processes, devices and network and one folder shared
# under the same path: inside.sh ROOT SHARED COMMAND… The mounts end with the command.
set -euo pipefail

root=$(realpath "$1")
shared=$(realpath "$2")
shift 2
mkdir -p "$root$shared"
export ROOT=$root SHARED=$shared
exec unshare --mount --propagation private bash -euc '
	cp /etc/hosts "$ROOT/etc/hosts"
	mount --rbind /proc "$ROOT/proc"
	mount --rbind /dev "$ROOT/dev"
	mount --bind "$SHARED" "$ROOT$SHARED"
	exec chroot "$ROOT" "$@"
' inside "$@"
