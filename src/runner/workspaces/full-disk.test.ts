import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { noSmallDisk, SmallDisk } from '../../../test/faults/small-disk.ts'
import { lease, poolPlace } from '../../../test/support/workspaces/pool-fixture.ts'

const MB = 1024 ** 2
const full = { reason: 'disk_full', hint: /ERRAND_POOL_SPACE/ }

test('a disk that is full or fills during a fetch or checkout is reported, and works once there is space', {
  skip: noSmallDisk,
}, async (t) => {
  const disk = new SmallDisk(t, 24)
  const place = await poolPlace()
  const pool = place.pool()
  t.after(async () => {
    for (const run of pool.runs()) await pool.release(run)
    await pool.close()
    await place.close()
  })
  await pool.settled()
  const dir = join(place.dir, 'pool')
  disk.mount(dir)
  for (const name of ['slots', 'home', 'repos', 'trash']) mkdirSync(join(dir, name), { mode: 0o700 })
  const content = randomBytes(5 * MB)
  const { url, commit } = place.repository([{ path: 'large', content }])
  const filler = join(dir, 'filler')
  const leave = (bytes: number) => {
    disk.free()
    disk.fill()
    truncateSync(filler, readFileSync(filler).length - bytes)
  }
  // At the start; in the middle of the fetch; and when the copy fits, but the files do not.
  for (const [run, left] of [
    ['run_start', 0],
    ['run_fetch', 3 * MB],
    ['run_files', 8 * MB],
  ] as const) {
    leave(left)
    await assert.rejects(lease(pool, run, { repo: url }), full, run)
    assert.equal(pool.of(run), undefined)
    await pool.settled()
    assert.deepEqual(pool.slots(), [], run)
    const parts = readdirSync(dir, { recursive: true, encoding: 'utf8' })
    assert.deepEqual(
      parts.filter((path) => /\/tmp_|\.lock$/.test(path)),
      [],
    )
  }
  disk.free()
  const found = await lease(pool, 'run_after', { repo: url })
  assert.equal(found.start_sha, commit)
  assert.ok(readFileSync(join(found.work, 'large')).equals(content))
})
