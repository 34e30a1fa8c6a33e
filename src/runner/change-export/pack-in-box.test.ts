import assert from 'node:assert/strict'
import { cpSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { attemptSpec, endOf, textOf } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { type ExportFixture, exportArgs, exportFixture } from '../../../test/support/runner/export-fixture.ts'
import { makeRepository, run } from '../../../test/support/sources/git-fixture.ts'
import type { ActionRegistry } from '../ports.ts'
import { gitCarryStep } from './export-change.ts'

const skip = sandboxMissing()
const registry: ActionRegistry = { 'git.carry': { kind: 'platform', prepare: ({ args }) => args } }

/** Runs the step like a runner, in the sandbox, on a copy of the place's working folder. */
async function exportBoxed(place: ExportFixture, args: object = {}) {
  using here = boxPlace()
  cpSync(place.work, join(here.path, 'workspaces/run_test'), { recursive: true, verbatimSymlinks: true })
  const step = gitCarryStep({ checkout: () => place, keep: () => async () => undefined })
  const attempts = here.open({
    registry,
    platformStep: () =>
      Promise.resolve({
        run: (context) =>
          step.run({
            ...context,
            boxed: (command) => context.boxed({ ...command, readable: [place.mirror] }),
          }),
      }),
  })
  const attempt = await attempts.start(attemptSpec('git.carry', { ...exportArgs(place.start), ...args }), 1)
  const end = await endOf(attempt)
  const output = await textOf(attempt, 'stderr')
  await attempts.close()
  return { ...end, said: output }
}

test('a change is exported from the sandbox', { skip }, async () => {
  using place = exportFixture()
  place.write('src/a.txt', 'from inside\n')
  const { outcome, exports, message } = await exportBoxed(place)
  assert.deepEqual([outcome, message], ['success', undefined])
  assert.deepEqual(
    { ...exports, TIP_SHA: '' },
    { TIP_SHA: '', FILES: '1', ADDED: '1', DELETED: '2', ASKED: '' },
  )
  assert.equal(place.file(exports!.TIP_SHA!, 'src/a.txt'), 'from inside')
})

test("another tenant's repository cannot be read through the agent's", { skip }, async () => {
  using place = exportFixture()
  const other = join(place.dir, 'other.git')
  const theirs = makeRepository(other, [{ path: 'secret', content: 'of another tenant' }])
  const snapshot = run(other, ['rev-parse', `${theirs}^{tree}`])
  const dotGit = join(place.work, '.git')
  const attacks: Record<string, () => void> = {
    alternates: () =>
      writeFileSync(join(dotGit, 'objects/info/alternates'), `${other}/objects\n${place.mirror}/objects\n`),
    'a .git file': () => {
      rmSync(dotGit, { recursive: true })
      writeFileSync(dotGit, `gitdir: ${other}\n`)
    },
    'a linked .git': () => {
      rmSync(dotGit, { recursive: true })
      symlinkSync(other, dotGit)
    },
    'linked objects': () => {
      rmSync(dotGit, { recursive: true })
      run(place.work, ['init', '-q'])
      rmSync(join(dotGit, 'objects'), { recursive: true })
      symlinkSync(join(other, 'objects'), join(dotGit, 'objects'))
    },
  }
  for (const [name, attack] of Object.entries(attacks)) {
    attack()
    if (name === 'alternates') {
      run(place.work, ['update-ref', '--no-deref', 'HEAD', theirs])
      // Without a sandbox it succeeds, so it is a real attack.
      const { tip } = await place.exportChange({ snapshot })
      assert.equal(place.file(tip, 'secret'), 'of another tenant')
      rmSync(place.own_git, { recursive: true })
      run(place.dir, ['clone', '-q', '--bare', place.mirror, place.own_git])
    }
    const end = await exportBoxed(place, { snapshot })
    assert.deepEqual([name, end.outcome, end.reason], [name, 'failed', 'workspace'])
    assert.match(end.said, /The snapshot \w+ is gone/)
    const plain = await exportBoxed(place)
    const tip = plain.exports?.TIP_SHA ?? ''
    if (tip !== '') assert.doesNotMatch(run(place.own_git, ['ls-tree', '-r', tip]), /secret/)
  }
})
