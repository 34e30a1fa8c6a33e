// npm test [-- path ...]: runs every *.test.ts below the given paths (default: all), tells of failures and skips only.
//   ERRAND_TEST_NO_SKIPS=1   a test that is skipped fails the run
//   ERRAND_TEST_UNSTABLE=N   at most N files in which tests have failed are run again, alone: what passes then is told as
//                            unstable, and does not fail the run (default: 0)
//   ERRAND_TEST_SECONDS=N    a file that has not ended by then, as where a failed test has left a timer, is ended and has
//                            failed (default: 1800)
import { globSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { styleText } from 'node:util'
import { runTestFiles } from './test-files.ts'

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
const fileLimitMs = Number(process.env.ERRAND_TEST_SECONDS ?? 1800) * 1000
const results = await runTestFiles(root, files, { concurrency: availableParallelism(), fileLimitMs })
const failed = files.filter((file) => results.get(file)!.failures.length > 0)
for (const file of failed) {
  const { failures, printed } = results.get(file)!
  for (const failure of failures) console.log(`${failure}\n`)
  if (printed !== '') console.log(`--- printed by ${file}\n${printed}`)
}

if (failed.length > 0 && failed.length <= Number(process.env.ERRAND_TEST_UNSTABLE ?? 0)) {
  for (const [file, result] of await runTestFiles(root, failed, { concurrency: 1, fileLimitMs })) {
    results.set(file, result)
    const stays = result.failures.length > 0
    console.log(
      styleText(
        'yellow',
        `${stays ? 'FAILED AGAIN' : 'UNSTABLE'} ${file}: ${stays ? 'also' : 'passes'} when it is run alone`,
      ),
    )
  }
}

const all = [...results.values()]
const skips = files.flatMap((file) => results.get(file)!.skips)
const passed = all.reduce((sum, result) => sum + result.passed, 0)
const failures = all.reduce((sum, result) => sum + result.failures.length, 0)
if (skips.length > 0) console.log(`Skipped:\n${skips.map((skip) => `  ${skip}`).join('\n')}`)
const seconds = ((Date.now() - startMs) / 1000).toFixed(1)
console.log(`${files.length} files in ${seconds} s${skips.length === 0 ? '' : `, ${skips.length} skipped`}`)
console.log(`${passed} passed, ${failures} failed`)
const skipsFail = process.env.ERRAND_TEST_NO_SKIPS === '1' && skips.length > 0
if (skipsFail) console.error('error: no test may be skipped here (ERRAND_TEST_NO_SKIPS=1)')
if (failures > 0 || passed === 0 || skipsFail) process.exitCode = 1
