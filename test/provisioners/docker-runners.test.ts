import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { gatewayOf } from '../../src/docker/docker-answers.ts'
import { dockerHere, labelled, noteMade, removeLabelled } from '../support/docker/docker.ts'
import { DockerApi } from '../support/docker/docker-api.ts'
import { EngineCable } from '../support/docker/engine-cable.ts'
import { errandImage } from '../support/docker/errand-image.ts'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms } from '../support/programs.ts'
import { attemptOf, onBuilders, runnerOf, writeBuilders } from '../support/provisioners/builders.ts'

const skip = await dockerHere()

interface Opened extends Programs {
  /** Returns the label of everything that this hub creates. */
  label(): Promise<string>
  /** Returns the path of a file that steps see as `/shared/NAME`. */
  shared(name: string): string
  containers(): Promise<{ Id: string; State: string; Names: string[] }[]>
  start(yaml: string): Promise<string>
}

/** Starts a hub without a runner, whose group `builders` creates containers of Errand's image. */
async function opened(
  t: TestContext,
  group: Record<string, unknown> = {},
  { lostAfter = '60s' }: { lostAfter?: string } = {},
): Promise<Opened> {
  const image = await errandImage()
  const engine = new DockerApi()
  const gateway = gatewayOf(await engine.getNetwork('bridge').inspect())!
  const programs = await startPrograms(t, {
    runner: 'none',
    host: gateway,
    hubArgs: ['--lost-after', lostAfter, '--heartbeat', '0.5s'],
    prepare: ({ data }) => {
      mkdirSync(data, { recursive: true, mode: 0o700 })
      // Steps and the test both see this folder.
      const shared = join(data, '../shared')
      mkdirSync(shared)
      chmodSync(shared, 0o777)
      writeGroup(data, { image, volumes: [`${shared}:/shared`], ...group })
    },
  })
  let known: string | undefined
  const label = async () => {
    if (known !== undefined) return known
    const row = await eventually('a provisioned runner', async () => {
      const groups = await programs.client.runners.groups()
      return groups.flatMap(({ pool }) => pool?.runners ?? [])[0]
    })
    known = `errand.hub=${/^errand-([0-9a-f]{8})-/.exec(row.name)![1]}`
    noteMade('label', known)
    return known
  }
  t.after(async () => {
    if (known !== undefined) await removeLabelled(known)
  })
  return {
    ...programs,
    label,
    shared: (name) => join(programs.data, '../shared', name),
    containers: async () =>
      (await engine.listContainers({ all: true, filters: { label: [await label()] } })) as never,
    start: async (yaml) => {
      const { run_id } = await programs.client.runs.create({ yaml })
      await label()
      return run_id
    },
  }
}

const writeGroup = (data: string, group: Record<string, unknown>) =>
  writeBuilders(data, { provisioner: 'docker', max: 4, idle_seconds: 0, start_seconds: 120, ...group })

const outputOf = async ({ client }: Programs, id: string, attempt: number) =>
  await text(await client.output(id, attempt, 'stdout'))
const NOTHING = { containers: [], networks: [], volumes: [], images: [] }

const nothingLeft = async (hub: Opened) => {
  const label = await hub.label()
  await eventually('the removal of everything that was created', async () =>
    Object.values(await labelled(label)).every(({ length }) => length === 0),
  )
  assert.deepEqual(await labelled(label), NOTHING)
  await eventually('a list without them', async () => (await hub.client.runners.list()).length === 0)
  await eventually('the end of their tokens', async () => {
    const { tokens } = await hub.client.tokens.list()
    return !tokens.some(({ name, revoked_at }) => name.includes('errand-') && revoked_at === undefined)
  })
}

test('each waiting run gets one container for all of its steps, which is removed with the run', {
  skip,
}, async (t) => {
  const hub = await opened(t, { memory: '512MB', cpus: 1 })
  const [a, b] = await Promise.all([
    hub.start(onBuilders('echo one > kept; id -u', 'cat kept')),
    hub.start(onBuilders('echo two > kept; id -u', 'cat kept')),
  ])
  const [first, second] = [await hub.ended(a), await hub.ended(b)]
  assert.deepEqual([first.status, second.status], ['success', 'success'], JSON.stringify(first))
  assert.equal(runnerOf(first, 0), runnerOf(first, 1))
  const { isolation, made_box, network } = attemptOf(first)!
  assert.deepEqual([isolation, made_box, network], [undefined, 'container', 'all'])
  assert.notEqual(runnerOf(first), runnerOf(second))
  assert.equal(await outputOf(hub, a, 1), '10001\n')
  assert.equal(await outputOf(hub, b, 2), 'two\n')
  await nothingLeft(hub)
})

test("a command that uses up its container's memory ends as oom, and its runner continues", {
  skip,
}, async (t) => {
  const hub = await opened(t, { memory: '400MB', max: 1 })
  const yaml = onBuilders('tail /dev/zero', 'echo after')
  const run = await hub.ended(await hub.start(yaml.replace('"name": "s0"', '$&, "continue_on_error": true')))
  const [hungry, after] = run.steps.map(({ instances }) => instances[0])
  assert.deepEqual([hungry?.reason, after?.status], ['oom', 'success'], JSON.stringify(run))
  assert.match(hungry!.message!, /^Out of memory: the kernel killed it\. .* may use 400 MB\.$/)
  assert.equal(runnerOf(run, 0), runnerOf(run, 1))
  await nothingLeft(hub)
})

test('a hub killed at any moment continues with its container, creates none twice, and leaves none', {
  skip,
}, async (t) => {
  const hub = await opened(t)
  const id = await hub.start(
    onBuilders('echo x >> /shared/begun; until test -e /shared/go; do sleep 0.05; done; cat /shared/begun'),
  )
  const moments: (() => unknown)[] = [
    async () => (await hub.containers()).length > 0,
    async () => (await hub.containers()).some(({ State }) => State === 'running'),
    () => existsSync(hub.shared('begun')),
  ]
  for (const moment of moments) {
    await eventually('the moment', async () => Boolean(await moment()))
    await hub.kill('hub')
    await hub.startHub()
    assert.ok((await hub.containers()).length <= 1)
  }
  writeFileSync(hub.shared('go'), '')
  const run = await hub.ended(id)
  assert.equal(run.status, 'success', JSON.stringify(run))
  assert.equal(await outputOf(hub, id, 1), 'x\n', 'started once')
  await nothingLeft(hub)
})

for (const [how, end] of [
  ['killed', (id: string) => new DockerApi().getContainer(id).kill()],
  ['removed by hand', (id: string) => new DockerApi().getContainer(id).remove({ force: true })],
] as const)
  test(`the work of a container that is ${how} is reported as lost, and nothing of it is left`, {
    skip,
  }, async (t) => {
    const hub = await opened(t, {}, { lostAfter: '2s' })
    const id = await hub.start(onBuilders('echo x > /shared/begun; sleep 600'))
    await eventually('the step', () => existsSync(hub.shared('begun')))
    const [there] = await hub.containers()
    await end(there!.Id)
    const run = await hub.ended(id)
    assert.deepEqual([run.status, run.steps[0]?.instances[0]?.reason], ['failed', 'lost'])
    await nothingLeft(hub)
  })

test('without the engine waiting runs say so and running ones continue; all is removed when it is back', {
  skip,
}, async (t) => {
  const cable = await EngineCable.open(t)
  const hub = await opened(t, { docker_host: cable.address })
  const id = await hub.start(onBuilders('touch /shared/begun; until test -e /shared/go; do sleep 0.05; done'))
  await eventually('the step', () => existsSync(hub.shared('begun')))
  cable.pull()
  const waits = await hub.start(onBuilders('echo hello'))
  await eventually('the first tries', () => cable.refused > 2)
  writeFileSync(hub.shared('go'), '')
  assert.equal((await hub.ended(id)).status, 'success')
  cable.plug()
  assert.equal((await hub.ended(waits)).status, 'success')
  await nothingLeft(hub)
})

test('a spare runner is used at once, and is removed with its group', { skip }, async (t) => {
  const hub = await opened(t, { spare: 1, idle_seconds: 600 })
  const spare = await eventually('the spare', async () => {
    const [one] = await hub.client.runners.list()
    return one?.status === 'connected' && one.id
  })
  const run = await hub.ended(await hub.start(onBuilders('echo hello')))
  assert.equal(runnerOf(run), spare)
  await eventually('another', async () =>
    (await hub.containers()).some(({ Names }) => Names[0] !== `/${spare}`),
  )
  await hub.kill('hub')
  writeFileSync(join(hub.data, 'errand.yaml'), '{}')
  await hub.startHub()
  await nothingLeft(hub)
})

test("twenty runs at once succeed with a container each, within the group's limit, and do not affect another hub", {
  skip,
}, async (t) => {
  const max = 8
  const other = await opened(t, { spare: 1, idle_seconds: 600 })
  await eventually('its spare', async () => (await other.client.runners.list())[0]?.status === 'connected')
  await other.label()
  const [theirs] = await other.containers()
  const hub = await opened(t, { max })
  const ids = await Promise.all(Array.from({ length: 20 }, (_, nth) => hub.start(onBuilders(`echo ${nth}`))))
  let most = 0
  let over = false
  const watched = (async () => {
    while (!over) most = Math.max(most, (await hub.containers()).length)
  })()
  const runs = await Promise.all(ids.map((id) => hub.ended(id))).finally(() => {
    over = true
  })
  await watched
  assert.deepEqual(
    runs.map(({ status }) => status),
    ids.map(() => 'success'),
  )
  assert.equal(new Set(runs.map((run) => runnerOf(run))).size, 20)
  assert.deepEqual(
    await Promise.all(ids.map((id) => outputOf(hub, id, 1))),
    ids.map((_, nth) => `${nth}\n`),
  )
  assert.ok(most > 1 && most <= max, `${most} of ${max} at once`)
  await nothingLeft(hub)
  assert.deepEqual(
    (await other.containers()).map(({ Id, State }) => [Id, State]),
    [[theirs!.Id, 'running']],
  )
  assert.equal((await other.ended(await other.start(onBuilders('echo hello')))).status, 'success')
})

test('if no container can reach the hub, the waiting run says so, with an address that would work', {
  skip,
}, async (t) => {
  const hub = await opened(t, { hub_url: 'http://127.0.0.1:3000' })
  const id = await hub.start(onBuilders('echo hello'))
  await eventually('the reason', async () =>
    /Containers cannot reach the hub at http:\/\/127\.0\.0\.1:3000\. Start the hub with --host [\d.]+,/.test(
      JSON.stringify(await hub.client.runs.get(id)),
    ),
  )
  await hub.client.runs.cancel(id)
  await nothingLeft(hub)
})
