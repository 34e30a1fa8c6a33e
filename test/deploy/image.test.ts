import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { parse } from 'yaml'
import { botNetworkFor } from '../support/docker/bot-network.ts'
import { type ComposeUp, composeHere, composeUp } from '../support/docker/compose.ts'
import {
  baseImage,
  dockerFor,
  dockerHere,
  labelled,
  noteMade,
  removeLabelled,
} from '../support/docker/docker.ts'
import type { ContainerApi } from '../support/docker/docker-api.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { inside } from '../support/docker/inside.ts'
import { eventually } from '../support/errand-command.ts'
import { freePort, workflowText } from '../support/programs.ts'

const root = join(import.meta.dirname, '../..')
const deploy = join(root, 'deploy')
const compose = await composeHere()
const skip =
  (await dockerHere()) ||
  (compose === undefined && "there is no docker compose (Debian's package docker-compose)")

test('hub and runners of the compose files run a workflow, stop on request, and continue afterwards', {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const folder = mkdtempSync(join(tmpdir(), 'errand-deploy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { engine } = docker
  const image = await errandImage()
  const sizeMb = async (name: string) => Math.round((await engine.getImage(name).inspect()).Size / 1e6)
  const base = await baseImage('node:24-slim')
  t.diagnostic(`image: ${await sizeMb(image)} MB, of which its base ${await sizeMb(base)} MB`)
  const { Config } = await engine.getImage(image).inspect()
  assert.equal(Config.User, 'errand')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  assert.equal(Config.Labels['errand.runner-version'], version, 'a hub reads the version from this label')
  assert.equal((Config as { Healthcheck?: { Test: string[] } }).Healthcheck?.Test[0], 'CMD')

  const up = async (
    file: string,
    more: Pick<ComposeUp, 'beside' | 'env' | 'services' | 'volumes' | 'network'>,
  ) =>
    await composeUp({
      compose: compose!,
      docker,
      folder,
      file: join(deploy, file),
      ...more,
      env: {
        ERRAND_IMAGE: image,
        DOCKER_GID: String(statSync('/var/run/docker.sock').gid),
        ...more.env,
      },
    })
  const containerOf = async (project: string, service: string) => {
    const label = [`com.docker.compose.project=${project}`, `com.docker.compose.service=${service}`]
    const [found] = await engine.listContainers({ all: true, filters: { label } })
    return engine.getContainer(found!.Id)
  }

  const hubProject = await up('compose.yaml', {
    env: { ERRAND_LISTEN: `127.0.0.1:${await freePort()}` },
    services: ['hub'],
    volumes: ['hub-data'],
  })
  const network = `${hubProject}_default`
  const hub = await containerOf(hubProject, 'hub')
  const healthy = async (container: ContainerApi): Promise<boolean> => {
    try {
      await inside(container, ['node', '/opt/errand/deploy/healthcheck.mjs'])
      return true
    } catch {
      const { RestartCount, State } = await container.inspect()
      const log = async () => (await container.logs({ stdout: true, stderr: true })).toString()
      assert.ok(RestartCount === 0 && State.Running, `it has ended: ${await log()}`)
      return false
    }
  }
  await eventually('the health of the hub', () => healthy(hub))
  await assert.rejects(inside(hub, ['touch', '/opt/errand/new']), /Read-only file system/)

  const enroll = JSON.parse(await inside(hub, ['errand', 'runners', 'enroll-token', '--json']))
  const oneRunner = {
    env: { ERRAND_HUB_URL: 'http://hub:3000', ERRAND_ENROLL_TOKEN: enroll.token },
    ...{ services: ['runner'], volumes: ['workspace'], network },
  }
  const runnerProject = await up('compose.runner.yaml', oneRunner)
  let runner = await containerOf(runnerProject, 'runner')
  const connected = async (): Promise<string[]> =>
    (
      JSON.parse(await inside(hub, ['errand', 'runners', 'list', '--json'])) as {
        id: string
        status: string
      }[]
    )
      .filter(({ status }) => status === 'connected')
      .map(({ id }) => id)
      .sort()
  await eventually('the runner', async () => (await connected()).includes('runner-001'))
  assert.ok(await healthy(runner))
  const ask = "{socketPath: '/var/run/docker.sock', path: '/_ping'}"
  const ping = `require('http').get(${ask}, (answer) => console.log(answer.resume().statusCode))`
  await assert.rejects(inside(runner, ['node', '-e', ping]), /ENOENT/, 'it does not reach Docker')

  // The options that steps in a sandbox need, as Compose v2 passes them to the engine from the same file.
  const { security_opt, cap_drop } = parse(readFileSync(join(deploy, 'compose.runner.yaml'), 'utf8')).services
    .runner
  const profile = readFileSync(join(deploy, 'seccomp-sandbox.json'), 'utf8')
  const options = (security_opt as string[]).filter((each) => !each.startsWith('systempaths='))
  const boxed = await engine.createContainer({
    Image: image,
    name: docker.name('boxed'),
    Labels: docker.labels,
    HostConfig: {
      SecurityOpt: options.map((each) => each.replace(/^seccomp:.*/, `seccomp=${profile}`)),
      ...{ MaskedPaths: [], ReadonlyPaths: [], CapDrop: cap_drop, NetworkMode: 'none' },
    },
  })
  await boxed.start()
  const script = 'echo "boxed as $(id -u)"; ls -A /var/lib/errand'
  const inSandbox = workflowText([{ name: 'in', cmd: script }], { isolation: 'sandbox' })
  const run = 'mkdir -p work && cd work && errand run -'
  const seen = await inside(boxed, ['sh', '-c', run], inSandbox)
  assert.match(seen, /boxed as 1000/)
  assert.match(seen, /success in/)
  // Its configuration does not make it reachable.
  const closed = await engine.createContainer({
    Image: image,
    name: docker.name('closed'),
    Labels: docker.labels,
    HostConfig: { NetworkMode: network },
  })
  await closed.start()
  await eventually('the health of the closed hub', () => healthy(closed))
  const log = await closed.logs({ stdout: true, stderr: true })
  assert.match(log.toString(), /Only this container can reach it.*ERRAND_ADDR as deploy\/compose\.yaml does/)
  const fromOutside = `fetch('http://${docker.name('closed')}:3000/health')`
  await assert.rejects(inside(runner, ['node', '-e', fromOutside]), /ECONNREFUSED/)

  const flow = workflowText([{ name: 'who', cmd: 'echo "user $(id -u), $(git --version)"' }])
  const runFlow = () => inside(hub, ['errand', 'run', '--hub', '-'], flow)
  assert.match(await runFlow(), /user 10001, git version/)

  // The same runner with Docker's socket, under the same names. It is already enrolled.
  await up('compose.runner.yaml', { ...oneRunner, beside: [join(deploy, 'compose.runner-docker.yaml')] })
  runner = await containerOf(runnerProject, 'runner')
  await eventually('the runner with Docker', async () => (await connected()).includes('runner-001'))
  assert.equal(await inside(runner, ['node', '-e', ping]), '200\n', 'it reaches Docker')

  for (const container of [runner, hub]) {
    await container.stop({ t: 60 })
    const { State } = await container.inspect()
    assert.equal(State.ExitCode, 0, 'it ended by itself')
  }
  // Its enrolment token is used up. Its own token is in its volume.
  await hub.start()
  await runner.start()
  await eventually('the hub again', () => healthy(hub))
  await eventually('the runner again', async () => (await connected()).includes('runner-001'))
  assert.match(await runFlow(), /user 10001/)

  await runner.stop()
  const { token } = JSON.parse(
    await inside(hub, ['errand', 'tokens', 'create', 'fleet', '--scope', 'runner', '--json']),
  )
  await up('compose.runners.yaml', {
    env: { ERRAND_HUB_URL: 'http://hub:3000', ERRAND_TOKEN: token },
    services: ['runner-001', 'runner-002'],
    volumes: ['workspace-001', 'workspace-002'],
    network,
  })
  await eventually('both runners', async () => (await connected()).join() === 'runner-001,runner-002')

  // The runner can run bots with the variables of the bot runner.
  const bot_id = docker.name('bot')
  const made = `errand.bot=${bot_id}`
  noteMade('label', made)
  t.after(() => removeLabelled(made))
  const { DOCKER_NETWORK } = botNetworkFor(t)
  const port = await freePort()
  const clientToken = randomBytes(16).toString('hex')
  const botsProject = await up('compose.bots.yaml', {
    env: {
      ERRAND_LISTEN: `127.0.0.1:${port}`,
      ORCHESTRATOR_URL: `http://127.0.0.1:${port}`,
      CLIENT_TOKEN: clientToken,
      GLOBAL_WORKER_TOKEN: randomBytes(16).toString('hex'),
      MAX_BOTS_PER_USER: '1',
      WORKER_ID: 'worker-7',
      DOCKER_NETWORK,
      BASE_IMAGE: await baseImage('python:3.11-slim'),
    },
    services: ['hub', 'worker'],
    volumes: ['hub-data', 'workspace'],
  })
  const worker = await containerOf(botsProject, 'worker')
  const job = async (data: object) => {
    const response = await fetch(`http://127.0.0.1:${port}/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${clientToken}` },
      body: JSON.stringify({ blueprint: 'bot_runner', data }),
    })
    return await response.text()
  }
  const code = 'import time\nprint("I am up", flush=True)\ntime.sleep(1000)'
  const start = { action: 'start', deployment_mode: 'simple', code, env_vars: { BOT_TOKEN: 'a-token-of-it' } }
  await eventually(
    'the hub',
    async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.ok,
  )
  assert.match(await job({ ...start, bot_id }), /"status":"running"/)
  assert.match(await job({ ...start, bot_id: 'other' }), /"QUOTA_EXCEEDED","message":"Maximum 1 bot"/)
  await eventually('its first line', async () => /I am up/.test(await job({ action: 'logs', bot_id })))
  assert.match(await job({ action: 'status', bot_id }), /"runner":"worker-7"/)
  await worker.restart({ t: 30 })
  assert.match(await job({ action: 'stop', bot_id }), /"status":"(running|success)"/)
  await eventually('the end of its container', async () => (await labelled(made)).containers.length === 0)
})
