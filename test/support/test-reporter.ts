import { writeSync } from 'node:fs'
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

/** What reads a test file's events opens this descriptor. Written to at once: what ends the file then loses none. */
const EVENTS = 3

/** What a test file tells: a test has begun, a test has ended, or that it is at it. */
export type TestLine =
  | { type: 'begun'; id: number; name: string; file?: string; line?: number }
  | ({ type: 'ended'; id: number; file?: string; line?: number } & EndedTest)
  | { type: 'sign' }

export interface EndedTest {
  name: string
  passed: boolean
  /** The reason, where it was skipped. */
  skipped?: string
  /** With the stack; left out too where a test has failed because those in it have. */
  error?: string
  /** It only holds others, and is none itself. */
  suite?: boolean
}

/** A reporter of node:test, for the test command and for guests: a line of JSON for each event. */
export default async function* testReporter(source: AsyncIterable<TestEvent>) {
  for await (const event of source) {
    writeSync(EVENTS, `${JSON.stringify(lineOf(event))}\n`)
    yield ''
  }
}

/** Those of one test bear the same id, which the types of node:test do not know yet. */
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
