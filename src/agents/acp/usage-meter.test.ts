import assert from 'node:assert/strict'
import { it } from 'node:test'
import { UsageMeter } from './usage-meter.ts'

const usage = (inputTokens: number, cachedReadTokens: number, outputTokens: number) => ({
  usage: { inputTokens, cachedReadTokens, outputTokens },
})
const normal = (input_tokens: number, cached_input_tokens: number, output_tokens: number) => ({
  input_tokens,
  cached_input_tokens,
  output_tokens,
})

it('adds up the usage that an agent counts per prompt', () => {
  const meter = new UsageMeter({ counts: 'prompt', cachedInInput: false, thoughtsApart: false }, false)
  meter.turnEnded(usage(60, 40, 20))
  assert.deepEqual(meter.turnEnded(usage(10, 90, 5)), {
    kind: 'usage',
    turn: normal(10, 90, 5),
    session: normal(70, 130, 25),
  })
})

it('derives the usage of each turn when an agent counts per process and includes cached tokens', () => {
  const meter = new UsageMeter({ counts: 'process', cachedInInput: true, thoughtsApart: false }, false)
  meter.turnEnded(usage(100, 40, 20))
  assert.deepEqual(meter.turnEnded(usage(250, 140, 30)), {
    kind: 'usage',
    turn: normal(50, 100, 10),
    session: normal(110, 140, 30),
  })
})

it('reports the cost of the turn and of the session', () => {
  const meter = new UsageMeter({ counts: 'last_step', cachedInInput: false, thoughtsApart: true }, false)
  const cost = (amount: number) => meter.readUpdate({ cost: { amount, currency: 'USD' } })
  cost(0.25)
  meter.turnEnded(usage(1, 0, 1))
  cost(0.75)
  const usageUpdate = meter.turnEnded(usage(1, 0, 1))
  assert.ok(usageUpdate?.kind === 'usage')
  assert.deepEqual([usageUpdate.turn.cost_usd, usageUpdate.session.cost_usd], [0.5, 0.75])
})

it('does not count the cost of a loaded session as the cost of its next turn', () => {
  const meter = new UsageMeter({ counts: 'last_step', cachedInInput: false, thoughtsApart: true }, true)
  meter.readUpdate({ cost: { amount: 3, currency: 'USD' } })
  const usageUpdate = meter.turnEnded(usage(1, 0, 1))
  assert.ok(usageUpdate?.kind === 'usage')
  assert.deepEqual([usageUpdate.turn.cost_usd, usageUpdate.session.cost_usd], [undefined, 3])
})

it('reports nothing when the agent reported nothing', () => {
  const meter = new UsageMeter({ counts: 'prompt', cachedInInput: false, thoughtsApart: false }, false)
  assert.equal(meter.turnEnded({}), undefined)
})
