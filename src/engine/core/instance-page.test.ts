import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inventory, scriptedEngine, step } from '../../../test/support/scripted-engine.ts'

const items = (count: number) => Array.from({ length: count }, (_, index) => `item-${index}`)

test('instances are returned by page, failures first, with counts by status', async (t) => {
  const { play, engine } = scriptedEngine(t, ({ env }) =>
    ['item-3', 'item-17'].includes(env.ITEM!) ? 'failed' : 'success',
  )
  const { run_id } = await play([step('a', { foreach: items(25) })])
  const at = { phase: 'main', name: 'a' } as const
  const seen: number[] = []
  let cursor: string | undefined
  do {
    const page = await engine.instances(run_id, at, { limit: 10, cursor })
    assert.deepEqual([page.total, page.counts], [25, { failed: 2, success: 23 }])
    seen.push(...page.instances.map(({ index }) => index))
    cursor = page.next_cursor
  } while (cursor !== undefined)
  const others = items(25).flatMap((_, index) => (index === 3 || index === 17 ? [] : [index]))
  assert.deepEqual(seen, [3, 17, ...others])

  const failed = await engine.instances(run_id, at, { limit: 10, statuses: ['failed'] })
  assert.deepEqual(
    failed.instances.map(({ index, status, vars, attempts }) => [index, status, vars?.ITEM, attempts.length]),
    [
      [3, 'failed', 'item-3', 1],
      [17, 'failed', 'item-17', 1],
    ],
  )
  const found = await engine.instances(run_id, at, { limit: 1, text: 'ITEM-1' })
  assert.deepEqual(
    [found.counts, found.instances[0]?.index, found.next_cursor !== undefined],
    [{ failed: 1, success: 10 }, 17, true],
  )
  await assert.rejects(engine.instances(run_id, at, { limit: 1, cursor: 'x' }), { code: 'bad_request' })
  await assert.rejects(engine.instances(run_id, { phase: 'main', name: 'b' }, { limit: 1 }), {
    code: 'not_found',
  })
})

test('an instance can be found by its position, and those of a host by its name', async (t) => {
  const { play, engine } = scriptedEngine(t, () => 'success')
  const { run_id } = await play([step('a', { foreach: items(25) })])
  const at = { phase: 'main', name: 'a' } as const
  const one = await engine.instances(run_id, at, { limit: 10, index: 21 })
  assert.deepEqual(
    one.instances.map(({ index, vars }) => [index, vars?.ITEM]),
    [[21, 'item-21']],
  )
  assert.equal((await engine.instances(run_id, at, { limit: 10, host: 'nowhere' })).instances.length, 0)
  const { host } = one.instances[0]!
  assert.equal((await engine.instances(run_id, at, { limit: 10, host })).instances.length, 10)
})

test('an overview has a letter per instance and medians by status, and instances have their times', async (t) => {
  const { play, engine } = scriptedEngine(t, ({ env }) => (env.ITEM === 'item-3' ? 'failed' : 'success'))
  const { run_id } = await play([step('a', { foreach: items(5) }), step('b')])
  const at = { phase: 'main', name: 'a' } as const
  const { total, instances, by_status } = await engine.overview(run_id, at)
  assert.deepEqual([total, instances], [5, 'dddfd'])
  assert.deepEqual([by_status.success?.count, by_status.failed?.count, by_status.running], [4, 1, undefined])
  assert.equal(
    by_status.success?.ended?.reduce((sum, count) => sum + count, 0),
    4,
  )
  const none = await engine.overview(run_id, { phase: 'main', name: 'b' })
  assert.deepEqual([none.total, none.instances, none.by_status], [0, '', {}])
  const [attempt] = (await engine.view(run_id)).steps[0]!.instances[0]!.attempts
  assert.ok(attempt!.created_at! <= attempt!.finished_at!)
})

test('a limited view has the first instances of each step and counts for all', async (t) => {
  const { play, engine } = scriptedEngine(t, ({ env }) => (env.ITEM === 'item-9' ? 'failed' : 'success'))
  const { run_id } = await play([step('a', { foreach: items(10) }), step('b')])
  const { steps } = await engine.view(run_id, { instances: 2 })
  assert.deepEqual(
    steps[0]!.instances.map(({ index, status }) => [index, status]),
    [
      [9, 'failed'],
      [0, 'success'],
    ],
  )
  assert.deepEqual([steps[0]!.counts, steps[1]!.counts], [{ failed: 1, success: 9 }, undefined])
  const whole = await engine.view(run_id)
  assert.deepEqual([whole.steps[0]!.instances.length, whole.steps[0]!.counts], [10, undefined])
  assert.equal(whole.steps[0]!.instances[0]!.index, undefined)
})

test('the last good run is the newest earlier success of the same workflow and owner', async (t) => {
  let outcome: 'failed' | 'success' = 'success'
  const { play, engine, clock } = scriptedEngine(t, ({ host }) =>
    outcome === 'failed' ? 'failed' : { exports: { ON: host, LONG: 'x'.repeat(3000) } },
  )
  const on = [[step('a', { targets: ['x', 'y'] })], inventory('x', 'y')] as const
  const next = async (owner: string) => {
    clock.wake(clock.steady() + 1000, () => {})
    clock.advance()
    return await play([...on[0]], on[1], { owner })
  }
  const first = await next('ann')
  const second = await next('ann')
  await next('bob')
  outcome = 'failed'
  const failed = await next('ann')
  const { run } = await engine.lastGood(failed.run_id)
  assert.equal(run?.run_id, second.run_id)
  const [only] = run!.steps
  assert.deepEqual(
    [only!.step, only!.status, only!.instances, only!.exports?.ON, only!.exports?.LONG?.length],
    ['a', 'success', 2, 'y', 2000],
  )
  assert.equal(typeof only!.duration_ms, 'number')
  assert.deepEqual(await engine.lastGood(first.run_id), {})
})
