import { relative } from 'node:path'
import { run } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { inspect, styleText } from 'node:util'

/** So much of what a test file prints is kept, its end. */
const KEPT_CHARACTERS = 20_000

/** What came of the tests of one file. */
export interface FileResult {
  passed: number
  /** One text for each test: which, and its error with the stack. */
  failures: string[]
  /** One text for each: which, and the reason. */
  skips: string[]
  printed: string
}

export interface RunOptions {
  /** So many at once. */
  concurrency: number
  /** A file that has not ended by then is ended, and has failed. */
  fileLimitMs: number
}

/** Runs the test files, each in a process of its own. Answers what came of each, by its path. */
export async function runTestFiles(
  root: string,
  files: readonly string[],
  { concurrency, fileLimitMs }: RunOptions,
): Promise<Map<string, FileResult>> {
  const results = new Map<string, FileResult>()
  const waiting = [...files]
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
      results.set(file, await runTestFile(root, file, fileLimitMs))
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  return results
}

async function runTestFile(root: string, file: string, limitMs: number): Promise<FileResult> {
  const limit = new AbortController()
  const late = new Error(`It had not ended after ${limitMs / 1000} s, and was ended.`)
  const timer = setTimeout(() => limit.abort(late), limitMs)
  const result: FileResult = { passed: 0, failures: [], skips: [], printed: '' }
  for await (const event of run({
    cwd: root,
    files: [file],
    signal: limit.signal,
  }) as AsyncIterable<TestEvent>) {
    if (event.type === 'test:pass' || event.type === 'test:fail')
      add(result, titleOf(root, event.data), event.data, event.type === 'test:pass')
    if (event.type === 'test:stdout' || event.type === 'test:stderr')
      result.printed = (result.printed + event.data.message).slice(-KEPT_CHARACTERS)
  }
  clearTimeout(timer)
  return result
}

type Finished = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data']

function titleOf(root: string, test: Finished): string {
  const file = test.file === undefined ? '' : relative(root, test.file)
  return `${file}${test.line === undefined || file === '' ? '' : `:${test.line}`} ${test.name}`
}

function add(result: FileResult, title: string, test: Finished, passed: boolean): void {
  const skip = test.skip ?? test.todo
  if (skip !== undefined && skip !== false) {
    result.skips.push(`${title}: ${skip === true ? 'no reason given' : skip}`)
    return
  }
  if (test.details.type === 'suite') return
  if (passed) {
    result.passed++
    return
  }
  const error = 'error' in test.details ? (test.details.error as Error) : undefined
  const cause = error?.cause ?? error
  // A test with subtests fails because they did; they are told on their own.
  if (error !== undefined && 'failureType' in error && error.failureType === 'subtestsFailed') return
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause)
  result.failures.push(`${styleText('red', `FAILED ${title}`)}\n${text}`)
}
