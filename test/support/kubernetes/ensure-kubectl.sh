#!/usr/bin/env bash
# Prints a folder with Debian's kubectl. It is unpacked into ~/.cache/errand-test once, whatever else is installed.
set -euo pipefail

# The user's real home, whatever HOME is.
cache=$(getent passwd "$(id -u)" | cut -d: -f6)/.cache/errand-test
made=$cache/kubectl
mkdir -p "$cache"
exec 9>"$cache/kubectl.lock"
flock 9
if [ ! -x "$made/kubectl" ]; then
  work=$(mktemp -d "$cache/kubectl-part-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  fetch() { apt-get download -qq -o APT::Sandbox::User="$(id -un)" kubernetes-client; }
  fetch 2>/dev/null || { apt-get update -qq && fetch; } >&2
  dpkg -x ./*.deb root
  mkdir -p "$made"
  mv root/usr/bin/kubectl "$made/kubectl"
fi
echo "$made"
