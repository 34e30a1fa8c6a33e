#!/usr/bin/env bash
# Ends the Kubernetes of ensure-kubernetes.sh: its pods, programs, mounts, network and groups. The built programs stay. With
# stop-kubernetes.sh --keep, its stored objects, keys and images stay too.
set -euo pipefail

state=/var/lib/errand-kubernetes
group=errand-kubernetes
bridge=errand-k8s
exec 9>/var/lock/errand-ensure-kubernetes
flock 9

# pid_of NAME: prints the pid, if the process is still one of ours.
pid_of() {
  local pid
  pid=$(cat "$state/$1.pid" 2>/dev/null) && [ -e "/proc/$pid/cmdline" ] && grep -qz "$state" "/proc/$pid/cmdline" && echo "$pid"
}

# The programs that would restart pods come first.
for name in kubelet scheduler controller-manager apiserver etcd proxy containerd; do
  pid=$(pid_of "$name") || continue
  if [ "$name" = containerd ]; then
    # Each container has a shim, which ends with it.
    for task in $(ctr -a "$state/containerd.sock" -n k8s.io tasks ls -q); do
      ctr -a "$state/containerd.sock" -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
    done
  fi
  kill "$pid" 2>/dev/null || true
  for ((i = 0; i < 100; i++)); do
    [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
  rm -f "$state/$name.pid"
done
# A dead containerd leaves these processes.
for process in $(pgrep -f "containerd-shim.* -address $state/" || true); do kill -9 "$process" 2>/dev/null || true; done
for hierarchy in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do
  [ -d "$hierarchy/$group" ] || continue
  while read -r pid; do kill -9 "$pid" 2>/dev/null || true; done < <(find "$hierarchy/$group" -name cgroup.procs -exec cat {} +)
done

awk -v folder="$state/" 'index($2, folder) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
ip link del "$bridge" 2>/dev/null || true
for hierarchy in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do
  [ -d "$hierarchy/$group" ] || continue
  for ((i = 0; i < 50; i++)); do
    find "$hierarchy/$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.1
  done
done
# Removes rules with its addresses. Chains that every Kubernetes has stay; they have no effect.
for table in nat filter; do
  iptables-save -t "$table" 2>/dev/null | sed -n 's/^-A\(.*10\.213\..*\)/-D\1/p' |
    while read -r rule; do eval "iptables -t $table $rule" 2>/dev/null || true; done
done
[ "${1:-}" = --keep ] || rm -rf "$state"
