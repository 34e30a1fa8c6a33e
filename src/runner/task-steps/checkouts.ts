import { existsSync, mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PlatformContext, StepFailure } from '../platform-steps/platform-step.ts'

/** Limit in ms for work with the agent's own repository, which is parsed only in the box. */

const LIMIT_MS = 10 * 60_000
const MAX_PATHS_BYTES = 8 * 1024 * 1024

const OWN = '-c core.hooksPath=/dev/null -c core.fsmonitor=false'
/**
 * Script that uses nothing of the agent's repository, whose objects may not be what their names say. Ours has what the
 * mirror lacks, and the box can read it too.
 */
const FRESH = `
set -eu
folder=$1 objects=$2 commit=$3 edge=$4
format=sha1; [ "$(printf %s "$commit" | wc -c)" -lt 64 ] || format=sha256
git init -q --template= --object-format=$format "$folder"
cd "$folder"
cp -R -- "$objects/." .git/objects/
[ "$edge" = "" ] || cp -- "$edge" .git/shallow
git ${OWN} checkout -q --detach "$commit" --
`
/** Script that lists changes. An unreadable repository does not count as unchanged. */
const CHANGED = `git ${OWN} cat-file -e "$1^{commit}" && { git ${OWN} diff --name-only -z --no-renames --no-ext-diff "$1" -- && git ls-files -z --others --exclude-standard; } | head -c ${MAX_PATHS_BYTES}`

/**
 * Makes a folder with the files of a exported commit, and nothing else of the workspace. `own_git` is our repository of
 * the run, whose objects no agent could write. Throws `StepFailure`.
 */
export async function freshCheckout(
  context: PlatformContext,
  own_git: string,
  commit: string,
): Promise<string> {
  const folder = join(context.folder, 'fresh')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const objects = join(own_git, 'objects')
  const edge = join(own_git, 'shallow')
  const hasEdge = existsSync(edge)
  const ended = await context.boxed({
    argv: ['/bin/sh', '-c', FRESH, 'sh', folder, objects, commit, hasEdge ? edge : ''],
    stdout: 'log',
    timeout_ms: LIMIT_MS,
    offline: true,
    writable: [folder],
    readable: hasEdge ? [objects, edge] : [objects],
  })
  if (ended.type === 'exited' && ended.code === 0) return folder
  throw new StepFailure(
    'workspace',
    `A fresh checkout of ${commit} could not be created: its output says why.`,
  )
}

/** Returns the paths that now differ from a commit, including those that Git does not know. */
export async function pathsChanged(context: PlatformContext, commit: string): Promise<string[]> {
  const file = join(context.folder, 'changed')
  const ended = await context.boxed({
    argv: ['/bin/sh', '-c', CHANGED, 'sh', commit],
    stdout: { file },
    timeout_ms: LIMIT_MS,
    offline: true,
  })
  if (ended.type !== 'exited' || ended.code !== 0)
    throw new StepFailure('workspace', 'The changed files could not be determined: the output says why.')
  return (await readFile(file, 'utf8')).split('\0').filter((path) => path !== '')
}
