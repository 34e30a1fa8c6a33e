#!/usr/bin/env bash
# Makes a Kubernetes of one node answer. Builds it first if necessary (build-kubernetes.sh): real programs with their own
# containerd, only for tests. May be called repeatedly, and by several test files at once. Restarts programs that have died.
#   ensure-kubernetes.sh [containerd|etcd|apiserver|controller-manager|scheduler|kubelet|proxy ...]     (default: all, and waits until they are ready)
# It keeps running after the tests; stop-kubernetes.sh ends it. All its files are in /var/lib/errand-kubernetes: admin.json (a
# kubeconfig), log/, and NAME.pid of each program. Its API, and the services of tests for pods, are at the node's address
# 10.213.0.1. It has no cluster DNS, and enforces no NetworkPolicy.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
state=/var/lib/errand-kubernetes
node=10.213.0.1
bridge=errand-k8s
group=errand-kubernetes
socket=$state/containerd.sock
etcd=http://127.0.0.1:22379
waitSeconds=120
everything=(containerd etcd apiserver controller-manager scheduler proxy kubelet)

if [ "$(id -u)" != 0 ]; then
  echo 'error: a Kubernetes for the tests takes root' >&2
  exit 1
fi
say() { echo "Kubernetes: $*" >&2; }

runs() {
  local pid
  pid=$(cat "$state/$1.pid" 2>/dev/null) && [ -n "$pid" ] && [ -e "/proc/$pid" ] &&
    ! grep -q '^State:.Z' "/proc/$pid/status" && grep -qz "$state" "/proc/$pid/cmdline"
}

# begin NAME PROGRAM ARGUMENTS: starts it in the background, with nothing from the caller.
begin() {
  local name=$1
  shift
  # Its pid is written before it starts, so that every running program can be ended.
  (cd "$state" && exec setsid env -i PATH="$PATH" HOME=/root sh -c 'echo $$ >"$0.pid" && exec "$@"' "$name" "$@") \
    >>"$state/log/$name" 2>&1 </dev/null 9>&- &
}

# The user agent hides curl: the API server indents its answers for curl, and panics at that if a Go as new as this built it.
ask() { curl -A errand-test -fsS -m 5 --cacert "$state/pki/ca.crt" --cert "$state/pki/admin.crt" --key "$state/pki/admin.key" "https://$node:6443$1" 2>&1; }

ready() {
  case $1 in
    containerd) ctr -a "$socket" version ;;
    etcd) curl -fsS -m 5 "$etcd/health" ;;
    apiserver) ask /readyz ;;
    # No pod can be created without an account.
    controller-manager) ask /api/v1/namespaces/default/serviceaccounts/default ;;
    scheduler) curl -fskS -m 5 https://127.0.0.1:22259/healthz ;;
    proxy) curl -fsS -m 5 http://127.0.0.1:22256/healthz ;;
    kubelet) curl -fsS -m 5 http://127.0.0.1:22248/healthz && node_ready ;;
  esac >/dev/null 2>&1
}

# The node's status may be from before a kubelet died, so its lease must be only seconds old.
node_ready() {
  ask "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/test-node" | python3 -c '
import datetime, json, sys
renewed = json.load(sys.stdin)["spec"]["renewTime"].rstrip("Z")
age = datetime.datetime.utcnow() - datetime.datetime.fromisoformat(renewed)
sys.exit(age.total_seconds() > 10)' && ask /api/v1/nodes/test-node | python3 -c '
import json, sys
sys.exit(not any(each["type"] == "Ready" and each["status"] == "True" for each in json.load(sys.stdin)["status"]["conditions"]))'
}

await() {
  local i
  for ((i = 0; i < waitSeconds * 5; i++)); do
    if ready "$1"; then return 0; fi
    if ! runs "$1" && [ "$i" -gt 10 ]; then break; fi
    [ $((i % 100)) != 99 ] || say "waiting for $1"
    sleep 0.2
  done
  echo "error: Kubernetes' $1 is not ready after $((i / 5)) s; $state/log/$1 ends with:" >&2
  tail -20 "$state/log/$1" >&2
  return 1
}

# certificate NAME SUBJECT [EXTENSIONS]: creates a key and a certificate, signed by the cluster's own authority.
certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -out "$1.crt" -days 3650 \
    -extfile <(echo "${3:-extendedKeyUsage=clientAuth}") 2>/dev/null
}

prepare() {
  local hierarchy device mtu
  mkdir -p "$state"/{pki,network,log,volumes} -m 700
  # If programs of another version are running, they continue. Only programs that start from now on have this version.
  ln -sfn "$programs" "$state/programs"
  if [ ! -e "$state/pki/done" ]; then
    (
      cd "$state/pki"
      openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=errand-test-ca 2>/dev/null
      certificate apiserver /CN=kube-apiserver \
        "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.213.1.1,IP:$node"
      certificate admin /O=system:masters/CN=admin
      openssl genrsa -out accounts.key 2048 2>/dev/null
      touch "done"
    )
  fi
  local user
  user=$(printf '{"client-certificate-data":"%s","client-key-data":"%s"}' \
    "$(base64 -w0 "$state/pki/admin.crt")" "$(base64 -w0 "$state/pki/admin.key")")
  cat >"$state/admin.json" <<END
{"apiVersion":"v1","kind":"Config","current-context":"test",
"clusters":[{"name":"test","cluster":{"server":"https://$node:6443","certificate-authority-data":"$(base64 -w0 "$state/pki/ca.crt")"}}],
"users":[{"name":"admin","user":$user}],
"contexts":[{"name":"test","context":{"cluster":"test","user":"admin"}}]}
END
  # Packets of pods must not be larger than those of the outgoing interface.
  device=$(awk '$2 == "00000000" { print $1; exit }' /proc/net/route)
  mtu=$(cat "/sys/class/net/$device/mtu" 2>/dev/null || echo 1500)
  # The node's address must exist before the first pod.
  if ! ip link show "$bridge" >/dev/null 2>&1; then
    ip link add "$bridge" type bridge
    ip address add "$node/24" dev "$bridge"
    ip link set "$bridge" mtu "$mtu" up
  fi
  echo 1 >/proc/sys/net/ipv4/ip_forward
  cat >"$state/network/10-bridge.conflist" <<END
{"cniVersion":"0.4.0","name":"errand-kubernetes","plugins":[
{"type":"bridge","bridge":"$bridge","isGateway":true,"ipMasq":true,"hairpinMode":true,"mtu":$mtu,
"ipam":{"type":"host-local","ranges":[[{"subnet":"10.213.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"$state/addresses"}},
{"type":"portmap","capabilities":{"portMappings":true}},{"type":"firewall"}]}
END
  # Its pods are below a separate group, so that another kubelet on the machine does not treat them as leftovers.
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$group"
    sed 's/[a-z_]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
  else
    for hierarchy in $(awk '$3 == "cgroup" { print $2 }' /proc/mounts); do mkdir -p "$hierarchy/$group"; done
    # A new group has no processors and no memory until they are set.
    for file in cpuset.cpus cpuset.mems; do
      [ ! -e "/sys/fs/cgroup/cpuset/$file" ] || cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$group/$file"
    done
  fi
  cat >"$state/containerd.toml" <<END
version = 2
root = "$state/containerd"
state = "$state/containerd-state"
[grpc]
address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "errand.test/pause:latest"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$state/programs/cni"
conf_dir = "$state/network"
END
  # A disk that is nearly full must not evict pods or remove images. Requests to the API server may be as frequent as since 1.27: with
  # the earlier limit of 5 a second, twenty pods with a Secret each take ten seconds longer to start.
  cat >"$state/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node
port: 22250
healthzBindAddress: 127.0.0.1
healthzPort: 22248
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$group
failSwapOn: false
resolvConf: /etc/resolv.conf
syncFrequency: 5s
nodeStatusUpdateFrequency: 3s
nodeLeaseDurationSeconds: 12
serializeImagePulls: false
kubeAPIQPS: 50
kubeAPIBurst: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
END
}

start() {
  case $1 in
    containerd) begin containerd containerd --config "$state/containerd.toml" ;;
    # Test data need not survive a power failure.
    etcd) begin etcd "$programs/etcd" --data-dir "$state/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
      --listen-peer-urls http://127.0.0.1:22380 --unsafe-no-fsync ;;
    apiserver) begin apiserver "$programs/kube-apiserver" --etcd-servers="$etcd" --bind-address="$node" --advertise-address="$node" \
      --secure-port=6443 --service-cluster-ip-range=10.213.1.0/24 --authorization-mode=Node,RBAC --allow-privileged=false \
      --client-ca-file="$state/pki/ca.crt" --tls-cert-file="$state/pki/apiserver.crt" --tls-private-key-file="$state/pki/apiserver.key" \
      --kubelet-client-certificate="$state/pki/admin.crt" --kubelet-client-key="$state/pki/admin.key" \
      --kubelet-preferred-address-types=InternalIP --service-account-issuer=https://kubernetes.default.svc \
      --service-account-key-file="$state/pki/accounts.key" --service-account-signing-key-file="$state/pki/accounts.key" ;;
    controller-manager) begin controller-manager "$programs/kube-controller-manager" --kubeconfig="$state/admin.json" --leader-elect=false \
      --bind-address=127.0.0.1 --secure-port=22257 --port=0 --node-monitor-grace-period=15s --node-monitor-period=3s \
      --service-account-private-key-file="$state/pki/accounts.key" --root-ca-file="$state/pki/ca.crt" ;;
    scheduler) begin scheduler "$programs/kube-scheduler" --kubeconfig="$state/admin.json" --leader-elect=false \
      --bind-address=127.0.0.1 --secure-port=22259 --port=0 ;;
    # Masqueraded, so that an answer from a pod on the same node takes the same way back.
    proxy) begin proxy "$programs/kube-proxy" --kubeconfig="$state/admin.json" --proxy-mode=iptables --masquerade-all \
      --hostname-override=test-node --healthz-bind-address=127.0.0.1:22256 --metrics-bind-address=127.0.0.1:22249 \
      --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 ;;
    kubelet) begin kubelet "$programs/kubelet" --kubeconfig="$state/admin.json" --config="$state/kubelet.yaml" --root-dir="$state/volumes" \
      --cert-dir="$state/pki" --node-ip="$node" --hostname-override=test-node --container-runtime=remote \
      --container-runtime-endpoint="unix://$socket" ;;
    *) echo "error: there is no \"$1\" in a Kubernetes; one of: ${everything[*]}" >&2 && exit 1 ;;
  esac
}

# Builds the image that holds a pod's sandbox open: a program that does nothing.
make_pause() {
  ctr -a "$socket" -n k8s.io images ls -q | grep -qx errand.test/pause:latest && return
  "$here/../docker/ensure-docker.sh" 9>&-
  "$here/../../../scripts/ci-packages.sh" busybox-static 9>&-
  local root
  root=$(mktemp -d)
  cp "$(command -v busybox)" "$root/busybox"
  tar -C "$root" --owner=0 --group=0 -c busybox |
    docker import -c 'ENTRYPOINT ["/busybox","sh","-c","trap \"exit 0\" TERM INT; while :; do /busybox sleep 3600 & wait; done"]' \
      - errand.test/pause >/dev/null
  rm -rf "$root"
  docker save errand.test/pause | ctr -a "$socket" -n k8s.io images import - >/dev/null
}

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=("${everything[@]}")
whole=true
for name in "${wanted[@]}"; do
  if ! { runs "$name" && ready "$name"; }; then whole=false; fi
done
if $whole && [ -e "$state/programs/kubelet" ]; then exit 0; fi

programs=$("$here/build-kubernetes.sh")
exec 9>/var/lock/errand-ensure-kubernetes
flock 9
"$here/../../../scripts/ci-packages.sh" curl docker.io iproute2 iptables openssl python3 9>&-
prepare
for name in "${wanted[@]}"; do
  if ! runs "$name"; then
    say "starting its $name"
    start "$name"
  fi
  await "$name"
  [ "$name" != containerd ] || make_pause
done
