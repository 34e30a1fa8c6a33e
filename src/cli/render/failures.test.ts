import assert from 'node:assert/strict'
import test from 'node:test'
import { Failures } from './failures.ts'
import { palette } from './terminal-text.ts'

const failed = (step: string, host = '') => ({ step, phase: 'main', status: 'failed', host }) as const
const FAR = 'x\n'.repeat(100)

test('the end repeats one failure for a few steps each, but no try that was retried', () => {
  const failures = new Failures(palette(false))
  const line = failures.ended(failed('a', 'web'), { why: 'exit code 1', lastLines: ['last'] })
  assert.equal(line, 'a failed on web: exit code 1\n')
  failures.ended(failed('a', 'db'), { why: 'exit code 2, tried again', isTriedAgain: true })
  failures.ended(failed('a', 'db'), { why: 'exit code 2' })
  for (const step of ['b', 'c', 'd', 'e', 'f', 'g']) failures.ended(failed(step), { why: 'timeout' })
  assert.equal(failures.far(), '', 'all of it can still be seen')
  failures.wrote(FAR)
  const again = ['b', 'c', 'd', 'e'].map((step) => `${step} failed: timeout\n\n`)
  assert.equal(failures.far(), `${line}  last\n\n${again.join('')}`)
})

test('of many instances the first failed ones are shown, regardless of earlier retries', () => {
  const failures = new Failures(palette(false))
  const lineOf = (isTriedAgain: boolean) =>
    Array.from({ length: 30 }, (_, index) =>
      failures.ended(failed('a', `h${index}`), { why: 'exit code 1', isTriedAgain, isOneOfMany: true }),
    ).filter((line) => line !== '')
  const tries = lineOf(true)
  assert.match(tries.at(-1)!, /^a: more are being retried; use --verbose to show each\n$/)
  const ends = lineOf(false)
  assert.equal(ends.length, tries.length)
  assert.equal(ends[0], 'a failed on h0: exit code 1\n')
  assert.match(ends.at(-1)!, /^a: more did not succeed; use --verbose to show each\n$/)
})

test('a step counts as shown once its end was shown, not a try, and separately for each phase', () => {
  const failures = new Failures(palette(false))
  failures.ended(failed('a', 'web'), { why: 'timeout', isTriedAgain: true })
  assert.equal(failures.isReported(failed('a')), false)
  failures.ended({ ...failed('a', 'web'), status: 'canceled' }, { why: 'canceled' })
  assert.equal(failures.isReported(failed('a')), true)
  assert.equal(failures.isReported({ step: 'a', phase: 'rollback' }), false)
  failures.wrote(FAR)
  assert.equal(failures.far(), '', 'a canceled step is not a failure')
})
