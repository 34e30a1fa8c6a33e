// npm test [-- [--only-failed] path ...]: runs every *.test.ts below the given paths (default: all), except those that
// only `npm run test:all` runs. Shows each file when it ends. SIGINT, SIGTERM and SIGHUP end everything that runs, and
// the results so far are reported.
//   --all                           what `npm run test:all` runs: every file, each at its full size (ERRAND_TEST_LARGE=1)
//   --changed                       only files that import what has changed since the merge base with the upstream branch
//   --list                          prints the files instead of running them
//   --only-failed                   only files that did not pass in the last run of the same kind in this checkout
//   ERRAND_TEST_NO_SKIPS=1          makes services ready while tests run; a skipped test fails the run
//   ERRAND_TEST_UNSTABLE=N          if tests of at most N files fail, these run again, each alone: a file that then
//                                   passes is reported as unstable, and does not fail the run (default: 0)
//   ERRAND_TEST_SILENT_SECONDS=N    a file that gives no sign for this long (no event of its tests, no output) is ended
//                                   with everything that it has started, and has failed (default: 180; up to four times
//                                   as long while the machine has more work than processors)
//   ERRAND_TEST_WITHOUT=NAME,...    hides these services from tests, as on a machine without them: docker, kubernetes,
//                                   agents, guests, sandboxes, browsers, gitea. A file finds only what it asks for.
//   ERRAND_TEST_SECOND_PASS=1       what one pass cannot show: the files of test-surroundings.ts with colours, another zone,
//                                   language, umask and home; each file that asks for a service, without any
import { existsSync, globSync } from 'node:fs'
import { availableParallelism, constants } from 'node:os'
import { join, relative } from 'node:path'
import { styleText } from 'node:util'
import { addSecondPassFailure, secondPassOf } from './second-pass.ts'
import { changedTests, cleanCommit } from './test-affected.ts'
import { Durations } from './test-durations.ts'
import { type FileResult, runTestFiles } from './test-files.ts'
import { LastRun } from './test-last-run.ts'
import { planTests } from './test-plan.ts'
import { Preparation } from './test-preparation.ts'
import { skipLines, TestProgress, timeText, wrapped } from './test-progress.ts'
import { onlyInAll } from './test-runs.ts'
import { expectedEnd, Schedule, type Width, type Work } from './test-schedule.ts'
import { missingService, type Service, services, servicesOf } from './test-services.ts'

const root = join(import.meta.dirname, '..')
const SLOWEST = 10

const OPTIONS = ['--all', '--changed', '--list', '--only-failed']

const words = process.argv.slice(2)
const unknown = words.find((word) => word.startsWith('-') && !OPTIONS.includes(word))
if (unknown !== undefined) {
  console.error(`error: unknown option ${unknown}\n  hint: the options are ${OPTIONS.join(', ')}`)
  process.exit(2)
}
const isAll = words.includes('--all')
const onlyFailed = words.includes('--only-failed')
const secondPass = process.env.ERRAND_TEST_SECOND_PASS === '1'
const noSkips = process.env.ERRAND_TEST_NO_SKIPS === '1'
const hidden = services.filter((service) => process.env.ERRAND_TEST_WITHOUT?.split(',').includes(service))
if (isAll) process.env.ERRAND_TEST_LARGE = '1'

const filters = words
  .filter((word) => !word.startsWith('--'))
  .map((path) => relative(root, join(process.cwd(), path)))
const lastRun = new LastRun(root, isAll ? 'all' : 'usual')
const passedBefore = onlyFailed ? lastRun.read() : new Set<string>()
const found = globSync('{src,web,test,examples,scripts,bench}/**/*.test.ts', { cwd: root }).filter((file) =>
  filters.length === 0
    ? isAll || !onlyInAll.has(file)
    : filters.some((filter) => file === filter || file.startsWith(`${filter}/`)),
)
const changed = words.includes('--changed') ? changedTests(root, found) : undefined
const files = (changed ?? found).filter((file) => !passedBefore.has(file))

if (found.length === 0) {
  console.error(`error: no test file ${filters.length === 0 ? 'found' : `below ${filters.join(', ')}`}`)
  process.exit(1)
}
if (words.includes('--list')) {
  console.log(files.join('\n'))
  process.exit(0)
}

const stopping = new AbortController()
const preparation = new Preparation(root)
let stoppedBy: NodeJS.Signals | undefined
const stop = (signal: NodeJS.Signals): void => {
  stoppedBy ??= signal
  stopping.abort()
  void preparation.close()
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
// The terminal was closed, or the reader has gone away.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop('SIGPIPE'))

const durations = new Durations(root)
const cores = availableParallelism()
// Most files wait more than they compute: for processes and disks.
const width: Width = { cores, most: 3 * cores }
const startMs = Date.now()

const isWhole = filters.length === 0
const missing = new Map<Service, string>(
  hidden.map((service) => [service, 'ERRAND_TEST_WITHOUT hides it'] as const),
)
if (isWhole && !secondPass && !noSkips) await findMissing()
const { works, note } = planTests(root, files, {
  durations,
  variantOf: (file) =>
    secondPass || file.some((service) => missing.has(service)) ? 'skipping' : isAll ? 'large' : 'usual',
  fastFirst: process.stdout.isTTY,
  ...(durations.lastPassed !== undefined && { lastPassed: durations.lastPassed }),
})
const jobs = secondPass ? secondPassOf(works) : works
const neededServices = services.filter((service) => jobs.some((work) => work.services.includes(service)))
if (noSkips) preparation.start(neededServices.filter((service) => !hidden.includes(service)))
introduce()

const results = await run(jobs, width)
const failed = jobs.filter(({ file }) => results.get(file)?.failures.length)
const again = failed.length > 0 && failed.length <= Number(process.env.ERRAND_TEST_UNSTABLE ?? 0)
if (again && !stoppedBy)
  for (const [file, result] of await run(failed, { cores: 1, most: 1 })) {
    if (result.stopped) continue
    results.set(file, result)
    const [word, also] = result.failures.length > 0 ? ['FAILED AGAIN', 'also'] : ['UNSTABLE', 'passes']
    console.log(styleText('yellow', `${word} ${file}: ${also} when it is run alone`))
  }
await preparation.close()
report()

async function findMissing(): Promise<void> {
  const servicesFor = servicesOf(root)
  const required = new Set(files.flatMap(servicesFor))
  const found = services.filter((service) => required.has(service) && !missing.has(service))
  await Promise.all(
    found.map(async (service) => {
      const why = await missingService(service)
      if (why !== false) missing.set(service, why)
    }),
  )
}

/** Says before the first test what will run, how long it will take, and what will be skipped. */
function introduce(): void {
  if (!isWhole) return
  const say = (line: string) => console.log(wrapped(line, process.stdout.columns))
  const long = timeText(expectedEnd(jobs, width))
  say(`${jobs.length} test files, about ${long} on ${cores} ${cores === 1 ? 'core' : 'cores'}`)
  if (note !== '') say(`Order: ${note}`)
  if (secondPass) return
  for (const [service, why] of missing) {
    const count = jobs.filter((work) => work.services.includes(service)).length
    if (count > 0) say(`Tests in ${count} of them will be skipped: ${why}`)
  }
}

async function run(jobs: readonly Work[], width: Width): Promise<Map<string, FileResult>> {
  // A container engine that starts adds network interfaces.
  const isReady = (service: string) =>
    preparation.isReady(service) && (service !== 'browsers' || preparation.isReady('docker'))
  const schedule = new Schedule(jobs, width, isReady)
  const progress = new TestProgress(process.stdout, jobs.length, (runningMs) =>
    expectedEnd(schedule.waiting, width, runningMs),
  )
  const results = await runTestFiles(root, schedule, {
    silenceMs: Number(process.env.ERRAND_TEST_SILENT_SECONDS ?? 180) * 1000,
    without: ({ services: needed }) =>
      services.filter((service) => secondPass || !needed.includes(service) || hidden.includes(service)),
    stop: stopping.signal,
    serviceReady: () => preparation.changed(),
    began: (work) => progress.began(work),
    ended: (work, result) => {
      if (secondPass) addSecondPassFailure(work, result)
      else recordDuration(work, result)
      progress.ended(work, result)
      for (const service of noSkips ? work.services : [])
        if (!schedule.isNeeded(service)) preparation.release(service as Service)
    },
  })
  progress.close()
  return results
}

/** Records how long a file took. The duration of a failed or stopped run says nothing about the next one. */
function recordDuration({ file }: Work, { failures, stopped, skips, ms, cpuMs }: FileResult): void {
  if (failures.length > 0 || stopped) return
  const variant = isAll ? 'large' : skips.length > 0 ? 'skipping' : 'usual'
  durations.record(file, variant, { wallMs: ms, ...(cpuMs !== undefined && { cpuMs }) })
}

function report(): void {
  const all = [...results.values()]
  const skips = all.flatMap((result) => result.skips)
  const failures = [...all.flatMap((result) => result.failures), ...preparation.failures]
  const passed = all.reduce((sum, result) => sum + result.passed, 0)
  const skipsFail = noSkips && skips.length > 0
  if (skips.length > 0 && !secondPass) console.log(`Skipped:\n${skipLines(all).join('\n')}`)
  if (skipsFail) console.error(`error: no test may be skipped here:\n${titles(skips)}`)
  for (const { title, text } of preparation.failures)
    console.log(`${styleText('red', `FAILED ${title}`)}\n${text}`)
  if (failures.length > 0) console.log(`${styleText('red', 'Failed:')}\n${titles(failures)}`)
  if (isWhole) reportSlowest()
  if (stoppedBy) {
    const ended = all.filter(({ stopped }) => !stopped).length
    console.log(styleText('yellow', `Stopped by ${stoppedBy}: ${ended} of ${jobs.length} files had ended.`))
  }
  if (!secondPass) remember(!stoppedBy && failures.length === 0 && !skipsFail)
  const nothing = passed === 0 && jobs.length > 0
  if (nothing && failures.length === 0 && !stoppedBy) console.error('error: no test has passed')
  const seconds = ((Date.now() - startMs) / 1000).toFixed(1)
  console.log(`${all.length} files in ${seconds} s${skips.length === 0 ? '' : `, ${skips.length} skipped`}`)
  console.log(`${passed} passed, ${failures.length} failed`)
  if (stoppedBy) process.exitCode = 128 + constants.signals[stoppedBy]
  else if (failures.length > 0 || nothing || skipsFail) process.exitCode = 1
}

function reportSlowest(): void {
  const slowest = [...results].sort(([, a], [, b]) => b.ms - a.ms).slice(0, SLOWEST)
  if (slowest.length < SLOWEST) return
  console.log(`The ${SLOWEST} slowest files:`)
  for (const [file, { ms, cpuMs }] of slowest) {
    const cpu = cpuMs === undefined ? '' : `, ${(cpuMs / 1000).toFixed(1)} s of processor time`
    console.log(`${(ms / 1000).toFixed(1).padStart(7)} s  ${file}${cpu}`)
  }
}

/** Saves for the next run: the durations, the files that passed, and the commit at which all of them passed. */
function remember(isGreen: boolean): void {
  const passedNow = [...results].filter(
    ([, { failures, skips, stopped }]) => failures.length === 0 && !stopped && !(noSkips && skips.length > 0),
  )
  if (isGreen && !onlyFailed && changed === undefined && isWhole)
    durations.lastPassed = cleanCommit(root) ?? durations.lastPassed
  try {
    lastRun.write([...passedBefore, ...passedNow.map(([file]) => file)])
    durations.save((file) => existsSync(join(root, file)))
  } catch (error) {
    console.error(`warning: the next run will not know how this one went: ${(error as Error).message}`)
  }
}

function titles(tests: readonly { title: string }[]): string {
  return tests.map(({ title }) => `  ${title}`).join('\n')
}
