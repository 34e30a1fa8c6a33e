import { createHash } from 'node:crypto'
import { createMasker } from '../../src/runner/masking/masker.ts'
import { alternate, type Row } from '../measure.ts'

const CHUNK_BYTES = 64 * 1024
const ROUNDS = 5

/** Measures output through the masker: log lines, one in a hundred with a secret, and base64, which looks like them. */
export async function masking(): Promise<Row[]> {
  return [await masked(50, 90), await masked(10, 180)]
}

async function masked(count: number, budget: number): Promise<Row> {
  const secrets = Array.from({ length: count }, (_, index) =>
    random(`secret ${index}`).slice(0, 20 + (index % 24)),
  )
  const start = performance.now()
  const masker = createMasker(secrets)
  const buildMs = performance.now() - start
  const throughMasker = (chunks: readonly Buffer[]) => {
    const stream = masker.stream()
    for (const chunk of chunks) stream.push(chunk)
    stream.end()
  }
  const searched = (chunks: readonly Buffer[]) => {
    for (const chunk of chunks) for (const secret of secrets) chunk.indexOf(secret)
  }
  const log = chunksOf(logLines(secrets))
  const encoded = chunksOf(base64Lines())
  const speeds = await alternate(
    ROUNDS,
    async () => speed(log, throughMasker),
    async () => speed(log, searched),
  )
  const base64 = await alternate(
    ROUNDS,
    async () => speed(encoded, throughMasker),
    async () => speed(encoded, copied),
  )
  return {
    name: `masking of ${count} secrets, log lines`,
    unit: 'MB/s',
    value: speeds.value,
    baseline: { what: 'Buffer.indexOf of the plain values alone', value: speeds.baseline },
    budget: { what: `>= ${budget} MB/s`, holds: speeds.value >= budget && base64.value >= budget },
    details: { 'base64 lines MB/s': base64.value, 'a mere copy MB/s': base64.baseline, 'build ms': buildMs },
  }
}

function copied(chunks: readonly Buffer[]): void {
  for (const chunk of chunks) Buffer.from(chunk)
}

function speed(chunks: readonly Buffer[], through: (chunks: readonly Buffer[]) => void): number {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const start = performance.now()
  through(chunks)
  return bytes / 1000 / (performance.now() - start)
}

/** Returns a text that looks random but is the same in every run. */
const random = (seed: string) => createHash('sha512').update(seed).digest('base64url')

function logLines(secrets: readonly string[]): Buffer {
  const lines = Array.from({ length: 200_000 }, (_, n) => {
    const secret = n % 100 === 0 ? ` Authorization: Bearer ${secrets[n % secrets.length]}` : ''
    return `2025-01-15T10:00:${n % 60}Z info worker-${n % 7}: GET /api/runs/${n}?page=2 status=200 duration_ms=${n % 1000}${secret}\n`
  })
  return Buffer.from(lines.join(''))
}

function base64Lines(): Buffer {
  return Buffer.from(
    Array.from({ length: 200_000 }, (_, n) => `${random(`line ${n}`).slice(0, 76)}\n`).join(''),
  )
}

function chunksOf(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / CHUNK_BYTES)
  return Array.from({ length: count }, (_, n) => bytes.subarray(n * CHUNK_BYTES, (n + 1) * CHUNK_BYTES))
}
