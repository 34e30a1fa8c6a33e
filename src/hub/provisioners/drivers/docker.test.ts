import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import {
  dockerFor,
  dockerHere,
  labelled,
  noteMade,
  removeLabelled,
} from '../../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../../test/support/docker/docker-api.ts'
import { EngineCable } from '../../../../test/support/docker/engine-cable.ts'
import { startImageRegistry } from '../../../../test/support/docker/image-registry.ts'
import { OwnEngine, ownEngineHere } from '../../../../test/support/docker/own-engine.ts'
import { eventually } from '../../../../test/support/errand-command.ts'
import { needOf, provisionerSuite } from '../../../../test/support/provisioners/conformance.ts'
import { scriptedImage } from '../../../../test/support/provisioners/scripted-image.ts'
import { newHubId } from '../names.ts'
import { DockerProvisioner, type DockerProvisionerOptions } from './docker.ts'

const skip = await dockerHere()
/** Never aborted: no caller cuts these calls off. */
const { signal } = new AbortController()

/** Opens the driver of a hub. Everything it makes is removed with the test. */
async function opened(t: TestContext, change: Partial<DockerProvisionerOptions> = {}) {
  const hub = newHubId()
  noteMade('label', `errand.hub=${hub}`)
  t.after(() => removeLabelled(`errand.hub=${hub}`))
  const image = change.image ?? (await scriptedImage(t))
  const again = () =>
    new DockerProvisioner({
      ...{ hub, image, env: process.env, docker_network: 'host', graceMs: 5_000 },
      ...change,
    })
  const engine = new DockerApi()
  return {
    ...{ provisioner: again(), hub, again, image, engine },
    count: async (name: string) =>
      (await engine.listContainers({ filters: { label: [`errand.made-runner=${name}`] } })).length,
    kill: (name: string) => engine.getContainer(name).kill(),
    left: () => labelled(`errand.hub=${hub}`),
  }
}

const NOTHING = { containers: [], networks: [], volumes: [], images: [] }
/** Returns a need whose runner runs the given commands. */
const bodyOf = (hub: string, BODY: string) => {
  const need = needOf(hub)
  return { ...need, env: { ...need.env, BODY } }
}

if (skip === false) provisionerSuite('docker', opened)
else test('docker', { skip }, () => {})

test('a runner has the limits of its group, and group texts appear only in labels and environment', {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const volume = docker.name('cache')
  const folder = mkdtempSync(join(tmpdir(), 'errand-mounted-'))
  chmodSync(folder, 0o777)
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { provisioner, hub, engine, left } = await opened(t, {
    memory: '64MB',
    cpus: 0.5,
    volumes: [`${folder}:/given:ro`, `${volume}:/cache`],
  })
  // It is removed after the containers, because it was made later.
  await docker.engine.createVolume({ Name: volume, Labels: docker.labels })
  const need = bodyOf(hub, 'touch /var/lib/errand/x /given/y; id -u; exec sleep 600')
  await provisioner.provision(need, signal)
  const there = await engine.getContainer(need.name).inspect()
  const { Memory, MemorySwap, NanoCpus, CapDrop, SecurityOpt, Init, Privileged } = there.HostConfig
  assert.deepEqual(
    { Memory, MemorySwap, NanoCpus, CapDrop, SecurityOpt, Init, Privileged },
    {
      ...{ Memory: 64 * 1024 ** 2, MemorySwap: 64 * 1024 ** 2, NanoCpus: 5e8, Init: true },
      ...{ CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'], Privileged: false },
    },
  )
  const { 'errand.group': group, 'errand.hub': of, 'errand.epoch': epoch } = there.Config.Labels
  assert.deepEqual({ group, of, epoch }, { group: 'builders', of: hub, epoch: '1' })
  for (const set of ['ERRAND_ENROLL_TOKEN=errand_enroll_none', 'ERRAND_MADE_BOX=container'])
    assert.ok(there.Config.Env.includes(set))
  assert.ok(!JSON.stringify([there.Config.Cmd, there.Config.Labels]).includes('errand_enroll'))
  const log = async () =>
    (await engine.getContainer(need.name).logs({ stdout: true, stderr: true })).toString()
  await eventually('its user', async () => /10001/.test(await log()))
  assert.match(await log(), /given\/y: Read-only file system/)
  assert.doesNotMatch(await log(), /errand\/x/)
  assert.equal((await left()).volumes.length, 1)
  await provisioner.remove(need.name, signal)
  assert.deepEqual(await left(), NOTHING)
  assert.equal(
    (await labelled(`errand.test=${docker.labels['errand.test']}`)).volumes.length,
    1,
    'the volume does not belong to the runner',
  )
})

test('reports how an ended runner ended: its code, its last output, out of memory, or over its time', {
  skip,
}, async (t) => {
  const { provisioner, hub, left } = await opened(t, { memory: '16MB' })
  const cases: [string, RegExp, number?][] = [
    ['echo the hub is not there >&2; exit 4', /^It ended with exit code 4: the hub is not there$/],
    ['exit 0', /^It ended with exit code 0\.$/],
    [
      // It stays alive for a moment: an engine misses what happened in a group that is gone at once.
      `sh -c 'x=$(head -c 60000000 /dev/zero | tr "\\0" x)'; code=$?; sleep 1; exit $code`,
      /^It ran out of memory: its limit is 16MB\.$/,
    ],
    [
      'kill -KILL $$',
      /^It ended with exit code 137 \(killed, perhaps for lack of memory: its limit is 16MB\)\.$/,
    ],
    ['exec sleep 600', /^Its time limit was reached\.$/, 1],
  ]
  for (const [body, message, deadlineMs] of cases) {
    const need = { ...bodyOf(hub, body), ...(deadlineMs && { deadlineMs }) }
    await provisioner.provision(need, signal)
    const found = await eventually('its end', async () =>
      (await provisioner.find(signal)).find(({ name, state }) => name === need.name && state === 'ended'),
    )
    assert.match(found.message!, message)
    assert.equal(found.reason, /^It ran out of memory/.test(found.message!) ? 'oom' : undefined)
    await provisioner.remove(need.name, signal)
  }
  assert.deepEqual(await left(), NOTHING)
})

test('reports each obstacle to a runner and what to do, permanently if it will not go away', {
  skip,
}, async (t) => {
  const image = await scriptedImage(t)
  const plain = await scriptedImage(t, { label: 'some=label' })
  const cases: [Partial<DockerProvisionerOptions>, RegExp, boolean][] = [
    [{ image: plain }, /does not contain an Errand runner/, true],
    [{ image: 'errand.test/none', pull: 'never' }, /Docker has no image errand\.test\/none/, true],
    [{ image: 'UPPER/Case' }, /invalid reference format/, true],
    [{ image, volumes: ['/no/such/folder:/x'] }, /bind source path does not exist: \/no\/such\/folder/, true],
    [{ image, docker_network: 'no-such-network' }, /network no-such-network not found/, true],
    [{ image, docker_network: 'bridge' }, /Containers cannot reach the hub at http:\/\/127/, true],
    [{ image, memory: '1MB' }, /Minimum memory limit/, true],
    [
      { image, env: { DOCKER_HOST: 'unix:///no/such.sock' } },
      /Docker is not reachable at \/no\/such\.sock/,
      false,
    ],
    [
      { image, env: { DOCKER_HOST: 'tcp://127.0.0.1:1', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/none' } },
      /cannot be used: \S+ca\.pem cannot be read: ENOENT.*[^.]\.$/,
      true,
    ],
  ]
  for (const [change, message, permanent] of cases) {
    const { provisioner, hub, left } = await opened(t, { image, ...change })
    const need = needOf(hub)
    const at = message.source.includes('127') ? need.env.ERRAND_HUB_URL : 'http://192.0.2.1:9'
    const request = provisioner.provision({ ...need, env: { ...need.env, ERRAND_HUB_URL: at! } }, signal)
    await assert.rejects(request, { message, permanent }, String(message))
    if (change.env === undefined) {
      await provisioner.remove(need.name, signal)
      assert.deepEqual(await left(), NOTHING)
    }
  }
})

test('never touches a container that someone else created, whatever its name', {
  skip,
}, async (t) => {
  const { provisioner, hub, image, engine } = await opened(t)
  const docker = dockerFor(t)
  const need = needOf(hub)
  const other = await engine.createContainer({ name: need.name, Image: image, Labels: docker.labels })
  await assert.rejects(provisioner.provision(need, signal), /Docker already has another container named/)
  assert.deepEqual(await provisioner.find(signal), [])
  await provisioner.remove(need.name, signal)
  assert.equal((await other.inspect()).State.Status, 'created')
})

test("two hubs on one engine leave each other's containers alone, even while one ends", {
  skip,
}, async (t) => {
  const [one, other] = [await opened(t), await opened(t)]
  const [mine, theirs] = [needOf(one.hub), needOf(other.hub)]
  await Promise.all([one.provisioner.provision(mine, signal), other.provisioner.provision(theirs, signal)])
  await other.kill(theirs.name)
  assert.deepEqual(
    (await one.provisioner.find(signal)).map(({ name }) => name),
    [mine.name],
  )
  await one.provisioner.remove(theirs.name, signal)
  await one.provisioner.remove(mine.name, signal)
  assert.deepEqual(await one.left(), NOTHING)
  assert.deepEqual(
    (await other.provisioner.find(signal)).map(({ name, state }) => [name, state]),
    [[theirs.name, 'ended']],
  )
})

test('removes a hanging container anyway: paused, ignoring its signal, or being removed', {
  skip,
}, async (t) => {
  const { provisioner, hub, engine, left } = await opened(t, { graceMs: 500 })
  const paused = needOf(hub)
  await provisioner.provision(paused, signal)
  await engine.client.ask('POST', `/containers/${paused.name}/pause`)
  assert.deepEqual(await provisioner.find(signal), [{ name: paused.name, state: 'running' }])
  const deaf = bodyOf(hub, 'trap "" TERM; while :; do sleep 1; done')
  await provisioner.provision(deaf, signal)
  const going = needOf(hub)
  await provisioner.provision(going, signal)
  const removal = engine.getContainer(going.name).remove({ force: true })
  await Promise.all([paused, deaf, going].map(({ name }) => provisioner.remove(name, signal)))
  await removal.catch(() => {})
  assert.deepEqual(await left(), NOTHING)
})

test('starts a container that was created but not started, and cleans up after one removed by hand', {
  skip,
}, async (t) => {
  const { provisioner, hub, image, engine, left } = await opened(t)
  const need = needOf(hub)
  await provisioner.provision(need, signal)
  const { Config, HostConfig } = await engine.getContainer(need.name).inspect()
  await provisioner.remove(need.name, signal)
  // A hub that is killed between the two calls leaves this.
  const lasting = { Entrypoint: ['sleep', '600'], Cmd: [] }
  await engine.createContainer({
    name: need.name,
    Image: image,
    Labels: Config.Labels,
    HostConfig,
    ...lasting,
  })
  assert.deepEqual(await provisioner.find(signal), [{ name: need.name, state: 'starting' }])
  await provisioner.provision(need, signal)
  assert.deepEqual(await provisioner.find(signal), [{ name: need.name, state: 'running' }])
  await engine.getContainer(need.name).remove({ force: true })
  assert.equal((await left()).volumes.length, 1)
  assert.deepEqual(await provisioner.find(signal), [
    { name: need.name, state: 'ended', message: 'Its container was removed.' },
  ])
  await Promise.all([provisioner.remove(need.name, signal), provisioner.remove(need.name, signal)])
  assert.deepEqual(await left(), NOTHING)
})

test('a container removed by hand between creation and start is a failed start that can be retried', {
  skip,
}, async (t) => {
  const cable = await EngineCable.open(t)
  const { provisioner, hub, engine, left } = await opened(t, { env: { DOCKER_HOST: cable.address } })
  const need = needOf(hub)
  cable.on(/^POST .*\/start$/, 'held')
  const request = assert.rejects(provisioner.provision(need, signal), {
    message: `The container ${need.name} was removed before it started.`,
    ...{ end: 'failed', permanent: false },
  })
  await eventually('its start', () => cable.count(/^POST .*\/start$/) === 1)
  await engine.getContainer(need.name).remove({ force: true })
  cable.release()
  await request
  await provisioner.remove(need.name, signal)
  assert.deepEqual(await left(), NOTHING)
  await provisioner.provision(need, signal)
  assert.deepEqual(await provisioner.find(signal), [{ name: need.name, state: 'running' }])
})

test('pulls an image from its registry, and reports why that fails', { skip }, async (t) => {
  const registry = await startImageRegistry(t)
  const docker = dockerFor(t)
  const name = `${registry.address}/runner:1`
  const { image } = await opened(t)
  await docker.engine.client.ask('POST', `/images/${image}/tag`, {
    query: { repo: `${registry.address}/runner`, tag: '1' },
  })
  t.after(() =>
    docker.engine
      .getImage(name)
      .remove()
      .catch(() => {}),
  )
  const { address, username, password } = registry
  const authconfig = { username, password, serveraddress: address }
  assert.doesNotMatch(await text(await docker.engine.getImage(name).push({ authconfig })), /"error"/)
  await docker.engine.getImage(name).remove()
  const config = mkdtempSync(join(tmpdir(), 'errand-logins-'))
  t.after(() => rmSync(config, { recursive: true, force: true }))
  const logIn = (text: string) => {
    const auth = Buffer.from(text).toString('base64')
    writeFileSync(join(config, 'config.json'), JSON.stringify({ auths: { [address]: { auth } } }))
  }
  const env = { ...process.env, DOCKER_CONFIG: config }
  const { provisioner, hub } = await opened(t, { image: name, env })
  const refusal = { permanent: true, end: 'refused' }
  await assert.rejects(provisioner.provision(needOf(hub), signal), {
    ...refusal,
    message: `The registry ${address} did not provide ${name}: it does not exist, or needs credentials.`,
    hint: `${config}/config.json does not exist: log in with: docker login ${address}.`,
  })
  logIn(`${username}:wrong-one`)
  await assert.rejects(provisioner.provision(needOf(hub), signal), {
    ...refusal,
    message: `The registry ${address} refuses the credentials for ${name}.`,
    hint: `Log in again, as the hub's user: docker login ${address}`,
  })
  logIn(`${username}:${password}`)
  const need = needOf(hub)
  await provisioner.provision(need, signal)
  assert.deepEqual(await provisioner.find(signal), [{ name: need.name, state: 'running' }])
  await provisioner.remove(need.name, signal)
  await docker.engine.getImage(name).remove()
  registry.pause()
  const silent = await opened(t, { image: name, pullSilenceMs: 300 })
  await assert.rejects(silent.provisioner.provision(needOf(silent.hub), signal), {
    message: /could not be pulled: no data arrived for 0\.3 s/,
    permanent: false,
  })
  registry.resume()
})

const ownEngine = skip || (await ownEngineHere())

test('reports an engine that is killed, stopped or hangs, and finds its runners when it is back', {
  skip: ownEngine,
}, async (t) => {
  const engine = await OwnEngine.start(t)
  const image = await scriptedImage(t)
  await engine.take(image)
  const { provisioner, hub } = await opened(t, { image, env: { DOCKER_HOST: engine.address } })
  const need = needOf(hub)
  await provisioner.provision(need, signal)
  await engine.kill()
  await assert.rejects(provisioner.find(signal), { message: /Docker is not reachable/, permanent: false })
  await assert.rejects(provisioner.provision(needOf(hub), signal), /Docker is not reachable/)
  await assert.rejects(provisioner.remove(need.name, signal), /Docker is not reachable/)
  await engine.begin()
  const [found] = await provisioner.find(signal)
  assert.equal(found?.name, need.name)
  await provisioner.remove(need.name, signal)
  assert.deepEqual(await provisioner.find(signal), [])
  const second = needOf(hub)
  await provisioner.provision(second, signal)
  await engine.stop()
  await engine.begin()
  const [ended] = await provisioner.find(signal)
  assert.deepEqual([ended?.name, ended?.state], [second.name, 'ended'])
  engine.hang()
  const short = new AbortController()
  const request = provisioner.find(short.signal)
  short.abort()
  await assert.rejects(request, /The hub is stopping/)
  engine.goOn()
  await provisioner.remove(second.name, signal)
  assert.deepEqual(await provisioner.find(signal), [])
})
