#!/usr/bin/env bash
# Builds the programs of a Kubernetes from Debian's packages alone, once, and names the folder that has them: Kubernetes
# 1.20.2 from its source package, with etcd and the network plugins. Nothing is installed. On two cores it takes about four
# minutes and 1.5 GB, of which 250 MB stay in ~/.cache/errand-test. One that is asked for meanwhile waits for the first.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=1.20.2
# The user's own home, whatever HOME is.
cache=$(getent passwd "$(id -u)" | cut -d: -f6)/.cache/errand-test
made=$cache/kubernetes-$version-$(cat "$0" "$here/programs.go" | sha256sum | cut -c1-12)
mkdir -p "$cache"
exec 9>"$cache/kubernetes.lock"
until flock -w 30 9; do echo "Kubernetes $version: waiting for the build that is going on" >&2; done
if [ -d "$made" ]; then
  echo "$made"
  exit 0
fi

# Left by a build that was ended, or of another version of this file.
rm -rf "$cache"/kubernetes-*
work=$made.part
mkdir -p "$work"/{apt/lists/partial,apt/cache/archives/partial,apt/parts,packages,root,home,made}
trap 'rm -rf "$work"' EXIT
say() { echo "Kubernetes $version: $*" >&2; }

say 'getting its source and Go from Debian'
cd "$work/packages"
# The mirror that this machine uses, of whichever Debian it is.
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sort -u | head -1)
signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
printf '%s\n' "deb $signed $mirror bookworm main" "deb-src $signed $mirror bookworm main" >"$work/apt/sources.list"
cat >"$work/apt/apt.conf" <<END
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "$work/apt/parts";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "$(id -un)";
Acquire::Retries "3";
END
export APT_CONFIG=$work/apt/apt.conf
apt-get update -qq
apt-get download -qq golang-1.19-go golang-1.19-src rsync libpopt0 libxxhash0 etcd-server containernetworking-plugins \
  golang-github-modern-go-reflect2-dev
apt-get source -qq --download-only kubernetes
for file in *.deb; do dpkg -x "$file" "$work/root"; done
source=$work/go/src/k8s.io/kubernetes
mkdir -p "$source"
tar -xzf kubernetes_*.orig.tar.gz --strip-components=1 -C "$source"
# Its own reads maps as Go has not had them since 1.18: the API server dies of it at random.
reflect2=github.com/modern-go/reflect2
rm -r "$source/vendor/$reflect2"
cp -r "$work/root/usr/share/gocode/src/$reflect2" "$source/vendor/$reflect2"

export GOROOT=$work/root/usr/lib/go-1.19 GOPATH=$work/go GOCACHE=$work/compiled GO111MODULE=off CGO_ENABLED=0 HOME=$work/home
export PATH=$GOROOT/bin:$work/root/usr/bin:$PATH LD_LIBRARY_PATH=$work/root/usr/lib/$(uname -m)-linux-gnu
cat >"$work/version" <<END
KUBE_GIT_COMMIT=debian
KUBE_GIT_TREE_STATE=clean
KUBE_GIT_VERSION=v$version
KUBE_GIT_MAJOR=1
KUBE_GIT_MINOR=20
END
cd "$source"
say 'generating source'
KUBE_GIT_VERSION_FILE=$work/version make generated_files >"$work/log" 2>&1 || { tail -30 "$work/log" >&2 && exit 1; }
say 'compiling'
mkdir cmd/errand-test
cp "$here/programs.go" cmd/errand-test/
told=k8s.io/kubernetes/vendor/k8s.io/component-base/version
client=k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version
# Without optimizing, which takes twice as long.
go build -gcflags='all=-N -l' -o "$work/made/kubernetes" \
  -ldflags "-s -w -X $told.gitVersion=v$version -X $told.gitMajor=1 -X $told.gitMinor=20 -X $client.gitVersion=v$version" ./cmd/errand-test
for name in kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubelet; do
  ln -s kubernetes "$work/made/$name"
done
cp "$work/root/usr/bin/etcd" "$work/made/"
cp -r "$work/root/usr/lib/cni" "$work/made/"
mv "$work/made" "$made"
say "built in $SECONDS s"
echo "$made"
