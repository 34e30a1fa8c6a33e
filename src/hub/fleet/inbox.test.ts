import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AttemptReport, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AttemptSink } from '../../engine/ports.ts'
import { Inbox } from './inbox.ts'

function open() {
  const stored = { reports: [] as string[], stdout: '', stderr: '' }
  const callbacks = { acks: [] as boolean[], ended: 0, failed: 0, heldBytes: 0 }
  const faults = { failing: false }
  const sink: AttemptSink = {
    waiting() {},
    assigned: async () => true,
    report: async (report) => {
      if (faults.failing) throw new ErrandError('store_failed', 'The store failed.')
      stored.reports.push(report.type)
    },
    output: async (stream, offset, bytes) => {
      if (faults.failing) throw new ErrandError('disk_full', 'The disk is full.')
      assert.equal(offset, stored[stream].length)
      stored[stream] += bytes.toString()
      return stored[stream].length
    },
    length: async (stream) => stored[stream].length,
  }
  const stop = new AbortController()
  const acked = Promise.withResolvers<void>()
  const inbox = new Inbox({
    sink,
    epoch: 1,
    from: { reports: 0, stdout: 0, stderr: 0 },
    ack: (resend) => {
      callbacks.acks.push(resend)
      if (resend) acked.resolve()
    },
    ended: () => void callbacks.ended++,
    failed: () => void callbacks.failed++,
    signal: stop.signal,
  })
  const meter = {
    took: (bytes: number) => {
      callbacks.heldBytes += bytes
    },
    gave: (bytes: number) => {
      callbacks.heldBytes -= bytes
    },
  }
  const output = (stream: StreamName, offset: number, text: string) =>
    inbox.output(stream, offset, Buffer.from(text), meter)
  return { inbox, output, kept: stored, told: callbacks, faults, stop, resendAsked: acked.promise }
}
const settled = () => new Promise((resolve) => setImmediate(resolve))
const ended = (length: number): AttemptReport => ({
  type: 'ended',
  outcome: 'success',
  streams: { stdout: { length, sha256: '' } },
})

test('stores duplicate and overlapping output once', async () => {
  const { output, kept, told } = open()
  output('stdout', 0, 'abc')
  output('stdout', 0, 'abc')
  output('stdout', 1, 'bcde')
  output('stderr', 0, 'x')
  await settled()
  assert.equal(kept.stdout, 'abcde')
  assert.equal(kept.stderr, 'x')
  assert.equal(told.heldBytes, 0)
  assert.ok(told.acks.every((resend) => !resend))
})

test('requests a gap once, however much follows it', async () => {
  const { output, kept, told } = open()
  output('stdout', 3, 'def')
  output('stdout', 6, 'ghi')
  assert.deepEqual(told.acks, [true])
  output('stdout', 0, 'abc')
  output('stdout', 9, 'x')
  await settled()
  assert.equal(kept.stdout, 'abc')
  assert.equal(told.acks.filter((resend) => resend).length, 2)
})

test('takes reports in order, and the end only after all its output', async () => {
  const { inbox, output, kept, told } = open()
  inbox.report(2, ended(3))
  inbox.report(1, { type: 'started' })
  inbox.report(1, { type: 'started' })
  inbox.report(2, ended(3))
  await settled()
  assert.deepEqual(kept.reports, ['started'])
  output('stdout', 0, 'abc')
  inbox.report(2, ended(3))
  await settled()
  await settled()
  assert.deepEqual(kept.reports, ['started', 'ended'])
  assert.equal(told.ended, 1)
  assert.equal(inbox.committed.reports, 2)
})

test('requests output that was sent but did not arrive, and acknowledges again what arrived', async () => {
  const { inbox, output, told } = open()
  output('stdout', 0, 'abc')
  inbox.report(1, { type: 'started' })
  await settled()
  const requested = (sent: Parameters<typeof inbox.compare>[0]) => {
    told.acks.length = 0
    inbox.compare(sent)
    return told.acks
  }
  assert.deepEqual(requested({ reports: 1, stdout: 3, stderr: 0 }), [false])
  assert.deepEqual(requested({ reports: 2, stdout: 3 }), [true])
  assert.deepEqual(requested({ reports: 1, stdout: 3, stderr: 1 }), [true])
})

test('drops output that the store refuses, and requests it again later', async () => {
  const { inbox, output, kept, told, faults, resendAsked } = open()
  faults.failing = true
  output('stdout', 0, 'abc')
  output('stdout', 3, 'def')
  inbox.report(1, { type: 'started' })
  await settled()
  assert.equal(told.failed, 1)
  assert.equal(told.heldBytes, 0)
  faults.failing = false
  await resendAsked
  assert.deepEqual(inbox.committed, { reports: 0, stdout: 0, stderr: 0 })
  output('stdout', 0, 'abcdef')
  await settled()
  assert.equal(kept.stdout, 'abcdef')
})
