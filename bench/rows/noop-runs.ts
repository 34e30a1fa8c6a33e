import { Agent, request } from 'node:http'
import { type BenchHub, residentMb } from '../hub.ts'
import { quantile, type Row } from '../measure.ts'

const RUNS = 6000
const AT_ONCE = 64

const body = JSON.stringify({
  workflow: { version: 'v0.1', name: 'noop', steps: [{ name: 'nothing', action: 'noop' }] },
})

/** A bare keep-alive client: what drives the hub must cost less than the hub. */
function post(hub: BenchHub, agent: Agent): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const headers = {
    authorization: `Bearer ${hub.token}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  }
  const sent = request(`${hub.url}/api/runs`, { method: 'POST', agent, headers }, (response) => {
    let text = ''
    response.on('data', (chunk) => (text += chunk))
    response.on('end', () =>
      response.statusCode === 201
        ? resolve(JSON.parse(text).run_id)
        : reject(new Error(`${response.statusCode}: ${text}`)),
    )
  })
  sent.on('error', reject)
  sent.end(body)
  return promise
}

async function noops(hub: BenchHub, agent: Agent, count: number) {
  let left = count
  let last = ''
  const delays: number[] = []
  const start = performance.now()
  const lane = async () => {
    while (left-- > 0) {
      const asked = performance.now()
      last = await post(hub, agent)
      delays.push(performance.now() - asked)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  for await (const event of hub.client.events(last)) void event
  while ((await hub.client.runs.list({ status: 'queued,running', limit: 1 })).runs.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 10))
  return { perSecond: (count / (performance.now() - start)) * 1000, delays }
}

const GROWTH_RUNS = 50_000
const GROWTH_PART = 5_000
const WARM_UP_PARTS = 3

/** The hub's memory over 50,000 runs: what it grows by once it is warm, as the slope of a line through the figures. */
export async function memoryOverRuns(hub: BenchHub): Promise<Row[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  const figures: { runs: number; mb: number }[] = []
  for (let runs = GROWTH_PART; runs <= GROWTH_RUNS; runs += GROWTH_PART) {
    await noops(hub, agent, GROWTH_PART)
    figures.push({ runs, mb: await residentMb(hub.hubPid) })
  }
  agent.destroy()
  const warm = figures.slice(WARM_UP_PARTS)
  const slope = slopeOf(warm.map(({ runs, mb }) => [runs / 10_000, mb]))
  return [
    {
      name: 'growth of the hub over 50,000 no-op runs',
      unit: 'MB for 10,000 runs',
      value: slope,
      budget: { what: '<= 2 MB', holds: slope <= 2 },
      details: Object.fromEntries(
        figures.map(({ runs, mb }) => [`MB after ${runs.toLocaleString('en')}`, mb]),
      ),
    },
  ]
}

/** Of the line that is nearest to the points. */
function slopeOf(points: readonly (readonly [number, number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [x, y] = [mean((point) => point[0]), mean((point) => point[1])]
  return mean((p) => (p[0] - x) * (p[1] - y)) / mean((p) => (p[0] - x) ** 2)
}

/** How many one-step runs that do nothing go through one hub and one runner, from the first request to the last end. */
export async function noopRuns(hub: BenchHub): Promise<Row[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  await noops(hub, agent, 1500)
  const { perSecond, delays } = await noops(hub, agent, RUNS)
  agent.destroy()
  return [
    {
      name: 'no-op runs through one hub and one runner',
      unit: 'runs/s',
      value: perSecond,
      budget: { what: '>= 1,000 a second', holds: perSecond >= 1000 },
      details: { request_p50_ms: quantile(delays, 0.5), request_p99_ms: quantile(delays, 0.99) },
    },
  ]
}
