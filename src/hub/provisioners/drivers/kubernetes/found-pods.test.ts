import assert from 'node:assert/strict'
import test from 'node:test'
import {
  type Event,
  failedAtMs,
  foundRunner,
  type Job,
  needsEvents,
  type Pod,
  STUCK_MS,
} from './found-pods.ts'

const at = (ms: number) => new Date(ms).toISOString()
const metadata = { name: 'errand-x', uid: 'u', creationTimestamp: at(0) }
const spec = { parallelism: 1 }
const job: Job = { metadata, spec }
const ended = (type: string, reason?: string, message?: string): Job => ({
  metadata,
  spec,
  status: { conditions: [{ type, status: 'True', reason, message }] },
})
const podOf = (status: Partial<Pod['status']>, change: Partial<Pod['metadata']> = {}): Pod => ({
  metadata: { ...metadata, name: 'errand-x-abcde', ...change },
  spec: { nodeName: 'node-1' },
  status: { phase: 'Pending', ...status },
})
const waiting = (reason: string, message?: string) =>
  podOf({ containerStatuses: [{ name: 'runner', state: { waiting: { reason, message } } }] })
const running = podOf({ phase: 'Running', containerStatuses: [{ name: 'runner', state: { running: {} } }] })
const over = (terminated: object, change: Partial<Pod['status']> = {}) =>
  podOf({
    phase: 'Failed',
    containerStatuses: [{ name: 'runner', state: { terminated: { exitCode: 1, ...terminated } } }],
    ...change,
  })
const seen = (jobSeen: Job, pods: Pod[], nowMs = 10_000, events: Event[] = []) => {
  const { name, ...rest } = foundRunner(jobSeen, pods, { nowMs, events })
  assert.equal(name, 'errand-x')
  return rest
}
const warning = (reason: string, message: string, lastTimestamp: string): Event => ({
  ...{ involvedObject: { name: 'x' }, type: 'Warning', reason, message, lastTimestamp },
})

test('a starting runner says what it waits for, in the words of Kubernetes', () => {
  assert.deepEqual(seen(job, []), { state: 'starting' })
  const quota = [
    warning('Old', 'of before', at(1)),
    warning('FailedCreate', 'pods "x" is forbidden: exceeded quota: q', at(2)),
    { ...warning('Fine', 'no complaint', at(3)), type: 'Normal' },
  ]
  assert.deepEqual(seen(job, [], 10_000, quota), {
    state: 'starting',
    message: 'FailedCreate: pods "x" is forbidden: exceeded quota: q.',
  })
  const unplaced = podOf({
    conditions: [
      { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes are available' },
    ],
  })
  assert.deepEqual(seen(job, [unplaced]), {
    state: 'starting',
    message: 'No node accepts its pod (Unschedulable): 0/1 nodes are available.',
  })
  const volume = [warning('FailedMount', 'secret "s" not found', at(5))]
  assert.deepEqual(seen(job, [waiting('ContainerCreating')], 10_000, volume), {
    state: 'starting',
    message: 'FailedMount: secret "s" not found.',
  })
  assert.deepEqual(seen(job, [running]), { state: 'running' })
})

test('waits a minute for an image that cannot be pulled, and not at all for an invalid name', () => {
  const pull = waiting('ImagePullBackOff', 'Back-off pulling image "x:1"')
  const message = 'Its image cannot be pulled (ImagePullBackOff): Back-off pulling image "x:1".'
  assert.deepEqual(seen(job, [pull], STUCK_MS - 1), { state: 'starting', message })
  assert.deepEqual(seen(job, [pull], STUCK_MS), { state: 'ended', message })
  assert.deepEqual(seen(job, [waiting('InvalidImageName', 'bad')], 1), {
    ...{ state: 'ended', permanent: true },
    message: 'The name of its image is not valid (InvalidImageName): bad.',
  })
})

test('an ended runner says how it ended', () => {
  assert.deepEqual(
    seen(ended('Failed', 'BackoffLimitExceeded', 'x'), [over({ exitCode: 137, reason: 'OOMKilled' })]),
    {
      ...{ state: 'ended', reason: 'oom' },
      message: 'Its pod ran out of memory (OOMKilled). Its limit is the memory of its group.',
    },
  )
  assert.deepEqual(seen(job, [over({ exitCode: 4, message: 'no hub\n' })]), {
    state: 'ended',
    message: 'Its process ended with exit code 4: no hub',
  })
  assert.deepEqual(
    seen(job, [over({ exitCode: 137, signal: 9 })]).message,
    'Its process ended with signal 9.',
  )
  assert.deepEqual(
    seen(job, [over({}, { reason: 'Evicted', message: 'The node was low on memory' })]).message,
    'Its pod was evicted (Evicted): The node was low on memory.',
  )
  // A container that is ended for that reason may look as if its own memory had run out.
  const both = over({ exitCode: 137, reason: 'OOMKilled' }, { reason: 'Evicted', message: 'low on memory' })
  assert.deepEqual(seen(job, [both]), {
    state: 'ended',
    message: 'Its pod was evicted (Evicted): low on memory.',
  })
  const late = 'It reached the longest lifetime of a runner (DeadlineExceeded).'
  assert.deepEqual(seen(ended('Failed', 'DeadlineExceeded'), []), { state: 'ended', message: late })
  assert.equal(seen(ended('Failed', 'DeadlineExceeded'), [over({})]).message, late)
  assert.match(seen(ended('Failed', 'BackoffLimitExceeded', 'limit'), []).message!, /Its pod is gone\.$/)
  assert.deepEqual(seen(ended('Complete'), [podOf({ phase: 'Succeeded' })]), {
    state: 'ended',
    message: 'Its pod has ended.',
  })
})

test('deleting or replacing the pod of a runner ends the runner', () => {
  const leaving = { ...running, metadata: { ...running.metadata, deletionTimestamp: at(5) } }
  const next = { ...running, metadata: { ...running.metadata, uid: 'v', creationTimestamp: at(9_000) } }
  const gone = { state: 'ended', message: 'Its pod was deleted.' }
  assert.deepEqual(seen(job, [leaving]), gone)
  assert.deepEqual(seen(job, [leaving, next]), gone)
  assert.deepEqual(seen(job, [next, leaving]), gone)
  const evicted = over({}, { reason: 'Evicted', message: 'low on disk' })
  const low = { state: 'ended', message: 'Its pod was evicted (Evicted): low on disk.' }
  assert.deepEqual(seen(job, [next, evicted]), low, 'whatever came after it')
  // The first pod is gone. What was known about it tells it from the next one.
  const known = (pods: Pod[], why?: string) =>
    foundRunner(job, pods, { nowMs: 10_000, known: { uid: 'u', why } })
  assert.deepEqual(known([next]), { name: 'errand-x', ...gone })
  assert.deepEqual(known([]), { name: 'errand-x', ...gone })
  assert.equal(known([next], 'Its pod was evicted (X).').message, 'Its pod was evicted (X).')
  assert.deepEqual(known([running]), { name: 'errand-x', state: 'running' })
  // Kubernetes itself deletes the pod of a Job that is late.
  const late = foundRunner(ended('Failed', 'DeadlineExceeded'), [], {
    ...{ nowMs: 10_000, known: { uid: 'u', why: 'Its pod was deleted.' } },
  })
  assert.equal(late.message, 'It reached the longest lifetime of a runner (DeadlineExceeded).')
  const away = { ...leaving, status: { ...leaving.status, reason: 'NodeLost' } }
  assert.deepEqual(seen(job, [away]), { state: 'running', message: 'Its node node-1 does not answer.' })
  assert.deepEqual(seen(job, [away, next]), { state: 'ended', message: 'Its node node-1 does not answer.' })
})

test('says who deleted a pod if Kubernetes does, even if the runner then ended normally', () => {
  const conditions = [
    {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
    },
  ]
  const drained = podOf(
    { phase: 'Running', conditions, containerStatuses: [{ name: 'runner', state: { running: {} } }] },
    { deletionTimestamp: at(5) },
  )
  const message = 'Its pod was evicted (EvictionByEvictionAPI): Eviction API: evicting.'
  assert.deepEqual(seen(job, [drained]), { state: 'ended', message })
  const state = { terminated: { exitCode: 0 } }
  const left = { ...drained, status: { ...drained.status, containerStatuses: [{ name: 'runner', state }] } }
  assert.deepEqual(seen(job, [left]), { state: 'ended', message })
})

test('reports a pod whose token was already used as the second of its Job', () => {
  const second = waiting('CreateContainerConfigError', 'secret "errand-x" not found')
  assert.equal(seen(job, [second], STUCK_MS - 1).state, 'starting')
  assert.deepEqual(seen(job, [second], STUCK_MS), {
    state: 'ended',
    message: 'Its pod was deleted. The pod that replaces it cannot use its token again.',
  })
})

test('keeps a failed Job for inspection only once nothing in it can start any more', () => {
  const failed = over({ finishedAt: at(7_000) })
  assert.equal(failedAtMs(job, [failed]), 7_000)
  const going = { ...failed, metadata: { ...failed.metadata, deletionTimestamp: at(8_000) } }
  assert.equal(failedAtMs(job, [going]), undefined, 'its Job creates another pod')
})

test('requests events only if nothing else says why it takes so long', () => {
  assert.equal(needsEvents(job, undefined, 1), undefined)
  assert.equal(needsEvents(job, undefined, 60_000), 'errand-x')
  assert.equal(needsEvents(job, waiting('ContainerCreating'), 60_000), 'errand-x-abcde')
  assert.equal(needsEvents(job, waiting('ErrImagePull', 'no such image'), 60_000), undefined)
  assert.equal(needsEvents(job, running, 60_000), undefined)
  assert.equal(needsEvents(ended('Failed'), undefined, 60_000), undefined)
})

test('the state of the container with the keys counts only while it keeps the runner from working', () => {
  const both = (runner: object, gate: object, phase = 'Running') =>
    podOf({
      phase,
      // This is the order in which Kubernetes sorts them.
      containerStatuses: [
        { name: 'model-gate', state: gate },
        { name: 'runner', state: runner },
      ],
    })
  const noSecret = { waiting: { reason: 'CreateContainerConfigError', message: 'secret "keys" not found' } }
  assert.deepEqual(seen(job, [both({ running: {} }, noSecret, 'Pending')]), {
    state: 'starting',
    message: 'Its container cannot be created (CreateContainerConfigError): secret "keys" not found.',
  })
  assert.deepEqual(seen(job, [both({ running: {} }, { running: {} })]), { state: 'running' })
  assert.deepEqual(seen(job, [both({ terminated: { exitCode: 0 } }, { running: {} })]), {
    state: 'ended',
    message: 'Its process ended with exit code 0.',
  })
  const noKey = { terminated: { exitCode: 2, message: 'The model gate has no key.\n' } }
  assert.deepEqual(seen(job, [both({ terminated: { exitCode: 1, message: 'no gate' } }, noKey)]), {
    state: 'ended',
    message:
      'Its model gate ended with exit code 2: The model gate has no key. Its process ended with exit code 1: no gate',
  })
})
