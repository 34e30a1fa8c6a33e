import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import type { AttemptSpec } from '../../../src/contract/attempt.ts'
import { secretUses } from '../../../src/contract/step-secrets.ts'
import { gitCarryStep } from '../../../src/runner/change-export/export-change.ts'
import { joinTips } from '../../../src/runner/change-export/join-tips.ts'
import { gitPushStep } from '../../../src/runner/change-export/push-step.ts'
import type { TokenOf } from '../../../src/runner/git/repository-token.ts'
import type { PlatformStep } from '../../../src/runner/platform-steps/platform-step.ts'
import { filesOfCommit } from '../../../src/runner/task-steps/commit-files.ts'
import { playbookRun } from '../../../src/runner/task-steps/playbook-run.ts'
import { gitWorkspaceStep } from '../../../src/runner/workspaces/steps.ts'
import { run } from '../sources/git-fixture.ts'
import { poolPlace } from '../workspaces/pool-fixture.ts'
import { attemptSpec, command, endOf } from './attempt-fixture.ts'
import { boxPlace } from './box-fixture.ts'
import { exportArgs } from './export-fixture.ts'

export const branch = 'errand/x'

export type WorkingPlace = Awaited<ReturnType<typeof workingPlace>>

/** Creates a checkout of a repository with that README, whose run does one step after another. */
export async function workingPlace(t: TestContext, readme: string, tokenOf?: TokenOf) {
  const place = await poolPlace()
  const here = boxPlace()
  const { url, folder, commit } = place.repository([{ path: 'README.md', content: readme }])
  const pool = place.pool()
  const stored = new Map<string, Buffer>()
  const keep = async ({ name, file }: { name: string; file: string }) =>
    void stored.set(name, readFileSync(file))
  const steps: Record<string, PlatformStep> = {
    'git.workspace': gitWorkspaceStep(pool, { policy: place.policy, joinTips }),
    'git.carry': gitCarryStep({ checkout: (runId) => pool.of(runId), keep: () => keep }),
    'git.push': gitPushStep({ policy: place.policy, pool, tokenOf }),
    'playbook.run': playbookRun({
      filesAt: (runId, at, signal) => filesOfCommit(pool.of(runId)!.own_git, at, signal),
      checkout: (runId) => pool.of(runId),
    }),
  }
  const attempts = here.open({
    checkouts: pool,
    platformStep: (action) =>
      Promise.resolve({
        run: (context) => steps[action]!.run({ ...context, keep: keep as never, boxed: context.boxed }),
      }),
  })
  t.after(async () => {
    await attempts.close()
    await pool.close()
    await place.close()
    here[Symbol.dispose]()
  })
  const ended = async (spec: AttemptSpec, values?: Record<string, string>) =>
    await endOf(await attempts.start(spec, 1, values))
  const done = async (
    spec: AttemptSpec,
    values?: Record<string, string>,
  ): Promise<Record<string, string>> => {
    const end = await ended(spec, values)
    assert.deepEqual([spec.action, end.outcome, end.message], [spec.action, 'success', undefined])
    return end.exports ?? {}
  }
  return {
    ...{ commit, done, ended, folder, host: place.host, kept: stored, url },
    ownGit: () => pool.of('run_test')!.own_git,
    /** Pushes a file to a branch, as somebody else. */
    others: (path: string, content: string, to = branch) => place.commit(folder, to, path, content),
    /** Changes the workspace with a shell command, and exports the change. */
    async exported(shell: string, join: string[] = [], more: object = {}) {
      const found = await done(attemptSpec('git.workspace', { repo: url, join, ...more }))
      const { START_SHA: start, BASE_SHA: below } = found
      await done(command(shell))
      const made = await done(attemptSpec('git.carry', { ...exportArgs(start!), below }))
      return { start: start!, tip: made.TIP_SHA!, files: made.FILES }
    },
    push: ({ start, tip }: { start: string; tip: string }, more: Record<string, unknown> = {}) =>
      attemptSpec('git.push', { repo: url, branch, expected: '', start, tip, ...more }),
    shown: (what: string) => run(folder, ['show', what]),
    subjects: (range: string) => run(folder, ['log', '--format=%s', range]).split('\n'),
  }
}

/** Returns secrets by variable for a step that only masks them: none of its processes receives one. */
export const onlyHidden = (...names: string[]) =>
  secretUses(Object.fromEntries(names.map((name) => [name, { as: 'mask' as const }])))
