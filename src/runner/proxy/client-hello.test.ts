import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test, { type TestContext } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import { clientHello } from './client-hello.ts'

/** Returns the first bytes of Node's own TLS. */
async function helloOf(t: TestContext, options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect({ ...options, host: '127.0.0.1', port })
  client.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  return bytes
}

/** Splits the same message into records of this size. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size)
    const head = Buffer.from([22, 3, 1, 0, 0])
    head.writeUInt16BE(part.length, 3)
    records.push(head, part)
  }
  return Buffer.concat(records)
}

test('the name that TLS asks for is found, however it is cut', async (t) => {
  const hello = await helloOf(t, { servername: 'Files.Test' })
  for (const bytes of [hello, inRecords(hello, 100), inRecords(hello, hello.length - 6)]) {
    for (let end = 0; end < bytes.length; end++)
      assert.deepEqual(clientHello(bytes.subarray(0, end)), { type: 'more' }, String(end))
    assert.deepEqual(clientHello(bytes), { type: 'tls', name: 'files.test' })
    assert.deepEqual(clientHello(Buffer.concat([bytes, bytes])), { type: 'tls', name: 'files.test' })
  }
})

test('TLS that names no server is recognized as such', async (t) => {
  const old = await helloOf(t, { maxVersion: 'TLSv1.2' })
  assert.deepEqual(clientHello(old), { type: 'tls', name: undefined })
  assert.deepEqual(clientHello(await helloOf(t, {})), { type: 'tls', name: undefined })
})

test('anything that is not TLS, or that names two servers, counts as other', async (t) => {
  for (const text of ['GET / HTTP/1.1\r\n', 'SSH-2.0-x\r\n', '\r\n', 'PROXY TCP4 '])
    assert.deepEqual(clientHello(Buffer.from(text)), { type: 'other' }, text)
  const hello = await helloOf(t, { servername: 'files.test' })
  const at = hello.indexOf('files.test')
  const two = Buffer.from(hello)
  // An extension of names replaces another's bytes: a list whose length claims more than there is.
  two.writeUInt16BE(two.readUInt16BE(at - 5) + 1, at - 5)
  assert.deepEqual(clientHello(two), { type: 'other' })
  const long = Buffer.from([22, 3, 1, 64, 0, 1, 0, 64, 1])
  assert.deepEqual(clientHello(long), { type: 'other' })
  assert.deepEqual(clientHello(inRecords(hello, 3)), { type: 'other' })
})

test('no bytes make the parser fail', async (t) => {
  const hello = await helloOf(t, { servername: 'files.test' })
  for (let at = 0; at < hello.length; at++)
    for (const value of [0, 1, 127, 255]) {
      const changed = Buffer.from(hello)
      changed[at] = value
      assert.ok(['tls', 'more', 'other'].includes(clientHello(changed).type))
    }
})
