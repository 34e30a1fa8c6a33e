import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testingBuild } from '../../../test/support/docker/build-fixture.ts'
import { dockerFor, dockerHere } from '../../../test/support/docker/docker.ts'
import type { EngineUnderTest } from '../../../test/support/docker/docker-engine-conformance.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'
import { sweepContainers, sweepImages } from './sweep.ts'

const skip = await dockerHere()
const DAY_MS = 86_400_000

test("containers without a current attempt are removed, but nobody else's", { skip }, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const docker = dockerFor(t)
  const foreign = async (name: string, labels: Record<string, string>): Promise<string> =>
    (
      await docker.engine.createContainer({
        name,
        Image: here.image,
        Cmd: ['true'],
        Labels: { ...docker.labels, ...labels },
      })
    ).id
  const others = [
    await foreign(docker.name('foreign'), {}),
    await foreign(`${here.runner}-bot-run_9.1`, {}),
    await foreign(docker.name('other-runner'), {
      'errand.runner': `${here.runner}x`,
      'errand.attempt': 'run_9.1',
    }),
    await foreign(docker.name('half-labelled'), { 'errand.attempt': 'run_9.1' }),
  ]
  const held = await container(here, 'run_1.1')
  const orphan = await container(here, 'run_2.1')
  const sweep = (now: number) =>
    sweepContainers(here.engine, here.runner, (attempt) => attempt === 'run_1.1', now)
  const removed = await sweep(Date.now())
  assert.deepEqual(
    removed.map(({ id }) => id),
    [orphan],
  )
  assert.equal((await here.engine.state(held)).type, 'created')
  for (const id of others) await docker.engine.getContainer(id).inspect()
  // A build's container has the labels of the stage that it continues from, and no attempt.
  const ofBuild = await foreign(docker.name('build'), { 'errand.runner': here.runner })
  assert.deepEqual(await sweep(Date.now()), [])
  assert.deepEqual(
    (await sweep(Date.now() + DAY_MS)).map(({ id }) => id),
    [ofBuild],
  )
})

test('images that are old or too large in total are removed, oldest first, and never one in use', {
  skip,
}, async (t) => {
  const here = await dockerUnderTest(t)
  await here.engine.prepareNetwork()
  const [first, second, third] = [await built(here, 1), await built(here, 2), await built(here, 3)]
  const lastUsed = new Map([
    [first.id, 1 * DAY_MS],
    [second.id, 2 * DAY_MS],
    [third.id, 3 * DAY_MS],
  ])
  const sweep = async (now: number, totalBytes: number): Promise<string[]> => {
    const order = { runner: here.runner, unusedMs: 5 * DAY_MS, totalBytes, now }
    const removed = await sweepImages(here.engine, { ...order, lastUsed: ({ id }) => lastUsed.get(id) })
    return removed.map(({ id }) => id)
  }
  const all = first.sizeBytes + second.sizeBytes + third.sizeBytes
  assert.deepEqual(await sweep(5 * DAY_MS, all), [])
  const user = await container(here, 'run_1.1', first.id)
  assert.deepEqual(await sweep(5 * DAY_MS, all - 1), [second.id])
  await here.engine.remove(user)
  assert.deepEqual(await sweep(7 * DAY_MS, all), [first.id])
  assert.deepEqual(await sweep(5 * DAY_MS, 0), [third.id])
  assert.ok(await here.engine.image(here.image))
})

async function container(here: EngineUnderTest, attempt: string, image = here.image): Promise<string> {
  const { id } = await here.engine.create({
    name: `${here.runner}-${attempt}`,
    image,
    command: ['true'],
    env: {},
    limits: { memoryBytes: 64 * 1024 ** 2, cpus: 0.5, processes: 20, tmpBytes: 1024 ** 2 },
    logBytes: 1024 ** 2,
    stopGraceSeconds: 1,
    labels: { runner: here.runner, attempt },
  })
  return id
}

async function built({ engine, runner, image }: EngineUnderTest, number: number) {
  const Dockerfile = `FROM ${image}\nRUN echo ${runner} ${number} >/mine\n`
  return engine.build(testingBuild(runner, { Dockerfile }, { name: `errand.test/${runner}:${number}` }))
}
