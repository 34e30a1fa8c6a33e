import type { TestEvent } from 'node:test/reporters'

/** A test as the guest tells of it. */
export interface GuestTest {
  name: string
  passed: boolean
  /** The reason, where it was skipped. */
  skipped?: string
  error?: string
}

/** A reporter of node:test: a line of JSON for each test. */
export default async function* guestReporter(source: AsyncIterable<TestEvent>) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const test: GuestTest = { name: data.name, passed: type === 'test:pass' }
    const skip = data.skip ?? data.todo
    if (skip !== undefined && skip !== false) test.skipped = skip === true ? 'no reason given' : skip
    if (type === 'test:fail') test.error = textOf(data.details.error)
    yield `${JSON.stringify(test)}\n`
  }
}

function textOf(error: Error): string {
  const cause = error.cause ?? error
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
