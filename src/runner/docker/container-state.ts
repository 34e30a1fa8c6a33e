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

/** Converts an engine's description of a container to its `state`. */
export function containerState(state: StateAnswer): ContainerState {
  if (state.Running)
    return { type: 'running', pid: state.Pid, startedAt: state.StartedAt, ...reportedHealth(state.Health) }
  if (state.Status === 'created' && state.Error === '') return { type: 'created' }
  return {
    type: 'exited',
    exitCode: state.ExitCode,
    // The engine also reports this if only a child was killed and the container ended well.
    oom: state.OOMKilled && state.ExitCode !== 0,
    startedAt: state.StartedAt,
    finishedAt: state.FinishedAt,
    ...(state.Error === '' ? {} : { error: state.Error }),
  }
}

/** Returns the health; nothing if it has no check. */
function reportedHealth(health: StateAnswer['Health']): { health?: ContainerHealth } {
  const state = health?.Status
  if (state !== 'starting' && state !== 'healthy' && state !== 'unhealthy') return {}
  const last = health?.Log?.at(-1)
  return { health: { state, output: last?.Output, checkedAt: last?.End } }
}

/** Figures that are read from an engine's answer; some are missing if a kernel or a runtime does not report them. */
interface Figures {
  read: string
  cpu_stats?: { cpu_usage?: { total_usage?: number } }
  memory_stats?: { usage?: number; max_usage?: number; stats?: Record<string, number> }
  networks?: Record<string, { rx_bytes?: number; tx_bytes?: number }>
  blkio_stats?: { io_service_bytes_recursive?: { op: string; value: number }[] | null }
}

/**
 * Returns a container's present use; asks the engine once, without waiting for a second figure. Undefined if it does
 * not run.
 */
export async function containerUse(docker: DockerClient, id: string): Promise<ContainerUse | undefined> {
  let figures: Figures
  try {
    figures = await docker.ask('GET', `/containers/${id}/stats`, {
      query: { stream: false, 'one-shot': true },
    })
  } catch (error) {
    if (isGone(error) || isConflict(error)) return undefined
    throw error
  }
  const { cpu_stats, memory_stats = {}, networks = {}, blkio_stats } = figures
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
    // Like `docker stats`: without copies of files that the kernel drops when memory is short.
    memoryBytes: Math.max(0, usage - (stats.total_inactive_file ?? stats.inactive_file ?? 0)),
    receivedBytes: sum('rx_bytes'),
    sentBytes: sum('tx_bytes'),
    readBytes: disk('read'),
    writtenBytes: disk('write'),
    heldBy: max_usage === undefined ? 'cgroup_v2' : 'cgroup_v1',
  }
}

/** Waits until the container reaches that condition. Throws if the engine goes away meanwhile. */
export async function waitFor(
  docker: DockerClient,
  id: string,
  condition: 'not-running' | 'removed',
  signal?: AbortSignal,
): Promise<void> {
  await docker.ask('POST', `/containers/${id}/wait`, { query: { condition }, signal })
}

/** Number of events that an engine holds in memory; it forgets earlier ones, and all before its own start. */
const MAX_EVENTS = 256
/** Milliseconds that the engine may take to record the end of a container. */
const LATE_MS = 1_000

interface EventLine {
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

/** Yields the events of our containers from now on; ends or throws if the engine goes away. */
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
  for await (const line of jsonLines<EventLine>(answer)) {
    const event = containerEvent(line)
    if (event !== undefined) yield event
  }
}

/** Returns the events of a container since a time, up to the first end without a signal before it. */
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
    for await (const line of jsonLines<EventLine>(answer)) {
      const atMs = line.timeNano / 1e6
      count++
      oldestMs = Math.min(oldestMs, atMs)
      const event = containerEvent(line)
      if (event?.id !== id || atMs < sinceMs) continue
      seen.add(event.type)
      if (event.type === 'ended' && !seen.has('signaled')) break
    }
    return { seen, knownFromMs: count < MAX_EVENTS ? Number.NEGATIVE_INFINITY : oldestMs }
  } finally {
    done.abort()
  }
}

function containerEvent({ Type, Action, Actor, timeNano }: EventLine): ContainerEvent | undefined {
  const type = Action.startsWith('health_status') ? 'health' : types[Action]
  return Type === 'container' && type !== undefined ? { id: Actor.ID, type, atMs: timeNano / 1e6 } : undefined
}
