import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import { workflowText } from '../support/programs.ts'
import { makeCertificate } from '../support/sources/git-fixture.ts'

const LIMIT_MS = 400

interface Asked {
  method: string
  path: string
  query: URLSearchParams
  // biome-ignore lint/suspicious/noExplicitAny: what comes is whatever a client sends.
  body: any
}

/** A service of JSON over HTTP; answers its port. */
async function jsonService(t: TestContext, answer: (asked: Asked) => [status: number, body?: unknown]) {
  const server = createServer(async (request, response) => {
    const text = Buffer.concat(await request.toArray()).toString()
    const { pathname, searchParams } = new URL(request.url!, 'http://service')
    const asked = { method: request.method!, path: pathname, query: searchParams }
    const [status, body] = answer({ ...asked, body: text === '' ? undefined : JSON.parse(text) })
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    response.writeHead(status, headers).end(body === undefined ? undefined : JSON.stringify(body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** As much of an engine as a provisioner needs: containers that are made and never say anything. */
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

/** As much of Kubernetes as a provisioner needs: Jobs whose pods never come. */
async function clusterStandIn(t: TestContext) {
  const there = new Map<string, object>()
  const made: string[] = []
  const status = (code: number, reason: string) =>
    [code, { kind: 'Status', reason, message: reason }] as [number, unknown]
  const port = await jsonService(t, ({ method, path, body }) => {
    const [kind, name] = path.split('/').slice(path.startsWith('/apis/') ? 6 : 5) as [string, string?]
    if (kind !== 'jobs')
      return method === 'POST' ? [201, body] : name ? status(404, 'NotFound') : [200, { items: [] }]
    if (method === 'POST') {
      const id = body.metadata.name as string
      if (there.has(id)) return status(409, 'AlreadyExists')
      const job = {
        ...body,
        metadata: { ...body.metadata, uid: id, creationTimestamp: new Date().toISOString() },
      }
      there.set(id, job)
      made.push(id)
      return [201, job]
    }
    if (name === undefined) return [200, { items: [...there.values()] }]
    const job = there.get(name)
    if (job === undefined) return status(404, 'NotFound')
    if (method === 'DELETE') there.delete(name)
    return [200, job]
  })
  return { port, made, there }
}

test('an engine that makes runners fails in every manner, is named with since when, and is used again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-kubeconfig-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const tls = makeCertificate(folder, 'IP:127.0.0.1')
  const [engine, cluster] = [await engineStandIn(t), await clusterStandIn(t)]
  const fronts = {
    docker: await Front.open(t, { behind: engine.port }),
    kubernetes: await Front.open(t, { behind: cluster.port, tls }),
  }
  const kubeconfig = join(folder, 'config')
  const authority = Buffer.from(tls.cert).toString('base64')
  const server = `https://${fronts.kubernetes.host}`
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': authority } }],
      users: [{ name: 'c', user: { token: 'a-token' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c', namespace: 'runners' } }],
    }),
  )
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
    const through = {
      front: fronts[service],
      works,
      async spoiled() {
        const beganMs = Date.now()
        runId = (await client.runs.create({ yaml })).run_id
        const [one] = await eventually(`${service} to be named`, async () => {
          const all = await failing(address)
          return all.length > 0 && all
        })
        assert.equal(one!.service, service)
        assert.ok(Date.parse(one!.since) >= beganMs, one!.since)
        assert.ok(one!.message.includes(fronts[service].host), one!.message)
        // The run waits, and says for what.
        const why = await eventually('why it waits', async () => {
          const { waiting } = (await client.runs.get(runId)).steps[0]!
          return waiting?.includes(fronts[service].host) && waiting
        })
        const [, since] = / is being started for it: .* has not answered since (20\S+Z): /.exec(why) ?? []
        assert.ok(Date.parse(since!) >= beganMs, why)
        // Silence is no verdict on a runner: none has failed, and none is taken away.
        const [{ pool } = {}] = await client.runners.groups({ name: service })
        assert.deepEqual([pool?.counts.removing, pool?.breaker], [0, undefined])
      },
      async mended() {
        const before = standIn.made.length
        const isMade = () => standIn.made.length > before || standIn.there.size > 0
        await eventually('a runner to be made', isMade)
        await eventually('it to be well', async () => (await failing(address)).length === 0)
        await client.runs.cancel(runId)
        await eventually('it to be taken away', () => standIn.there.size === 0)
      },
    }
    if (row === 'kubernetes') await throughManners(t, 'kubernetes', through)
    else await throughManners(t, 'docker provisioner', through)
  }
})
