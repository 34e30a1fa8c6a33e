import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import type { NewEvent, RunEvent } from '../../contract/events.ts'
import { Workflow } from '../../contract/workflow.ts'
import { evolve } from './evolve.ts'
import { plan } from './plan.ts'
import { initialState } from './state.ts'
import { attemptStatus } from './transitions.ts'

const workflow = Workflow.parse({
  version: 'v0.1',
  name: 'w',
  steps: [{ name: 'a', action: 'noop', args: {} }],
})
const begun: NewEvent[] = [
  { type: 'run.created', workflow_name: 'w', vars: {} },
  { type: 'run.started' },
  { type: 'step.started', step: 'a', phase: 'main', instances: [{ host: 'local' }] },
]
const created = (epoch: number, waiting?: string): NewEvent => ({
  ...{ type: 'attempt.created', attempt: 1, step: 'a', phase: 'main', instance: 0, host: 'local', try: 1 },
  ...{ epoch, waiting },
})
const waits = (why: string): NewEvent => ({ type: 'attempt.waiting', attempt: 1, why })
const assigned = (epoch: number): NewEvent => ({ type: 'attempt.assigned', attempt: 1, epoch })
const started: NewEvent = { type: 'attempt.started', attempt: 1 }
const ended: NewEvent = { type: 'attempt.finished', attempt: 1, step: 'a', host: 'local', outcome: 'success' }

/** Lists the statuses that the attempt of this log goes through. */
function statuses(...log: NewEvent[]): string[] {
  const state = initialState(plan(workflow, builtinActions))
  return [...begun, ...log].flatMap((event) => {
    evolve(state, { seq: state.seq + 1, time: '2026-01-31T10:00:00.000Z', ...event } as RunEvent)
    return state.attempts.map(attemptStatus)
  })
}

test('an attempt waits, is assigned, starts and ends, and may be handed out again in between', () => {
  assert.deepEqual(statuses(created(1), started, ended), ['assigned', 'started', 'ended'])
  assert.deepEqual(
    statuses(created(0, 'full'), waits('still full'), assigned(1), waits('gone'), assigned(2)),
    [...['waiting', 'waiting', 'assigned', 'waiting', 'assigned']],
  )
  assert.deepEqual(statuses(created(1), started, assigned(2), started, waits('gone'), ended), [
    ...['assigned', 'started', 'assigned', 'started', 'waiting', 'ended'],
  ])
})

test('refuses a log in which an attempt continues after its end, or starts without a machine', () => {
  for (const after of [waits('x'), assigned(2), started, ended])
    assert.throws(() => statuses(created(1), ended, after), {
      code: 'internal',
      message: /attempt 1 from ended/,
    })
  assert.throws(() => statuses(created(0, 'full'), started), { message: /from waiting to started/ })
  assert.throws(() => statuses(created(1), started, started), { message: /from started to started/ })
})
