import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { attemptSpec, endOf, place, textOf } from '../../../../test/support/runner/attempt-fixture.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { Action, ActionRegistry } from '../../ports.ts'

type Run = Extract<Action, { kind: 'inline' }>['run']
const registry = (run: Run): ActionRegistry => ({ test: { kind: 'inline', run } })

test('an inline action leaves nothing on disk, and its end is available at once', async () => {
  using here = place()
  const attempts = here.open()
  const attempt = await attempts.start(attemptSpec('vars.set', { vars: { A: 1, B: true } }), 1)
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.exports], ['success', { A: '1', B: 'true' }])
  assert.equal(existsSync(join(here.path, 'attempts', attempt.spec.attempt_id)), false)
  await attempt.release()
  assert.deepEqual(attempts.all(), [])
  await attempts.close()
})

test('large output moves from memory to a file, byte for byte, and to output_path', async () => {
  using here = place()
  const piece = Buffer.alloc(300_000, 'abc')
  const attempts = here.open({
    outputDir: here.path,
    registry: registry(async (_spec, { write }) => {
      for (let i = 0; i < 10; i++) await write('stdout', piece)
      await write('stderr', 'small')
      return {}
    }),
  })
  const args = { output_path: 'logs' }
  const attempt = await attempts.start(attemptSpec('test', args, { outputs: { E: 'stderr' } }), 1)
  const end = await endOf(attempt)
  const whole = Buffer.concat(Array<Buffer>(10).fill(piece))
  const sha256 = createHash('sha256').update(whole).digest('hex')
  assert.deepEqual(end.streams?.stdout, { length: whole.length, sha256 })
  assert.deepEqual(end.exports, { E: 'small' })
  assert.deepEqual(await attempt.read('stdout', 1_000_000, 500_000), whole.subarray(1_000_000, 1_500_000))
  assert.equal(await textOf(attempt, 'stderr'), 'small')
  assert.equal(dirname(end.output_files!.stdout!), join(here.path, 'logs'))
  assert.equal(statSync(end.output_files!.stdout!).size, whole.length)
  assert.equal(readFileSync(end.output_files!.stderr!, 'utf8'), 'small')
  await attempt.release()
  assert.equal(existsSync(join(here.path, 'attempts', attempt.spec.attempt_id)), false)
  await attempts.close()
})

test('a failing action fails its attempt with its message', async () => {
  using here = place()
  const errors = [
    new ErrandError('invalid_argument', 'Wrong.', { hint: 'Write it right.' }),
    new ErrandError('host_refused', 'No.'),
    new TypeError('Oops.'),
  ]
  const ends: unknown[] = []
  const attempts = here.open({ registry: registry(async () => Promise.reject(errors[ends.length])) })
  while (ends.length < errors.length) {
    const { outcome, reason, message } = await endOf(await attempts.start(attemptSpec('test', {}), 1))
    ends.push([outcome, reason, message])
  }
  assert.deepEqual(ends, [
    ['failed', 'invalid_argument', 'Wrong. Write it right.'],
    ['failed', 'action_failed', 'No.'],
    ['failed', 'action_failed', 'Oops.'],
  ])
  await attempts.close()
})

test('cancel, timeout and close end an action, even one that does not listen', async () => {
  using here = place()
  const attempts = here.open({ registry: registry(() => new Promise(() => undefined)) })
  const canceled = await attempts.start(attemptSpec('test', {}), 1)
  canceled.cancel(20, 'rejected')
  canceled.cancel(20, 'canceled')
  const end = await endOf(canceled)
  assert.deepEqual([end.outcome, end.reason], ['canceled', 'rejected'])
  const timed = await endOf(await attempts.start(attemptSpec('test', {}, { timeout_ms: 20 }), 1))
  assert.deepEqual([timed.outcome, timed.reason], ['failed', 'timeout'])
  const open = await attempts.start(attemptSpec('test', {}), 1)
  await attempts.close()
  assert.equal((await endOf(open)).outcome, 'interrupted')
  await assert.rejects(attempts.start(attemptSpec('test', {}), 1), { code: 'unavailable' })
})
