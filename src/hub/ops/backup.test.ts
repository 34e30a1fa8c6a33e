import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { type TestContext } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { testSpec } from '../../../test/support/stores/runs-fixture.ts'
import type { RunEvent } from '../../contract/events.ts'
import { FileOutputStore } from '../../stores/outputs/files.ts'
import { openSqliteStores } from '../../stores/sqlite/open.ts'
import { backUp } from './backup.ts'
import { restore } from './restore.ts'

const time = '2025-01-15T10:00:00.000Z'
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

function tempFolder(t: TestContext): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'errand-backup-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** Creates a data folder with an ended run, a running one and a key. The hub is open until the test ends. */
async function hubData(t: TestContext) {
  const dir = tempFolder(t)
  const data = path.join(dir, 'data')
  const stores = await openSqliteStores({ file: path.join(data, 'errand.db') })
  const outputs = new FileOutputStore({ dir: path.join(data, 'output') })
  t.after(async () => {
    await outputs.close()
    stores.close()
  })
  const output = (seq: number, offset: number, length: number): RunEvent => ({
    ...{ seq, time, type: 'output', attempt: 1, step: 'one', host: 'local' },
    ...{ stream: 'stdout', offset, length },
  })
  const finished = (seq: number, text: string): RunEvent => ({
    ...{ seq, time, type: 'attempt.finished', attempt: 1, step: 'one', host: 'local', outcome: 'success' },
    streams: { stdout: { length: text.length, sha256: sha256(text) } },
  })
  const run = async (id: string, text: string, events: RunEvent[], status: 'success' | 'running') => {
    await outputs.append(`${id}.1`, 'stdout', 0, Buffer.from(text))
    await stores.runs.create(testSpec(id), events, { status })
  }
  await run(
    'run_done',
    'hello world',
    [output(1, 0, 5), output(2, 5, 6), finished(3, 'hello world')],
    'success',
  )
  // Stored, but not in the log yet.
  await run('run_open', 'abcdefXYZ', [output(1, 0, 6)], 'running')
  writeFileSync(path.join(data, 'secrets.key'), 'the key')
  writeFileSync(path.join(data, 'errand.yaml'), 'repos: []\n')
  const upload = path.join('uploads', sha256('default').slice(0, 32), sha256('an archive'))
  mkdirSync(path.dirname(path.join(data, upload)), { recursive: true })
  writeFileSync(path.join(data, upload), 'an archive')
  writeFileSync(path.join(data, path.dirname(upload), '.being-received'), 'an arc')
  writeFileSync(path.join(data, 'uploads', '.DS_Store'), 'of a file manager')
  const artifact = path.join('artifacts', sha256('ann').slice(0, 32), 'run_done', sha256('an artifact'))
  mkdirSync(path.dirname(path.join(data, artifact)), { recursive: true })
  writeFileSync(path.join(data, artifact), 'an artifact')
  writeFileSync(path.join(data, path.dirname(artifact), '.being-received'), 'an art')
  const stored = path.join(artifact, '../..', `+${'0'.repeat(32)}`, sha256('what others store'))
  for (const file of [stored, 'artifacts/.incoming/half']) {
    mkdirSync(path.dirname(path.join(data, file)), { recursive: true })
    writeFileSync(path.join(data, file), 'what others store')
  }
  for (const name of ['local-token', 'runner-token', 'lock']) writeFileSync(path.join(data, name), 'a token')
  return {
    dir,
    data,
    stores,
    outputs,
    upload,
    artifact,
    stored,
    run,
    output,
    finished,
    to: path.join(dir, 'b.tar.gz'),
  }
}

const options = { withKey: false, version: '0.0.0-test' }

async function restored(dir: string, from: string) {
  const data = mkdtempSync(path.join(dir, 'restored-'))
  const head = await restore({ from, data, lockFile: 'lock' })
  return { data, head }
}

for (const name of ['b.tar', 'b.tar.gz', 'folder'])
  test(`a data folder is restored from ${name} as it was, with as much output as its log mentions`, async (t) => {
    const hub = await hubData(t)
    const to = path.join(hub.dir, name)
    const made = await backUp({ ...hub, ...options, to })
    assert.deepEqual([made.runs, made.files, made.damaged], [2, 7, []])
    const { data, head } = await restored(hub.dir, to)
    assert.deepEqual([head.runs, head.with_key, head.errand], [2, false, '0.0.0-test'])
    assert.deepEqual(readdirSync(data).sort(), ['artifacts', 'errand.db', 'errand.yaml', 'output', 'uploads'])
    assert.equal(readFileSync(path.join(data, hub.artifact), 'utf8'), 'an artifact')
    assert.equal(readFileSync(path.join(data, hub.stored), 'utf8'), 'what others store')
    assert.equal(readdirSync(path.join(data, 'artifacts')).length, 1)
    assert.equal(readdirSync(path.join(data, path.dirname(hub.artifact))).length, 1)
    assert.equal(readFileSync(path.join(data, hub.upload), 'utf8'), 'an archive')
    assert.equal(readdirSync(path.join(data, path.dirname(hub.upload))).length, 1)
    assert.equal(readFileSync(path.join(data, 'output/run_done/1.stdout'), 'utf8'), 'hello world')
    assert.equal(readFileSync(path.join(data, 'output/run_open/1.stdout'), 'utf8'), 'abcdef')
    assert.equal(statSync(path.join(data, 'errand.db')).mode & 0o777, 0o600)
    const again = await openSqliteStores({ file: path.join(data, 'errand.db') })
    assert.deepEqual(await again.runs.open(), ['run_open'])
    assert.equal((await again.runs.events('run_done', 0, 10)).length, 3)
    again.close()
    assert.deepEqual(
      readdirSync(hub.dir).filter((each) => each.includes('making')),
      [],
    )
  })

test('a backup contains the key of the secrets only on request', async (t) => {
  const hub = await hubData(t)
  await backUp({ ...hub, ...options, withKey: true })
  const { data, head } = await restored(hub.dir, hub.to)
  assert.equal(head.with_key, true)
  assert.equal(readFileSync(path.join(data, 'secrets.key'), 'utf8'), 'the key')
  assert.equal(statSync(path.join(data, 'secrets.key')).mode & 0o777, 0o600)
  rmSync(path.join(hub.data, 'secrets.key'))
  const to = path.join(hub.dir, 'other')
  await assert.rejects(backUp({ ...hub, ...options, to, withKey: true }), { code: 'not_found' })
})

test('reports outputs that differ from the log, and changed uploads and artifacts', async (t) => {
  const hub = await hubData(t)
  writeFileSync(path.join(hub.data, 'output/run_done/1.stdout'), 'HELLO world')
  const changed = await backUp({ ...hub, ...options })
  assert.deepEqual(changed.damaged, ['output/run_done/1.stdout'])
  rmSync(path.join(hub.data, 'output/run_open'), { recursive: true })
  writeFileSync(path.join(hub.data, hub.upload), 'another one')
  writeFileSync(path.join(hub.data, hub.artifact), 'another one')
  const missing = await backUp({ ...hub, ...options, to: path.join(hub.dir, 'second') })
  assert.deepEqual(missing.damaged.sort(), [
    hub.artifact,
    'output/run_done/1.stdout',
    'output/run_open/1.stdout',
    hub.upload,
  ])
})

test('a run removed during the backup is in it completely or not at all', async (t) => {
  const hub = await hubData(t)
  const ids = Array.from({ length: 400 }, (_, n) => `run_${n}`)
  await Promise.all(
    ids.map((id) => hub.run(id, 'hello', [hub.output(1, 0, 5), hub.finished(2, 'hello')], 'success')),
  )
  let over = false
  const backingUp = backUp({ ...hub, ...options }).finally(() => {
    over = true
  })
  // From both ends, because the backup goes by the ids.
  for (let n = 0; n < 200 && !over; n++) {
    const pair = [ids[n]!, ids[399 - n]!]
    for (const id of pair) await hub.outputs.remove(id)
    await hub.stores.runs.remove(pair)
  }
  const made = await backingUp
  assert.deepEqual(made.damaged, [])
  const { data } = await restored(hub.dir, hub.to)
  const { runs, close } = await openSqliteStores({ file: path.join(data, 'errand.db') })
  let count = 0
  for (const id of ids) {
    if ((await runs.get(id)) === undefined) continue
    count++
    assert.equal(readFileSync(path.join(data, `output/${id}/1.stdout`), 'utf8'), 'hello')
  }
  close()
  assert.equal(made.runs, count + 2)
})

test('a backup does not overwrite anything, and needs a data folder', async (t) => {
  const hub = await hubData(t)
  await backUp({ ...hub, ...options })
  const before = readFileSync(hub.to)
  await assert.rejects(backUp({ ...hub, ...options }), { code: 'conflict' })
  assert.deepEqual(readFileSync(hub.to), before)
  await assert.rejects(backUp({ ...options, data: hub.dir, to: path.join(hub.dir, 'x') }), {
    code: 'not_found',
  })
})

test('a backup to a place that cannot be written says so', async (t) => {
  const { dir, ...hub } = await hubData(t)
  writeFileSync(path.join(dir, 'file'), '')
  for (const to of [path.join(dir, 'file/x.tar'), path.join(dir, 'file/x'), '/proc/errand/x'])
    await assert.rejects(backUp({ ...hub, ...options, to }), {
      code: 'store_failed',
      message: new RegExp(`^${to} could not be read or written`),
    })
})

test('does not restore a damaged, foreign or truncated backup, and leaves nothing of it', async (t) => {
  const hub = await hubData(t)
  const folder = path.join(hub.dir, 'folder')
  const fresh = async () => {
    rmSync(folder, { recursive: true, force: true })
    await backUp({ ...hub, ...options, to: folder })
  }
  const refused = async (message: RegExp, from = folder) => {
    const data = mkdtempSync(path.join(hub.dir, 'restored-'))
    await assert.rejects(restore({ from, data, lockFile: 'lock' }), { code: 'store_failed', message })
    assert.deepEqual(readdirSync(data), [])
    await fresh()
  }
  await fresh()
  writeFileSync(path.join(folder, 'output/run_done/1.stdout'), 'hello_world')
  await refused(/1\.stdout has changed since the backup/)
  rmSync(path.join(folder, 'output/run_open/1.stdout'))
  await refused(/run_open\/1\.stdout is missing/)
  writeFileSync(path.join(folder, 'secrets.key'), 'mine')
  await refused(/secrets\.key is not in its list/)
  mkdirSync(path.join(folder, 'runner'))
  writeFileSync(path.join(folder, 'runner', 'x'), '')
  await refused(/"runner\/x", which does not belong in a backup/)
  rmSync(path.join(folder, 'backup.jsonl'))
  await refused(/has no backup\.jsonl/)
  appendFileSync(path.join(folder, 'backup.jsonl'), 'x\n')
  await refused(/an invalid line/)
  await backUp({ ...hub, ...options })
  const bytes = readFileSync(hub.to)
  writeFileSync(hub.to, bytes.subarray(0, bytes.length / 2))
  await refused(/b\.tar\.gz is damaged/, hub.to)
  writeFileSync(hub.to, gzipSync(Buffer.concat([gunzipSync(bytes).subarray(0, -1024), gunzipSync(bytes)])))
  await refused(/is damaged: it contains \S+ twice/, hub.to)
  writeFileSync(hub.to, 'no archive')
  await refused(/b\.tar\.gz is damaged/, hub.to)
})

test('restores only into an empty folder, and ignores what a killed restore has left', async (t) => {
  const hub = await hubData(t)
  await backUp({ ...hub, ...options })
  await assert.rejects(restore({ from: hub.to, data: hub.data, lockFile: 'lock' }), { code: 'conflict' })
  const data = path.join(hub.dir, 'new')
  mkdirSync(path.join(data, '.restoring-1/output'), { recursive: true })
  writeFileSync(path.join(data, 'lock'), '')
  await restore({ from: hub.to, data, lockFile: 'lock' })
  assert.deepEqual(readdirSync(data).sort(), [
    ...['artifacts', 'errand.db', 'errand.yaml', 'lock', 'output', 'uploads'],
  ])
  await assert.rejects(restore({ from: path.join(hub.dir, 'none'), data: tempFolder(t), lockFile: 'lock' }), {
    code: 'not_found',
  })
})
