#!/usr/bin/env bash
# Makes a Docker engine answer on $DOCKER_SOCK: installs Debian's docker.io and starts dockerd if necessary (no systemd
# needed). May be called repeatedly, and by several test files at once. The engine keeps running after the tests.
set -euo pipefail

socket=${DOCKER_SOCK:-/var/run/docker.sock}
log=${DOCKERD_LOG:-/tmp/errand-dockerd.log}
waitSeconds=60

answers() {
  [ "$(curl -s -m 3 -o /dev/null -w '%{http_code}' --unix-socket "$socket" http://docker/_ping 2>/dev/null)" = 200 ]
}

if answers; then exit 0; fi
if [ "$(id -u)" != 0 ]; then
  echo "error: no Docker engine answers at $socket, and starting one takes root" >&2
  exit 1
fi
exec 9>/var/lock/errand-ensure-docker
flock 9
if answers; then exit 0; fi

"$(dirname "$0")/../../../scripts/ci-packages.sh" curl docker.io iptables 9>&-
# Neither version of cgroups is mounted.
grep -q ' /sys/fs/cgroup' /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup
echo 1 >/proc/sys/net/ipv4/ip_forward
# A killed engine leaves this file.
pidFile=/var/run/docker.pid
if [ -e "$pidFile" ] && ! kill -0 "$(cat "$pidFile")" 2>/dev/null; then rm -f "$pidFile"; fi
# Packets of containers must not be larger than those of the outgoing interface.
device=$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)
mtu=$(cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500)

# It gets nothing from its caller, because it outlives a test and the test's folders.
setsid env -u TMPDIR HOME=/root nohup dockerd --mtu "$mtu" -H "unix://$socket" >"$log" 2>&1 </dev/null 9>&- &
pid=$!
for ((i = 0; i < waitSeconds * 10; i++)); do
  if answers; then exit 0; fi
  if ! kill -0 "$pid" 2>/dev/null; then
    echo 'error: dockerd has ended:' >&2
    tail -20 "$log" >&2
    exit 1
  fi
  sleep 0.1
done
echo "error: dockerd does not answer after $waitSeconds s; $log ends with:" >&2
tail -20 "$log" >&2
exit 1
