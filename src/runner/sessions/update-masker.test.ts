import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clippedValue, TOOL_TEXT_BYTES } from '../../agents/clipped.ts'
import type { AgentUpdate } from '../../contract/agent.ts'
import { createMasker } from '../masking/masker.ts'
import { UpdateMasker } from './update-masker.ts'

const secret = 'kX7-qWz29fLmNo4PrStUv8'

function masked(update: AgentUpdate): AgentUpdate {
  const reported: AgentUpdate[] = []
  new UpdateMasker(createMasker([secret]), (each) => reported.push(each)).report(update)
  assert.equal(reported.length, 1)
  return reported[0]!
}

test('a text cut in the middle of a secret shows nothing of the secret', () => {
  for (let shown = 1; shown <= secret.length + 8; shown++) {
    const before = '.'.repeat(TOOL_TEXT_BYTES - 40)
    const text = `${before}${' '.repeat(secret.length + 8 - shown)}${secret}${' more'.repeat(20)}`
    const output = clippedValue(text)
    const update = masked({ kind: 'tool', tool_id: '1', output, title: `curl ${secret.slice(0, shown)}…` })
    assert.ok(update.kind === 'tool')
    assert.ok(!/kX7/.test(`${update.output}${update.title}`), `${shown}: ${update.output!.slice(-80)}`)
    assert.match(update.output!, /\n… \(\d+ bytes in all\)$/)
    assert.match(update.title!, /^curl \*\*\*…$/)
  }
})

test('a text cut after something that is not a secret stays unchanged', () => {
  const output = clippedValue('..'.repeat(TOOL_TEXT_BYTES))
  const update = masked({ kind: 'tool', tool_id: '1', output })
  assert.ok(update.kind === 'tool' && update.output === output)
})
