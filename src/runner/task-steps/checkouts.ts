import { mkdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type PlatformContext, StepFailure } from '../platform-steps/platform-step.ts'

/** Work with the agent's own repository, which is parsed in the box alone. */

const LIMIT_MS = 10 * 60_000
const MAX_PATHS_BYTES = 8 * 1024 * 1024

const OWN = '-c core.hooksPath=/dev/null -c core.fsmonitor=false'
const CLONE = `git ${OWN} clone -q --shared --no-checkout -- "$1" "$2" && git -C "$2" ${OWN} checkout -q --detach "$3" --`
const CHANGED = `{ git ${OWN} diff --name-only -z --no-renames --no-ext-diff "$1" -- && git ls-files -z --others --exclude-standard; } | head -c ${MAX_PATHS_BYTES}`

/** A folder with the files of a commit of the workspace, and nothing that lies about there. Throws `StepFailure`. */
export async function freshCheckout(context: PlatformContext, commit: string): Promise<string> {
  const folder = join(context.folder, 'fresh')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const ended = await context.boxed({
    argv: ['/bin/sh', '-c', CLONE, 'sh', context.workspace, folder, commit],
    stdout: 'log',
    timeout_ms: LIMIT_MS,
    offline: true,
    writable: [folder],
  })
  if (ended.type === 'exited' && ended.code === 0) return folder
  throw new StepFailure('workspace', `No fresh checkout of ${commit} could be made: its output says why.`)
}

/** The paths that differ from a commit by now, those that Git does not know included. */
export async function pathsChanged(context: PlatformContext, commit: string): Promise<string[]> {
  const file = join(context.folder, 'changed')
  const ended = await context.boxed({
    argv: ['/bin/sh', '-c', CHANGED, 'sh', commit],
    stdout: { file },
    timeout_ms: LIMIT_MS,
    offline: true,
  })
  if (ended.type !== 'exited' || ended.code !== 0)
    throw new StepFailure(
      'workspace',
      'It could not be found out which files have changed: the output says why.',
    )
  return (await readFile(file, 'utf8')).split('\0').filter((path) => path !== '')
}
