import assert from 'node:assert/strict'
import test from 'node:test'
import { botRun } from '../../blueprints/bot.ts'
import type { RunStatus } from '../../contract/status.ts'
import { MemoryRunStore } from '../store/memory.ts'
import { KnownBots } from './known-bots.ts'

test('a bot that lives on is listed, however many runs of others came after it', async () => {
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
  for (const [ended, wanted] of [
    [true, ['brief', 'steady']],
    [false, ['steady']],
  ] as const)
    assert.deepEqual(
      (await known.list(of, { ended })).map(({ bot_id }) => bot_id),
      wanted,
    )
})
