import type { TestContext } from 'node:test'
import type { RunEvent } from '../../src/contract/events.ts'
import type { RunView } from '../../src/contract/run.ts'
import type { WorkflowFile } from '../../src/contract/workflow.ts'
import type { EngineOptions } from '../../src/engine/api.ts'
import { Engine } from '../../src/engine/engine.ts'
import type { RunStore } from '../../src/engine/ports.ts'
import { MemoryRunStore } from '../../src/stores/runs/memory.ts'
import { patience } from './patience.ts'
import { type Script, ScriptedHost } from './scripted-host.ts'
import { SimulatedClock, SimulatedOutputs } from './simulated-world.ts'

type StepFile = WorkflowFile['steps'][number]

export interface World {
  engine: Engine
  store: RunStore
  host: ScriptedHost
  clock: SimulatedClock
  outputs: SimulatedOutputs
  /** Opens another engine on the same store, outputs and clock, as after a restart. */
  again(options?: Partial<EngineOptions>): Engine
  /** Submits a workflow of these steps. */
  submit(steps: StepFile[], more?: Partial<WorkflowFile>, submission?: object): Promise<string>
  /** Submits it, waits for its end, and returns the run. */
  play(steps: StepFile[], more?: Partial<WorkflowFile>, submission?: object): Promise<RunView>
  events(runId: string): Promise<RunEvent[]>
}

/**
 * Opens an engine on a memory store with a scripted host. It is closed when the test ends, unless it `dies`: such an
 * engine never answers.
 */
export function scriptedEngine(
  t: TestContext,
  script?: (spec: Parameters<ScriptedHost['script']>[0]) => Script,
  { dies = false, ...options }: Partial<EngineOptions> & { dies?: boolean } = {},
): World {
  const store = options.store ?? new MemoryRunStore()
  const host = new ScriptedHost(script)
  const clock = new SimulatedClock()
  const outputs = new SimulatedOutputs()
  const again = (more: Partial<EngineOptions> = {}) => {
    const engine = new Engine({ store, host, outputs, clock, ...options, ...more })
    t.after(() => engine.close())
    return engine
  }
  const engine = dies ? new Engine({ store, host, outputs, clock, ...options }) : again()
  const submit: World['submit'] = async (steps, more = {}, submission = {}) =>
    (await engine.submit({ workflow: { version: 'v0.1', name: 'test', steps, ...more }, ...submission }))
      .run_id
  const play: World['play'] = async (...args) => {
    const runId = await submit(...args)
    await engine.done(runId)
    return engine.view(runId)
  }
  return {
    engine,
    store,
    host,
    clock,
    outputs,
    again,
    submit,
    play,
    events: (id) => store.events(id, 0, 100_000),
  }
}

/** Returns a step that does what the script says. */
export const step = (name: string, more: Partial<StepFile> = {}): StepFile => ({
  name,
  action: 'noop',
  ...more,
})

export const inventory = (...names: string[]) => ({
  inventory: { hosts: Object.fromEntries(names.map((name) => [name, {}])) },
})

/**
 * Returns a `name: status` line for each step, with the reason if there is one. Steps of rollback and finally have
 * their phase in front.
 */
export const statusesOf = (view: RunView): string[] =>
  view.steps.map(
    ({ step, phase, status, reason }) =>
      `${phase === 'main' ? '' : `${phase} `}${step}: ${status}${reason ? ` ${reason}` : ''}`,
  )

/** Waits until the condition holds; fails after two minutes, later on a busy machine. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const startMs = Date.now()
  while (!(await what())) {
    if (Date.now() - startMs > 120_000 * patience()) throw new Error(`It did not come about: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
