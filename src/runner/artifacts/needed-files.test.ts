import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test, { type TestContext } from 'node:test'
import { ErrandError } from '../../contract/errors.ts'
import { HubAway, HubRetry } from '../link/hub-retry.ts'
import { fetchNeededFiles } from './needed-files.ts'

function workspace(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'errand-needed-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const fetchFile = (to: string, text: string, fetch = async () => Readable.from([Buffer.from(text)])) => {
    const sha256 = hash('sha256', 'right')
    const needed = { artifact_id: '1.1', name: 'kept.txt', bytes: 5, sha256, to }
    const hub = { fetch, retry: new HubRetry() }
    return fetchNeededFiles({ run_id: 'run_a', needs_files: [needed] }, dir, hub, {
      signal: new AbortController().signal,
    })
  }
  return { dir, fetchFile }
}

test('a file is put where it is needed, as it was stored, and replaces an existing one', async (t) => {
  const { dir, fetchFile } = workspace(t)
  writeFileSync(join(dir, 'there.txt'), 'something longer')
  for (const path of ['new/folder/it.txt', 'there.txt']) {
    await fetchFile(path, 'right')
    assert.equal(readFileSync(join(dir, path), 'utf8'), 'right')
  }
  for (const wrong of ['wrong', 'rig', 'right and more'])
    await assert.rejects(fetchFile('it.txt', wrong), { code: 'output_damaged' })
})

test('no path and no link leads out of the workspace', async (t) => {
  const { dir, fetchFile } = workspace(t)
  const outside = mkdtempSync(join(tmpdir(), 'errand-outside-'))
  t.after(() => rmSync(outside, { recursive: true, force: true }))
  writeFileSync(join(outside, 'file'), 'as it was')
  symlinkSync(outside, join(dir, 'folder'))
  symlinkSync(join(outside, 'file'), join(dir, 'link'))
  symlinkSync(join(outside, 'new'), join(dir, 'dangling'))
  for (const path of ['../x', 'folder/file', 'folder/new', 'link', 'dangling', '/etc/errand-none'])
    await assert.rejects(fetchFile(path, 'right'), {
      code: 'invalid_argument',
      message: /kept\.txt cannot be written/,
    })
  assert.equal(readFileSync(join(outside, 'file'), 'utf8'), 'as it was')
  assert.ok(!existsSync(join(outside, 'new')))
})

test('an unavailable hub is asked again, and the answer of one without the file is passed on', async (t) => {
  const { dir, fetchFile } = workspace(t)
  let tries = 0
  await fetchFile('it.txt', 'right', async () => {
    if (++tries < 3) throw new HubAway('The hub does not answer.')
    return Readable.from([Buffer.from('right')])
  })
  assert.equal(readFileSync(join(dir, 'it.txt'), 'utf8'), 'right')
  const gone = async () => Promise.reject(new ErrandError('not_found', 'It is gone.'))
  await assert.rejects(fetchFile('it.txt', 'right', gone), { code: 'not_found' })
})
