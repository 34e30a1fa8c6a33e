import assert from 'node:assert/strict'
import test from 'node:test'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'
import type { Demand, Size } from '../fleet/provisioned-groups.ts'
import { type HopelessFacts, hopeless, type PoolFacts, planPool, type RunnerLiveness } from './pool-plan.ts'

const NOW = Date.parse('2026-01-01T12:00:00Z')
const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString()

const pool: Pool = {
  ...{ group: 'builders', provisioner: 'process', max: 3, spare: 0, idle_seconds: 60, start_seconds: 300 },
  ...{ paused: false, labels: {} },
}

const demand = (run_id: string, change: Partial<Demand> = {}): Demand => ({
  ...{ tenant: 'default', run_id, workspace: 'w', labels: {} },
  size: { cpus: 0, memoryBytes: 0 },
  ...change,
})

const row = (name: string, change: Partial<ProvisionedRow> = {}): ProvisionedRow => ({
  ...{ name, stem: name, epoch: 1, group: 'builders', tenant: 'default', state: 'starting' },
  ...{ created_at: at(-10), changed_at: at(-10), due_at: at(290), pool },
  ...change,
})

const forRun = (name: string, run_id: string, change: Partial<ProvisionedRow> = {}): ProvisionedRow =>
  row(name, { run_id, workspace: 'w', ...change })

const livenessOf = (liveness: Record<string, Partial<RunnerLiveness>>) => (name: string) => ({
  ...{ connected: false, open: false, lost: false, attempts: 0 },
  ...liveness[name],
})

function plan(
  facts: Partial<Omit<PoolFacts, 'liveness'>> & {
    liveness?: Record<string, Partial<RunnerLiveness>>
    ended?: string[]
  },
) {
  const { liveness = {}, ended = [], ...more } = facts
  return planPool({
    pool,
    rows: [],
    demands: [],
    liveness: livenessOf(liveness),
    isOpen: (runId) => !ended.includes(runId),
    setAsideSince: () => undefined,
    idleSince: () => undefined,
    paused: false,
    breakerRoom: () => Number.POSITIVE_INFINITY,
    silence: undefined,
    nowMs: NOW,
    ...more,
  })
}

const startsOf = (facts: Parameters<typeof plan>[0]) => plan(facts).starts.map((each) => each?.run_id)
const endsOf = (facts: Parameters<typeof plan>[0]) => plan(facts).removals.map(({ name, end }) => [name, end])

test('each waiting run gets its own runner, once, up to the maximum of the group', () => {
  const demands = ['a', 'b', 'c', 'd'].map((id) => demand(id))
  assert.deepEqual(startsOf({ demands }), ['a', 'b', 'c'])
  assert.deepEqual(startsOf({ demands, rows: [forRun('x', 'a')] }), ['b', 'c'])
  // A runner that is being removed counts until it is gone.
  assert.deepEqual(startsOf({ demands, rows: [forRun('x', 'z', { state: 'removing' })] }), ['a', 'b'])
  const failed = forRun('x', 'z', { state: 'removing', end: 'failed' })
  assert.deepEqual(startsOf({ demands, rows: [failed] }), ['a', 'b', 'c'], 'it never existed')
  // Steps of one run that do not share files get a runner each.
  const twice = [demand('a'), demand('a', { workspace: 'v' })]
  assert.deepEqual(startsOf({ demands: twice, rows: [forRun('x', 'a')] }), ['a'])
})

test('uses a spare runner before it creates another, and replaces the spare', () => {
  const spare = { ...pool, spare: 1 }
  assert.deepEqual(startsOf({ pool: spare }), [undefined])
  assert.deepEqual(startsOf({ pool: spare, rows: [row('s')] }), [])
  assert.deepEqual(startsOf({ pool: spare, rows: [row('s')], demands: [demand('a')] }), [undefined])
  assert.deepEqual(startsOf({ pool: spare, rows: [row('s')], demands: [demand('a'), demand('b')] }), [
    'b',
    undefined,
  ])
})

test('looks at only as many waiting runs as can be started', () => {
  const ids = ['a', 'b', 'c', 'd', 'e']
  const checked: string[] = []
  const demands = ids.map((id) => ({
    ...demand(id),
    get labels() {
      checked.push(id)
      return {}
    },
  }))
  assert.deepEqual(startsOf({ demands, pool: { ...pool, max: 2 } }), ['a', 'b'])
  assert.deepEqual(checked, ['a', 'b'])
  assert.deepEqual(startsOf({ demands, paused: true }), [])
  assert.deepEqual(checked.splice(0), ['a', 'b'])
  // A runner that is free for any run goes to the first.
  assert.deepEqual(startsOf({ demands, rows: [row('x')], pool: { ...pool, max: 2 } }), ['b'])
  assert.deepEqual(checked, ['a', 'b'])
})

test('creates nothing for labels that the group lacks, while it is paused, or with an open breaker', () => {
  const gpu = demand('a', { labels: { gpu: '1' } })
  assert.deepEqual(startsOf({ demands: [gpu] }), [])
  assert.deepEqual(startsOf({ demands: [gpu], pool: { ...pool, labels: { gpu: '1', zone: 'eu' } } }), ['a'])
  assert.deepEqual(startsOf({ demands: [demand('a')], paused: true }), [])
  assert.deepEqual(startsOf({ demands: [demand('a')], breakerRoom: () => 0 }), [])
  const room = (starting: number) => 2 - starting
  assert.deepEqual(startsOf({ demands: [demand('a'), demand('b')], rows: [row('s')], breakerRoom: room }), [
    'b',
  ])
})

test('a connecting runner is idle or working, and one that gets its run is working', () => {
  const rows = [row('s'), forRun('x', 'a'), forRun('y', 'b', { state: 'idle' }), row('z')]
  const liveness = { s: { connected: true }, x: { connected: true }, y: { connected: true } }
  assert.deepEqual(plan({ rows, liveness }).moves, [
    { name: 's', state: 'idle' },
    { name: 'x', state: 'working' },
    { name: 'y', state: 'working' },
  ])
})

test('removes a runner that is done and has reported everything, is late, lost, or no longer wanted', () => {
  const there = { x: { connected: true } }
  const working = [forRun('x', 'a', { state: 'working' })]
  assert.deepEqual(endsOf({ rows: working, liveness: there }), [])
  assert.deepEqual(endsOf({ rows: working, liveness: there, ended: ['a'] }), [['x', 'done']])
  assert.deepEqual(
    endsOf({ rows: working, liveness: { x: { connected: true, attempts: 1 } }, ended: ['a'] }),
    [],
  )
  assert.deepEqual(
    endsOf({ rows: working, liveness: { x: { lost: false } } }),
    [],
    'it has time to come back',
  )
  assert.deepEqual(endsOf({ rows: working, liveness: { x: { lost: true } } }), [['x', 'lost']])
  assert.deepEqual(endsOf({ rows: [forRun('x', 'a')], ended: ['a'] }), [['x', 'unwanted']])
  assert.deepEqual(endsOf({ rows: [forRun('x', 'a', { due_at: at(-1) })] }), [['x', 'late']])
  const [late] = plan({ rows: [row('x', { due_at: at(-1), waits_for: 'no image' })] }).removals
  assert.equal(late?.message, 'It did not connect within 300 s. Its last report: no image')
})

test('the runner of a run that is set aside is kept for a day', () => {
  const rows = [forRun('x', 'a', { state: 'working' })]
  const aside = (hours: number) => ({
    ...{ rows, liveness: { x: { connected: true } }, ended: ['a'] },
    setAsideSince: () => at(-hours * 3_600),
  })
  assert.deepEqual(endsOf(aside(23.9)), [])
  assert.deepEqual(plan(aside(24)).removals, [
    { name: 'x', end: 'done', message: `Its run has been set aside since ${at(-24 * 3_600)}.` },
  ])
  assert.deepEqual(endsOf({ ...aside(1), liveness: { x: { lost: true } } }), [['x', 'lost']])
  assert.deepEqual(endsOf({ ...aside(1), rows: [forRun('x', 'a')], liveness: {} }), [['x', 'unwanted']])
})

test('removes a runner that has not started with the old settings, and creates one with the new ones', () => {
  const rows = [forRun('x', 'a'), forRun('w', 'b', { state: 'wanted' }), forRun('c', 'c')]
  const facts = { rows, liveness: { c: { connected: true } }, demands: [demand('a')] }
  assert.deepEqual(endsOf({ ...facts, pool: { ...pool, max: 9, idle_seconds: 9 } }), [])
  const other = { ...facts, pool: { ...pool, max: 9, slots: 2 } }
  assert.deepEqual(endsOf(other), [['x', 'unwanted']])
  assert.deepEqual(startsOf(other), ['a'])
})

test('removes an idle runner after its time, except the spares, and keeps the oldest', () => {
  const rows = [row('old', { state: 'idle' }), row('new', { state: 'idle' })]
  const liveness = { old: { connected: true }, new: { connected: true } }
  const idle = (seconds: number) => ({ rows, liveness, idleSince: () => NOW - seconds * 1000 })
  assert.deepEqual(endsOf(idle(59)), [])
  assert.deepEqual(endsOf(idle(60)), [
    ['new', 'idle'],
    ['old', 'idle'],
  ])
  assert.deepEqual(endsOf({ ...idle(60), pool: { ...pool, spare: 1 } }), [['new', 'idle']])
  assert.deepEqual(endsOf({ ...idle(60), demands: [demand('a')] }), [['new', 'idle']])
})

test('ends a run that would wait forever: no runner can start, or its own runner does not take it', () => {
  const permanent = {
    reason: 'refused',
    message: 'No such image.',
    failures: 1,
    sinceMs: 0,
    untilMs: 0,
  } as const
  const ends = (change: Partial<HopelessFacts>) =>
    hopeless({
      ...{
        pool,
        rows: [],
        liveness: livenessOf({}),
        open: { ...permanent, permanent: true },
        nowMs: 300_000,
      },
      demands: [{ ...demand('a'), waitsSinceMs: 0 }],
      sizes: () => [],
      ...change,
    }).map(({ end }) => [end.reason, end.message])
  const failed = ['start_failed', 'no runner of group "builders" could be started: No such image.']
  assert.deepEqual(ends({}), [failed])
  assert.deepEqual(ends({ rows: [forRun('x', 'a', { state: 'removing' })] }), [failed])
  assert.deepEqual(ends({ nowMs: 299_999 }), [])
  assert.deepEqual(ends({ open: undefined }), [])
  assert.deepEqual(ends({ open: { ...permanent, permanent: false } }), [])
  const rows = [forRun('x', 'a', { state: 'working' })]
  const open = { connected: true, open: true }
  assert.deepEqual(ends({ rows, liveness: livenessOf({ x: open }) }), [['rejected', undefined]])
  assert.deepEqual(
    ends({ rows, liveness: livenessOf({ x: { ...open, attempts: 1 } }) }),
    [],
    'it is at another step',
  )
  assert.deepEqual(ends({ rows, liveness: livenessOf({ x: { connected: true } }) }), [], 'it is just ending')
})

test('ends a run that asks for more than any runner of its group has at once, and no other run', () => {
  const GB = 1024 ** 3
  const large = { ...demand('a', { size: { cpus: 500, memoryBytes: 0 } }), waitsSinceMs: 0 }
  const small = { ...demand('b', { size: { cpus: 2, memoryBytes: GB } }), waitsSinceMs: 0 }
  const wide = { ...demand('c', { size: { cpus: 4, memoryBytes: 3 * GB } }), waitsSinceMs: 0 }
  const demandOf = (...sizes: Size[]) =>
    hopeless({
      ...{ pool, rows: [], liveness: livenessOf({}), open: undefined, nowMs: 1 },
      demands: [large, small, wide],
      sizes: () => sizes,
    }).map(({ demand, end }) => [demand.run_id, end.reason, end.message])
  assert.deepEqual(demandOf(), [], 'no runner has reported its size')
  const ends = (run: string, request: string, have: string) => [
    run,
    'rejected',
    `it requests ${request}, but the runners of group "builders" have ${have}: request less, or use a group with larger runners`,
  ]
  const [two, four] = ['2 cpus and 8 GB of memory', '4 cpus and 2 GB of memory']
  assert.deepEqual(demandOf({ cpus: 2, memoryBytes: 8 * GB }), [
    ends('a', '500 cpus', two),
    ends('c', '4 cpus and 3 GB of memory', two),
  ])
  // Neither of the two has both amounts.
  assert.deepEqual(demandOf({ cpus: 2, memoryBytes: 8 * GB }, { cpus: 4, memoryBytes: 2 * GB }), [
    ends('a', '500 cpus', `${two}, or ${four}`),
    ends('c', '4 cpus and 3 GB of memory', `${two}, or ${four}`),
  ])
  assert.deepEqual(demandOf({ cpus: 500, memoryBytes: 3 * GB }), [])
})

test('while an engine is silent, the message does not claim that an absent runner has vanished', () => {
  const silence = 'The Kubernetes API at k has not answered since noon: no answer within 15 s.'
  const late = [row('x', { due_at: at(-1), waits_for: 'no image' })]
  assert.equal(
    plan({ rows: late, silence }).removals[0]?.message,
    `It did not connect within 300 s. ${silence}`,
  )
  const lost = { rows: [forRun('x', 'a', { state: 'working' })], liveness: { x: { lost: true } } }
  assert.equal(plan(lost).removals[0]?.message, 'It was connected, and has vanished.')
  assert.equal(
    plan({ ...lost, silence }).removals[0]?.message,
    `It was connected and has not been heard from since. It is not known whether it is running. ${silence}`,
  )
})

test('a spare is only for runs of its tenant: other tenants get their own runners', () => {
  const idle = (name: string, tenant = 'default') => row(name, { state: 'idle', tenant })
  const demands = [demand('a', { tenant: 'acme' }), demand('b')]
  assert.deepEqual(startsOf({ demands, rows: [idle('x')] }), ['a'])
  assert.deepEqual(startsOf({ demands, rows: [idle('x', 'acme')] }), ['b'])
  const spares = { pool: { ...pool, spare: 1, spare_tenant: 'acme' } }
  assert.deepEqual(startsOf({ ...spares, rows: [idle('x')] }), [undefined])
  assert.deepEqual(startsOf({ ...spares, rows: [idle('x', 'acme')] }), [])
  const rows = [idle('x', 'acme'), idle('y'), idle('z', 'acme')]
  const long = { ...spares, rows, idleSince: () => NOW - 100_000 }
  assert.deepEqual(endsOf(long), [
    ['z', 'idle'],
    ['y', 'idle'],
  ])
})
