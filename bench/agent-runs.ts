import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Agent, Program } from '../src/agents/agent.ts'
import type { AgentUpdate } from '../src/contract/agent.ts'
import type { Isolation } from '../src/contract/isolation.ts'
import { passedOn } from '../src/runner/attempts/launch.ts'
import { AgentBench, benchFolder } from '../test/support/agent-bench.ts'
import type { AgentSubject } from '../test/support/agent-subjects.ts'
import type { BenchHub } from './hub.ts'

/** Times in ms since the request, or since the start. */
export interface AgentTimes {
  firstMs: number
  endMs: number
}

const prompt = 'Write the file.'
/** Time that an agent has to end by itself, with plain pipes as in a run; then its session is ended. */
const SHUTDOWN_MS = 3_000
/** Reports whether an update comes from the agent, and not from Errand itself. */
const ofAgent = ({ kind }: AgentUpdate) => kind !== 'prompt' && kind !== 'notice'

/** Times the program with plain pipes, the same arguments, environment and protocol: to its first update and exit. */
export async function bareAgent(
  agent: Agent,
  program: Program,
  { model, env }: AgentSubject,
  url: string,
): Promise<AgentTimes> {
  const folder = benchFolder()
  const started = performance.now()
  const bench = new AgentBench(agent, program, {
    cwd: folder.cwd,
    // As deep as the runner's folder: some agents search every folder above theirs.
    home: join(folder.home, 'sessions', 'homes', 'bare'),
    model,
    extra_args: [],
    ask: 'allow',
    new_session_id: randomUUID(),
    env: { ...passedOn(process.env), ...env(url, randomUUID()), HOME: folder.home },
  })
  try {
    await bench.until(() => bench.updates.some(ofAgent))
    const firstMs = performance.now() - started
    const end = (await bench.turn(prompt)).at(-1)
    if (end?.kind !== 'turn_ended' || end.stop_reason !== 'end_turn') throw new Error(bench.describe())
    if (!(await bench.close(SHUTDOWN_MS))) await bench.kill(0)
    return { firstMs, endMs: performance.now() - started }
  } finally {
    await bench.kill(0)
    await folder.remove()
  }
}

export interface AgentRunOptions {
  /** Address of its model server; absent: the runner has it in its environment. */
  url?: string
  /** Default: none, so that its program runs as bare as by itself. */
  isolation?: Isolation
  image?: string
}

/** Times the same through hub and runner, as a client sees it: from the request to the first update and the end. */
export async function agentThroughHub(
  { client }: BenchHub,
  { name, model, env }: AgentSubject,
  { url, isolation = 'none', image }: AgentRunOptions,
): Promise<AgentTimes> {
  const folder = benchFolder()
  const started = performance.now()
  // The start-up of the user's own shell must not be measured.
  const own = { ...(url !== undefined && env(url, randomUUID())), HOME: folder.home }
  const agent = { agent: name, model, prompt, cwd: folder.cwd, env: own, isolation, image }
  const { run_id } = await client.runs.create({ agent })
  let firstMs: number | undefined
  for await (const event of client.events(run_id)) {
    if (event.type === 'agent.update' && ofAgent(event.update)) firstMs ??= performance.now() - started
    if (event.type === 'run.finished' && event.status !== 'success')
      throw new Error(`Run ${run_id} is ${event.status}: ${JSON.stringify(event)}`)
  }
  const endMs = performance.now() - started
  await folder.remove()
  return { firstMs: firstMs ?? Number.NaN, endMs }
}
