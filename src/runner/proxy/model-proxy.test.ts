import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { until } from '../../../test/support/builtin-bench.ts'
import {
  type Answered,
  answerOf,
  ask,
  asking,
  KEY,
  messages,
  openEndpoint,
  SENTINEL,
  startService,
} from '../../../test/support/runner/model-proxy-fixture.ts'

const hello = (_: unknown, response: { setHeader(a: string, b: string): void; end(text: string): void }) => {
  response.setHeader('content-type', 'application/json')
  response.end(answerOf({ input_tokens: 10, output_tokens: 5 }))
}
const errorOf = ({ json }: Answered) => `${json.error?.type}: ${json.error?.message}`

describe('the model proxy of an endpoint', () => {
  it('adds the key, and removes everything else that could identify the caller', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url, headers: { 'X-Team': 'ours' } }],
    })
    const answer = await ask(endpoint.url(), '/v1/messages?beta=true', {
      body: messages(),
      headers: {
        ...{ 'x-api-key': SENTINEL, authorization: `Bearer ${SENTINEL}`, cookie: 'session=1' },
        ...{ 'proxy-authorization': 'Basic eDp5', 'x-goog-api-key': 'abc', 'x-forwarded-for': '10.0.0.1' },
        ...{ connection: 'keep-alive, x-drop', 'x-drop': '1', 'accept-encoding': 'gzip, br' },
        ...{
          'x-portkey-custom-host': 'http://evil.test',
          'helicone-target-url': 'x',
          'x-method-override': 'GET',
        },
        ...{ 'x-original-url': '/v1/files', 'x-http-method': 'DELETE' },
        ...{ 'anthropic-beta': 'files', 'anthropic-version': '2023-06-01', 'x-auth-token': 'abc' },
        ...{ 'x-stainless-lang': 'js', 'x-stainless-api-key': 'abc', 'x-codex-window-id': '1', 'x-new': '1' },
        // Headers that tell a service who pays.
        ...{ 'openai-organization': 'org-box', 'openai-project': 'proj-box', 'chatgpt-account-id': 'box' },
        ...{ 'anthropic-organization-id': 'box', 'anthropic-workspace-id': 'box', 'x-team': 'of the box' },
        ...{ 'x-goog-user-project': 'box', 'x-ms-client-principal-id': 'box', 'x-amzn-account': 'box' },
        ...{
          'x-initiator': 'user',
          'http-referer': 'https://box.test',
          'x-title': 'box',
          'cf-aig-metadata': 'x',
        },
      },
    })
    assert.equal(answer.status, 200)
    const [{ url, headers } = assert.fail()] = service.seen
    assert.equal(url, '/v1/messages?beta=true')
    assert.equal(headers['x-api-key'], KEY)
    assert.deepEqual(Object.keys(headers).sort(), [
      ...['accept-encoding', 'anthropic-beta', 'anthropic-version', 'connection', 'content-length', 'host'],
      ...['x-api-key', 'x-codex-window-id', 'x-stainless-lang', 'x-team'],
    ])
    assert.equal(headers['x-team'], 'ours')
    assert.equal(headers['accept-encoding'], 'identity')
    assert.equal(headers.host, new URL(service.url).host)
    assert.deepEqual(endpoint.log, [
      { type: 'asked', id: 1, service: 'anthropic', model: 'claude-sonnet-4-5', input_tokens: 24 },
      {
        ...{ type: 'answered', id: 1, service: 'anthropic', model: 'claude-sonnet-4-5', status: 200 },
        ...{
          tokens: { input: 10, output: 5, cache_read: 0, cache_write: 0, reasoning: 0 },
          cost_usd: 0.000105,
        },
      },
    ])
  })

  it('sends the key as Bearer if the service requires it', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({
      rules: [{ upstream: `${service.url}/base/`, header: 'bearer' }],
    })
    await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(service.seen[0]?.headers.authorization, `Bearer ${KEY}`)
    assert.equal(service.seen[0]?.headers['x-api-key'], undefined)
    assert.equal(service.seen[0]?.url, '/base/v1/messages')
  })

  const foreign: Record<string, Record<string, string | string[]>> = {
    none: {},
    another: { 'x-api-key': 'sk-ant-api03-somebody-elses' },
    'a beginning of it': { 'x-api-key': SENTINEL.slice(0, -1) },
    'another beside it': { 'x-api-key': SENTINEL, authorization: 'Bearer sk-ant-somebody-elses' },
    'two of one header': { 'x-api-key': [SENTINEL, 'sk-ant-somebody-elses'] },
    'basic auth': { authorization: `Basic ${Buffer.from(`x:${SENTINEL}`).toString('base64')}` },
    'the real one': { 'x-api-key': KEY },
    'in another header': { 'api-key': 'other', 'x-api-key': SENTINEL },
  }
  for (const [what, headers] of Object.entries(foreign))
    it(`refuses a foreign key: ${what}`, async () => {
      await using service = await startService(hello)
      await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
      const answer = await ask(endpoint.url(), '/v1/messages', { body: messages(), headers })
      assert.equal(answer.status, 401)
      assert.match(errorOf(answer), /^authentication_error: Errand's proxy/)
      assert.equal(service.seen.length, 0)
      assert.deepEqual(endpoint.log, [
        { type: 'refused', host: 'anthropic', port: 0, why: 'foreign_key', count: 1 },
      ])
    })

  const paths: [method: string, path: string][] = [
    ...['/v1/files', '/v1/messages/batches', '/v1/organizations/api_keys', '/v1/complete', '/', ''].map(
      (path): [string, string] => ['POST', path],
    ),
    ...['/v1/messages/', '//v1/messages', '/v1//messages', '/v1/./messages', '/v1/x/../messages'].map(
      (path): [string, string] => ['POST', path],
    ),
    ...['/v1/%6dessages', '/v1/messages%2fbatches', '/v1/messages%00', '/v1\\messages', '/V1/messages'].map(
      (path): [string, string] => ['POST', path],
    ),
    ['GET', '/v1/messages'],
    ['GET', '/v1/files'],
    ['GET', '/v1/models/..'],
    ['GET', '/v1/models/../files'],
    ['GET', '/v1/models/%2e%2e'],
    ['DELETE', '/v1/models/x'],
    ['PUT', '/v1/messages'],
    ['OPTIONS', '/v1/messages'],
    ['POST', '/responses'],
    ['POST', '/v1/chat/completions'],
  ]
  it('allows no other path of the service', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    for (const [method, path] of paths) {
      const answer = await ask(endpoint.url(), path, {
        method,
        body: /^P/.test(method) ? messages() : undefined,
      })
      assert.equal(answer.status, 404, `${method} ${path}`)
      assert.match(errorOf(answer), /^not_found_error: Errand's proxy/, `${method} ${path}`)
    }
    assert.deepEqual(service.seen, [])
    assert.deepEqual(
      endpoint.of('refused').map(({ why, count }) => [why, count]),
      [['model_path', 1]],
    )
  })

  it('serves the paths of an OpenAI-like service with and without their version', async () => {
    await using service = await startService(hello)
    const upstream = `${service.url}/v1`
    await using endpoint = await openEndpoint({
      rules: [{ upstream, name: 'openai', shape: 'openai', header: 'bearer' }],
    })
    const good = ['/v1/responses', '/responses', '/responses/compact', '/v1/chat/completions']
    for (const path of good)
      assert.equal(
        (await ask(endpoint.url('openai'), path, { body: { model: 'm', input: 'x' } })).status,
        200,
        path,
      )
    for (const path of ['/v1/models', '/models/gpt-5.5', '/models?client_version=1'])
      assert.equal((await ask(endpoint.url('openai'), path)).status, 200, path)
    for (const path of [
      '/v1/v1/responses',
      '/v1/files',
      '/embeddings',
      '/v1/batches',
      '/v1/responses/resp_1',
    ])
      assert.equal((await ask(endpoint.url('openai'), path, { body: {} })).status, 404, path)
    assert.deepEqual(
      service.seen.map(({ url }) => url),
      [
        ...['/v1/responses', '/v1/responses', '/v1/responses/compact', '/v1/chat/completions'],
        ...['/v1/models', '/v1/models/gpt-5.5', '/v1/models?client_version=1'],
      ],
    )
    assert.equal(endpoint.of('asked').length, 4)
    const { json } = await ask(endpoint.url('openai'), '/files', { body: {} })
    assert.deepEqual(Object.keys(json.error ?? {}), ['message', 'type', 'param', 'code'])
  })

  it('accepts no credential in a query', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    for (const query of [
      '?key=x',
      '?api_key=x',
      '?beta=true&access_token=x',
      '?x-api-key=1',
      '?authorization=Bearer',
      '?a=%6b',
    ])
      assert.equal(
        (await ask(endpoint.url(), `/v1/messages${query}`, { body: messages() })).status,
        400,
        query,
      )
    assert.deepEqual(service.seen, [])
    assert.equal((await ask(endpoint.url(), '/v1/models?limit=1000&after_id=x')).status, 200)
  })

  it('answers a check of its availability by itself', async () => {
    await using endpoint = await openEndpoint({ rules: [{ upstream: 'http://127.0.0.1:9' }] })
    for (const path of ['', '/'])
      assert.equal((await ask(endpoint.url(), path, { method: 'HEAD' })).status, 200)
    const other = await ask(endpoint.url('openai'), '/responses', { body: {} })
    assert.equal(other.status, 404)
    assert.match(errorOf(other), /no model service by that name. Available: anthropic\./)
  })

  it('allows only the permitted models', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url, models: ['claude-haiku-4-5'] }],
    })
    const post = (body: unknown) => ask(endpoint.url(), '/v1/messages', { body })
    const answer = await post(messages())
    assert.equal(answer.status, 400)
    assert.match(
      errorOf(answer),
      /invalid_request_error: The model "claude-sonnet-4-5" is not allowed .* claude-haiku-4-5\./,
    )
    assert.equal((await ask(endpoint.url(), '/v1/messages/count_tokens', { body: messages() })).status, 400)
    // Two readers could understand these as different requests.
    const twice = '{"model":"claude-haiku-4-5","max_tokens":9,"model":"claude-opus-4-5"}'
    const escaped = '{"model":"claude-haiku-4-5","mod\\u0065l":"claude-opus-4-5"}'
    const cased = '{"model":"claude-haiku-4-5","Model":"claude-opus-4-5"}'
    const alone = '{"MODEL":"claude-haiku-4-5"}'
    const long = '{"model":"claude-haiku-4-5","\u017ftream":true,"stream":false}'
    const within = '{"model":"claude-haiku-4-5","tools":[{"type":"custom","type":"web_search"}]}'
    const below = '{"model":"claude-haiku-4-5","metadata":{"__proto__":1,"\\u005f_proto__":2}}'
    for (const body of [twice, escaped, cased, long, within, below])
      assert.equal((await post(body)).status, 400, body)
    for (const body of ['', '[]', 'null', '"x"', '{"model":1', `${'[['.repeat(5000)}`])
      assert.equal(
        (await ask(endpoint.url(), '/v1/messages', { body, method: 'POST' })).status,
        400,
        body.slice(0, 20),
      )
    assert.equal((await post(alone)).status, 400)
    assert.equal((await post({ model: 'x'.repeat(5000) })).status, 400)
    assert.equal((await post('{}')).status, 400)
    assert.deepEqual(service.seen, [])
    const odd =
      '{"model":"claude-haiku-4-5","metadata":{"__proto__":{},"a":"\\\\","b":"\\":\\"","c":[{},{"a":1}]}}'
    assert.equal((await post(odd)).status, 200)
    await using some = await openEndpoint({ rules: [{ upstream: service.url, models: ['claude-sonnet-*'] }] })
    assert.equal((await ask(some.url(), '/v1/messages', { body: messages() })).status, 200)
  })

  it('reads no body that would delay all other boxes', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const many = (part: string, count: number) =>
      Array.from({ length: count }, (_, n) => part.replace('N', `${n}`))
    const bodies: Record<string, string> = {
      'more than 250000 values': `{"a":[${many('{}', 300_000).join()}]}`,
      'more than 1000 fields': `{${many('"N":1', 1001).join()}}`,
      'nested too deep': `{"a":${'['.repeat(501)}${']'.repeat(501)}}`,
    }
    for (const [why, body] of Object.entries(bodies)) {
      const answer = await ask(endpoint.url(), '/v1/messages', { body })
      assert.equal(answer.status, 400, why)
      assert.match(errorOf(answer), new RegExp(why))
    }
    assert.deepEqual(service.seen, [])
    const texts = `{"model":"m","a":[${many('{"text":"{\\"[,:N"}', 80_000).join()}]}`
    assert.equal((await ask(endpoint.url(), '/v1/messages', { body: texts })).status, 200)
  })

  it('passes a body on exactly as written', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const body =
      '{ "model" : "m",\n "n": 12345678901234567890, "text": "\\u00e9 é 🙂", "list": [1.0, {"a": [] }] }'
    await ask(endpoint.url(), '/v1/messages', { body })
    assert.equal(service.seen[0]?.body, body)
  })

  it('refuses a body that is too large, compressed, or never ends', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const large = await ask(endpoint.url(), '/v1/messages', {
      body: `{"a":"${'x'.repeat(33 * 1024 * 1024)}"}`,
    })
    assert.equal(large.status, 413)
    assert.match(errorOf(large), /request_too_large/)
    const headers = { 'x-api-key': SENTINEL, 'content-encoding': 'gzip' }
    const zipped = await ask(endpoint.url(), '/v1/messages', { body: 'x', headers })
    assert.equal(zipped.status, 400)
    // Without its length it is counted as it comes.
    const socket = connect(Number(new URL(endpoint.url()).port), '127.0.0.1')
    socket.write(`POST /model/anthropic/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: ${SENTINEL}\r\n`)
    socket.write('transfer-encoding: chunked\r\n\r\n')
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes
    })
    socket.on('error', () => {})
    for (let sent = 0; sent < 40 && text === ''; sent++) {
      socket.write(`${chunk.length.toString(16)}\r\n`)
      socket.write(chunk)
      if (!socket.write('\r\n')) await new Promise(setImmediate)
    }
    await until(() => text !== '')
    assert.match(text, /^HTTP\/1.1 413 /)
    socket.destroy()
    await once(socket, 'close')
    assert.deepEqual(service.seen, [])
  })

  it('refuses ambiguous requests that another reader could split differently', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const body = JSON.stringify(messages())
    const smuggled = [
      `content-length: ${body.length}\r\ntransfer-encoding: chunked`,
      `content-length: ${body.length}\r\ncontent-length: 3`,
      `transfer-encoding: chunked, identity`,
      `content-length: +${body.length}`,
    ]
    for (const headers of smuggled) {
      const socket = connect(Number(new URL(endpoint.url()).port), '127.0.0.1')
      socket.write(
        `POST /model/anthropic/v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: ${SENTINEL}\r\n${headers}\r\n\r\n${body}`,
      )
      let text = ''
      socket.on('data', (bytes) => {
        text += bytes
      })
      socket.on('error', () => {})
      await once(socket, 'close')
      assert.match(text, /^HTTP\/1.1 400 /, headers)
    }
    assert.deepEqual(service.seen, [])
  })

  it('masks the key in answers, headers and errors, wherever it is cut', async () => {
    const event = (text: string) =>
      `event: x\ndata: {"type":"content_block_delta","delta":{"text":"${text}"}}\n\n`
    let size = 1
    await using service = await startService(async (_, response, body) => {
      response.writeHead(body.includes('fail') ? 400 : 200, {
        ...{ 'content-type': 'text/event-stream', 'x-echo': `key=${KEY}`, 'retry-after': '7' },
      })
      const bytes = Buffer.from(
        `${event(`a ${KEY} b`)}${event(Buffer.from(KEY).toString('base64'))}${event('end')}`,
      )
      for (let at = 0; at < bytes.length; at += size) {
        response.write(bytes.subarray(at, at + size))
        await new Promise(setImmediate)
      }
      response.end()
    })
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    for (size of [1, 7, 40, 10_000])
      for (const content of ['fine', 'fail']) {
        const { text, headers, status } = await ask(endpoint.url(), '/v1/messages', {
          body: messages(1, { content }),
        })
        assert.equal(text, event('a *** b') + event('***') + event('end'))
        assert.equal(headers['x-echo'], 'key=***')
        assert.equal(headers['retry-after'], '7')
        assert.equal(status, content === 'fail' ? 400 : 200)
      }
  })

  it('passes each event on at once', async () => {
    const goOn: (() => void)[] = []
    await using service = await startService(async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.flushHeaders()
      for (const word of ['sk', 'sk-ant-api03', 'two s', 'c2st', `${'w'.repeat(70)}c2`]) {
        await new Promise<void>((resolve) => goOn.push(resolve))
        response.write(`data: {"type":"ping","text":"${word}"}\n\n`)
      }
      response.end()
    })
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const answer = await asking(endpoint.url(), '/v1/messages', { body: messages() })
    let text = ''
    answer.on('data', (bytes) => {
      text += bytes
    })
    const ended = once(answer, 'end')
    for (let count = 1; count <= 5; count++) {
      await until(() => goOn.length === count)
      goOn[count - 1]!()
      await until(() => text.split('\n\n').length === count + 1)
    }
    await ended
  })

  it('aborts the service request when its client leaves, and counts what was seen', async () => {
    let cut = false
    await using service = await startService((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const usage = { input_tokens: 700, cache_read_input_tokens: 30, output_tokens: 1 }
      response.write(`data: ${JSON.stringify({ type: 'message_start', message: { usage } })}\n\n`)
      const delta = { type: 'text_delta', text: 'x'.repeat(400) }
      response.write(`data: ${JSON.stringify({ type: 'content_block_delta', delta })}\n\n`)
      response.once('close', () => {
        cut = true
      })
    })
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const answer = await asking(endpoint.url(), '/v1/messages', { body: messages() })
    await once(answer, 'data')
    answer.destroy()
    await until(() => cut && endpoint.of('answered').length === 1)
    const { tokens, estimated } = endpoint.of('answered')[0]!
    assert.deepEqual(tokens, { input: 700, output: 101, cache_read: 30, cache_write: 0, reasoning: 0 })
    assert.equal(estimated, true)
  })

  it('waits for a service that never answers until its client leaves', async () => {
    await using service = await startService(() => {})
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const abort = new AbortController()
    const answer = ask(endpoint.url(), '/v1/messages', { body: messages(), signal: abort.signal })
    await until(() => service.seen.length === 1)
    abort.abort()
    await assert.rejects(answer)
    await until(() => endpoint.of('answered').length === 1)
    assert.equal(endpoint.of('answered')[0]?.status, 499)
    assert.equal(endpoint.of('answered')[0]?.estimated, true)
    assert.equal(service.seen.length, 1)
  })

  it('reports a service that is missing, breaks or answers garbage, and asks it once', async () => {
    await using refused = await openEndpoint({ rules: [{ upstream: 'http://127.0.0.1:9' }] })
    const none = await ask(refused.url(), '/v1/messages', { body: messages() })
    assert.equal(none.status, 502)
    assert.match(errorOf(none), /api_error: Errand's proxy cannot reach 127.0.0.1:9: .*ECONNREFUSED/)
    assert.deepEqual(refused.of('answered')[0]?.tokens.input, 0)
    await using service = await startService((request) => request.socket.end('what is this\r\n\r\n'))
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const garbage = await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(garbage.status, 502)
    service.answer = (request) => request.socket.destroy()
    assert.equal((await ask(endpoint.url(), '/v1/messages', { body: messages() })).status, 502)
    assert.equal(service.seen.length, 2)
    assert.ok(endpoint.of('answered').every(({ estimated }) => estimated))
    service.answer = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-type': 'application/json' })
      response.end(gzipSync(answerOf({ input_tokens: 1 }, KEY)))
    }
    const zipped = await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(zipped.status, 502)
    assert.match(errorOf(zipped), /uncompressed/)
    service.answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': '1000' })
      response.write('data: {"type":"ping"}\n\n', () => response.destroy())
    }
    await assert.rejects(ask(endpoint.url(), '/v1/messages', { body: messages() }))
  })

  it('reports a service that changes the protocol', async () => {
    await using service = await startService(({ socket }) =>
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n'),
    )
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const answer = await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(answer.status, 502)
    assert.match(errorOf(answer), /switched protocols/)
  })

  it('passes failures of the service on with their headers', async () => {
    await using service = await startService((_, response) => {
      response.writeHead(429, {
        'retry-after': '11',
        'content-type': 'application/json',
        'set-cookie': 'a=b',
      })
      response.end('{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}')
    })
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const answer = await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(answer.status, 429)
    assert.equal(answer.headers['retry-after'], '11')
    assert.equal(answer.headers['set-cookie'], undefined)
    assert.equal(errorOf(answer), 'rate_limit_error: slow down')
    assert.deepEqual(endpoint.of('answered')[0], {
      ...{
        type: 'answered',
        id: 1,
        service: 'anthropic',
        model: 'claude-sonnet-4-5',
        status: 429,
        cost_usd: 0,
      },
      tokens: { input: 0, output: 0, cache_read: 0, cache_write: 0, reasoning: 0 },
    })
  })

  it('lets no service reach other hosts for a box whose network does not allow them', async () => {
    await using service = await startService(hello)
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url }, { upstream: service.url, name: 'openai', shape: 'openai' }],
    })
    const own = [
      { type: 'function', name: 'web_search', parameters: {} },
      { name: 'mcp', input_schema: {} },
      { type: 'custom', name: 'x' },
    ]
    const reaching: object[] = [
      { type: 'web_search', external_web_access: true },
      { type: 'web_search_20250305', name: 'web_search' },
      { type: 'web_fetch_20250910', name: 'web_fetch' },
      { type: 'mcp', server_url: 'https://evil.test' },
      { type: 'custom', Type: 'web_search' },
      { type: 'shell', environment: { type: 'container_auto', network_policy: {} } },
      { type: 'namespace', name: 'group', tools: [{ type: 'mcp' }] },
    ]
    const post = async (path: string, body: object) => {
      const answer = await ask(endpoint.url('openai'), path, { body: { model: 'm', ...body } })
      return answer.status === 200 ? JSON.parse(service.seen.at(-1)!.body) : errorOf(answer)
    }
    // Tools that reach others are removed; the agent's own stay.
    const input = [
      { role: 'user', content: 'https://in.a.text' },
      { type: 'more_tools', tools: [...own, ...reaching] },
    ]
    const { tools, ...rest } = (await post('/responses', { tools: [...own, ...reaching], input })) as {
      tools: object
    }
    assert.deepEqual(tools, own)
    assert.deepEqual(rest, { model: 'm', input: [input[0], { type: 'more_tools', tools: own }] })
    const picture = 'https://evil.test/?secret'
    const refused: [path: string, body: object][] = [
      ['/responses', { tools: [reaching[0]] }],
      ['/responses', { tools: [...own, reaching[0]], tool_choice: reaching[0] }],
      ['/responses', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: picture }] }] }],
      ['/responses', { input: [{ role: 'user', content: [{ type: 'input_file', file_url: picture }] }] }],
      [
        '/responses',
        {
          input: [
            { type: 'function_call_output', output: [{ type: 'input_image', image_url: ` ${picture}` }] },
          ],
        },
      ],
      ['/chat/completions', { web_search_options: { user_location: null } }],
      ['/chat/completions', { plugins: [{ id: 'web' }] }],
      ['/chat/completions', { model: 'vendor/m:online' }],
      [
        '/chat/completions',
        { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: picture } }] }] },
      ],
    ]
    for (const [path, body] of refused)
      assert.match(
        String(await post(path, body)),
        /^invalid_request_error: The network of this run/,
        JSON.stringify(body),
      )
    const source = { type: 'url', url: picture }
    const results = [{ type: 'tool_result', content: [{ type: 'image', source }] }]
    for (const more of [
      { mcp_servers: [{ url: picture }] },
      { messages: [{ role: 'user', content: results }] },
    ]) {
      const answer = await ask(endpoint.url(), '/v1/messages', { body: messages(1, more) })
      assert.match(errorOf(answer), /The network of this run/)
    }
    const inline = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } }
    const call = { type: 'tool_use', input: { source, image_url: picture } }
    const fine = messages(1, { messages: [{ role: 'user', content: [inline, call] }], mcp_servers: [] })
    assert.equal((await ask(endpoint.url(), '/v1/messages', { body: fine })).status, 200)
    assert.equal(endpoint.of('refused')[0]?.why, 'service_reaches_out')
    assert.equal(service.seen.length, 2)
    // Every host is open, so this way adds nothing.
    endpoint.rules.network = 'all'
    assert.equal(
      (await ask(endpoint.url(), '/v1/messages', { body: messages(1, { mcp_servers: [source] }) })).status,
      200,
    )
  })

  it('slows down a client that causes nothing but failures', async () => {
    let pauses = 0
    let fails = true
    await using service = await startService((_, response) => {
      response.writeHead(fails ? 400 : 200, { 'content-type': 'application/json' })
      response.end(answerOf({ output_tokens: 1 }))
    })
    const pause = async () => void pauses++
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }], pause })
    const post = () => ask(endpoint.url(), '/v1/messages', { body: messages() })
    for (let count = 0; count < 100; count++) await post()
    assert.equal(pauses, 0)
    await post()
    assert.equal(pauses, 1)
    fails = false
    await post()
    await post()
    assert.equal(pauses, 2)
    // Refusals here take few lines anyway.
    const headers = { 'x-api-key': 'another' }
    for (let count = 0; count < 500; count++)
      await ask(endpoint.url(), '/v1/messages', { body: messages(), headers })
    assert.ok(endpoint.of('refused').length < 200)
  })

  it('buffers little of an answer whose reader is slow', async () => {
    const MIB = 1024 * 1024
    let sent = 0
    let ended = false
    await using service = await startService(async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const line = `data: ${'x'.repeat(MIB)}\n`
      for (; sent < 256 * MIB && !response.destroyed; sent += MIB)
        if (!response.write(line)) await once(response, 'drain').catch(() => {})
      ended = true
      response.end()
    })
    await using endpoint = await openEndpoint({ rules: [{ upstream: service.url }] })
    const answer = await asking(endpoint.url(), '/v1/messages', { body: messages() })
    answer.pause()
    // It stops once all buffers in between are full.
    let before = -1
    for (let still = 0; still < 20; ) {
      still = before === sent ? still + 1 : 0
      before = sent
      // Sleeps: only time shows that a sender has stopped.
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.ok(sent < 64 * MIB && !ended, `${sent} bytes were sent to nobody`)
    const rss = process.memoryUsage().rss
    answer.resume()
    await once(answer, 'end')
    assert.ok(ended)
    assert.ok(process.memoryUsage().rss - rss < 128 * MIB)
  })
})
