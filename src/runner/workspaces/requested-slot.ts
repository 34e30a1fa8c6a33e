import { readFileSync, statSync } from 'node:fs'
import { join, sep } from 'node:path'
import { isFolder, realPath } from '../../platform/files.ts'
import { isCommitId } from '../git/git-url.ts'
import { type PlatformContext, StepFailure } from '../platform-steps/platform-step.ts'

/** Lists the folders that an external slot may be in, except those of the runner's own. */
export interface SlotFolders {
  allowed: readonly string[]
  own: readonly string[]
}

/**
 * Returns the real path of the folder, without links. Throws `StepFailure` if it is not a folder, or must not be a
 * slot.
 */
export function slotFolder(path: string, { allowed, own }: SlotFolders, whose: string): string {
  const real = realPath(path, '/')
  if (!path.startsWith(sep) || !isFolder(real))
    throw new StepFailure('workspace', `The slot ${whose} is not a folder on this machine: ${path}.`)
  const isAllowed = allowed.some((folder) => real.startsWith(realPath(folder, '/') + sep))
  const isOwn = own.some((folder) => {
    const place = realPath(folder, '/') + sep
    return `${real}${sep}`.startsWith(place) || place.startsWith(`${real}${sep}`)
  })
  if (isAllowed && !isOwn) return real
  const named = allowed.length === 0 ? 'No folder is allowed yet' : `Allowed: ${allowed.join(', ')}`
  throw new StepFailure(
    'workspace',
    `The slot ${whose} is outside the folders that may contain slots: ${path}.`,
    `Start the runner with --allow-dir for it. ${named}.`,
  )
}

const MAX_ANSWER_BYTES = 200
const HEAD = 'git -c core.hooksPath=/dev/null -c core.fsmonitor=false rev-parse --verify "HEAD^{commit}"'

/** Returns the commit of an external checkout, determined in the box. Throws `StepFailure`. */
export async function headOfSlot(context: PlatformContext): Promise<string> {
  const file = join(context.folder, 'head')
  const ended = await context.boxed({ argv: ['/bin/sh', '-c', HEAD], stdout: { file }, offline: true })
  const answer =
    ended.type === 'exited' && ended.code === 0 && statSync(file).size <= MAX_ANSWER_BYTES
      ? readFileSync(file, 'utf8').trim()
      : ''
  if (isCommitId(answer)) return answer
  throw new StepFailure(
    'workspace',
    'The slot is not a checkout of a repository with a commit: the output has the message of git.',
  )
}
