import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import { StoreOutbox, type StoreOutboxOptions } from './store-outbox.ts'

const spec = { run_id: 'run_1', step: 'carry', attempt_id: 'run_1.2' } as AttemptSpec
const never = new AbortController().signal

/** Makes a folder, a store that is away until it is told otherwise, and outboxes of successive processes. */
function place(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-outbox-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const stored: { name: string; type: string; text: string; run: unknown }[] = []
  const [saved, log]: [string[], string[]] = [[], []]
  const store = { away: true, refuses: '', asked: 0 }
  const service: StoreOutboxOptions['service'] = {
    url: 'https://store.example',
    async put({ name, type, metadata, content }) {
      store.asked++
      if (store.away || name === store.refuses) throw new Error('away')
      stored.push({ name, type, text: readFileSync(content.file, 'utf8'), run: metadata.run_id })
      return { uri: 'store://1' }
    },
  }
  const sink: StoreOutboxOptions['sink'] = {
    put: async (_spec, { name }) => void saved.push(name),
    get: async () => Readable.from(['x']),
  }
  const open = (triedMs?: number) =>
    new StoreOutbox({
      ...{ sink, service, dir: join(dir, 'outbox'), triedMs, retryMs: 1 },
      log: (line) => void log.push(line),
    })
  const file = join(dir, 'file')
  const put = async (outbox: StoreOutbox, name: string, text = name) => {
    writeFileSync(file, text)
    const artifact = {
      artifact_id: '2.1',
      kind: 'diff',
      name,
      bytes: 1,
      sha256: 'a',
      media_type: 'x',
    } as Artifact
    await outbox.put(spec, artifact, file, never)
    rmSync(file)
  }
  return { open, put, stored, kept: saved, log, store, left: () => readdirSync(join(dir, 'outbox')) }
}

test('an unavailable store delays nothing and gets everything later, even from the next process', async (t) => {
  const { open, put, stored, kept, store, left } = place(t)
  const first = open()
  await put(first, 'one')
  await put(first, 'two')
  assert.deepEqual(kept, ['one', 'two'])
  await until(() => store.asked > 4)
  await first.close()
  await first.close()
  assert.equal(left().length, 4)
  const second = open()
  store.away = false
  await until(() => stored.length === 2)
  await put(second, 'three')
  await until(() => left().length === 0)
  assert.deepEqual(
    stored.map(({ name, text, type, run }) => [name, text, type, run]).sort(),
    ['one', 'three', 'two'].map((name) => [name, name, 'diff', 'run_1']),
  )
  await second.close()
})

test('bytes that the store does not accept for too long are dropped and reported, and block nothing else', async (t) => {
  const { open, put, stored, store, log, left } = place(t)
  Object.assign(store, { away: false, refuses: 'bad' })
  const patient = open()
  await put(patient, 'bad')
  await put(patient, 'good')
  await until(() => stored.length === 1)
  await patient.close()
  assert.equal(left().length, 2)
  const hasty = open(0)
  await until(() => left().length === 0)
  await hasty.close()
  assert.ok(
    log.some((line) =>
      /^artifact_upload: gave up sending bad of run_1 .*https:\/\/store\.example: away/.test(line),
    ),
  )
})
