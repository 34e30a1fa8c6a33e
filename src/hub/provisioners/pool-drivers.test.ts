import assert from 'node:assert/strict'
import test from 'node:test'
import type { Pool } from '../../contract/fleet/provisioning.ts'
import { areAlike, PoolDrivers } from './pool-drivers.ts'
import type { Provisioner } from './provisioner.ts'

const pool: Pool = {
  ...{ group: 'builders', provisioner: 'docker', image: 'errand:1', max: 3, spare: 0, idle_seconds: 60 },
  ...{ start_seconds: 300, paused: false, labels: {} },
}

function opened() {
  const closed: (string | undefined)[] = []
  const drivers = new PoolDrivers(
    ({ image }) => ({ close: () => closed.push(image) }) as Partial<Provisioner> as Provisioner,
  )
  return { drivers, closed }
}

test('a group keeps its provisioner as long as its runners are created in the same way', () => {
  const { drivers, closed } = opened()
  assert.deepEqual(drivers.know([pool]), [])
  const first = drivers.of(pool)
  assert.deepEqual(drivers.know([{ ...pool }]), [])
  assert.deepEqual(drivers.know([{ ...pool, max: 4 }]), ['builders'])
  assert.equal(drivers.of(pool), first)
  assert.deepEqual(closed, [])
})

test('a provisioner that is replaced, outdated or without a group keeps no connection', () => {
  const { drivers, closed } = opened()
  const other = { ...pool, group: 'others', image: 'errand:3' }
  drivers.know([pool, other])
  const changed = { ...pool, image: 'errand:2' }
  assert.deepEqual(drivers.know([changed]), ['builders'])
  assert.deepEqual(closed, ['errand:1', 'errand:3'])
  drivers.of(pool)
  assert.deepEqual(closed.splice(0), ['errand:1', 'errand:3', 'errand:1'])
  drivers.close()
  assert.deepEqual(closed, ['errand:2'])
})

test('runners are alike if their own settings are equal, even after storage', () => {
  assert.ok(areAlike(pool, JSON.parse(JSON.stringify({ ...pool, max: 9, slots: undefined }))))
  for (const change of [{ image: 'x' }, { labels: { a: 'b' } }, { slots: 2 }, { hub_url: 'http://h' }])
    assert.ok(!areAlike(pool, { ...pool, ...change }), JSON.stringify(change))
  assert.ok(!areAlike(pool, { ...pool, provisioner: 'kubernetes' }))
})
