import { closeSync, createReadStream, createWriteStream, openSync, readSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type BoxedCommand, type BoxedEnd, StepFailure } from '../platform-steps/platform-step.ts'

/**
 * Script that reads the working folder in the box. It uses a separate repository with the agent's objects, so that no
 * setting, hook, filter or attribute of the agent counts. Needs `mirror`, `format` and `blocks`.
 */
const OWN_REPOSITORY = `
trap '' XFSZ
ulimit -c 0
ulimit -f "$blocks"
export LC_ALL=C TZ=UTC GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_ATTR_NOSYSTEM=1 GIT_NO_REPLACE_OBJECTS=1
export GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=none
work=$(pwd -P)
scratch=$(mktemp -d "$work/.git/errand.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
own=$scratch/git
mkdir -p "$own/objects/info" "$own/refs"
echo 'ref: refs/heads/none' >"$own/HEAD"
version=0
[ "$format" = sha1 ] || version=1
printf '[core]\\n\\trepositoryformatversion = %s\\n\\tbare = false\\n' "$version" >"$own/config"
[ "$format" = sha1 ] || printf '[extensions]\\n\\tobjectformat = %s\\n' "$format" >>"$own/config"
printf '%s\\n' "$work/.git/objects" "$mirror/objects" >"$own/objects/info/alternates"
[ ! -f .git/shallow ] || cp .git/shallow "$own/shallow"
settings='-c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.untrackedCache=false -c core.splitIndex=false'
settings="$settings -c advice.addEmbeddedRepo=false -c core.safecrlf=false -c gc.auto=0"
ours() { git $settings "$@"; }
`

/**
 * Script that adds the files to an index; needs `start` and `head`. The index is a copy of the agent's, with its time:
 * otherwise a file changed in the second of its checkout would count as unchanged.
 */
const ADD_ALL = `
  if ! { [ -f "$work/.git/index" ] && cp -p "$work/.git/index" "$scratch/index" && ours add --all . 2>/dev/null; }; then
    rm -f "$scratch/index"
    ours read-tree "$head"
    ours add --all .
  fi
  # A repository within it that nobody has made a submodule stays where it is.
  if ours diff-index --cached --quiet "$start" -- .gitmodules; then
    ours diff-index --cached --no-renames --diff-filter=A -z "$start" | tr '\\0\\n' '\\n\\0' |
      sed -n '/^:000000 160000 /{n;p;}' | tr '\\0\\n' '\\n\\0' >"$scratch/nested"
    [ ! -s "$scratch/nested" ] || {
      tr '\\0' '\\n' <"$scratch/nested" | sed 's/^/Left out, since it is a repository of its own: /' >&2
      ours update-index --force-remove -z --stdin <"$scratch/nested"
    }
  fi
`

/** Script that lists the files that differ from a commit, like `git diff-index`. */
const LIST = `
set -eu
start=$1 mirror=$2 format=$3 blocks=$4
${OWN_REPOSITORY}
head=$start
export GIT_DIR="$own" GIT_WORK_TREE="$work" GIT_INDEX_FILE="$scratch/index" HOME="$scratch"
${ADD_ALL}
ours diff-index --cached --raw -z --no-renames --no-abbrev "$start"
`

/**
 * Script that packs the working folder. It first prints the agent's commit, then the tree, then a commit of that tree,
 * which is in the pack with everything it refers to.
 */
const PACK = `
set -eu
start=$1 snapshot=$2 keep=$3 mirror=$4 format=$5 blocks=$6
${OWN_REPOSITORY}
head=$(git --git-dir="$work/.git" rev-parse --verify --quiet 'HEAD^{commit}') || head=$start
tree=
if [ -n "$snapshot" ]; then
  tree=$(git --git-dir="$work/.git" rev-parse --verify --quiet "$snapshot^{tree}") || {
    echo "The snapshot $snapshot is gone." >&2
    case $snapshot in refs/*) echo "The folder is taken as it is." >&2 ;; *) exit 3 ;; esac
  }
fi
export GIT_DIR="$own" GIT_WORK_TREE="$work" GIT_INDEX_FILE="$scratch/index" HOME="$scratch"
if [ -z "$tree" ]; then
${ADD_ALL}
  tree=$(ours write-tree)
fi
# Nothing of a submodule comes out but the commit that it is at.
[ ! -f .gitmodules ] || git --git-dir="$work/.git" --work-tree="$work" $settings status --porcelain=v2 --untracked-files=no 2>/dev/null |
  sed -n 's/^1 .. S.M. [0-9]* [0-9]* [0-9]* [0-9a-f]* [0-9a-f]* /Left out, since it is changed within a submodule: /p; s/^1 .. S..U [0-9]* [0-9]* [0-9]* [0-9a-f]* [0-9a-f]* /Left out, since it is changed within a submodule: /p' >&2 || :
# Files of Git LFS that were put there: the commit has their pointers.
[ ! -f .gitattributes ] || git --git-dir="$work/.git" --work-tree="$work" $settings ls-files -t 2>/dev/null | sed -n 's/^S //p' |
  while IFS= read -r path; do
    oid=$(git --git-dir="$work/.git" cat-file blob ":$path" 2>/dev/null | sed -n 's/^oid sha256://p')
    [ -z "$oid" ] || [ "$(sha256sum <"$path" 2>/dev/null | cut -d' ' -f1)" = "$oid" ] ||
      printf 'Left out, since Git LFS keeps it: %s\\n' "$path" >&2
  done || :
export GIT_AUTHOR_NAME=e GIT_AUTHOR_EMAIL=e GIT_AUTHOR_DATE='1000000000 +0000'
export GIT_COMMITTER_NAME=e GIT_COMMITTER_EMAIL=e GIT_COMMITTER_DATE='1000000000 +0000'
[ "$keep" = keep ] || head=$start
all=$(echo all | ours commit-tree "$tree" -p "$head")
echo "$head $tree $all"
printf '%s\\n' "$all" "^$start" | ours pack-objects --revs --thin --stdout -q --delta-base-offset
`

/** Describes a pack as it came out of a box: none of this is trusted. */
export interface BoxedPack {
  file: string
  /** Agent's own commit, or the start if its commits do not count. */
  head: string
  tree: string
  /** Commit of that tree on top of `head`: everything to take out is reachable from it. */
  all: string
}

export interface PackAsk {
  start: string
  /** Tree to take; absent: the present state of the folder. */
  snapshot?: string
  commits: 'keep' | 'squash'
  mirror: string
  /** Existing folder of ours, outside the box. */
  folder: string
  maxBytes: number
  timeoutMs: number
}

const BLOCK_BYTES = 512
/** Bytes of a line with three ids, and of the pack's own beginning. */
const HEADER_BYTES = 256
export const MAX_OBJECTS = 300_000

/** Packs the work in the box. Throws `StepFailure` if nothing that looks like a pack comes out. */
export async function packInBox(
  boxed: (command: BoxedCommand) => Promise<BoxedEnd>,
  ask: PackAsk,
): Promise<BoxedPack> {
  const { start, snapshot = '', commits, mirror, folder, maxBytes, timeoutMs } = ask
  const file = join(folder, 'boxed')
  const format = start.length === 64 ? 'sha256' : 'sha1'
  const argv = ['/bin/sh', '-c', PACK, 'sh', start, snapshot, commits, mirror, format, blocksOf(maxBytes)]
  const ended = await boxed({ argv, stdout: { file }, offline: true, timeout_ms: timeoutMs })
  if (ended.type === 'timed_out')
    throw new StepFailure('too_large', `Packing the change took more than ${timeoutMs / 1000} s.`)
  const bytes = statSync(file).size
  if (bytes >= maxBytes) throw tooMuch(maxBytes)
  if (ended.type !== 'exited' || ended.code !== 0)
    throw new StepFailure('workspace', 'The change could not be packed.', 'The log of this step says why.')
  const { offset, ...ids } = readHeader(file)
  const pack = join(folder, 'boxed.pack')
  await pipeline(createReadStream(file, { start: offset }), createWriteStream(pack, { mode: 0o600 }))
  rmSync(file)
  return { file: pack, ...ids }
}

export interface ListAsk {
  start: string
  mirror: string
  /** File of the runner, which is created here. */
  file: string
  timeoutMs: number
}

const MAX_LISTED_FILE_BYTES = 1024 ** 3

/**
 * Writes a list of the files that now differ from a commit. Throws `StepFailure`; returns false if the step is to end.
 */
export async function listInBox(
  boxed: (command: BoxedCommand) => Promise<BoxedEnd>,
  { start, mirror, file, timeoutMs }: ListAsk,
): Promise<boolean> {
  const format = start.length === 64 ? 'sha256' : 'sha1'
  const argv = ['/bin/sh', '-c', LIST, 'sh', start, mirror, format, blocksOf(MAX_LISTED_FILE_BYTES)]
  const ended = await boxed({ argv, stdout: { file }, offline: true, timeout_ms: timeoutMs })
  if (ended.type === 'stopped') return false
  if (ended.type === 'exited' && ended.code === 0) return true
  throw new StepFailure(
    'workspace',
    'The files of the workspace could not be listed.',
    'The log of this step says why.',
  )
}

const blocksOf = (bytes: number): string => String(Math.ceil(bytes / BLOCK_BYTES) + 1)

export const tooMuch = (maxBytes: number) =>
  new StepFailure(
    'too_large',
    `The change has more than ${maxBytes} bytes.`,
    'Exclude generated files with .gitignore, or raise max_bytes.',
  )

export const tooMany = (objects: number) =>
  new StepFailure('too_large', `The change has ${objects} objects; the limit is ${MAX_OBJECTS}.`)

function readHeader(file: string): Omit<BoxedPack, 'file'> & { offset: number } {
  const start = Buffer.alloc(HEADER_BYTES)
  const fd = openSync(file, 'r')
  try {
    readSync(fd, start, 0, HEADER_BYTES, 0)
  } finally {
    closeSync(fd)
  }
  const id = '([0-9a-f]{40}|[0-9a-f]{64})'
  const found = new RegExp(`^${id} ${id} ${id}\\n`).exec(start.toString('latin1'))
  const offset = found?.[0].length ?? 0
  if (!found || start.toString('latin1', offset, offset + 4) !== 'PACK')
    throw new StepFailure('unsafe_change', 'The output of the box is not a Git pack.')
  const objects = start.readUInt32BE(offset + 8)
  if (objects > MAX_OBJECTS) throw tooMany(objects)
  return { offset, head: found[1]!, tree: found[2]!, all: found[3]! }
}
