import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { testingBuild } from '../../../test/support/docker/build-fixture.ts'
import { dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import type { EngineUnderTest } from '../../../test/support/docker/docker-engine-conformance.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { DockerClient } from '../../docker/docker-client.ts'
import { makeBridge } from './bridge.ts'
import type { ContainerOrder, DockerEngine } from './docker-engine.ts'
import { bridgeName, buildsChain, guardChain } from './network-guard.ts'

const execute = promisify(execFile)
const skip =
  (await dockerHere()) || (process.getuid?.() === 0 ? false : 'only root sets the rules of a network')
const METADATA = '169.254.169.254'
/** Limit of iptables. */
const MOST_CHAIN_CHARACTERS = 28
const never = new AbortController().signal

test('neither a bot nor a build reaches this machine, another bot or a metadata address', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const port = await listening(t)
  const gateway = await gatewayOf(t, here.network)
  const docker = dockerFor(t)

  const other = await started(
    here,
    '(while :; do nc -l -p 8000 </dev/null; done) & until nc -w 1 127.0.0.1 8000 </dev/null; do sleep 0.1; done; echo open; wait',
  )
  assert.match(await printed(here.engine, other, 'open\n'), /open/)
  const otherAddress = await addressOf(t, other, here.network)
  const script = probe([
    { name: 'gateway', host: gateway, port },
    { name: 'host', host: ownAddress(), port },
    { name: 'bot', host: otherAddress, port: 8000 },
    { name: 'metadata', host: METADATA, port: 80 },
  ])
  const closed = 'gateway closed\nhost closed\nbot closed\nmetadata closed\n'
  assert.equal(await printed(here.engine, await started(here, script)), closed)
  const output = (await buildLines(here, `RUN ${script}`)).filter((line) =>
    /^\w+ (?:closed|reached)$/.test(line),
  )
  assert.equal(`${output.join('\n')}\n`, closed)
  assert.ok((await dropped(here.network, '169.254.0.0/16')) > 0)
  assert.ok((await dropped(here.network, '! --dst-type UNICAST')) > 0)

  // The same probe from a container of another network proves that the probe works.
  const free = await docker.engine.createContainer({
    Image: here.image,
    Cmd: ['sh', '-c', probe([{ name: 'host', host: ownAddress(), port }])],
    Labels: docker.labels,
    Tty: true,
  })
  await free.start()
  await free.wait()
  assert.match((await free.logs({ stdout: true })).toString(), /host reached/)
})

test('names still resolve, and destinations that the operator allows can be reached', { skip }, async (t) => {
  const port = await listening(t)
  const other = await listening(t)
  const here = await dockerUnderTest(t, { ERRAND_BOT_ALLOW: `${ownAddress()}:${port}` })
  await here.engine.prepareNetwork()
  const places = [
    { name: 'allowed', host: ownAddress(), port },
    { name: 'other', host: ownAddress(), port: other },
  ]
  // An answer of any kind comes from a name server.
  const script = `${probe(places)}; nslookup registry.npmjs.org >/tmp/said 2>&1; grep -qi "timed out\\|unreachable" /tmp/said || echo answered`
  assert.equal(
    await printed(here.engine, await started(here, script)),
    'allowed reached\nother closed\nanswered\n',
  )
})

test("with two runners on a machine, bots reach what their own runner allows and nothing of the other's", {
  skip,
}, async (t) => {
  const ports = [await listening(t), await listening(t)]
  const allow = (port: number) => ({ ERRAND_BOT_ALLOW: `${ownAddress()}:${port}` })
  const one = await dockerUnderTest(t, allow(ports[0]!))
  const other = await dockerUnderTest(t, { ...allow(ports[1]!), DOCKER_NETWORK: one.base })
  for (const { engine } of [one, other, one]) await engine.prepareNetwork()
  const places = ports.map((port, index) => ({ name: `place-${index}`, host: ownAddress(), port }))
  const seen = async (here: EngineUnderTest) => printed(here.engine, await started(here, probe(places)))
  assert.equal(await seen(one), 'place-0 reached\nplace-1 closed\n')
  assert.equal(await seen(other), 'place-0 closed\nplace-1 reached\n')
  assert.ok([one, other].every(({ network }) => buildsChain(network).length <= MOST_CHAIN_CHARACTERS))
})

test('the network of a runner is removed with its rules when no bot is left, running or not', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const id = await started(here, 'true')
  await here.engine.wait(id, never)
  await here.engine.releaseNetwork()
  assert.ok((await rulesOf(here.network)).length > 10)
  await here.engine.start(id)
  await here.engine.remove(id)
  // This process may need what it has prepared at any time.
  await here.engine.sweepNetworks(here.runner)
  assert.ok((await rulesOf(here.network)).length > 10)
  await here.engine.releaseNetwork()
  assert.deepEqual(await rulesOf(here.network), [])
  assert.deepEqual(await networks(t, here.base), [])
})

test('the network that runners of earlier versions shared is closed while it has a bot, then removed', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  const docker = dockerFor(t)
  await makeBridge(new DockerClient(process.env), { name: here.base, bridge: bridgeName(here.base) })
  const bot = await docker.engine.createContainer({
    Image: here.image,
    Labels: docker.labels,
    HostConfig: { NetworkMode: here.base },
  })
  await here.engine.prepareNetwork()
  await here.engine.sweepNetworks(here.runner)
  assert.ok((await rulesOf(here.base)).length > 10)
  await bot.remove({ force: true })
  await here.engine.sweepNetworks(here.runner)
  assert.deepEqual(await rulesOf(here.base), [])
  assert.deepEqual(await networks(t, here.base), [here.network])
  assert.ok((await rulesOf(here.network)).length > 10)
})

test('rules that someone removed are set again', { skip }, async (t) => {
  const here = await dockerUnderTest(t)
  await Promise.all([here.engine.prepareNetwork(), here.engine.prepareNetwork()])
  const before = await rulesOf(here.network)
  assert.ok(before.length > 10)
  for (const chain of [guardChain(here.network), buildsChain(here.network)])
    await execute('iptables', ['-w', '10', '-t', 'raw', '-F', chain])
  assert.equal((await rulesOf(here.network)).length, 4)
  await here.engine.prepareNetwork()
  assert.deepEqual(await rulesOf(here.network), before)
})

test('if someone else guards the network no rule is set, and it keeps its configured name', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t, { ERRAND_BOT_NETWORK_GUARD: 'external' })
  await here.engine.prepareNetwork()
  assert.equal(here.network, here.base)
  assert.deepEqual(await networks(t, here.base), [here.base])
  assert.deepEqual(await rulesOf(here.network), [])
})

test('a network of that name that lets containers reach each other is refused', { skip }, async (t) => {
  const here = await dockerUnderTest(t)
  const docker = dockerFor(t)
  await docker.engine.createNetwork({ Name: here.network, Labels: docker.labels })
  await assert.rejects(here.engine.prepareNetwork(), {
    code: 'conflict',
    message: /reach each other/,
    hint: /docker network rm/,
  })
})

interface NetworkFixture {
  name: string
  host: string
  port: number
}

function probe(places: readonly NetworkFixture[]): string {
  return places
    .map(
      ({ name, host, port }) =>
        `nc -w 2 ${host} ${port} </dev/null >/dev/null 2>&1 && echo ${name} reached || echo ${name} closed`,
    )
    .join('; ')
}

async function started({ engine, runner, image }: EngineUnderTest, script: string): Promise<string> {
  const order: ContainerOrder = {
    name: `${runner}-${Math.random().toString(36).slice(2)}`,
    image,
    command: ['sh', '-c', script],
    env: {},
    limits: { memoryBytes: 64 * 1024 ** 2, cpus: 0.5, processes: 20, tmpBytes: 1024 ** 2 },
    logBytes: 1024 ** 2,
    stopGraceSeconds: 1,
    labels: { runner },
  }
  const { id } = await engine.create(order)
  await engine.start(id)
  return id
}

async function buildLines(
  { engine, runner, image }: EngineUnderTest,
  instructions: string,
): Promise<string[]> {
  const lines: string[] = []
  const Dockerfile = `FROM ${image}\nENV RUNNER=${runner}\n${instructions}\n`
  await engine.build(testingBuild(runner, { Dockerfile }, { progress: (line) => lines.push(line) }))
  return lines
}

/** Returns the text that the container prints until its end, or until it has printed `enough`. */
async function printed(engine: DockerEngine, id: string, enough?: string): Promise<string> {
  let text = ''
  for await (const { bytes } of engine.logs(id, { follow: true, signal: never })) {
    text += bytes
    if (enough !== undefined && text.includes(enough)) break
  }
  return text
}

async function listening(t: TestContext): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => {}).end('here'))
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  t.after(() => server.close())
  return (server.address() as { port: number }).port
}

function ownAddress(): string {
  const found = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)
  assert.ok(found, 'this machine has an address')
  return found.address
}

async function gatewayOf(t: TestContext, network: string): Promise<string> {
  const { IPAM } = await dockerFor(t).engine.getNetwork(network).inspect()
  return IPAM!.Config![0]!.Gateway!
}

async function addressOf(t: TestContext, id: string, network: string): Promise<string> {
  const { NetworkSettings } = await dockerFor(t).engine.getContainer(id).inspect()
  return NetworkSettings.Networks[network]!.IPAddress
}

const networks = async (t: TestContext, base: string): Promise<string[]> =>
  (await dockerFor(t).engine.listNetworks({ filters: { name: [base] } })).map(({ Name }) => Name)

async function rulesOf(network: string): Promise<string[]> {
  const { stdout } = await execute('iptables', ['-w', '10', '-t', 'raw', '-S'])
  return stdout.split('\n').filter((line) => line.includes(guardChain(network)))
}

/** Returns the number of packets that the rule with this text has dropped. */
async function dropped(network: string, text: string): Promise<number> {
  const { stdout } = await execute('iptables', ['-w', '10', '-t', 'raw', '-v', '-S', guardChain(network)])
  const rule = stdout.split('\n').find((line) => line.includes(text))
  return Number(/-c (\d+)/.exec(rule ?? '')?.[1] ?? 0)
}
