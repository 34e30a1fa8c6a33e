import type { ContainerEvent, EngineHistory, OwnLabels } from '../ports.ts'
import type { DockerClient } from './docker-client.ts'
import { labelFilter } from './own-labels.ts'
import { jsonLines } from './progress-events.ts'

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
export async function* engineEvents(
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
export async function engineHistory(
  docker: DockerClient,
  id: string,
  sinceMs: number,
): Promise<EngineHistory> {
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
