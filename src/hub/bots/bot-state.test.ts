import assert from 'node:assert/strict'
import test from 'node:test'
import { type BotState, botPhases } from '../../contract/bot.ts'
import { Reason, RunStatus } from '../../contract/status.ts'
import { botState, isLive } from './bot-state.ts'

test('every status, phase and reason has the state that stands in this table', () => {
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
        const wanted =
          status === 'queued'
            ? 'start'
            : status === 'running'
              ? open[phase]
              : reason === 'timeout'
                ? 'timeout'
                : ended[status]
        const state = botState({ status, reason, phase: phase === 'none' ? undefined : phase })
        assert.equal(state, wanted, `${status} ${reason} ${phase}`)
        assert.equal(isLive(state), status === 'queued' || status === 'running')
      }
})
