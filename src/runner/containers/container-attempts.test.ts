import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { EngineCable } from '../../../test/support/docker/engine-cable.ts'
import { command, endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  containerPlace,
  IMAGE,
  containersMissing as skip,
} from '../../../test/support/runner/container-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'

const inWorkspace = (path: string, file: string) => join(path, 'workspaces/run_test', file)

function containerTest(what: string, body: (t: TestContext) => Promise<void>) {
  test(what, { skip }, body)
}

containerTest('a step runs in the image that it names, in its workspace, and leaves nothing', async (t) => {
  const here = containerPlace(t, { image: undefined })
  const attempts = here.open()
  const attempt = await attempts.start(
    command('busybox | head -c 7; echo made >made; exit 4', { image: IMAGE }),
    1,
  )
  const end = await endOf(attempt)
  assert.deepEqual(
    [end.outcome, end.exit_code, end.message],
    ['failed', 4, 'The command ended with exit code 4.'],
  )
  assert.equal(await textOf(attempt), 'BusyBox')
  assert.equal(readFileSync(inWorkspace(here.path, 'made'), 'utf8'), 'made\n')
  const { held_by, peak_memory_bytes = 0, cpu_ms } = end.usage!
  assert.match(held_by, /^cgroup_v[12]$/)
  assert.ok(peak_memory_bytes > 50_000 && cpu_ms !== undefined, JSON.stringify(end.usage))
  assert.deepEqual(await here.left(), [])
  const box = join(here.path, 'attempts', attempt.spec.attempt_id, 'box')
  assert.deepEqual(
    readdirSync(box).filter((name) => /^(io|spec|name)/.test(name)),
    [],
  )
  await attempts.close()
})

containerTest('its secrets are in its environment, and nowhere at the engine', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const spec = command('printf "%s" "$TOKEN" | wc -c; while [ ! -e go ]; do sleep 0.02; done', {
    secrets: { TOKEN: { secret: 'token', type: 'env' } as never },
  })
  const attempt = await attempts.start(spec, 1, { TOKEN: 'hold-this-back' })
  await until(async () => (await textOf(attempt)).includes('14'))
  const [id] = await here.left()
  const inspected = JSON.stringify(await new DockerApi().getContainer(id!).inspect())
  assert.doesNotMatch(inspected, /hold-this-back/)
  writeFileSync(inWorkspace(here.path, 'go'), '')
  assert.equal((await endOf(attempt)).outcome, 'success')
  await attempts.close()
})

for (const [what, spec, message] of [
  [
    'an image that no registry has',
    { image: '127.0.0.1:1/none:1' },
    /registry of 127\.0\.0\.1:1\/none:1 does not answer/,
  ],
  ['no image at all', { image: undefined }, /names no image/],
] as const)
  containerTest(`${what} is reported before anything starts`, async (t) => {
    const here = containerPlace(t, { image: undefined })
    const attempts = here.open()
    const reported = await attempts
      .start(command('true', spec), 1)
      .then(endOf)
      .then(({ outcome, reason, message }) => `${outcome} ${reason} ${message}`)
      .catch((error) => error.message)
    assert.match(reported, message)
    assert.deepEqual(await here.left(), [])
    await attempts.close()
  })

containerTest('a program that the image lacks is a start failure', async (t) => {
  const here = containerPlace(t)
  const box = here.boxes.box({ isolation: 'container', network: 'none', image: IMAGE }, here.path, 'program')
  await box.prepare()
  mkdirSync(join(here.path, 'work'))
  const launch = { argv: ['no-such-program'], cwd: join(here.path, 'work'), env: { PATH: '/bin' } }
  const { argv, cwd, env } = box.enclose(launch, { writable: [launch.cwd], readable: [] }, 'main')
  const [code] = await once(spawn(argv[0]!, argv.slice(1), { cwd, env, stdio: 'ignore' }), 'exit')
  assert.notEqual(code, 0)
  assert.equal(box.began('main'), false)
  assert.equal(box.whyNot?.('main'), `The program no-such-program is not in the image ${IMAGE}.`)
  assert.equal(await box.end(), true)
})

containerTest('a step over its memory limit is ended, with the figure', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const spec = command('awk \'BEGIN { s = "x"; while (1) s = s s }\'', {
    limits: { memory_bytes: 32 * 1024 ** 2 },
  })
  const end = await endOf(await attempts.start(spec, 1))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'oom'], JSON.stringify(end))
  assert.match(end.message ?? '', /^Out of memory: its processes used \d+(\.\d+)? MB of 32 MB\.$/)
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

containerTest('its processes and its cores are limited', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const spec = command('i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done; echo all', {
    limits: { processes: 20, cpus: 64 },
  })
  const attempt = await attempts.start(spec, 1)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'failed', JSON.stringify(end))
  assert.match(await textOf(attempt, 'stderr'), /can't fork/)
  await attempts.close()
})

containerTest('a canceled step has its grace period and last words, then all of it is gone', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const spec = command('trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done')
  const attempt = await attempts.start(spec, 1)
  await until(async () => (await textOf(attempt)) === 'up\n')
  attempt.cancel(60_000, 'canceled')
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'canceled')
  assert.equal(await textOf(attempt), 'up\nbye\n')
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

containerTest('a step that ignores signals is killed when its time is over', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open({ timeoutGraceMs: 50 })
  const cmd = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
  const attempt = await attempts.start(command(cmd), 1)
  await until(async () => (await textOf(attempt)) === 'up\n')
  attempt.cancel(50, 'canceled')
  assert.equal((await endOf(attempt)).outcome, 'canceled')
  const late = await attempts.start(command(cmd, { timeout_ms: 500 }), 1)
  const end = await endOf(late)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'timeout'], JSON.stringify(end))
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

containerTest('a container that somebody kills or removes is reported as killed', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  for (const ends of ['kill', 'remove'] as const) {
    const attempt = await attempts.start(command('echo up; while :; do sleep 0.05; done'), 1)
    await until(async () => (await textOf(attempt)) === 'up\n')
    const [id] = await here.left()
    const container = new DockerApi().getContainer(id!)
    await (ends === 'kill' ? container.kill() : container.remove({ force: true }))
    const end = await endOf(attempt)
    const outcome = [end.outcome, end.reason, end.signal]
    assert.deepEqual(outcome, ['failed', 'signal', 'SIGKILL'], `${ends}: ${JSON.stringify(end)}`)
    assert.deepEqual(await here.left(), [])
    await attempt.release()
  }
  await attempts.close()
})

/** Program of a runner in its own process, whose steps run in containers. */
const RUNNER = `
import { MachineContainers } from ${JSON.stringify(new URL('machine-containers.ts', import.meta.url).href)}
import { Boxes } from ${JSON.stringify(new URL('../sandbox/boxes.ts', import.meta.url).href)}
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
const [path, image, spec] = process.argv.slice(1)
const stateDir = path + '/sandbox'
const mounts = { writable: [], readable: [] }
const containers = new MachineContainers({ stateDir, env: process.env, image, mounts, hidden: [] })
const bubblewrap = { type: 'unusable', why: '', hint: '' }
const boxes = new Boxes({ stateDir, bubblewrap, least: 'container', network: 'none', hidden: [], containers })
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, boxes,
})
await attempts.recover()
await attempts.start(JSON.parse(spec), 1)
process.stdout.write('started')
setInterval(() => {}, 1000)
`

/** Starts it; the returned function kills it, like a power cut. */
async function otherRunner(path: string, spec: AttemptSpec) {
  const args = ['--input-type=module', '-e', RUNNER, path, IMAGE, JSON.stringify(spec)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  return async () => {
    child.kill('SIGKILL')
    await exited
  }
}

const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')

containerTest(
  'a step outlives its runner: all its output is there once, and so is its exit code',
  async (t) => {
    const here = containerPlace(t)
    const spec = command(
      'i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; [ $i = 100 ] && while [ ! -e go ]; do sleep 0.02; done; done; exit 5',
    )
    const kill = await otherRunner(here.path, spec)
    const stdout = join(here.path, 'attempts', spec.attempt_id, 'stdout')
    await until(() => read(stdout).endsWith('\n100\n'))
    await kill()
    const attempts = here.open()
    const [attempt] = await attempts.recover()
    assert.equal(attempt!.ended, false)
    writeFileSync(inWorkspace(here.path, 'go'), '')
    const end = await endOf(attempt!)
    assert.deepEqual([end.outcome, end.exit_code], ['failed', 5])
    assert.equal(await textOf(attempt!), Array.from({ length: 300 }, (_, i) => `${i + 1}\n`).join(''))
    assert.ok((end.usage?.peak_memory_bytes ?? 0) > 50_000)
    assert.deepEqual(await here.left(), [])
    await attempts.close()
  },
)

containerTest(
  'a step that ended without a runner has its exit code, and nothing of it is left',
  async (t) => {
    const here = containerPlace(t)
    const spec = command('echo up; while [ ! -e go ]; do sleep 0.02; done; echo late; exit 3')
    const kill = await otherRunner(here.path, spec)
    await until(() => read(join(here.path, 'attempts', spec.attempt_id, 'stdout')) === 'up\n')
    await kill()
    writeFileSync(inWorkspace(here.path, 'go'), '')
    await until(() => read(join(here.path, 'attempts', spec.attempt_id, 'exit')) !== '')
    assert.deepEqual(await here.left(), [])
    const attempts = here.open()
    const [attempt] = await attempts.recover()
    const end = await endOf(attempt!)
    assert.deepEqual([end.exit_code, await textOf(attempt!)], [3, 'up\nlate\n'])
    await attempts.close()
  },
)

containerTest('when the program outside is killed its container ends with the step', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const attempt = await attempts.start(command('echo up; while :; do sleep 0.05; done'), 1)
  await until(async () => (await textOf(attempt)) === 'up\n')
  const program = readdirSync('/proc').find(
    (pid) =>
      /^\d+$/.test(pid) &&
      /container-program/.test(read(`/proc/${pid}/cmdline`)) &&
      read(`/proc/${pid}/cmdline`).includes(here.path) &&
      !read(`/proc/${pid}/cmdline`).startsWith('/bin/sh'),
  )
  process.kill(Number(program), 'SIGKILL')
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.signal], ['failed', 'SIGKILL'])
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

containerTest('a starting runner removes what a crash left, but nothing that is in use', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const attempt = await attempts.start(command('echo up; while [ ! -e go ]; do sleep 0.02; done'), 1)
  await until(async () => (await textOf(attempt)) === 'up\n')
  const { Id } = await new DockerApi().client.ask<{ Id: string }>('POST', '/containers/create', {
    body: {
      Image: IMAGE,
      Cmd: ['sh'],
      Labels: { 'errand.box': here.containers.name, 'errand.box_folder': join(here.path, 'gone') },
    },
  })
  await here.boxes.sweep()
  const left = await here.left()
  assert.ok(left.length === 1 && !left.includes(Id))
  writeFileSync(inWorkspace(here.path, 'go'), '')
  assert.equal((await endOf(attempt)).outcome, 'success')
  await attempts.close()
})

containerTest('an engine that goes away in the middle loses nothing of the step', async (t) => {
  const cable = await EngineCable.open(t)
  const here = containerPlace(t, { env: { DOCKER_HOST: cable.address } })
  const attempts = here.open()
  const attempt = await attempts.start(
    command('echo up; while [ ! -e go ]; do sleep 0.02; done; echo over; exit 6'),
    1,
  )
  await until(async () => (await textOf(attempt)) === 'up\n' && cable.count(/\/wait$/) > 0)
  cable.pull()
  writeFileSync(inWorkspace(here.path, 'go'), '')
  // Its last words may be read once its container is gone, which needs the engine.
  await until(() => read(join(here.path, 'attempts', attempt.spec.attempt_id, 'exit')) !== '')
  cable.plug()
  const end = await endOf(attempt)
  assert.deepEqual([end.exit_code, await textOf(attempt)], [6, 'up\nover\n'])
  // The engine may have been away when its container was to be removed.
  await until(async () => (await here.left()).length === 0)
  await attempts.close()
})

containerTest('a refusal by the engine is reported with its reason', async (t) => {
  const cable = await EngineCable.open(t)
  const here = containerPlace(t, { env: { DOCKER_HOST: cable.address } })
  const attempts = here.open()
  assert.equal((await endOf(await attempts.start(command('true'), 1))).outcome, 'success')
  cable.on(/^POST .*\/start$/, { status: 500, message: 'driver failed: no space left on device' })
  const end = await endOf(await attempts.start(command('true'), 1))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'start_failed'], JSON.stringify(end))
  assert.match(end.message ?? '', /Docker could not start the container: its disk is full/)
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

async function unusable(t: TestContext, env: Record<string, string>): Promise<string> {
  const { containers } = containerPlace(t, { env })
  await containers.look()
  return containers.unusable ?? 'usable'
}

test('no engine and one on another machine give different errors', async (t) => {
  assert.match(
    await unusable(t, { DOCKER_HOST: 'unix:///nowhere/docker.sock' }),
    /^Docker is not reachable at \/nowhere/,
  )
  assert.match(await unusable(t, { DOCKER_HOST: 'tcp://127.0.0.1:1' }), /is on another machine/)
})

containerTest('an engine that hangs is reported', async (t) => {
  const cable = await EngineCable.open(t)
  cable.on(/^GET \/info$/, 'held')
  assert.match(
    await unusable(t, { DOCKER_HOST: cable.address }),
    /hangs: it did not describe itself within 2 s/,
  )
})

containerTest('its workspace limits what it may write', async (t) => {
  const here = containerPlace(t)
  const attempts = here.open()
  const spec = command('dd if=/dev/zero of=big bs=1M count=64 2>/dev/null; while :; do sleep 0.1; done', {
    limits: { disk_bytes: 8 * 1024 ** 2 },
  })
  const end = await endOf(await attempts.start(spec, 1))
  assert.deepEqual([end.outcome, end.reason], ['failed', 'quota'], JSON.stringify(end))
  assert.match(end.message ?? '', /^Disk limit exceeded: its workspace uses \d+ MB of 8 MB\.$/)
  assert.deepEqual(await here.left(), [])
  await attempts.close()
})

containerTest('the watch reports that an engine comes and goes', async (t) => {
  const cable = await EngineCable.open(t)
  const { boxes } = containerPlace(t, { env: { DOCKER_HOST: cable.address } })
  const reported: string[] = []
  const look = async () => {
    const watch = boxes.watch(({ container }) => reported.push(container.usable ? 'usable' : 'not'))
    const before = reported.length
    await until(() => reported.length > before)
    watch.close()
  }
  await look()
  cable.pull()
  await look()
  cable.plug()
  await look()
  assert.deepEqual(reported, ['usable', 'not', 'usable'])
})
