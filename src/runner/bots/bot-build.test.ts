import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { botPlace } from '../../../test/support/docker/bot-place.ts'
import { baseImage, dockerHere, labelled } from '../../../test/support/docker/docker.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import { fromHub } from '../../../test/support/runner/secret-fixture.ts'
import { rawTar } from '../../../test/support/sources/archive-fixture.ts'
import { connectDocker } from '../docker/connected-docker.ts'
import { HubRequests } from '../link/hub-requests.ts'
import type { HeldAttempt } from '../ports.ts'
import { fetchUpload } from './fetch-upload.ts'

const skip = await dockerHere()

/** Makes a hub that has these uploads, and a runner that fetches them there. */
async function withUploads(t: TestContext, options?: Parameters<typeof botPlace>[1]) {
  const uploads = new Map<string, Buffer>()
  const faults: ((response: ServerResponse) => void)[] = []
  const server = createServer((request, response) => {
    const fault = faults.shift()
    if (fault !== undefined) return fault(response)
    const found = uploads.get(/^\/under\/api\/uploads\/(\w+)$/.exec(request.url!)?.[1] ?? '')
    const known = request.headers.authorization === 'Bearer its-token'
    if (known && found) return response.writeHead(200).end(found)
    const code = known ? 'not_found' : 'unauthorized'
    response.writeHead(known ? 404 : 401).end(JSON.stringify({ error: { code, message: 'It is not here.' } }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const hub = new HubRequests({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/under/`,
    token: 'its-token',
  })
  const here = await botPlace(t, { fetchUpload: (...upload) => fetchUpload(hub, ...upload), ...options })
  return {
    ...here,
    uploads,
    /** Answers to the next requests, instead of the usual ones. */
    faults,
    async archive(steps: readonly string[], more: object = {}) {
      const dockerfile = [`FROM ${await baseImage('busybox:latest')}`, ...steps].join('\n')
      const packed = gzipSync(rawTar([{ name: 'Dockerfile', content: dockerfile }]))
      const upload = createHash('sha256').update(packed).digest('hex')
      uploads.set(upload, packed)
      return here.bot('', { source: { mode: 'archive', upload }, command: undefined }, more)
    },
  }
}

const phases = ({ reports }: HeldAttempt): string[] =>
  reports.flatMap((report) => (report.type === 'phase' ? [`${report.phase}: ${report.message}`] : []))

test('a bot is built from an archive of the hub, and its build reports its progress', {
  skip,
}, async (t) => {
  const here = await withUploads(t)
  const attempts = here.open()
  const steps = ['RUN echo building', 'CMD ["echo", "built and run"]']
  const attempt = await attempts.start(await here.archive(steps), 1)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(await textOf(attempt), 'built and run\n')
  assert.equal(phases(attempt)[0], 'building: undefined')
  assert.match(phases(attempt).at(-1)!, /^running: /)
  assert.deepEqual(await here.containers(), [])
  await attempts.close()
})

test('two of four bots are built at once, the others report that they wait, and all run', {
  skip,
}, async (t) => {
  const atOnce = { now: 0, most: 0 }
  const here = await withUploads(t, {
    connect: async (env, runner) => {
      const engine = await connectDocker(env, runner)
      const build = engine.build.bind(engine)
      engine.build = async (order) => {
        atOnce.most = Math.max(atOnce.most, ++atOnce.now)
        return await build(order).finally(() => atOnce.now--)
      }
      return engine
    },
  })
  const attempts = here.open()
  const bots = await Promise.all(
    Array.from({ length: 4 }, (_, n) => here.archive([`RUN echo ${n}`, `CMD ["echo", "built ${n}"]`])),
  )
  const started = await Promise.all(
    bots.map((bot, n) => attempts.start({ ...bot, attempt_id: `run_${n}.1` }, 1)),
  )
  for (const [n, attempt] of started.entries()) {
    assert.equal((await endOf(attempt)).outcome, 'success')
    assert.equal(await textOf(attempt), `built ${n}\n`)
  }
  assert.equal(atOnce.most, 2)
  const waits = /^building: Waiting for other builds: this runner builds at most 2 images at once\.$/
  assert.ok(started.some((attempt) => phases(attempt).some((line) => waits.test(line))))
  await attempts.close()
})

test('a failed build has its last lines in the message, and none of the secrets', { skip }, async (t) => {
  const here = await withUploads(t)
  const attempts = here.open()
  const spec = await here.archive(['RUN echo "the secret-text-9"; exit 9'], {
    secrets: { TOKEN: fromHub('TOKEN') },
  })
  const attempt = await attempts.start(spec, 1, { TOKEN: 'secret-text-9' })
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'build_failed'])
  assert.match(end.message!, /the \*\*\*/)
  assert.doesNotMatch(JSON.stringify(attempt.reports), /secret-text-9/)
  await attempts.close()
})

test('an upload that is missing or does not match its name is an error that names it', {
  skip,
}, async (t) => {
  const here = await withUploads(t)
  const attempts = here.open()
  const missing = await here.archive(['CMD ["true"]'])
  here.uploads.clear()
  const false_ = await here.archive(['CMD ["false"]'])
  for (const name of here.uploads.keys()) here.uploads.set(name, Buffer.from('something else'))
  const ends = await Promise.all(
    [missing, false_].map(async (spec) => await endOf(await attempts.start(spec, 1))),
  )
  assert.deepEqual([ends[0]!.outcome, ends[0]!.reason], ['failed', 'source_refused'])
  assert.match(ends[0]!.message!, /The hub has no upload [0-9a-f]{64}\. Upload the archive again/)
  assert.equal(ends[1]!.outcome, 'failed')
  assert.match(
    ends[1]!.message!,
    /could not be fetched from the hub: the SHA-256 of the received data is [0-9a-f]{64}/,
  )
  await attempts.close()
})

test('a hub that is or becomes unavailable while an upload is fetched is asked again', {
  skip,
}, async (t) => {
  const here = await withUploads(t)
  const attempts = here.open()
  const spec = await here.archive(['CMD ["echo", "built and run"]'])
  here.faults.push(
    (response) => response.destroy(),
    (response) => response.writeHead(503).end(),
    (response) => response.writeHead(200).write('a part', () => response.destroy()),
  )
  const attempt = await attempts.start(spec, 1)
  const end = await endOf(attempt)
  assert.equal(end.outcome, 'success', end.message)
  assert.equal(await textOf(attempt), 'built and run\n')
  assert.deepEqual(here.faults, [])
  await attempts.close()
})

test('a bot is canceled during its build, and nothing of the build is left; a closed runner builds again', {
  skip,
}, async (t) => {
  const here = await withUploads(t)
  const first = here.open()
  const spec = await here.archive(['RUN echo begun; sleep 1000'])
  const building = await first.start(spec, 1)
  await until(() => phases(building).some((text) => text.includes('begun')))
  await first.close()
  const attempts = here.open()
  const [again] = await attempts.recover()
  const before = phases(again!).length
  await until(() =>
    phases(again!)
      .slice(before)
      .some((text) => text.includes('begun')),
  )
  again!.cancel(1, 'canceled')
  const end = await endOf(again!)
  assert.deepEqual([end.outcome, end.reason], ['canceled', 'canceled'])
  await until(async () => (await labelled(here.label)).containers.length === 0)
  assert.deepEqual(
    readdirSync(join(here.path, 'attempts', spec.attempt_id)).filter((name) => /image|upload/.test(name)),
    [],
  )
  await attempts.close()
})

test('no secret ends up in an image or a file of a bot', { skip }, async (t) => {
  const here = await withUploads(t)
  const attempts = here.open()
  const secrets = { KEY: fromHub('KEY', 'file') }
  const attempt = await attempts.start(here.bot('true', {}, { secrets }), 1, { KEY: 'k'.repeat(20) })
  const end = await endOf(attempt)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'invalid_argument'])
  assert.match(end.message!, /Secret KEY of bot "test-\d+" cannot be a file/)
  const inside = here.bot(
    'true',
    {
      source: { mode: 'simple', files: { 'a.py': 'print("\0secret:KEY\0")' }, entrypoint: 'a.py' },
    },
    { secrets: { KEY: fromHub('KEY') } },
  )
  const refused = await endOf(await attempts.start(inside, 1, { KEY: 'k'.repeat(20) }))
  assert.deepEqual([refused.outcome, refused.reason], ['failed', 'invalid_argument'])
  assert.match(refused.message!, /would then be in its image/)
  await attempts.close()
})
