import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { processesOf } from '../../../test/support/programs.ts'
import { attemptSpec, endOf, place, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import { FolderArtifacts } from '../artifacts/folder-artifacts.ts'
import { RunnerStop } from '../attempts/runner-stop.ts'
import { HubAway, HubRetry } from '../link/hub-retry.ts'
import type { ActionRegistry } from '../ports.ts'
import { type BoxedEnd, type PlatformContext, type PlatformStep, StepFailure } from './platform-step.ts'

const skip = sandboxMissing()

const registry: ActionRegistry = { test: { kind: 'platform', prepare: ({ args }) => args } }
const opened = (run: PlatformStep['run']) => ({
  registry,
  platformStep: () => Promise.resolve({ run }),
})
const spec = (more: Parameters<typeof attemptSpec>[2] = {}) => attemptSpec('test', {}, more)

test('a step runs programs in the box, reports facts and exports, and its secret is masked', {
  skip,
}, async () => {
  using here = boxPlace()
  const secret = randomUUID()
  let packed = ''
  const attempts = here.open(
    opened(async (context: PlatformContext) => {
      context.write('stdout', `the token is ${context.env.TOKEN}\n`)
      const argv = [
        '/bin/sh',
        '-c',
        'echo "inside: $TOKEN" $(id -u); echo kept > there; ls /proc | grep -c "^[0-9]"',
      ]
      const ended = await context.boxed({ argv, stdout: 'log' })
      const file = join(context.folder, 'pack')
      const again = await context.boxed({ argv: ['/bin/cat', 'there'], stdout: { file }, offline: true })
      packed = readFileSync(file, 'utf8')
      context.report({
        type: 'tests',
        tests: { suite: 'all', passed: 1, failed: 0, skipped: 0, failed_names: [] },
      })
      return { exports: { ENDS: JSON.stringify([ended, again]) } }
    }),
  )
  const secrets = { TOKEN: { from: 'hub', name: 'TOKEN', as: 'env' } } as const
  const attempt = await attempts.start(spec({ secrets }), 1, { TOKEN: secret })
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.message], ['success', undefined])
  const exited: BoxedEnd = { type: 'exited', code: 0 }
  assert.deepEqual(JSON.parse(end.exports!.ENDS!), [exited, exited])
  const text = await textOf(attempt)
  assert.match(text, /^the token is \*+\ninside: +1000\n\d\n$/)
  assert.equal(packed, 'kept\n')
  assert.deepEqual(
    attempt.reports.map(({ type }) => type),
    ['started', 'tests', 'ended'],
  )
  await attempts.close()
})

test('a step stores its artifacts before it continues, and fetches those of the run', { skip }, async (t) => {
  using here = boxPlace()
  const folder = mkdtempSync(join(tmpdir(), 'errand-kept-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const run: PlatformStep['run'] = async ({ spec, folder, keep, fetchArtifact, write }) => {
    const { artifact_id } = await keep({ kind: 'plan', name: 'plan.md', bytes: 'the plan' })
    const file = join(folder, 'fetched')
    await fetchArtifact(spec.run_id, artifact_id, file)
    write('stdout', `${readFileSync(file, 'utf8')}\n`)
    return {}
  }
  const artifacts = new ArtifactKeeper(new FolderArtifacts(folder))
  const attempts = here.open({ ...opened(run), artifacts })
  const attempt = await attempts.start(spec(), 1)
  assert.equal((await endOf(attempt)).outcome, 'success')
  assert.equal(await textOf(attempt), 'the plan\n')
  const [, stored] = attempt.reports
  assert.ok(stored?.type === 'artifact' && stored.artifact.name === 'plan.md')
  await attempts.close()
  const without = here.open(opened(run))
  assert.match((await endOf(await without.start(spec(), 1))).message!, /stores nothing except the logs/)
  await without.close()
})

test('a step that waits for its hub says so once, and one whose hub stays away is lost', {
  skip,
}, async () => {
  using here = boxPlace()
  let requests = 0
  const retry = new HubRetry()
  retry.linked(50)
  const away = async () => {
    requests++
    throw new HubAway('The hub does not answer.')
  }
  const artifacts = new ArtifactKeeper({ put: away, get: away, retry })
  const fetches: PlatformStep['run'] = async ({ folder, fetchArtifact }) => {
    await fetchArtifact('run_1', '1.1', join(folder, 'fetched'))
    return {}
  }
  const attempts = here.open({ ...opened(fetches), artifacts })
  const attempt = await attempts.start(spec(), 1)
  const end = await endOf(attempt)
  assert.deepEqual(
    [end.outcome, end.reason, end.message],
    ['interrupted', 'lost', 'The hub does not answer.'],
  )
  assert.ok(requests > 1)
  const phases = attempt.reports.flatMap((report) => (report.type === 'phase' ? [report.message] : []))
  assert.deepEqual(phases, ['The hub does not answer. Trying again.'])
  await attempts.close()
})

test('a step whose command ends because the machine stops is lost, even if it reports another failure', {
  skip,
}, async () => {
  using here = boxPlace()
  const stop = new RunnerStop({ file: join(here.path, 'stopped.json') })
  stop.announce()
  const fails: PlatformStep['run'] = async ({ boxed }) => {
    await boxed({ argv: ['/bin/sh', '-c', 'kill -TERM $$'], stdout: 'log' })
    throw new StepFailure('test', 'The tests failed.')
  }
  const attempts = here.open({ ...opened(fails), stop })
  const { outcome, reason, message } = await endOf(await attempts.start(spec(), 1))
  assert.deepEqual([outcome, reason], ['interrupted', 'lost'])
  assert.match(message!, /^A command of the step was ended by SIGTERM while its machine/)
  await attempts.close()
})

test('a failure has its reason, its message and its hint', { skip }, async () => {
  using here = boxPlace()
  const failures = [
    new StepFailure('base_missing', 'There is no branch "main".', 'Name another.'),
    new TypeError('Oops.'),
  ]
  const ends: unknown[] = []
  const attempts = here.open(opened(async () => Promise.reject(failures[ends.length])))
  while (ends.length < failures.length) {
    const { outcome, reason, message } = await endOf(await attempts.start(spec(), 1))
    ends.push([outcome, reason, message])
  }
  assert.deepEqual(ends, [
    ['failed', 'base_missing', 'There is no branch "main". Name another.'],
    ['failed', 'action_failed', 'Oops.'],
  ])
  await attempts.close()
})

test('cancel, the timeout and the time limit of one command leave nothing running', { skip }, async () => {
  using here = boxPlace()
  const marks: string[] = []
  const late = async (context: PlatformContext) => {
    const mark = randomUUID()
    marks.push(mark)
    const script = `(setsid sh -c "while :; do sleep 0.1; done # ${mark}" &) ; echo up; while :; do sleep 0.1; done # ${mark}`
    const { timeout_ms } = context.args as { timeout_ms?: number }
    const ended = await context.boxed({ argv: ['/bin/sh', '-c', script], stdout: 'log', timeout_ms })
    context.write('stdout', `${ended.type}\n`)
    return {}
  }
  const attempts = here.open(opened(late))
  const canceled = await attempts.start(spec(), 1)
  await until(async () => (await textOf(canceled)) === 'up\n')
  canceled.cancel(0, 'canceled')
  assert.equal((await endOf(canceled)).outcome, 'canceled')
  const timed = await attempts.start(spec({ timeout_ms: 300 }), 1)
  assert.equal((await endOf(timed)).reason, 'timeout')
  const one = await attempts.start(attemptSpec('test', { timeout_ms: 300 }), 1)
  assert.equal((await endOf(one)).outcome, 'success')
  assert.equal(await textOf(one), 'up\ntimed_out\n')
  assert.equal(marks.length, 3)
  for (const mark of marks) assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})

const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)

test('after its runner is killed nothing of a step continues, and the step is lost', async () => {
  using here = place()
  const mark = randomUUID()
  const folders = {
    dir: join(here.path, 'attempts'),
    workspaceDir: join(here.path, 'workspaces'),
  }
  const command = `echo up > up; while :; do sleep 0.1; done # ${mark}`
  const script = `
    const { openAttempts } = await import(${module('../open-attempts.ts')})
    const attempts = openAttempts({
      ...${JSON.stringify(folders)},
      registry: { test: { kind: 'platform', prepare: ({ args }) => args } },
      platformStep: () => Promise.resolve({
        run: async ({ boxed }) => {
          await boxed({ argv: ['/bin/sh', '-c', ${JSON.stringify(command)}], stdout: 'log' })
          return {}
        },
      }),
    })
    await attempts.start(${JSON.stringify(spec())}, 1)
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
  const exited = once(child, 'exit')
  await until(() => existsSync(join(folders.workspaceDir, 'run_test/up')))
  child.kill('SIGKILL')
  await exited
  assert.equal(processesOf(mark).length > 0, true)
  const attempts = here.open(opened(() => Promise.reject(new Error('begun again'))))
  const [attempt] = await attempts.recover()
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  assert.deepEqual(processesOf(mark), [])
  await attempts.close()
})
