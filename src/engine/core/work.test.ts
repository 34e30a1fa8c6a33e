import assert from 'node:assert/strict'
import { test } from 'node:test'
import { builtinActions } from '../../contract/actions.ts'
import type { RunEvent } from '../../contract/events.ts'
import { evolve } from './evolve.ts'
import { freshTalk } from './inputs.ts'
import { listRow } from './list-row.ts'
import { plan } from './plan.ts'
import { initialState, type RunState } from './state.ts'
import { activityOf } from './work.ts'

test('waiting for a machine, a slot, a lock, the next try or a person does not count as work', () => {
  const asking = freshTalk()
  asking.questions.set('q', { text: 'May I?' })
  const approval = { message: 'go?' }
  const phase = (name: string) => ({ at: { name, since: '' } })
  const table = [
    ['not begun', { status: 'queued' }, undefined, undefined],
    ['at its machine', { status: 'running' }, {}, 'works'],
    ['in a phase', { status: 'running' }, phase('building'), 'works'],
    ['for a machine or a slot of it', { status: 'running' }, { waiting: 'no runner' }, 'waits'],
    ['for a workspace of its machine', { status: 'running' }, phase('waiting_for_workspace'), 'waits'],
    [
      'at a host agent that is silent, whose command goes on',
      { status: 'running' },
      phase('waiting'),
      'works',
    ],
    ['for its next try', { status: 'waiting' }, {}, 'waits'],
    ['for an answer to its agent', { status: 'running' }, { talk: asking }, 'asks'],
    ['with an agent that asks nothing', { status: 'running' }, { talk: freshTalk() }, 'works'],
    ['for an approval', { status: 'waiting', approval }, undefined, 'asks'],
    ['for another run, which goes on by itself', { status: 'waiting', child: 'run_b' }, undefined, 'works'],
    ['ended', { status: 'success' }, {}, undefined],
  ] as const
  for (const [what, instance, attempt, expected] of table)
    assert.equal(activityOf(instance, attempt), expected, what)
})

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString()
type EventBody = Record<string, unknown> & { type: RunEvent['type'] }

function stateAfter(steps: object[], ...events: [second: number, event: EventBody][]): RunState {
  const workflow = { version: 'v0.1', name: 'demo', steps } as never
  const state = initialState(plan(workflow, builtinActions))
  for (const [index, [second, event]] of events.entries())
    evolve(state, { seq: index + 1, time: at(second), ...event } as unknown as RunEvent)
  return state
}
const one = { name: 'one', action: 'cmd.run', args: { cmd: 'true' } }
const started = (step: string, count = 1): EventBody => ({
  ...{ type: 'step.started', phase: 'main', step },
  instances: Array.from({ length: count }, () => ({ host: 'local' })),
})
const created = (attempt: number, instance = 0, waiting?: string): EventBody => ({
  ...{ type: 'attempt.created', attempt, phase: 'main', step: 'one', instance, host: 'local', try: 1 },
  ...{ epoch: 1, ...(waiting === undefined ? {} : { waiting }) },
})
const assigned = (attempt: number): EventBody => ({
  type: 'attempt.assigned',
  attempt,
  runner: 'a',
  epoch: 2,
})
const finished = (attempt: number, more: object = {}): EventBody => ({
  ...{ type: 'attempt.finished', attempt, outcome: 'success', streams: {}, exports: {}, duration_ms: 5000 },
  ...more,
})
const begin: [number, EventBody][] = [
  [0, { type: 'run.created', vars: {} }],
  [20, { type: 'run.started' }],
]

test('a run that waited ten minutes for a machine and worked five seconds shows both', () => {
  const state = stateAfter(
    [one],
    ...begin,
    [20, started('one')],
    [20, created(1, 0, 'no runner')],
    [620, assigned(1)],
    [625, finished(1)],
    [625, { type: 'step.finished', phase: 'main', step: 'one', status: 'success' }],
    [625, { type: 'run.finished', status: 'success' }],
  )
  assert.deepEqual([state.work.waited_ms, state.work.waiting_since_ms], [620_000, undefined])
  assert.equal(state.main[0]!.work.waited_ms, 600_000)
  assert.equal(state.main[0]!.instances[0]!.waited_ms, 600_000)
})

test('a run waits only while none of it is worked on, including waits for a next try or a person', () => {
  const state = stateAfter(
    [one],
    ...begin,
    [20, started('one', 2)],
    [20, created(1, 0)],
    [20, created(2, 1, 'no slot')],
    [30, finished(1, { outcome: 'failed', retry_at: at(90) })],
    [50, assigned(2)],
  )
  // From 30 to 50 both waited.
  assert.equal(state.work.waited_ms, 20_000 + 20_000)
  assert.deepEqual(listRow(state)!.route, { stops: 'r' })
  assert.equal(listRow(state)!.waiting_since, undefined)
  evolve(state, { seq: state.seq + 1, time: at(60), ...finished(2) } as unknown as RunEvent)
  assert.deepEqual(listRow(state)!.route, { stops: 'w' })
  assert.equal(listRow(state)!.waiting_since, at(60))
})

test('waiting instances of a step are counted as waiting', () => {
  const state = stateAfter(
    [one],
    ...begin,
    [20, started('one', 20)],
    ...Array.from({ length: 3 }, (_, n): [number, EventBody] => [20, created(n + 1, n)]),
    ...Array.from({ length: 4 }, (_, n): [number, EventBody] => [20, created(n + 4, n + 3, 'no slot')]),
  )
  assert.deepEqual(listRow(state)!.route, { counts: { running: 3, waiting: 4, ahead: 13 } })
})
