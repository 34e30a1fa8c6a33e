import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { builtinActions } from '../../src/contract/actions.ts'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import type { RunEvent } from '../../src/contract/events.ts'
import { isFinalRun } from '../../src/contract/status.ts'
import { Workflow, type WorkflowFile } from '../../src/contract/workflow.ts'
import { evolve } from '../../src/engine/core/evolve.ts'
import { plan } from '../../src/engine/core/plan.ts'
import { initialState, type RunState } from '../../src/engine/core/state.ts'
import { Engine } from '../../src/engine/engine.ts'
import type { RunStore } from '../../src/engine/ports.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import {
  dyingStore,
  type Scripted,
  SimulatedClock,
  SimulatedMachines,
  SimulatedOutputs,
} from '../support/simulated-world.ts'

type StepFile = WorkflowFile['steps'][number]

const hosts = ['a', 'b', 'c']
const stepShape = fc.record({
  targets: fc.subarray(hosts, { minLength: 1, maxLength: 2 }),
  needs: fc.array(fc.nat(), { maxLength: 2 }),
  items: fc.nat(3),
  tries: fc.integer({ min: 1, max: 3 }),
  continues: fc.boolean(),
  condition: fc.constantFrom('none', 'true', 'false', 'earlier', 'host', 'item', 'wrong'),
  undo: fc.boolean(),
})
const scenario = fc.record({
  steps: fc.array(stepShape, { minLength: 1, maxLength: 6 }),
  last: fc.nat(2),
  graph: fc.boolean(),
  failures: fc.array(fc.boolean(), { minLength: 31, maxLength: 31 }),
  order: fc.array(fc.nat(1000), { minLength: 17, maxLength: 17 }),
  cancelAfter: fc.option(fc.nat(20), { freq: 4 }),
})
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never

function workflowOf({ steps, last, graph }: Scenario): Workflow {
  const main = steps.map((shape, index): StepFile => {
    // A step that reads what s0 exports needs s0: otherwise its condition would depend on which one runs first.
    const reads = shape.condition === 'earlier' ? [0] : []
    const needed = index === 0 ? [] : [...shape.needs, ...reads].map((need) => `s${need % index}`)
    const needs = [...new Set(needed)]
    const when = {
      none: undefined,
      true: '1 < 2',
      false: '1 > 2',
      earlier: '${V_s0:-none} != "none"',
      host: '${ERRAND_HOST} != a',
      item: '${ITEM:-1} > 0',
      wrong: '${ERRAND_HOST} == b || ${ERRAND_HOST} > 1',
    }[shape.condition]
    return {
      name: `s${index}`,
      targets: shape.targets,
      action: 'noop',
      when,
      ...(graph ? { needs } : {}),
      ...(shape.items > 0 ? { foreach: Array.from({ length: shape.items }, (_, item) => item) } : {}),
      retry: { max_attempts: shape.tries, backoff: { delay_seconds: 5 } },
      continue_on_error: shape.continues,
      ...(shape.undo ? { rollback: { action: 'vars.set', args: { vars: {} } } } : {}),
    }
  })
  return Workflow.parse({
    version: 'v0.1',
    name: 'random',
    inventory: { hosts: Object.fromEntries(hosts.map((name) => [name, {}])) },
    steps: main,
    finally: Array.from({ length: last }, (_, index) => ({ name: `f${index}`, action: 'noop' })),
  })
}

const hash = (text: string) => [...text].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7)

/** Runs a scenario to its end, and kills the engine after so many writes (and resumes it each time). */
async function play(scenario: Scenario, killAfter: number) {
  const store = new MemoryRunStore()
  const outputs = new SimulatedOutputs()
  const clock = new SimulatedClock()
  let turn = 0
  const pick = (count: number) => (count === 0 ? 0 : scenario.order[turn++ % scenario.order.length]! % count)
  const outcomeOf = (spec: AttemptSpec): Scripted =>
    scenario.failures[
      hash(`${spec.step} ${spec.host} ${spec.env.ITEM} ${spec.try}`) % scenario.failures.length
    ]
      ? 'failed'
      : 'success'
  const machines = new SimulatedMachines(outcomeOf, pick)
  const start = (of: RunStore) => new Engine({ store: of, host: machines, outputs, clock })
  const dying = dyingStore(store, killAfter)
  let engine = start(dying)
  const submitted = engine.submit({ workflow: workflowOf(scenario) as never, run_id: 'r' })
  if (killAfter > 0) await submitted
  let moves = 0
  let killed = false
  for (; moves < 5000; moves++) {
    const record = await store.get('r')
    if (record && isFinalRun(record.status)) break
    if (dying.died() && !killed) {
      killed = true
      engine = start(store)
      if (record) await engine.resume()
      else await engine.submit({ workflow: workflowOf(scenario) as never, run_id: 'r' })
    }
    if (moves === scenario.cancelAfter)
      await Promise.race([engine.cancel('r').catch(() => {}), new Promise(setImmediate)])
    if (!(await machines.step())) {
      // Sleeps: gives pending work one turn of the event loop.
      await new Promise((resolve) => setTimeout(resolve, 0))
      if ((await store.get('r'))?.status === 'running') clock.advance()
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  const record = await store.get('r')
  assert.ok(record && isFinalRun(record.status), `the run did not end in ${moves} moves`)
  const view = await engine.view('r')
  const events = await store.events('r', 0, 100_000)
  await engine.close()
  return { record, view, events, machines, outputs }
}

function checkLog(scenario: Scenario, events: RunEvent[], outputs: SimulatedOutputs): void {
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
  )
  const graph = plan(workflowOf(scenario), builtinActions)
  const whole = initialState(graph)
  for (const event of events) evolve(whole, event)
  // Folding in two parts, through JSON as in a store, gives the same state.
  const again = initialState(graph)
  for (const event of JSON.parse(JSON.stringify(events))) evolve(again, event)
  assert.equal(JSON.stringify(again), JSON.stringify(whole))
  const reported = new Map<string, number>()
  for (const event of events) {
    if (event.type !== 'output') continue
    const key = `r.${event.attempt}/${event.stream}`
    assert.equal(event.offset, reported.get(key) ?? 0, `output events of ${key} leave a gap or overlap`)
    reported.set(key, event.offset + event.length)
  }
  for (const [key, bytes] of outputs.kept)
    assert.equal(reported.get(key), bytes.length, `the log contains all of ${key}`)
  for (const attempt of whole.attempts) assert.ok(attempt.end, `attempt ${attempt.number} has an end`)
  checkConditions(scenario, whole)
}

/** Checks that each instance of a started step is skipped, fails or may run according to its own condition. */
function checkConditions({ steps }: Scenario, { main }: RunState): void {
  for (const [index, { instances }] of main.entries())
    for (const { host, vars, status, attempts } of instances) {
      const { condition } = steps[index]!
      const isSkipped = (condition === 'host' && host === 'a') || (condition === 'item' && vars?.ITEM === '0')
      const isWrong = condition === 'wrong' && host !== 'b'
      assert.equal(status === 'skipped', isSkipped, `s${index} on ${host} is ${status}`)
      if (isSkipped || isWrong) assert.equal(attempts.length, 0, `s${index} on ${host} was started`)
      if (isWrong) assert.equal(status, 'failed')
    }
}

test('a random workflow ends, its log has no gap, and folding it again gives the same state', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (scenario) => {
      const { events, machines, outputs } = await play(scenario, 1_000_000)
      checkLog(scenario, events, outputs)
      for (const [id, times] of machines.begun)
        assert.equal(times, 1, `attempt ${id} was started ${times} times`)
    }),
    { numRuns: 150 },
  )
})

test('killed after any commit and resumed, the run ends the same and nothing is executed twice', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (random) => {
      const scenario = { ...random, cancelAfter: null }
      const whole = await play(scenario, 1_000_000)
      const commits = whole.events.length
      for (let killAfter = 0; killAfter <= commits; killAfter++) {
        const { record, view, events, machines, outputs } = await play(scenario, killAfter)
        checkLog(scenario, events, outputs)
        assert.equal(record.status, whole.record.status)
        assert.deepEqual(machines.carriedOut.toSorted(), whole.machines.carriedOut.toSorted())
        for (const [id, times] of machines.begun)
          assert.equal(times, 1, `attempt ${id} was started ${times} times`)
        const statuses = (of: typeof view) =>
          of.steps.map(({ step, phase, status }) => `${phase}/${step}: ${status}`).toSorted()
        assert.deepEqual(statuses(view), statuses(whole.view))
      }
    }),
    { numRuns: 12 },
  )
})
