import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { testingBuild } from '../../../test/support/docker/build-fixture.ts'
import { baseImage, dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import { DockerApi } from '../../../test/support/docker/docker-api.ts'
import type { EngineUnderTest } from '../../../test/support/docker/docker-engine-conformance.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { DockerClient, DockerFailure } from '../../docker/docker-client.ts'
import { makeBridge } from './bridge.ts'
import { BuildPlaces, buildCgroups, cgroupName, freeSubnets, makeBuildCgroup } from './build-places.ts'
import { bridgeName, buildBridges, buildsChain, guardChain } from './network-guard.ts'

const execute = promisify(execFile)
const skip =
  (await dockerHere()) || (process.getuid?.() === 0 ? false : 'only root sets the rules of a network')

/** Script that serves a port, and contacts its gateway all the time. */
const BYSTANDER = `echo address $(ip -4 -o addr show dev eth0 | grep -oE '[0-9.]+/' | tr -d /)
(while :; do nc -l -p 8000 </dev/null; done) & while :; do ping -c 1 -W 1 $(ip route | grep -oE 'via [0-9.]+' | cut -c5-); sleep 0.1; done`

/**
 * Program that tells everyone that it is the gateway, asks for the victim, and counts what it sees of others until the
 * gateway has answered 30 times; then it connects, and contacts the internet in the victim's name.
 */
const ATTACKER = `
import socket, struct, sys, time, fcntl
victim = sys.argv[1]
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind(('eth0', 0)); raw.settimeout(0.1)
ask = lambda request: fcntl.ioctl(raw.fileno(), request, struct.pack('256s', b'eth0'))
mac, own = ask(0x8927)[18:24], ask(0x8915)[20:24]
route = [line.split() for line in open('/proc/net/route')][1:]
gateway = bytes.fromhex([r[2] for r in route if r[1] == '00000000'][0])[::-1]
ip = lambda text: socket.inet_aton(text)
def arp(kind, sender, target):
    raw.send(b'\\xff' * 6 + mac + b'\\x08\\x06' + struct.pack('!HHBBH', 1, 0x800, 6, 4, kind) + mac + sender + b'\\0' * 6 + target)
answers, foreign, gateway_mac, last = 0, 0, None, 0
while answers < 30 and not foreign:
    if time.time() - last > 0.05:
        last = time.time()
        arp(2, gateway, ip(victim)); arp(1, own, ip(victim)); arp(1, own, gateway)
    try: frame = raw.recv(65535)
    except TimeoutError: continue
    if frame[6:12] == mac: continue
    if frame[12:14] == b'\\x08\\x06' and frame[20:22] == b'\\0\\x02' and frame[28:32] == gateway:
        gateway_mac = frame[6:12]; answers += 1
    elif ip(victim) in (frame[26:30], frame[28:32]): foreign += 1
print('sees others' if foreign else 'is alone', flush=True)
try: socket.create_connection((victim, 8000), 2); print('reached', flush=True)
except OSError: print('closed', flush=True)
if gateway_mac:
    sum16 = lambda b: sum(struct.unpack('!%dH' % (len(b) // 2), b))
    head = lambda check: struct.pack('!BBHHHBBH', 69, 0, 36, 1, 0, 64, 17, check) + ip(victim) + ip('198.51.100.7')
    total = sum16(head(0)); total = (total & 0xffff) + (total >> 16); total = (total & 0xffff) + (total >> 16)
    for n in range(5): raw.send(gateway_mac + mac + b'\\x08\\0' + head(~total & 0xffff) + struct.pack('!HHHH', 9, 9, 16, 0) + b'forged !')
`

test('two parallel builds can neither see nor reach each other, nor impersonate each other', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const image = await baseImage('python:3.11-slim')
  const over = new AbortController()
  const { promise: address, resolve } = Promise.withResolvers<string>()
  const bystander = here.engine.build(
    testingBuild(
      here.runner,
      {
        Dockerfile: `FROM ${here.image}\nENV RUNNER=${here.runner}\nCOPY run /\nRUN sh /run`,
        run: BYSTANDER,
      },
      {
        signal: over.signal,
        progress: (line) => line.startsWith('address ') && resolve(line.slice('address '.length)),
      },
    ),
  )
  bystander.catch(() => {})
  const victim = await address
  const output = await lines(
    here,
    `FROM ${image}\nENV RUNNER=${here.runner}\nCOPY attack.py /\nRUN python3 /attack.py ${victim}`,
    {
      'attack.py': ATTACKER,
    },
  )
  assert.ok((await forgedPackets(here.network)) >= 5)
  over.abort()
  await assert.rejects(bystander, { name: 'AbortError' })
  assert.deepEqual(
    output.filter((line) => /^(sees|is alone|reached|closed)/.test(line)),
    ['is alone', 'closed'],
  )

  // The same on one network for both proves that the probe works.
  const docker = dockerFor(t)
  const shared = docker.name('shared')
  await docker.engine.createNetwork({
    Name: shared,
    Labels: docker.labels,
    IPAM: { Config: [{ Subnet: freeSubnets({ first: 0xc612_0000, bits: 16 }, [])[0] }] },
  })
  const started = async (Image: string, Cmd: string[]) => {
    const container = await docker.engine.createContainer({
      Image,
      Cmd,
      Labels: docker.labels,
      HostConfig: { NetworkMode: shared },
    })
    await container.start()
    return container
  }
  const other = await started(here.image, ['sh', '-c', BYSTANDER])
  const { IPAddress } = (await other.inspect()).NetworkSettings.Networks[shared]!
  const attacker = await started(image, ['python3', '-c', ATTACKER, IPAddress])
  await attacker.wait()
  assert.match((await attacker.logs({ stdout: true, stderr: true })).toString(), /sees others/)
})

test('a bot can open no socket that reads or forges traffic on its network', { skip }, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const { id } = await here.engine.create({
    name: `${here.runner}-raw`,
    image: await baseImage('python:3.11-slim'),
    command: [
      'python3',
      '-c',
      `
import socket
for family, kind, protocol in (socket.AF_PACKET, socket.SOCK_RAW, 3), (socket.AF_PACKET, socket.SOCK_DGRAM, 3), (socket.AF_INET, socket.SOCK_RAW, 1):
    try: socket.socket(family, kind, protocol); print('open')
    except PermissionError: print('refused')`,
    ],
    env: {},
    limits: { memoryBytes: 64 * 1024 ** 2, cpus: 0.5, processes: 20, tmpBytes: 1024 ** 2 },
    logBytes: 1024 ** 2,
    stopGraceSeconds: 1,
    labels: { runner: here.runner },
  })
  await here.engine.start(id)
  let printed = ''
  for await (const { bytes } of here.engine.logs(id, { follow: true, signal: new AbortController().signal }))
    printed += bytes
  assert.equal(printed, 'refused\nrefused\nrefused\n')
})

test('the network and cgroup of a build are removed when it ends, however it ends', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const during: string[][] = []
  const build = (instruction: string, stop?: AbortController) => {
    const progress = (line: string): void => {
      if (line !== 'begun') return
      during.push(buildCgroups(cgroupName(here.runner, '')))
      stop?.abort()
    }
    const Dockerfile = `FROM ${here.image}\nRUN echo ${here.runner}; echo begun; ${instruction}`
    const signal = (stop ?? new AbortController()).signal
    return here.engine.build(testingBuild(here.runner, { Dockerfile }, { signal, progress }))
  }
  const nothingLeft = async () => {
    assert.deepEqual(await networksOf(here), [])
    assert.deepEqual(buildCgroups(cgroupName(here.runner, '')), [])
  }
  await build('true')
  await nothingLeft()
  await assert.rejects(build('exit 7'), { code: 'build_failed' })
  await nothingLeft()
  await assert.rejects(build('sleep 1000', new AbortController()), { name: 'AbortError' })
  await nothingLeft()
  assert.deepEqual(
    during.map(({ length }) => length),
    [1, 1, 1],
  )
})

test("leftovers of a killed runner's build are swept, and those that another one uses stay", {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const child = await buildingProcess(t, here)
  const [left, ...more] = await networksOf(here)
  assert.deepEqual(more, [])
  assert.match(left!, new RegExp(`^${here.network}-build-`))
  // Things of another runner on this engine.
  assert.deepEqual(await here.engine.sweepNetworks(`${here.runner}x`), [])
  // A build of this process is not over.
  let swept: Promise<string[]> | undefined
  child.kill('SIGKILL')
  await once(child, 'close')
  const Dockerfile = `FROM ${here.image}\nRUN echo ${here.runner} second; sleep 2; nslookup registry.npmjs.org >/dev/null 2>&1; echo still here`
  const output: string[] = []
  await here.engine.build(
    testingBuild(
      here.runner,
      { Dockerfile },
      {
        progress: (line) => {
          output.push(line)
          if (line === `${here.runner} second`) swept = here.engine.sweepNetworks(here.runner)
        },
      },
    ),
  )
  assert.ok(output.includes('still here'))
  assert.deepEqual(await swept, [left])
  assert.deepEqual(await networksOf(here), [])
  assert.deepEqual(buildCgroups(cgroupName(here.runner, '')), [])
})

test('the next sweep removes the rules of a network that someone removed', { skip }, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const rules = async () => {
    const printed = await Promise.all(
      ['iptables', 'ip6tables'].map((program) => execute(program, ['-w', '10', '-t', 'raw', '-S'])),
    )
    const own = new RegExp([here.network].flatMap(namesOf).join('|'))
    return printed.flatMap(({ stdout }) => stdout.split('\n')).filter((line) => own.test(line))
  }
  const before = await rules()
  assert.ok(before.length > 30)
  await here.engine.sweepNetworks(here.runner)
  assert.deepEqual(await rules(), before)
  const docker = dockerFor(t)
  // The network that an earlier version had for all builds; and one of somebody else with such a name.
  const earlier = { name: `${here.base}-builds`, bridge: bridgeName(`${here.base}-builds`) }
  const foreign = { name: `${here.base}-builds-2`, bridge: `x-${randomBytes(4).toString('hex')}` }
  for (const each of [earlier, foreign])
    await makeBridge(new DockerClient(process.env), { ...each, labels: docker.labels })
  await docker.engine.getNetwork(here.network).remove()
  await here.engine.sweepNetworks(here.runner)
  const left = await docker.engine.listNetworks({ filters: { name: [here.base] } })
  assert.deepEqual(
    left.map(({ Name }) => Name),
    [foreign.name],
  )
  assert.deepEqual(await rules(), [])
  await here.engine.prepareNetwork()
  assert.equal((await rules()).length, before.length)
})

test('a build gets addresses that no route uses, and a clear error if there are none', {
  skip,
}, async (t) => {
  const range = { first: 0x0a00_0000, bits: 26 }
  assert.deepEqual(freeSubnets(range, []).sort(), [
    '10.0.0.0/28',
    '10.0.0.16/28',
    '10.0.0.32/28',
    '10.0.0.48/28',
  ])
  const taken = [
    { first: 0x0a00_0008, bits: 30 },
    { first: 0x0a00_0020, bits: 27 },
  ]
  assert.deepEqual(freeSubnets(range, taken), ['10.0.0.16/28'])
  assert.deepEqual(freeSubnets(range, [{ first: 0x0a00_0000, bits: 8 }]), [])
  assert.equal(freeSubnets({ first: 0xc612_0000, bits: 16 }, []).length, 50)

  // Two networks with the only addresses that it may take.
  const here = await dockerUnderTest(t, { ERRAND_BUILD_SUBNETS: '198.51.100.0/28' })
  await here.engine.prepareNetwork()
  const docker = dockerFor(t)
  await docker.engine.createNetwork({
    Name: docker.name('taken'),
    Labels: docker.labels,
    IPAM: { Config: [{ Subnet: '198.51.100.0/24' }] },
  })
  await assert.rejects(lines(here, `FROM ${here.image}`, {}), {
    code: 'unavailable',
    message: /198\.51\.100\.0\/28/,
    hint: /ERRAND_BUILD_SUBNETS/,
  })
})

test('an engine without free addresses gives its own error, with what to do', async () => {
  // The messages of Docker 20.10 and 29.
  for (const message of [
    'could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network',
    'all predefined address pools have been fully subnetted',
  ]) {
    const engine = dockerStandIn({
      'GET /networks/bridge': async () => ({}),
      'POST /networks/create': () => Promise.reject(new DockerFailure('/networks/create', 500, { message })),
    })
    await assert.rejects(makeBridge(engine, { name: 'bots', bridge: 'errand-1' }), {
      code: 'unavailable',
      message: /no addresses left for the network bots/,
      hint: /docker network prune.*default-address-pools/,
    })
  }
})

test('parts still being created when the rest of a build fails are completed and then removed', {
  skip: existsSync('/proc/self/ns/cgroup') ? false : 'cgroups are a thing of Linux',
}, async () => {
  const steps: string[] = []
  const failed = Promise.withResolvers<void>()
  const engine = dockerStandIn({
    'GET /networks/bridge': () => {
      failed.resolve()
      return Promise.reject(new Error('no network'))
    },
    'GET /containers/json': async () => {
      steps.push('taken away')
      throw new Error('no engine')
    },
    'GET /info': async () => {
      await failed.promise
      // More turns than the failure takes to arrive.
      for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
      steps.push('made')
      throw new Error('no cgroup')
    },
  })
  const settings = { name: 'errand-none', buildSubnets: { first: 0xc633_6400, bits: 24 } }
  const places = new BuildPlaces(engine, settings as never)
  const order = { runner: 'errand-none', processes: 1 }
  await assert.rejects(
    places.use(order, async () => assert.fail('nothing is built')),
    /no network/,
  )
  assert.deepEqual(steps, ['made', 'taken away'])
})

test('the systemd driver sets the limit before the slice starts, and without systemctl there is no cgroup', {
  skip: existsSync('/proc/self/ns/cgroup') ? false : 'cgroups are a thing of Linux',
}, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'errand-systemctl-'))
  const path = process.env.PATH
  t.after(() => {
    process.env.PATH = path
    rmSync(dir, { recursive: true })
  })
  const engine = dockerStandIn({ 'GET /info': async () => ({ CgroupDriver: 'systemd' }) })
  process.env.PATH = dir
  assert.equal(await makeBuildCgroup(engine, cgroupName('errand-1', 'a'), 7), undefined)
  writeFileSync(join(dir, 'systemctl'), `#!/bin/sh\necho "$@" >${dir}/said\n`, { mode: 0o755 })
  assert.equal(await makeBuildCgroup(engine, cgroupName('errand-1', 'a'), 7), 'errand_build_errand_1_a.slice')
  assert.equal(
    readFileSync(join(dir, 'said'), 'utf8'),
    'set-property --runtime errand_build_errand_1_a.slice TasksMax=7\n',
  )
})

/** Makes a client whose requests are answered here. */
function dockerStandIn(answers: Record<string, () => Promise<unknown>>): DockerClient {
  const client = new DockerClient({ DOCKER_HOST: 'unix:///no/such/socket' })
  const ask = (method: string, path: string) => answers[`${method} ${path}`]!()
  return Object.assign(client, { ask })
}

async function lines(
  { engine, runner }: EngineUnderTest,
  Dockerfile: string,
  files: Record<string, string>,
): Promise<string[]> {
  const output: string[] = []
  await engine.build(
    testingBuild(
      runner,
      { Dockerfile, ...files },
      { name: `errand.test/${runner}:lines`, progress: (line) => output.push(line) },
    ),
  )
  return output
}

async function networksOf({ runner }: EngineUnderTest): Promise<string[]> {
  const found = await new DockerApi().listNetworks({ filters: { label: [`errand.runner=${runner}`] } })
  return found.map(({ Name }) => Name)
}

/** Runs a process with the same runner's name, in the middle of a build. */
async function buildingProcess(
  t: TestContext,
  { runner, image, base }: EngineUnderTest & { base: string },
): Promise<ChildProcess> {
  const script = `
    const { connectDocker } = await import(${JSON.stringify(new URL('./connected-docker.ts', import.meta.url).href)})
    const { testingBuild } = await import(${JSON.stringify(new URL('../../../test/support/docker/build-fixture.ts', import.meta.url).href)})
    const engine = await connectDocker(process.env, '${runner}')
    const Dockerfile = 'FROM ${image}\\nRUN echo ${runner} begun; sleep 1000'
    await engine.build(testingBuild('${runner}', { Dockerfile }, { progress: (line) => console.log(line) }))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, DOCKER_NETWORK: base },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout }))
    if (line === `${runner} begun`) return child
  throw new Error('the process has ended')
}

/** Returns the number of packets whose sender is not on the network they came from. */
async function forgedPackets(network: string): Promise<number> {
  const { stdout } = await execute('iptables', ['-w', '10', '-t', 'raw', '-v', '-S', buildsChain(network)])
  return Number(/rpfilter.*-c (\d+)/.exec(stdout)?.[1] ?? 0)
}

function namesOf(network: string): string[] {
  return [bridgeName(network), guardChain(network), buildBridges(network)]
}
