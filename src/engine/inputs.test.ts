import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scriptedEngine, step } from '../../test/support/scripted-engine.ts'

test('a prompt for a step that takes none is refused with those that do', async (t) => {
  const { submit, engine } = scriptedEngine(t, () => 'hold')
  const runId = await submit([step('talk', { action: 'agent.run', args: { prompt: 'x' } })])
  await assert.rejects(engine.input(runId, { type: 'prompt', text: 'a' }, { step: 'walk' }), {
    code: 'no_input',
    message: `No step "walk" in run ${runId} takes a prompt now.`,
    hint: 'What does: "talk" on local.',
  })
})
