import assert from 'node:assert/strict'
import test from 'node:test'
import { botRun } from '../../blueprints/bot.ts'
import { type BotState, botPhases } from '../../contract/bots/bot.ts'
import { Reason, RunStatus } from '../../contract/status.ts'
import { moves } from '../../engine/core/transitions.ts'
import { MemoryRunStore } from '../../stores/runs/memory.ts'
import { type BotStatusFacts, botMoves, botState, isLive, KnownBots } from './bot-view.ts'

/** The phases that may follow each. A bot whose image is there has neither of the first two. */
const phases: Readonly<Record<string, readonly string[]>> = {
  none: botPhases,
  building: ['running'],
  pulling: ['running'],
  running: ['restarting'],
  restarting: ['running'],
}

test('every status, phase and reason has the state listed in this table', () => {
  const open: Record<string, BotState> = {
    none: 'start',
    building: 'building',
    pulling: 'pulling',
    running: 'running',
    restarting: 'start',
    'of another action': 'start',
  }
  const ended: Record<string, BotState> = {
    success: 'stopped',
    canceled: 'stopped',
    failed: 'crashed',
    interrupted: 'crashed',
  }
  for (const status of RunStatus.options)
    for (const reason of [undefined, ...Reason.options])
      for (const phase of ['none', ...botPhases, 'restarting', 'of another action']) {
        const expected =
          status === 'queued'
            ? 'start'
            : status === 'running'
              ? open[phase]
              : reason === 'timeout'
                ? 'timeout'
                : ended[status]
        const state = botState({ status, reason, phase: phase === 'none' ? undefined : phase })
        assert.equal(state, expected, `${status} ${reason} ${phase}`)
        assert.equal(isLive(state), status === 'queued' || status === 'running')
      }
})

test('a bot moves between states only as its run and its phases do', () => {
  const named = (phase: string) => (phase === 'none' ? undefined : phase)
  const led = new Set<string>()
  const note = (from: BotStatusFacts, to: BotStatusFacts) => {
    if (botState(from) !== botState(to)) led.add(`${botState(from)} ${botState(to)}`)
  }
  for (const [phase, after] of Object.entries(phases)) {
    const from: BotStatusFacts = { status: 'running', phase: named(phase) }
    for (const next of after) note(from, { status: 'running', phase: next })
    for (const status of moves.run.running!)
      for (const reason of [undefined, ...Reason.options]) note(from, { ...from, status, reason })
  }
  for (const status of moves.run.queued!) note({ status: 'queued' }, { status })
  const table = Object.entries(botMoves).flatMap(([from, tos]) => tos.map((to) => `${from} ${to}`))
  assert.deepEqual([...led].sort(), table.sort())
})

test('a running bot is listed, however many runs of other bots came after it', async () => {
  const store = new MemoryRunStore()
  const of = { owner: 'ann', tenant: 'default' }
  let count = 0
  const begin = async (botId: string, status: RunStatus) => {
    const run_id = `run_${++count}`
    const made = botRun({ bot_id: botId, code: 'x' }, { maxSeconds: 3600, slot: run_id })
    const created_at = new Date(Date.UTC(2026, 0, 1) + count * 1000).toISOString()
    await store.create({ ...of, run_id, workflow_name: botId, vars: {}, created_at, ...made }, [], { status })
  }
  await begin('steady', 'running')
  for (let index = 0; index < 500; index++) await begin('brief', 'success')
  const known = new KnownBots({
    list: (query) => store.list(query),
    view: async (runId) => ({ ...(await store.get(runId))!, steps: [] }),
  })
  for (const [ended, expected] of [
    [true, ['brief', 'steady']],
    [false, ['steady']],
  ] as const)
    assert.deepEqual(
      (await known.list(of, { ended })).map(({ bot_id }) => bot_id),
      expected,
    )
})
