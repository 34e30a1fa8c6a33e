import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import * as z from 'zod'
import { type Fault, startForge } from '../../test/support/forge/forge-stand-in.ts'
import { errorStatus } from '../contract/errors.ts'
import { Reason } from '../contract/status.ts'
import { ForgeHost } from '../contract/tasks/forge.ts'
import { repositoryAddress } from './address.ts'
import { ForgeHttp, type ForgeHttpOptions } from './forge-http.ts'
import { openForge, recogniseForge } from './open-forge.ts'
import { fixedToken } from './token-source.ts'

const path = 'acme/app'

test('each error code of a forge is also a reason of a step', () => {
  const codes = [
    ...['repo_not_found', 'repo_auth', 'repo_archived', 'push_denied', 'protected_branch'],
    ...['pull_request', 'forge_denied', 'forge_busy', 'forge_away', 'service_answer'],
  ]
  for (const code of codes) assert.ok(code in errorStatus && Reason.safeParse(code).success, code)
})

async function github(t: TestContext, options: Partial<ForgeHttpOptions> = {}) {
  const standIn = await startForge({ flavour: 'github' })
  t.after(async () => await standIn.stop())
  standIn.makeRepository(path, { files: { a: '1' }, rights: { errand: 'write' } })
  const token = standIn.makeToken('errand')
  const waits: number[] = []
  const found = await recogniseForge(repositoryAddress(`${standIn.url}/${path}`))
  const forge = openForge(found, path, {
    tokens: fixedToken(token),
    wait: async (ms) => waits.push(ms),
    ...options,
  })
  standIn.seen.length = 0
  return { standIn, forge, waits, token }
}

/** Starts a server whose answers the test writes itself, and returns its URL. */
async function serve(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const soon = () => String(Math.ceil(Date.now() / 1000) + 30)
const requested: [
  name: string,
  how: Extract<Fault['how'], { status: number }>,
  least: number,
  most: number,
][] = [
  ['Retry-After', { status: 429, headers: { 'retry-after': '17' } }, 17_000, 17_000],
  ['Retry-After with 403', { status: 403, headers: { 'retry-after': '5' } }, 5_000, 5_000],
  ['Retry-After with 503', { status: 503, headers: { 'retry-after': '5' } }, 5_000, 5_000],
  [
    'a used-up limit with a reset time',
    { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': soon() } },
    1_000,
    32_000,
  ],
  ["GitLab's limit", { status: 429, headers: { 'ratelimit-reset': soon() } }, 1_000, 32_000],
  [
    'a secondary limit without a wait time',
    { status: 403, body: { message: 'You have exceeded a secondary rate limit.' } },
    60_000,
    60_000,
  ],
]
for (const [name, how, least, most] of requested)
  test(`${name}: the client waits, then tries again`, async (t) => {
    const { standIn, forge, waits } = await github(t)
    standIn.fault({ match: /./, how, times: 2 })
    assert.equal((await forge.repository()).defaultBranch, 'main')
    assert.equal(waits.length, 2)
    for (const ms of waits) assert.ok(ms >= least && ms <= most, String(ms))
  })

test('a longer wait than allowed is an error that says how long', async (t) => {
  const { standIn, forge, waits } = await github(t, { mostWaitMs: 60_000 })
  standIn.fault({ match: /./, how: { status: 429, headers: { 'retry-after': '61' } } })
  await assert.rejects(forge.repository(), { code: 'forge_busy', message: /61 seconds/ })
  assert.deepEqual(waits, [])
})

test('a signal ends a wait and a request', async (t) => {
  const { standIn, forge } = await github(t, { wait: undefined })
  for (const how of [{ status: 429, headers: { 'retry-after': '3000' } }, 'hang'] as const) {
    standIn.fault({ match: /./, how })
    const ending = new AbortController()
    const before = standIn.seen.length
    const asking = forge.repository({ signal: ending.signal })
    while (standIn.seen.length === before) await new Promise((resolve) => setImmediate(resolve))
    ending.abort(new Error('canceled'))
    await assert.rejects(asking, (error: Error) => /cancel|abort/i.test(error.message))
  }
})

test('an unreachable forge is tried a set number of times, at growing intervals, and then is an error', async (t) => {
  const { standIn, forge, waits } = await github(t, { retryCount: 2 })
  standIn.fault({ match: /./, how: { status: 500, body: { message: 'boom' } } })
  standIn.fault({ match: /./, how: 'reset' })
  await forge.repository()
  assert.ok(waits[0]! <= 1000 && waits[1]! >= 1200 && waits[1]! <= 2000, String(waits))
  standIn.fault({ match: /./, how: { status: 502 }, times: 3 })
  await assert.rejects(forge.repository(), { code: 'forge_away', message: /502/ })
  assert.equal(standIn.seen.length, 3 + 3)
  await standIn.stop()
  await assert.rejects(forge.repository(), { code: 'forge_away', message: /ECONNREFUSED/ })
})

test('an answer that does not come has a time limit', async (t) => {
  const { standIn, forge } = await github(t, { timeoutMs: 100, retryCount: 0 })
  standIn.fault({ match: /./, how: 'hang' })
  await assert.rejects(forge.repository(), { code: 'forge_away', message: /timed out/ })
})

test('an unexpected answer is reported with its address and field, and no answer is read without limit', async (t) => {
  const { standIn, forge, token } = await github(t)
  standIn.fault({ match: /./, how: 'garbage' })
  await assert.rejects(forge.repository(), {
    code: 'service_answer',
    message: /repos\/acme\/app is not valid JSON/,
  })
  standIn.fault({ match: /./, how: { status: 200, body: { full_name: 'x', default_branch: 3 } } })
  await assert.rejects(
    forge.repository(),
    (error: Error) => /invalid "default_branch"/.test(error.message) && !error.message.includes(token),
  )
  standIn.fault({ match: /./, how: 'flood' })
  await assert.rejects(forge.repository(), { code: 'service_answer', message: /longer than 16 MiB/ })
})

test('the token goes only into its header, and not to a redirect or page on another server', async (t) => {
  const stolen: (string | undefined)[] = []
  const thief = await serve(t, ({ headers }, response) => {
    stolen.push(headers.authorization)
    response.writeHead(200, { 'content-type': 'application/json' }).end('[]')
  })
  const { standIn, forge, token } = await github(t)
  standIn.fault({ match: /./, how: { status: 301, headers: { location: `${thief}/moved?${token}` } } })
  await assert.rejects(
    forge.repository(),
    (error: Error & { code: string }) =>
      error.code === 'repo_not_found' && error.message.includes(thief) && !error.message.includes(token),
  )
  standIn.fault({ match: /./, how: { status: 200, headers: { link: `<${thief}/2>; rel="next"` }, body: [] } })
  await assert.rejects(forge.comments({ kind: 'issue', number: 1 }), { code: 'service_answer' })
  standIn.fault({ match: /logs/, how: { status: 302, headers: { location: `${thief}/log` } } })
  await assert.rejects(forge.checkLog('1', 5), { code: 'service_answer', message: /not encrypted/ })
  assert.deepEqual(stolen, [])
  for (const { path: requestPath, headers } of standIn.seen) {
    assert.equal(headers.authorization, `Bearer ${token}`)
    assert.ok(!requestPath.includes(token))
  }
})

test('an endless list is read up to a limit', async (t) => {
  let pages = 0
  const url = await serve(t, (request, response) => {
    pages++
    const link = `<http://${request.headers.host}/list?page=${pages}>; rel="next"`
    response.writeHead(200, { link }).end('[1]')
  })
  const http = new ForgeHttp({
    name: 'It',
    apiUrl: url,
    tokens: fixedToken(undefined),
    authorization: String,
  })
  assert.equal((await http.pages(z.array(z.number()), '/list')).length, 10)
})

test('an unknown forge is reported, and a configured one is not probed', async (t) => {
  let count = 0
  const url = await serve(t, (_, response) => {
    count++
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>')
  })
  const address = repositoryAddress(`${url}/acme/app`)
  await assert.rejects(recogniseForge(address), { code: 'service_answer' })
  count = 0
  const hosts = [{ host: address.host, kind: 'gitea', api_url: `${url}/git/api/v1/` }] as const
  assert.deepEqual(await recogniseForge(address, { hosts }), {
    kind: 'gitea',
    host: address.host,
    apiUrl: `${url}/git/api/v1`,
    by: 'configuration',
  })
  assert.equal(ForgeHost.parse({ host: 'Git.Example.org:3000', kind: 'gitea' }).host, 'git.example.org:3000')
  for (const host of ['https://git.example.org', 'git.example.org/path', '', 'a b'])
    assert.equal(ForgeHost.safeParse({ host, kind: 'gitea' }).success, false, host)
  const named = await recogniseForge(repositoryAddress('git@github.com:acme/app.git'))
  assert.deepEqual([named.kind, named.apiUrl, named.by], ['github', 'https://api.github.com', 'name'])
  assert.equal(count, 0)
  await assert.rejects(recogniseForge(repositoryAddress('http://127.0.0.1:1/acme/app')), {
    code: 'forge_away',
  })
})
