import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { errandCommand, type Finished } from '../support/errand-command.ts'
import { freePort, type Programs, startPrograms, workflowText, writeWorkflow } from '../support/programs.ts'
import { wholeLog } from '../support/programs-output.ts'

const head = 'version: v0.1\nname: bad\nsteps:\n'
/** The text of each file, and what the message must say. */
const files: Record<string, { yaml: string; says: RegExp[] }> = {
  'YAML that does not parse': { yaml: `${head}  - {name: a, action: noop\n`, says: [/:4:|:5:/] },
  'no YAML at all': { yaml: '\0\x01\x02', says: [/flow\.yaml/] },
  'an empty file': { yaml: '', says: [/flow\.yaml/] },
  'an unknown action': {
    yaml: `${head}  - name: a\n    action: cmd.rnu\n`,
    says: [/:5:13/, /cmd\.rnu/, /did you mean "cmd\.run"\?/],
  },
  'a cycle': {
    yaml: `${head}  - {name: a, action: noop, needs: [b]}\n  - {name: b, action: noop, needs: [a]}\n`,
    says: [/:4:/, /wait for each other: a -> b -> a/],
  },
  'a target that is not in the inventory': {
    yaml: `inventory: {hosts: {web1: {}}}\n${head}  - {name: a, action: noop, targets: [web2]}\n`,
    says: [/:5:/, /web2/, /did you mean "web1"\?/],
  },
  'a when that does not parse': {
    yaml: `${head}  - name: a\n    action: noop\n    when: \${A} == == "x"\n`,
    says: [/:6:/, /when|==/],
  },
  'an unknown key': {
    yaml: `${head}  - {name: a, action: noop, wen: x}\n`,
    says: [/:4:/, /did you mean "when"\?/],
  },
  'words of another system': {
    yaml: `${head}  - {name: a, run: npm ci, timeout: 5m}\n`,
    says: [/:4:/, /write action: cmd\.run and args: \{cmd: npm ci\}/, /write timeout_seconds: 300/],
  },
  'an argument that is missing': { yaml: `${head}  - {name: a, action: cmd.run}\n`, says: [/:4:/, /cmd/] },
}

/** Returns the ways to give a file to Errand, all of which must refuse it before anything runs. */
async function refusals(programs: Programs, file: string): Promise<Record<string, Finished>> {
  return {
    validate: await programs.call('validate', file),
    run: await programs.call('run', file),
    dispatch: await programs.call('dispatch', '--token', 'T', file),
    'run --hub': await programs.call('run', '--hub', file),
  }
}

interface Answer {
  status: number
  error: { code: string; message: string; hint?: string; details?: unknown }
}

async function ask(programs: Programs, path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(`${programs.url}${path}`, init)
  const text = await response.text()
  return { status: response.status, error: text === '' ? {} : JSON.parse(text).error }
}

/** Starts a hub that has one run. After the test, it must still have this run, unchanged, and no other. */
async function hubWithARun(
  t: TestContext,
): Promise<Programs & { headers: Record<string, string>; check(): Promise<void> }> {
  const programs = await startPrograms(t, { runner: 'own' })
  const { client } = programs
  await client.runs.create({ run_id: 'first', yaml: workflowText([{ name: 'one', cmd: 'echo kept' }]) })
  await programs.ended('first')
  const before = await wholeLog(client, 'first')
  const { token } = await client.tokens.create({ name: 'test' })
  return {
    ...programs,
    headers: { authorization: `Bearer ${token}` },
    async check() {
      assert.deepEqual(await wholeLog(client, 'first'), before, 'the history is unchanged')
      assert.deepEqual(
        (await client.runs.list()).runs.map((run) => run.run_id),
        ['first'],
      )
    },
  }
}

test('an invalid workflow is refused by every way to run it, with the position and what to write', async (t) => {
  const programs = await hubWithARun(t)
  for (const [what, { yaml, says }] of Object.entries(files)) {
    const file = join(programs.home, 'flow.yaml')
    writeFileSync(file, yaml)
    for (const [way, { code, stdout, stderr }] of Object.entries(await refusals(programs, file))) {
      assert.equal(code, 2, `${what}, ${way}: ${stdout}\n${stderr}`)
      for (const text of says) assert.match(stderr, text, `${what}, ${way}`)
    }
    const headers = { ...programs.headers, 'content-type': 'application/yaml' }
    const answer = await ask(programs, '/api/runs', { method: 'POST', headers, body: yaml })
    assert.equal(answer.status, 400, what)
    const error = JSON.stringify(answer.error).replaceAll('\\"', '"')
    if (yaml !== '') assert.equal(answer.error.code, 'invalid_workflow', error)
    for (const text of says.filter((each) => !/:\d|flow/.test(each.source))) assert.match(error, text, what)
  }
  await programs.check()
})

test('an unset variable fails the step that uses it, and the error names it', async (t) => {
  const programs = await startPrograms(t, { runner: 'own' })
  const steps = [
    { name: 'first', cmd: 'echo first' },
    { name: 'second', cmd: 'echo never', env: { A: '${NOWHERE}' } },
  ]
  const address = `127.0.0.1:${await freePort()}`
  await programs.errand.start(['agent-server', '--addr', address, '--token', 'T']).until('Agent server on')
  const inventory = { hosts: { local: { address: `http://${address}` } } }
  const file = writeWorkflow(join(programs.home, 'flow.yaml'), steps, { inventory })
  for (const words of [['run'], ['dispatch', '--token', 'T'], ['run', '--hub']]) {
    const { code, stdout } = await programs.call(...words, file)
    assert.equal(code, 1, words.join(' '))
    assert.match(stdout, /local \| first\n/)
    assert.match(stdout, /"NOWHERE" is not set\. .*\$\{NOWHERE:-\}/)
  }
  const needed = writeWorkflow(join(programs.home, 'needed.yaml'), steps, {
    inputs: { STAGE: { required: true } },
  })
  for (const words of [['run'], ['dispatch', '--token', 'T'], ['run', '--hub']]) {
    const { code, stderr } = await programs.call(...words, needed)
    assert.equal(code, 2, words.join(' '))
    assert.match(stderr, /STAGE/)
    assert.match(stderr, /--var STAGE=/)
  }
})

test('a host that is unreachable, refuses, hangs or is not an agent fails its step in time, and is named', async (t) => {
  const errand = errandCommand(t)
  const listen = async (answer: string | undefined): Promise<string> => {
    const sockets = new Set<{ destroy(): void }>()
    const server = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      if (answer !== undefined) socket.on('data', () => socket.end(answer))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const good = `127.0.0.1:${await freePort()}`
  await errand.start(['agent-server', '--addr', good, '--token', 'T']).until('Agent server on')
  const html = '<html>not found</html>'
  const bad: Record<string, { address: string; reason: string }> = {
    down: { address: `http://127.0.0.1:${await freePort()}`, reason: 'host unreachable' },
    hangs: { address: await listen(undefined), reason: 'host unreachable' },
    stranger: {
      address: await listen(
        `HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: ${html.length}\r\n\r\n${html}`,
      ),
      reason: 'host refused',
    },
    noname: { address: 'http://no-such-host.invalid:7072', reason: 'host unreachable' },
  }
  await Promise.all(
    Object.entries(bad).map(async ([name, { address, reason }]) => {
      const hosts = { good: { address: `http://${good}` }, [name]: { address } }
      const steps = [{ name: 'one', targets: ['good', name], cmd: 'echo "on $ERRAND_HOST"' }]
      const file = writeWorkflow(join(errand.home, `${name}.yaml`), steps, { inventory: { hosts } })
      const { code, stdout, stderr } = await errand.run(['dispatch', '--token', 'T', file])
      assert.equal(code, reason === 'host unreachable' ? 5 : 1, `${name}: ${stdout}\n${stderr}`)
      assert.match(stdout, /good \| on good\n/)
      const line = stdout.split('\n').find((line) => line.startsWith(`one failed on ${name}: `))
      assert.ok(line?.includes(reason) && line.includes(address), `${name}: ${line}`)
      assert.ok(line?.includes(`"${name}"`), line)
    }),
  )
})

test('a wrong token is refused with a message that says so', async (t) => {
  const programs = await hubWithARun(t)
  const address = `127.0.0.1:${await freePort()}`
  await programs.errand.start(['agent-server', '--addr', address, '--token', 'T']).until('Agent server on')
  const hosts = { far: { address: `http://${address}` } }
  const steps = [{ name: 'one', targets: ['far'], cmd: 'echo never' }]
  const file = writeWorkflow(join(programs.home, 'flow.yaml'), steps, { inventory: { hosts } })
  const dispatched = await programs.call('dispatch', '--token', 'wrong', file)
  assert.equal(dispatched.code, 6)
  assert.match(dispatched.stdout, /host unauthorized: .*"far".*token/)

  for (const args of [
    ['runs', 'list'],
    ['run', '--hub', file],
    ['runners', 'list'],
  ]) {
    const found = await programs.call(...args, '--token', 'errand_api_wrong')
    assert.equal(found.code, 6, `${args.join(' ')}: ${found.stdout}\n${found.stderr}`)
    assert.match(found.stderr, /token/)
    assert.match(found.stderr, /hint: /)
  }
  for (const headers of [
    {},
    { authorization: 'Bearer nonsense' },
    { authorization: 'Basic YTpi' },
  ] as const) {
    const answer = await ask(programs, '/api/runs', { headers: headers as Record<string, string> })
    assert.equal(answer.status, 401)
    assert.equal(answer.error.code, 'unauthorized')
  }
  const runner = await programs.errand.run([
    'runner',
    '--url',
    programs.url,
    '--token',
    'errand_runner_wrong',
  ])
  assert.equal(runner.code, 6, runner.stderr)
  assert.match(runner.stderr, /ERRAND_TOKEN/)
  await programs.check()
})

test('a body over the limit is refused', async (t) => {
  const programs = await hubWithARun(t)
  const yaml = workflowText([{ name: 'one', cmd: `: ${'x'.repeat(9 * 1024 * 1024)}` }])
  const headers = { ...programs.headers, 'content-type': 'application/yaml' }
  const answer = await ask(programs, '/api/runs', { method: 'POST', headers, body: yaml })
  assert.equal(answer.status, 413)
  assert.equal(answer.error.code, 'body_too_large')
  assert.match(answer.error.message, /8/)
  const file = join(programs.home, 'flow.yaml')
  writeFileSync(file, yaml)
  const sent = await programs.call('run', '--hub', file)
  assert.notEqual(sent.code, 0)
  assert.notEqual(sent.code, 70, sent.stderr)
  assert.match(sent.stderr, /larger than the limit of 8388608 bytes/)
  await programs.check()
})

test('an upload that is far too large is refused with the limit, and the hub stays up', async (t) => {
  const programs = await hubWithARun(t)
  const headers = { ...programs.headers, 'content-type': 'application/gzip' }
  const megabyte = Buffer.alloc(1024 * 1024)
  const pieces = (count: number) =>
    Readable.from(
      (function* () {
        for (let sent = 0; sent < count; sent++) yield megabyte
      })(),
    )
  const put = async (count: number, more: Record<string, string> = {}) => {
    const requested = request(`${programs.url}/api/uploads`, {
      method: 'PUT',
      headers: { ...headers, ...more },
    })
    const body = pieces(count)
    // The rest of a request that the hub stops reading is lost on the way.
    requested.on('error', () => {})
    body.pipe(requested)
    const [answer] = (await once(requested, 'response')) as [IncomingMessage]
    const { error } = JSON.parse(await text(answer))
    requested.destroy()
    return { status: answer.statusCode, code: error.code, message: error.message }
  }
  const refused = {
    status: 413,
    code: 'body_too_large',
    message: 'An upload may have at most 52428800 bytes (50 MB).',
  }
  assert.deepEqual(await put(60), refused)
  assert.deepEqual(await put(150), refused)
  assert.deepEqual(await put(1_000), refused)
  assert.deepEqual(await put(150, { 'content-length': `${150 * megabyte.length}` }), refused)
  const left = request(`${programs.url}/api/uploads`, { method: 'PUT', headers })
  left.write(megabyte, () => left.destroy())
  await assert.rejects(once(left, 'response'), { code: 'ECONNRESET' })
  assert.equal(programs.hub.child.exitCode, null)
  await programs.check()
})

test('a client that requests a WebSocket and disappears does not end the hub', async (t) => {
  const programs = await hubWithARun(t)
  const { hostname, port } = new URL(programs.url)
  const { pid } = programs.hub.child
  for (const path of ['/elsewhere', '/api/runner-link', '/api/runner-link?token=x'])
    for (let time = 0; time < 20; time++) {
      // The hub is paused so that it finds the request and its end at once.
      process.kill(pid!, 'SIGSTOP')
      const socket = connect(Number(port), hostname)
      await once(socket, 'connect')
      const lines = [`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket', '', '']
      await new Promise<void>((sent) => socket.write(lines.join('\r\n'), () => sent()))
      socket.resetAndDestroy()
      process.kill(pid!, 'SIGCONT')
      await once(socket, 'close')
    }
  assert.equal(programs.hub.child.exitCode, null)
  await programs.check()
})

test('an unknown run is a 404, and exit code 7 on the command line', async (t) => {
  const programs = await hubWithARun(t)
  const calls = ['', '/events', '/workflow', '/attempts/1/output/stdout'].map((rest) => ({
    method: 'GET',
    rest,
  }))
  for (const rest of ['/cancel', '/retry', '/rollback']) calls.push({ method: 'POST', rest })
  for (const { method, rest } of calls) {
    const answer = await ask(programs, `/api/runs/run_none${rest}`, { method, headers: programs.headers })
    assert.equal(answer.status, 404, rest)
    assert.equal(answer.error.code, 'run_not_found', rest)
    assert.match(answer.error.message, /run_none/)
  }
  assert.equal(
    (await ask(programs, '/run-status?run_id=run_none', { headers: programs.headers })).status,
    404,
  )
  assert.equal(
    (await ask(programs, '/api/runs/first/attempts/9/output/stdout', { headers: programs.headers })).status,
    404,
  )
  for (const args of [
    ['runs', 'show', 'run_none'],
    ['runs', 'logs', 'run_none'],
    ['runs', 'logs', 'first', '--attempt', '9'],
    ['runs', 'events', 'run_none'],
    ['runs', 'cancel', 'run_none'],
    ['runs', 'retry', 'run_none'],
    ['runs', 'rollback', 'run_none'],
    ['approve', 'run_none', 'step'],
  ]) {
    const { code, stderr } = await programs.call(...args)
    assert.equal(code, 7, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, args[2] === 'first' ? /9/ : /run_none/)
  }
  await programs.check()
})

test('cancel of an ended run is a 409 and changes nothing', async (t) => {
  const programs = await hubWithARun(t)
  const answer = await ask(programs, '/api/runs/first/cancel', { method: 'POST', headers: programs.headers })
  assert.equal(answer.status, 409)
  assert.equal(answer.error.code, 'run_ended')
  assert.match(answer.error.message, /first/)
  const { code, stderr } = await programs.call('runs', 'cancel', 'first')
  assert.equal(code, 1)
  assert.match(stderr, /first/)
  await programs.check()
})

test('using a run id twice is refused, and the first run is unchanged', async (t) => {
  const programs = await hubWithARun(t)
  const file = writeWorkflow(join(programs.home, 'flow.yaml'), [{ name: 'one', cmd: 'echo hi' }])
  const twice = await programs.call('run', '--hub', '--run-id', 'first', file)
  assert.equal(twice.code, 1, twice.stderr)
  assert.match(twice.stderr, /[Rr]un "?first"? already/)
  const headers = { ...programs.headers, 'content-type': 'application/json' }
  const body = JSON.stringify({ run_id: 'first', yaml: workflowText([{ name: 'one', cmd: 'echo hi' }]) })
  const answer = await ask(programs, '/api/runs', { method: 'POST', headers, body })
  assert.equal(answer.status, 409)
  assert.equal(answer.error.code, 'run_exists')
  await programs.check()

  const state = join(programs.home, 'state')
  const args = ['run', '--state', state, '--run-id', 'mine', file]
  assert.equal((await programs.call(...args)).code, 0)
  const again = await programs.call(...args)
  assert.equal(again.code, 1, again.stderr)
  assert.match(again.stderr, /\bmine\b/)

  for (const id of ['../../etc', 'a b', '', 'x'.repeat(300)]) {
    const bad = await programs.call('run', '--hub', '--run-id', id, file)
    assert.equal(bad.code, 2, `${id}: ${bad.stderr}`)
  }
})

test('a request for events beyond the end returns none for an ended run, and later ones for an open run', async (t) => {
  const programs = await hubWithARun(t)
  const { url, headers, client } = programs
  for (const query of ['?after=5000', '?after=999999999']) {
    const response = await fetch(`${url}/api/runs/first/events${query}`, { headers })
    assert.equal(response.status, 200)
    assert.doesNotMatch(await response.text(), /data:/)
  }
  const named = await fetch(`${url}/api/runs/first/events`, {
    headers: { ...headers, 'last-event-id': '5000' },
  })
  assert.equal(named.status, 204)
  for (const bad of ['?after=-1', '?after=x', '?after=1.5']) {
    assert.equal((await ask(programs, `/api/runs/first/events${bad}`, { headers })).status, 400, bad)
  }
  await programs.check()

  const go = join(programs.home, 'go')
  const cmd = `while [ ! -e "${go}" ]; do sleep 0.02; done; seq 1 20`
  const { run_id } = await client.runs.create({ yaml: workflowText([{ name: 'one', cmd }]) })
  const beyond = client.events(run_id, { after: 6 })
  writeFileSync(go, '')
  const seen: number[] = []
  for await (const event of beyond) seen.push(event.seq)
  const all = await wholeLog(client, run_id)
  assert.deepEqual(
    seen,
    all.slice(6).map((event) => event.seq),
  )
})
