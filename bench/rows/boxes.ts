import { randomUUID } from 'node:crypto'
import type { Isolation } from '../../src/contract/isolation.ts'
import { agentSubjects, installedAgent } from '../../test/support/agent-subjects.ts'
import { baseImage, dockerHere } from '../../test/support/docker/docker.ts'
import { startModelServer } from '../../test/support/model-server/server.ts'
import { agentThroughHub } from '../agent-runs.ts'
import { type BenchHub, outputMs, startHub } from '../hub.ts'
import { median, type Row, runProgram } from '../measure.ts'

const ROUNDS = Number(process.env.R ?? 30)
const IMAGE = 'node:24-slim'

/** Longest time that a box may add, in ms, on a quiet machine. */
const BUDGETS = { sandbox: { step: 20, agent: 20 }, container: { step: 50, agent: 400 } }

/**
 * Measures what a box adds to the start of a step and of an agent, through hub and runner: to the first output of a
 * step, or the first event of an agent. The network is `all`, so the endpoint and the bridge count. A step in a
 * container is compared with `docker run`.
 */
export async function boxes(): Promise<Row[]> {
  const noDocker = await dockerHere()
  if (noDocker !== false) console.log(`left out containers: ${noDocker}`)
  const image = noDocker === false ? await baseImage(IMAGE) : undefined
  const server = await startModelServer({ script: () => ({ text: 'The answer is forty-two.' }) })
  // A step in a box cannot choose a model at a private address; the operator sets those of the machine.
  const models = agentSubjects.map(({ env }) => env(server.url, randomUUID()))
  const hub = await startHub({ env: Object.assign({ ERRAND_LOCAL_IMAGES: image }, ...models) })
  try {
    return [...(await ofSteps(hub, image)), ...(await ofAgents(hub, image))]
  } finally {
    await hub.stop()
    await server.stop()
  }
}

async function ofSteps(hub: BenchHub, image: string | undefined): Promise<Row[]> {
  const bare = () => stepMs(hub, 'none')
  const boxed = await measured({
    bare,
    sandbox: () => stepMs(hub, 'sandbox'),
    ...(image !== undefined && {
      container: () => stepMs(hub, 'container', image),
      run: () => runProgram('docker', ['run', '--rm', image, 'echo', 'up']),
    }),
  })
  const { sandbox, container, run } = boxed
  return [
    more('a step in a sandbox, to its first output', 'step', 'sandbox', sandbox!, boxed.bare!, 'no box'),
    ...(container === undefined
      ? []
      : [
          more(
            'a step in a container, to its first output',
            'step',
            'container',
            container,
            run!,
            'docker run',
          ),
        ]),
  ]
}

async function ofAgents(hub: BenchHub, image: string | undefined): Promise<Row[]> {
  const rows: Row[] = []
  for (const subject of agentSubjects) {
    const found = await installedAgent(subject.name)
    if ('missing' in found) {
      console.log(`left out ${subject.name}: ${found.missing}`)
      continue
    }
    const first = async (isolation: Isolation) => {
      const box = { isolation, ...(isolation === 'container' && { image }) }
      return (await agentThroughHub(hub, subject, box)).firstMs
    }
    const { bare, sandbox, container } = await measured({
      bare: () => first('none'),
      sandbox: () => first('sandbox'),
      ...(image !== undefined && { container: () => first('container') }),
    })
    const row = (box: 'sandbox' | 'container', value: number) =>
      more(`${subject.name} in a ${box}, to its first event`, 'agent', box, value, bare!, 'no box')
    rows.push(row('sandbox', sandbox!))
    if (container !== undefined) rows.push(row('container', container))
  }
  return rows
}

/** Returns the median of each, measured by turns. The first round fills caches of the machine. */
async function measured<Name extends string>(
  kinds: Readonly<Partial<Record<Name, () => Promise<number>>>>,
): Promise<Partial<Record<Name, number>>> {
  const all = Object.entries(kinds) as [Name, () => Promise<number>][]
  const taken = new Map(all.map(([name]) => [name, [] as number[]]))
  for (let round = 0; round <= ROUNDS; round++)
    for (const [name, take] of all) taken.get(name)!.push(await take())
  return Object.fromEntries(all.map(([name]) => [name, median(taken.get(name)!.slice(1))])) as Partial<
    Record<Name, number>
  >
}

function more(
  name: string,
  of: 'step' | 'agent',
  box: 'sandbox' | 'container',
  value: number,
  baseline: number,
  what: string,
): Row {
  const most = BUDGETS[box][of]
  return {
    name,
    unit: 'ms',
    value,
    baseline: { what, value: baseline },
    budget: { what: `<= ${most} ms more`, holds: value - baseline <= most },
    details: { 'ms more': value - baseline },
  }
}

/** Returns the time from the request to the first output, as a client sees it. */
async function stepMs(hub: BenchHub, isolation: Isolation, image?: string): Promise<number> {
  const step = { name: 'a', action: 'cmd.run', args: { cmd: 'echo up' } }
  const workflow = {
    version: 'v0.1',
    name: 'boxed',
    isolation,
    ...(image && { image }),
    steps: [step],
  } as const
  return await outputMs(hub, workflow)
}
