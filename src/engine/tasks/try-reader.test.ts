import assert from 'node:assert/strict'
import test from 'node:test'
import { foldOf, testTask } from '../../../test/support/tasks/tasks-fixture.ts'
import type { NewEvent, RunEvent } from '../../contract/events.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import { endTry } from './decide-task.ts'
import { TryReader } from './try-reader.ts'

const run_id = 'run_1'

/** Reads a log whose events are seconds apart. */
function readings(log: readonly NewEvent[]) {
  const reader = new TryReader(run_id)
  const news = log.map((event, index) => {
    const time = new Date(Date.parse('2026-01-31T10:00:00.000Z') + index * 1000).toISOString()
    return reader.read({ seq: index + 1, time, ...event } as RunEvent)
  })
  return { events: news.flatMap(({ events }) => events), end: news.findLast(({ end }) => end)?.end }
}

const attempt = (number: number, step: string): NewEvent => ({
  ...{
    type: 'attempt.created',
    attempt: number,
    step,
    phase: 'main',
    instance: 0,
    host: 'local',
    try: 1,
    epoch: 1,
  },
})
const over = (number: number, step: string, exports?: Record<string, string>): NewEvent[] => [
  { type: 'attempt.finished', attempt: number, step, host: 'local', outcome: 'success', exports },
  { type: 'step.finished', step, phase: 'main', status: 'success' },
]
const pack: Artifact = {
  ...{ artifact_id: '2.1', kind: 'pack', name: 'work.pack', bytes: 5, sha256: '0'.repeat(64) },
  media_type: 'application/octet-stream',
}
const finished = (more: object = {}): NewEvent => ({ type: 'run.finished', status: 'success', ...more })

test('work copied out of the box is a checkpoint, which advances as tests and the push succeed', () => {
  const { events, end } = readings([
    { type: 'run.started' },
    attempt(1, 'workspace'),
    ...over(1, 'workspace', { START_SHA: 'start', BASE_SHA: 'base', BRANCH: 'errand/1' }),
    attempt(2, 'carry'),
    { type: 'artifact.kept', attempt: 2, artifact: pack },
    ...over(2, 'carry', { TIP_SHA: 'tip' }),
    attempt(3, 'test'),
    ...over(3, 'test'),
    attempt(4, 'push'),
    { type: 'git.pushed', attempt: 4, repo: 'r', branch: 'errand/1', sha: 'tip', forced: false },
    ...over(4, 'push'),
    finished({ outputs: { ANSWER: 'mended' } }),
  ])
  const checkpoints = events.flatMap((event) => (event.type === 'task.checkpoint' ? [event.checkpoint] : []))
  assert.deepEqual(checkpoints[0], {
    ...{
      start: 'start',
      tip: 'tip',
      base: 'base',
      branch: 'errand/1',
      artifact_id: '2.1',
      run_id,
      next: 'test',
    },
  })
  assert.deepEqual(
    checkpoints.map(({ next }) => next),
    ['test', 'review', 'pull_request'],
  )
  assert.deepEqual(
    events.map(({ type }) => type),
    [...['task.artifact', 'task.checkpoint', 'task.checkpoint', 'task.pushed', 'task.checkpoint']],
  )
  assert.deepEqual([end?.no_change, end?.without_verdict, end?.answer], [false, false, 'mended'])
  assert.equal(end?.event.spent?.seconds, 15)
})

test('commits moved onto others’ commits become the checkpoint, and count as pushed only when they are', () => {
  const caught = (number: number, step: string, MOVED: string) => [
    attempt(number, step),
    { type: 'artifact.kept', attempt: number, artifact: { ...pack, artifact_id: `${number}.1` } } as const,
    ...over(number, step, { START_SHA: 'theirs', TIP_SHA: `tip${number}`, MOVED, CONFLICTS: '' }),
  ]
  const { events } = readings([
    attempt(1, 'carry'),
    { type: 'artifact.kept', attempt: 1, artifact: pack },
    ...over(1, 'carry', { START_SHA: 'start', TIP_SHA: 'tip1' }),
    ...caught(2, 'push', 'yes'),
    attempt(3, 'test.moved_1'),
    ...over(3, 'test.moved_1'),
    ...caught(4, 'push.2', ''),
  ])
  const checkpoints = events.flatMap((event) => (event.type === 'task.checkpoint' ? [event.checkpoint] : []))
  assert.deepEqual(
    checkpoints.map(({ start, tip, artifact_id, next }) => [start, tip, artifact_id, next].join(' ')),
    [
      'start tip1 2.1 test',
      ...['theirs tip2 2.1 test', 'theirs tip2 2.1 review'],
      ...['theirs tip4 4.1 pull_request', 'theirs tip4 4.1 pull_request'],
    ],
  )
})

test('work of a failed try is saved, and the agent continues with it', () => {
  const { events } = readings([
    attempt(1, 'keep'),
    { type: 'artifact.kept', attempt: 1, artifact: pack },
    ...over(1, 'keep', { START_SHA: 'start', TIP_SHA: 'tip' }),
    finished({ status: 'failed', reason: 'verify' }),
  ])
  const checkpoint = events.find((event) => event.type === 'task.checkpoint')
  assert.equal(checkpoint?.type === 'task.checkpoint' && checkpoint.checkpoint.next, 'implement')
})

test('no change is a separate outcome, with what the agent said', () => {
  const { events, end } = readings([
    attempt(1, 'carry'),
    ...over(1, 'carry', { TIP_SHA: '' }),
    finished({ outputs: { ANSWER: 'it is there already' } }),
  ])
  assert.deepEqual([events, end?.no_change, end?.answer], [[], true, 'it is there already'])
})

test('a task waits for a person until all questions are answered, or their agents are gone', () => {
  const permission = (request_id: string): NewEvent => ({
    ...{ type: 'agent.update', attempt: 1, step: 'implement', host: 'local' },
    update: { kind: 'permission', request_id, title: 'write a.txt' },
  })
  const answered: NewEvent = {
    ...{ type: 'agent.update', attempt: 1, step: 'implement', host: 'local' },
    update: { kind: 'permission_answered', request_id: 'one', decision: 'allow', by: 'person' },
  }
  const states = (log: NewEvent[]) => readings(log).events.map((event) => 'state' in event && event.state)
  assert.deepEqual(states([permission('one'), permission('two'), answered]), ['waiting', 'waiting'])
  assert.deepEqual(states([permission('one'), permission('two'), answered, ...over(1, 'implement')]), [
    ...['waiting', 'waiting', 'running'],
  ])
  assert.deepEqual(
    states([
      {
        type: 'approval.requested',
        step: 'plan_approval',
        phase: 'main',
        instance: 0,
        message: 'like this?',
      },
      { type: 'approval.answered', step: 'plan_approval', phase: 'main', instance: 0, decision: 'approve' },
    ]),
    ['waiting', 'running'],
  )
})

test('the time spent waiting for a person is not counted', () => {
  const ask = (step: string): NewEvent => ({
    ...{ type: 'approval.requested', step, phase: 'main', instance: 0, message: '' },
  })
  const answer = (step: string): NewEvent => ({
    ...{ type: 'approval.answered', step, phase: 'main', instance: 0, decision: 'approve' },
  })
  const spent = (...log: NewEvent[]) =>
    readings([{ type: 'run.started' }, ...log, finished()]).end?.event.spent?.seconds
  assert.equal(spent(ask('a'), answer('a')), 2)
  // Two simultaneous questions count once; an unanswered one counts until the end.
  assert.equal(spent(ask('a'), ask('b'), answer('a'), answer('b'), attempt(1, 'x')), 3)
  assert.equal(spent(ask('a'), attempt(1, 'x')), 1)
})

test('a run that is lost, or whose model was unavailable, gives no verdict on its task', () => {
  const verdict = (end: object, failure?: 'rate_limit' | 'auth') =>
    readings([
      ...(failure === undefined
        ? []
        : [
            {
              ...{ type: 'agent.update', attempt: 1, step: 'implement', host: 'local' },
              update: { kind: 'turn_ended', stop_reason: 'error', failure },
            } as NewEvent,
          ]),
      finished(end),
    ]).end?.without_verdict
  assert.equal(verdict({ status: 'interrupted', reason: 'lost' }), true)
  assert.equal(verdict({ status: 'failed', reason: 'host_unreachable' }), true)
  assert.equal(verdict({ status: 'failed', reason: 'model' }, 'rate_limit'), true)
  assert.equal(verdict({ status: 'failed', reason: 'model' }, 'auth'), false)
  assert.equal(verdict({ status: 'failed', reason: 'test' }), false)
  assert.equal(verdict({ status: 'canceled', reason: 'canceled' }), false)
})

test('a try whose step was lost because its hub did not respond is repeated', () => {
  const message = 'The artifact 2.1 of run_0 could not be fetched from the hub: it does not answer.'
  const lost = { reason: 'lost', message } as const
  const { end } = readings([
    { type: 'run.started' },
    attempt(1, 'workspace'),
    {
      type: 'attempt.finished',
      ...{ attempt: 1, step: 'workspace', host: 'local', outcome: 'interrupted' },
      ...lost,
    },
    { type: 'step.finished', step: 'workspace', phase: 'main', status: 'interrupted', ...lost },
    finished({ status: 'interrupted', ...lost }),
  ])
  const task = testTask({ run_retries: 1 })
  const begun = { type: 'task.try_started', run_id, number: 1, stage: 'workspace' } as const
  const rule = { first_ms: 1_000, chance: 0.5 }
  const [event, ...more] = endTry({ task, fold: foldOf(begun), now_ms: 0 }, end!, rule)
  assert.deepEqual(more, [])
  assert.ok(event?.type === 'task.try_ended' && event.retry_at === new Date(1_000).toISOString())
})

test('reports the step that failed first, and what its agents used', () => {
  const usage = (tokens: number): NewEvent => {
    const used = { input_tokens: tokens, cached_input_tokens: 1, output_tokens: 2, cost_usd: 0.1 }
    return {
      ...{ type: 'agent.update', attempt: 1, step: 'implement', host: 'local' },
      update: { kind: 'usage', turn: used, session: used },
    }
  }
  const { end } = readings([
    usage(10),
    usage(20),
    { type: 'step.finished', step: 'implement', phase: 'main', status: 'failed', reason: 'verify' },
    { type: 'step.finished', step: 'release', phase: 'finally', status: 'failed' },
    finished({ status: 'failed', reason: 'verify' }),
  ])
  assert.deepEqual(
    [end?.event.step, end?.event.spent],
    ['implement', { seconds: 0, tokens: 23, cost_usd: 0.1 }],
  )
})
