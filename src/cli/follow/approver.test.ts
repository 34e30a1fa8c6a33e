import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EventOf } from '../../contract/events.ts'
import { Approver, type ApproverOptions } from './approver.ts'

const request = (more: object): EventOf<'approval.requested'> =>
  ({ type: 'approval.requested', step: 'ask', phase: 'main', instance: 0, ...more }) as never

/** Returns the answers that are given immediately. */
function answered(options: Partial<ApproverOptions>, more: object): string[] {
  const printed: string[] = []
  const answer: ApproverOptions['answer'] = async ({ decision, comment }) => {
    printed.push([decision, comment].filter(Boolean).join(': '))
  }
  new Approver({ all: false, steps: [], ask: false, answer, ...options }).requested(request(more), 'run_1')
  return printed
}

test('if nobody can answer an approval, it is refused at once, no matter what its timeout would decide', () => {
  const refused = ['reject: nobody can be asked here; use --approve "ask" or --yes']
  const late = { expires_at: '2040-01-01T00:00:00Z' }
  for (const more of [{}, late, { ...late, on_timeout: 'approve' }]) {
    assert.deepEqual(answered({}, more), refused)
    assert.deepEqual(answered({ othersCan: true }, more), [])
    assert.deepEqual(answered({ all: true }, more), ['approve'])
    assert.deepEqual(answered({ steps: ['ask'] }, more), ['approve'])
  }
})
