import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { connect as connectTls, createServer as createTls } from 'node:tls'
import { until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  askRaw,
  connectTo,
  PUBLIC,
  proxyFixture,
  proxyHealth,
  tcpServer,
  tunnel,
  webServer,
} from '../../../test/support/runner/proxy-fixture.ts'
import { makeCertificate } from '../../../test/support/sources/git-fixture.ts'

/**
 * Makes an endpoint to `files.test`, behind which that server is at 80, 443 and 9000; `other.test` leads to the same
 * address.
 */
async function endpointTo(t: TestContext, port: number, allow = ['files.test', 'files.test:9000']) {
  const proxy = proxyFixture(t)
  const servers = { [`${PUBLIC}:80`]: port, [`${PUBLIC}:443`]: port, [`${PUBLIC}:9000`]: port }
  proxy.world({
    names: { 'files.test': [[PUBLIC]], 'other.test': [[PUBLIC]], 'inner.test': [['10.0.0.5']] },
    servers,
  })
  return { ...proxy, socket: await proxy.open('one', { allow }) }
}

function tlsServer(t: TestContext, answer: (socket: Socket) => void): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-tls-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const { key, cert } = makeCertificate(folder)
  const server = createTls({ key, cert }, answer)
  server.on('tlsClientError', () => undefined)
  return tcpServer(t, (socket) => server.emit('connection', socket))
}

test('TLS passes untouched if it names the host, and ends with a TLS alert if it names another', async (t) => {
  const { socket, log } = await endpointTo(t, await tlsServer(t, (inner) => inner.pipe(inner)))
  const { through } = await tunnel(t, socket, 'files.test:443')
  const right = connectTls({ socket: through, servername: 'files.test', rejectUnauthorized: false })
  right.end('hello')
  assert.equal(await text(right), 'hello')

  const again = await tunnel(t, socket, 'files.test:443')
  const wrong = connectTls({ socket: again.through, servername: 'evil.test', rejectUnauthorized: false })
  const [error] = (await once(wrong, 'error')) as [Error]
  assert.match(error.message, /unrecognized name/i)
  assert.deepEqual(log('one'), [
    { type: 'refused', host: 'evil.test', port: 443, why: 'name_mismatch', count: 1 },
  ])
})

test('port 443 accepts only TLS that names its server', async (t) => {
  const got: string[] = []
  const { socket, log } = await endpointTo(
    t,
    await tcpServer(t, (inner) => inner.on('data', (more) => got.push(String(more)))),
  )
  const { through } = await tunnel(t, socket, 'files.test:443')
  through.write('GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n')
  await text(through)
  const nameless = await tunnel(t, socket, 'files.test:443')
  const tls = connectTls({ socket: nameless.through, rejectUnauthorized: false })
  await once(tls, 'error')
  const half = await tunnel(t, socket, 'files.test:443')
  half.through.end(Buffer.from([22, 3, 1, 0, 100, 1]))
  await text(half.through)
  assert.deepEqual(got, [])
  const whys = log('one').map((line) => line.type === 'refused' && line.why)
  assert.ok(whys.every((why) => why === 'no_tls') && whys.length > 0, String(whys))
})

test('a port that a rule names accepts anything, and the server may speak first', async (t) => {
  const { socket } = await endpointTo(
    t,
    await tcpServer(t, (inner) => {
      inner.write('220 hello\n')
      inner.once('data', (line) => inner.end(`got ${line}`))
    }),
  )
  const { through } = await tunnel(t, socket, 'files.test:9000')
  const [greeting] = await once(through, 'data')
  assert.equal(String(greeting), '220 hello\n')
  through.write('EHLO')
  assert.equal(await text(through), 'got EHLO')
  // A name in TLS counts there, too.
  const other = await tunnel(t, socket, 'files.test:9000')
  const wrong = connectTls({ socket: other.through, servername: 'evil.test', rejectUnauthorized: false })
  await once(wrong, 'error')
})

test('data that is sent after one end has half closed arrives', async (t) => {
  const { socket } = await endpointTo(
    t,
    await tcpServer(t, (inner) => void buffer(inner).then((all) => inner.end(Buffer.concat([all, all])))),
  )
  const { through } = await tunnel(t, socket, 'files.test:9000')
  through.end(Buffer.alloc(3_000_000, 'a'))
  assert.equal((await buffer(through)).length, 6_000_000)
})

test('a name is resolved again for each request, and refused once it has a private address', async (t) => {
  const port = await webServer(t, (_request, response) => response.end('reached'))
  const proxy = proxyFixture(t)
  const names = {
    'rebind.test': [[PUBLIC], ['127.0.0.1']],
    'mixed.test': [[PUBLIC, '169.254.169.254']],
    'mapped.test': [['::ffff:10.0.0.1']],
    'inner.test': [['10.0.0.5']],
    'none.test': [[]],
  }
  const servers = {
    [`${PUBLIC}:80`]: port,
    '127.0.0.1:80': port,
    '10.0.0.5:80': port,
    '::ffff:10.0.0.1:80': port,
  }
  proxy.world({ names, servers })
  const socket = await proxy.open('one', {
    allow: [...Object.keys(names), '127.0.0.1', '10.0.0.5', '169.254.169.254'],
  })
  const status = async (host: string) =>
    (
      await askRaw(t, socket, `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
    ).head.split(' ')[1]
  assert.deepEqual([await status('rebind.test'), await status('rebind.test')], ['200', '403'])
  for (const host of ['mixed.test', 'mapped.test', 'inner.test', '127.0.0.1', '10.0.0.5', '169.254.169.254'])
    assert.equal(await status(host), '403', host)
  assert.equal(await status('none.test'), '502')
  for (const host of ['0x7f.1', '2130706433', '127.1', '[::1%25lo]', 'user@inner.test'])
    assert.equal(await status(host), '400', host)
  const open = await proxy.open('two', { allow: ['inner.test@private'] })
  const { head } = await askRaw(t, open, 'GET http://inner.test/ HTTP/1.0\r\nHost: inner.test\r\n\r\n')
  assert.match(head, / 200 /)
})

test('tunnels to disallowed addresses and ports are refused before any connection', async (t) => {
  let reached = 0
  const { socket, log, open } = await endpointTo(t, await tcpServer(t, () => reached++), [
    'files.test',
    '*.wild.test',
    '10.0.0.1:22',
  ])
  const refused = [
    'files.test:22',
    'other.test:443',
    '127.0.0.1:443',
    '[::1]:443',
    '10.0.0.1:22',
    'localhost:443',
  ]
  for (const to of refused) assert.match((await tunnel(t, socket, to)).head, / 403 /, to)
  for (const to of [
    'files.test',
    'files.test:0',
    'files.test:99999',
    'a@files.test:443',
    '0x7f.1:443',
    '/etc',
    'files.test:443/',
  ])
    assert.match((await tunnel(t, socket, to)).head, / 400 /, to)
  // At port 80, too, before the client hears that the connection is open.
  const all = await open('all', 'all')
  for (const to of [
    '127.0.0.1:80',
    '[::ffff:127.0.0.1]:80',
    '169.254.169.254:80',
    'inner.test:80',
    'inner.test:443',
  ])
    assert.match((await tunnel(t, all, to)).head, / 403 /, to)
  assert.equal(reached, 0)
  const whys = log('one').flatMap((line) => (line.type === 'refused' ? [`${line.host} ${line.why}`] : []))
  assert.ok(
    whys.includes('files.test port_not_allowed') && whys.includes('10.0.0.1 private_address'),
    String(whys),
  )
})

test('plain requests are passed on unchanged, without hop-by-hop headers', async (t) => {
  const seen: IncomingMessage[] = []
  const { socket } = await endpointTo(
    t,
    await webServer(t, (request, response) => {
      seen.push(request)
      response.writeHead(302, {
        Location: 'http://10.0.0.1/',
        'Set-Cookie': ['a=1', 'b=2'],
        'X-Hop': '1',
        Connection: 'X-Hop',
      })
      request.on('data', (more) => response.write(more))
      request.on('end', () => response.end())
    }),
  )
  const { head, body } = await askRaw(
    t,
    socket,
    'POST http://files.test/a%2Fb?c=d HTTP/1.1\r\nHost: files.test\r\nX-Own: 1\r\nConnection: close, X-Own\r\n' +
      'Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\n' +
      'Content-Length: 5\r\nX-Two: 1\r\nX-Two: 2\r\n\r\nhello',
  )
  assert.equal(seen[0]?.url, '/a%2Fb?c=d')
  assert.deepEqual(seen[0]?.rawHeaders, [
    ...['Host', 'files.test', 'Content-Length', '5', 'X-Two', '1', 'X-Two', '2', 'Connection', 'close'],
  ])
  assert.match(
    head,
    /^HTTP\/1.1 302 Found\r\nLocation: http:\/\/10.0.0.1\/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n/,
  )
  assert.doesNotMatch(head, /X-Hop/)
  assert.match(body, /hello/)
})

test('no request can be smuggled in another', async (t) => {
  const seen: string[] = []
  const { socket, log } = await endpointTo(
    t,
    await webServer(t, async (request, response) => {
      const body = await text(request)
      seen.push(
        `${request.method} ${request.headers.host} ${request.headers['transfer-encoding'] ?? '-'} ${body}`,
      )
      response.end('ok')
    }),
  )
  const status = async (head: string, body = '') =>
    (await askRaw(t, socket, `${head}\r\nConnection: close\r\n\r\n${body}`)).head.split(' ')[1]
  const inner = 'GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n'
  const get = 'GET http://files.test/ HTTP/1.1'
  const refused = [
    // Both lengths; two lengths; two hosts; another host; none; bare line feeds; spaces before the colon; a folded
    // header.
    ...[`${get}\r\nHost: files.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked`],
    ...[`${get}\r\nHost: files.test\r\nContent-Length: 3\r\nContent-Length: 4`],
    ...[
      `${get}\r\nHost: files.test\r\nHost: evil.test`,
      `${get}\r\nHost: evil.test`,
      `${get}\r\nHost: files.test:81`,
    ],
    ...[`${get}\r\nX: 1`, `${get}\r\nHost: files.test\nX: 1`, `${get}\r\nHost : files.test`],
    ...[`${get}\r\nHost: files.test\r\nTransfer-Encoding: chunked, identity`],
    ...[
      `${get}\r\nHost: files.test\r\nTransfer-Encoding : chunked`,
      `GET http://files.test\\@evil.test/ HTTP/1.1\r\nHost: files.test`,
    ],
    ...[
      'GET https://files.test/ HTTP/1.1\r\nHost: files.test',
      'GET ftp://files.test/ HTTP/1.1\r\nHost: files.test',
    ],
    ...['GET http://files.test#@evil.test/ HTTP/1.1\r\nHost: evil.test', '* / HTTP/1.1\r\nHost: files.test'],
  ]
  for (const head of refused) assert.match((await status(head, inner)) ?? '400', /^40[03]$/, head)
  assert.deepEqual(seen, [])
  // A chunked body stays one, even if requests of that kind have none.
  const chunk = `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`
  assert.equal(await status(`${get}\r\nHost: files.test\r\nTransfer-Encoding: chunked`, chunk), '200')
  assert.deepEqual(seen, [`GET files.test chunked ${inner}`])
  assert.ok(log('one').some((line) => line.type === 'refused' && line.why === 'name_mismatch'))
})

test('a tunnel to port 80 carries requests, and only for the requested host', async (t) => {
  const seen: string[] = []
  const { socket, log } = await endpointTo(
    t,
    await webServer(t, (request, response) => {
      seen.push(`${request.headers.host}${request.url}`)
      response.end('ok')
    }),
  )
  const { head, through } = await tunnel(t, socket, 'files.test:80')
  assert.match(head, / 200 /)
  through.write('GET /one HTTP/1.1\r\nHost: files.test\r\n\r\n')
  await until(() => seen.length === 1)
  through.write('GET /two HTTP/1.1\r\nHost: evil.test\r\n\r\n')
  assert.match(await text(through), /ok.* 403 /s)
  const raw = await tunnel(t, socket, 'files.test:80')
  raw.through.end('\x16\x03\x01 this is no request\r\n\r\n')
  await text(raw.through)
  assert.deepEqual(seen, ['files.test/one'])
  assert.ok(log('one').some((line) => line.type === 'refused' && line.why === 'name_mismatch'))
})

test('names and servers that do not answer are given up, and delay no others', async (t) => {
  const port = await webServer(t, (_request, response) => response.end('ok'))
  const proxy = proxyFixture(t)
  const silent = { [`${PUBLIC}:443`]: 'silent', [`${PUBLIC}:80`]: 'silent' } as const
  const names = {
    'silent.test': [[PUBLIC]],
    'nameless.test': 'silent',
    'files.test': [['93.184.215.15']],
  } as const
  const world = {
    names: JSON.parse(JSON.stringify(names)),
    servers: { ...silent, '93.184.215.15:80': port },
    connectMs: 500,
  }
  proxy.world(world)
  const [bad, good] = [await proxy.open('bad', 'all'), await proxy.open('good', 'all')]
  const get = (host: string) => `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
  const slow = Promise.all(Array.from({ length: 20 }, () => askRaw(t, bad, get('nameless.test'))))
  assert.match((await askRaw(t, good, get('files.test'))).head, / 200 /)
  for (const { head } of await slow) assert.match(head, / 502 /)
  // Abandoned look-ups continue in threads that all boxes share: this box gets no others meanwhile.
  assert.match((await askRaw(t, bad, get('files.test'))).head, / 502 /)
  proxy.world({ ...world, names: { ...world.names, 'nameless.test': [[]] } })
  await until(async () => / 200 /.test((await askRaw(t, bad, get('files.test'))).head))
  assert.match((await askRaw(t, bad, get('silent.test'))).head, / 504 /)
  assert.match((await tunnel(t, bad, 'silent.test:443')).head, / 504 /)
})

test('a server that changes the protocol unasked, or answers with anything but HTTP, gives a bad gateway', async (t) => {
  const answers = [
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    'garbage\r\n\r\n',
    '',
  ]
  const { socket } = await endpointTo(
    t,
    await tcpServer(t, (inner) => inner.once('data', () => inner.end(answers.shift() ?? ''))),
  )
  const get = 'GET http://files.test/ HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n\r\n'
  for (const _ of [1, 2, 3]) assert.match((await askRaw(t, socket, get)).head, / 502 /)
})

test('a truncated answer stays truncated, and a slow one arrives complete', async (t) => {
  let release: (() => void) | undefined
  const { socket } = await endpointTo(
    t,
    await webServer(t, (request, response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('12345')
      if (request.url === '/cut') setImmediate(() => response.destroy())
      else release = () => response.end('67890')
    }),
  )
  const ask = (path: string) =>
    `GET http://files.test/${path} HTTP/1.1\r\nHost: files.test\r\nConnection: close\r\n\r\n`
  const { body } = await askRaw(t, socket, ask('cut'))
  assert.ok(body.length <= 5)
  const slow = await connectTo(t, socket)
  slow.write(ask('slow'))
  let got = ''
  slow.on('data', (more) => {
    got += more
  })
  // The first half comes before the second is sent.
  await until(() => got.endsWith('12345'))
  release?.()
  await until(() => got.endsWith('1234567890'))
})

test('a reader that stops slows down the server, and memory use stays flat', async (t) => {
  const size = 400 * 1024 * 1024
  let written = 0
  const { socket, pid, log, supervisor } = await endpointTo(
    t,
    await tcpServer(t, (inner) => {
      const chunk = Buffer.alloc(1024 * 1024)
      const more = (): void => {
        while (written < size) {
          written += chunk.length
          if (!inner.write(chunk)) return void inner.once('drain', more)
        }
        inner.end()
      }
      more()
    }),
  )
  const { through } = await tunnel(t, socket, 'files.test:9000')
  let before = -1
  await until(async () => {
    const isUnchanged = written === before
    before = written
    // Sleeps: only time shows that a writer has stopped.
    await new Promise((resolve) => setTimeout(resolve, 50))
    return isUnchanged && written > 0
  })
  assert.ok(written < 64 * 1024 * 1024, `${written} bytes were accepted that nobody reads`)
  const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid()}/status`, 'utf8'))?.[1]) / 1024
  const peakBefore = peak()
  let received = 0
  for await (const more of through) received += (more as Buffer).length
  assert.equal(received, size)
  assert.ok(peak() - peakBefore < 100, `${peakBefore} MB became ${peak()}`)
  await supervisor.close('one')
  const used = log('one').find((line) => line.type === 'used')
  assert.equal(used?.type === 'used' && used.received_bytes, size)
})

test('connections over the maximum are closed at once, and the others continue', async (t) => {
  const { socket } = await endpointTo(t, await webServer(t, (_request, response) => response.end('ok')))
  const { through } = await tunnel(t, socket, 'files.test:9000')
  let closed = 0
  const flood = Array.from({ length: 2_000 }, () =>
    connect(socket)
      .on('error', () => undefined)
      .on('close', () => closed++)
      .resume(),
  )
  t.after(() => {
    for (const connection of flood) connection.destroy()
  })
  await until(() => closed >= 2_000 - 512)
  through.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.match(await text(through), /ok$/)
})

test('a box that opens all the connections it can leaves half of them to others', async (t) => {
  const port = await webServer(t, (_request, response) => response.end('ok'))
  const proxy = proxyFixture(t)
  const names = { 'files.test': [[PUBLIC]] }
  proxy.world({ names, servers: { [`${PUBLIC}:80`]: port }, mostConnections: 20 })
  const [greedy, good] = [await proxy.open('greedy', 'all'), await proxy.open('good', 'all')]
  let closed = 0
  const flood = Array.from({ length: 40 }, () =>
    connect(greedy)
      .on('error', () => undefined)
      .on('close', () => closed++)
      .resume(),
  )
  t.after(() => {
    for (const connection of flood) connection.destroy()
  })
  await until(() => closed === 30)
  const { head } = await askRaw(t, good, 'GET http://files.test/ HTTP/1.0\r\nHost: files.test\r\n\r\n')
  assert.match(head, / 200 /)
})

test('requests that are sent at once use one connection to their server at a time', async (t) => {
  let connections = 0
  const { socket, folder } = await endpointTo(t, await tcpServer(t, () => connections++))
  const request = 'GET http://files.test/ HTTP/1.1\r\nHost: files.test\r\n\r\n'
  const plain = await connectTo(t, socket)
  plain.write(request.repeat(100))
  const { through } = await tunnel(t, socket, 'files.test:80')
  through.write(request.replace('http://files.test', '').repeat(100))
  await until(() => connections >= 2)
  // All of the others have been read by then.
  assert.ok((await proxyHealth(folder)).open <= 2)
  assert.equal(connections, 2)
})

test('a client that finishes early is read to the end and then released', async (t) => {
  const got: string[] = []
  const port = await tcpServer(
    t,
    (inner) => void text(inner).then((all) => inner.end(got.push(all).toString())),
  )
  const proxy = proxyFixture(t)
  const servers = { [`${PUBLIC}:443`]: port, [`${PUBLIC}:9000`]: port, [`${PUBLIC}:80`]: port }
  proxy.world({ names: { 'files.test': 'silent' }, servers })
  const socket = await proxy.open('one', { allow: ['files.test', 'files.test:9000'] })
  const statuses = ['443', '9000', '80'].map(async (to) => {
    const client = await connectTo(t, socket)
    client.end(`CONNECT files.test:${to} HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01\x00\x50\x01`)
    return await text(client)
  })
  await until(async () => (await proxyHealth(proxy.folder)).open === 3, 'that all of them are asked for')
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers })
  await Promise.all(statuses)
  await until(async () => (await proxyHealth(proxy.folder)).connections === 0, 'that nothing is left open')
  assert.deepEqual(got.sort(), ['', '\x16\x03\x01\x00P\x01'])
})

/** Requests that are cut and changed at random places. */
const SEEDS = [
  'GET http://files.test/ HTTP/1.1\r\nHost: files.test\r\n\r\n',
  'POST http://files.test/ HTTP/1.1\r\nHost: files.test\r\nContent-Length: 5\r\n\r\nhello',
  'POST http://files.test/ HTTP/1.1\r\nHost: files.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'GET http://files.test/ HTTP/1.1\r\nHost: files.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nabc',
  'CONNECT files.test:80 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: files.test\r\n\r\n',
  'CONNECT files.test:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01\x00\x50\x01\x00\x00\x4c\x03\x03',
  'CONNECT files.test:9000 HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: files.test\r\n\r\n',
  'GET /model/x/v1/messages HTTP/1.1\r\nHost: a\r\n\r\n',
]

test('garbage neither ends the proxy nor leaves connections open that the client has left', async (t) => {
  const { socket, pid, folder } = await endpointTo(
    t,
    await webServer(t, (request, response) => {
      if (request.method === 'POST') response.destroy()
      else response.end('ok')
    }),
  )
  const before = pid()
  let state = 7
  const random = (most: number): number => {
    state = (state * 48_271) % 0x7fffffff
    return state % most
  }
  const bite = async (seed: string): Promise<void> => {
    let bytes = Buffer.from(seed, 'latin1')
    for (let changes = random(4); changes > 0; changes--) {
      const at = random(bytes.length)
      const dropped = random(3)
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at + dropped)])
    }
    const cut = random(bytes.length)
    const client = connect(socket)
      .on('error', () => undefined)
      .resume()
    client.write(bytes.subarray(0, cut))
    await new Promise(setImmediate)
    client.write(bytes.subarray(cut))
    for (let turns = random(20); turns > 0; turns--) await new Promise(setImmediate)
    if (random(2) === 0) client.end()
    for (let turns = random(20); turns > 0; turns--) await new Promise(setImmediate)
    client.destroy()
  }
  for (let round = 0; round < 10; round++)
    await Promise.all(SEEDS.flatMap((seed) => [1, 2, 3, 4, 5].map(() => bite(seed))))
  await until(async () => (await proxyHealth(folder)).connections === 0, 'that nothing is left open')
  assert.equal(pid(), before)
  // Errors are logged there with their position.
  assert.doesNotMatch(readFileSync(join(folder, 'log'), 'utf8'), /^ +at /m)
})
