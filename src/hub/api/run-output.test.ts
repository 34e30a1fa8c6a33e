import assert from 'node:assert/strict'
import { rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'

test('an output can be read whole and by range', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('say 0123456789') })).json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/output`
  const read = async (range?: string, stream = 'stdout') => {
    const answer = await hub.call(
      'GET',
      `${path}/${stream}`,
      token,
      undefined,
      range === undefined ? {} : { range },
    )
    return [answer.status, answer.text, answer.headers.get('content-range')]
  }
  assert.deepEqual(await read(), [200, '0123456789', null])
  assert.deepEqual(await read('bytes=2-4'), [206, '234', 'bytes 2-4/10'])
  assert.deepEqual(await read('bytes=7-'), [206, '789', 'bytes 7-9/10'])
  assert.deepEqual(await read('bytes=-3'), [206, '789', 'bytes 7-9/10'])
  assert.deepEqual(await read('bytes=-99'), [206, '0123456789', 'bytes 0-9/10'])
  assert.deepEqual(await read('bytes=9-99'), [206, '9', 'bytes 9-9/10'])
  for (const whole of ['bytes=4-2', 'bytes=0-1,3-4', 'lines=1-2', 'bytes=-'])
    assert.deepEqual(await read(whole), [200, '0123456789', null])
  const [status, , range] = await read('bytes=10-')
  assert.deepEqual([status, range], [416, 'bytes */10'])
  assert.deepEqual(await read(undefined, 'stderr'), [200, '', null])

  for (const [method, text] of [
    ['GET', '0123456789'],
    ['HEAD', ''],
  ] as const) {
    const whole = await hub.call(method, `${path}/stdout`, token)
    assert.deepEqual([whole.status, whole.text], [200, text])
    assert.equal(whole.headers.get('content-length'), '10')
    assert.equal(whole.headers.get('accept-ranges'), 'bytes')
  }
  const head = async (path: string, token?: string, headers = {}) =>
    (
      await fetch(hub.url + path, {
        method: 'HEAD',
        headers: { authorization: `Bearer ${token}`, ...headers },
      })
    ).status
  assert.equal(await head(`${path}/stdout`, token, { range: 'bytes=99-' }), 200)
  assert.equal(await head(`${path}/stdout`, 'wrong'), 401)
  assert.equal(await head(`/api/runs/${run_id}/attempts/2/output/stdout`, token), 404)
  assert.equal((await hub.call('GET', `${path}/stdin`, token)).status, 400)
  assert.equal(
    (await hub.call('GET', `/api/runs/${run_id}/attempts/2/output/stdout`, token)).json.error.code,
    'not_found',
  )
})

test('a large output arrives whole', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const bytes = 8 * 1024 * 1024 + 5
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(`flood ${bytes}`) })).json
  await hub.engine.done(run_id)
  const { text } = await hub.call('GET', `/api/runs/${run_id}/attempts/1/output/stdout`, token)
  assert.equal(text.length, bytes)
  assert.equal(text.slice(-5), '01234')
})

test('reports an output whose file is truncated or missing as damaged, and returns what exists on request', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep('say 0123456789') })).json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/output/stdout`
  const file = join(hub.outputFolder(run_id), '1.stdout')
  for (const [there, lose] of [
    ['0123', () => truncateSync(file, 4)],
    ['', () => rmSync(file)],
  ] as const) {
    lose()
    for (const headers of [{}, { range: 'bytes=0-1' }] as Record<string, string>[]) {
      const refused = await hub.call('GET', path, token, undefined, headers)
      assert.deepEqual([refused.status, refused.json.error.code], [500, 'output_damaged'])
      assert.deepEqual(refused.json.error.details, { length: 10, there: there.length })
      assert.match(refused.json.error.hint, /\?damaged=true/)
    }
    assert.equal((await hub.call('HEAD', path, token)).status, 500)
    const answer = await hub.call('GET', `${path}?damaged=true`, token)
    assert.deepEqual(
      [answer.status, answer.text, answer.headers.get('content-length')],
      [200, there, String(there.length)],
    )
    const accept = { accept: 'application/json' }
    const events = (await hub.call('GET', `/api/runs/${run_id}/events`, token, undefined, accept)).json
    const { text, missing } = events.find(({ type }: { type: string }) => type === 'output')
    assert.deepEqual([text, missing], [there, 10 - there.length])
  }
})
