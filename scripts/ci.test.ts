import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { slowTests } from './slow-tests.ts'
import { onlyInAll, runsTable } from './test-runs.ts'
import { servicesOf } from './test-services.ts'
import { surroundings } from './test-surroundings.ts'

const root = join(import.meta.dirname, '..')
const tests = globSync('{src,web,test,examples,scripts,bench}/**/*.test.ts', { cwd: root })

interface Job {
  if: string
  steps: { uses?: string; run?: string }[]
}

const workflow = parse(readFileSync(join(root, '.github/workflows/tests.yml'), 'utf8')) as {
  on: { push: null; schedule: { cron: string }[] }
  jobs: Record<'gate' | 'all', Job>
}

/** Returns what the commands of a job would do, each run as written. */
const stepsOf = ({ steps }: Job): string[] =>
  steps
    .flatMap(({ run }) => run ?? [])
    .flatMap((command) => {
      const env = { ...process.env, ERRAND_CI_DRY_RUN: '1' }
      return execFileSync('sh', ['-e', '-c', command], { cwd: root, env, encoding: 'utf8' }).split('\n')
    })
    .filter((line) => line.startsWith('+ '))

test('the workflow runs the gate on a push and all tests at night', () => {
  assert.equal(workflow.on.push, null)
  assert.match(workflow.on.schedule[0]!.cron, /^\d+ \d+ \* \* \*$/)
  assert.equal(workflow.jobs.gate.if, "github.event_name == 'push'")
  assert.equal(workflow.jobs.all.if, "github.event_name != 'push'")
  const gate = stepsOf(workflow.jobs.gate)
  assert.deepEqual(gate, [
    '+ scripts/ci-packages.sh',
    '+ node scripts/setup.mjs',
    '+ npm run --silent checks',
    '+ npm run --silent test',
    '+ localedef -i tr_TR -f UTF-8 tr_TR.UTF-8',
    '+ second_pass',
  ])
  const all = stepsOf(workflow.jobs.all)
  assert.deepEqual(
    all,
    gate.map((line) => line.replace(/ test$/, ' test:all')),
  )
})

test('the gate refuses unknown words', () => {
  const { status, stderr } = spawnSync('.ci/run', ['--nightly'], { cwd: root, encoding: 'utf8' })
  assert.equal(status, 2)
  assert.match(stderr, /takes --all or nothing, not: --nightly/)
})

test('each test is in the gate or in test:all, and CONTRIBUTING.md lists those only in test:all', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.match(scripts['test:all'], /scripts\/test\.ts --all$/)
  for (const file of onlyInAll.keys())
    assert.ok(tests.includes(file), `${file} is in the list but does not exist`)
  const all = listed('--all')
  const gate = listed()
  assert.deepEqual(all, [...tests].sort())
  assert.deepEqual(
    all.filter((file) => !gate.includes(file)),
    [...onlyInAll.keys()].sort(),
  )
  assert.ok(readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8').includes(runsTable(root)))
})

test('a file that takes more than a minute is in the list, with a reason', () => {
  const { files } = JSON.parse(readFileSync(join(root, 'scripts/test-durations.json'), 'utf8'))
  const slow = Object.entries(files as Record<string, { usual?: [number, number] }>)
    .filter(([file, { usual }]) => tests.includes(file) && usual !== undefined && usual[0] > 60_000)
    .map(([file]) => file)
  assert.deepEqual(
    slow.filter((file) => !slowTests.has(file)),
    [],
    'make it faster, or give the reason in scripts/slow-tests.ts',
  )
  for (const file of slowTests.keys())
    assert.ok(tests.includes(file), `${file} is in the list but does not exist`)
})

test('the checked-in durations are only of existing test files', () => {
  const { version, files } = JSON.parse(readFileSync(join(root, 'scripts/test-durations.json'), 'utf8'))
  assert.equal(version, 1)
  assert.deepEqual(
    Object.keys(files).filter((file) => !tests.includes(file)),
    [],
  )
})

test('a file that runs in other surroundings exists and asks for no service', () => {
  const servicesFor = servicesOf(root)
  assert.ok(surroundings.size >= 40)
  for (const file of surroundings.keys()) {
    assert.ok(existsSync(join(root, file)), file)
    assert.deepEqual(servicesFor(file), [], file)
  }
})

const listed = (...more: string[]): string[] =>
  execFileSync(process.execPath, ['scripts/test.ts', '--list', ...more], { cwd: root, encoding: 'utf8' })
    .trim()
    .split('\n')
    .sort()
