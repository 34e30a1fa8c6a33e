import type { AttemptSpec, Requirements } from '../../../src/contract/attempt.ts'
import { type Hello, PROTOCOL_VERSION } from '../../../src/contract/protocol.ts'
import { type Assignment, Assignments, NOTHING_STORED } from '../../../src/hub/fleet/assignments.ts'
import { Dispatch, type WaitLimits } from '../../../src/hub/fleet/dispatch.ts'
import { type GroupBox, type RunnerKey, runnerKey } from '../../../src/hub/fleet/matching.ts'
import { choose } from '../../../src/hub/fleet/placement.ts'
import { Runner } from '../../../src/hub/fleet/roster.ts'
import type { RunnerLink } from '../../../src/hub/fleet/runner-link.ts'

export const GB = 1024 ** 3
/** Returns the key of a runner of the tenant `default`, which all runners here belong to. */
export const key = (id: string): RunnerKey => runnerKey('default', id)

/**
 * A dispatch with real runners and a real table of assignments. Links and sinks are stand-ins that accept everything.
 */
export class TestingDispatch {
  readonly runners = new Map<RunnerKey, Runner>()
  readonly dispatch: Dispatch
  readonly assignments: Assignment[] = []
  /** The assignments that had waited, in the order in which they were given a runner. */
  readonly given: Assignment[] = []
  readonly whys = new Map<Assignment, string[]>()
  /** The specs that were sent to runners, in order. */
  readonly sent: { runner: string; spec: AttemptSpec }[] = []
  /** The minimum box of each group, by its name. */
  groupBoxes: Record<string, GroupBox> = {}
  readonly #table: Assignments
  readonly #stop = new AbortController()
  #count = 0

  constructor(limits: WaitLimits = {}) {
    const { runners } = this
    const { signal } = this.#stop
    const drop = (assignment: Assignment) => this.dispatch.drop(assignment)
    this.#table = new Assignments({ runners, drop, log: () => {}, signal })
    this.dispatch = new Dispatch({ runners, assignments: this.#table, signal, ...limits })
  }

  close(): void {
    this.#stop.abort()
  }

  connect(id: string, change: Partial<Hello> = {}): Runner {
    const runner =
      this.runners.get(key(id)) ?? new Runner('default', id, { boxOf: (group) => this.groupBoxes[group] })
    this.runners.set(runner.key, runner)
    runner.hello = {
      ...{
        type: 'hello',
        protocol: PROTOCOL_VERSION,
        version: '0',
        runner_id: id,
        boot_id: id,
        group: 'default',
      },
      ...{ labels: {}, mode: 'all', hostname: id, cpus: 4, memory_bytes: 4 * GB, slots: 4, attempts: [] },
      ...change,
    }
    const sendText = (text: string) => void this.sent.push({ runner: id, spec: JSON.parse(text).spec })
    runner.link = { boot: id, sendText, send: () => {} } as unknown as RunnerLink
    this.dispatch.rosterChanged(runner)
    return runner
  }

  disconnect(id: string, expected = false): void {
    const runner = this.runners.get(key(id))!
    runner.link = undefined
    runner.expected = expected
    this.dispatch.rosterChanged(runner)
  }

  submit(owner: string, requires: Requirements = {}, change: Partial<AttemptSpec> = {}): Assignment {
    const run_id = `run_${++this.#count}`
    const spec: AttemptSpec = {
      ...{ attempt_id: `run_${this.#count}.1`, run_id, workflow_name: 'flow', owner, tenant: 'default' },
      ...{ step: 'work', host: 'box', instance: 0, try: 1, action: 'cmd.run', args: {}, env: {}, requires },
      ...change,
    }
    const whys: string[] = []
    const placed = this.dispatch.place(spec)
    const placement = 'waiting' in placed ? undefined : placed
    if ('waiting' in placed) whys.push(placed.waiting)
    const assignment = this.#table.add(spec, placement, NOTHING_STORED, {
      waiting: (why) => void whys.push(why),
      assigned: async () => {
        this.given.push(assignment)
        return true
      },
      report: async () => {},
      output: async (_stream, offset, bytes) => offset + bytes.length,
      length: async () => 0,
    })
    this.assignments.push(assignment)
    this.whys.set(assignment, whys)
    this.dispatch.begin(assignment, placement?.runner === undefined ? undefined : key(placement.runner))
    return assignment
  }

  end(assignment: Assignment): void {
    this.#table.settle(assignment, { type: 'ended', outcome: 'success' })
  }

  get waiting(): Assignment[] {
    return this.assignments.filter(({ stage }) => stage.type === 'waiting')
  }

  /** Returns the running assignments, oldest first. */
  get running(): Assignment[] {
    return this.assignments.filter(({ spec }) =>
      [...this.runners.values()].some(({ held }) => held.has(spec.attempt_id)),
    )
  }

  slotsOf(owner: string): number {
    return this.running.filter(({ spec }) => spec.owner === owner).length
  }

  /** Returns the inconsistencies in the current state; there should be none. */
  complaints(): string[] {
    const complaints: string[] = []
    for (const { id, cpus, used, slots, freeCpus, freeMemoryBytes, status, held } of this.runners.values()) {
      if (status === 'connected' && (used > slots || freeCpus < 0 || freeMemoryBytes < 0))
        complaints.push(`${id} has more than it offers`)
      if (held.size === 0 && cpus !== freeCpus) complaints.push(`${id} keeps cpus for nothing`)
    }
    for (const { spec, need, workspace, rejections } of this.waiting) {
      const home = this.dispatch.affinity.of(spec.run_id, workspace)
      const choice = choose(need.need, this.runners, { home, not: new Set(rejections.keys()) })
      if (choice.type === 'runner') complaints.push(`${spec.attempt_id} waits, and ${choice.key} has room`)
    }
    return complaints
  }
}

/** The first frame of a runner, for tests. */
export const testingHello = {
  type: 'hello',
  protocol: 1,
  version: '0.1.0',
  runner_id: 'r1',
  boot_id: 'b1',
  storage_id: 's1',
  group: 'default',
  labels: {},
  mode: 'all',
  hostname: 'server-01',
  cpus: 4,
  memory_bytes: 1024 ** 3,
  slots: 2,
  attempts: [],
}
