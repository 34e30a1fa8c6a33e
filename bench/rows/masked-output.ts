import { createHash } from 'node:crypto'
import type { BenchHub } from '../hub.ts'
import { alternate, type Row } from '../measure.ts'
import { readStream } from './output.ts'

const BYTES = 200_000_000
const ROUNDS = 3
const SECRETS = 10
/** Prints log lines. If there is a secret, one line in a hundred has it. */
const command = `
  for n in $(seq 1000); do
    [ $((n % 100)) = 0 ] && echo "Authorization: Bearer \${SECRET_0:-nothing that is a secret at all}"
    echo "2025-01-15T10:00:00Z info worker-$n: GET /api/runs/$n?page=2 status=200 duration_ms=$n"
  done >lines
  for n in $(seq 100); do cat lines; done >more
  while cat more; do :; done 2>&- | head -c ${BYTES}`

/** Measures output through runner and hub to a reader, of a step with ten secrets and of the same step without. */
export async function maskedOutput(hub: BenchHub): Promise<Row[]> {
  const names = Array.from({ length: SECRETS }, (_, n) => `SECRET_${n}`)
  for (const name of names) await hub.client.secrets.set(name, { value: random(name).slice(0, 40) })
  const { value, baseline } = await alternate(
    ROUNDS,
    () => speed(hub, names),
    () => speed(hub, undefined),
  )
  for (const name of names) await hub.client.secrets.remove(name)
  return [
    {
      name: `output of a step with ${SECRETS} secrets, process to event-stream reader`,
      unit: 'MB/s',
      value,
      baseline: { what: 'the same step without secrets', value: baseline },
      budget: { what: '>= 50 MB/s', holds: value >= 50 },
    },
  ]
}

async function speed(hub: BenchHub, secrets: string[] | undefined): Promise<number> {
  const start = performance.now()
  const steps = [{ name: 'much', action: 'cmd.run', args: { cmd: command }, secrets }]
  const { run_id } = await hub.client.runs.create({ workflow: { version: 'v0.1', name: 'output', steps } })
  const bytes = await readStream(`${hub.url}/api/runs/${run_id}/events`, hub.token)
  if (bytes < BYTES / 2) throw new Error(`The reader got ${bytes} of ${BYTES} bytes.`)
  return BYTES / 1000 / (performance.now() - start)
}

const random = (seed: string) => createHash('sha512').update(seed).digest('base64url')
