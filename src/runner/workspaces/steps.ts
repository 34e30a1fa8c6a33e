import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import type { GitCheckArgs, GitWorkspaceArgs } from '../../contract/tasks/actions.ts'
import { GitRefused, refusalOf, withRetries } from '../git/git-words.ts'
import { type GitPolicy, openRemote } from '../git/remote.ts'
import { stepToken, type TokenOf } from '../git/repository-token.ts'
import { type PlatformContext, type PlatformStep, StepFailure } from '../platform-steps/platform-step.ts'
import { rebaseInBox, restoreCheckpoint } from './earlier-work.ts'
import { baseOf } from './found-refs.ts'
import { checkRepository } from './git-check.ts'
import type { RepositoryWorkspace } from './lease.ts'
import type { WorkspacePool } from './workspace-pool.ts'

type CheckArgs = z.infer<typeof GitCheckArgs>
type WorkspaceArgs = z.infer<typeof GitWorkspaceArgs>

const RETRIES = 3

/** `git.check`: refuses a task before it costs anything. */
export const gitCheckStep = (policy: GitPolicy, tokenOf: TokenOf = stepToken): PlatformStep => ({
  run: (context) =>
    asStep(async () => {
      const { repo, username, ref, branch, on_branch, task, write } = context.args as CheckArgs
      const { token } = tokenOf({ spec: context.spec, env: context.env, args: context.args as CheckArgs })
      const { signal, folder } = context
      const ask = { url: repo, token, username, ref, branch, onBranch: on_branch, task, write }
      const found = await withRetries(() => checkRepository(ask, { policy, signal, folder }), {
        ...{ retries: RETRIES, signal, tell: (message) => context.write('stderr', `${message}\n`) },
        pause: (ms) => sleep(ms, undefined, { signal }),
      })
      return {
        exports: {
          BASE_REF: found.baseRef,
          BASE_SHA: found.baseSha,
          DEFAULT_BRANCH: found.defaultBranch,
          BRANCH: found.branch,
          BRANCH_SHA: found.branchSha,
        },
      }
    }),
})

/** Makes one commit of several, in our repository; answers it. */
export type JoinTips = (joining: {
  own_git: string
  start: string
  others: readonly { branch: string; sha: string }[]
  folder: string
  signal: AbortSignal
}) => Promise<string>

export interface GitWorkspaceOptions {
  policy: GitPolicy
  /** Default: that which the step was given. */
  tokenOf?: TokenOf
  joinTips: JoinTips
}

/** `git.workspace`: from here on the run's steps work in a checkout of the repository. */
export const gitWorkspaceStep = (
  pool: WorkspacePool,
  { policy, tokenOf = stepToken, joinTips }: GitWorkspaceOptions,
): PlatformStep => ({
  run: (context) =>
    asStep(async () => {
      const args = context.args as WorkspaceArgs
      refuseWhatIsToCome(args)
      const { spec, signal } = context
      const tell = (message: string) => context.phase('workspace', message)
      const user = { run_id: spec.run_id, tenant: spec.tenant ?? '' }
      const { repo, ref, branch, depth } = args
      const { username } = args
      const credential = { ...tokenOf({ spec, env: context.env, args }), username }
      const isNew = pool.of(spec.run_id) === undefined
      const leased = await pool.lease(user, { repo, ref, branch, depth }, credential, {
        signal,
        tell,
      })
      const joined = async () => {
        const { folder } = context
        const remote = await openRemote({ url: repo, ...credential }, { policy, folder, signal })
        const others: { branch: string; sha: string }[] = []
        for (const name of args.join) {
          const { sha } = baseOf(remote, name)
          await pool.withCommit(user, remote, { sha, scope: credential.scope }, { signal, tell })
          others.push({ branch: name, sha })
        }
        const { own_git, start_sha: start } = leased
        const tip = await joinTips({ own_git, start, others, folder, signal })
        return await pool.moveTo(spec.run_id, { tip, start: tip }, signal)
      }
      const found = isNew ? await begin(leased, { args, pool, context, joined }) : leased
      return {
        exports: {
          SLOT_PATH: found.work,
          SLOT_ID: found.slot_id,
          START_SHA: found.start_sha,
          BASE_REF: found.base_ref,
          BASE_SHA: found.base_sha,
        },
      }
    }),
})

interface Beginning {
  args: WorkspaceArgs
  pool: WorkspacePool
  context: PlatformContext
  /** Joins the branches that were asked for. */
  joined(): Promise<RepositoryWorkspace>
}

/** Puts an earlier try's work on top of what was handed out, or the branch upon its base. */
async function begin(
  leased: RepositoryWorkspace,
  { args: { checkpoint, rebase, join: branches }, pool, context, joined }: Beginning,
): Promise<RepositoryWorkspace> {
  try {
    if (checkpoint) {
      const file = join(context.folder, 'checkpoint.pack')
      const kept = await context.fetchArtifact(checkpoint.run_id, checkpoint.artifact_id)
      await pipeline(kept, createWriteStream(file), { signal: context.signal })
      return await restoreCheckpoint(pool, leased, { ...checkpoint, file }, context.signal)
    }
    const begun = rebase ? await rebaseInBox(pool, leased, context) : leased
    return branches.length > 0 ? await joined() : begun
  } catch (error) {
    // It is not handed out as it is: done again, the step begins anew.
    await pool.release(leased.run_id)
    throw refusalOf(error, 'The workspace cannot be made')
  }
}

function refuseWhatIsToCome({ submodules, lfs, slot_path }: WorkspaceArgs): void {
  const asked = { submodules, lfs, slot_path }
  const [name] = Object.entries(asked).find(([, value]) => value !== false && value !== undefined) ?? []
  if (name === undefined) return
  throw new StepFailure(
    'invalid_argument',
    `This runner cannot do "${name}" of git.workspace yet.`,
    'Leave it out.',
  )
}

/** Gives a refusal the reason that the step is to end with. */
async function asStep<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof GitRefused) throw new StepFailure(error.reason, error.message, error.hint)
    throw error
  }
}
