import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { clusterStandIn, frontOf } from '../support/kubernetes/stand-in.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { jsonService } from '../support/outside/json-service.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { workflowText } from '../support/programs.ts'

const LIMIT_MS = 400

/** Starts as much of an engine as a provisioner needs: its containers can be created and never print anything. */
async function engineStandIn(t: TestContext) {
  const there = new Map<string, { labels: Record<string, string> }>()
  const made: string[] = []
  const port = await jsonService(t, ({ method, path, query, body }) => {
    const [, , name = ''] = path.split('/')
    const missing = [404, { message: `No such container: ${name}` }] as [number, unknown]
    if (path === '/containers/json')
      return [200, [...there].map(([Id, { labels: Labels }]) => ({ Id, Labels, State: 'running' }))]
    if (path === '/volumes') return [200, { Volumes: null }]
    if (path.startsWith('/images/'))
      return [200, { Id: 'image', Config: { Labels: { 'errand.runner-version': '1' } } }]
    if (path === '/containers/create') {
      const id = query.get('name')!
      if (there.has(id)) return [409, { message: 'Conflict' }]
      there.set(id, { labels: body.Labels })
      made.push(id)
      return [201, { Id: id }]
    }
    if (!there.has(name)) return missing
    if (method === 'DELETE') there.delete(name)
    if (method !== 'GET') return [204]
    const { labels: Labels } = there.get(name)!
    return [200, { Id: name, Config: { Labels }, State: { Running: true, Status: 'running' } }]
  })
  return { port, made, there }
}

test('an engine that creates runners fails in every way, is named with its first failure, and is used again', async (t) => {
  const [engine, cluster] = [await engineStandIn(t), await clusterStandIn(t)]
  const { front, kubeconfig } = await frontOf(t, cluster.port)
  const fronts = { docker: await Front.open(t, { behind: engine.port }), kubernetes: front }
  const reached = { hub_url: 'http://errand.example:3000', start_seconds: 300, max: 50 }
  const place = await hubPlace(t, {
    config: {
      groups: {
        docker: {
          ...{ provisioner: 'docker', image: 'errand', pull: 'never', ...reached },
          docker_host: `tcp://${fronts.docker.host}`,
        },
        kubernetes: { provisioner: 'kubernetes', image: 'errand', kubeconfig, ...reached },
      },
    },
    hub: { makers: { runner: [], env: {}, patience: { sweepMs: 300, engineMs: LIMIT_MS } } },
  })
  const { client, works, failing } = place

  for (const [service, row, standIn] of [
    ['docker', 'docker provisioner', engine],
    ['kubernetes', 'kubernetes', cluster],
  ] as const) {
    const address = service === 'docker' ? `tcp://${fronts.docker.host}` : fronts.kubernetes.host
    const inventory = { hosts: { build: { group: service } } }
    const yaml = workflowText([{ name: 'one', targets: ['build'], cmd: 'true' }], { inventory })
    let runId = ''
    // A call of the hub may have begun before the run, and before the engine failed.
    let wellMs = Date.now() - LIMIT_MS
    const through = {
      front: fronts[service],
      works,
      async spoiled() {
        runId = (await client.runs.create({ yaml })).run_id
        const [one] = await eventually(`${service} to be named`, async () => {
          const all = await failing(address)
          return all.length > 0 && all
        })
        assert.equal(one!.service, service)
        assert.ok(Date.parse(one!.since) >= wellMs, one!.since)
        assert.ok(one!.message.includes(fronts[service].host), one!.message)
        // The run waits and says what for.
        const why = await eventually('why it waits', async () => {
          const { waiting } = (await client.runs.get(runId)).steps[0]!
          return waiting?.includes(fronts[service].host) && waiting
        })
        const [, since] = / is being started for it: .* has not answered since (20\S+Z): /.exec(why) ?? []
        assert.ok(Date.parse(since!) >= wellMs, why)
        // Silence says nothing about a runner: none has failed, and none is removed.
        const [{ pool } = {}] = await client.runners.groups({ name: service })
        assert.deepEqual([pool?.counts.removing, pool?.breaker], [0, undefined])
      },
      async mended() {
        const before = standIn.made.length
        const isMade = () => standIn.made.length > before || standIn.there.size > 0
        await eventually('a runner to be created', isMade)
        await eventually('it to be healthy', async () => (await failing(address)).length === 0)
        await client.runs.cancel(runId)
        await eventually('it to be removed', async () => {
          const [{ pool } = {}] = await client.runners.groups({ name: service })
          return standIn.there.size === 0 && pool?.counts.removing === 0
        })
        wellMs = Date.now() - LIMIT_MS
      },
    }
    if (row === 'kubernetes') await throughManners(t, 'kubernetes', through)
    else await throughManners(t, 'docker provisioner', through)
  }
})
