import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { oneStep, testingHub } from '../../../test/support/hub/hub-fixture.ts'

const HTML = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }

async function pageFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'errand-page-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'index.html'), '<!doctype html><base href="/" /><title>Errand</title>')
  await writeFile(join(folder, 'assets', 'app-1a.js'), 'run()')
  await writeFile(join(folder, 'assets', 'app-1a.js.gz'), gzipSync('run()'))
  await writeFile(join(folder, 'secret.js'), 'no asset')
  return folder
}

test('serves the page at each of its addresses, and other requests there behave as before', async (t) => {
  const folder = await pageFolder(t)
  const hub = await testingHub(t, { page: { folder, basePath: '/errand' } })
  const get = (path: string, headers: Record<string, string> = {}) =>
    hub.call('GET', path, undefined, undefined, headers)
  for (const path of ['/', '/runs', '/runs/run_1?view=graph', '/login?next=/runs', '/settings/runners']) {
    const { status, headers, text } = await get(path, HTML)
    assert.equal(status, 200, path)
    assert.match(text, /<base href="\/errand\/" \/>/)
    assert.equal(headers.get('cache-control'), 'no-store')
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    const policy = headers.get('content-security-policy')!
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/)
    assert.match(policy, /frame-ancestors 'none'/)
    assert.doesNotMatch(policy, /unsafe/)
  }
  for (const [path, status] of [
    ['/runs', 404],
    ['/api/nothing', 404],
    ['/health', 200],
  ] as const)
    assert.equal((await get(path)).status, status, path)
  for (const path of ['/api/nothing', '/assets/nothing.js', '/api', '/health/nothing'])
    assert.equal((await get(path, HTML)).json?.error.code, 'not_found', path)
  assert.equal((await hub.call('POST', '/runs', undefined, {}, HTML)).status, 404)

  await rm(join(folder, 'index.html'))
  const gone = await fetch(`${hub.url}/`, { headers: HTML, redirect: 'manual' })
  assert.deepEqual([gone.status, gone.headers.get('location')], [302, '/docs'])
  assert.equal((await get('/runs', HTML)).status, 404)
})

test('sends assets compressed and cacheable without end, and serves nothing outside of their folder', async (t) => {
  const hub = await testingHub(t, { page: { folder: await pageFolder(t) } })
  const ask = async (path: string, encoding: string) => {
    const { request } = await import('node:http')
    return await new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }>(
      (resolve) => {
        request(hub.url + path, { headers: { 'accept-encoding': encoding } }, (response) => {
          const parts: Buffer[] = []
          response.on('data', (part) => parts.push(part))
          response.on('end', () =>
            resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts) }),
          )
        }).end()
      },
    )
  }
  const small = await ask('/assets/app-1a.js', 'br, gzip')
  assert.equal(small.headers['content-encoding'], 'gzip')
  assert.equal(small.headers['content-type'], 'text/javascript; charset=utf-8')
  assert.match(String(small.headers['cache-control']), /immutable/)
  assert.equal(gunzipSync(small.body).toString(), 'run()')
  for (const encoding of ['', 'gzip;q=0', 'br']) {
    const plain = await ask('/assets/app-1a.js', encoding)
    assert.deepEqual([plain.headers['content-encoding'], plain.body.toString()], [undefined, 'run()'])
  }
  for (const name of [
    '..%2fsecret.js',
    '../secret.js',
    '%2e%2e%2fsecret.js',
    'app-1a.js.gz',
    '.js',
    'none.js',
  ])
    assert.equal((await ask(`/assets/${name}`, '')).status, 404, name)
})

test('a login by cookie acts as its user, but only from a page of the hub', async (t) => {
  const hub = await testingHub(t, { page: { folder: await pageFolder(t), basePath: '/errand' } })
  const ann = await hub.user('ann', 'user', 'default', 'first password')
  await hub.user('bob', 'user', 'default', 'first password')
  const login = async (username: string, headers: Record<string, string> = {}) =>
    hub.call(
      'POST',
      '/api/auth/login',
      undefined,
      { username, password: 'first password', cookie: true },
      headers,
    )
  const stranger = { origin: 'http://evil.example' }
  for (const headers of [stranger, { 'sec-fetch-site': 'same-site' }, { 'sec-fetch-site': 'cross-site' }]) {
    const refused = await login('ann', headers)
    assert.deepEqual([refused.status, refused.headers.get('set-cookie')], [403, null])
  }
  const answer = await login('ann', { origin: hub.url })
  assert.equal(answer.status, 201)
  assert.deepEqual(Object.keys(answer.json).sort(), ['csrf', 'expires_at', 'user'])
  const [set, browser] = answer.headers.getSetCookie() as [string, string]
  assert.match(
    browser,
    /^errand_browser=[\w-]+\.[\w-]+; Path=\/errand; Max-Age=34560000; HttpOnly; SameSite=Strict$/,
  )
  const known = await login('ann', { origin: hub.url, cookie: browser.split(';')[0]! })
  assert.equal(known.headers.getSetCookie().length, 1, 'a browser that is already known')
  const bobsLogin = await login('bob', { origin: hub.url, cookie: browser.split(';')[0]! })
  assert.equal(bobsLogin.headers.getSetCookie().length, 2, 'known for ann, not for bob')
  assert.match(set, /^errand_session=[\w.-]+; Path=\/errand; Max-Age=43\d\d\d; HttpOnly; SameSite=Strict$/)
  assert.match(
    (await login('ann', { origin: `https://${new URL(hub.url).host}` })).headers.get('set-cookie')!,
    /Secure/,
  )

  const cookie = set.split(';')[0]!
  const { csrf } = answer.json
  const me = await hub.call('GET', '/api/me', undefined, undefined, { cookie: `other=1; ${cookie}` })
  assert.deepEqual([me.json.name, me.json.csrf, me.json.version], ['ann', csrf, '0.0.0-test'])
  const run = { yaml: oneStep('say hi') }
  const post = (headers: Record<string, string>, token?: string) =>
    hub.call('POST', '/api/runs', token, run, headers)
  const others = (await login('bob')).json.csrf
  const refused: Record<string, string>[] = [
    { cookie },
    { cookie, 'x-errand-csrf': '' },
    { cookie, 'x-errand-csrf': others },
    { cookie, 'x-errand-csrf': csrf, ...stranger },
    { cookie, 'x-errand-csrf': csrf, origin: 'null' },
    { cookie, 'x-errand-csrf': csrf, 'sec-fetch-site': 'same-site', origin: hub.url },
  ]
  for (const headers of refused) assert.equal((await post(headers)).status, 403, JSON.stringify(headers))
  const fine = await post({ cookie, 'x-errand-csrf': csrf, origin: hub.url, 'sec-fetch-site': 'same-origin' })
  assert.deepEqual([fine.status, fine.json.owner], [201, 'ann'])
  assert.equal(
    (await post({ cookie: 'errand_session=none' }, ann.token)).status,
    201,
    'a request with a token needs neither',
  )
  assert.equal(
    (await post({ cookie }, 'errand_api_wrong')).status,
    401,
    'the token takes precedence over the cookie',
  )
  assert.equal(
    (await post({ cookie: `errand_session=${ann.token}` })).status,
    401,
    'a token is not a session',
  )

  await hub.engine.done(fine.json.run_id)
  const events = `/api/runs/${fine.json.run_id}/events`
  assert.match((await hub.call('GET', events, undefined, undefined, { cookie })).text, /run\.finished/)
  assert.equal((await hub.call('GET', events, undefined, undefined, { cookie, ...stranger })).status, 403)
  const bobs = (await login('bob')).headers.get('set-cookie')!.split(';')[0]!
  assert.equal((await hub.call('GET', events, undefined, undefined, { cookie: bobs })).status, 404)
})

test('a logout ends the session of the cookie or all sessions of its user, and clears the cookie', async (t) => {
  const hub = await testingHub(t)
  const { token } = await hub.user('ann', 'user', 'default', 'first password')
  const login = async () => {
    const { headers, json } = await hub.call('POST', '/api/auth/login', undefined, {
      username: 'ann',
      password: 'first password',
      cookie: true,
    })
    return { cookie: headers.get('set-cookie')!.split(';')[0]!, 'x-errand-csrf': json.csrf as string }
  }
  const [one, two, three] = [await login(), await login(), await login()]
  const me = async (headers: Record<string, string>) =>
    (await hub.call('GET', '/api/me', undefined, undefined, headers)).status
  const logout = (headers: Record<string, string>, body?: object) =>
    hub.call('POST', '/api/auth/logout', undefined, body, headers)
  assert.equal((await logout({ cookie: one.cookie })).status, 403)
  const out = await logout(one)
  assert.equal(out.status, 204)
  assert.match(out.headers.get('set-cookie')!, /^errand_session=; Path=\/; Max-Age=0;/)
  assert.deepEqual([await me(one), await me(two)], [401, 200])
  assert.equal((await logout(two, { everywhere: true })).status, 204)
  assert.deepEqual([await me(two), await me(three)], [401, 401])
  assert.equal((await hub.call('GET', '/api/me', token)).status, 200, 'API tokens stay valid')
})

test('a password change by cookie returns a new cookie and no token', async (t) => {
  const hub = await testingHub(t)
  await hub.user('ann', 'user', undefined, 'first password')
  const login = (password: string, cookie: boolean) =>
    hub.call('POST', '/api/auth/login', undefined, { username: 'ann', password, cookie })
  const { headers, json } = await login('first password', true)
  const before = { cookie: headers.get('set-cookie')!.split(';')[0]!, 'x-errand-csrf': json.csrf as string }
  const passwords = { current_password: 'first password', new_password: 'second password' }
  const changed = await hub.call('POST', '/api/auth/password', undefined, passwords, before)
  assert.equal(changed.status, 201)
  assert.deepEqual(Object.keys(changed.json).toSorted(), ['csrf', 'expires_at', 'user'])
  const set = changed.headers.get('set-cookie')!
  assert.match(set, /^errand_session=.*; HttpOnly; SameSite=Strict$/)
  const session = set.split(';')[0]!.split('=')[1]!
  assert.ok(!changed.text.includes(session) && !/eyJ[\w-]+\.[\w-]+\./.test(changed.text))
  const after = { cookie: `errand_session=${session}`, 'x-errand-csrf': changed.json.csrf as string }
  const me = async (sent: Record<string, string>) =>
    (await hub.call('GET', '/api/me', undefined, undefined, sent)).status
  assert.deepEqual([await me(before), await me(after)], [401, 200])
  const out = await hub.call('POST', '/api/auth/logout', undefined, undefined, after)
  assert.equal(out.status, 204, 'the csrf value in the answer belongs to the new session')
  // By token nothing has changed.
  const { token } = (await login('second password', false)).json
  const back = { current_password: 'second password', new_password: 'third password' }
  const byToken = await hub.call('POST', '/api/auth/password', token, back)
  assert.deepEqual([byToken.status, byToken.headers.get('set-cookie')], [200, null])
  assert.ok(byToken.json.token)
})
