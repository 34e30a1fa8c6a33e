import { once } from 'node:events'
import { Agent } from 'node:http'
import { WebSocket } from 'ws'
import { residentMb, startHub } from '../hub.ts'
import type { Row } from '../measure.ts'
import { noops } from './noop-runs.ts'

const RUNS = 50_000
const PART = 5_000
const AT_ONCE = 64

/**
 * Measures the memory that the hub keeps over 50,000 runs, as the slope of a line through the live heap after each
 * part. Resident memory is shown beside it: it depends on how much garbage Node leaves at that speed.
 */
export async function memoryOverRuns(): Promise<Row[]> {
  const hub = await startHub({ inspect: true })
  const inspector = await Inspector.open(hub.inspectUrl!)
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  const points: [number, number][] = []
  const resident: [string, number][] = []
  try {
    for (let runs = PART; runs <= RUNS; runs += PART) {
      await noops(hub, agent, PART)
      points.push([runs / 10_000, await inspector.liveMb()])
      resident.push([`MB resident after ${runs.toLocaleString('en')}`, await residentMb(hub.hubPid)])
    }
  } finally {
    agent.destroy()
    inspector.close()
    await hub.stop()
  }
  // The first part fills caches.
  const slope = slopeOf(points.slice(1))
  return [
    {
      name: `growth of the hub's heap over ${RUNS.toLocaleString('en')} no-op runs`,
      unit: 'MB for 10,000 runs',
      value: slope,
      budget: { what: '<= 0.2 MB', holds: slope <= 0.2 },
      details: { 'MB live at the end': points.at(-1)![1], ...Object.fromEntries(resident) },
    },
  ]
}

/** Returns the slope of the line that fits the points best. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])]
  return mean((p) => (p[0] - x) * (p[1] - y)) / mean((p) => (p[0] - x) ** 2)
}

class Inspector {
  readonly #ws: WebSocket
  #id = 0

  private constructor(ws: WebSocket) {
    this.#ws = ws
  }

  static async open(url: string): Promise<Inspector> {
    const ws = new WebSocket(url)
    await once(ws, 'open')
    return new Inspector(ws)
  }

  /** Returns the live heap after a full garbage collection. */
  async liveMb(): Promise<number> {
    for (let round = 0; round < 3; round++) await this.#call('HeapProfiler.collectGarbage')
    const { usedSize } = await this.#call('Runtime.getHeapUsage')
    return usedSize / 1e6
  }

  close(): void {
    this.#ws.close()
  }

  async #call(method: string): Promise<{ usedSize: number }> {
    const id = ++this.#id
    this.#ws.send(JSON.stringify({ id, method }))
    for (;;) {
      const [data] = await once(this.#ws, 'message')
      const answer = JSON.parse(String(data))
      if (answer.id === id) return answer.result
    }
  }
}
