import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Env, setting } from '../config/read-setting.ts'
import { ErrandError } from '../contract/errors.ts'
import type { Log } from '../platform/log.ts'
import type { GitPolicy } from './git/remote.ts'
import { tokenLookup } from './git/repository-token.ts'
import { AllowedOrigins, systemLookup } from './git/server-addresses.ts'
import type { PlatformDriversOptions } from './platform-steps/platform-driver.ts'
import { filesOfCommit } from './task-steps/commit-files.ts'
import type { PoolLimits } from './workspaces/lease.ts'
import { LeasedSlots } from './workspaces/leased-slots.ts'
import type { SlotFolders } from './workspaces/requested-slot.ts'
import { WorkspacePool } from './workspaces/workspace-pool.ts'

const ALLOW = 'ERRAND_GIT_ALLOW'
const DAY_MS = 24 * 3_600_000

/** Builds the policy for the repositories this machine may use. Throws `invalid_argument` for an unusable setting. */
export function gitPolicy(env: Env): GitPolicy {
  const sshKeyFile = setting(env, 'ERRAND_GIT_SSH_KEY')
  const caFile = setting(env, 'ERRAND_GIT_CA')
  const besideKey = sshKeyFile && join(dirname(sshKeyFile), 'known_hosts')
  mustBeThere('ERRAND_GIT_SSH_KEY', sshKeyFile)
  mustBeThere('ERRAND_GIT_CA', caFile)
  return {
    allow: new AllowedOrigins(setting(env, ALLOW), ALLOW),
    variable: ALLOW,
    lookup: systemLookup,
    folders: setting(env, 'ERRAND_GIT_FOLDERS'),
    caFile,
    sshKeyFile,
    knownHostsFile: setting(env, 'ERRAND_GIT_KNOWN_HOSTS') ?? besideKey,
  }
}

function mustBeThere(name: string, file: string | undefined): void {
  if (file === undefined || existsSync(file)) return
  throw new ErrandError('invalid_argument', `${name} names ${file}, which does not exist.`, {
    hint: 'Name a file that the runner can read.',
  })
}

export interface OpenCheckouts {
  checkouts: WorkspacePool
  /** Returns the slots that are held by something other than a run. */
  leased(): LeasedSlots
  /** Steps that need repositories. */
  platformStep: PlatformDriversOptions['step']
}

/**
 * Opens the checkouts of this machine in `dir`, and the steps that make them. `slotFolders` says where slots outside
 * the pool may be.
 */
export function openCheckouts(dir: string, env: Env, log: Log, slotFolders?: SlotFolders): OpenCheckouts {
  const policy = gitPolicy(env)
  const tokenOf = tokenLookup(env)
  const limits: PoolLimits = {
    slots: setting(env, 'ERRAND_POOL_SLOTS'),
    bytes: setting(env, 'ERRAND_POOL_SPACE'),
    ageMs: setting(env, 'ERRAND_POOL_DAYS') * DAY_MS,
    minFreeBytes: setting(env, 'ERRAND_POOL_MIN_FREE'),
  }
  const pool = new WorkspacePool({ dir, policy, limits, log })
  const steps = () => import('./workspaces/steps.ts')
  const filesAt = (runId: string, commit: string, signal: AbortSignal) => {
    const checkout = pool.of(runId)
    return checkout && filesOfCommit(checkout.own_git, commit, signal)
  }
  return {
    checkouts: pool,
    leased: () => new LeasedSlots({ pool, dir, tokenOf, log }),
    platformStep(action) {
      if (action === 'git.check') return steps().then(({ gitCheckStep }) => gitCheckStep(policy, tokenOf))
      if (action === 'git.workspace')
        return steps().then(({ gitWorkspaceStep }) =>
          gitWorkspaceStep(pool, {
            policy,
            tokenOf,
            slotFolders,
            joinTips: async (joining) => (await import('./change-export/join-tips.ts')).joinTips(joining),
          }),
        )
      if (action === 'git.carry')
        return import('./change-export/export-change.ts').then(({ gitCarryStep }) =>
          gitCarryStep({
            checkout: (runId) => pool.of(runId),
            keep: (context) => (keepable) => context.keep(keepable),
          }),
        )
      if (action === 'git.push')
        return import('./change-export/push-step.ts').then(({ gitPushStep }) =>
          gitPushStep({ policy, tokenOf, pool }),
        )
      if (action === 'forge.pull_request')
        return import('./platform-steps/forge-pull-request.ts').then((room) =>
          room.forgePullRequest({ tokenOf, policy }),
        )
      if (action === 'playbook.run')
        return import('./task-steps/playbook-run.ts').then(({ playbookRun }) =>
          playbookRun({ filesAt, checkout: (runId) => pool.of(runId) }),
        )
      if (action === 'task.verdict')
        return import('./task-steps/task-verdict.ts').then(({ taskVerdict }) => taskVerdict)
      return undefined
    },
  }
}
