import assert from 'node:assert/strict'
import test from 'node:test'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import type { ProvisionedRow } from '../../stores/sqlite/provisioned-runners.ts'
import { poolView, whyWaits } from './pool-view.ts'

const pool: Pool = {
  ...{
    group: 'builders',
    provisioner: 'process',
    max: 3,
    spare: 0,
    idle_seconds: 60,
    start_seconds: 300,
  },
  ...{ paused: false, labels: {} },
}

const row = (name: string, change: Partial<ProvisionedRow> = {}): ProvisionedRow => ({
  ...{ name, stem: name, epoch: 1, group: 'builders', tenant: 'default', state: 'starting', workspace: 'w' },
  ...{
    created_at: `2026-01-01T12:00:0${name}Z`,
    changed_at: '2026-01-01T12:00:00Z',
    due_at: '2026-01-01T12:05:00Z',
    pool,
  },
  ...change,
})

const size = { cpus: 0, memoryBytes: 0 }

test('a tenant sees the counts of all, its own runners and runs, and what went wrong in the past', () => {
  const view = poolView({
    pool,
    changes: [],
    rows: [row('1'), row('2', { state: 'working', tenant: 'other' }), row('3', { state: 'removing' })],
    past: [
      row('4', { state: 'removed', end: 'done' }),
      row('5', { state: 'removed', end: 'late', message: 'It did not connect within 300 s.' }),
    ],
    demands: [
      { tenant: 'default', run_id: 'a', workspace: 'w', labels: {}, size },
      { tenant: 'other', run_id: 'b', workspace: 'w', labels: {}, size },
    ],
    open: {
      reason: 'late',
      message: 'It was late.',
      failures: 3,
      sinceMs: Date.parse('2026-01-01T12:00:00Z'),
      permanent: false,
      untilMs: Date.parse('2026-01-01T12:10:00Z'),
    },
    tenant: 'default',
  })
  assert.deepEqual(view.counts, { starting: 1, idle: 0, working: 1, removing: 1 })
  assert.equal(view.waiting, 1)
  assert.deepEqual(
    view.runners.map(({ name }) => name),
    ['5', '3', '1'],
  )
  assert.ok(
    view.runners.every(
      (each) => !('stem' in each) && !('workspace' in each) && !('due_at' in each) && !('pool' in each),
    ),
  )
  assert.equal(view.breaker?.since, '2026-01-01T12:00:00.000Z')
  assert.equal(view.breaker?.until, '2026-01-01T12:10:00.000Z')
})

test('a run that waits for a place learns what prevents it', () => {
  const waiting = { tenant: 'default', run_id: 'a', workspace: 'w', labels: {}, size }
  const why = (rows: ProvisionedRow[], silence?: string) =>
    whyWaits({ pool: { ...pool, max: 1 }, rows, open: undefined, silence }, waiting)
  assert.equal(why([]), undefined)
  const full = 'group "builders" has reached its max of 1, and'
  assert.equal(why([row('1', { state: 'working' })]), `${full} all runners are in use`)
  assert.equal(why([row('1', { state: 'removing' })]), `${full} all runners are in use`)
  assert.equal(
    why([row('1', { state: 'removing', waits_for: 'Docker hangs.' })]),
    `${full} 1 of its runners cannot be removed yet: Docker hangs.`,
  )
  const own = row('1', {
    state: 'starting',
    run_id: 'a',
    workspace: 'w',
    waits_for: 'No node takes its pod.',
  })
  const starts = 'a runner of group "builders" is being started for it'
  assert.equal(why([own]), `${starts}: No node takes its pod.`)
  assert.equal(
    why([own], 'The API has not answered since noon.'),
    `${starts}: The API has not answered since noon.`,
  )
})
