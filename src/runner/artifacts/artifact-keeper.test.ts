import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { attemptSpec } from '../../../test/support/runner/attempt-fixture.ts'
import { ErrandError } from '../../contract/errors.ts'
import { AttemptJournal } from '../attempts/journal.ts'
import { HubAway, HubRetry } from '../link/hub-retry.ts'
import { ArtifactKeeper, type ArtifactSink, type KeeperLimits } from './artifact-keeper.ts'
import { FolderArtifacts } from './folder-artifacts.ts'

function place(t: TestContext, sink: Partial<ArtifactSink> = {}, limits?: KeeperLimits) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-keeper-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const stored = new Map<string, string>()
  const put: ArtifactSink['put'] = async (_spec, { artifact_id, name }, file) =>
    void stored.set(`${artifact_id} ${name}`, readFileSync(file, 'utf8'))
  const keeper = new ArtifactKeeper({ put, get: async () => Readable.from([]), ...sink }, limits)
  const journal = new AttemptJournal()
  const stop = new AbortController()
  const scratch = join(dir, 'scratch')
  const spec = attemptSpec('test', {}, { artifacts: ['*.txt'] })
  const attempt = { spec, journal, scratch, signal: stop.signal }
  const write = (files: Record<string, string>) => {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  }
  const reports = () =>
    journal.list.map((report) =>
      report.type === 'artifact'
        ? report.artifact.name
        : report.type === 'phase'
          ? `${report.phase}: ${report.message}`
          : report.type,
    )
  return { dir, keeper, kept: stored, journal, stop, scratch, attempt, write, told: reports }
}

test('files are stored one by one, and each is reported once with its size and hash', async (t) => {
  const { dir, keeper, kept, journal, attempt, write, told, scratch } = place(t)
  write({ 'b.txt': 'two', 'a.txt': 'one', 'c.xml': 'no' })
  assert.equal(await keeper.keepFiles(attempt, dir), undefined)
  const number = attempt.spec.attempt_id.split('.').at(-1)
  assert.deepEqual(
    [...kept],
    [
      [`${number}.1 a.txt`, 'one'],
      [`${number}.2 b.txt`, 'two'],
    ],
  )
  assert.deepEqual(journal.list[0], {
    type: 'artifact',
    artifact: {
      artifact_id: `${number}.1`,
      kind: 'file',
      name: 'a.txt',
      bytes: 3,
      sha256: hash('sha256', 'one'),
      media_type: 'text/plain; charset=utf-8',
    },
  })
  // Imitates a restart of its runner.
  write({ 'd.txt': 'more' })
  await keeper.keepFiles(attempt, dir)
  assert.deepEqual(told(), ['a.txt', 'b.txt', 'd.txt'])
  assert.ok(!existsSync(scratch))
})

test('files over the limits are left out, and the rest is stored', async (t) => {
  const { dir, keeper, attempt, write, told } = place(t, {}, { bytes: 10, totalBytes: 12, count: 3 })
  write({
    'a.txt': '0123456789',
    'b.txt': '01234567890',
    'c.txt': '012',
    'd.txt': '01',
    'e.txt': '',
    'f.txt': '',
  })
  assert.equal(await keeper.keepFiles(attempt, dir), undefined)
  assert.deepEqual(told(), [
    'artifacts: b.txt, c.txt was not stored: it has more than the 2 bytes that are left of 12 for all files.',
    'artifacts: f.txt was not stored: there are more than 3 files.',
    'a.txt',
    'd.txt',
    'e.txt',
  ])
})

test('an unavailable sink is retried until it answers, and one that refuses is not', async (t) => {
  let tries = 0
  const put = async (_spec: unknown, { name }: { name: string }) => {
    if (name === 'b.txt') throw new ErrandError('quota_exceeded', 'Run x keeps too much.')
    if (++tries < 3) throw new ErrandError('unavailable', 'The hub does not answer.')
  }
  const { dir, keeper, attempt, write, told } = place(t, { put })
  write({ 'a.txt': 'one', 'b.txt': 'two' })
  assert.equal(await keeper.keepFiles(attempt, dir), undefined)
  assert.deepEqual(told(), [
    'artifacts: The hub does not answer. Trying again.',
    'a.txt',
    'artifacts: b.txt was not stored: Run x keeps too much.',
  ])
})

test('when its time is over or it must end, the end says which files could not be stored', async (t) => {
  const put = async () => Promise.reject(new ErrandError('unavailable', 'The hub does not answer.'))
  const retry = new HubRetry()
  retry.linked(60_000)
  const late = place(t, { put, retry }, { triedMs: 0 })
  late.write({ 'a.txt': 'one', 'b.txt': 'two' })
  assert.equal(
    await late.keeper.keepFiles(late.attempt, late.dir),
    'artifact_upload: a.txt, b.txt could not be stored: The hub does not answer.',
  )
  const ended = place(t, {
    put: async () => {
      ended.stop.abort()
      return await put()
    },
  })
  ended.write({ 'a.txt': 'one' })
  assert.equal(
    await ended.keeper.keepFiles(ended.attempt, ended.dir),
    'artifact_upload: a.txt could not be stored: the attempt had to end.',
  )
  assert.deepEqual(ended.told(), [])
  assert.deepEqual(late.told(), ['artifacts: The hub does not answer. Trying again.'])
})

test('a broken download starts over from the beginning, into the same file', async (t) => {
  let tries = 0
  const get = async () =>
    Readable.from(
      (async function* () {
        yield Buffer.from('whole')
        if (++tries < 3) throw new HubAway('It broke off.')
      })(),
    )
  const { dir, keeper, attempt } = place(t, { get })
  const messages: string[] = []
  const asking = { signal: attempt.signal, waiting: (why: string) => void messages.push(why) }
  await keeper.fetch('run_1', '1.1', join(dir, 'it'), asking)
  assert.equal(readFileSync(join(dir, 'it'), 'utf8'), 'whole')
  assert.deepEqual([tries, messages], [3, ['It broke off. Trying again.']])
})

test('globs that lead out of the workspace and a missing workspace are reported, and nothing else', async (t) => {
  const { dir, keeper, attempt, told } = place(t)
  const spec = { ...attempt.spec, artifacts: ['../*'] }
  assert.equal(await keeper.keepFiles({ ...attempt, spec }, dir), undefined)
  assert.equal(await keeper.keepFiles(attempt, join(dir, 'gone')), undefined)
  assert.deepEqual(told(), [
    'artifacts: Files could not be stored: the glob ../* leads out of the workspace.',
  ])
})

test('a step stores its own bytes and files under any kind, and fetches them again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-kept-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { dir, attempt, told } = place(t)
  const own = new ArtifactKeeper(new FolderArtifacts(folder))
  const plan = await own.keep(attempt, { kind: 'plan', name: 'plan.md', bytes: '# do it' })
  writeFileSync(join(dir, 'pack'), 'bytes')
  const pack = await own.keep(attempt, {
    ...{ kind: 'pack', name: 'change.pack', file: join(dir, 'pack') },
    media_type: 'application/x-git-packed-objects',
  })
  const names = ['patch/1', 'patch/2', 'patch/3']
  const patches = await Promise.all(
    names.map((name) => own.keep(attempt, { kind: 'patch', name, bytes: name })),
  )
  assert.equal(new Set([plan, pack, ...patches].map(({ artifact_id }) => artifact_id)).size, 5)
  assert.deepEqual([plan.bytes, pack.kind, pack.media_type], [7, 'pack', 'application/x-git-packed-objects'])
  assert.deepEqual(told(), ['plan.md', 'change.pack', ...names])
  const { run_id } = attempt.spec
  for (const [artifact, text] of [
    [plan, '# do it'],
    [pack, 'bytes'],
  ] as const) {
    const fetched = join(dir, 'fetched')
    await own.fetch(run_id, artifact.artifact_id, fetched, attempt)
    assert.equal(readFileSync(fetched, 'utf8'), text)
  }
  await assert.rejects(own.fetch(run_id, '9.9', join(dir, 'none'), attempt), { code: 'not_found' })
  await assert.rejects(own.keep(attempt, { kind: 'plan', name: '../x', bytes: '' }))
})
