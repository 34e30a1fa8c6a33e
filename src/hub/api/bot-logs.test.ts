import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { testingHub } from '../../../test/support/hub/hub-fixture.ts'
import type { LogLine } from '../../contract/bots/bot-api.ts'

async function bot(t: test.TestContext) {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann')
  const { run_id } = (await hub.call('POST', '/api/bots', token, { bot_id: 'echo', code: 'x' })).json
  while (hub.host.bots.get('echo') === undefined) await new Promise(setImmediate)
  const logs = async (query = '') => (await hub.call('GET', `/api/bots/echo/logs${query}`, token)).json
  return { hub, token, run_id, logs, bot: hub.host.bots.get('echo')! }
}

const texts = (lines: readonly LogLine[]) => lines.map(({ stream, text }) => `${stream}: ${text}`)

test('shows the last lines of the log, searches it, and filters it by stream', async (t) => {
  const { bot: echo, logs, run_id } = await bot(t)
  await echo.say('one\ntwo\n')
  await echo.say('Error: no\n', 'stderr')
  await echo.say('three\nfour, not end')
  while ((await logs()).lines.length < 5) await sleep(5)
  const all = await logs()
  const ofStream = (name: string) =>
    all.lines.flatMap(({ stream, text }: LogLine) => (stream === name ? [text] : []))
  assert.deepEqual(ofStream('stdout'), ['one', 'two', 'three', 'four, not end'])
  assert.deepEqual(ofStream('stderr'), ['Error: no'])
  assert.deepEqual(
    [all.run_id, all.lines.filter(({ open }: LogLine) => open).length, all.truncated],
    [run_id, 1, false],
  )
  assert.deepEqual(texts((await logs('?tail=1&stream=stdout')).lines), ['stdout: four, not end'])
  assert.deepEqual(texts((await logs('?search=error')).lines), ['stderr: Error: no'])
  assert.deepEqual(texts((await logs('?stream=stderr')).lines), ['stderr: Error: no'])
  assert.deepEqual((await logs('?since=2100-01-01T00:00:00Z')).lines, [])
  assert.match((await logs('?since=now')).error.message, /"now" is not a valid time/)
  assert.match((await logs('?tail=100000')).error.message, /query.tail/)
})

test('a follower gets each line once, until the bot ends', async (t) => {
  const { hub, token, bot: echo } = await bot(t)
  await echo.say('one\ntw')
  const response = await fetch(`${hub.url}/api/bots/echo/logs?follow=true&tail=10`, {
    headers: { authorization: `Bearer ${token}` },
  })
  assert.match(response.headers.get('content-type')!, /text\/event-stream/)
  const whole = response.text()
  await echo.say('o\nthree\nlast')
  echo.end({ outcome: 'failed', reason: 'oom', message: 'out of memory' })
  const events = (await whole).split('\n\n').filter((text) => text.startsWith('event: '))
  const data = events.map((text) => JSON.parse(text.split('data: ')[1]!))
  assert.deepEqual(
    data.slice(0, -1).map(({ text }) => text),
    ['one', 'two', 'three', 'last'],
  )
  assert.deepEqual([data.at(-1).status, events.at(-1)!.split('\n')[0]], ['failed', 'event: end'])
})

test('a follower of a search gets the last matching lines, however many lines came after them', async (t) => {
  const { hub, token, bot: echo, logs } = await bot(t)
  await echo.say(`error 1\nerror 2\nerror 3\n${'fine\n'.repeat(50)}err`)
  while ((await logs('?search=fine')).lines.length < 50) await sleep(5)
  const response = await fetch(`${hub.url}/api/bots/echo/logs?follow=true&tail=2&search=error`, {
    headers: { authorization: `Bearer ${token}` },
  })
  const whole = response.text()
  await echo.say('or 4\nfine\n')
  echo.end({ outcome: 'success' })
  const found = [...(await whole).matchAll(/"text":"([^"]*)"/g)].map(([, text]) => text)
  assert.deepEqual(found, ['error 2', 'error 3', 'error 4'])
})
