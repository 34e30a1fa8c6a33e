// npm test [-- path ...]: runs every *.test.ts below the given paths (default: all), tells of failures and skips only.
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import type { TestEvent } from 'node:test/reporters'
import { inspect, styleText } from 'node:util'

const root = join(import.meta.dirname, '..')
const filters = process.argv.slice(2).map((path) => relative(root, join(process.cwd(), path)))
const files = globSync('{src,test,examples,scripts,bench}/**/*.test.ts', { cwd: root })
  .filter(
    (file) =>
      filters.length === 0 || filters.some((filter) => file === filter || file.startsWith(`${filter}/`)),
  )
  .sort()

if (files.length === 0) {
  console.error(`error: no test file ${filters.length === 0 ? 'found' : `below ${filters.join(', ')}`}`)
  process.exit(1)
}

const startMs = Date.now()
const failures: string[] = []
const skips: string[] = []
const counts = { passed: 0, failed: 0, skipped: 0 }
/** What the test files print is shown only for those that fail. */
const printed = new Map<string, string>()

type Finished = Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>['data']

function title(test: Finished): string {
  const file = test.file === undefined ? '' : relative(root, test.file)
  return `${file}${test.line === undefined || file === '' ? '' : `:${test.line}`} ${test.name}`
}

function finished(test: Finished, passed: boolean): void {
  const skip = test.skip ?? test.todo
  if (skip !== undefined && skip !== false) {
    counts.skipped++
    skips.push(`${title(test)}: ${skip === true ? 'no reason given' : skip}`)
    return
  }
  if (test.details.type === 'suite') return
  if (passed) {
    counts.passed++
    return
  }
  const error = 'error' in test.details ? (test.details.error as Error) : undefined
  const cause = error?.cause ?? error
  // A test with subtests fails because they did; they are told on their own.
  if (error !== undefined && 'failureType' in error && error.failureType === 'subtestsFailed') return
  counts.failed++
  failures.push(
    `${styleText('red', `FAILED ${title(test)}`)}\n${cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause)}`,
  )
}

const stream = run({
  cwd: root,
  files: files.map((file) => join(root, file)),
  concurrency: availableParallelism(),
})
for await (const event of stream as AsyncIterable<TestEvent>) {
  if (event.type === 'test:pass' || event.type === 'test:fail')
    finished(event.data, event.type === 'test:pass')
  if (event.type === 'test:stdout' || event.type === 'test:stderr') {
    const file = relative(root, event.data.file ?? '')
    printed.set(file, ((printed.get(file) ?? '') + event.data.message).slice(-20_000))
  }
}

for (const failure of failures) console.log(`${failure}\n`)
for (const [file, text] of printed) {
  if (failures.some((failure) => failure.includes(`FAILED ${file}`)))
    console.log(`--- printed by ${file}\n${text}`)
}
if (skips.length > 0) console.log(`Skipped:\n${skips.map((skip) => `  ${skip}`).join('\n')}`)
const seconds = ((Date.now() - startMs) / 1000).toFixed(1)
const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`
console.log(`${files.length} files in ${seconds} s${skipped}`)
console.log(`${counts.passed} passed, ${counts.failed} failed`)
const skipsFail = process.env.ERRAND_TEST_NO_SKIPS === '1' && counts.skipped > 0
if (skipsFail) console.error('error: no test may be skipped here (ERRAND_TEST_NO_SKIPS=1)')
if (counts.failed > 0 || counts.passed === 0 || skipsFail) process.exitCode = 1
