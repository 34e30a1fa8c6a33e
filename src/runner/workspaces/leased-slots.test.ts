import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import { needsLogin } from '../../../test/support/sources/git-fixture.ts'
import { lease, poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'
import { tokenLookup } from '../git/repository-token.ts'
import { LEASED, LeasedSlots } from './leased-slots.ts'

const place = await poolPlace()
after(() => place.close())
const dir = join(place.dir, 'pool')
const never = new AbortController().signal
const allocate = (repo_url: string, slot_id: string, more: { lease_ms?: number; token?: string } = {}) =>
  ({ what: 'allocate_slot', slot_id, tenant: 't', repo_url, lease_ms: 3_600_000, ...more }) as const

/** Opens the runner's slots, as one of its processes finds them. */
function opened({ slots = 64, isNew = false } = {}) {
  if (isNew) rmSync(dir, { recursive: true, force: true })
  const pool = place.pool({ limits: { slots } })
  const leased = new LeasedSlots({ pool, dir, tokenOf: tokenLookup({}), log: () => {} })
  const close = async () => {
    leased.close()
    await pool.close()
  }
  return {
    pool,
    leased,
    close,
    answer: (ask: Parameters<LeasedSlots['answer']>[0]) => leased.answer(ask, never),
  }
}

test('a slot is a checkout for its lease holder, next to those of runs, until it is returned', async () => {
  const { url } = place.repository()
  const { pool, answer, close } = opened({ slots: 2, isNew: true })
  const first = await answer(allocate(url, 'a'))
  assert.equal(readFileSync(join(first.slot_path!, 'README.md'), 'utf8'), 'hello\n')
  writeFileSync(join(first.slot_path!, 'mine'), '')
  assert.deepEqual(await answer(allocate(url, 'a')), first)
  await lease(pool, 'run_1', { repo: url })
  assert.deepEqual(pool.runs(), ['run_1'], 'a hub learns only of runs')
  assert.equal((await answer(allocate(url, 'b'))).error?.code, 'no_slot')
  assert.deepEqual(await answer({ what: 'look_at_slot', slot_id: 'b' }), { exists: false })
  for (let times = 0; times < 2; times++)
    assert.deepEqual(await answer({ what: 'release_slot', slot_id: 'a' }), { exists: false })
  await pool.settled()
  const next = await answer(allocate(url, 'b'))
  assert.deepEqual([next.slot_path, existsSync(join(next.slot_path!, 'mine'))], [first.slot_path, false])
  await close()
})

test('a lease ends on time, even if the runner was away then, and a slot without a lease is returned', async () => {
  const { url } = place.repository()
  const first = opened({ isNew: true })
  await first.answer(allocate(url, 'short', { lease_ms: 50 }))
  await until(() => first.pool.holders().length === 0)
  assert.deepEqual(await first.answer({ what: 'renew_slot', slot_id: 'short', lease_ms: 1000 }), {
    exists: false,
  })
  const stored = await first.answer(allocate(url, 'kept'))
  await first.answer(allocate(url, 'over'))
  await first.answer({ what: 'renew_slot', slot_id: 'over', lease_ms: 0 })
  first.leased.close()
  await lease(first.pool, `${LEASED}nobody`, { repo: url })
  await first.pool.close()

  const second = opened()
  await until(() => second.pool.holders().join() === `${LEASED}kept`)
  assert.deepEqual(await second.answer({ what: 'look_at_slot', slot_id: 'kept' }), stored)
  await second.close()
  writeFileSync(join(dir, 'leases.json'), 'garbage')
  const third = opened()
  await until(() => third.pool.holders().length === 0)
  await third.close()
})

test('an unavailable repository is reported, and leaves neither a slot nor a token behind', async () => {
  const { url } = place.repository()
  const { pool, answer, close } = opened({ isNew: true })
  const missing = await answer(allocate(`${place.host.origin()}/none.git`, 'a'))
  assert.equal(missing.error?.code, 'repo_not_found')
  place.host.intercept = needsLogin({ username: 'x-access-token', password: 'a-token' })
  const denied = await answer(allocate(url, 'b'))
  assert.equal(denied.error?.code, 'repo_auth')
  assert.deepEqual(pool.holders(), [])
  assert.equal((await answer(allocate(url, 'c', { token: 'a-token' }))).exists, true)
  assert.ok(!readFileSync(join(dir, 'leases.json'), 'utf8').includes('a-token'))
  place.host.intercept = () => false
  await close()
})
