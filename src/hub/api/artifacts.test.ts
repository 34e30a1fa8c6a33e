import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { Artifact, ArtifactKind } from '../../contract/tasks/artifact.ts'
import { contentHeaders } from './artifacts.ts'

const sha256 = (text: string) => hash('sha256', text)

function artifact(id: string, kind: ArtifactKind, name: string, text: string, media_type: string): Artifact {
  const bytes = Buffer.byteLength(text)
  return { artifact_id: id, kind, name, bytes, sha256: sha256(text), media_type }
}

const report = artifact('2.1', 'file', 'out/report.html', '<script>1</script>', 'text/html')
const oldDiff = artifact('2.2', 'diff', 'change.diff', 'old', 'text/x-diff; charset=utf-8')
const diff = artifact('2.3', 'diff', 'change.diff', 'diff --git a/x b/x\n', 'text/x-diff; charset=utf-8')
const texts = ['<script>1</script>', 'old', 'diff --git a/x b/x\n']

/** Starts a run of ann's that is held in its first step and reports artifacts in its second. */
async function running(t: TestContext, options: Parameters<typeof testingHub>[1] = {}) {
  const hub = await testingHub(t, options)
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const [far, boss] = [await hub.user('far', 'admin', 'elsewhere'), await hub.user('boss', 'admin')]
  const [runner, farRunner] = [await hub.tokenOf(boss.id, 'runner'), await hub.tokenOf(far.id, 'runner')]
  const text = JSON.stringify([report, oldDiff, diff])
  const yaml = JSON.stringify({
    version: 'v0.1',
    name: 'keeps',
    steps: [
      { name: 'one', action: 'cmd.run', args: { cmd: 'hold' } },
      { name: 'two', action: 'cmd.run', args: { cmd: `keep ${text}` } },
    ],
  })
  const { run_id } = await hub.engine.submit({ yaml, owner: 'ann', tenant: 'default' })
  const put = (
    text: string,
    token = runner,
    query = `sha256=${sha256(text)}&bytes=${text.length}`,
    id = run_id,
  ) =>
    hub.call('PUT', `/api/runner-artifacts/${id}.1?${query}`, token, text, {
      'content-type': 'application/octet-stream',
    })
  const goOn = async () => {
    hub.host.release()
    await hub.engine.done(run_id)
  }
  const get = (path: string, token: string | undefined = ann.token, headers = {}, method = 'GET') =>
    hub.call(method, `/api/runs/${run_id}/${path}`, token, undefined, headers)
  return { ...hub, ann, bob, far, boss, runner, farRunner, run_id, put, goOn, get }
}

test('users who see the run can list and fetch the artifacts that its runner has sent and reported', async (t) => {
  const hub = await running(t)
  const { put, get, ann, bob, far, boss, run_id } = hub
  for (const text of texts) assert.equal((await put(text)).status, 204, text)
  assert.equal((await put(texts[0]!)).status, 204)
  assert.deepEqual((await get('artifacts')).json.artifacts, [])
  assert.equal((await get('diff')).json.error.code, 'not_found')
  await hub.goOn()

  const where = { step: 'two', host: 'local', attempt_id: `${run_id}.2` }
  const list = [report, oldDiff, diff].map((each) => ({ ...each, ...where }))
  for (const { token } of [ann, boss]) assert.deepEqual((await get('artifacts', token)).json.artifacts, list)
  for (const path of ['artifacts', 'artifacts/2.1', 'diff'])
    for (const { token } of [bob, far]) assert.equal((await get(path, token)).status, 404, path)
  assert.equal((await get('artifacts/2.9')).json.error.code, 'not_found')

  const whole = await get('artifacts/2.1')
  assert.deepEqual([whole.status, whole.text], [200, texts[0]])
  const { headers } = whole
  assert.deepEqual(
    ['content-type', 'x-content-type-options', 'content-disposition', 'content-security-policy'].map((name) =>
      headers.get(name),
    ),
    [
      'text/html',
      'nosniff',
      `attachment; filename="report.html"; filename*=UTF-8''report.html`,
      "sandbox; default-src 'none'",
    ],
  )
  const shown = await get('diff')
  assert.deepEqual(
    [shown.text, shown.headers.get('content-disposition')?.split(';')[0]],
    [texts[2], 'inline'],
  )
  const range = await get('artifacts/2.3', ann.token, { range: 'bytes=0-3' })
  assert.deepEqual(
    [range.status, range.text, range.headers.get('content-range')],
    [206, 'diff', `bytes 0-3/${diff.bytes}`],
  )
  assert.equal((await get('diff', ann.token, { range: 'bytes=99-' })).status, 416)
  const head = await get('diff', ann.token, {}, 'HEAD')
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, `${diff.bytes}`])
  const linked = await hub.call('GET', `/api/runs/${run_id}/diff?access_token=${ann.token}`)
  assert.equal(linked.text, texts[2])
})

test('only runners of the tenant send artifacts to a run, only while it runs, and fetch stored ones', async (t) => {
  const { put, runner, farRunner, ann, run_id, call, goOn } = await running(t)
  assert.equal((await put('x', farRunner)).json.error.code, 'not_found')
  assert.equal((await put('x', ann.token)).status, 401)
  assert.equal((await put('x', runner, undefined, 'run_nobody')).json.error.code, 'not_found')
  assert.equal((await put('x', runner, `sha256=${sha256('y')}&bytes=1`)).json.error.code, 'bad_request')
  assert.equal((await put('x', runner, 'sha256=..&bytes=1')).json.error.code, 'bad_request')
  assert.equal((await put('')).status, 204)
  for (const text of texts) await put(text)
  await goOn()
  assert.equal((await put('late')).json.error.code, 'run_ended')
  const take = (token: string, id = '2.3') => call('GET', `/api/runner-artifacts/${run_id}/${id}`, token)
  assert.equal((await take(runner)).text, texts[2])
  for (const [token, id] of [
    [farRunner, '2.3'],
    [runner, '1.1'],
  ] as const)
    assert.equal((await take(token, id)).json.error.code, 'not_found')
})

test('refuses artifacts over a limit, reports damage, and deletes artifacts together with their run', async (t) => {
  const hub = await running(t, { artifactLimits: { perRunBytes: 60, bytes: 50 } })
  const { put, get, goOn, engine, run_id } = hub
  for (const text of texts) await put(text)
  assert.equal((await put('x'.repeat(51))).json.error.code, 'body_too_large')
  assert.equal((await put('x'.repeat(40))).json.error.code, 'quota_exceeded')
  await goOn()
  const folder = join(hub.data, 'artifacts')
  const files = () => readdirSync(folder, { recursive: true, encoding: 'utf8' })
  const file = files().find((name) => name.endsWith(diff.sha256))!
  writeFileSync(join(folder, file), 'diff --git a/y b/y\n')
  assert.equal((await get('diff')).json.error.code, 'output_damaged')
  assert.equal((await get('artifacts/2.1')).text, texts[0])
  await engine.remove([run_id])
  assert.deepEqual(
    files().filter((name) => name.includes(run_id)),
    [],
  )
})

test('artifact names and media types from outside cannot inject headers', () => {
  const headers = contentHeaders({ name: 'a/"é\u{1f600}(1).html', media_type: 'text/html\r\nx: y' })
  assert.equal(headers['content-type'], 'application/octet-stream')
  assert.equal(
    headers['content-disposition'],
    `attachment; filename="_____1_.html"; filename*=UTF-8''%22%C3%A9%F0%9F%98%80%281%29.html`,
  )
  assert.match(
    contentHeaders({ name: 'x', media_type: 'image/svg+xml' })['content-disposition']!,
    /^attachment/,
  )
})
