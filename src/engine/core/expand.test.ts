import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, statusesOf, step, until } from '../../../test/support/scripted-engine.ts'

const items = (world: ReturnType<typeof scriptedEngine>) => world.host.begun.map((spec) => spec.env.ITEM)

test('a matrix runs once for each combination, on each target', async (t) => {
  const { play, host } = scriptedEngine(t)
  await play(
    [step('a', { targets: ['x', 'y'], matrix: { OS: ['linux', 'mac'], N: [1, 2] } })],
    inventory('x', 'y'),
  )
  const seen = host.begun.map(({ env, host }) => `${env.OS} ${env.N} ${host}`)
  assert.deepEqual(seen, [
    'linux 1 x',
    'linux 1 y',
    'linux 2 x',
    'linux 2 y',
    'mac 1 x',
    'mac 1 y',
    'mac 2 x',
    'mac 2 y',
  ])
})

test('foreach takes a list, a JSON list in a variable, or its lines', async (t) => {
  const list = scriptedEngine(t)
  await list.play([step('a', { foreach: ['one', 2, true] })])
  assert.deepEqual(items(list), ['one', '2', 'true'])
  const json = scriptedEngine(t)
  await json.play([step('a', { foreach: '${LIST}' })], {}, { vars: { LIST: ' ["a b", 1, {"k": [2]}]' } })
  assert.deepEqual(items(json), ['a b', '1', '{"k":[2]}'])
  const lines = scriptedEngine(t)
  await lines.play([step('a', { foreach: '${LIST}' })], {}, { vars: { LIST: 'one\r\n\n  two \n' } })
  assert.deepEqual(items(lines), ['one', 'two'])
})

test('an empty list succeeds with no instances, and an invalid one fails the step', async (t) => {
  const { play, host } = scriptedEngine(t)
  assert.deepEqual(
    statusesOf(await play([step('a', { foreach: '${LIST}' }), step('b')], {}, { vars: { LIST: '[]' } })),
    ['a: success', 'b: success'],
  )
  assert.deepEqual(host.ran, ['b'])
  const broken = await play([step('a', { foreach: '${LIST}' })], {}, { vars: { LIST: '["a",' } })
  assert.deepEqual(statusesOf(broken), ['a: failed invalid_argument'])
  assert.match(broken.message ?? '', /Write a complete list, such as \["a", "b"\]/)
  const many = await play(
    [step('a', { foreach: '${LIST}' })],
    {},
    { vars: { LIST: JSON.stringify(Array(10_001).fill(1)) } },
  )
  assert.match(many.message ?? '', /would run 10001 times; the limit is 10000\. Use fewer hosts/)
})

test('max_parallel is respected, and a failed instance does not stop the others', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a', { foreach: [1, 2, 3, 4, 5], max_parallel: 2 })])
  for (let ended = 0; ended < 5; ended++) {
    await until(() => host.held.size > 0)
    assert.equal(host.held.size, Math.min(2, 5 - ended))
    const [id] = host.held.keys()
    await host.end(id!, ended === 1 ? 'failed' : 'success')
  }
  await engine.done(runId)
  const [a] = (await engine.view(runId)).steps
  assert.deepEqual(
    a!.instances.map(({ status }) => status),
    ['success', 'failed', 'success', 'success', 'success'],
  )
})

test('while an instance waits for its next try, its place is free for another', async (t) => {
  const { submit, engine, host, clock } = scriptedEngine(t, () => 'hold')
  const retry = { max_attempts: 2, backoff: { delay_seconds: 10 } }
  const runId = await submit([step('a', { foreach: [1, 2], max_parallel: 1, retry })])
  await host.endOf('a', 'failed')
  assert.equal(host.of('a').spec.env.ITEM, '2')
  clock.advance()
  assert.equal(host.held.size, 1)
  await host.endOf('a')
  assert.deepEqual([host.of('a').spec.env.ITEM, host.of('a').spec.try], ['1', 2])
  await host.endOf('a')
  assert.equal((await engine.done(runId)).status, 'success')
})
