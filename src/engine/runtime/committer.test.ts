import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunEvent } from '../../contract/events.ts'
import { Committer } from './committer.ts'

test('simultaneous events are one commit, however many, and their effects follow', async () => {
  const count = 300_000
  const written: RunEvent[][] = []
  let effects = 0
  const committer = new Committer({
    write: async (events) => void written.push(events),
    committed: () => {},
    failed: () => undefined,
    broke: (error) => assert.fail(String(error)),
  })
  const events = Array.from(
    { length: count },
    (_, index): RunEvent => ({
      seq: index + 1,
      time: '',
      type: 'run.waiting',
      why: '',
    }),
  )
  await committer.add(
    events,
    events.map(() => () => void effects++),
    false,
  )
  assert.deepEqual([written.length, written[0]!.length, effects], [1, count, count])
})
