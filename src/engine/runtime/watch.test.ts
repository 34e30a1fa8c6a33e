import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, step, until } from '../../../test/support/scripted-engine.ts'
import type { RunEvent } from '../../contract/events.ts'

async function all(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const list: RunEvent[] = []
  for await (const event of events) list.push(event)
  return list
}

test('several readers get every event once, in order: first existing ones, then new ones', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a'), step('b')])
  const early = [all(engine.watch(runId, 0)), all(engine.watch(runId, 3))]
  await host.endOf('a')
  const late = all(engine.watch(runId, 0))
  await host.endOf('b')
  await engine.done(runId)
  const log = await events(runId)
  assert.deepEqual(await early[0], log)
  assert.deepEqual(await early[1], log.slice(3))
  assert.deepEqual(await late, log)
  assert.deepEqual(await all(engine.watch(runId, 0)), log)
})

test('a log longer than one read is replayed whole', async (t) => {
  const { play, engine, events } = scriptedEngine(t)
  const { run_id } = await play([step('a', { foreach: Array.from({ length: 300 }, (_, index) => index) })])
  assert.deepEqual(await all(engine.watch(run_id, 0)), await events(run_id))
})

test('a reader beyond the end of an ended run gets nothing, and a reader of a missing run gets an error', async (t) => {
  const { play, engine } = scriptedEngine(t)
  const { run_id, last_seq } = await play([step('a')])
  assert.deepEqual(await all(engine.watch(run_id, last_seq)), [])
  assert.deepEqual(await all(engine.watch(run_id, last_seq + 1000)), [])
  await assert.rejects(all(engine.watch('nowhere', 0)), { code: 'run_not_found' })
})

test('a reader ends when it is aborted and when the engine closes', async (t) => {
  const { submit, engine } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const abort = new AbortController()
  const aborted = all(engine.watch(runId, 0, abort.signal))
  const open = all(engine.watch(runId, 0))
  await new Promise(setImmediate)
  abort.abort()
  assert.equal((await aborted).at(-1)?.type, 'attempt.created')
  await engine.close()
  assert.equal((await open).at(-1)?.type, 'attempt.created')
  assert.deepEqual(await all(engine.watch(runId, 0)), [])
})

test('a reader that stops in the middle does not affect the others', async (t) => {
  const { submit, engine, host } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const whole = all(engine.watch(runId, 0))
  for await (const event of engine.watch(runId, 0)) if (event.seq === 2) break
  await host.endOf('a')
  assert.equal((await whole).at(-1)?.type, 'run.finished')
})

test('output events carry their text, and no character is cut in two', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const bytes = Buffer.from('aé€𝄞 '.repeat(40))
  const watched = all(engine.watch(runId, 0))
  for (let offset = 0; offset < bytes.length; offset++) {
    await sink.output('stdout', offset, bytes.subarray(offset, offset + 1))
    if (offset % 60 === 0) {
      const before = (await events(runId)).length
      await until(async () => (await events(runId)).length > before)
    }
  }
  await sink.output('stdout', bytes.length, Buffer.from([0xff, 0xc3]))
  await host.endOf('a')
  const texts = (await watched).flatMap((event) => (event.type === 'output' ? [event.text!] : []))
  assert.ok(texts.length > 5)
  assert.equal(texts.join(''), `${bytes.toString()}\ufffd\ufffd`)
  for (const text of texts.slice(0, -1)) assert.doesNotMatch(text, /\ufffd/)
  assert.ok((await events(runId)).every((event) => event.type !== 'output' || event.text === undefined))
})

test('output arrives in few events, none of them too large', async (t) => {
  const { submit, engine, host, events } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('a')])
  const { sink } = host.of('a')
  const size = 5 * 1024 * 1024 + 17
  for (let offset = 0; offset < size; offset += 4096)
    await sink.output('stderr', offset, Buffer.alloc(Math.min(4096, size - offset), 'x'))
  await host.endOf('a')
  await engine.done(runId)
  const ranges = (await events(runId)).filter((event) => event.type === 'output')
  assert.ok(ranges.length < 400, `${ranges.length} events`)
  assert.ok(ranges.every(({ length, stream }) => length <= 1024 * 1024 && stream === 'stderr'))
  assert.equal(
    ranges.reduce((sum, { length }) => sum + length, 0),
    size,
  )
  assert.equal(await engine.outputLength(runId, 1, 'stderr'), size)
  assert.equal((await engine.output(runId, 1, 'stderr', size - 5, size + 5)).toString(), 'xxxxx')
})
