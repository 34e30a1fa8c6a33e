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
    allRows: '--verbose',
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

test('lines carry their host, no matter how they are split, and the last one needs no line end', () => {
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

test('while several steps run, lines of another step than the last named one say which step they are from', () => {
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

test('output over the limit is not shown, but a line says where all of it is', () => {
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
    '> a\nweb | 12345678\nweb | abc\nweb | ... 2.0 kB more on stdout; full output: <1 stdout>\n',
  )
  const ended = { outcome: 'success', output_files: { stdout: '/out/a.log' } }
  assert.ok(show([...events, finished(1, 'a', 'web', ended)], limit).endsWith('full output: /out/a.log\n'))
})

test('a line without an end does not grow without limit', () => {
  const pieces = Array.from({ length: 20 }, (_, i) => output(1, 'a', 'web', 'y'.repeat(10_000), i * 10_000))
  const text = show([started('a', 'web'), created(1, 'a', 'web'), ...pieces], { maxBytes: () => Infinity })
  assert.ok(text.length > 180_000)
})

test('the summary has a row for each host, with why it failed and how many tries it took', () => {
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
      'a     web   failed   4.0 s  2 attempts; timeout\n' +
      'a     db    success  4.0 s\n' +
      'b           skipped         upstream\n' +
      '\nfailed in 10.0 s: timeout: step a failed\n',
  )
})

test('a step that was skipped because of another one names that one', () => {
  const text = show([
    { type: 'step.skipped', step: 'ask', phase: 'main', reason: 'upstream', message: '"test" failed' },
  ])
  assert.equal(text, '- ask skipped: "test" failed\n')
})

test('the summary says which instances were skipped or failed by their condition', () => {
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
    '> a\na failed on db: when error: "x" is not a number\n\n' +
      'STEP  HOST       STATUS   TIME   WHY\n' +
      'a     db         failed          when error\n' +
      'a     web [N=1]  skipped         condition\n' +
      'a     ci         success  1.0 s\n' +
      '\nfailed in 5.0 s\n',
  )
})

test('a message of an attempt that succeeded is shown', () => {
  const message = 'A line is not a valid export: "BOPS_EXPORT:A" (it has no "=").'
  const events = [started('a', 'web'), created(1, 'a', 'web')]
  const text = show([...events, finished(1, 'a', 'web', { outcome: 'success', message }), ended('a')])
  assert.equal(text, `> a\nweb | ${message}\n`)
})

test('a step that could not start is in the summary', () => {
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
  assert.match(text, /^a failed: unset variable: \$\{X\} has no value\n\nSTEP.*\na +failed +unset variable$/m)
})

test('names and messages cannot control the terminal', () => {
  const text = show([started('a', '\x1b[2Jweb'), created(1, 'a', '\x1b[2Jweb'), output(1, 'a', 'web', 'x\n')])
  assert.ok(!text.includes('\x1b'))
})

test('the reason why an attempt waits is shown once', () => {
  const waiting: NewEvent = { type: 'attempt.waiting', attempt: 1, why: 'all runners are busy' }
  const text = show([started('a', 'web'), created(1, 'a', 'web'), waiting, waiting])
  assert.equal(text, '> a\nweb | waiting: all runners are busy\n')
})

const many = (count: number): NewEvent => ({
  type: 'step.started',
  step: 'build',
  phase: 'main',
  instances: Array.from({ length: count }, (_, i) => ({ host: 'ci', vars: { ITEM: String(i) } })),
})
const exit = (code: number, more: object = {}) => ({
  outcome: 'failed',
  reason: 'exit_code',
  message: `The command ended with exit code ${code}.`,
  exit_code: code,
  ...more,
})
const ran = (count: number, isBad: (item: number) => boolean): NewEvent[] =>
  Array.from({ length: count }, (_, i) => i).flatMap((i) => [
    created(i + 1, 'build', 'ci', i),
    output(i + 1, 'build', 'ci', `item ${i}\n`),
    finished(i + 1, 'build', 'ci', isBad(i) ? exit(2) : undefined),
  ])
const theRun: NewEvent = { type: 'run.created', workflow_name: 'w', vars: {} }

test('a failure is shown once, where it happens, and comes first in the summary', () => {
  const text = show([
    theRun,
    started('ok', 'web'),
    created(1, 'ok', 'web'),
    finished(1, 'ok', 'web'),
    ended('ok'),
    started('bad', 'web'),
    created(2, 'bad', 'web'),
    finished(2, 'bad', 'web', exit(3, { retry_at: new Date(8000).toISOString() })),
    { ...created(3, 'bad', 'web'), try: 2 } as NewEvent,
    finished(3, 'bad', 'web', exit(3)),
    {
      ...ended('bad', 'failed'),
      reason: 'exit_code',
      message: 'The command ended with exit code 3.',
    } as NewEvent,
    {
      type: 'run.finished',
      status: 'failed',
      reason: 'exit_code',
      message: 'Step "bad" failed: The command ended with exit code 3.',
    },
  ])
  assert.equal(
    text,
    '> ok\n> bad\n' +
      'bad failed on web: exit code 3, retrying in 1.0 s\n' +
      'bad failed on web: exit code 3\n\n' +
      'STEP  HOST  STATUS   TIME   WHY\n' +
      'bad   web   failed   3.0 s  2 attempts; exit code 3\n' +
      'ok    web   success  1.0 s\n' +
      '\nfailed in 11.0 s: step "bad"\n',
  )
})

test('a failure far above is repeated at the end, with the last lines of its standard error', () => {
  const lines = Array.from({ length: 8 }, (_, i) => `line ${i}\n`).join('')
  const failing = (after: string): string =>
    show([
      theRun,
      started('bad', 'web'),
      created(1, 'bad', 'web'),
      output(1, 'bad', 'web', 'on stdout\n'),
      { ...output(1, 'bad', 'web', lines), stream: 'stderr' } as NewEvent,
      finished(1, 'bad', 'web', exit(3)),
      ended('bad', 'failed'),
      started('clean up', 'web'),
      created(2, 'clean up', 'web'),
      output(2, 'clean up', 'web', after),
      finished(2, 'clean up', 'web'),
      { type: 'run.finished', status: 'failed' },
    ])
  assert.equal(failing('x\n').split('bad failed on web').length, 2)
  assert.match(
    failing('x\n'.repeat(50)),
    /\n\nbad failed on web: exit code 3\n {2}line 3\n(?: {2}line [4-7]\n){4}\nSTEP/,
  )
})

test('many instances of a step share a row; failed ones come first, up to a limit', () => {
  const events = [theRun, many(10_000), ...ran(10_000, (item) => item % 500 === 7), ended('build', 'failed')]
  const all: NewEvent[] = [
    ...events,
    { type: 'run.finished', status: 'failed', message: 'Step "build" failed: x' },
  ]
  const text = show(all, { allRows: 'errand runs show run_1 --verbose' })
  const [log, table] = text.split('STEP ')
  assert.equal(log!.match(/^ci \[ITEM=\d+\] \| item \d+$/gm)!.length, 10_000, 'no line of output is lost')
  assert.equal(log!.match(/^build failed on/gm)!.length, 11, 'ten, and one again at the end')
  assert.match(log!, /^build: more did not succeed; use --verbose to show each$/m)
  assert.match(log!, /^build: 9,980 succeeded, 20 failed$/m)
  const rows = table!.split('\n').slice(1)
  assert.equal(rows.length, 10 + 2 + 3)
  for (const row of rows.slice(0, 10))
    assert.match(row, /^build +ci \[ITEM=\d*7\] +failed +\d.* exit code 2$/)
  assert.match(rows[10]!, /^build +10,000 instances +failed .* 9,980 succeeded, 20 failed$/)
  assert.equal(rows[11], 'For a row per instance: errand runs show run_1 --verbose')

  const verbose = show(all, { verbose: true })
  assert.equal(verbose.match(/^build +ci \[ITEM=\d+\] +(success|failed)/gm)!.length, 10_000)
  assert.equal(verbose.match(/^build failed on/gm)!.length, 21)
})

test('more than fifty rows that succeeded become one row with their count; other rows stay', () => {
  const steps = Array.from({ length: 60 }, (_, i) => `s${i}`)
  const events = (count: number): NewEvent[] => [
    theRun,
    ...steps
      .slice(0, count)
      .flatMap((step, i) => [
        started(step, 'web'),
        created(i + 1, step, 'web'),
        finished(i + 1, step, 'web'),
        ended(step),
      ]),
    started('bad', 'web'),
    created(100, 'bad', 'web'),
    finished(100, 'bad', 'web', { outcome: 'failed', reason: 'exit_code', exit_code: 1 }),
    ended('bad', 'failed'),
    { type: 'run.finished', status: 'failed' },
  ]
  const rows = (text: string) => text.split('STEP ')[1]!.split('\n').slice(1)
  const folded = rows(show(events(60), { allRows: 'errand runs show run_1 --verbose' }))
  assert.match(folded[0]!, /^bad +web +failed/)
  assert.match(folded[1]!, /^60 steps +success +\d/)
  assert.equal(folded[2], 'For a row per instance: errand runs show run_1 --verbose')
  assert.equal(rows(show(events(50))).filter((row) => / success /.test(row)).length, 50)
  assert.equal(rows(show(events(60), { verbose: true })).filter((row) => / success /.test(row)).length, 60)
})

test('a cancel names the rollbacks and final steps that it waits for', () => {
  const cancel = { type: 'run.cancel_requested' } as NewEvent
  assert.match(show([started('a', 'web'), created(1, 'a', 'web'), cancel]), /^canceling$/m)
  const atEnd = [
    { ...started('undo', 'web'), phase: 'rollback' },
    { ...started('tidy', 'web'), phase: 'finally' },
    { ...started('done', 'web'), phase: 'finally' },
    { ...ended('done'), phase: 'finally' },
  ] as NewEvent[]
  assert.match(
    show([...atEnd, cancel]),
    /^canceling; waiting for undo \(rollback\), tidy \(finally\), which a cancel does not stop$/m,
  )
})

test('the reason why many instances wait is shown once', () => {
  const waits = Array.from({ length: 100 }, (_, i) => ({
    ...created(i + 1, 'build', 'ci', i),
    waiting: `all runners are busy, ${i} before it`,
  })) as NewEvent[]
  assert.equal(show([many(100), ...waits]), '> build\nbuild | waiting: all runners are busy, 0 before it\n')
})

test('a child run says why it failed, and the step that started it does not repeat the reason', () => {
  const shown = (isShown: boolean): string =>
    show(
      [
        started('sub', 'local'),
        { type: 'child.started', step: 'sub', phase: 'main', instance: 0, run_id: 'c' },
        { type: 'child.finished', step: 'sub', phase: 'main', instance: 0, run_id: 'c', status: 'failed' },
        { ...ended('sub', 'failed'), reason: 'child_failed', message: 'It was refused.' } as NewEvent,
        { type: 'run.finished', status: 'failed', message: 'Step "sub" failed: It was refused.' },
      ],
      { isShown: () => isShown },
    )
  assert.match(shown(true), /^> sub\nsub: runs as c\nsub: c ended failed\n\nSTEP .*\nsub .* child failed\n\n/)
  assert.doesNotMatch(shown(true), /refused/)
  assert.match(shown(false), /^sub failed: child failed: It was refused\.$/m)
})

test('a refused approval is shown by its answer, and an unanswered one by how its step ends', () => {
  const answer = (more: object): string =>
    show([
      started('ask', 'local'),
      {
        type: 'approval.answered',
        step: 'ask',
        phase: 'main',
        instance: 0,
        decision: 'reject',
        ...more,
      } as NewEvent,
      { ...ended('ask', 'failed'), reason: 'timeout', message: 'Nobody has answered.' } as NewEvent,
    ])
  assert.equal(answer({ by: 'ann', comment: 'no' }), '> ask\nask: rejected by ann: no\n')
  assert.equal(answer({ reason: 'timeout' }), '> ask\nask failed: timeout: Nobody has answered.\n')
})

test('standard error is marked, no line controls a terminal, and colors stay if wanted', () => {
  const events: NewEvent[] = [
    started('a', 'web'),
    created(1, 'a', 'web'),
    { ...output(1, 'a', 'web', '\x1b[31mred\x1b[2J\x1b]0;t\x07!\n'), stream: 'stderr' } as NewEvent,
    output(1, 'a', 'web', 'out\n'),
  ]
  for (const tty of [false, true]) assert.equal(show(events, { tty }), '> a\nweb ! red!\nweb | out\n')
  assert.match(show(events, { color: true }), /\x1b\[33m!\x1b\[0m \x1b\[31mred!\x1b\[0m\n/)
})

/** Creates a display with its own clock, which is 5 minutes ahead of the clock of the events. */
function atClock(options: Partial<DisplayOptions> = {}) {
  const display = new RunDisplay({
    ...{ tty: false, color: false, maxBytes: () => 1000, wholeOutput: () => '', allRows: '' },
    ...options,
  })
  const AHEAD_MS = 300_000
  return {
    add: (second: number, event: NewEvent) =>
      display.add(
        { seq: 1, time: new Date(second * 1000).toISOString(), ...event } as RunEvent,
        second * 1000 + AHEAD_MS,
      ),
    due: (second: number) => display.due(second * 1000 + AHEAD_MS),
    live: (second: number) => display.live(second * 1000 + AHEAD_MS),
  }
}

test('a quiet step is reported as running with its duration, at growing intervals', () => {
  const { add, due } = atClock()
  add(0, started('build', 'a'))
  add(0, created(1, 'build', 'a'))
  const printed = Array.from({ length: 1200 }, (_, second) => due(second)).filter((text) => text !== '')
  const line = (time: string) => `… still running: build on a (${time})\n`
  assert.deepEqual(printed, ['30 s', '1 m 00 s', '2 m 00 s', '5 m 00 s', '10 m 00 s', '15 m 00 s'].map(line))
  add(1200, output(1, 'build', 'a', 'a sign of life\n'))
  assert.equal(due(1499), '')
  assert.equal(due(1500), line('25 m 00 s'))
  add(1501, finished(1, 'build', 'a'))
  assert.equal(due(9999), '')
})

test('steps that are quiet at the same time get a line each, and many instances of one step share a line', () => {
  const { add, due, live } = atClock({ within: ['deploy'] })
  add(0, started('test', 'b'))
  add(0, created(1, 'test', 'b'))
  add(0, many(30))
  for (const item of [0, 1, 2]) add(item, created(item + 2, 'build', 'ci', item))
  add(5, finished(2, 'build', 'ci'))
  const build = 'build: 1 succeeded, 2 running, 27 queued (longest'
  assert.equal(live(10), `deploy > test on b (10 s) · deploy > ${build} 9 s)`)
  assert.equal(
    due(40),
    `  deploy: … still running: test on b (40 s)\n  deploy: … still running: ${build} 39 s)\n`,
  )
})

test('an attempt that waits for a machine is not running, and a log read later shows the true duration', () => {
  const { add, due, live } = atClock()
  add(0, started('a', 'web'))
  add(0, { ...created(1, 'a', 'web'), waiting: 'all are busy' } as NewEvent)
  assert.equal(due(100) + live(100), '')
  add(100, { type: 'attempt.assigned', attempt: 1, epoch: 1 })
  assert.equal(live(107), 'a on web (7 s)')

  const late = new RunDisplay({
    tty: true,
    color: false,
    maxBytes: () => 1,
    wholeOutput: () => '',
    allRows: '',
  })
  const events: [number, NewEvent][] = [
    [0, started('a', 'web')],
    [0, created(1, 'a', 'web')],
    [3600, { type: 'attempt.phase', attempt: 1, phase: 'here' }],
  ]
  for (const [second, event] of events)
    late.add({ seq: 1, time: new Date(second * 1000).toISOString(), ...event } as RunEvent, 5000)
  assert.equal(late.live(7000), 'a on web (1 h 00 m)')
})

test('a refused network host is shown once for each reason, and for an agent only by its stream', () => {
  const refused = (attempt: number, to: string, why = 'host_not_allowed'): NewEvent =>
    ({ type: 'network.refused', attempt, to, port: 443, why, count: 1 }) as const
  const notice = { kind: 'notice', text: 'The network of this run refused x.org:443.' } as const
  const text = show([
    started('a', 'web'),
    created(1, 'a', 'web'),
    ...[refused(1, 'x.org'), refused(1, 'x.org'), refused(1, 'y.org'), refused(1, 'x.org', 'no_such_word')],
    { type: 'agent.update', attempt: 1, step: 'a', host: 'web', update: notice },
    refused(1, 'z.org'),
  ])
  assert.equal(
    text,
    [
      '> a',
      'web | x.org:443 refused: that host is not allowed (host_not_allowed)',
      'web | y.org:443 refused: that host is not allowed (host_not_allowed)',
      'web | x.org:443 refused: no_such_word',
      `web | ${notice.text}`,
      '',
    ].join('\n'),
  )
})
