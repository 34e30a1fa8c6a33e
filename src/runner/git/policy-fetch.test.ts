import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { forgeFetch } from './policy-fetch.ts'

const VARIABLE = 'ERRAND_GIT_ALLOW'

/** Starts a server at an address of this machine. */
async function serve(t: TestContext, listener: RequestListener, host = '127.0.0.1', port = 0) {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(port, host, resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

test('a request goes to the checked address even if its name changes a moment later', async (t) => {
  const reached: string[] = []
  const answer =
    (name: string): RequestListener =>
    (_, response) => {
      reached.push(name)
      response.end(name)
    }
  const port = await serve(t, answer('checked'))
  await serve(t, answer('other'), '127.0.0.2', port)
  const answers = ['127.0.0.1', '127.0.0.2']
  let lookups = 0
  const origin = `http://forge.invalid:${port}`
  const fetch = forgeFetch(origin, VARIABLE, async () => [answers[lookups++]!])(undefined)
  assert.equal(await (await fetch(`${origin}/api`)).text(), 'checked')
  assert.deepEqual([reached, lookups], [['checked'], 1])
  // Looked up and checked again for the next one.
  assert.equal(await (await fetch(`${origin}/api`)).text(), 'other')
})

test('an address outside the public internet is reached only if the operator named it', async (t) => {
  let count = 0
  const port = await serve(t, (_, response) => {
    count++
    response.end('it')
  })
  for (const inner of [['127.0.0.1'], ['1.1.1.1', '127.0.0.1'], ['169.254.169.254'], ['fd00::1'], ['::1']]) {
    const fetch = forgeFetch('', VARIABLE, async () => inner)(undefined)
    const refused = { code: 'source_refused', message: /is not on the public internet/, hint: /of the hub/ }
    await assert.rejects(fetch(`https://forge.invalid:${port}/`), refused)
  }
  const loopback = async () => ['127.0.0.1']
  const url = `http://forge.invalid:${port}`
  await assert.rejects(forgeFetch('', VARIABLE, loopback)(undefined)(url), { message: /is not encrypted/ })
  assert.equal(count, 0)
  // An address in the configuration is valid for that server alone.
  const named = forgeFetch('', VARIABLE, loopback)(`${url}/api/v3`)
  assert.equal(await (await named(`${url}/api/v3/user`)).text(), 'it')
  await assert.rejects(named(`http://other.invalid:${port}/`), { code: 'source_refused' })
})

test('no redirect is followed', async (t) => {
  let count = 0
  const port = await serve(t, (request, response) => {
    count++
    response.writeHead(302, { location: `http://${request.headers.host}/inner` }).end()
  })
  const url = `http://127.0.0.1:${port}`
  const fetch = forgeFetch(url, VARIABLE)(undefined)
  assert.equal((await fetch(url, { redirect: 'manual' })).status, 302)
  await assert.rejects(fetch(url), /fetch failed/)
  assert.equal(count, 2)
})
