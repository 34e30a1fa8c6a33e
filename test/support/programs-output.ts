import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ErrandClient } from '../../src/client/client.ts'
import type { StreamName } from '../../src/contract/attempt.ts'
import type { RunEvent } from '../../src/contract/events.ts'

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Returns the content of a file, or an empty text if it does not exist or is removed at this moment. */
export function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

/** Returns the lines `line 1`, `line 2` … */
export const numbered = (count: number): string =>
  Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join('')

/**
 * Returns a script that prints `count` numbered lines, one at a time. It appends to the file `mark` when it begins,
 * and waits after half of the lines for `<mark>.go`.
 */
export const numberedLines = (mark: string, count: number): string =>
  [
    `echo x >>"${mark}"`,
    'i=1',
    `while [ $i -le ${count} ]; do`,
    '  echo "line $i"; i=$((i+1))',
    `  [ $i = ${Math.floor(count / 2)} ] && while [ ! -e "${mark}.go" ]; do sleep 0.02; done`,
    '  [ $((i % 10)) = 0 ] && sleep 0.01',
    'done',
    'exit 0',
  ].join('\n')

/** Returns the length and SHA-256 of what the output address returns. */
export async function outputHash(
  client: ErrandClient,
  runId: string,
  attempt: number,
  stream: StreamName = 'stdout',
  range: { start?: number; end?: number } = {},
): Promise<{ length: number; sha256: string }> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of await client.output(runId, attempt, stream, range)) {
    hash.update(chunk)
    length += chunk.length
  }
  return { length, sha256: hash.digest('hex') }
}

/**
 * Returns all events of an ended run. Checks that the log and each stream of output have no hole, and that no output
 * occurs twice.
 */
export async function wholeLog(client: ErrandClient, runId: string): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const event of client.events(runId)) events.push(event)
  assertWhole(events)
  return events
}

export function assertWhole(events: readonly RunEvent[]): void {
  assert.deepEqual(
    events.map((event) => event.seq),
    events.map((_, index) => index + 1),
  )
  const lengths = new Map<string, number>()
  for (const event of events) {
    if (event.type !== 'output') continue
    const key = `${event.attempt} ${event.stream}`
    assert.equal(event.offset, lengths.get(key) ?? 0, `output of attempt ${key}`)
    lengths.set(key, event.offset + event.length)
  }
  assert.equal(events.at(-1)?.type, 'run.finished')
}

export const textOf = (events: readonly RunEvent[], attempt: number, stream: StreamName = 'stdout'): string =>
  events
    .flatMap((event) =>
      event.type === 'output' && event.attempt === attempt && event.stream === stream
        ? [event.text ?? '']
        : [],
    )
    .join('')
