import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import type { RunEvent } from '../../src/contract/events.ts'
import type { RunView } from '../../src/contract/run.ts'
import { freePort, type Programs, type Step, startPrograms, workflowText } from '../support/programs.ts'

interface Case {
  steps: Step[]
  more?: Record<string, unknown>
  args?: string[]
  /** The exit code in all three ways. */
  code: number
  /** Lines `step host: status`, or more where it matters. The rest is only compared between the ways. */
  shows?: string[]
}

const exporting = (name: string, script: string, more: Record<string, unknown> = {}): Step => ({
  name,
  action: 'shell.run',
  args: { export_vars: true, script },
  ...more,
})
const child = { version: 'v0.1', name: 'child', outputs: { ANSWER: '${TEXT}!' } }
/** Returns a step with a sub-workflow that has its own inventory. */
const withHosts = (steps: Step[], inventory: unknown): Step[] =>
  steps.map((step) => {
    if (step.action !== 'workflow.run') return step
    const inner = step.args!.workflow as { steps: Step[] }
    const workflow = { ...inner, steps: withHosts(inner.steps, inventory), inventory }
    return { ...step, args: { ...step.args, workflow } }
  })
const childSteps = [
  { name: 'inner', action: 'cmd.run', args: { cmd: 'echo "inner $WHO"' }, outputs: { TEXT: 'stdout' } },
]

const cases: Record<string, Case> = {
  success: {
    steps: [
      { name: 'one', cmd: 'echo out; echo err >&2' },
      { name: 'two', cmd: 'printf "no line feed"' },
    ],
    code: 0,
    shows: ['main one local: success', 'local one stdout: out'],
  },
  failure: {
    steps: [
      { name: 'one', cmd: 'echo before; exit 7' },
      { name: 'two', cmd: 'echo never' },
    ],
    code: 1,
    shows: ['main one local: failed exit_code 7', 'main two: skipped upstream'],
  },
  'killed by a signal': {
    steps: [{ name: 'one', cmd: 'kill -TERM $$' }],
    code: 1,
    shows: ['main one local: failed signal 143'],
  },
  'conditions and skips': {
    steps: [
      exporting('set', 'echo "BOPS_EXPORT:COUNT=3"; echo "BOPS_EXPORT:OK=true"'),
      { name: 'yes', when: '${OK} == "true" && ${COUNT} > 1', cmd: 'echo "count $COUNT"' },
      { name: 'no', when: '${COUNT} > 10 || !${OK}', cmd: 'echo never' },
      { name: 'here', targets: ['a', 'b'], when: '${ERRAND_HOST} == b', cmd: 'echo "on $ERRAND_HOST"' },
      { name: 'after', cmd: 'echo after' },
    ],
    code: 0,
    shows: [
      'main yes local: success',
      'main no: skipped condition',
      'local yes stdout: count 3',
      'main here a: skipped condition',
      'b here stdout: on b',
    ],
  },
  'exports, a value for each host': {
    steps: [
      exporting('who', 'echo "BOPS_EXPORT:ME=$ERRAND_HOST with \'quotes\' and \\$(no code)"', {
        targets: ['a', 'b'],
        expect_vars: ['ME'],
      }),
      { name: 'tell', targets: ['a', 'b'], cmd: 'echo "I am $ME"' },
      { name: 'last', cmd: 'echo "last $ME"' },
    ],
    code: 0,
    shows: ["a tell stdout: I am a with 'quotes' and $(no code)", 'main tell b: success'],
  },
  'several hosts, one fails': {
    steps: [
      { name: 'all', targets: ['a', 'b'], cmd: 'echo "on $ERRAND_HOST"; [ "$ERRAND_HOST" = a ]' },
      { name: 'after', cmd: 'echo never' },
    ],
    code: 1,
    shows: ['main all a: success', 'main all b: failed exit_code 1', 'main after: skipped upstream'],
  },
  retry: {
    steps: [
      {
        name: 'flaky',
        cmd: 'echo "try $ERRAND_TRY"; [ "$ERRAND_TRY" = 3 ]',
        retry: { max_attempts: 3, backoff: { delay_seconds: 0.01 } },
      },
    ],
    code: 0,
    shows: ['local flaky stdout: try 3'],
  },
  'rollback and finally': {
    steps: [
      { name: 'one', cmd: 'echo one', rollback: { action: 'cmd.run', args: { cmd: 'echo undo one' } } },
      { name: 'two', cmd: 'echo two', rollback: { action: 'cmd.run', args: { cmd: 'echo undo two' } } },
      { name: 'three', cmd: 'exit 1' },
    ],
    more: {
      finally: [{ name: 'last', action: 'cmd.run', args: { cmd: 'echo "it is $ERRAND_RUN_STATUS"' } }],
    },
    code: 1,
    shows: ['rollback one local: success', 'finally last local: success', 'local last stdout: it is failed'],
  },
  timeout: {
    steps: [{ name: 'slow', cmd: 'echo begun; sleep 1000', timeout_seconds: 2 }],
    code: 1,
    shows: ['main slow local: failed timeout 143'],
  },
  'a variable that is expected and missing': {
    steps: [exporting('one', 'echo "BOPS_EXPORT:OTHER=1"', { expect_vars: ['TOKEN'] })],
    code: 1,
    shows: ['main one local: failed expect_vars 0'],
  },
  'errors that are gone on from': {
    steps: [
      exporting('one', 'echo hi', { expect_vars: ['TOKEN'], continue_on_error: true }),
      { name: 'two', cmd: 'exit 3', continue_on_error: true },
      { name: 'three', cmd: 'echo still here' },
    ],
    code: 0,
    shows: ['main two local: failed exit_code 3', 'local three stdout: still here'],
  },
  'matrix and foreach': {
    steps: [
      { name: 'm', matrix: { A: [1, 2], B: ['x', 'y'] }, cmd: 'echo "$A$B"' },
      { name: 'f', foreach: ['eins', 'zwei'], targets: ['a', 'b'], cmd: 'echo "$ITEM"' },
      { name: 'o', cmd: 'echo \'["p","q"]\'', outputs: { LIST: 'stdout' } },
      { name: 'g', foreach: '${LIST}', cmd: 'echo "got $ITEM"' },
    ],
    code: 0,
    shows: ['local g stdout: got q'],
  },
  'a sub-workflow': {
    steps: [
      {
        name: 'sub',
        action: 'workflow.run',
        args: { workflow: { ...child, steps: childSteps }, inputs: { WHO: 'me' } },
      },
      { name: 'tell', cmd: 'echo "$ANSWER"' },
    ],
    code: 0,
    shows: ['local tell stdout: inner me!'],
  },
  'sub-workflows in one another': {
    steps: [
      {
        name: 'outer',
        action: 'workflow.run',
        foreach: ['a', 'b'],
        args: {
          inputs: { WHO: '${ITEM}' },
          workflow: {
            ...{ version: 'v0.1', name: 'middle', inputs: { WHO: {} } },
            steps: [
              { name: 'before', action: 'cmd.run', args: { cmd: 'echo "before $WHO"' } },
              {
                name: 'inner',
                action: 'workflow.run',
                args: {
                  inputs: { WHO: '${WHO}' },
                  workflow: { version: 'v0.1', name: 'innermost', inputs: { WHO: {} }, steps: childSteps },
                },
              },
              { name: 'ask', action: 'approval.wait', args: { message: 'Go on?' } },
            ],
          },
        },
      },
    ],
    args: ['--yes'],
    code: 0,
    shows: ['outer > inner: local inner stdout: inner a', 'outer > inner: local inner stdout: inner b'],
  },
  'a graph': {
    steps: [
      { name: 'a1', cmd: 'echo a1' },
      { name: 'b1', cmd: 'exit 1', needs: [] },
      { name: 'a2', cmd: 'echo a2', needs: ['a1'] },
      { name: 'ab', cmd: 'echo never', needs: ['a1', 'b1'] },
    ],
    code: 1,
    shows: ['main a2 local: success', 'main ab: skipped upstream'],
  },
  'inputs, approval and text': {
    steps: [
      { name: 'ask', action: 'approval.wait', args: { message: 'Go to ${STAGE}?' } },
      { name: 'write', action: 'vars.set', args: { vars: { PLACE: '${STAGE}-1' } } },
      { name: 'tell', cmd: 'echo "$PLACE $COPIES"', env: { COPIES: '${N}' } },
      { name: 'unset', cmd: 'echo no', env: { X: '${NOWHERE}' } },
    ],
    more: {
      inputs: { STAGE: { required: true }, N: { type: 'number', default: 2 } },
      outputs: { WHERE: '${PLACE}' },
    },
    args: ['--var', 'STAGE=prod', '--yes'],
    code: 1,
    shows: [
      'main ask local: success',
      'local tell stdout: prod-1 2',
      'main unset local: failed unset_variable',
    ],
  },
}

type Line =
  | RunEvent
  | { type: 'result'; run: RunView }
  | { type: 'child.event'; run_id: string; event: RunEvent }

/** Returns the result of a run, without times, ids and the order between hosts. */
function essence(lines: string[]): string[] {
  const events = lines.map((line) => JSON.parse(line)) as Line[]
  const last = events.pop()
  assert.equal(last?.type, 'result')
  const { run } = last as { run: RunView }
  const found = [`run: ${run.status} ${run.reason ?? ''} ${JSON.stringify(run.outputs ?? {})}`]
  for (const step of run.steps) {
    const why = step.reason === undefined ? '' : ` ${step.reason}`
    if (step.instances.length === 0) found.push(`${step.phase} ${step.step}: ${step.status}${why}`)
    for (const one of step.instances) {
      const vars = one.vars === undefined ? '' : ` ${JSON.stringify(one.vars)}`
      const detail = [one.reason, one.exit_code].filter(
        (each) => (each !== undefined && each !== 0) || (one.reason !== undefined && each === 0),
      )
      found.push(
        `${step.phase} ${step.step} ${one.host}${vars}: ${[one.status, ...detail].join(' ')}`,
        `${step.step} ${one.host}${vars} was tried ${one.attempts.length} times`,
      )
    }
  }
  const texts = new Map<string, { of: string; text: string }>()
  /** The steps that lead to each run that another run has started. */
  const within = new Map<string, string>()
  for (const line of events) {
    const [event, runId] =
      line.type === 'child.event' ? [line.event, line.run_id] : [line as RunEvent, undefined]
    const before = runId === undefined ? '' : within.get(runId)
    assert.notEqual(before, undefined, 'the start of a run comes before its events')
    if (event.type === 'child.started')
      within.set(event.run_id, before === '' ? event.step : `${before} > ${event.step}`)
    if (event.type !== 'output') continue
    const attempt = `${runId} ${event.attempt} ${event.stream}`
    const of = `${before ? `${before}: ` : ''}${event.host} ${event.step} ${event.stream}`
    texts.set(attempt, { of, text: (texts.get(attempt)?.text ?? '') + event.text })
  }
  for (const { of, text } of texts.values())
    for (const line of text.replace(/\n$/, '').split('\n')) found.push(`${of}: ${line}`)
  return found.sort()
}

/**
 * Returns what a person sees, without times, ids, what only a hub can say, and a step's name where another was named
 * last.
 */
const seen = (stdout: string): string[] =>
  stdout
    .replace(/^run \S+( on .*)?\n/, '')
    .replace(/ +\(answer with: .*\)$/gm, '')
    .replace(/approved by admin$/gm, 'approved')
    .replace(/run_[a-z0-9]+/g, 'RUN')
    .replace(/\b[\d.]+ (ms|s)\b/g, 'TIME')
    .replace(/ +/g, ' ')
    .replace(/^\S+ (?=(local|a|b) [|!] )/gm, '')
    .split('\n')
    .sort()

async function startAgents(programs: Programs): Promise<Record<string, { address: string }>> {
  const { errand } = programs
  const hosts: Record<string, { address: string }> = {}
  for (const name of ['local', 'a', 'b']) {
    const address = `127.0.0.1:${await freePort()}`
    await errand.start(['agent-server', '--addr', address, '--token', 'T']).until('Agent server on')
    hosts[name] = { address: `http://${address}` }
  }
  return hosts
}

test('a file does the same on this machine, on agent servers and through a hub', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const hosts = await startAgents(programs)
  const file = join(programs.home, 'flow.yaml')
  for (const [name, { steps, more, args = [], code, shows = [] }] of Object.entries(cases)) {
    await t.test(name, async () => {
      writeFileSync(file, workflowText(withHosts(steps, { hosts }), { inventory: { hosts }, ...more }))
      const ways = {
        'errand run': ['run', file],
        'errand dispatch': ['dispatch', '--token', 'T', file],
        'errand run --hub': ['run', '--hub', file],
      }
      const results = await Promise.all(
        Object.entries(ways).map(async ([way, words]) => {
          const json = await programs.call(...words, ...args, '--json')
          const plain = await programs.call(...words, ...args)
          for (const found of [json, plain])
            assert.equal(found.code, code, `${way}: ${found.stdout}\n${found.stderr}`)
          return { way, essence: essence(json.stdout.trimEnd().split('\n')), seen: seen(plain.stdout) }
        }),
      )
      const [first, ...others] = results
      for (const other of others) {
        assert.deepEqual(other.essence, first!.essence, `${other.way} and ${first!.way}`)
        assert.deepEqual(other.seen, first!.seen, `${other.way} and ${first!.way}, as shown`)
      }
      for (const line of shows)
        assert.ok(first!.essence.includes(line), `"${line}" is not in ${first!.essence.join('\n')}`)
    })
  }
})
