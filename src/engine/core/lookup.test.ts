import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, step } from '../../../test/support/scripted-engine.ts'

test('later steps on a host see its exports; on other hosts the last instance counts', async (t) => {
  const { play, host } = scriptedEngine(t, (spec) =>
    spec.step === 'a' ? { exports: { V: `from ${spec.host}` } } : 'success',
  )
  await play(
    [step('a', { targets: ['x', 'y'] }), step('b', { targets: ['x', 'y', 'z'] })],
    inventory('x', 'y', 'z'),
  )
  const seen = host.begun.filter((spec) => spec.step === 'b').map((spec) => [spec.host, spec.env.V])
  assert.deepEqual(seen, [
    ['x', 'from x'],
    ['y', 'from y'],
    ['z', 'from y'],
  ])
})

test('the last instance is the last as written, not the last to end', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, (spec) => (spec.step === 'a' ? 'hold' : 'success'))
  const runId = await submit([step('a', { targets: ['x', 'y'] }), step('b')], inventory('x', 'y'))
  await host.endOf('a', { exports: { V: 'y' } }, 'y')
  await host.endOf('a', { exports: { V: 'x' } }, 'x')
  await engine.done(runId)
  assert.equal(host.begun.at(-1)?.env.V, 'y')
})

test('a later export replaces an earlier one on every host', async (t) => {
  const { play, host } = scriptedEngine(t, ({ step }) =>
    step === 'c' ? 'success' : { exports: { V: step } },
  )
  await play(
    [step('a', { targets: ['x', 'y'] }), step('b', { targets: ['x'] }), step('c', { targets: ['y'] })],
    inventory('x', 'y'),
  )
  assert.equal(host.begun.at(-1)?.env.V, 'b')
})

test('precedence from low to high: workflow env, given values, exports, step env, item', async (t) => {
  const { play, host } = scriptedEngine(t, ({ step }) =>
    step === 'set' ? { exports: { C: 'export', D: 'export', ITEM: 'export' } } : 'success',
  )
  const env = { A: 'workflow', B: 'workflow', C: 'workflow', D: 'workflow', ITEM: 'workflow' }
  await play(
    [step('set'), step('see', { env: { D: 'step', ITEM: 'step' }, foreach: ['item'] })],
    { env },
    { vars: { B: 'given', C: 'given', D: 'given' } },
  )
  const { A, B, C, D, ITEM } = host.begun.at(-1)!.env
  assert.deepEqual({ A, B, C, D, ITEM }, { A: 'workflow', B: 'given', C: 'export', D: 'step', ITEM: 'item' })
})

test('an env text sees the variables before it, and the names of the step and host', async (t) => {
  const { play, host } = scriptedEngine(t)
  const env = { BASE: '/srv', FULL: '${BASE}/app' }
  await play(
    [
      step('a', {
        targets: ['x'],
        env: { HERE: '${FULL} ${ERRAND_STEP} ${ERRAND_HOST} ${ERRAND_WORKFLOW}' },
      }),
    ],
    { env, ...inventory('x') },
  )
  assert.equal(host.begun[0]?.env.HERE, '/srv/app a x test')
})

test('filled-in text is not evaluated again, and names built into the language are not variables', async (t) => {
  const { play, host } = scriptedEngine(t)
  await play(
    [step('a', { env: { X: '${GIVEN}', Y: '${constructor:-none} ${toString:-none}' } })],
    { env: { Z: '${valueOf:-none}' } },
    { vars: { GIVEN: '${HOME}' } },
  )
  const { X, Y, Z } = host.begun[0]!.env
  assert.deepEqual([X, Y, Z], ['${HOME}', 'none none', 'none'])
})

test('raw arguments are passed on as written, others are filled in', async (t) => {
  const { play, host } = scriptedEngine(t)
  const args = { cmd: 'echo ${V}', cwd: '/srv/${V}' }
  await play([step('a', { action: 'cmd.run', args })], {}, { vars: { V: 'one' } })
  assert.equal(host.begun[0]?.args.cmd, 'echo ${V}')
  assert.equal(host.begun[0]?.args.cwd, '/srv/one')
})

test('an unset variable is reported with the nearest set one', async (t) => {
  const { play } = scriptedEngine(t)
  const hintOf = async (more: object) => {
    const { steps } = await play([step('a', more)], { env: { VERSION: '1' } })
    return steps[0]!.message
  }
  const message = /^Variable "VERSON" is not set\. Did you mean "VERSION"\?/
  assert.match((await hintOf({ when: '${VERSON}' }))!, message)
  assert.match((await hintOf({ targets: ['${VERSON}'] }))!, message)
  assert.match((await hintOf({ env: { A: '${VERSON}' } }))!, message)
  assert.match((await hintOf({ action: 'file.write', args: { path: '${VERSON}', content: '' } }))!, message)
})
