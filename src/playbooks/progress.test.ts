import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { Playbook, type PlaybookFile, PlaybookSummary } from '../contract/tasks/playbook.ts'
import type { ConditionFacts } from './condition-facts.ts'
import { begin, next, type Progress, record, type TryEnd } from './progress.ts'

type Steps = PlaybookFile['steps']
const code = (exit_code: number): TryEnd => ({ ended: 'exit', exit_code, duration_ms: 10 })
const [ok, bad] = [code(0), code(1)]

/** Runs the test steps; each command has these ends in their order, and then passes. */
function goThrough(steps: Steps, ends: Record<string, TryEnd[]> = {}, facts: ConditionFacts = {}) {
  const left = new Map(Object.entries(ends).map(([name, all]) => [name, [...all]]))
  const begun: string[] = []
  let progress = begin(Playbook.parse({ name: 'p', steps }), 'test', facts)
  for (;;) {
    const what = next(progress)
    // A plain value is the same after it was stored.
    progress = JSON.parse(JSON.stringify(progress)) as Progress
    assert.deepEqual(next(progress), what)
    if (what.do === 'end') {
      const summary = PlaybookSummary.parse(what.summary)
      return { begun, summary, statuses: summary.steps.map(({ status }) => status) }
    }
    begun.push(`${what.step.name} ${what.try} after ${what.wait_ms} ms`)
    progress = record(progress, what.index, left.get(what.step.name)?.shift() ?? ok)
  }
}
const step = (name: string, more: Partial<Steps[number]> = {}) => ({ name, command: `run ${name}`, ...more })

test('steps run one after another, and the first failure stops them', () => {
  const { begun, summary, statuses } = goThrough([step('a'), step('b'), step('c')], { b: [bad] })
  assert.deepEqual(begun, ['a 1 after 0 ms', 'b 1 after 0 ms'])
  assert.deepEqual(statuses, ['passed', 'failed', 'not_run'])
  assert.equal(summary.outcome, 'failed')
  assert.equal(summary.message, 'Playbook "p" failed: "b" (exit code 1); not run after that: "c".')
})

test('fail_fast: false continues, and the playbook still fails', () => {
  const { summary, statuses } = goThrough([step('a', { fail_fast: false }), step('b')], { a: [bad] })
  assert.deepEqual(statuses, ['failed', 'passed'])
  assert.equal(summary.outcome, 'failed')
})

test('allow_failure reports the failure and does nothing else, also with fail_fast', () => {
  const steps = [step('a', { allow_failure: true, fail_fast: true, retry_count: 1 }), step('b')]
  const { summary, statuses } = goThrough(steps, { a: [bad, bad] })
  assert.deepEqual(statuses, ['allowed', 'passed'])
  assert.equal(summary.outcome, 'success')
  assert.equal(summary.message, 'Playbook "p": 1 of 2 test steps passed; allowed to fail and failed: "a".')
})

test('a failed try is followed by another after 1, 2, 4 … seconds; a late pass is flaky', () => {
  const { begun, summary } = goThrough([step('a', { retry_count: 3 })], {
    a: [
      bad,
      { ended: 'timeout', duration_ms: 300_000 },
      { ended: 'signal', signal: 'SIGSEGV', duration_ms: 5 },
    ],
  })
  assert.deepEqual(begun, ['a 1 after 0 ms', 'a 2 after 1000 ms', 'a 3 after 2000 ms', 'a 4 after 4000 ms'])
  assert.deepEqual(summary.steps[0], {
    name: 'a',
    command: 'run a',
    status: 'flaky',
    tries: 4,
    exit_code: 0,
    duration_ms: 300_025,
    told: 'passed on try 4',
  })
  assert.equal(summary.message, 'Playbook "p": 1 of 1 test step passed; flaky: "a".')
  const { begun: many } = goThrough([step('a', { retry_count: 20 })], { a: Array(21).fill(bad) })
  assert.equal(many.at(-1), 'a 21 after 300000 ms')
})

test('a timeout, a signal and a command that cannot be started are failures, each with its own message', () => {
  const ends: [TryEnd, string, string][] = [
    [{ ended: 'timeout', duration_ms: 1 }, 'timeout', 'not finished within 300 s'],
    [{ ended: 'signal', signal: 'SIGKILL', duration_ms: 1 }, 'failed', 'ended by SIGKILL'],
    [{ ended: 'not_started', told: 'there is no sh', duration_ms: 0 }, 'failed', 'there is no sh'],
    [code(127), 'failed', 'exit code 127'],
  ]
  for (const [end, status, expected] of ends) {
    const { summary } = goThrough([step('a')], { a: [end] })
    assert.deepEqual(
      [summary.outcome, summary.steps[0]?.status, summary.steps[0]?.told],
      ['failed', status, expected],
    )
  }
})

test('a cancel ends everything: no further try, no further step', () => {
  const { begun, summary, statuses } = goThrough(
    [step('a', { retry_count: 2, fail_fast: false }), step('b')],
    {
      a: [bad, { ended: 'canceled', duration_ms: 1 }],
    },
  )
  assert.equal(begun.length, 2)
  assert.deepEqual(statuses, ['canceled', 'not_run'])
  assert.equal(summary.outcome, 'canceled')
})

test('a step whose condition fails is skipped, and a playbook that ran nothing is not reported as passed', () => {
  const steps = [
    step('lint', { condition: 'lint_enabled == true' }),
    step('off', { condition: false }),
    step('a'),
  ]
  assert.deepEqual(goThrough(steps).statuses, ['skipped', 'skipped', 'passed'])
  assert.deepEqual(goThrough(steps, {}, { metadata: { lint_enabled: true } }).statuses, [
    'passed',
    'skipped',
    'passed',
  ])
  const nothing = goThrough(steps.slice(0, 2))
  assert.equal(nothing.summary.outcome, 'success')
  assert.equal(
    nothing.summary.message,
    'Playbook "p" ran nothing for test: the conditions of all its steps are false.',
  )
  assert.match(
    goThrough([step('a', { phase: 'setup' })]).summary.message,
    /ran nothing for test: it has no test steps/,
  )
})

test('a condition that cannot be evaluated skips no test', () => {
  const changed = Array.from({ length: 20_000 }, () => 'a'.repeat(4000))
  const condition = `changed("${'*a'.repeat(200)}b")`
  const conditions = [condition, ...Array<string>(50).fill(condition), 'missing']
  // All conditions together take no longer than one.
  const steps = [...conditions.map((one) => step('a', { condition: one })), step('a', { condition: false })]
  const { statuses, summary } = goThrough(steps, {}, { changed })
  assert.deepEqual(statuses, [...conditions.map(() => 'passed'), 'skipped'])
  assert.match(summary.steps[0]?.told ?? '', /cannot be evaluated, so it runs: the pattern takes too long/)
})

test('real commands run through it', () => {
  let progress = begin(
    Playbook.parse({
      name: 'p',
      steps: [step('a', { command: 'exit 0' }), step('b', { command: 'kill -9 $$' })],
    }),
    'test',
    {},
  )
  for (;;) {
    const what = next(progress)
    if (what.do === 'end') {
      assert.match(what.summary.message, /"b" \(ended by SIGKILL\)/)
      return
    }
    const { status, signal } = spawnSync('sh', ['-c', what.step.command])
    progress = record(
      progress,
      what.index,
      signal === null ? code(status ?? -1) : { ended: 'signal', signal, duration_ms: 1 },
    )
  }
})

test('for any results it ends, respects the retry limit, and succeeds only if everything that counts passed', () => {
  const end = fc.constantFrom<TryEnd>(
    ok,
    bad,
    { ended: 'timeout', duration_ms: 1 },
    { ended: 'canceled', duration_ms: 1 },
  )
  const one = fc.record({
    retry_count: fc.integer({ min: 0, max: 3 }),
    fail_fast: fc.boolean(),
    allow_failure: fc.boolean(),
    condition: fc.constantFrom(true, false, 'missing == null', 'missing'),
  })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(one, fc.array(end, { maxLength: 5 })), { minLength: 1, maxLength: 6 }),
      (all) => {
        const steps = all.map(([more], index) => step(`s${index}`, more))
        const ends = Object.fromEntries(all.map(([, tries], index) => [`s${index}`, tries]))
        const { summary } = goThrough(steps, ends)
        for (const [index, { tries, status }] of summary.steps.entries()) {
          const { retry_count } = all[index]![0]
          assert.ok(tries <= retry_count + 1)
          if (status === 'not_run') assert.notEqual(summary.outcome, 'success')
        }
        const fails = summary.steps.some(({ status }) => ['failed', 'timeout', 'canceled'].includes(status))
        assert.equal(summary.outcome === 'success', !fails)
      },
    ),
    { numRuns: 300 },
  )
})
