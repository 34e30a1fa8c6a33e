import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import test from 'node:test'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'
import { mailStandIn, type Received, webStandIn } from '../../../test/support/notify/channel-stand-ins.ts'
import { WebhookNotice } from '../../contract/channels.ts'

const asking = (args: Record<string, unknown>, name = 'release') => ({
  workflow: { version: 'v0.1', name, steps: [{ name: 'ask it', action: 'approval.wait', args }] },
})
const noticeOf = ({ body }: Received) => WebhookNotice.parse(JSON.parse(body))

test('sends a signed webhook once, only for questions that the user may answer and their own failed runs', async (t) => {
  const channel = await webStandIn(t)
  const hub = await testingHub(t, { notify: { publicUrl: 'https://errand.example/at/' } })
  const [ann, bob] = [await hub.user('ann'), await hub.user('bob')]
  const url = `${channel.url}/hook/SECRETPATH?key=1`
  const made = await hub.call('POST', '/api/me/channels', bob.token, { kind: 'webhook', url })
  assert.equal(made.status, 201, made.text)
  const { secret, ...shown } = made.json
  assert.equal(shown.to, new URL(url).host)
  const own = asking({ message: 'Only ann?' })
  await hub.call('POST', '/api/runs', ann.token, own)
  const { json: failed } = await hub.call('POST', '/api/runs', bob.token, { yaml: oneStep('fail') })
  await channel.until((all) => all.length === 1)
  const failure = noticeOf(channel.received[0]!)
  assert.deepEqual([failure.kind, failure.run_id, failure.step], ['failure', failed.run_id, 'one'])
  assert.equal(failure.url, `https://errand.example/at/runs/${failed.run_id}?step=one`)

  const { json: run } = await hub.call(
    ...(['POST', '/api/runs', ann.token] as const),
    asking({ message: 'Ship\u202eit?\u0007\nNow?', approvers: { users: ['bob'] } }),
  )
  await channel.until((all) => all.length === 2)
  const { headers, body, path } = channel.received[1]!
  assert.equal(path, '/hook/SECRETPATH?key=1')
  const signed = createHmac('sha256', secret).update(`${headers['x-errand-timestamp']}.${body}`).digest('hex')
  assert.equal(headers['x-errand-signature'], `sha256=${signed}`)
  const notice = noticeOf(channel.received[1]!)
  assert.deepEqual([notice.kind, notice.id], ['question', headers['x-errand-delivery']])
  assert.equal(notice.text, 'Ship it?\nNow?')
  assert.equal(notice.url, `https://errand.example/at/runs/${run.run_id}?step=ask%20it#question:ask%20it`)
  const list = async () => (await hub.call('GET', '/api/me/channels', bob.token)).json
  while ((await list()).channels[0].waiting > 0) await new Promise(setImmediate)
  const { channels } = await list()
  assert.equal(channels.length, 1)
  assert.deepEqual(
    [channels[0].waiting, typeof channels[0].last_sent_at, channels[0].failure],
    [0, 'string', undefined],
  )
  for (const text of [JSON.stringify(channels), hub.log.join('\n')])
    assert.ok(!text.includes('SECRETPATH') && !text.includes(secret))
  assert.deepEqual((await hub.call('GET', '/api/secrets', bob.token)).json.secrets, [])
  assert.equal(channel.received.length, 2)
})

test('retries an unreachable channel, but no longer sends what was answered in the meantime', async (t) => {
  const channel = await webStandIn(t)
  channel.answer.status = 503
  const hub = await testingHub(t, { notify: { retryMs: 1 } })
  const ann = await hub.user('ann')
  const { json: made } = await hub.call('POST', '/api/me/channels', ann.token, {
    ...{ kind: 'webhook', url: channel.url, secret: 'a secret of my own choice' },
  })
  assert.equal(made.secret, undefined)
  const { json: run } = await hub.call('POST', '/api/runs', ann.token, asking({}))
  await channel.until((all) => all.length >= 2)
  assert.equal(noticeOf(channel.received[0]!).id, noticeOf(channel.received[1]!).id)
  const state = async () => (await hub.call('GET', '/api/me/channels', ann.token)).json.channels[0]
  assert.match((await state()).failure.message, /answered 503/)
  await hub.call('POST', `/api/runs/${run.run_id}/approve`, ann.token, { step: 'ask it' })
  while ((await state()).waiting > 0) await new Promise(setImmediate)
  channel.answer.status = 200
  await hub.call('POST', '/api/runs', ann.token, { yaml: oneStep('fail') })
  await channel.until((all) => noticeOf(all.at(-1)!).kind === 'failure')
  while ((await state()).failure !== undefined) await new Promise(setImmediate)
})

test('a notice whose question is answered during a failed delivery is not due again', async (t) => {
  const { stores, user } = await testingHub(t)
  const { id: user_id } = await user('ann')
  const at = { created_at: '2026-01-01T00:00:00.000Z', due_at: '2026-01-01T00:00:00.000Z' }
  const channel = {
    id: 'channel_1',
    user_id,
    tenant: 'default',
    kind: 'webhook',
    name: 'a',
    to: 'a.example',
  } as const
  await stores.channels.add({ ...channel, tells: ['needs_me'], created_at: at.created_at })
  const notice = {
    id: 'n1',
    channel_id: 'channel_1',
    key: 'k',
    run_id: 'run_1',
    question: 'main ask',
    body: '{}',
  }
  await stores.channels.keep([{ ...notice, ...at, tries: 0 }], { since: at.created_at, most: 10 })
  const [sending] = await stores.channels.due('2026-01-02T00:00:00.000Z', [], 10)
  assert.equal(sending?.id, 'n1')
  await stores.channels.answered('run_1', 'main ask')
  const now = '2026-01-02T00:00:00.000Z'
  await stores.channels.failed('n1', { now, message: 'it answered 503', due_at: now })
  assert.equal(await stores.channels.nextDue(), undefined)
  assert.deepEqual(
    (await stores.channels.ofUser(user_id)).map(({ waiting, failure }) => [waiting, failure?.message]),
    [[0, 'it answered 503']],
  )
})

test('gives up a notice that cannot be delivered in the end, with the reason', async (t) => {
  const channel = await webStandIn(t)
  channel.answer.status = 500
  const hub = await testingHub(t, { notify: { retryMs: 1, patienceMs: 1 } })
  const ann = await hub.user('ann')
  await hub.call('POST', '/api/me/channels', ann.token, { kind: 'webhook', url: channel.url })
  await hub.call('POST', '/api/runs', ann.token, { yaml: oneStep('fail') })
  const state = async () => (await hub.call('GET', '/api/me/channels', ann.token)).json.channels[0]
  while ((await state()).failure?.dropped !== true) await new Promise(setImmediate)
  assert.deepEqual(
    [(await state()).waiting, (await state()).failure.message],
    [0, `${new URL(channel.url).host} answered 500.`],
  )
  assert.ok(hub.log.some((line) => /did not get a notice/.test(line)))
})

test('an ntfy topic gets a title, a text and a link, sent with the token of the channel', async (t) => {
  const channel = await webStandIn(t)
  const hub = await testingHub(t)
  const ann = await hub.user('ann')
  const { json } = await hub.call('POST', '/api/me/channels', ann.token, {
    ...{ kind: 'ntfy', url: `${channel.url}/deep/my-topic`, token: 'tk_12345678', tells: ['failures'] },
  })
  await hub.call('POST', '/api/runs', ann.token, asking({ message: 'Not told of this' }))
  assert.equal((await hub.call('POST', `/api/me/channels/${json.id}/test`, ann.token, {})).status, 200)
  assert.equal((await hub.call('POST', `/api/me/channels/${json.id}/test`, ann.token, {})).status, 429)
  const [{ path, headers, body }] = channel.received as [Received]
  assert.deepEqual([path, headers.authorization], ['/deep', 'Bearer tk_12345678'])
  const sent = JSON.parse(body)
  assert.deepEqual(
    [sent.topic, sent.title, sent.click],
    ['my-topic', 'Errand: test', `${hub.url}/settings/me`],
  )
  assert.equal(channel.received.length, 1)
})

test('sends e-mail through the mail server of the hub; without one, refuses e-mail channels', async (t) => {
  const mail = await mailStandIn(t)
  const hub = await testingHub(t, { notify: { mail: { url: mail.url, from: 'errand@hub.example' } } })
  const ann = await hub.user('ann')
  const email = { kind: 'email', address: 'ann@example.org' }
  await hub.call('POST', '/api/me/channels', ann.token, email)
  const { json: run } = await hub.call(
    ...(['POST', '/api/runs', ann.token] as const),
    asking({ message: 'Ship?' }, 'evil\r\nBcc: all@example.org'.replace(/[\r\n]+/g, ' ')),
  )
  await mail.until(1)
  const [{ from, to, text }] = mail.mails as [(typeof mail.mails)[0]]
  assert.deepEqual([from, to], ['errand@hub.example', ['ann@example.org']])
  assert.match(text, /^Subject: evil Bcc: all@example.org: ask it asks$/m)
  assert.doesNotMatch(text, /^Bcc:/m)
  assert.ok(
    text
      .replace(/=\n/g, '')
      .replace(/=3D/g, '=')
      .includes(`/runs/${run.run_id}?step=ask%20it#question:ask%20it`),
    text,
  )
  const none = await testingHub(t)
  const cid = await none.user('cid')
  const refused = await none.call('POST', '/api/me/channels', cid.token, email)
  assert.deepEqual([refused.status, refused.json.error.code], [503, 'unavailable'])
})

test('only its user sees a channel; it is deleted with its secrets; a user has at most ten', async (t) => {
  const hub = await testingHub(t)
  const [ann, root] = [await hub.user('ann'), await hub.user('root', 'admin')]
  const add = () =>
    hub.call('POST', '/api/me/channels', ann.token, { kind: 'webhook', url: 'https://hooks.example/x' })
  const { json } = await add()
  for (const [method, path] of [
    ['DELETE', `/api/me/channels/${json.id}`],
    ['POST', `/api/me/channels/${json.id}/test`],
  ] as const)
    assert.equal((await hub.call(method, path, root.token, method === 'POST' ? {} : undefined)).status, 404)
  for (let count = 1; count < 10; count++) assert.equal((await add()).status, 201)
  assert.deepEqual([(await add()).status, (await add()).json.error.code], [409, 'quota_exceeded'])
  assert.equal((await hub.call('DELETE', `/api/me/channels/${json.id}`, ann.token)).status, 204)
  const held = await hub.stores.secrets.list({ scope: 'place' })
  assert.deepEqual([held.length, held.some(({ scope_name }) => scope_name === json.id)], [9, false])
  assert.equal((await hub.call('DELETE', '/api/users/user_ann', root.token)).status, 204)
  assert.deepEqual(await hub.stores.secrets.list({ scope: 'place' }), [])
  assert.deepEqual(await hub.stores.channels.ofUser(ann.id), [])
  for (const url of ['ftp://x.example/', 'https://a:b@x.example/', 'x'])
    assert.equal(
      (await hub.call('POST', '/api/me/channels', root.token, { kind: 'webhook', url })).status,
      400,
      url,
    )
})
