import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attemptSpec, command, endOf } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { carryArgs } from '../../../test/support/runner/carry-fixture.ts'
import { run } from '../../../test/support/sources/git-fixture.ts'
import { poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'
import type { PlatformStep } from '../platform-steps/platform-step.ts'
import { gitWorkspaceStep } from '../workspaces/steps.ts'
import { gitCarryStep } from './git-carry.ts'
import { gitPushStep } from './git-push.ts'

test('a checkout is changed in the sandbox, and the change is pushed', {
  skip: sandboxMissing(),
}, async () => {
  const place = await poolPlace()
  using here = boxPlace()
  const { url, folder } = place.repository()
  const pool = place.pool()
  const checkout = (runId: string) => pool.of(runId)
  const kept: string[] = []
  const steps: Record<string, PlatformStep> = {
    'git.workspace': gitWorkspaceStep(pool),
    'git.carry': gitCarryStep({
      checkout,
      keep:
        () =>
        async ({ name }) =>
          void kept.push(name),
    }),
    'git.push': gitPushStep({ policy: place.policy, checkout }),
  }
  const attempts = here.open({ checkouts: pool, platformStep: (action) => Promise.resolve(steps[action]!) })
  const done = async (spec: ReturnType<typeof attemptSpec>): Promise<Record<string, string>> => {
    const attempt = await attempts.start(spec, 1)
    const end = await endOf(attempt)
    assert.deepEqual([spec.action, end.outcome, end.message], [spec.action, 'success', undefined])
    return end.exports ?? {}
  }
  try {
    const { START_SHA: start } = await done(attemptSpec('git.workspace', { repo: url }))
    await done(command('echo changed > README.md; git commit -qam "Change it"; echo left > over'))
    const carried = await done(attemptSpec('git.carry', carryArgs(start!)))
    assert.equal(carried.FILES, '2')
    assert.ok(kept.includes('checkpoint.pack'))
    const tip = carried.TIP_SHA!
    const push = attemptSpec('git.push', { repo: url, branch: 'errand/x', tip, expected: '' })
    const pushed = await done(push)
    assert.deepEqual(pushed, { PUSHED_SHA: tip, BRANCH: 'errand/x' })
    assert.equal(run(folder, ['rev-parse', 'errand/x']), tip)
    assert.equal(run(folder, ['log', '--format=%s', `${start}..errand/x`]), 'Do it\nChange it')
    assert.equal(run(folder, ['show', 'errand/x:README.md']), 'changed')
  } finally {
    await attempts.close()
    await pool.close()
    await place.close()
  }
})
