import assert from 'node:assert/strict'
import test from 'node:test'
import type { NewEvent, RunEvent } from '../../contract/events.ts'
import { type DisplayOptions, RunDisplay } from './run-display.ts'

function show(events: NewEvent[], options: Partial<DisplayOptions> = {}): string {
  const display = new RunDisplay({
    tty: false,
    color: false,
    maxBytes: () => 1000,
    wholeOutput: (attempt, stream) => `<${attempt} ${stream}>`,
    ...options,
  })
  return events
    .map((event, index) =>
      display.add({ seq: index + 1, time: new Date(1000 * index).toISOString(), ...event } as RunEvent),
    )
    .join('')
}

const started = (step: string, ...hosts: string[]): NewEvent => ({
  type: 'step.started',
  step,
  phase: 'main',
  instances: hosts.map((host) => ({ host })),
})
const created = (attempt: number, step: string, host: string, instance = 0): NewEvent => ({
  type: 'attempt.created',
  attempt,
  step,
  phase: 'main',
  instance,
  host,
  try: 1,
  epoch: 1,
})
const output = (attempt: number, step: string, host: string, text: string, offset = 0): NewEvent => ({
  type: 'output',
  attempt,
  step,
  host,
  stream: 'stdout',
  offset,
  length: Buffer.byteLength(text),
  text,
})
const finished = (
  attempt: number,
  step: string,
  host: string,
  more: object = { outcome: 'success' },
): NewEvent => ({ type: 'attempt.finished', attempt, step, host, ...more }) as NewEvent
const ended = (step: string, status: 'success' | 'failed' = 'success'): NewEvent => ({
  type: 'step.finished',
  step,
  phase: 'main',
  status,
})

test('lines carry their host, whatever the pieces they come in, and the last needs no end', () => {
  const text = show([
    started('a', 'web'),
    created(1, 'a', 'web'),
    output(1, 'a', 'web', 'on'),
    output(1, 'a', 'web', 'e\ntwo\r\nthr', 2),
    output(1, 'a', 'web', 'ee', 12),
    finished(1, 'a', 'web'),
    ended('a'),
  ])
  assert.equal(text, '> a\nweb | one\nweb | two\nweb | three\n')
})

test('while several steps run, the lines of the one not named last say which they are of', () => {
  const text = show([
    started('a', 'web'),
    created(1, 'a', 'web'),
    started('b', 'web'),
    created(2, 'b', 'web'),
    output(1, 'a', 'web', 'from a\n'),
    output(2, 'b', 'web', 'from b\n'),
  ])
  assert.equal(text, '> a\n> b\na web | from a\nweb | from b\n')
})

test('what is over the limit is not shown but told, with where the whole is', () => {
  const events = [
    started('a', 'web'),
    created(1, 'a', 'web'),
    output(1, 'a', 'web', '12345678\n'),
    output(1, 'a', 'web', 'abcdef\n', 9),
    output(1, 'a', 'web', 'x'.repeat(2000), 16),
  ]
  const limit = { maxBytes: () => 12 }
  assert.equal(
    show([...events, finished(1, 'a', 'web')], limit),
    '> a\nweb | 12345678\nweb | abc\nweb | ... 2.0 kB more on stdout; the whole: <1 stdout>\n',
  )
  const kept = { outcome: 'success', output_files: { stdout: '/out/a.log' } }
  assert.ok(show([...events, finished(1, 'a', 'web', kept)], limit).endsWith('the whole: /out/a.log\n'))
})

test('a line without an end does not grow without bound', () => {
  const pieces = Array.from({ length: 20 }, (_, i) => output(1, 'a', 'web', 'y'.repeat(10_000), i * 10_000))
  const text = show([started('a', 'web'), created(1, 'a', 'web'), ...pieces], { maxBytes: () => Infinity })
  assert.ok(text.length > 180_000)
})

test('the summary has a row for each host, with why it failed and how often it was tried', () => {
  const text = show([
    { type: 'run.created', workflow_name: 'w', vars: {} },
    started('a', 'web', 'db'),
    created(1, 'a', 'web', 0),
    created(2, 'a', 'db', 1),
    finished(1, 'a', 'web', {
      outcome: 'failed',
      reason: 'exit_code',
      exit_code: 3,
      retry_at: new Date(8000).toISOString(),
    }),
    { ...created(3, 'a', 'web', 0), try: 2 } as NewEvent,
    finished(3, 'a', 'web', { outcome: 'failed', reason: 'timeout', message: 'after 2 s' }),
    finished(2, 'a', 'db'),
    ended('a', 'failed'),
    { type: 'step.skipped', step: 'b', phase: 'main', reason: 'upstream' },
    { type: 'run.finished', status: 'failed', reason: 'timeout', message: 'step a failed' },
  ])
  const table = text.slice(text.indexOf('STEP'))
  assert.equal(
    table,
    'STEP  HOST  STATUS   TIME   WHY\n' +
      'a     web   failed   4.0 s  2 tries; timeout: after 2 s\n' +
      'a     db    success  4.0 s\n' +
      'b           skipped         upstream\n' +
      '\nfailed in 10.0 s: timeout: step a failed\n',
  )
})

test('the summary tells which instances were skipped or failed by their condition', () => {
  const text = show([
    { type: 'run.created', workflow_name: 'w', vars: {} },
    {
      type: 'step.started',
      step: 'a',
      phase: 'main',
      instances: [
        { host: 'web', vars: { N: '1' }, ended: { status: 'skipped', reason: 'condition' } },
        { host: 'db', ended: { status: 'failed', reason: 'when_error', message: '"x" is not a number' } },
        { host: 'ci' },
      ],
    },
    created(1, 'a', 'ci', 2),
    finished(1, 'a', 'ci'),
    ended('a', 'failed'),
    { type: 'run.finished', status: 'failed' },
  ])
  assert.equal(
    text,
    '> a\ndb | when error: "x" is not a number\na failed\n\n' +
      'STEP  HOST       STATUS   TIME   WHY\n' +
      'a     web [N=1]  skipped         condition\n' +
      'a     db         failed          when error: "x" is not a number\n' +
      'a     ci         success  1.0 s\n' +
      '\nfailed in 5.0 s\n',
  )
})

test('what is to be told of an attempt that succeeded is shown', () => {
  const message = 'A line is no export: "BOPS_EXPORT:A" (it has no "=").'
  const events = [started('a', 'web'), created(1, 'a', 'web')]
  const text = show([...events, finished(1, 'a', 'web', { outcome: 'success', message }), ended('a')])
  assert.equal(text, `> a\nweb | ${message}\n`)
})

test('a step that could not begin is in the summary', () => {
  const text = show([
    { type: 'run.created', workflow_name: 'w', vars: {} },
    started('a'),
    {
      type: 'step.finished',
      step: 'a',
      phase: 'main',
      status: 'failed',
      reason: 'unset_variable',
      message: '${X} has no value',
    },
    { type: 'run.finished', status: 'failed' },
  ])
  assert.match(text, /^a +failed +unset variable: \$\{X\} has no value$/m)
})

test('names and messages cannot steer the terminal', () => {
  const text = show([started('a', '\x1b[2Jweb'), created(1, 'a', '\x1b[2Jweb'), output(1, 'a', 'web', 'x\n')])
  assert.ok(!text.includes('\x1b'))
})

test('why an attempt waits is told once', () => {
  const waiting: NewEvent = { type: 'attempt.waiting', attempt: 1, why: 'all runners are busy' }
  const text = show([started('a', 'web'), created(1, 'a', 'web'), waiting, waiting])
  assert.equal(text, '> a\nweb | waiting: all runners are busy\n')
})
