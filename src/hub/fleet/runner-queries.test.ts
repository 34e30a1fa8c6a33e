import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { HubFrame } from '../../contract/protocol.ts'
import { runnerKey } from './matching.ts'
import { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'
import { RunnerQueries } from './runner-queries.ts'

const of = { tenant: 'default', id: 'box' }
const ask = { what: 'measure', bot_id: 'echo', owner: 'ann', tenant: 'default' } as const
const LONG_MS = 600_000

function setUp() {
  const runner = new Runner(of.tenant, of.id)
  const sent: Extract<HubFrame, { type: 'ask' }>[] = []
  const link = {
    send: (frame: HubFrame) => void sent.push(frame as (typeof sent)[0]),
  } as unknown as RunnerLink
  runner.link = link
  return { asks: new RunnerQueries(new Map([[runnerKey(of.tenant, of.id), runner]])), link, sent, runner }
}

test('an answer counts only over the link that was asked', async () => {
  const { asks, link, sent } = setUp()
  const answer = asks.answer(of, ask, LONG_MS)
  const { ask_id } = sent[0]!
  assert.deepEqual(sent[0]!.ask, ask)
  asks.answered({} as RunnerLink, ask_id, { exists: false })
  asks.answered(link, 'another', { exists: false })
  asks.answered(link, ask_id, { exists: true, bytes: 7 })
  assert.deepEqual(await answer, { exists: true, bytes: 7 })
  asks.answered(link, ask_id, { exists: true })
  const refused = asks.answer(of, ask, LONG_MS)
  const error = { code: 'conflict', message: 'in use', hint: 'stop it' }
  asks.answered(link, sent[1]!.ask_id, { exists: true, error })
  await assert.rejects(refused, error)
})

test('accepts bytes only from the tenant, and once', async () => {
  const { asks, sent } = setUp()
  const body = asks.body(of, { ...ask, what: 'export' }, LONG_MS)
  const { ask_id } = sent[0]!
  await assert.rejects(asks.take('other', ask_id, Readable.from(['x'])), { code: 'not_found' })
  const taken = asks.take('default', ask_id, Readable.from(['the ', 'bytes']))
  assert.equal(await text(await body), 'the bytes')
  await taken
  await assert.rejects(asks.take('default', ask_id, Readable.from(['x'])), { code: 'not_found' })
})

test('a runner that is away, disconnects, or does not know the question is unavailable', async () => {
  const { asks, link, runner } = setUp()
  const broken = asks.answer(of, ask, LONG_MS)
  asks.closed(link)
  await assert.rejects(broken, { code: 'unavailable', message: /connection/ })
  await assert.rejects(asks.answer(of, ask, 1), { code: 'unavailable', hint: /earlier version/ })
  runner.link = undefined
  await assert.rejects(asks.answer(of, ask, LONG_MS), {
    code: 'unavailable',
    message: /"box" is not connected/,
  })
  await assert.rejects(asks.answer({ tenant: 'other', id: 'box' }, ask, LONG_MS), { code: 'unavailable' })
})
