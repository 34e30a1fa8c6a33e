import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { errandCommand, eventually, type Started } from '../support/errand-command.ts'
import { endProcessesOf, processesOf } from '../support/programs.ts'

function hub(t: TestContext) {
  const errand = errandCommand(t)
  const data = join(errand.home, 'data')
  const env = { ERRAND_DATA: data }
  const up = async (...more: string[]): Promise<Started> => {
    const started = errand.start(['up', '--port', '0', ...more], { env })
    await started.until(more.includes('--no-runner') ? 'Errand is up' : 'Connected to the hub')
    return started
  }
  const call = (...args: string[]) => errand.run(args, { env })
  const list = async () =>
    JSON.parse((await call('runs', 'list', '--json')).stdout).runs as { run_id: string; status: string }[]
  return { ...errand, data, up, call, list }
}

/** Returns a step that prints numbered lines slowly, and notes each time that it begins. */
function lines(home: string, count: number): string {
  const file = join(home, 'lines.yaml')
  const cmd = `echo x >> ${home}/begun; i=1; while [ $i -le ${count} ]; do echo "line $i"; i=$((i+1)); sleep 0.02; done`
  writeFileSync(
    file,
    `version: v0.1\nname: lines\nsteps:\n  - name: count\n    action: cmd.run\n    args: {cmd: '${cmd}'}\n`,
  )
  return file
}
const numbered = (count: number): string =>
  Array.from({ length: count }, (_, i) => `line ${i + 1}\n`).join('')

const login = (url: string, password: string) =>
  fetch(`${url}/api/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password }),
  })

test('npm start ends the hub and its runner when only npm is asked to end', async (t) => {
  const errand = errandCommand(t)
  t.after(() => endProcessesOf(errand.home))
  const npm = spawn('npm', ['start', '--', '--port', '0'], {
    cwd: join(import.meta.dirname, '../..'),
    env: errand.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  for (const stream of [npm.stdout, npm.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      printed += text
    })
  await eventually('a hub with its runner', () => printed.includes('Connected to the hub'))
  const ended = once(npm, 'exit')
  npm.kill('SIGTERM')
  await ended
  await eventually('the end of all of it', () => processesOf(errand.home).length === 0)
})

test('the first start shows a working password; the second finds everything again', async (t) => {
  const errand = hub(t)
  const first = await errand.up()
  const password = /password (\S+)/.exec(first.printed.stdout)![1]!
  const url = /http:\/\/\S+/.exec(first.printed.stdout)![0]
  assert.equal((await login(url, password)).status, 200)
  assert.equal(statSync(join(errand.data, 'local.json')).mode & 0o777, 0o600)
  const file = join(errand.home, 'flow.yaml')
  writeFileSync(
    file,
    'version: v0.1\nname: flow\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: echo hi}\n',
  )
  const detached = await errand.call('run', '--hub', '--detach', '--run-id', 'mine', file)
  assert.equal(detached.stdout, 'mine\n')
  await eventually('the end of the run', async () => (await errand.list())[0]?.status === 'success')

  first.child.kill('SIGINT')
  assert.equal((await first.finished).code, 0)
  await eventually('the end of the runner', () => processesOf(errand.data).length === 0)

  const second = await errand.up()
  assert.doesNotMatch(second.printed.stdout, /password/)
  assert.deepEqual(
    (await errand.list()).map((run) => run.run_id),
    ['mine'],
  )
  assert.match((await errand.call('runs', 'logs', 'mine')).stdout, /local \| hi\n/)
  assert.equal((await errand.call('runs', 'logs', 'mine', '--attempt', '1')).stdout, 'hi\n')
  assert.match((await errand.call('runs', 'show', 'mine')).stdout, /one +local +success/)
  assert.equal((await errand.call('runs', 'show', 'other')).code, 7)
  assert.equal((await errand.call('runs', 'cancel', 'mine')).code, 1)
})

test('runs show says what a run waits for, and lists the combinations of a step separately', async (t) => {
  const errand = hub(t)
  await errand.up()
  const file = (name: string, step: string): string => {
    const path = join(errand.home, `${name}.yaml`)
    writeFileSync(
      path,
      `version: v0.1\nname: ${name}\nconcurrency: {group: one}\nsteps:\n  - {name: ${name}, ${step}}\n`,
    )
    return path
  }
  const detached = (id: string, path: string) => errand.call('run', '--hub', '--detach', '--run-id', id, path)
  await detached('holder', file('hold', 'action: approval.wait, args: {message: "May it?"}'))
  const many = 'matrix: {K: [a, b]}, action: cmd.run, args: {cmd: test $K = a}'
  await detached('waiter', file('many', many))
  const shown = async (id: string) => (await errand.call('runs', 'show', id)).stdout
  assert.match(
    await shown('waiter'),
    /^waiter +many +queued +(waited [\d.]+ s +)?concurrency group "one" runs 1 of 1/,
  )
  assert.equal((await errand.call('approve', 'holder', 'hold')).code, 0)
  await eventually('the end of the other', async () => /^waiter +many +failed/.test(await shown('waiter')))
  assert.match(await shown('waiter'), /many +local \[K=a\] +success/)
  assert.match(await shown('waiter'), /many +local \[K=b\] +failed .*exit code 1/)
})

test('the runner of errand up runs as many steps at once as an option or variable says', async (t) => {
  const { up, start, run, call, data } = hub(t)
  const env = { ERRAND_DATA: data }
  for (const [args, more, message] of [
    [['--slots', '0'], {}, /--slots is "0"/],
    [['--slots', '3', '--no-runner'], {}, /--slots and --no-runner/],
    [[], { ERRAND_SLOTS: 'many' }, /ERRAND_SLOTS is "many"/],
  ] as const) {
    const { code, stderr } = await run(['up', '--port', '0', ...args], { env: { ...env, ...more } })
    assert.equal(code, 2)
    assert.match(stderr, message)
  }
  const slots = async () => JSON.parse((await call('runners', 'list', '--json')).stdout)[0].slots as number
  const first = start(['up', '--port', '0'], { env: { ...env, ERRAND_SLOTS: '3' } })
  await first.until('Connected to the hub')
  assert.equal(await slots(), 3)
  first.child.kill('SIGTERM')
  await first.finished
  const second = await up('--slots', '2')
  await eventually('its slots', async () => (await slots()) === 2)
  second.child.kill('SIGTERM')
  await second.finished
})

test('a wrong token ends with 6', async (t) => {
  const errand = hub(t)
  await errand.up('--no-runner')
  assert.equal((await errand.call('runs', 'list', '--token', 'errand_api_wrong')).code, 6)
})

test('a port or a data folder in use is an error that says what to do', async (t) => {
  const errand = hub(t)
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const taken = await errand.call('up', '--port', String(port))
  assert.equal(taken.code, 1)
  assert.match(
    taken.stderr,
    new RegExp(`Port ${port} .* in use by another program[\\s\\S]+--port ${port + 1}`),
  )

  const first = await errand.up('--no-runner')
  // No later start shows it.
  const password = /password (\S+)/.exec(taken.stdout)![1]!
  const url = /http:\/\/\S+/.exec(first.printed.stdout)![0]
  assert.equal((await login(url, password)).status, 200)
  const second = await errand.call('up', '--port', '0')
  assert.equal(second.code, 1)
  assert.match(second.stderr, new RegExp(`in use by process ${first.child.pid}`))
})

test('a file in place of the outputs folder is reported at the start, not by each run', async (t) => {
  const errand = hub(t)
  mkdirSync(errand.data, { recursive: true })
  writeFileSync(join(errand.data, 'output'), '')
  const { code, stderr } = await errand.call('up', '--port', '0')
  assert.equal(code, 1)
  assert.match(stderr, /data\/output could not be read or written: EEXIST[\s\S]+hint: A file is in the way/)
})

test('a hub with a missing, empty or truncated database says so, and starts over when asked', async (t) => {
  const { home, data, up, run, call } = hub(t)
  const env = { ERRAND_DATA: data }
  const first = await up('--no-runner')
  const file = join(home, 'flow.yaml')
  writeFileSync(file, 'version: v0.1\nname: a\nsteps:\n  - {name: one, action: noop}\n')
  const created = await call('run', '--hub', '--detach', file)
  assert.equal(created.code, 0, created.stderr)
  first.child.kill('SIGKILL')
  await first.finished
  const doctor = async () => JSON.parse((await run(['doctor', '--json'], { env })).stdout)
  const ofDatabase = async () =>
    (await doctor()).findings.filter(({ check }: { check: string }) => check === 'database')

  truncateSync(join(data, 'errand.db-wal'), statSync(join(data, 'errand.db-wal')).size - 1)
  const [cut] = await ofDatabase()
  assert.equal(cut.status, 'problem')
  assert.match(cut.message, /its last \d+ commits are missing/)
  const second = await up('--no-runner')
  await eventually('the message about it', () => /lost its last \d+ commits/.test(second.printed.stderr))
  second.child.kill('SIGTERM')
  await second.finished

  for (const [how, lose] of [
    ['missing', () => rmSync(join(data, 'errand.db'))],
    ['empty', () => writeFileSync(join(data, 'errand.db'), '')],
  ] as const) {
    lose()
    const refused = await run(['up', '--port', '0', '--no-runner'], { env })
    assert.equal(refused.code, 1, refused.stdout)
    assert.match(refused.stderr, new RegExp(`errand\\.db is ${how}`))
    assert.match(refused.stderr, /hint: .*errand up --new/)
    assert.equal((await ofDatabase())[0].status, 'problem')
  }
  const fresh = await up('--no-runner', '--new')
  assert.match(fresh.printed.stdout, /The first user of this hub/)
  assert.ok(readdirSync(data).some((name) => name.startsWith('before-')))
})

test('a killed runner is restarted, and its step continues, once', async (t) => {
  const errand = hub(t)
  const up = await errand.up()
  const run = errand.start(['run', '--hub', lines(errand.home, 100)], { env: { ERRAND_DATA: errand.data } })
  await run.until('local | line 20')
  // The step's wrapper, which also names the folder, does not count.
  const [runner] = processesOf(`--workspace\0${join(errand.data, 'runner')}`)
  process.kill(runner!, 'SIGKILL')
  await up.until(/The runner ended \(SIGKILL\)/)
  const { code, stdout } = await run.finished
  assert.equal(code, 0, stdout)
  assert.equal(stdout.match(/line \d+\n/g)!.join(''), numbered(100))
  assert.equal(readFileSync(join(errand.home, 'begun'), 'utf8'), 'x\n')
})

test('a killed hub resumes its runs at the next start, with every line once', async (t) => {
  const errand = hub(t)
  const first = await errand.up()
  assert.equal(
    (await errand.call('run', '--hub', '--detach', '--run-id', 'mine', lines(errand.home, 150))).code,
    0,
  )
  const bytes = async () => (await errand.call('runs', 'logs', 'mine', '--attempt', '1')).stdout
  await eventually('some output', async () => (await bytes()).includes('line 10\n'))
  first.child.kill('SIGKILL')
  await first.finished
  await errand.up()
  const run = await eventually('the end of the run', async () =>
    (await errand.list()).find((one) => one.status !== 'running'),
  )
  assert.equal(run.status, 'success')
  assert.equal(await bytes(), numbered(150))
  assert.equal(readFileSync(join(errand.home, 'begun'), 'utf8'), 'x\n')
})

test('on the command line people log in and create tokens and users, and what they may not do ends with 6', async (t) => {
  const errand = hub(t)
  const up = await errand.up('--no-runner')
  const url = /http:\/\/\S+/.exec(up.printed.stdout)![0]
  const password = /password (\S+)/.exec(up.printed.stdout)![1]!
  const log = await errand.run(['login', url, '--password-stdin'], { stdin: `${password}\n` })
  assert.equal(log.stdout, `Logged in to ${url} as admin (admin).\n`)
  assert.equal(statSync(join(errand.home, '.errand/login.json')).mode & 0o777, 0o600)

  const added = await errand.run(['users', 'add', 'anna', '--password-stdin'], { stdin: 'a long password' })
  assert.equal(added.code, 0, added.stderr)
  assert.match((await errand.run(['users', 'list'])).stdout, /anna +user +default +active/)
  await errand.run(['login', url, '-u', 'anna', '--password-stdin'], { stdin: 'a long password' })
  const made = await errand.run(['tokens', 'create', 'laptop'])
  assert.match(made.stdout, /^errand_api_\S+\n$/)
  assert.equal((await errand.run(['users', 'list'])).code, 6)
  const token = made.stdout.trim()
  const { stdout } = await errand.run(['tokens', 'list', '--json', '--token', token])
  assert.equal((await errand.run(['tokens', 'revoke', JSON.parse(stdout)[0].id, '--token', token])).code, 0)
  assert.equal((await errand.run(['tokens', 'list', '--token', token])).code, 6)
  await errand.run(['login', '--forget'])
  assert.equal((await errand.run(['runs', 'list', '--url', url])).code, 6)
})

test("the hub's own token is masked in its runner's output, and users learn that steps can read it", async (t) => {
  const errand = hub(t)
  const url = /http:\/\/\S+/.exec((await errand.up()).printed.stdout)![0]
  const token = readFileSync(join(errand.data, 'local-token'), 'utf8').trim()
  assert.match(token, /^errand_api_/)
  const file = join(errand.home, 'steal.yaml')
  const cmd = `cat ${errand.data}/local-token ${errand.data}/local.json; base64 -w0 ${errand.data}/local-token; env`
  writeFileSync(
    file,
    `version: v0.1\nname: steal\nsteps:\n  - {name: one, action: cmd.run, args: {cmd: '${cmd}'}}\n`,
  )
  const run = await errand.call('run', '--hub', '--run-id', 'thief', file)
  assert.equal(run.code, 0, run.stderr)
  const logs = await errand.call('runs', 'logs', 'thief', '--attempt', '1')
  const folder = join(errand.data, 'output')
  const stored = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'utf8'))
  for (const text of [run.stdout, logs.stdout, ...stored])
    for (const form of [token, Buffer.from(token).toString('base64').slice(0, -4)])
      assert.ok(!text.includes(form))
  assert.match(logs.stdout, /^\*\*\*\n/)
  assert.ok(!logs.stdout.includes('ERRAND_LOCAL_TOKEN'), 'no step receives it')

  const add = (name: string, ...more: string[]) =>
    errand.run(['users', 'add', name, '--password-stdin', ...more], {
      stdin: 'a long password',
      env: { ERRAND_DATA: errand.data },
    })
  const report = async () => (await errand.call('doctor')).stdout
  assert.equal((await add('boss', '--admin')).stderr, '')
  assert.equal((await add('far', '--tenant', 'acme')).stderr, '', 'its tenant has no runner of the hub')
  const far = await errand.run(['login', url, '-u', 'acme/far', '--password-stdin'], {
    stdin: 'a long password',
  })
  assert.match(far.stdout, /as far \(user\)/, far.stderr)
  await errand.run(['logout'])
  assert.ok(!(await report()).includes('Nothing separates'))
  assert.match((await add('anna')).stderr, /^warning: .*can read this hub's files.*--no-runner/)
  assert.match(await report(), /Nothing separates the steps of 1 user from this hub/)
})

test("people change their password and log out on the command line, and their tokens' expiry is shown", async (t) => {
  const errand = hub(t)
  const up = await errand.up('--no-runner')
  const url = /http:\/\/\S+/.exec(up.printed.stdout)![0]
  const admin = /password (\S+)/.exec(up.printed.stdout)![1]!
  await errand.run(['login', url, '--password-stdin'], { stdin: admin })
  await errand.run(['users', 'add', 'anna', '--password-stdin'], { stdin: 'a long password' })
  const logIn = (password: string) =>
    errand.run(['login', url, '-u', 'anna', '--password-stdin'], { stdin: password })
  const saved = () =>
    JSON.parse(readFileSync(join(errand.home, '.errand/login.json'), 'utf8')).token as string
  await logIn('a long password')
  const before = saved()
  const change = (stdin: string) => errand.run(['users', 'password', '--password-stdin'], { stdin })
  assert.deepEqual((await change('one line alone')).code, 2)
  assert.deepEqual((await change('a wrong password\nanother password\n')).code, 6)
  const changed = await change('a long password\nanother password\n')
  assert.match(changed.stdout, /^anna has a new password\./, changed.stderr)
  assert.notEqual(saved(), before)
  assert.equal((await errand.run(['runs', 'list'])).code, 0, 'the login continues')
  assert.equal((await errand.run(['runs', 'list', '--token', before])).code, 6)

  const make = async (...more: string[]) => errand.run(['tokens', 'create', 'x', ...more])
  assert.match((await make()).stderr, /^It is valid until 2/)
  assert.match((await make('--never')).stderr, /^It does not expire/)
  assert.match((await make('--never', '--expires-in', '1d')).stderr, /--never and --expires-in/)
  const short = (await make('--expires-in', '3d')).stdout.trim()
  assert.match((await errand.run(['tokens', 'list'])).stdout, /good +2\S+ \(in 2 days\)/)
  const doctor = await errand.run(['doctor', '--token', short])
  assert.match(doctor.stdout, /The token for that hub expires in 2 days/)

  const session = saved()
  assert.equal((await errand.run(['logout'])).stdout, `Logged out of ${url}.\n`)
  assert.equal((await errand.run(['runs', 'list', '--url', url, '--token', session])).code, 6)
  assert.equal((await errand.run(['logout'])).stdout, 'You are not logged in.\n')
  const stored = await errand.run(['login', url, '--token', short])
  assert.match(stored.stderr, /this token expires in 2 days/)
  assert.match((await errand.run(['logout'])).stdout, /Its token stays valid until/)
  assert.equal((await errand.run(['runs', 'list', '--url', url, '--token', short])).code, 0)
  await logIn('another password')
  up.child.kill('SIGTERM')
  await up.finished
  const away = await errand.run(['logout'])
  assert.deepEqual([away.code, /the hub could not end the session/.test(away.stderr)], [5, true])
  assert.equal((await errand.run(['logout'])).stdout, 'You are not logged in.\n')
})

test('runs of a hub are approved, rejected, canceled and retried on the command line', async (t) => {
  const errand = hub(t)
  await errand.up()
  const file = join(errand.home, 'flow.yaml')
  const cmd = `test -e ${errand.home}/well || exit 3`
  writeFileSync(
    file,
    'version: v0.1\nname: flow\nsteps:\n  - {name: ask, action: approval.wait}\n' +
      `  - {name: go, action: cmd.run, args: {cmd: '${cmd}'}}\n`,
  )
  const questionOf = (id: string) =>
    eventually('the question', async () =>
      (await errand.call('runs', 'show', id)).stdout.includes('Continue?'),
    )
  const status = (id: string, expected: string) =>
    eventually(`${id} ${expected}`, async () =>
      (await errand.list()).some((run) => run.run_id === id && run.status === expected),
    )
  for (const id of ['yes', 'no', 'stop']) {
    await errand.call('run', '--hub', '--detach', '--run-id', id, file)
    await questionOf(id)
  }
  assert.equal((await errand.call('approve', 'yes', 'ask', '-m', 'fine')).code, 0)
  assert.equal((await errand.call('reject', 'no', 'ask')).code, 0)
  assert.equal((await errand.call('runs', 'cancel', 'stop')).code, 0)
  await Promise.all([status('yes', 'failed'), status('no', 'failed'), status('stop', 'canceled')])
  assert.equal((await errand.call('approve', 'yes', 'ask')).code, 1)

  writeFileSync(join(errand.home, 'well'), '')
  const again = await errand.call('runs', 'retry', 'yes', '--failed', '--follow')
  assert.equal(again.code, 0, again.stdout + again.stderr)
  assert.match(again.stdout, /go +local +success/)

  for (const words of [
    ['retry', 'yes', '--failed', '--follow', '--json'],
    ['logs', 'yes', '--json'],
    ['events', 'yes'],
    ['events', 'yes', '--after', '8'],
  ]) {
    const lines = (await errand.call('runs', ...words)).stdout.trimEnd().split('\n')
    const events = lines.map((line) => JSON.parse(line))
    if (words[0] !== 'events') assert.equal(events.pop().type, 'result')
    for (const { run_id, type, step, host } of events)
      assert.deepEqual(
        [run_id, ...(/^(attempt|output)/.test(type) ? [step, host] : [])],
        [
          words[0] === 'retry' ? events[0].run_id : 'yes',
          ...(/^(attempt|output)/.test(type) ? ['go', 'local'] : []),
        ],
        type,
      )
    assert.ok(events.some(({ type }) => type === 'attempt.finished'))
  }
})
