#!/usr/bin/env bash
# Makes stand-ins for the images that users build on, from Debian's packages and the Node that is here, for machines that
# reach no image registry:
#   make-base-images.sh [busybox] [node:20-slim] [python:3.11-slim] [node:24-slim]      (default: all)
# They are named errand.test/NAME and stay; one that is up to date is not made again. With ERRAND_TEST_REAL_NAMES=1 they
# get the real names too (an image of that name is not replaced). All but node:24-slim, which is a Debian with apt, have
# busybox as their shell. All hold this machine's CA bundle.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec 9>/var/lock/errand-base-images
flock 9

ca=/etc/ssl/certs/ca-certificates.crt
# This machine's own Node, not the pinned one that npm puts first.
machine_node=$(type -ap node | grep -v /node_modules/ | head -1 || true)
machine_node=$(readlink -f "${machine_node:-$(command -v node)}")
npm_folder=$(dirname "$(dirname "$(readlink -f "$(type -ap npm | grep -v /node_modules/ | head -1)")")")
pinned_node=$root/node_modules/node/bin/node
# Made anew when this changes.
made=$({ cat "$0" "$ca" && "$machine_node" --version && "$pinned_node" --version; } | sha256sum | cut -c1-16)

# The root file system of a small system around busybox, in $1.
skeleton() {
  mkdir -p "$1"/{usr/bin,usr/sbin,usr/lib,usr/lib64,etc/ssl/certs,tmp,root,home,proc,sys,dev,var/tmp,run}
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
  chmod 1777 "$1/tmp" "$1/var/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$1/etc/group"
  echo 'hosts: files dns' >"$1/etc/nsswitch.conf"
  cp "$ca" "$1/etc/ssl/certs/"
  cp "$(command -v busybox)" "$1/usr/bin/busybox"
  for name in $("$1/usr/bin/busybox" --list); do
    [ -e "$1/usr/bin/$name" ] || ln -s busybox "$1/usr/bin/$name"
  done
}

# Puts Node $2 and this machine's npm, with its settings, into $1.
add_node() {
  mkdir -p "$1"/usr/{lib/node_modules,etc,bin}
  install -m755 "$2" "$1/usr/bin/node"
  cp -r "$npm_folder" "$1/usr/lib/node_modules/npm"
  for name in npm npx; do ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "$1/usr/bin/$name"; done
  printf 'cafile=%s\nregistry=%s\n' "$ca" "$(npm config get registry --loglevel=error)" >"$1/usr/etc/npmrc"
}

# Imports the folder $2 as image $1; the rest are Dockerfile lines.
import_image() {
  local name=$1 folder=$2 changes=(-c "LABEL errand.test.base=$made")
  shift 2
  for line in "$@"; do changes+=(-c "$line"); done
  tar -C "$folder" --numeric-owner -c . | docker import "${changes[@]}" - "errand.test/$name" >/dev/null
}

make_busybox() {
  skeleton "$1"
  chown -R 0:0 "$1"
  import_image busybox:latest "$1" 'CMD ["sh"]'
}

make_node20() {
  local library
  skeleton "$1"
  add_node "$1" "$machine_node"
  for library in $(ldd "$machine_node" | grep -o '/[^ ]*' | sort -u) \
    /lib/"$(uname -m)"-linux-gnu/{libnss_dns.so.2,libnss_files.so.2,libresolv.so.2}; do
    install -D "$(readlink -f "$library")" "$1$(dirname "$library" | sed 's#^/lib#/usr/lib#')/$(basename "$library")"
  done
  chown -R 0:0 "$1"
  import_image node:20-slim "$1" "ENV NODE_EXTRA_CA_CERTS=$ca" 'CMD ["node"]'
}

make_python() {
  local file packages=(libc6 libexpat1 zlib1g libssl3 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libuuid1 libncursesw6
    libtinfo6 libreadline8 libcrypt1 libgcc-s1 libstdc++6 media-types tzdata python3.11-minimal libpython3.11-minimal
    libpython3.11-stdlib python3.11 python3-pip python3-setuptools python3-wheel python3-pkg-resources
    python3-distutils python3-lib2to3)
  skeleton "$1"
  mkdir "$work/packages"
  (cd "$work/packages" && chmod 777 . && { apt-get download -qq "${packages[@]}" 2>/dev/null ||
    { apt-get update -qq && apt-get download -qq "${packages[@]}"; }; })
  for file in "$work"/packages/*.deb; do
    dpkg-deb --fsys-tarfile "$file" | tar -x --keep-directory-symlink -C "$1"
  done
  rm -rf "$1"/usr/share/{doc,man,lintian,perl5} "$1/usr/lib/python3.11/EXTERNALLY-MANAGED"
  for name in python python3; do ln -sf python3.11 "$1/usr/bin/$name"; done
  chown -R 0:0 "$1"
  import_image python:3.11-slim "$1" "ENV SSL_CERT_FILE=$ca" "ENV PIP_CERT=$ca" 'ENV PYTHONUNBUFFERED=1' 'CMD ["python3"]'
}

make_node24() {
  local sources=() file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
    [ ! -s "$file" ] || sources+=("$file")
  done
  mmdebstrap --quiet --variant=minbase --include=ca-certificates --format=directory \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1" "${sources[@]}"
  cp -L "$ca" "$1$ca"
  add_node "$1" "$pinned_node"
  import_image node:24-slim "$1" "ENV NODE_EXTRA_CA_CERTS=$ca" 'CMD ["node"]'
}

label_of() {
  docker image inspect -f '{{json .Config.Labels}}' "$1" 2>/dev/null | grep -o '"errand.test.base":"[^"]*"' | cut -d'"' -f4 || true
}

wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(busybox node:20-slim python:3.11-slim node:24-slim)
for name in "${wanted[@]}"; do
  case $name in
    busybox) make=make_busybox tag=busybox:latest ;;
    node:20-slim) make=make_node20 tag=$name ;;
    python:3.11-slim) make=make_python tag=$name ;;
    node:24-slim) make=make_node24 tag=$name ;;
    *) echo "error: no stand-in is known for \"$name\"" >&2 && exit 1 ;;
  esac
  if [ "$(label_of "errand.test/$tag")" != "$made" ]; then
    "$root/scripts/ci-packages.sh" busybox-static mmdebstrap ca-certificates 9>&-
    before=$(docker image inspect -f '{{.Id}}' "errand.test/$tag" 2>/dev/null || true)
    "$make" "$work/${name//:/-}"
    # One that others are built on stays.
    [ -z "$before" ] || docker rmi "$before" >/dev/null 2>&1 || true
  fi
  if [ "${ERRAND_TEST_REAL_NAMES:-}" = 1 ]; then
    # One without our label is the real one.
    if ! docker image inspect "$tag" >/dev/null 2>&1 || [ -n "$(label_of "$tag")" ]; then
      docker tag "errand.test/$tag" "$tag"
    fi
  fi
done
