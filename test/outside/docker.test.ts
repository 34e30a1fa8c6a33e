import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { isFinalRun } from '../../src/contract/status.ts'
import { labelled, noteMade, removeLabelled } from '../support/docker/docker.ts'
import { eventually } from '../support/errand-command.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { workflowText } from '../support/programs.ts'
import { BOX_LABEL, containersMissing, IMAGE } from '../support/runner/container-fixture.ts'

const ENGINE = (process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock').replace('unix://', '')

test('Docker fails in every way under a runner, is named, and is used again', {
  skip: containersMissing,
}, async (t) => {
  const place = await hubPlace(t)
  const path = join(place.home, 'engine.sock')
  const front = await Front.open(t, { behind: ENGINE, path })
  const runner = await place.addRunner('with-docker', { DOCKER_HOST: `unix://${path}` })
  const { client } = place

  let count = 0
  const boxed = async () => {
    const inventory = { hosts: { boxes: { runner: 'with-docker' } } }
    const step = {
      name: 'boxed',
      targets: ['boxes'],
      cmd: `echo in a box ${++count}`,
      isolation: 'container',
      image: IMAGE,
    }
    return (await client.runs.create({ yaml: workflowText([step], { inventory }) })).run_id
  }
  const seen = async (runId: string) => {
    const { status, steps } = await client.runs.get(runId)
    const { message, waiting } = steps[0]!.instances[0] ?? {}
    return { status, said: message ?? waiting ?? steps[0]!.waiting ?? '' }
  }
  const first = await boxed()
  await eventually('the first box', async () => (await seen(first)).status === 'success')
  const label = `${BOX_LABEL}=${readFileSync(join(runner.folder, 'sandbox', 'containers-name'), 'utf8')}`
  noteMade('label', label)
  t.after(() => removeLabelled(label))

  await throughManners(t, 'docker', {
    front,
    async spoiled() {
      const runId = await boxed()
      const { status, said } = await eventually('a message about Docker', async () => {
        const now = await seen(runId)
        return (isFinalRun(now.status) || now.said.includes(path)) && now
      })
      assert.notEqual(status, 'success')
      assert.ok(said.includes(path), `${status}: ${said}`)
      if (!isFinalRun(status)) await client.runs.cancel(runId)
    },
    async works() {
      const { exitCode, signalCode } = runner.child
      assert.deepEqual([exitCode, signalCode], [null, null], runner.printed.stderr)
      await place.works()
      await place.works('with-docker')
    },
    async mended() {
      const runId = await boxed()
      const { status, said } = await eventually('the end in a box', async () => {
        const now = await seen(runId)
        return isFinalRun(now.status) && now
      })
      assert.equal(status, 'success', said)
      await eventually('no container to be left', async () => (await labelled(label)).containers.length === 0)
    },
  })
})

test('a runner that starts while Docker is silent works without it, and finds it later', {
  skip: containersMissing,
}, async (t) => {
  const place = await hubPlace(t)
  const path = join(place.home, 'engine.sock')
  const front = await Front.open(t, { behind: ENGINE, path })
  await front.set('silent')
  const runner = await place.addRunner('with-docker', { DOCKER_HOST: `unix://${path}` })
  await place.works('with-docker')
  const container = async () => {
    const all = await place.client.runners.list()
    return all.find(({ id }) => id === 'with-docker')!.isolation!.container
  }
  const { usable, why } = await container()
  assert.equal(usable, false)
  assert.ok(why!.includes(path), why)
  await front.set('well')
  await eventually('Docker to be found', async () => (await container()).usable)
  assert.deepEqual([runner.child.exitCode, runner.child.signalCode], [null, null], runner.printed.stderr)
})
