import assert from 'node:assert/strict'
import { join } from 'node:path'
import test from 'node:test'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import { Fleet } from '../../src/hub/fleet/fleet.ts'
import { eventually } from '../support/errand-command.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { onBuilders, runnerOf } from '../support/provisioners/builders.ts'

const errand = join(import.meta.dirname, '../../bin/errand')

test('a run set aside continues with its files on its provisioned runner, and its cancel removes that runner', async (t) => {
  const builders = { provisioner: 'process', max: 3, idle_seconds: 0 }
  const { client } = await hubPlace(t, {
    config: { groups: { builders } },
    hub: {
      makers: {
        ...{ runner: [errand, 'runner'], env: { PATH: process.env.PATH, HOME: process.env.HOME } },
        patience: { sweepMs: 100 },
      },
    },
  })
  const ended = (id: string) =>
    eventually(`the end of ${id}`, async () => {
      const run = await client.runs.get(id)
      return run.finished_at !== undefined && run
    })
  const start = async (...cmds: string[]) => (await client.runs.create({ yaml: onBuilders(...cmds) })).run_id
  const runners = async () => (await client.runners.groups({ name: 'builders' }))[0]!.pool!.runners
  const { place } = Fleet.prototype
  const broken = t.mock.method(Fleet.prototype, 'place', function (this: Fleet, spec: AttemptSpec) {
    if (spec.step === 's1') throw new TypeError('place is broken')
    return place.call(this, spec)
  })
  const ids = [await start('echo one > kept', 'cat kept'), await start('echo two > kept', 'cat kept')]
  const [resumed, canceled] = ids as [string, string]
  await eventually('both to be set aside', async () => (await client.facts()).runs_set_aside === 2)
  // After this run, the runners of all ended runs are removed, because one has come and gone since then.
  assert.equal((await ended(await start('echo hello'))).status, 'success')
  const held = await eventually('the removal of the others', async () => {
    const there = (await runners()).filter(({ state }) => state !== 'removed')
    return there.length === 2 && there
  })
  assert.deepEqual(
    held.map(({ run_id, state }) => [run_id, state]).toSorted(),
    ids.map((id) => [id, 'working']).toSorted(),
  )
  broken.mock.restore()
  await client.runs.resume(resumed)
  const run = await ended(resumed)
  assert.deepEqual([run.status, runnerOf(run, 1)], ['success', runnerOf(run, 0)])
  await client.runs.cancel(canceled)
  await eventually('the removal of both', async () =>
    (await runners()).every(({ state }) => state === 'removed'),
  )
})
