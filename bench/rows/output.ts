import { spawn } from 'node:child_process'
import { get } from 'node:http'
import { type BenchHub, residentMb } from '../hub.ts'
import { type Row, timed } from '../measure.ts'

const BYTES = 500_000_000
const command = `yes 'a line of output that is about as long as lines are, give or take' | head -c ${BYTES}`

/** Measures output from a process through runner and hub to a reader of the event stream, and the hub's memory. */
export async function outputToReader(hub: BenchHub): Promise<Row[]> {
  const idleMb = await residentMb(hub.hubPid)
  let highestMb = idleMb
  const watch = setInterval(async () => {
    highestMb = Math.max(highestMb, await residentMb(hub.hubPid))
  }, 200)
  let bytes = 0
  const ms = await timed(async () => {
    const steps = [{ name: 'much', action: 'cmd.run', args: { cmd: command } }]
    const { run_id } = await hub.client.runs.create({ workflow: { version: 'v0.1', name: 'output', steps } })
    bytes = await readStream(`${hub.url}/api/runs/${run_id}/events`, hub.token)
  })
  clearInterval(watch)
  if (bytes < BYTES) throw new Error(`The reader got ${bytes} of ${BYTES} bytes.`)
  const bareMs = await timed(bareRead)
  const perSecond = BYTES / 1000 / ms
  return [
    {
      name: 'output, process to event-stream reader',
      unit: 'MB/s',
      value: perSecond,
      baseline: { what: 'the same bytes read from a pipe by Node', value: BYTES / 1000 / bareMs },
      budget: { what: '>= 50 MB/s', holds: perSecond >= 50 },
    },
    {
      name: 'hub memory during that output',
      unit: 'MB',
      value: highestMb,
      baseline: { what: 'before', value: idleMb },
      budget: { what: 'flat (<= 100 MB more)', holds: highestMb - idleMb <= 100 },
    },
  ]
}

/** Returns the number of bytes on the wire. The reader only counts them. */
export function readStream(url: string, token: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  get(url, { headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' } }, (response) => {
    let bytes = 0
    response.on('data', (chunk: Buffer) => (bytes += chunk.length))
    response.on('end', () => resolve(bytes))
    response.on('error', reject)
  }).on('error', reject)
  return promise
}

function bareRead(): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] })
    child.stdout.on('data', () => {})
    child.on('close', () => resolve())
  })
}
