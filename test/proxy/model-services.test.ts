import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as requestTo } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { socketPath } from '../../src/platform/socket-path.ts'
import { JsonBody } from '../../src/runner/proxy/request-body.ts'
import type { EndpointRules, ModelRule } from '../../src/runner/proxy/rules.ts'
import { checkedLookup } from '../../src/runner/proxy/upstream.ts'
import { sumLog } from '../../src/runner/proxy/usage-count.ts'
import { until } from '../support/builtin-bench.ts'
import {
  answerOf,
  ask,
  KEY,
  messages,
  openEndpoint,
  SENTINEL,
  startService,
} from '../support/runner/model-proxy-fixture.ts'
import { proxyFixture } from '../support/runner/proxy-fixture.ts'

const program = join(import.meta.dirname, '../../src/runner/proxy/program.ts')
const rule = (upstream: string): ModelRule => ({
  ...{ name: 'anthropic', shape: 'messages', sentinel: SENTINEL, header: 'x-api-key', key: KEY, headers: {} },
  upstream,
})

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Calls through the socket of an endpoint, as the bridge of a box does. */
async function asking(socket: string, body: object): Promise<IncomingMessage> {
  const { path, close } = socketPath(socket)
  const request = requestTo({
    ...{ socketPath: path, path: '/model/anthropic/v1/messages', method: 'POST', agent: false },
    headers: { 'x-api-key': SENTINEL },
  })
  request.end(JSON.stringify(body))
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return response
  } finally {
    close()
  }
}

describe('model services behind the proxy of a runner', () => {
  it('the process after one killed in mid-stream continues the count, with the same budget', async (t) => {
    await using service = await startService((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: {"type":"message_start","message":{"usage":{"input_tokens":9}}}\n\n')
    })
    const proxy = proxyFixture(t, { program })
    const opened = { network: 'models', models: [rule(service.url)], budget: { tokens: 100 } } as const
    const socket = join(
      (await proxy.supervisor.open('one', { ...opened, models: [...opened.models] }, proxy.folder)).folder,
      'proxy',
    )
    const cut = await asking(socket, messages(10, { content: 'x'.repeat(200) }))
    await once(cut, 'data')
    const before = proxy.pid()
    process.kill(before, 'SIGKILL')
    await assert.rejects(text(cut))
    assert.deepEqual(
      proxy.log('one').map(({ type }) => type),
      ['asked'],
    )
    await until(() => {
      try {
        return proxy.pid() !== before
      } catch {
        return false
      }
    })
    service.answer = (_, response) => response.end(answerOf({ input_tokens: 0, output_tokens: 40 }))
    // It soon listens at the same place again.
    const answered: number[] = []
    while (answered.length < 2) {
      const answer = await asking(socket, messages(10)).catch(() => undefined)
      if (answer === undefined) {
        // Sleeps: the proxy is asked again until it is back.
        await new Promise((resolve) => setTimeout(resolve, 20))
        continue
      }
      await text(answer)
      answered.push(answer.statusCode ?? 0)
    }
    assert.deepEqual(answered, [200, 400])
    const { tokens, requests, estimated } = sumLog(proxy.log('one'))
    assert.deepEqual([tokens.output, requests, estimated], [40, 2, true])
    assert.ok(tokens.input > 60)
    assert.equal(service.seen.length, 2)
  })

  it('the proxy reports what was cut when an endpoint is closed', async (t) => {
    await using service = await startService(() => {})
    const proxy = proxyFixture(t, { program })
    const opened = await proxy.supervisor.open(
      'one',
      { network: 'models', models: [rule(service.url)], budget: {} },
      proxy.folder,
    )
    const answer = asking(join(opened.folder, 'proxy'), messages())
    const failed = assert.rejects(answer)
    await until(() => service.seen.length === 1)
    await proxy.supervisor.close('one')
    await failed
    assert.deepEqual(
      proxy.log('one').map(({ type }) => type),
      ['asked', 'answered'],
    )
    assert.doesNotMatch(readFileSync(join(opened.folder, '../told.jsonl'), 'utf8'), new RegExp(KEY))
  })

  it("the operator's file sets the prices, and an unusable file is named", async (t) => {
    const file = join(folderOf(t), 'prices.json')
    const own = { input: 0, output: 1_000_000, cache_read: 0, cache_write: 0 }
    writeFileSync(file, JSON.stringify({ own }))
    await using service = await startService((_, response) => response.end(answerOf({ output_tokens: 3 })))
    const proxy = proxyFixture(t, { program, env: { ERRAND_MODEL_PRICES: file } })
    const opened = await proxy.supervisor.open(
      'one',
      { network: 'models', models: [rule(service.url)], budget: { cost_usd: 2 } },
      proxy.folder,
    )
    const socket = join(opened.folder, 'proxy')
    assert.equal((await asking(socket, messages(1, { model: 'own' }))).statusCode, 200)
    await until(() => proxy.log('one').length === 2)
    assert.equal(sumLog(proxy.log('one')).cost_usd, 3)
    assert.equal((await asking(socket, messages(1, { model: 'own' }))).statusCode, 400)
    await proxy.supervisor.quit()

    writeFileSync(file, '{"own": 5}')
    const other = proxyFixture(t, { program, env: { ERRAND_MODEL_PRICES: file } })
    const rules = { network: 'models', models: [], budget: {} } as const
    await assert.rejects(
      other.supervisor.open('one', { ...rules, models: [] }, other.folder),
      /ERRAND_MODEL_PRICES names .*prices\.json.*own/,
    )
  })
})

describe('a model service with TLS', () => {
  const secure = async (t: TestContext) => {
    const folder = folderOf(t)
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    execFileSync(
      'openssl',
      [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ],
        ...[
          '-subj',
          '/CN=localhost',
          '-addext',
          'subjectAltName=DNS:localhost',
          '-keyout',
          key,
          '-out',
          cert,
        ],
      ],
      { stdio: 'ignore' },
    )
    const seen: (string | undefined)[] = []
    const server = createSecureServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (request, response) => {
        seen.push(request.headers['x-api-key'] as string | undefined)
        response.end(answerOf({ output_tokens: 1 }))
      },
    )
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.after(() => {
      server.close()
      server.closeAllConnections()
    })
    return { url: `https://localhost:${(server.address() as AddressInfo).port}`, cert, seen }
  }

  it('gets the key only if its certificate is valid', async (t) => {
    const { url, cert, seen } = await secure(t)
    await using endpoint = await openEndpoint({ rules: [{ upstream: url }] })
    const answer = await ask(endpoint.url(), '/v1/messages', { body: messages() })
    assert.equal(answer.status, 502)
    assert.match(answer.json.error?.message ?? '', /cannot reach localhost:\d+: .*certificate/)
    assert.deepEqual(seen, [])
    assert.equal(endpoint.of('answered')[0]?.estimated, undefined)
    // A machine that trusts the certificate, in a separate process, because trusted certificates are read at the
    // start.
    const proxy = proxyFixture(t, { program, env: { NODE_EXTRA_CA_CERTS: cert } })
    const opened = await proxy.supervisor.open(
      'one',
      { network: 'models', models: [rule(url)], budget: {} },
      proxy.folder,
    )
    assert.equal((await asking(join(opened.folder, 'proxy'), messages())).statusCode, 200)
    assert.deepEqual(seen, [KEY])
  })

  it("is reached through the machine's proxy, which does not see a key", async (t) => {
    const { url, cert, seen } = await secure(t)
    let received = ''
    const sockets = new Set<Socket>()
    const tunnel = createServer((client) => {
      sockets.add(client)
      client.once('data', (head: Buffer) => {
        received += head
        const [, host = '', port = ''] = /^CONNECT ([^:]+):(\d+) /.exec(head.toString()) ?? []
        if (!received.includes('Basic bWU6cGFzcw=='))
          return void client.end('HTTP/1.1 407 Who are you\r\n\r\n')
        const to = connect(Number(port), host === 'localhost' ? '127.0.0.1' : host, () => {
          client.write('HTTP/1.1 200 OK\r\n\r\n')
          client.on('data', (bytes) => {
            received += bytes
            to.write(bytes)
          })
          to.pipe(client)
        })
        sockets.add(to)
        to.on('error', () => client.destroy())
      })
      client.on('error', () => {})
    })
    await once(tunnel.listen(0, '127.0.0.1'), 'listening')
    t.after(() => {
      tunnel.close()
      for (const socket of sockets) socket.destroy()
    })
    const { port } = tunnel.address() as AddressInfo
    const proxy = proxyFixture(t, { program, env: { NODE_EXTRA_CA_CERTS: cert } })
    const opened = async (id: string, proxyUrl: string) => {
      const models = [{ ...rule(url), proxy: proxyUrl }]
      return join(
        (await proxy.supervisor.open(id, { network: 'models', models, budget: {} }, proxy.folder)).folder,
        'proxy',
      )
    }
    assert.equal(
      (await asking(await opened('one', `http://me:pass@127.0.0.1:${port}`), messages())).statusCode,
      200,
    )
    assert.deepEqual(seen, [KEY])
    assert.match(received, /^CONNECT localhost:\d+ HTTP\/1\.1/)
    assert.doesNotMatch(received, new RegExp(KEY))
    received = ''
    const refused = await asking(await opened('two', `http://127.0.0.1:${port}`), messages())
    assert.equal(refused.statusCode, 502)
    assert.match(await text(refused), /the proxy 127\.0\.0\.1:\d+ answered 407 for localhost/)
    assert.equal(seen.length, 1)
  })
})

describe('a model service that a step names', () => {
  const target = (host: string, port = 443) => ({ host, port })
  const rules = (network: EndpointRules['network'], never: string[] = []): EndpointRules => ({
    ...{ version: 1, key: 'k', network, never, models: [], budget: {} },
  })
  const names: Record<string, string[]> = {
    'good.test': ['93.184.215.14', '2606:2800:21f:cb07:6820:80da:af6b:8b2c'],
    'half.test': ['93.184.215.14', '10.0.0.1'],
    'lan.test': ['10.0.0.1'],
    'hub.test': ['93.184.215.20'],
  }
  const look = checkedLookup(async (host) => names[host] ?? ['127.0.0.1'])

  it('must be on the public internet, or in a private place that the network permits', async () => {
    assert.deepEqual(await look(target('good.test', 8443), rules('models')), names['good.test'])
    assert.deepEqual(await look(target('93.184.215.14'), rules('models')), ['93.184.215.14'])
    const opened = rules({ allow: ['lan.test:8000@private', 'loop.test@private'] })
    assert.deepEqual(await look(target('lan.test', 8000), opened), ['10.0.0.1'])
    const closed: [host: string, port: number, rules: EndpointRules][] = [
      ['lan.test', 8000, rules('all')],
      ['lan.test', 8001, opened],
      ['half.test', 443, rules('all')],
      ['loop.test', 443, opened],
      ['127.0.0.1', 443, rules('models')],
      ['::ffff:7f00:1', 443, rules('models')],
      ['169.254.169.254', 80, rules('models')],
      ['fd00:ec2::254', 80, opened],
    ]
    for (const [host, port, path] of closed)
      await assert.rejects(look(target(host, port), path), { why: 'private_address' }, host)
    await assert.rejects(look(target('hub.test', 3000), rules('all', ['hub.test:3000'])), {
      why: 'own_address',
    })
  })

  it('is not reached elsewhere, in any notation of its address', async () => {
    await using service = await startService((_, response) => response.end(answerOf({ output_tokens: 1 })))
    const { port } = new URL(service.url)
    for (const host of [
      '127.0.0.1',
      'localhost',
      '0x7f.1',
      '2130706433',
      '[::ffff:127.0.0.1]',
      '0.0.0.0',
      '127.0.0.1.',
    ]) {
      await using endpoint = await openEndpoint({
        rules: [{ upstream: `http://${host}:${port}`, checked: true }],
      })
      const answer = await ask(endpoint.url(), '/v1/messages', { body: messages() })
      assert.equal(answer.status, 400, host)
      assert.match(
        answer.json.error?.message ?? '',
        /a step may not reach .*: its address is not on the public/,
      )
      assert.deepEqual(
        endpoint.of('refused').map(({ why }) => why),
        ['private_address'],
      )
      assert.equal(endpoint.of('answered')[0]?.tokens.input, 0)
    }
    assert.deepEqual(service.seen, [])
  })
})

describe('the body of a request', () => {
  const json = fc.jsonValue({ maxDepth: 4 })
  const name = fc.string({ unit: 'grapheme', maxLength: 8 }).filter((each) => each !== '__proto__')
  /** Returns JSON as other programs write it: with blanks, and with escapes where none are needed. */
  const written = (value: unknown, blanks: string): string =>
    JSON.stringify(value, null, blanks).replace(/[^\u0000-\u007f]/g, (each) =>
      each.length > 0 ? `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}` : each,
    )

  it('changes only where it is meant to', () => {
    fc.assert(
      fc.property(
        fc.dictionary(name, json, { maxKeys: 6 }),
        fc.constantFrom('', ' ', '\n\t'),
        json,
        (fields, blanks, value) => {
          const folded = Object.keys(fields).map((key) => key.normalize('NFKC').toLowerCase())
          fc.pre(new Set([...folded, 'new', 'old']).size === folded.length + 2)
          const whole = { ...fields, old: [1, { a: ']}' }] }
          const body = JsonBody.read(Buffer.from(written(whole, blanks)))
          assert.ok(body instanceof JsonBody, JSON.stringify(body))
          assert.deepEqual(body.with([]), body.bytes)
          const edited = body.with([
            { name: 'new', value },
            { name: 'old', value: 7 },
          ])
          assert.deepEqual(
            JSON.parse(edited.toString()),
            JSON.parse(JSON.stringify({ ...whole, old: 7, new: value })),
          )
        },
      ),
    )
  })

  it('is refused if it is not JSON, or has bytes that are not text', () => {
    for (const bytes of [
      Buffer.from([0x7b, 0xff, 0x7d]),
      Buffer.from('\ufeff{}'),
      Buffer.from('{"a":1}x'),
      Buffer.alloc(0),
    ])
      assert.ok('wrong' in JsonBody.read(bytes))
    assert.deepEqual(
      (JsonBody.read(Buffer.from(' {} ')) as JsonBody).with([{ name: 'a', value: 1 }]).toString(),
      ' {"a":1} ',
    )
  })
})
