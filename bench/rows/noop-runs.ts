import { Agent, request } from 'node:http'
import type { BenchHub } from '../hub.ts'
import { quantile, type Row } from '../measure.ts'

const RUNS = 6000
const AT_ONCE = 64

const body = JSON.stringify({
  workflow: { version: 'v0.1', name: 'noop', steps: [{ name: 'nothing', action: 'noop' }] },
})

/** Sends a run by a bare keep-alive client, because the load generator must cost less than the hub. */
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

/** Runs `count` runs to the end of the last one. */
export async function noops(hub: BenchHub, agent: Agent, count: number) {
  let left = count
  let last = ''
  const delays: number[] = []
  const start = performance.now()
  const lane = async () => {
    while (left-- > 0) {
      const startedMs = performance.now()
      last = await post(hub, agent)
      delays.push(performance.now() - startedMs)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  for await (const event of hub.client.events(last)) void event
  while ((await hub.client.runs.list({ status: 'queued,running', limit: 1 })).runs.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 10))
  return { perSecond: (count / (performance.now() - start)) * 1000, delays }
}

/** Measures how many one-step runs that do nothing one hub and one runner complete, from first request to last end. */
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
