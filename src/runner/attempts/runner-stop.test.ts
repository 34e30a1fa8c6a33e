import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { command, endOf, place, until } from '../../../test/support/runner/attempt-fixture.ts'
import { bootId } from '../../platform/proc.ts'
import type { HeldAttempt } from '../ports.ts'
import { RunnerStop } from './runner-stop.ts'

/** Longer than any test: whoever waits for it waits for the runner to be told to stop. */
const LONG_MS = 600_000

const fileIn = ({ path }: { path: string }) => join(path, 'stopped.json')

/** Signals the process and its wrapper, like a machine that stops; the runner is signaled separately. */
async function signalAll(attempt: HeldAttempt, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const pid = () => attempt.reports.find((report) => report.type === 'started')?.pid
  await until(() => pid() !== undefined)
  process.kill(-pid()!, signal)
}

/** Waits until a command prints that it runs; only then can a signal end it. */
const running = async (attempt: HeldAttempt): Promise<void> =>
  await until(() => attempt.length('stdout') > 0, 'its first line')
const isWritten = (exit: string) => existsSync(exit) && readFileSync(exit, 'utf8').endsWith('\n')
const script = 'echo up; exec sleep 1000'

test('a step that SIGTERM ends just before or after its runner learns of the stop is lost', async () => {
  using here = place()
  const stop = new RunnerStop({ file: fileIn(here), holdMs: LONG_MS })
  const attempts = here.open({ stop })
  const before = await attempts.start(command(script), 1)
  await running(before)
  await signalAll(before)
  const exit = join(here.path, 'attempts', before.spec.attempt_id, 'exit')
  await until(() => isWritten(exit), 'its exit code')
  assert.equal(before.ended, false)
  const after = await attempts.start(command(script, { attempt_id: 'run_test.2' }), 1)
  await running(after)
  stop.announce()
  await signalAll(after)
  for (const attempt of [before, after]) {
    const { outcome, reason, message, exit_code } = await endOf(attempt)
    assert.deepEqual([outcome, reason, exit_code], ['interrupted', 'lost', undefined])
    assert.match(message!, /^SIGTERM ended it while its machine or its runner was being stopped/)
  }
  await attempts.close()
})

test('a step that an unrelated signal ends while its runner keeps running has failed with that signal', async () => {
  using here = place()
  const attempts = here.open({ stop: new RunnerStop({ file: fileIn(here), holdMs: 1 }) })
  for (const [index, script] of ['echo up; exec sleep 1000', 'kill -KILL $$', 'exit 143'].entries()) {
    const attempt = await attempts.start(command(script, { attempt_id: `run_test.${index + 1}` }), 1)
    if (index === 0) {
      await running(attempt)
      await signalAll(attempt)
    }
    const { outcome, reason } = await endOf(attempt)
    assert.deepEqual([outcome, reason], ['failed', 'signal'])
  }
  await attempts.close()
})

test('a cancel and other exit codes stay the same even while the runner is stopping', async () => {
  using here = place()
  const stop = new RunnerStop({ file: fileIn(here), holdMs: LONG_MS })
  stop.announce()
  const attempts = here.open({ stop })
  const canceled = await attempts.start(command(script), 1)
  await running(canceled)
  canceled.cancel(1_000, 'canceled')
  assert.equal((await endOf(canceled)).outcome, 'canceled')
  const failed = await attempts.start(command('exit 3', { attempt_id: 'run_test.2' }), 1)
  assert.equal((await endOf(failed)).reason, 'exit_code')
  await attempts.close()
})

test('a step that ends just after its runner stopped on request is lost too, but not one long after', async () => {
  for (const [reported, reason] of [
    [true, 'lost'],
    [false, 'signal'],
  ] as const) {
    using here = place()
    const stop = new RunnerStop({ file: fileIn(here), holdMs: LONG_MS })
    const attempts = here.open({ stop })
    const attempt = await attempts.start(command(script), 1)
    await running(attempt)
    if (reported) stop.announce()
    else {
      const long = { boot_id: bootId(), told_at_ms: Date.now() - 2 * LONG_MS }
      writeFileSync(fileIn(here), JSON.stringify(long))
    }
    await attempts.close()
    await signalAll(attempt)
    const exit = join(here.path, 'attempts', attempt.spec.attempt_id, 'exit')
    await until(() => isWritten(exit), 'its exit code')
    // The time of a file may be some milliseconds older than the clock.
    const again = here.open({ stop: new RunnerStop({ file: fileIn(here), holdMs: 100 }) })
    const [found] = await again.recover()
    assert.equal((await endOf(found!)).reason, reason)
    await again.close()
  }
})
