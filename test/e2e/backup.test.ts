import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import { openSqliteStores } from '../../src/stores/sqlite/open.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'

/** Checks each output that the log of a run mentions. Returns the number of bytes. */
async function checkOutputs(data: string): Promise<{ runs: number; bytes: number }> {
  const { runs, close } = await openSqliteStores({ file: join(data, 'errand.db') })
  try {
    const { runs: all } = await runs.list({ limit: 500 })
    let bytes = 0
    for (const { run_id } of all)
      for (const event of await runs.events(run_id, 0, 10_000)) {
        if (event.type !== 'attempt.finished') continue
        for (const [stream, end] of Object.entries(event.streams ?? {})) {
          if (end.length === 0) continue
          const stored: Buffer = readFileSync(join(data, `output/${run_id}/${event.attempt}.${stream}`))
          assert.equal(stored.length, end.length)
          assert.equal(createHash('sha256').update(stored).digest('hex'), end.sha256)
          bytes += stored.length
        }
      }
    return { runs: all.length, bytes }
  } finally {
    close()
  }
}

test('backups of a busy hub contain every run whole, and a hub starts from one and continues', async (t) => {
  const programs = await startPrograms(t)
  const { home, client } = programs
  // The output has about 300 kB in pieces, so that backups fall in the middle of them.
  const piece =
    "i=0; while [ $i -lt 30 ]; do head -c 10000 /dev/zero | tr '\\0' x; i=$((i+1)); sleep 0.02; done"
  const yaml = workflowText([
    { name: 'one', cmd: piece },
    { name: 'two', cmd: piece },
  ])
  const ids: string[] = []
  const load = async () => ids.push((await client.runs.create({ yaml })).run_id)
  for (let n = 0; n < 6; n++) await load()
  await eventually('the first output', async () => (await client.runs.get(ids[0]!)).last_seq > 6)

  for (const name of ['one.tar.gz', 'two', 'three.tar']) {
    const to = join(home, name)
    const made = await programs.call('backup', '--to', to, '--data', programs.data, '--json')
    assert.equal(made.code, 0, made.stderr)
    const { runs, damaged } = JSON.parse(made.stdout)
    assert.deepEqual([runs, damaged], [ids.length, []])
    const data = join(home, `restored-${name}`)
    const back = await programs.call('restore', to, '--data', data)
    assert.equal(back.code, 0, back.stderr)
    assert.ok(!existsSync(join(data, 'local-token')) && !existsSync(join(data, 'lock')))
    assert.equal((await checkOutputs(data)).runs, ids.length)
    await load()
  }
  const inUse = await programs.call('restore', join(home, 'two'), '--data', programs.data)
  assert.equal(inUse.code, 1)
  assert.match(inUse.stderr, /in use by the hub/)

  for (const id of ids) assert.equal((await programs.ended(id)).status, 'success')
  await programs.call('backup', '--to', join(home, 'last.tgz'), '--data', programs.data)
  await programs.kill('hub', 'runner')
  const data = join(home, 'new')
  assert.equal((await programs.call('restore', join(home, 'last.tgz'), '--data', data)).code, 0)
  assert.equal((await checkOutputs(data)).bytes, ids.length * 600_000)
  const up = programs.errand.start(['up', '--port', '0', '--no-runner'], { env: { ERRAND_DATA: data } })
  await up.until('Errand is up')
  const { url, token } = JSON.parse(readFileSync(join(data, 'local.json'), 'utf8'))
  const again = new ErrandClient({ url, token })
  const { runs } = await again.runs.list({ status: 'success', limit: 500 })
  assert.deepEqual(runs.map(({ run_id }) => run_id).sort(), ids.sort())
  assert.deepEqual(
    readdirSync(home).filter((name) => name.includes('making')),
    [],
  )
})
