import { jsonLines, type StateAnswer } from '../../docker/docker-answers.ts'
import type { DockerClient } from '../../docker/docker-client.ts'
import { isConflict, isGone } from '../../docker/docker-errors.ts'
import type {
  ContainerEvent,
  ContainerHealth,
  ContainerHistory,
  ContainerState,
  ContainerUse,
  OwnLabels,
} from './docker-engine.ts'
import { labelFilter } from './own-labels.ts'

/** `state` of what an engine tells of a container. */
export function containerState(state: StateAnswer): ContainerState {
  if (state.Running)
    return { type: 'running', pid: state.Pid, startedAt: state.StartedAt, ...toldHealth(state.Health) }
  if (state.Status === 'created' && state.Error === '') return { type: 'created' }
  return {
    type: 'exited',
    exitCode: state.ExitCode,
    // The engine also says so where only a child of it was killed and it went on to a good end.
    oom: state.OOMKilled && state.ExitCode !== 0,
    startedAt: state.StartedAt,
    finishedAt: state.FinishedAt,
    ...(state.Error === '' ? {} : { error: state.Error }),
  }
}

/** Nothing where it has no check. */
function toldHealth(health: StateAnswer['Health']): { health?: ContainerHealth } {
  const state = health?.Status
  if (state !== 'starting' && state !== 'healthy' && state !== 'unhealthy') return {}
  const last = health?.Log?.at(-1)
  return { health: { state, output: last?.Output, checkedAt: last?.End } }
}

/** The figures that are read of an engine's; some are missing where a kernel, or a runtime, does not tell them. */
interface Figures {
  read: string
  cpu_stats?: { cpu_usage?: { total_usage?: number } }
  memory_stats?: { usage?: number; max_usage?: number; stats?: Record<string, number> }
  networks?: Record<string, { rx_bytes?: number; tx_bytes?: number }>
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null }
}

/** A container's use now; the engine is asked once, and waits for no second figure. Undefined where it does not run. */
export async function containerUse(docker: DockerClient, id: string): Promise<ContainerUse | undefined> {
  let told: Figures
  try {
    told = await docker.ask('GET', `/containers/${id}/stats`, { query: { stream: false, 'one-shot': true } })
  } catch (error) {
    if (isGone(error) || isConflict(error)) return undefined
    throw error
  }
  const { cpu_stats, memory_stats = {}, networks = {}, blkio_stats } = told
  const { usage, stats = {}, max_usage } = memory_stats
  const cpu = cpu_stats?.cpu_usage?.total_usage
  if (usage === undefined || cpu === undefined || usage === 0) return undefined
  const sum = (name: 'rx_bytes' | 'tx_bytes') =>
    Object.values(networks).reduce((total, each) => total + (each[name] ?? 0), 0)
  const disk = (op: string) =>
    (blkio_stats?.io_service_bytes_recursive ?? [])
      .filter((each) => each.op.toLowerCase() === op)
      .reduce((total, { value }) => total + value, 0)
  return {
    atMs: Date.now(),
    cpuMs: cpu / 1e6,
    // As `docker stats` has it: without copies of files that the kernel drops where memory is short.
    memoryBytes: Math.max(0, usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0)),
    receivedBytes: sum('rx_bytes'),
    sentBytes: sum('tx_bytes'),
    readBytes: disk('read'),
    writtenBytes: disk('write'),
    heldBy: max_usage === undefined ? 'cgroup_v2' : 'cgroup_v1',
  }
}

/** Until the container has come to that. Throws where the engine goes away meanwhile. */
export async function waitFor(
  docker: DockerClient,
  id: string,
  condition: 'not-running' | 'removed',
  signal?: AbortSignal,
): Promise<void> {
  await docker.ask('POST', `/containers/${id}/wait`, { query: { condition }, signal })
}

/** So many events an engine keeps, in memory: those before them, and before its own start, are forgotten. */
const KEPT_EVENTS = 256
/** How long after the end of a container the engine may take to note it. */
const LATE_MS = 1_000

interface Told {
  Type: string
  Action: string
  Actor: { ID: string }
  timeNano: number
}

const types: Readonly<Record<string, ContainerEvent['type']>> = {
  start: 'start',
  kill: 'signaled',
  die: 'ended',
}

/** The events of our containers from now on; ends, or throws, where the engine goes away. */
export async function* containerEvents(
  docker: DockerClient,
  labels: Partial<OwnLabels>,
  signal: AbortSignal,
): AsyncGenerator<ContainerEvent | { type: 'open' }> {
  const filters = {
    type: ['container'],
    label: labelFilter(labels),
    event: [...Object.keys(types), 'health_status'],
  }
  const answer = await docker.open('GET', '/events', { query: { filters }, signal })
  yield { type: 'open' }
  for await (const told of jsonLines<Told>(answer)) {
    const event = containerEvent(told)
    if (event !== undefined) yield event
  }
}

/** Read no further than the end of a container that ended by itself. */
export async function containerHistory(
  docker: DockerClient,
  id: string,
  sinceMs: number,
): Promise<ContainerHistory> {
  const done = new AbortController()
  const query = { since: '1', until: String((Date.now() + LATE_MS) / 1000) }
  let count = 0
  let oldestMs = Number.POSITIVE_INFINITY
  const seen = new Set<ContainerEvent['type']>()
  try {
    const answer = await docker.open('GET', '/events', { query, signal: done.signal })
    for await (const told of jsonLines<Told>(answer)) {
      const atMs = told.timeNano / 1e6
      count++
      oldestMs = Math.min(oldestMs, atMs)
      const event = containerEvent(told)
      if (event?.id !== id || atMs < sinceMs) continue
      seen.add(event.type)
      if (event.type === 'ended' && !seen.has('signaled')) break
    }
    return { seen, knownFromMs: count < KEPT_EVENTS ? Number.NEGATIVE_INFINITY : oldestMs }
  } finally {
    done.abort()
  }
}

function containerEvent({ Type, Action, Actor, timeNano }: Told): ContainerEvent | undefined {
  const type = Action.startsWith('health_status') ? 'health' : types[Action]
  return Type === 'container' && type !== undefined ? { id: Actor.ID, type, atMs: timeNano / 1e6 } : undefined
}
