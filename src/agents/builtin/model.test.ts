import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { Model, type ModelReply } from './model.ts'
import type { Settings } from './settings.ts'

type Serve = (response: ServerResponse, request: IncomingMessage, body: unknown) => unknown

/** Returns the answer of a model served by `serve`, and the part of it that people see. */
async function ask(
  t: TestContext,
  serve: Serve,
  { signal = new AbortController().signal, ...more }: Partial<Settings> & { signal?: AbortSignal } = {},
): Promise<{ reply: ModelReply; text: string }> {
  const server = createServer(async (request, response) => serve(response, request, await json(request)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const settings: Settings = {
    model: 'm',
    apiKey: 'key',
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`,
    timeoutMs: 60_000,
    retries: 0,
    contextChars: 1000,
    ...more,
  }
  const tool = { name: 'look', description: 'looks', parameters: { type: 'object' } }
  let received = ''
  const model = new Model(settings, [tool as never])
  const reply = await model.ask(
    'be brief',
    [{ role: 'user', content: 'hello' }],
    ({ text }) => (received += text),
    signal,
  )
  return { reply, text: received }
}

const event = (data: object | string) =>
  `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\r\n\r\n`
const piece = (content: string) => event({ choices: [{ delta: { content } }] })
const end = event({ choices: [{ delta: {}, finish_reason: 'stop' }] })

function failureOf({ reply }: { reply: ModelReply }) {
  assert.equal(reply.type, 'failed')
  const { failure, message, passing, waitMs } = reply.type === 'failed' ? reply.failure : assert.fail()
  return { failure, message: message.replace(/^m at http:\/\/127\.0\.0\.1:\d+\/v1\/: /, ''), passing, waitMs }
}

test('a request contains what the service needs, and its answer is read correctly in pieces of any size', async (t) => {
  let sent: { url?: string; headers?: IncomingMessage['headers']; body?: unknown } = {}
  const text = `: a comment\r\n\r\n${piece('Gr')}${piece('üße')}${end}${event('[DONE]')}${piece('more')}`
  const serve: Serve = async (response, { url, headers }, body) => {
    sent = { url, headers, body }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const byte of Buffer.from(text)) {
      response.write(Buffer.from([byte]))
      await new Promise(setImmediate)
    }
    response.end()
  }
  const { reply, text: received } = await ask(t, serve, {
    organization: 'org',
    project: 'proj',
    maxTokens: 7,
  })
  assert.equal(reply.type, 'answered')
  assert.deepEqual([reply.answer.text, reply.answer.finish, received], ['Grüße', 'stop', 'Grüße'])
  assert.equal(sent.url, '/v1/chat/completions')
  const { authorization, 'openai-organization': organization, 'openai-project': project } = sent.headers!
  assert.deepEqual([authorization, organization, project], ['Bearer key', 'org', 'proj'])
  assert.deepEqual(sent.body, {
    model: 'm',
    messages: [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'hello' },
    ],
    tools: [
      { type: 'function', function: { name: 'look', description: 'looks', parameters: { type: 'object' } } },
    ],
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: 7,
  })
})

test("a refusal is reported with its status and the service's message", async (t) => {
  const refused = (status: number, body: string, headers = {}) =>
    ask(t, (response) => response.writeHead(status, headers).end(body)).then(failureOf)
  const error = { message: 'Slow down.', code: 'rate_limit_exceeded' }
  assert.deepEqual(await refused(429, JSON.stringify({ error }), { 'retry-after': '2' }), {
    failure: 'rate_limit',
    message: '429 Slow down.',
    passing: true,
    waitMs: 2000,
  })
  assert.equal((await refused(401, '{"error": "no"}')).message, '401 "no"')
  assert.equal((await refused(502, '<html>')).message, '502 <html>')
  assert.equal((await refused(500, '{}')).message, '500 status code (no body)')
  const unknown = JSON.stringify({ error: { message: 'No such model.', code: 'model_not_found' } })
  assert.equal((await refused(404, unknown)).failure, 'bad_model')
})

test('a stream with an error, an interrupted one and one without an end fail, and keep their text so far', async (t) => {
  const result = await ask(t, (response) =>
    response.end(piece('Ha') + event({ error: { message: 'Overloaded' } })),
  )
  assert.equal(result.reply.answer.text, 'Ha')
  assert.equal(failureOf(result).message, 'Overloaded')
  const broken = await ask(t, (response) => {
    response.write(piece('Ha'))
    setImmediate(() => response.destroy())
  })
  assert.deepEqual([failureOf(broken).failure, failureOf(broken).passing], ['broken_stream', true])
  const short = await ask(t, (response) => response.end(piece('Ha')))
  assert.equal(failureOf(short).message, 'The stream of the answer stopped before its end.')
  const garbled = await ask(t, (response) => response.end(event('{"choices": [')))
  assert.equal(failureOf(garbled).failure, 'broken_stream')
})

test('an unreachable or silent service is reported, and a cancel ends the request', async (t) => {
  const none = await ask(t, () => {}, { baseUrl: 'http://127.0.0.1:1/v1' })
  assert.equal(none.reply.type, 'failed')
  assert.match(JSON.stringify(none.reply), /unreachable.*Connection error\.: fetch failed: .*bad port/)
  const silent = await ask(t, () => {}, { timeoutMs: 20 })
  assert.equal(failureOf(silent).message, "The model's service sent nothing for 0.02 s.")
  const cancel = new AbortController()
  const { reply } = await ask(t, () => cancel.abort(), { signal: cancel.signal })
  assert.equal(reply.type, 'canceled')
  const later = new AbortController()
  const begun = await ask(
    t,
    (response) => {
      response.write(piece('Ha'))
      setTimeout(() => later.abort(), 20)
    },
    { signal: later.signal },
  )
  assert.equal(begun.reply.type, 'canceled')
})
