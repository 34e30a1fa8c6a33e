import assert from 'node:assert/strict'
import test from 'node:test'
import { type Event, foundRunner, type Job, needsEvents, type Pod, STUCK_MS } from './found-pods.ts'

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

test('one that starts says what it waits for, in the words of Kubernetes', () => {
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
    message: 'No node takes its pod (Unschedulable): 0/1 nodes are available.',
  })
  const volume = [warning('FailedMount', 'secret "s" not found', at(5))]
  assert.deepEqual(seen(job, [waiting('ContainerCreating')], 10_000, volume), {
    state: 'starting',
    message: 'FailedMount: secret "s" not found.',
  })
  assert.deepEqual(seen(job, [running]), { state: 'running' })
})

test('an image that cannot be pulled is waited for a minute, a name that is none not at all', () => {
  const pull = waiting('ImagePullBackOff', 'Back-off pulling image "x:1"')
  const message = 'Its image cannot be pulled (ImagePullBackOff): Back-off pulling image "x:1".'
  assert.deepEqual(seen(job, [pull], STUCK_MS - 1), { state: 'starting', message })
  assert.deepEqual(seen(job, [pull], STUCK_MS), { state: 'ended', message })
  assert.deepEqual(seen(job, [waiting('InvalidImageName', 'bad')], 1), {
    ...{ state: 'ended', permanent: true },
    message: 'The name of its image is none (InvalidImageName): bad.',
  })
})

test('one that is over says how', () => {
  assert.deepEqual(
    seen(ended('Failed', 'BackoffLimitExceeded', 'x'), [over({ exitCode: 137, reason: 'OOMKilled' })]),
    {
      ...{ state: 'ended', reason: 'oom' },
      message: 'Its pod was ended for want of memory (OOMKilled): memory of its group is the limit.',
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
    'Its pod was ended (Evicted): The node was low on memory.',
  )
  const late = 'It was there for longer than a runner may be (DeadlineExceeded).'
  assert.deepEqual(seen(ended('Failed', 'DeadlineExceeded'), []), { state: 'ended', message: late })
  assert.equal(seen(ended('Failed', 'DeadlineExceeded'), [over({})]).message, late)
  assert.match(seen(ended('Failed', 'BackoffLimitExceeded', 'limit'), []).message!, /Its pod is gone\.$/)
  assert.deepEqual(seen(ended('Complete'), [podOf({ phase: 'Succeeded' })]), {
    state: 'ended',
    message: 'Its pod has ended.',
  })
})

test('a pod that is deleted is the end of its runner, and so is another one in its place', () => {
  const leaving = { ...running, metadata: { ...running.metadata, deletionTimestamp: at(5) } }
  const next = { ...running, metadata: { ...running.metadata, creationTimestamp: at(9) } }
  const gone = { state: 'ended', message: 'Its pod was deleted.' }
  assert.deepEqual(seen(job, [leaving]), gone)
  assert.deepEqual(seen(job, [leaving, next]), gone)
  const away = { ...leaving, status: { ...leaving.status, reason: 'NodeLost' } }
  assert.deepEqual(seen(job, [away]), { state: 'running', message: 'Its node node-1 does not answer.' })
})

test('events are asked for only where nothing else says why it takes so long', () => {
  assert.equal(needsEvents(job, undefined, 1), undefined)
  assert.equal(needsEvents(job, undefined, 60_000), 'errand-x')
  assert.equal(needsEvents(job, waiting('ContainerCreating'), 60_000), 'errand-x-abcde')
  assert.equal(needsEvents(job, waiting('ErrImagePull', 'no such image'), 60_000), undefined)
  assert.equal(needsEvents(job, running, 60_000), undefined)
  assert.equal(needsEvents(ended('Failed'), undefined, 60_000), undefined)
})

test('the container that has the keys counts where it keeps the runner from its work, and no longer than that', () => {
  const both = (runner: object, gate: object, phase = 'Running') =>
    podOf({
      phase,
      // As Kubernetes sorts them.
      containerStatuses: [
        { name: 'model-gate', state: gate },
        { name: 'runner', state: runner },
      ],
    })
  const noSecret = { waiting: { reason: 'CreateContainerConfigError', message: 'secret "keys" not found' } }
  assert.deepEqual(seen(job, [both({ running: {} }, noSecret, 'Pending')]), {
    state: 'starting',
    message: 'Its container cannot be made (CreateContainerConfigError): secret "keys" not found.',
  })
  assert.deepEqual(seen(job, [both({ running: {} }, { running: {} })]), { state: 'running' })
  assert.deepEqual(seen(job, [both({ terminated: { exitCode: 0 } }, { running: {} })]), {
    state: 'ended',
    message: 'Its process ended with exit code 0.',
  })
  const noKey = { terminated: { exitCode: 2, message: 'The gate to models has no key.\n' } }
  assert.deepEqual(seen(job, [both({ terminated: { exitCode: 1, message: 'no gate' } }, noKey)]), {
    state: 'ended',
    message:
      'Its gate to models ended with exit code 2: The gate to models has no key. Its process ended with exit code 1: no gate',
  })
})
