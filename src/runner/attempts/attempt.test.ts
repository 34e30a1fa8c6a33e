import assert from 'node:assert/strict'
import { test } from 'node:test'
import { attemptSpec } from '../../../test/support/runner/attempt-fixture.ts'
import type { AttemptEnd } from '../../contract/attempt.ts'
import type { Scope } from '../limits/scope.ts'
import { Attempt, type AttemptOptions } from './attempt.ts'
import type { Driven, Driver } from './driver.ts'
import { AttemptJournal } from './journal.ts'
import { MemoryOutput } from './memory-output.ts'

/** Makes an attempt with a driver that records its calls, and does only what `own` gives. */
function driven(own: Partial<Driver> = {}, more: Partial<AttemptOptions> = {}, timeout_ms?: number) {
  const reported: string[] = []
  const spec = attemptSpec('test', {}, { timeout_ms })
  const output = new MemoryOutput({ spec, masker: undefined, folder: '/nowhere' })
  let of!: Driven
  const driver: Driver = {
    begin: () => void reported.push('begin'),
    stop: (graceMs) => void reported.push(`stop ${graceMs}`),
    expedite: () => void reported.push('expedite'),
    beforeSweep: ({ type }) => void reported.push(`beforeSweep ${type}`),
    sweep: async ({ type }) => {
      reported.push(`sweep ${type}`)
      return {}
    },
    kill: async () => void reported.push('kill'),
    leave: () => void reported.push('leave'),
    ...own,
  }
  const attempt: Attempt = new Attempt({
    ...{ spec, epoch: 1, output, masker: undefined, warnings: [] },
    ...{ journal: new AttemptJournal(), timeoutGraceMs: 70, outputDir: '/', path: '/nowhere' },
    driver: (attempt) => {
      of = attempt
      return driver
    },
    dropSecrets: () => void reported.push('drop secrets'),
    remove: async () => void reported.push('remove'),
    onReleased: () => void reported.push('released'),
    ...more,
  })
  return { attempt, of, told: reported, output, spec }
}

const endOf = ({ reports }: Attempt) => reports.at(-1) as AttemptEnd
const types = ({ reports }: Attempt) => reports.map(({ type }) => type)

test('an attempt that ends by itself is swept, measured and reported once', async () => {
  const { attempt, of, told, output } = driven()
  attempt.begin()
  of.running(7, Date.now())
  of.running(8, Date.now())
  await output.push('stdout', Buffer.from('hi'))
  await Promise.all([
    of.finish({ type: 'exited', code: 3 }),
    of.finish({ type: 'done' }),
    of.finish({ type: 'lost', why: 'twice' }),
  ])
  assert.deepEqual(types(attempt), ['started', 'ended'])
  assert.deepEqual(told, ['begin', 'beforeSweep exited', 'sweep exited', 'drop secrets'])
  const { reason, exit_code, streams } = endOf(attempt)
  assert.deepEqual([reason, exit_code, streams?.stdout?.length], ['exit_code', 3, 2])
  attempt.cancel(0, 'canceled')
  await attempt.close()
  await attempt.release()
  assert.deepEqual(told.slice(4), ['remove', 'released'])
})

test('the first order to end counts, and later ones can only speed it up', async () => {
  const { attempt, of, told } = driven({
    sweep: async () => {
      attempt.cancel(0, 'canceled')
      attempt.cancel(50, 'canceled')
      return {}
    },
  })
  of.running(undefined, Date.now())
  attempt.cancel(100, 'rejected')
  attempt.cancel(50, 'canceled')
  of.stop({ type: 'failed', reason: 'oom', message: 'too much' }, 0)
  await of.finish({ type: 'stopped' })
  assert.deepEqual(told, ['stop 100', 'stop 0', 'beforeSweep stopped', 'expedite', 'drop secrets'])
  const { outcome, reason } = endOf(attempt)
  assert.deepEqual([outcome, reason], ['canceled', 'rejected'])
})

test('an attempt that outlives this process is left, and nothing more is reported about it', async () => {
  const { attempt, of, told } = driven()
  of.running(1, Date.now())
  await attempt.close()
  await attempt.close()
  attempt.cancel(0, 'canceled')
  await of.finish({ type: 'done' })
  assert.deepEqual([types(attempt), told], [['started'], ['leave']])
})

test('a later process reports an attempt that was left while it was measured', async () => {
  const swept = Promise.withResolvers<object>()
  const { attempt, of, told } = driven({ sweep: () => swept.promise })
  const finished = of.finish({ type: 'done' })
  await attempt.close()
  swept.resolve({})
  await finished
  assert.deepEqual([types(attempt), told], [[], ['beforeSweep done', 'leave']])
})

test('an attempt that cannot continue without this process ends with it', async () => {
  const { attempt, of } = driven({
    leave: undefined,
    stop: () => void of.finish({ type: 'stopped' }),
  })
  of.running(undefined, Date.now())
  await attempt.close()
  assert.equal(endOf(attempt).outcome, 'interrupted')
})

test('a running attempt ends before its release, and an abandoned one is killed and reports nothing', async () => {
  const released = driven({ stop: () => void released.of.finish({ type: 'stopped' }) })
  await released.attempt.release()
  assert.equal(endOf(released.attempt).outcome, 'canceled')
  assert.deepEqual(released.told.slice(-2), ['remove', 'released'])
  const abandoned = driven()
  await abandoned.attempt.abandon()
  assert.deepEqual([abandoned.attempt.reports, abandoned.told], [[], ['leave', 'kill', 'released', 'remove']])
})

test('an order to end from before a restart is performed if there is something to end', () => {
  const journal = new AttemptJournal()
  journal.keepCause({ type: 'canceled', reason: 'rejected' })
  const { of, told } = driven({}, { journal })
  of.running(1, Date.now())
  of.stopAsOrdered()
  assert.deepEqual(told, ['stop 70'])
  const { of: other, told: nothing } = driven()
  other.stopAsOrdered()
  assert.deepEqual(nothing, [])
})

test('the timeout counts from the first start, and an exceeded limit ends the attempt at once', async () => {
  const timed = driven({ stop: () => void timed.of.finish({ type: 'stopped' }) }, {}, 1000)
  timed.of.running(1, Date.now() - 2000)
  await timed.attempt.journal.whenEnded
  assert.equal(endOf(timed.attempt).reason, 'timeout')
  const limiter = {
    look: () => ({ reason: 'oom', message: 'More than it may.' }),
    lastLook: async () => undefined,
    usage: () => ({ held_by: 'watchdog' }),
    end: () => undefined,
  } as unknown as Scope
  const { attempt, of, told } = driven({}, { cage: limiter })
  of.running(1, Date.now())
  attempt.poll()
  attempt.poll()
  assert.deepEqual(told, ['stop 0', 'stop 0'])
  await of.finish({ type: 'stopped' })
  assert.deepEqual([endOf(attempt).reason, endOf(attempt).usage], ['oom', { held_by: 'watchdog' }])
})

test('a driver that fails at the end fails only its attempt, and what is left of it is killed', async () => {
  const { attempt, of, told } = driven({ sweep: () => Promise.reject(new Error('no way')) })
  await of.finish({ type: 'done' })
  const { outcome, reason, message } = endOf(attempt)
  assert.deepEqual(
    [outcome, reason, message],
    ['failed', 'internal', 'Its end could not be reported: no way.'],
  )
  assert.deepEqual(told, ['beforeSweep done', 'kill', 'drop secrets'])
})

test('an attempt that ended before this process is not driven, and can be released', async () => {
  const journal = new AttemptJournal()
  journal.add({ type: 'ended', outcome: 'success' })
  const driver = () => assert.fail('it was driven')
  const reported: string[] = []
  const { attempt } = driven({}, { journal, driver, onReleased: () => void reported.push('released') })
  attempt.begin()
  await attempt.recover()
  attempt.cancel(0, 'canceled')
  await attempt.close()
  await attempt.release()
  assert.deepEqual([types(attempt), reported], [['ended'], ['released']])
})
