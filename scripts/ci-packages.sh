#!/usr/bin/env bash
# Installs the Debian packages that the tests need beyond npm's: all below, or those given. Does nothing if they are there.
#   scripts/ci-packages.sh [PACKAGE...]
set -euo pipefail

packages=("$@")
if [ ${#packages[@]} = 0 ]; then
  packages=(
    ca-certificates curl git
    docker.io iptables iproute2 busybox-static mmdebstrap # containers, networks, base images
    docker-registry apache2-utils                         # a registry with a password (htpasswd)
    docker-compose systemd                                # to check the files of deploy/
    faketime                                              # clocks that jump
    e2fsprogs mount util-linux                            # disks that lose power
    user-mode-linux gcc libc6-dev                         # a guest with cgroup v2, on machines with v1
    make openssl                                          # a Kubernetes of one node, from its source
    bubblewrap socat python3                              # sandboxes, their way out, attacks from inside
    chromium firefox-esr                                  # the dashboard's tests
    bsdutils locales                                      # a terminal (script), and a locale that is not English
  )
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [ "$status" = 'ii ' ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "error: these packages are missing, and installing them takes root: ${missing[*]}" >&2
  echo "  hint: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made=
trap 'rm -f "$log"; [ -z "$made" ] || rm -f "$policy"' EXIT
# Several test files may call this at once.
exec 9>/var/lock/errand-ci-packages
flock 9
if [ ! -e "$policy" ]; then
  # No package starts a service of its own.
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  made=1
fi
export DEBIAN_FRONTEND=noninteractive
for try in 1 2 3; do
  # Only after a failed try: an existing list is usually sufficient, and an update is slow.
  [ "$try" = 1 ] || apt-get update -qq >>"$log" 2>&1 || true
  echo "Installing ${missing[*]}"
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >>"$log" 2>&1 9>&- && exit 0
done
cat "$log" >&2
exit 1
