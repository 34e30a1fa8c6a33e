import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { builtinActionRegistry } from '../../src/actions/registry.ts'
import { createHostAgent } from '../../src/compat/host-agent/server.ts'
import { openAttempts } from '../../src/runner/open-attempts.ts'
import { cmdSpec, folder, httpHost, KeepingSink } from '../support/compat/hosts-fixture.ts'
import { eventually } from '../support/errand-command.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import type { Manner } from '../support/outside/manners.ts'
import { throughManners } from '../support/outside/through-manners.ts'
import {
  answerOf,
  ask,
  messages,
  openEndpoint,
  SENTINEL,
  startService,
} from '../support/runner/model-proxy-fixture.ts'
import { PUBLIC, proxyFixture, webServer } from '../support/runner/proxy-fixture.ts'

const LIMIT_MS = 400
/**
 * Whether the client sees silence in this manner. The proxy adds no limit of its own, so it is the client that gives
 * up.
 */
const isSilent = (manner: Manner): boolean => ['silent', 'stops_midway', 'late'].includes(manner)
const page = 'an answer is passed on as it is; the program that has asked judges it'

test('a model behind the proxy of a box fails in every way, and its endpoint stays open', async (t) => {
  await using service = await startService((_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(answerOf({ input_tokens: 10, output_tokens: 5 }))
  })
  const front = await Front.open(t, { behind: Number(new URL(service.url).port) })
  await using endpoint = await openEndpoint({ rules: [{ upstream: `http://${front.host}` }] })
  const { works } = await hubPlace(t)
  const request = (signal?: AbortSignal) =>
    ask(endpoint.url(), '/v1/messages', { headers: { 'x-api-key': SENTINEL }, body: messages(), signal })
  await throughManners(t, 'model behind the proxy', {
    front,
    works,
    except: { page },
    async spoiled(manner) {
      if (isSilent(manner)) return await assert.rejects(request(AbortSignal.timeout(LIMIT_MS)))
      const { status, json } = await request()
      assert.equal(status, 502)
      assert.ok(json.error!.message!.includes(front.host), json.error!.message)
    },
    async mended() {
      assert.equal((await request()).status, 200)
    },
  })
})

test('a server that a box reaches through the proxy fails in every way, and the way stays open', async (t) => {
  const behind = await webServer(t, (_request, response) => response.end('a whole answer'))
  const front = await Front.open(t, { behind })
  const proxy = proxyFixture(t)
  proxy.world({ names: { 'files.test': [[PUBLIC]] }, servers: { [`${PUBLIC}:80`]: front.port } })
  const socketPath = await proxy.open('one', { allow: ['files.test'] })
  const { works } = await hubPlace(t)
  const get = async (signal?: AbortSignal) => {
    const headers = { host: 'files.test' }
    const sent = request({ socketPath, path: 'http://files.test/hello', headers, agent: false, signal }).end()
    const [answer] = await once(sent, 'response')
    return { status: answer.statusCode, said: await text(answer) }
  }
  await throughManners(t, 'server of a box', {
    front,
    works,
    except: { page },
    async spoiled(manner) {
      if (isSilent(manner)) return await assert.rejects(get(AbortSignal.timeout(LIMIT_MS)))
      const { status, said } = await get()
      assert.equal(status, 502)
      assert.match(said, /^(files\.test cannot be reached|The connection to files\.test failed): /)
    },
    async mended() {
      assert.deepEqual(await get(), { status: 200, said: 'a whole answer' })
    },
  })
})

test('a host agent fails in every way: the run waits, names it and since when, and no command runs twice', async (t) => {
  const dir = await folder(t)
  const attempts = openAttempts({
    ...{ dir, registry: builtinActionRegistry, workspaceDir: dir, workspace: 'cwd' },
  })
  const agent = createHostAgent({ attempts, token: 'T', version: '1' })
  const { port } = await agent.listen(':0')
  t.after(async () => {
    await agent.close()
    await attempts.close()
  })
  const front = await Front.open(t, { behind: port })
  const { works } = await hubPlace(t)
  const host = httpHost(t, { requestTimeoutMs: LIMIT_MS })
  const address = `http://${front.host}`
  const begun = () => {
    const spec = cmdSpec(address, 'echo once')
    const sink = new KeepingSink()
    host.start(spec, { epoch: 1 }, sink)
    return sink
  }
  let sink = begun()
  assert.equal((await sink.ended).outcome, 'success')
  const received = () =>
    sink.reports
      .filter((report) => report.type === 'phase' || report.type === 'ended')
      .map(({ message }) => message ?? '')
      .find((message) => message.includes(`Host "web1" (${address})`))
  await throughManners(t, 'host agent', {
    front,
    works,
    async spoiled(manner) {
      sink = begun()
      const message = await eventually('a message about the host', received)
      const end = sink.reports.find(({ type }) => type === 'ended')
      if (end === undefined) assert.match(message, /It has been silent since \d\d:\d\d:\d\d UTC/)
      else assert.notEqual(end.type === 'ended' && end.outcome, 'success', manner)
    },
    async mended() {
      // Pending calls continue; the caller repeats failed ones.
      const { outcome } = await sink.ended
      if (outcome !== 'success') sink = begun()
      assert.equal((await sink.ended).outcome, 'success')
      assert.equal(sink.text('stdout'), 'once\n')
    },
  })
})
