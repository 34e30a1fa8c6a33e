import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isCommitId } from '../git/git-url.ts'
import { type BoxedCommand, type PlatformContext, StepFailure } from '../platform-steps/platform-step.ts'
import type { RepositoryWorkspace } from './lease.ts'
import type { WorkspacePool } from './workspace-pool.ts'

const MAX_ANSWER_BYTES = 1024 ** 2
const MAX_FILES_NAMED = 50

/**
 * Rebases the resumed branch onto its base. The branch may be a stranger's, so Git merges in the box, out of reach of
 * anything else. The result is a pack, which is checked. Throws `StepFailure` with each file that conflicts.
 */
export async function rebaseInBox(
  pool: WorkspacePool,
  workspace: RepositoryWorkspace,
  context: PlatformContext,
): Promise<RepositoryWorkspace> {
  const { run_id, base_sha: base, start_sha: start } = workspace
  const { signal } = context
  const slot = pool.slot(run_id)
  const isOnTop = await slot.git(['merge-base', '--is-ancestor', base, start], signal).then(
    () => true,
    () => false,
  )
  if (isOnTop) return workspace
  context.phase('rebase', `Rebasing ${workspace.branch} on ${workspace.base_ref}.`)
  const rebased = await context.boxed(quiet(['git', ...PLAIN, 'rebase', '--quiet', base], 'log'))
  if (rebased.type !== 'exited' || rebased.code !== 0) throw await conflict(workspace, context)
  const tip = (await answer(context, ['git', 'rev-parse', '--verify', 'HEAD^{commit}'])).trim()
  if (!isCommitId(tip)) throw new StepFailure('workspace', 'The rebased branch cannot be read.')
  const file = join(context.folder, 'rebased.pack')
  const pack = 'printf "%s\\n^%s\\n" "$1" "$2" | git pack-objects --revs --thin --stdout -q'
  const packed = await context.boxed(quiet(['/bin/sh', '-c', pack, 'sh', tip, base], { file }))
  if (packed.type !== 'exited' || packed.code !== 0)
    throw new StepFailure('workspace', 'The rebased branch cannot be packed.')
  await slot.takePack(file, { base, tip }, signal)
  return await pool.moveTo(run_id, { tip, start: tip }, signal)
}

/** Restores the commits of an earlier try from the pack that was stored. */
export async function restoreCheckpoint(
  pool: WorkspacePool,
  { run_id }: RepositoryWorkspace,
  { start, tip, file }: { start: string; tip: string; file: string },
  signal: AbortSignal,
): Promise<RepositoryWorkspace> {
  await pool.slot(run_id).takePack(file, { base: start, tip }, signal)
  return await pool.moveTo(run_id, { tip, start }, signal)
}

/** No editor, and no configuration except that of the repository, which is still ours. */
const PLAIN = ['-c', 'core.editor=true', '-c', 'rebase.autoStash=false', '-c', 'commit.gpgSign=false']
const ENV = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  LC_ALL: 'C',
}

const quiet = (argv: readonly string[], stdout: BoxedCommand['stdout']): BoxedCommand => ({
  ...{ argv, stdout },
  env: ENV,
  offline: true,
})

async function conflict(
  { branch, base_ref }: RepositoryWorkspace,
  context: PlatformContext,
): Promise<StepFailure> {
  const conflicted = await answer(context, ['git', 'diff', '--name-only', '--diff-filter=U', '-z'])
  const files = conflicted.split('\0').filter((name) => name !== '')
  if (files.length === 0)
    return new StepFailure(
      'workspace',
      `The branch "${branch}" cannot be rebased on "${base_ref}": the log says why.`,
    )
  const named = files.slice(0, MAX_FILES_NAMED).map((name) => JSON.stringify(name))
  const more = files.length > named.length ? ` and ${files.length - named.length} more` : ''
  return new StepFailure(
    'conflict',
    `The branch "${branch}" conflicts with "${base_ref}" in ${named.join(', ')}${more}.`,
    'Rebase it by hand and push it, or work without rebase.',
  )
}

async function answer(context: PlatformContext, argv: readonly string[]): Promise<string> {
  const file = join(context.folder, 'answer')
  const ended = await context.boxed(quiet(argv, { file }))
  if (ended.type !== 'exited' || ended.code !== 0) return ''
  if (statSync(file).size > MAX_ANSWER_BYTES)
    throw new StepFailure('workspace', 'Git printed too much in the box.')
  return readFileSync(file, 'utf8')
}
