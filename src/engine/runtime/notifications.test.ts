import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alteredStore } from '../../../test/support/altered-store.ts'
import { scriptedEngine, step, until } from '../../../test/support/scripted-engine.ts'
import { MemoryRunStore } from '../../stores/runs/memory.ts'
import type { Notification } from '../ports.ts'

const received = (list: Notification[]) =>
  list.map(({ status, step: name, error }) => [status, name, error].filter(Boolean).join(' '))

test('a notifier is called on each change of state, in order, with the details', async (t) => {
  const list: Notification[] = []
  const notifier = { notify: async (of: Notification) => void list.push(of) }
  const script = ({ step }: { step: string }) =>
    step === 'b' ? { outcome: 'failed' as const, message: 'exit 3' } : ('success' as const)
  const { play } = scriptedEngine(t, script, { notifier, version: '1.2.3' })
  const { run_id } = await play([step('a'), step('b')])
  assert.deepEqual(received(list), [
    'queued',
    'running',
    'running a',
    'success a',
    'running b',
    'failed b exit 3',
    'failed Step "b" failed: exit 3',
  ])
  const { timestamp, ...first } = list[2]!
  assert.deepEqual(first, {
    run_id,
    workflow_name: 'test',
    status: 'running',
    step: 'a',
    host: 'local',
    version: '1.2.3',
  })
  assert.match(timestamp, /^2026-01-01T00:00:00\.\d{3}Z$/)
})

test('a failed call is repeated, and then succeeds', async (t) => {
  let calls = 0
  const notifier = { notify: async () => (++calls % 2 === 1 ? Promise.reject(new Error('busy')) : undefined) }
  const { play, engine } = scriptedEngine(t, undefined, { notifier, notify: { maxAttempts: 2, delayMs: 1 } })
  const { run_id } = await play([step('a')])
  assert.equal((await engine.get(run_id))?.last_notify_error, undefined)
  assert.equal(calls, 10)
})

test('a notifier that fails permanently changes no result, and its last error is stored', async (t) => {
  let calls = 0
  const notifier = {
    notify: (): Promise<void> => {
      throw new Error(`no route (${++calls})`)
    },
  }
  const { play, engine } = scriptedEngine(t, undefined, { notifier, notify: { maxAttempts: 2, delayMs: 1 } })
  const view = await play([step('a')])
  assert.deepEqual([view.status, view.last_notify_error], ['success', 'no route (10)'])
  assert.equal((await engine.get(view.run_id))?.last_notify_error, 'no route (10)')
})

test('the store gets one write of a run at a time, including those of notifiers', async (t) => {
  const stored = new MemoryRunStore()
  let busy = 0
  let most = 0
  const store = alteredStore(stored, {
    update: async (...args) => {
      most = Math.max(most, ++busy)
      await new Promise(setImmediate)
      await stored.update(...args)
      busy--
    },
  })
  const notifier = { notify: async () => Promise.reject(new Error('no')) }
  const { play } = scriptedEngine(t, undefined, { store, notifier, notify: { maxAttempts: 1 } })
  const view = await play([step('a'), step('b'), step('c')])
  assert.deepEqual([view.last_notify_error, most], ['no', 1])
})

test('a slow notifier delays no run, and one that never answers is given up', async (t) => {
  const signals: AbortSignal[] = []
  const notifier = {
    notify: (_: Notification, signal: AbortSignal) => new Promise<void>(() => signals.push(signal)),
  }
  const { submit, engine, store } = scriptedEngine(t, undefined, {
    notifier,
    notify: { maxAttempts: 1, timeoutMs: 20 },
  })
  const runId = await submit([step('a')])
  await until(async () => (await store.get(runId))?.status === 'success')
  assert.equal((await engine.done(runId)).last_notify_error, 'no answer within 20 ms')
  assert.deepEqual([signals.length, signals.every(({ aborted }) => aborted)], [5, true])
})

test('closing gives up unsent notifications at once', async (t) => {
  const notifier = { notify: () => new Promise<void>(() => {}) }
  const { submit, engine, store } = scriptedEngine(t, undefined, { notifier })
  const runId = await submit([step('a')])
  await until(async () => (await store.get(runId))?.status === 'success')
  await engine.close()
  assert.equal((await store.get(runId))?.last_notify_error, 'closed before it was sent')
})
