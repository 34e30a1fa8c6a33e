import assert from 'node:assert/strict'
import test from 'node:test'
import type { Lines } from '../../../src/contract/run-api.ts'
import type { RunFeed } from '../../data/run-feed.ts'

/** Replaces the feed of a run whose events have reported so many bytes of output. */
function feedOf(bytes: number): RunFeed {
  const chunks = [{ stream: 'stdout', offset: 0, length: bytes }]
  return { chunks: () => chunks, watch: () => () => {} } as unknown as RunFeed
}

const answer = (texts: readonly string[]): Lines => ({
  lines: texts.map((text, at) => ({
    number: at + 1,
    stream: 'stdout',
    time: '2026-01-01T00:00:00.000Z',
    text,
  })),
  open: [],
  total: texts.length,
  bytes: texts.join('\n').length,
  ended: false,
})

/** Waits until pending promises have settled, without the clock. */
const settle = async () => {
  for (let at = 0; at < 20; at++) await new Promise((resolve) => setImmediate(resolve))
}

test('lines that the hub has only later arrive without another event', async (t) => {
  Object.assign(globalThis, { document: { baseURI: 'http://hub.test/' } })
  const { LogLines } = await import('./log-lines.ts')
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let known = ['one']
  let requests = 0
  t.mock.method(globalThis, 'fetch', async () => {
    requests++
    return Response.json(answer(known))
  })
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      t.mock.timers.tick(100)
      await settle()
    }
  }
  const lines = new LogLines('run_1', 1, feedOf('one\ntwo'.length))
  await pass(1_000)
  assert.equal(lines.line(1)?.text, 'one')
  const before = requests
  await pass(60_000)
  assert.ok(
    requests - before <= 24,
    `a hub without more lines is asked ${requests - before} times in a minute`,
  )
  known = ['one', 'two']
  await pass(31_000)
  assert.equal(lines.line(2)?.text, 'two')
  const last = requests
  await pass(60_000)
  assert.equal(requests, last)
  lines.stop()
})
