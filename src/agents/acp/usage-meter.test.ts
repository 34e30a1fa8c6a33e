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

it('adds up what an agent counts by prompt', () => {
  const meter = new UsageMeter({ counts: 'prompt', cachedInInput: false, thoughtsApart: false }, false)
  meter.turnEnded(usage(60, 40, 20))
  assert.deepEqual(meter.turnEnded(usage(10, 90, 5)), {
    kind: 'usage',
    turn: normal(10, 90, 5),
    session: normal(70, 130, 25),
  })
})

it('takes apart what an agent counts by process, with cached tokens among the others', () => {
  const meter = new UsageMeter({ counts: 'process', cachedInInput: true, thoughtsApart: false }, false)
  meter.turnEnded(usage(100, 40, 20))
  assert.deepEqual(meter.turnEnded(usage(250, 140, 30)), {
    kind: 'usage',
    turn: normal(50, 100, 10),
    session: normal(110, 140, 30),
  })
})

it('tells the cost of a turn and of the session', () => {
  const meter = new UsageMeter({ counts: 'last_step', cachedInInput: false, thoughtsApart: true }, false)
  const cost = (amount: number) => meter.readUpdate({ cost: { amount, currency: 'USD' } })
  cost(0.25)
  meter.turnEnded(usage(1, 0, 1))
  cost(0.75)
  const usageUpdate = meter.turnEnded(usage(1, 0, 1))
  assert.ok(usageUpdate?.kind === 'usage')
  assert.deepEqual([usageUpdate.turn.cost_usd, usageUpdate.session.cost_usd], [0.5, 0.75])
})

it('does not take the cost of a loaded session for that of its next turn', () => {
  const meter = new UsageMeter({ counts: 'last_step', cachedInInput: false, thoughtsApart: true }, true)
  meter.readUpdate({ cost: { amount: 3, currency: 'USD' } })
  const usageUpdate = meter.turnEnded(usage(1, 0, 1))
  assert.ok(usageUpdate?.kind === 'usage')
  assert.deepEqual([usageUpdate.turn.cost_usd, usageUpdate.session.cost_usd], [undefined, 3])
})

it('tells nothing where the agent told nothing', () => {
  const meter = new UsageMeter({ counts: 'prompt', cachedInInput: false, thoughtsApart: false }, false)
  assert.equal(meter.turnEnded({}), undefined)
})
