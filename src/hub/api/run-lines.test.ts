import assert from 'node:assert/strict'
import { readdirSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'

test('only users who may see the run read its lines, by number and from the end', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { token: other } = await hub.user('bob')
  const text = Array.from({ length: 30 }, (_, at) => `line ${at + 1}`).join('\n')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(`say ${text}`) })).json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/lines`
  const read = async (query: string) => (await hub.call('GET', `${path}${query}`, token)).json
  const numbers = async (query: string) =>
    (await read(query)).lines.map(({ number }: { number: number }) => number)

  const whole = await read('')
  assert.equal(whole.total, 30)
  assert.equal(whole.ended, true)
  assert.equal(whole.bytes, text.length)
  assert.equal(whole.lines[11].text, 'line 12')
  assert.equal(whole.lines[11].stream, 'stdout')
  assert.ok(Math.abs(Date.parse(whole.lines[0].time) - Date.now()) < 3_600_000)
  assert.deepEqual(
    whole.open.map(({ number, text }: { number: number; text: string }) => [number, text]),
    [[30, 'line 30']],
  )
  assert.deepEqual(await numbers('?from=5&to=7'), [5, 6, 7])
  assert.deepEqual(await numbers('?from=5&limit=2'), [5, 6])
  assert.deepEqual(await numbers('?tail=2'), [29, 30])
  assert.deepEqual(await numbers('?tail=0'), [])
  assert.deepEqual(await numbers('?from=30&tail=5'), [30])
  assert.deepEqual(await numbers('?from=31&tail=5'), [])
  assert.deepEqual(await numbers('?from=31'), [])
  assert.equal((await read('?from=1&to=1&cut=16')).lines[0].length, undefined)

  for (const query of ['?from=0', '?limit=5001', '?tail=x', '?cut=1'])
    assert.equal((await hub.call('GET', `${path}${query}`, token)).status, 400, query)
  for (const route of [path, `${path}/search?q=line`]) {
    assert.equal((await hub.call('GET', route, other)).json.error.code, 'run_not_found')
    assert.equal((await hub.call('GET', route)).status, 401)
    const absent = route.replace('attempts/1', 'attempts/2')
    assert.equal((await hub.call('GET', absent, token)).json.error.code, 'not_found')
  }
})

test('a search finds text and expressions, returns their positions, and refuses an invalid expression', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (
    await hub.call('POST', '/api/runs', token, {
      yaml: oneStep('say one\nTimeout a.b\ntimeout timeout\nfour'),
    })
  ).json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/lines/search`
  const find = async (query: Record<string, string>) =>
    (await hub.call('GET', `${path}?${new URLSearchParams(query)}`, token)).json
  const found = async (query: Record<string, string>) =>
    (await find(query)).hits.map(({ number, ranges }: { number: number; ranges: number[][] }) => [
      number,
      ...ranges,
    ])

  assert.deepEqual(await found({ q: 'timeout' }), [
    [2, [0, 7]],
    [3, [0, 7], [8, 15]],
  ])
  assert.deepEqual(await found({ q: 'timeout', case: 'true' }), [[3, [0, 7], [8, 15]]])
  assert.deepEqual(await found({ q: 'timeout', direction: 'backward', limit: '1' }), [[3, [0, 7], [8, 15]]])
  assert.deepEqual(await found({ q: 'a.b' }), [[2, [8, 11]]])
  assert.deepEqual(await found({ q: '^(one|four)$', re: 'true' }), [
    [1, [0, 3]],
    [4, [0, 4]],
  ])
  const first = await find({ q: 'timeout', limit: '1' })
  assert.deepEqual([first.hits.length, first.next], [1, 3])
  assert.deepEqual((await find({ q: 'nothing like it' })).hits, [])
  const { error } = await find({ q: 'a(b', re: 'true' })
  assert.equal(error.code, 'bad_request')
  assert.equal(error.details.position, 3)
  assert.match(error.message, /Unterminated group at character 3/)
  assert.match(error.hint, /JavaScript/)
})

test('ends an expression that takes too long, and the hub answers other requests in the meantime', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(`say ${'a'.repeat(60)}!`) }))
    .json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/lines/search?re=true&q=${encodeURIComponent('(a+)+$')}`
  let isOver = false
  const search = hub.call('GET', path, token).finally(() => (isOver = true))
  for (let count = 0; count < 20; count++) assert.equal((await hub.call('GET', '/health')).status, 200)
  assert.equal(isOver, false)
  const { status, json } = await search
  assert.equal(status, 400)
  assert.match(json.error.message, /takes too long/)
})

test('stores the index of a long log next to it, and rebuilds a damaged one', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const bytes = 8 * 1024 * 1024
  const { run_id } = (await hub.call('POST', '/api/runs', token, { yaml: oneStep(`flood ${bytes}`) })).json
  await hub.engine.done(run_id)
  const path = `/api/runs/${run_id}/attempts/1/lines`
  const { json } = await hub.call('GET', `${path}?tail=1`, token)
  assert.deepEqual([json.total, json.bytes, json.lines[0].number], [bytes / 16, bytes, bytes / 16])
  const folder = hub.outputFolder(run_id)
  assert.deepEqual(readdirSync(folder).sort(), ['1.lines', '1.stdout'])

  truncateSync(join(folder, '1.stdout'), 1000)
  const damaged = (await hub.call('GET', `${path}?tail=1&cut=2000`, token)).json
  assert.equal(damaged.missing_bytes, bytes - 1000)
  await hub.call('DELETE', `/api/runs/${run_id}`, token)
  assert.equal((await hub.call('GET', path, token)).status, 404)
})
