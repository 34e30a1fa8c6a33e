import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { command, endOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { boxPlace, sandboxMissing } from '../../../test/support/runner/box-fixture.ts'
import { PUBLIC, proxyFixture, webServer } from '../../../test/support/runner/proxy-fixture.ts'
import type { HeldAttempt } from '../ports.ts'

const skip = sandboxMissing()

/** Makes boxes with endpoints, behind which `files.test` is a web server. */
async function boxes(t: TestContext) {
  const proxy = proxyFixture(t)
  const seen: string[] = []
  const port = await webServer(t, (request, response) => {
    seen.push(`${request.method} ${request.headers.host}${request.url}`)
    response.end(`reached ${request.url}`)
  })
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: port } })
  const here = boxPlace({ supervisor: proxy.supervisor })
  t.after(() => here[Symbol.dispose]())
  return { proxy, here, seen }
}

const run = (
  { argv, cwd, env }: ReturnType<ReturnType<typeof boxPlace>['words']>,
  [program, ...args]: readonly string[] = argv,
) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(program!, args, { cwd, env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    ),
  )

/** Commands with which programs request a page, each with its own knowledge of proxies. */
const clients: Readonly<Record<string, (url: string) => string>> = {
  curl: (url) => `curl -sS ${url}`,
  wget: (url) => `wget -qO- ${url}`,
  'Node fetch': (url) => `${process.execPath} -e 'fetch("${url}").then((r) => r.text()).then(console.log)'`,
  'Python urllib': (url) =>
    `/usr/bin/python3 -c 'import urllib.request as r; print(r.urlopen("${url}").read().decode())'`,
  git: (url) => `git ls-remote ${url} 2>&1 || true`,
  npm: (url) => `/usr/bin/npm view --registry=${url} left 2>&1 || true`,
}
const programs: Readonly<Record<string, string>> = {
  curl: '/usr/bin/curl',
  wget: '/usr/bin/wget',
  'Node fetch': process.execPath,
  'Python urllib': '/usr/bin/python3',
  git: '/usr/bin/git',
  npm: '/usr/bin/npm',
}

for (const [name, command] of Object.entries(clients))
  test(`${name} finds the way out of a box, and nothing else`, {
    skip: skip || (!existsSync(programs[name]!) && `there is no ${programs[name]}`),
  }, async (t) => {
    const { here, seen } = await boxes(t)
    const box = here.box(undefined, { allow: ['files.test'] })
    await box.prepare()
    const mounts = { writable: [here.workspace], readable: [process.execPath] }
    const { stdout, stderr } = await run(here.words(box, command(`http://files.test/${name[0]}`), { mounts }))
    assert.ok(
      seen.some((line) => line.startsWith(`GET files.test/${name[0]}`)),
      `${stdout}${stderr}`,
    )
    await box.end()
    await box.remove()
  })

test('ssh finds the way out of a box, and its refusals are reported', {
  skip:
    skip || (!['ssh', 'socat'].every((name) => existsSync(`/usr/bin/${name}`)) && 'there is no ssh or socat'),
}, async (t) => {
  const { proxy, here } = await boxes(t)
  const greeted: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined).write('SSH-2.0-test\r\n')
    socket.once('data', (bytes) => {
      greeted.push(bytes.toString('latin1'))
      socket.destroy()
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  proxy.world({ names: { 'git.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:22`]: port } })
  const box = here.box(undefined, { allow: ['git.test:22', 'files.test'] })
  await box.prepare()
  const script = 'ssh -o BatchMode=yes git@git.test 2>&1; git ls-remote git@files.test:a/b.git 2>&1'
  const { stdout } = await run(here.words(box, script))
  assert.match(greeted.join(), /^SSH-2\.0-OpenSSH/, stdout)
  assert.deepEqual(box.logSince(0).lines, [
    { type: 'refused', host: 'files.test', port: 22, why: 'port_not_allowed', count: 1 },
  ])
  await box.end()
  await box.remove()
})

test("a box has one way out, and never another box's", { skip }, async (t) => {
  const { here, seen } = await boxes(t)
  const box = here.box(undefined, { allow: ['files.test'] })
  await box.prepare()
  const script = `
    ls /run/errand; touch /run/errand/x 2>&1 | grep -o 'Read-only'
    curl -s -o /dev/null -w '%{http_code}\\n' http://other.test/
    curl -sS --noproxy '*' --max-time 5 http://${PUBLIC}/ 2>/dev/null || echo unreachable
    curl -s -o /dev/null -w '%{http_code}\\n' --unix-socket /run/errand/proxy http://files.test/direct
    cat /proc/net/dev | grep -c :`
  const { stdout, stderr } = await run(here.words(box, script))
  const [entries, readOnly, other, direct, bySocket, interfaces] = stdout.trim().split('\n')
  assert.deepEqual(
    [entries, readOnly, other, bySocket, interfaces],
    ['proxy', 'Read-only', '403', '404', '1'],
    stdout + stderr,
  )
  assert.equal(direct, 'unreachable')
  assert.deepEqual(seen, [])
  const { lines, offset } = box.logSince(0)
  assert.deepEqual(lines, [
    { type: 'refused', host: 'other.test', port: 80, why: 'host_not_allowed', count: 1 },
  ])
  assert.deepEqual(box.logSince(offset), { lines: [], offset })

  const second = here.box(undefined, { allow: ['else.test'] })
  await second.prepare()
  const { stdout: refused } = await run(
    here.words(second, "curl -s -o /dev/null -w '%{http_code}\\n' http://files.test/"),
  )
  assert.equal(refused.trim(), '403')
  await Promise.all([box.end(), second.end()])
  await Promise.all([box.remove(), second.remove()])
})

test('a box without a network, without models to reach, or offline has no endpoint', {
  skip,
}, async (t) => {
  const { here, proxy } = await boxes(t)
  for (const [network, offline] of [['none'], ['models'], ['all', true]] as const) {
    const box = here.box(undefined, network)
    await box.prepare()
    const mounts = { writable: [here.workspace], readable: [], ...(offline && { offline }) }
    const { stdout } = await run(
      here.words(box, 'ls /run/errand; cat /proc/net/tcp | wc -l; env | grep -ci _proxy=', { mounts }),
    )
    assert.equal(stdout.trim(), '1\n0', network)
    await box.end()
    await box.remove()
  }
  assert.ok(existsSync(join(proxy.folder, 'world.json')))
})

test('a boxed step reports refusals as they happen and usage at its end, and leaves no endpoint', {
  skip,
}, async (t) => {
  const { here, proxy } = await boxes(t)
  const attempts = here.open()
  const cmd = 'curl -s http://evil.test/; curl -s http://files.test/; while [ ! -e go ]; do sleep 0.05; done'
  const step = command(cmd, { network: { allow: ['files.test'] } })
  const attempt = await attempts.start(step, 1)
  const network = () => attempt.reports.filter((report) => report.type === 'network')
  await until(() => network().length === 1, 'the refusal')
  writeFileSync(join(here.path, 'workspaces', step.run_id, 'go'), '')
  assert.equal((await endOf(attempt)).outcome, 'success')
  assert.deepEqual(
    network().map((report) => report.type === 'network' && [report.kind, report.host]),
    [
      ['refused', 'evil.test'],
      ['used', 'files.test'],
    ],
  )
  await attempt.release()
  assert.deepEqual(readdirSync(join(proxy.folder, 'doors')), [])
  await attempts.close()
})

test('a refusal is reported once, by whichever runner is present', { skip }, async (t) => {
  const { here } = await boxes(t)
  const first = here.open()
  const wait = (file: string) => `while [ ! -e ${file} ]; do sleep 0.05; done`
  const cmd = `curl -s http://one.test/; ${wait('go')}; curl -s http://two.test/; curl -s http://files.test/; ${wait('end')}`
  const step = command(cmd, { network: { allow: ['files.test'] } })
  const before = await first.start(step, 1)
  const hosts = (of: HeldAttempt) =>
    of.reports.flatMap((report) => (report.type === 'network' ? [report.host] : []))
  await until(() => hosts(before).length === 1, 'the first refusal')
  await first.close()
  const touch = (file: string) => writeFileSync(join(here.path, 'workspaces', step.run_id, file), '')
  touch('go')
  const second = here.open()
  const [after] = await second.recover()
  await until(() => hosts(after!).length === 2, 'the second refusal')
  touch('end')
  await endOf(after!)
  assert.deepEqual(hosts(after!), ['one.test', 'two.test', 'files.test'])
  await after!.release()
  await second.close()
})

test('a canceled step has the network for its last words', { skip }, async (t) => {
  const { here, seen } = await boxes(t)
  const attempts = here.open()
  const cmd =
    "trap 'curl -s http://files.test/bye; exit 3' TERM; curl -s http://files.test/up; while :; do sleep 0.05; done"
  const attempt = await attempts.start(command(cmd, { network: { allow: ['files.test'] } }), 1)
  await until(() => seen.includes('GET files.test/up'))
  attempt.cancel(60_000, 'a test wants it')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
  assert.ok(seen.includes('GET files.test/bye'), String(seen))
  await attempt.release()
  await attempts.close()
})

test('a box that ends its bridge or opens too many connections harms no other', { skip }, async (t) => {
  const { here } = await boxes(t)
  const [bad, good] = [here.box(undefined, 'all'), here.box(undefined, 'all')]
  await Promise.all([bad.prepare(), good.prepare()])
  const ask = "curl -s --max-time 20 -o /dev/null -w '%{http_code}\\n' http://files.test/"
  const flood = `/usr/bin/python3 -c '
import socket
held = []
for _ in range(1500):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(1)
    try:
        one.connect("/run/errand/proxy")
        held.append(one)
    except OSError: pass
print("held", flush=True)
input()'`
  const { argv, cwd, env } = here.words(bad, flood)
  const flooding = spawn(argv[0]!, argv.slice(1), { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] })
  await once(flooding.stdout, 'data')
  assert.equal((await run(here.words(good, ask))).stdout.trim(), '200')
  flooding.stdin.end('\n')
  await once(flooding, 'exit')
  await bad.end()
  const killed = `for each in /proc/[0-9]*; do grep -qs socat "$each/comm" && kill -9 "\${each#/proc/}"; done; ${ask}; echo went on`
  assert.equal((await run(here.words(bad, killed))).stdout.trim(), '000\nwent on')
  assert.equal((await run(here.words(good, ask))).stdout.trim(), '200')
  for (const box of [bad, good]) {
    await box.end()
    await box.remove()
  }
})

/** Program of a runner in its own process, whose boxes have endpoints. */
const RUNNER = `
import { boxPlace } from ${JSON.stringify(new URL('../../../test/support/runner/box-fixture.ts', import.meta.url).href)}
import { program } from ${JSON.stringify(new URL('../../../test/support/runner/proxy-fixture.ts', import.meta.url).href)}
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
import { ProxySupervisor } from ${JSON.stringify(new URL('../proxy/proxy-supervisor.ts', import.meta.url).href)}
const [path, folder, spec] = process.argv.slice(1)
const { boxes } = boxPlace({ supervisor: new ProxySupervisor({ folder, program }) })
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, boxes,
})
await attempts.start(JSON.parse(spec), 1)
process.stdout.write('started')
setInterval(() => {}, 1000)
`

test('a step whose runner and proxy are killed reaches only the same hosts once a runner returns', {
  skip,
}, async (t) => {
  const { here, proxy, seen } = await boxes(t)
  const cmd = `curl -s http://one.test/; until curl -sf http://files.test/go; do sleep 0.05; done;
    curl -s http://two.test/; curl -s http://files.test/end`
  const step = command(cmd, { network: { allow: ['files.test'] } })
  const world = { names: { 'files.test': [[PUBLIC]] }, servers: {} as Record<string, number> }
  const port = await webServer(t, (request, response) => {
    seen.push(`GET ${request.headers.host}${request.url}`)
    response.end()
  })
  proxy.world(world)
  const args = ['--input-type=module', '-e', RUNNER, here.path, proxy.folder, JSON.stringify(step)]
  const env = { ...process.env, TMPDIR: here.path }
  const runner = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env })
  await once(runner.stdout, 'data')
  const id = () => readdirSync(join(proxy.folder, 'doors'))[0] ?? ''
  await until(() => id() !== '' && proxy.log(id()).length === 1, 'the first refusal')
  runner.kill('SIGKILL')
  await once(runner, 'exit')
  process.kill(proxy.pid(), 'SIGKILL')
  proxy.world({ ...world, servers: { [`${PUBLIC}:80`]: port } })
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).outcome, 'success')
  assert.deepEqual(seen, ['GET files.test/go', 'GET files.test/end'])
  const hosts = attempt!.reports.flatMap((each) =>
    each.type === 'network' ? [`${each.kind} ${each.host}`] : [],
  )
  assert.deepEqual(hosts, ['refused one.test', 'refused two.test', 'used files.test'])
  await attempt!.release()
  await attempts.close()
})
