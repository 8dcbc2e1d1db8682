#!/bin/sh
# Cargo's runner for `make test` by an ordinary user. The machines of the runbooks have a systemd of their own, which only
# root can boot; every other program stays the user's.
case $(basename "$1") in
runbooks-*) exec sudo env PATH="$PATH" "$@" ;;
*) exec "$@" ;;
esac
