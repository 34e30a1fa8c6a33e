import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { mayBePointer, pointersIn } from '../git/lfs-pointer.ts'
import type { KnownSecrets } from '../masking/known-secrets.ts'
import { StepFailure } from '../platform-steps/platform-step.ts'
import {
  type Evidence,
  type History,
  type Keep,
  keepDiff,
  keepEvidence,
  type ListedFile,
  listFiles,
} from './evidence.ts'
import type { OurRepository } from './our-repository.ts'
import { type Judged, judge, type ProtectRule, protector } from './protected-paths.ts'
import { checkSafe } from './safe-change.ts'
import { refuseSecrets } from './secret-search.ts'
import { commitChanges, type TreeChange, treeChanges } from './tree-changes.ts'

/** Describes commits of ours to push, in a repository of ours. */
export interface ChangeToJudge {
  start: string
  /** Start of the pack; default: `start`. */
  below?: string
  tip: string
  /** Commits in between that were made for this change. */
  own: readonly string[]
  history: History
  protect: readonly ProtectRule[]
  /** Folder for files of ours, which is created here. */
  folder: string
}

export interface JudgeContext {
  /** Secrets that no change may contain. */
  secrets: KnownSecrets
  keep: Keep
  phase(name: string): void
  report(message: string): void
}

export interface JudgedChange {
  files: readonly ListedFile[]
  /** Changed paths that a person has to approve. */
  asked: readonly string[]
  /** File with the commits, which is stored too. */
  pack: string
}

/**
 * Judges a change as it is to be pushed, and stores its evidence. Throws `StepFailure`: `unsafe_change` for what must
 * not leave this machine, `protected_path` for what may not be changed.
 */
export async function judgeChange(
  repository: OurRepository,
  change: ChangeToJudge,
  context: JudgeContext,
): Promise<JudgedChange> {
  const { start, below = start, tip, own, history, protect, folder } = change
  const { keep, phase, report } = context
  const whole = await treeChanges(repository, start, tip)
  // What one commit adds and the next removes is pushed, too.
  const changes = [...whole, ...(await commitChanges(repository, own))]
  await refuseSecrets(repository, {
    ...{ change: { start, tip }, commits: own, secrets: context.secrets },
    shapes: true,
  })
  await refuseOfLfs(repository, whole)
  mkdirSync(folder)
  const evidence: Evidence = { start, tip, history, protect: protector(protect), folder }
  try {
    await checkSafe(repository, { start, tip }, changes)
  } catch (error) {
    if (error instanceof StepFailure) await keepDiff(repository, evidence, keep)
    throw error
  }
  phase('keep')
  const list = await listFiles(repository, evidence)
  const pack = join(folder, 'checkpoint.pack')
  await repository.packTo(pack, below, tip)
  await keep({ kind: 'pack', name: 'checkpoint.pack', file: pack, media_type: 'application/x-git-pack' })
  for (const line of await keepEvidence(repository, evidence, list, keep)) report(line)
  const judged = judge(
    changes.map(({ path }) => path),
    evidence.protect,
  )
  refuseForbidden(judged)
  return { files: list.files, asked: judged.asked, pack }
}

/** Refuses Git LFS files: their content would have to be sent there, and nothing here does that. */
async function refuseOfLfs(repository: OurRepository, changes: readonly TreeChange[]): Promise<void> {
  const changed = changes.filter(({ status, oldMode }) => status === 'M' && oldMode.startsWith('100'))
  if (changed.length === 0) return
  const sizes = new Map<string, number>()
  await repository.lines(
    ['cat-file', '--batch-check=%(objectname) %(objectsize)'],
    (line) => void sizes.set(line.split(' ')[0]!, Number(line.split(' ')[1])),
    changed.map(({ oldId }) => `${oldId}\n`).join(''),
  )
  const small = changed.filter(({ oldId }) => mayBePointer(sizes.get(oldId) ?? 0))
  if (small.length === 0) return
  const ids = small.map(({ oldId }) => `${oldId}\n`).join('')
  const pointers = pointersIn(await repository.bytes(['cat-file', '--batch'], ids))
  const pointerPaths = small.flatMap(({ path, oldId }) => (pointers.has(oldId) ? [path] : []))
  if (pointerPaths.length === 0) return
  throw new StepFailure(
    'unsafe_change',
    `The change modifies files in Git LFS: ${named(pointerPaths)}.`,
    'Have the agent leave them alone, and change them by hand.',
  )
}

/** Limit for named paths; the rest is only counted. */
const MAX_NAMED = 20

/** Formats paths for a sentence. */
export function named(paths: readonly string[]): string {
  const more = paths.length > MAX_NAMED ? ` and ${paths.length - MAX_NAMED} more` : ''
  const names = paths.slice(0, MAX_NAMED).map((path) => JSON.stringify(path))
  return names.join(', ') + more
}

function refuseForbidden({ forbidden }: Judged): void {
  if (forbidden.length > 0)
    throw new StepFailure(
      'protected_path',
      `The change touches protected paths: ${named(forbidden)}.`,
      'Have the agent leave them alone, or change protect.',
    )
}
