import assert from 'node:assert/strict'
import test from 'node:test'
import type { RunEvent } from '../../contract/events.ts'
import type { RunView } from '../../contract/run.ts'
import { JsonLines } from './json-lines.ts'

const event = (more: object) => ({ seq: 1, time: '2026-01-01T00:00:00.000Z', ...more }) as RunEvent
const of = { step: 's', phase: 'main', instance: 1 } as const
const started = event({
  type: 'step.started',
  step: 's',
  phase: 'main',
  instances: [{ host: 'a' }, { host: 'b' }],
})
const created = event({ type: 'attempt.created', attempt: 7, ...of, host: 'b', try: 1, epoch: 1 })

function printed(lines: JsonLines, one: RunEvent, runId = 'top') {
  const line = lines.event(one, runId)
  assert.ok(line.endsWith('\n'))
  const { run_id, in_run_id, step, host, type, event } = JSON.parse(line)
  return { run_id, in_run_id, step, host, type, event }
}

test('an event names its run, step and host, if its own fields do not', () => {
  const lines = new JsonLines('top')
  const none = { in_run_id: undefined, event: undefined }
  assert.deepEqual(printed(lines, started), {
    ...none,
    run_id: 'top',
    step: 's',
    host: undefined,
    type: started.type,
  })
  printed(lines, created)
  for (const one of [
    event({ type: 'attempt.started', attempt: 7 }),
    event({ type: 'attempt.waiting', attempt: 7, why: 'x' }),
    event({ type: 'approval.requested', ...of, message: 'x' }),
  ])
    assert.deepEqual(printed(lines, one), { ...none, run_id: 'top', step: 's', host: 'b', type: one.type })
})

test('an event that names another run keeps that name, and gets its own run as a second field', () => {
  const lines = new JsonLines('top')
  printed(lines, started)
  const { run_id, in_run_id, host } = printed(lines, event({ type: 'child.started', ...of, run_id: 'child' }))
  assert.deepEqual([run_id, in_run_id, host], ['child', 'top', 'b'])
})

test('an event of a child run is wrapped in another event, and attempts of two runs stay separate', () => {
  const lines = new JsonLines('top')
  printed(lines, created)
  printed(lines, event({ ...created, step: 'inner', host: 'c' }), 'child')
  const {
    run_id,
    type,
    event: inner,
  } = printed(lines, event({ type: 'attempt.started', attempt: 7 }), 'child')
  assert.deepEqual([run_id, type], ['child', 'child.event'])
  assert.deepEqual([inner.run_id, inner.step, inner.host], ['child', 'inner', 'c'])
  assert.equal(printed(lines, event({ type: 'attempt.started', attempt: 7 })).step, 's')
})

test('attempts that started before the first event are known from the run', () => {
  const lines = new JsonLines('top')
  const instances = [{ host: 'b', attempts: [{ number: 7 }] }]
  lines.knows({ run_id: 'top', steps: [{ step: 's', instances }] } as unknown as RunView)
  const { step, host } = printed(lines, event({ type: 'attempt.phase', attempt: 7, phase: 'building' }))
  assert.deepEqual([step, host], ['s', 'b'])
})

test('no character in a line controls a terminal or reverses its text', () => {
  const line = new JsonLines('top').event(event({ type: 'run.waiting', why: 'a\u009b2J\u202eb' }), 'top')
  assert.ok(line.includes('a\\u009b2J\\u202eb'))
})
