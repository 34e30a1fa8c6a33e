import { readFileSync, writeSync } from 'node:fs'
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/**
 * The descriptor that the reader of a test file's events opens. Events are written to it at once, so that none is lost
 * when the file is ended.
 */
const EVENTS = 3

/** A line of a test file: a test has begun, a test has ended, or the file is still alive. */
export type TestLine =
  | { type: 'begun'; id: number; name: string; file?: string; line?: number }
  | ({ type: 'ended'; id: number; file?: string; line?: number } & EndedTest)
  | { type: 'sign' }
  /** Processor time of the file and of all processes that it has waited for, in milliseconds. This is the last line. */
  | { type: 'cpu'; ms: number }

export interface EndedTest {
  name: string
  passed: boolean
  /** The reason, if it was skipped. */
  skipped?: string
  /** The error with its stack. It is missing if the test only failed because tests in it failed. */
  error?: string
  /** Whether it only contains other tests and is not a test itself. */
  suite?: boolean
}

/** Reports the events of node:test to the test command and to guests: a line of JSON for each event. */
export default async function* testReporter(source: AsyncIterable<TestEvent>) {
  process.once('exit', () => {
    const ms = processorMs()
    if (ms !== undefined) writeSync(EVENTS, `${JSON.stringify({ type: 'cpu', ms } satisfies TestLine)}\n`)
  })
  for await (const event of source) {
    writeSync(EVENTS, `${JSON.stringify(lineOf(event))}\n`)
    yield ''
  }
}

/** Events of one test have the same id, which the types of node:test do not know yet. */
type Identified = { testId: number; name: string; file?: string; line?: number }

function lineOf({ type, data }: TestEvent): TestLine {
  if (type === 'test:dequeue') {
    const { testId: id, name, file, line } = data as unknown as Identified
    return { type: 'begun', id, name, file, line }
  }
  if (type !== 'test:pass' && type !== 'test:fail') return { type: 'sign' }
  const { testId: id, name, file, line } = data as unknown as Identified
  const skip = data.skip ?? data.todo
  return {
    ...{ type: 'ended', id, name, file, line, passed: type === 'test:pass' },
    ...(skip !== undefined && skip !== false && { skipped: skip === true ? 'no reason given' : skip }),
    ...(type === 'test:fail' && { error: textOf(data.details.error) }),
    ...(data.details.type === 'suite' && { suite: true }),
  }
}

function textOf(error: Error): string | undefined {
  if ('failureType' in error && error.failureType === 'subtestsFailed') return undefined
  const cause = error.cause ?? error
  return cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause)
}

/** The kernel counts hundredths of a second on each Linux that Node runs on (`USER_HZ`). */
const TICK_MS = 10

/** Returns the processor time of this process and its children, or undefined if there is no /proc. */
function processorMs(): number | undefined {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    const [user, system, childUser, childSystem] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 16)
    return [user, system, childUser, childSystem].reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0)
  } catch {
    return undefined
  }
}
