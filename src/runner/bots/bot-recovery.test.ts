import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, globSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { type BotPlace, botPlace } from '../../../test/support/docker/bot-place.ts'
import { baseImage, dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import { startImageRegistry } from '../../../test/support/docker/image-registry.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { filesWithSecrets, found, fromHub, token } from '../../../test/support/runner/secret-fixture.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'

const skip = await dockerHere()
const source = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)

/** Program of a runner in its own process, which starts one bot or finds it again. */
const RUNNER = `
import { openAttempts } from ${source('../open-attempts.ts')}
import { builtinActionRegistry } from ${source('../../actions/registry.ts')}
import { BotServices } from ${source('./bot-services.ts')}
import { connectDocker } from ${source('../docker/connected-docker.ts')}
import { prepareImage } from ${source('./images/prepare-image.ts')}
const [path, spec, values] = process.argv.slice(1)
const bots = new BotServices({
  stateDir: path + '/bots', env: process.env, connect: connectDocker, prepareImage,
})
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, bots,
})
const held = await attempts.recover()
if (held.length === 0) await attempts.start(JSON.parse(spec), 1, JSON.parse(values))
process.stdout.write('started')
`

/** Runs it, and kills it like a power cut once the condition holds. */
async function killedRunner(
  here: BotPlace,
  spec: AttemptSpec,
  condition: () => boolean | Promise<boolean>,
  values: Record<string, string> = {},
) {
  const args = ['--input-type=module', '-e', RUNNER, here.path, JSON.stringify(spec), JSON.stringify(values)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], env: here.env })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  await until(condition)
  child.kill('SIGKILL')
  await exited
}

test('a runner killed before the pull still pulls with the password, which is then deleted', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const registry = await startImageRegistry(t)
  const { address, username, password } = registry
  here.env.ERRAND_REGISTRY_ALLOW = address
  const docker = dockerFor(t)
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  const image = `${address}/own/bot:v1`
  await container.commit({ repo: `${address}/own/bot`, tag: 'v1' })
  const authconfig = { username, password, serveraddress: address }
  await text(await docker.engine.getImage(image).push({ authconfig }))
  await docker.engine.getImage(image).remove()

  const registry_auth = { username, password_secret: 'PASSWORD' }
  const spec = here.bot(
    'env; while :; do echo "my token is $TOKEN"; sleep 0.1; done',
    { source: { mode: 'image', image, registry_auth } },
    { secrets: { TOKEN: fromHub('TOKEN'), PASSWORD: fromHub('PASSWORD') } },
  )
  const withPassword = () =>
    globSync('**/*', { cwd: here.path, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).includes(password))
  registry.pause()
  const reports = join(here.path, 'attempts', spec.attempt_id, 'reports')
  const pulls = () => existsSync(reports) && readFileSync(reports, 'utf8').includes('"pulling"')
  await killedRunner(here, spec, pulls, { TOKEN: token, PASSWORD: password })
  assert.equal(withPassword().length, 1)
  registry.resume()
  await killedRunner(here, spec, () => bytesIn(here, spec) > 100)
  assert.deepEqual(withPassword(), [])
  const before = await here.containers()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const known = attempt!.length('stdout')
  await until(() => attempt!.length('stdout') > known)
  assert.deepEqual(await here.containers(), before)
  attempt!.cancel(1, 'canceled')
  assert.equal((await endOf(attempt!)).outcome, 'canceled')
  const printed = await textOf(attempt!)
  assert.match(printed, /^TOKEN=\*\*\*$/m)
  assert.match(printed, /(my token is \*\*\*\n)+$/)
  assert.doesNotMatch(printed, /PASSWORD/)
  await attempts.close()
})

const bytesIn = (here: BotPlace, spec: AttemptSpec, file = 'stdout'): number => {
  const path = join(here.path, 'attempts', spec.attempt_id, file)
  return existsSync(path) ? statSync(path).size : 0
}

test('one killed runner after another recovers a chatty bot, and no line is missing or doubled', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const script = `
    i=0
    while [ $i -lt 10000 ]; do
      i=$((i+1)); echo "line $i of the output"; echo "line $i of the errors" >&2
      [ $((i % 50)) = 0 ] && sleep 0.05
    done; printf 'no newline'`
  const spec = here.bot(script)
  for (const bytes of [1, 40_000, 90_000]) await killedRunner(here, spec, () => bytesIn(here, spec) > bytes)
  const [before] = await here.containers()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.deepEqual(await here.containers(), [before])
  const end = await endOf(attempt!)
  assert.equal(end.outcome, 'success', end.message)
  const lines = (of: string) =>
    Array.from({ length: 10_000 }, (_, n) => `line ${n + 1} of the ${of}\n`).join('')
  assert.ok((await textOf(attempt!)) === `${lines('output')}no newline`)
  assert.ok((await textOf(attempt!, 'stderr')) === lines('errors'))
  assert.equal(
    end.streams!.stdout!.sha256,
    createHash('sha256')
      .update(`${lines('output')}no newline`)
      .digest('hex'),
  )
  assert.equal(
    attempt!.reports.filter((report) => report.type === 'phase' && report.phase === 'running').length,
    1,
  )
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a bot that ended without a runner is reported, and its log is complete', { skip }, async (t) => {
  const here = await botPlace(t)
  const spec = here.bot('echo one; sleep 1; echo two; exit 4')
  await killedRunner(here, spec, () => bytesIn(here, spec) > 0)
  const [id] = await here.containers()
  await new DockerApi().getContainer(id!).wait()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.exit_code], ['failed', 4])
  assert.equal(await textOf(attempt!), 'one\ntwo\n')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('after its machine reboots a bot restarts in its own container', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const args = { restart: { policy: 'on-failure', max_restarts: 3 } }
  const spec = here.bot('echo begun; while :; do sleep 0.1; done', args)
  await killedRunner(here, spec, () => bytesIn(here, spec) > 0)
  const [id] = await here.containers()
  // The machine does this in a boot, and Docker reports it then.
  await new DockerApi().getContainer(id!).kill()
  rmSync(join(here.path, 'attempts.storage'))
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  await until(async () => (await textOf(attempt!)) === 'begun\nbegun\n')
  assert.deepEqual(await here.containers(), [id])
  attempt!.cancel(1, 'canceled')
  assert.equal((await endOf(attempt!)).outcome, 'canceled')
  await attempts.close()
})

test('a container that someone renamed is recovered all the same', { skip }, async (t) => {
  const here = await botPlace(t)
  const spec = here.bot('echo one; sleep 3; echo two; exit 4')
  await killedRunner(here, spec, () => bytesIn(here, spec) > 0)
  const [id] = await here.containers()
  await new DockerApi().getContainer(id!).rename({ name: `errand-test-${id!.slice(0, 12)}` })
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const end = await endOf(attempt!)
  assert.deepEqual([end.outcome, end.exit_code], ['failed', 4], end.message)
  assert.equal(await textOf(attempt!), 'one\ntwo\n')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a runner that closes leaves its bots running, and the next one masks their further output', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const spec = here.bot(
    'while :; do echo "my token is $TOKEN"; sleep 0.1; done',
    {},
    {
      secrets: { TOKEN: fromHub('TOKEN') },
    },
  )
  const first = here.open()
  const started = await first.start(spec, 1, { TOKEN: token })
  await until(() => started.length('stdout') > 100)
  const [before] = await here.containers()
  await first.close()
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  const known = attempt!.length('stdout')
  await until(() => attempt!.length('stdout') > known + 200)
  assert.deepEqual(await here.containers(), [before])
  attempt!.cancel(1, 'canceled')
  const end = await endOf(attempt!)
  assert.equal(end.outcome, 'canceled')
  assert.match(await textOf(attempt!), /^(my token is \*\*\*\n)+$/)
  assert.deepEqual(found(JSON.stringify(attempt!.reports)), [])
  assert.deepEqual(filesWithSecrets(here.path), [])
  await attempts.close()
})

test('after a runner is killed during a stop the next one completes it, and the bot is canceled', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const spec = here.bot('trap "" TERM; echo up; while :; do sleep 0.1; done')
  const first = here.open()
  const started = await first.start(spec, 1)
  await until(() => started.length('stdout') > 0)
  started.cancel(1, 'canceled')
  await first.close()
  assert.match(readFileSync(join(here.path, 'attempts', spec.attempt_id, 'reports'), 'utf8'), /"cause"/)
  const attempts = here.open()
  const [attempt] = await attempts.recover()
  assert.equal((await endOf(attempt!)).outcome, 'canceled')
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('a container that was created but not recorded is replaced, and one without an attempt is removed', {
  skip,
}, async (t) => {
  const here = await botPlace(t)
  const spec = here.bot('echo here')
  const engine = await here.services.engine()
  await here.services.networkReady(engine)
  const container = (attempt: string, bot: string) =>
    engine.create({
      name: `errand-test-${attempt}-${bot}`,
      image: (spec.args.source as { image: string }).image,
      env: {},
      limits: { memoryBytes: 2 ** 26, cpus: 1, processes: 10, tmpBytes: 2 ** 20 },
      logBytes: 2 ** 20,
      stopGraceSeconds: 1,
      labels: { runner: here.services.runner, attempt, bot },
    })
  await container(spec.attempt_id, 'half')
  await container('run_none.1', 'orphan')
  const attempts = here.open()
  const attempt = await attempts.start(spec, 1)
  assert.equal((await endOf(attempt)).outcome, 'success')
  const left = await engine.containers({ runner: here.services.runner })
  assert.deepEqual(
    left.map(({ labels }) => labels.bot),
    ['orphan'],
  )
  const { BotSweeps } = await import('./bot-sweeps.ts')
  const lines: string[] = []
  const sweeps = new BotSweeps({
    services: here.services,
    holds: (id) => attempts.get(id) !== undefined,
    log: (text) => void lines.push(text),
  })
  await sweeps.sweep()
  await sweeps.close()
  assert.match(lines.join(), /Removed container .*orphan, which belongs to no attempt on this runner/)
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})
