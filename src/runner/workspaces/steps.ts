import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { WAITING_FOR_WORKSPACE } from '../../contract/status.ts'
import type { GitCheckArgs, GitWorkspaceArgs } from '../../contract/tasks/actions.ts'
import { GitRefused, refusalOf, withRetries } from '../git/git-words.ts'
import { policyFetch } from '../git/policy-fetch.ts'
import { type GitPolicy, openRemote } from '../git/remote.ts'
import { stepToken, type TokenOf } from '../git/repository-token.ts'
import { type PlatformContext, type PlatformStep, StepFailure } from '../platform-steps/platform-step.ts'
import { rebaseInBox, restoreCheckpoint } from './earlier-work.ts'
import { baseOf } from './found-refs.ts'
import { checkRepository } from './git-check.ts'
import type { RepositoryWorkspace } from './lease.ts'
import { placeLfsFiles } from './lfs-files.ts'
import { headOfSlot, type SlotFolders, slotFolder } from './requested-slot.ts'
import { placeSubmodules } from './submodules.ts'
import type { WorkspacePool } from './workspace-pool.ts'

type CheckArgs = z.infer<typeof GitCheckArgs>
type WorkspaceArgs = z.infer<typeof GitWorkspaceArgs>

const RETRIES = 3
const MAX_FILE_BYTES = 4 * 1024 ** 3

/** Makes the step `git.check`, which refuses a task before it costs anything. */
export const gitCheckStep = (policy: GitPolicy, tokenOf: TokenOf = stepToken): PlatformStep => ({
  run: (context) =>
    asStep(async () => {
      const { repo, username, ref, branch, on_branch, task, write } = context.args as CheckArgs
      const { token } = tokenOf({ spec: context.spec, env: context.env, args: context.args as CheckArgs })
      const { signal, folder } = context
      const ask = { url: repo, token, username, ref, branch, onBranch: on_branch, task, write }
      const found = await withRetries(() => checkRepository(ask, { policy, signal, folder }), {
        ...{ retries: RETRIES, signal, report: (message) => context.write('stderr', `${message}\n`) },
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

/** Joins several commits into one, in our repository; returns it. */
export type JoinTips = (joining: {
  own_git: string
  start: string
  others: readonly { branch: string; sha: string }[]
  folder: string
  signal: AbortSignal
}) => Promise<string>

export interface GitWorkspaceOptions {
  policy: GitPolicy
  /** Provides the token; default: the one that the step was given. */
  tokenOf?: TokenOf
  joinTips: JoinTips
  /** Folders of external slots; default: none is used. */
  slotFolders?: SlotFolders
}

/** Makes the step `git.workspace`: after it, the run's steps work in a checkout of the repository. */
export const gitWorkspaceStep = (
  pool: WorkspacePool,
  { policy, tokenOf = stepToken, joinTips, slotFolders = { allowed: [], own: [] } }: GitWorkspaceOptions,
): PlatformStep => ({
  run: (context) =>
    asStep(async () => {
      const args = context.args as WorkspaceArgs
      refuseForSlot(args)
      const { spec, signal } = context
      const report = (message: string) => context.phase('workspace', message)
      const user = { run_id: spec.run_id, tenant: spec.tenant ?? '' }
      const { repo, ref, branch, depth, slot_path } = args
      const slotPath = slot_path && slotFolder(slot_path, slotFolders, 'that the step names')
      const { username } = args
      const credential = { ...tokenOf({ spec, env: context.env, args }), username }
      const isNew = pool.of(spec.run_id) === undefined
      let hasWaited = false
      const leased = await pool.lease(user, { repo, ref, branch, depth, slotPath }, credential, {
        signal,
        report,
        waits: (message) => {
          hasWaited = true
          context.phase(WAITING_FOR_WORKSPACE, message)
        },
      })
      if (hasWaited) report('Another run has released its workspace.')
      const openedRemote = () =>
        openRemote({ url: repo, ...credential }, { policy, folder: context.folder, signal })
      const asItIs = async () => {
        try {
          const sha = await headOfSlot(context)
          const of = { sha, scope }
          await pool.withCommit(user, await openedRemote(), of, { signal, report })
          const { checkpoint } = args
          // The earlier try left its files there; the commits are needed for a push.
          if (checkpoint) {
            const { start: base, tip } = checkpoint
            await pool.slot(spec.run_id).takePack(await fetchPack(checkpoint, context), { base, tip }, signal)
          }
          return pool.startAt(spec.run_id, checkpoint?.start ?? sha)
        } catch (error) {
          await pool.release(spec.run_id)
          throw refusalOf(error, 'The slot cannot be used')
        }
      }
      const { scope } = credential
      const joined = async () => {
        const { folder } = context
        const { own_git, start_sha: start } = leased
        const remote = await openedRemote()
        const others: { branch: string; sha: string }[] = []
        for (const name of args.join) {
          const { sha } = baseOf(remote, name)
          const apartFrom = [start, ...others.map((other) => other.sha)]
          await pool.withCommit(user, remote, { sha, scope, apartFrom }, { signal, report })
          others.push({ branch: name, sha })
        }
        const tip = await joinTips({ own_git, start, others, folder, signal })
        return await pool.moveTo(spec.run_id, { tip, start: tip }, signal)
      }
      const withBase = async () => {
        const { base_sha: sha, start_sha } = leased
        const of = { sha, scope, apartFrom: [start_sha] }
        await pool.withCommit(user, await openedRemote(), of, { signal, report })
      }
      const inside = async (checkout: RepositoryWorkspace) => {
        const { own_git, work, repo: identity } = checkout
        const shared = { home: context.folder, maxBytes: MAX_FILE_BYTES, signal, report }
        try {
          if (args.lfs)
            await withRetries(
              () =>
                placeLfsFiles(
                  { own_git, work, identity, ...credential },
                  { ...shared, fetch: policyFetch(policy) },
                ),
              { ...{ retries: RETRIES, signal, report }, pause: (ms) => sleep(ms, undefined, { signal }) },
            )
          if (!args.submodules) return checkout
          await placeSubmodules(
            { folder: own_git, commit: 'HEAD', identity, work },
            {
              ...{ ...shared, policy, credential },
              withMirror: (remote, of, use) =>
                pool.withMirror(user.tenant, remote, of, { signal, report }, use),
            },
          )
          return checkout
        } catch (error) {
          await pool.release(spec.run_id)
          throw refusalOf(error, 'The checkout cannot be completed')
        }
      }
      const begins = slotPath ? asItIs : () => begin(leased, { args, pool, context, joined, withBase })
      const begun = isNew ? await begins() : leased
      const found = isNew ? await inside(begun) : begun
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
  /** Joins the requested branches. */
  joined(): Promise<RepositoryWorkspace>
  /** Ensures that the checkout has all commits that the branch and its base do not share. */
  withBase(): Promise<void>
}

/** Applies an earlier try's work to what was handed out, or rebases the branch onto its base. */
async function begin(
  leased: RepositoryWorkspace,
  { args: { checkpoint, rebase, join: branches }, pool, context, joined, withBase }: Beginning,
): Promise<RepositoryWorkspace> {
  try {
    if (checkpoint) {
      const file = await fetchPack(checkpoint, context)
      return await restoreCheckpoint(pool, leased, { ...checkpoint, file }, context.signal)
    }
    if (rebase) await withBase()
    const begun = rebase ? await rebaseInBox(pool, leased, context) : leased
    return branches.length > 0 ? await joined() : begun
  } catch (error) {
    // It is not handed out in this state: a repeated step begins anew.
    await pool.release(leased.run_id)
    throw refusalOf(error, 'The workspace cannot be created')
  }
}

async function fetchPack(
  { run_id, artifact_id }: { run_id: string; artifact_id: string },
  context: PlatformContext,
): Promise<string> {
  const file = join(context.folder, 'checkpoint.pack')
  await context.fetchArtifact(run_id, artifact_id, file)
  return file
}

function refuseForSlot({ submodules, lfs, slot_path }: WorkspaceArgs): void {
  if (slot_path === undefined || !(submodules || lfs)) return
  throw new StepFailure(
    'invalid_argument',
    'A slot is used as it is, with the submodules and Git LFS files that it already has.',
    'Remove "submodules" and "lfs", or "slot_path".',
  )
}

/** Converts a refusal to a failure with the step's reason. */
async function asStep<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof GitRefused) throw new StepFailure(error.reason, error.message, error.hint)
    throw error
  }
}
