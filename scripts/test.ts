// npm test [-- path ...]: runs every *.test.ts below the given paths (default: all). Shows each file as it ends. SIGINT,
// SIGTERM and SIGHUP end all that runs, and what is known until then is told.
//   ERRAND_TEST_NO_SKIPS=1          a test that is skipped fails the run, but one of those named below
//   ERRAND_TEST_UNSTABLE=N          at most N files in which tests have failed are run again, alone: what passes then is
//                                   told as unstable, and does not fail the run (default: 0)
//   ERRAND_TEST_SILENT_SECONDS=N    a file from which nothing comes for so long, no event of its tests and no output, is
//                                   ended with all that it has started, and has failed (default: 180)
//   ERRAND_TEST_WITHOUT=NAME,...    tests find none of these, as on a machine that has none: docker, kubernetes, agents,
//                                   guests, sandboxes, browsers. A file that asks for none of these finds none anyway.
//   ERRAND_TEST_ASKING=1            only files that ask for one of these (test-services.ts)
import { globSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { join, relative } from 'node:path'
import { styleText } from 'node:util'
import { runTestFiles } from './test-files.ts'
import { skipLines, TestProgress } from './test-progress.ts'
import { serviceAsker, services } from './test-services.ts'

const root = join(import.meta.dirname, '..')
/** Files that need what takes too long to make each time: their tests may be skipped everywhere. */
const maySkip = ['test/forge/gitea.test.ts']
const filters = process.argv.slice(2).map((path) => relative(root, join(process.cwd(), path)))
const asks = serviceAsker(root)
const files = globSync('{src,web,test,examples,scripts,bench}/**/*.test.ts', { cwd: root })
  .filter(
    (file) =>
      filters.length === 0 || filters.some((filter) => file === filter || file.startsWith(`${filter}/`)),
  )
  .filter((file) => process.env.ERRAND_TEST_ASKING !== '1' || asks(file))
  // Those of test/ start whole programs and take longest: first, so that at the end none is waited for alone.
  .sort((a, b) => Number(b.startsWith('test/')) - Number(a.startsWith('test/')) || (a < b ? -1 : 1))

if (files.length === 0) {
  console.error(`error: no test file ${filters.length === 0 ? 'found' : `below ${filters.join(', ')}`}`)
  process.exit(1)
}

const stopping = new AbortController()
let stoppedBy: NodeJS.Signals | undefined
const stop = (signal: NodeJS.Signals): void => {
  stoppedBy ??= signal
  stopping.abort()
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
// A terminal that was closed, or a reader that has gone away.
process.stdout.on('error', () => stop('SIGPIPE'))

const startMs = Date.now()
const run = async (which: readonly string[], concurrency: number) => {
  const progress = new TestProgress(process.stdout, which.length)
  const results = await runTestFiles(root, which, {
    concurrency,
    silenceMs: Number(process.env.ERRAND_TEST_SILENT_SECONDS ?? 180) * 1000,
    without: (file) => (asks(file) ? (process.env.ERRAND_TEST_WITHOUT ?? '') : services.join()),
    stop: stopping.signal,
    began: (file) => progress.began(file),
    ended: (file, result) => progress.ended(file, result),
  })
  progress.close()
  return results
}

// Tests wait for processes, disks and one another's ends: with one file more than there are cores these have work to do.
const results = await run(files, availableParallelism() + 1)
const failed = files.filter((file) => results.get(file)?.failures.length)
const again = failed.length > 0 && failed.length <= Number(process.env.ERRAND_TEST_UNSTABLE ?? 0)
if (again && !stoppedBy)
  for (const [file, result] of await run(failed, 1)) {
    if (result.stopped) continue
    results.set(file, result)
    const stays = result.failures.length > 0
    const told = stays ? ['FAILED AGAIN', 'also'] : ['UNSTABLE', 'passes']
    console.log(styleText('yellow', `${told[0]} ${file}: ${told[1]} when it is run alone`))
  }

const all = files.flatMap((file) => results.get(file) ?? [])
const skips = all.flatMap((result) => result.skips)
const failures = all.flatMap((result) => result.failures)
const passed = all.reduce((sum, result) => sum + result.passed, 0)
const refused = skips.filter(({ title }) => !maySkip.some((file) => title.startsWith(`${file}:`)))
const skipsFail = process.env.ERRAND_TEST_NO_SKIPS === '1' && refused.length > 0
if (skips.length > 0) console.log(`Skipped:\n${skipLines(all).join('\n')}`)
if (skipsFail) console.error(`error: no test may be skipped here:\n${titles(refused)}`)
if (failures.length > 0) console.log(`${styleText('red', 'Failed:')}\n${titles(failures)}`)
if (stoppedBy) {
  const ended = all.filter(({ stopped }) => !stopped).length
  console.log(styleText('yellow', `Stopped by ${stoppedBy}: ${ended} of ${files.length} files had ended.`))
}
const seconds = ((Date.now() - startMs) / 1000).toFixed(1)
console.log(`${all.length} files in ${seconds} s${skips.length === 0 ? '' : `, ${skips.length} skipped`}`)
console.log(`${passed} passed, ${failures.length} failed`)
if (stoppedBy) process.exitCode = 128 + constants.signals[stoppedBy]
else if (failures.length > 0 || passed === 0 || skipsFail) process.exitCode = 1

function titles(told: readonly { title: string }[]): string {
  return told.map(({ title }) => `  ${title}`).join('\n')
}
