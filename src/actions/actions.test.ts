import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { builtinActions } from '../contract/actions.ts'
import type { AttemptSpec } from '../contract/attempt.ts'
import { builtinActionRegistry } from './registry.ts'

const spec = (action: string, args: object) =>
  ({ action, args, step: 'one', env: { A: '1' } }) as unknown as AttemptSpec

function plan(action: string, args: object) {
  const found = builtinActionRegistry[action]
  assert.ok(found?.kind === 'process')
  return found.prepare(spec(action, args))
}

async function run(action: string, args: object, cwd = '/', signal = new AbortController().signal) {
  const found = builtinActionRegistry[action]
  assert.ok(found?.kind === 'inline')
  let stdout = ''
  const write = async (_stream: string, bytes: Buffer | string) => {
    stdout += bytes.toString()
  }
  const shown = (text: string) => text.replaceAll('hush', '***')
  const result = await found.run(spec(action, args), { signal, env: {}, cwd, write, shown })
  return { ...result, stdout }
}

test('the registry has exactly the actions of the contract that run on a host', () => {
  const onHosts = Object.entries(builtinActions).filter(([, { place }]) => place === 'host')
  assert.deepEqual(Object.keys(builtinActionRegistry).sort(), onHosts.map(([name]) => name).sort())
})

test('a command is one argument of a shell, and a large command becomes a file', () => {
  assert.deepEqual(plan('cmd.run', { cmd: 'echo "$A"', cwd: 'x' }), {
    argv: ['/bin/sh', '-c', 'echo "$A"'],
    cwd: 'x',
    env: { A: '1' },
    export_vars: false,
  })
  const large = 'x'.repeat(100_001)
  const { argv, script } = plan('cmd.run', { cmd: large })
  assert.deepEqual([argv, script], [['/bin/sh'], large])
})

test('a script runs in the requested shell, or in the interpreter that it names', () => {
  assert.deepEqual(plan('shell.run', { script: 'ls' }).argv, ['/bin/sh', '-c', 'ls'])
  assert.deepEqual(plan('shell.run', { script: 'ls', shell: 'bash' }).argv, ['bash', '-c', 'ls'])
  const python = '#! /usr/bin/env -S python3 -u\r\nprint(1)'
  assert.deepEqual(
    [plan('shell.run', { script: python }).argv, plan('shell.run', { script: python }).script],
    [['/usr/bin/env', '-S python3 -u'], python],
  )
  assert.throws(() => plan('shell.run', { script: '#!\nls' }), { code: 'invalid_argument' })
})

test('the commands in verify_list run after those in verify', () => {
  const prepared = (args: object) => {
    const found = builtinActionRegistry['agent.run']
    assert.ok(found?.kind === 'agent')
    return found.prepare(spec('agent.run', { prompt: 'x', ...args }))
  }
  assert.deepEqual(prepared({ verify: ['a'], verify_list: '["b ${C}", "d"]' }).verify, ['a', 'b ${C}', 'd'])
  assert.deepEqual(prepared({ verify: ['a'], verify_list: '' }).verify, ['a'])
  assert.ok(!('verify_list' in prepared({ verify_list: '[]' })))
  for (const verify_list of ['npm test', '{"a": 1}', '[1]', '[""]'])
    assert.throws(() => prepared({ verify_list }), { code: 'invalid_argument', message: /verify_list/ })
})

test('arguments that are invalid after their variables are filled in are named', async () => {
  assert.throws(
    () => plan('cmd.run', { cmd: 'x', cwd: '' }),
    (error: Error) => /args\.cwd/.test(error.message),
  )
  await assert.rejects(run('noop', { extra: 1 }), { code: 'invalid_argument' })
})

test('file.write creates folders, sets the mode and replaces an existing file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
  t.after(() => rmSync(folder, { recursive: true }))
  await run('file.write', { path: 'a/b', content: 'long before' }, folder)
  await run('file.write', { path: 'a/b', content: 'ü', mode: '0600' }, folder)
  assert.equal(readFileSync(join(folder, 'a/b'), 'utf8'), 'ü')
  assert.equal(statSync(join(folder, 'a/b')).mode & 0o777, 0o600)
  await assert.rejects(run('file.write', { path: 'a', content: '' }, folder), /a could not be written/)
  await assert.rejects(run('file.write', { path: '/proc/hush/b', content: '' }), {
    message: '/proc/***/b could not be written: ENOENT: no such file or directory.',
  })
})

test('http.request writes the body, and fails for an error status, an unreachable host or a bad URL', async (t) => {
  const server = createServer((request, response) => {
    response.statusCode = Number(request.url!.slice(1, 4))
    let body = ''
    request
      .on('data', (chunk) => (body += chunk))
      .on('end', () => response.end(`${request.method} ${request.headers.a} ${body}`))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.after(() => server.close().closeAllConnections())
  const post = { url: `${base}/200`, method: 'POST', headers: { A: 'b' }, body: 'text' }
  assert.equal((await run('http.request', post)).stdout, 'POST b text')
  await assert.rejects(
    run('http.request', { url: `${base}/404?key=hidden` }),
    /^ErrandError: GET .*\/404 answered 404 Not Found; expected 2xx\.$/,
  )
  await assert.rejects(
    run('http.request', { url: `${base}/404/hu\tsh\\hush?hush` }),
    /^ErrandError: GET .*\/404\/hu\tsh\\\*\*\* answered 404/,
  )
  await assert.rejects(
    run('http.request', { url: base.replace('//', '//name:pass@') }),
    ({ message }: Error) => {
      assert.match(message, /contains a user name or a password/)
      return !message.includes('pass@')
    },
  )
  for (const more of [
    { headers: { a: 'two\nlines' } },
    { headers: { 'no name': 'a' } },
    { body: 'of a GET' },
  ])
    await assert.rejects(run('http.request', { url: `${base}/200`, ...more }), {
      code: 'invalid_argument',
      hint: 'Correct the headers or the body in args.',
    })
  await run('http.request', { url: `${base}/404`, expect_status: [200, 404] })
  await assert.rejects(run('http.request', { url: 'file:///etc/passwd' }), { code: 'invalid_argument' })
  server.closeAllConnections()
  await new Promise((closed) => server.close(closed))
  await assert.rejects(run('http.request', { url: `${base}/200` }), /ECONNREFUSED/)
  await assert.rejects(run('http.request', post, '/', AbortSignal.abort()), {
    message: `POST ${post.url} was stopped before the server answered.`,
  })
})
