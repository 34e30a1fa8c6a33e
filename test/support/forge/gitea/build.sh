#!/bin/sh
# Builds Gitea for test/forge/gitea.test.ts, once: test/support/forge/gitea/build.sh [VERSION]
# Needs Go, a C compiler for SQLite, and Go modules; takes about 10 minutes and 3 GB of modules and cache.
set -eu
version=${1:-1.26.0}
module=code.gitea.io/gitea
made=$HOME/.cache/errand-test/gitea-$version
[ ! -x "$made/gitea" ] || { echo "$made is there already."; exit 0; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOFLAGS='-mod=mod -buildvcs=false' CGO_ENABLED=1
go mod init errand.test/gitea
go get -tool "$module@v$version"
from=$(go list -m -f '{{.Dir}}' "$module")
# A module's own replacements apply only to its own builds.
grep '^replace ' "$from/go.mod" >>go.mod
nice -n 19 go build -trimpath -tags 'sqlite sqlite_unlock_notify' -ldflags "-X main.Version=$version" -o gitea "$module"

# The files that the program reads at run time, beside it.
mkdir -p "$made.part"
cp -R "$from/templates" "$from/options" "$from/public" "$made.part/"
chmod -R u+w "$made.part"
mv gitea "$made.part/"
rm -rf "$made"
mv "$made.part" "$made"
echo "$made"
