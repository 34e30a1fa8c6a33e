import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { dockerHere } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import type { HeldAttempt } from '../ports.ts'

const skip = await dockerHere()

const phases = ({ reports }: HeldAttempt): string[] =>
  reports.flatMap((report) => (report.type === 'phase' ? [report.phase] : []))
const isRunning = (attempt: HeldAttempt) => until(() => phases(attempt).includes('running'), 'running')

test('a bot that ends by itself with code 0 succeeds, with its log on both streams', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const attempt = await attempts.start(
    here.bot('echo "hello $NAME"; echo oops >&2', {}, { env: { NAME: 'ann' } }),
    1,
  )
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.exit_code, end.message], ['success', 0, 'It ended by itself.'])
  assert.equal(await textOf(attempt), 'hello ann\n')
  assert.equal(await textOf(attempt, 'stderr'), 'oops\n')
  assert.equal(end.streams!.stdout!.length, 10)
  assert.deepEqual(phases(attempt), ['running'])
  const running = attempt.reports.find((report) => report.type === 'phase' && report.phase === 'running')
  assert.match(
    JSON.stringify(running),
    /busybox:latest, container [0-9a-f]{12}, 256 MB, 0.5 CPU, 100 processes/,
  )
  assert.deepEqual(await here.containers(), [])
  await attempt.release()
  assert.deepEqual(readdirSync(join(here.path, 'attempts')), [])
  await attempts.close()
})

test('a failed bot reports its exit code and last lines, or the signal or lack of memory', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const failing = await attempts.start(here.bot('seq 1 100; echo "Error: no token" >&2; exit 3'), 1)
  const eating = await attempts.start(here.bot('exec tail /dev/zero', { limits: { memory: '16MB' } }), 1)
  const killed = await attempts.start(here.bot('kill -9 $$'), 1)
  const missing = await attempts.start(here.bot('', { command: ['/bin/none'] }), 1)
  const [failed, oom, signal, start] = await Promise.all([failing, eating, killed, missing].map(endOf))
  assert.deepEqual([failed!.outcome, failed!.reason, failed!.exit_code], ['failed', 'exit_code', 3])
  assert.equal(failed!.message, 'Exit code 3.\nIts last lines:\nError: no token')
  assert.deepEqual([oom!.outcome, oom!.reason], ['failed', 'oom'])
  assert.match(oom!.message!, /Out of memory \(exit code 137\); it may use 16 MB/)
  assert.deepEqual([signal!.outcome, signal!.reason], ['failed', 'signal'])
  assert.match(signal!.message!, /Killed by SIGKILL \(exit code 137\)/)
  assert.deepEqual([start!.outcome, start!.reason], ['failed', 'exit_code'])
  assert.match(start!.message!, /Exit code 127\.\n.*\n.*exec \/bin\/none failed: No such file/)
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a bot is canceled with its grace period, ends at its timeout, and is gone both times', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const polite = await attempts.start(
    here.bot('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done', {
      stop_grace_seconds: 30,
    }),
    1,
  )
  const stubborn = await attempts.start(
    here.bot('trap "" TERM; echo up; while :; do sleep 0.1; done', { stop_grace_seconds: 600 }),
    1,
  )
  const late = await attempts.start(here.bot('echo up; sleep 1000', {}, { timeout_ms: 1000 }), 1)
  await until(async () => (await textOf(polite)) === 'up\n' && (await textOf(stubborn)) === 'up\n')
  polite.cancel(5_000, 'canceled')
  stubborn.cancel(5_000, 'canceled')
  const end = await endOf(polite)
  assert.deepEqual([end.outcome, end.reason, end.exit_code], ['canceled', 'canceled', 0])
  assert.equal(await textOf(polite), 'up\nbye\n')
  stubborn.cancel(0, 'canceled')
  assert.equal((await endOf(stubborn)).outcome, 'canceled')
  const timeout = await endOf(late)
  assert.deepEqual(
    [timeout.outcome, timeout.reason, timeout.message],
    ['failed', 'timeout', 'Stopped after 1 s.'],
  )
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a bot restarts after a failure, each time later, until it fails too often', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const restart = { policy: 'on-failure', max_restarts: 2 }
  const crashing = await attempts.start(here.bot('echo try; exit 7', { restart }), 1)
  const done = await attempts.start(here.bot('echo fine', { restart }), 1)
  assert.equal((await endOf(done)).outcome, 'success')
  assert.deepEqual(phases(done), ['running'])
  const end = await endOf(crashing)
  assert.deepEqual([end.outcome, end.reason, end.exit_code], ['failed', 'exit_code', 7])
  assert.match(
    end.message!,
    /^Exit code 7\. It was restarted 2 times before\.\nIts last lines:\ntry\ntry\ntry$/,
  )
  const reported = crashing.reports.flatMap((report) =>
    report.type === 'phase' ? [`${report.phase}: ${report.message}`] : [],
  )
  assert.deepEqual(
    reported.filter((text) => text.startsWith('restarting')),
    ['restarting: Exit code 7. Restart 1 of 2 in 1 s.', 'restarting: Exit code 7. Restart 2 of 2 in 2 s.'],
  )
  assert.equal(phases(crashing).filter((phase) => phase === 'running').length, 3)
  const stopped = await attempts.start(here.bot('exit 7', { restart: { policy: 'on-failure' } }), 1)
  await until(() => phases(stopped).includes('restarting'))
  stopped.cancel(5_000, 'canceled')
  assert.equal((await endOf(stopped)).outcome, 'canceled')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('with always or unless-stopped a bot also restarts after it succeeds or someone stops it', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const restart = { policy: 'always' }
  const ending = await attempts.start(here.bot('echo once', { restart }), 1)
  await until(async () => (await textOf(ending)).startsWith('once\nonce\nonce\n'))
  const phases = ending.reports.flatMap((report) => (report.type === 'phase' ? [report.message] : []))
  assert.ok(phases.includes('Exit code 0. Restart 2 in 2 s.'), JSON.stringify(phases))
  const script = 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'
  const stopped = await attempts.start(here.bot(script, { restart: { policy: 'unless-stopped' } }), 1)
  await until(() => stopped.length('stdout') > 0)
  const of = { 'errand.attempt': stopped.spec.attempt_id }
  const filters = { label: Object.entries(of).map((pair) => pair.join('=')) }
  const [container] = await new DockerApi().listContainers({ filters })
  await new DockerApi().getContainer(container!.Id).stop({ t: 60 })
  await until(async () => (await textOf(stopped)) === 'up\nup\n')
  // The end from which neither comes back.
  for (const attempt of [ending, stopped]) attempt.cancel(5_000, 'canceled')
  for (const attempt of [ending, stopped]) assert.equal((await endOf(attempt)).outcome, 'canceled')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a bot that someone else stops has not succeeded, even if it exits with 0', { skip }, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const attempt = await attempts.start(
    here.bot('trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'),
    1,
  )
  await until(() => attempt.length('stdout') > 0)
  const [id] = await here.containers()
  await new DockerApi().getContainer(id!).stop({ t: 60 })
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  assert.equal(end.message, 'Its container was stopped by its engine, or by someone else.')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a container that someone else removes is lost', { skip }, async (t) => {
  const here = await botPlace(t)
  const attempts = here.open()
  const attempt = await attempts.start(here.bot('sleep 1000'), 1)
  await isRunning(attempt)
  const [id] = await here.containers()
  await new DockerApi().getContainer(id!).remove({ force: true })
  const end = await endOf(attempt)
  // A look during the removal sees the kill.
  assert.match(`${end.outcome} ${end.reason}`, /^(interrupted lost|failed signal)$/)
  await attempts.close()
})
