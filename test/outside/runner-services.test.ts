import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import test from 'node:test'
import { httpRequestWithin } from '../../src/actions/http-request.ts'
import { ArtifactStoreClient } from '../../src/compat/artifact-store.ts'
import type { AttemptSpec } from '../../src/contract/attempt.ts'
import type { ErrandError } from '../../src/contract/errors.ts'
import type { Artifact } from '../../src/contract/tasks/artifact.ts'
import { StoreOutbox } from '../../src/runner/artifacts/store-outbox.ts'
import { eventually } from '../support/errand-command.ts'
import { startModelServer } from '../support/model-server/server.ts'
import { Front } from '../support/outside/front.ts'
import { hubPlace } from '../support/outside/hub-place.ts'
import { takingService } from '../support/outside/taking-service.ts'
import { throughManners } from '../support/outside/through-manners.ts'

const LIMIT_MS = 400
const { signal } = new AbortController()

test('a model service fails in every way under a runner, is named, and is used again', async (t) => {
  const model = await startModelServer({ script: [{ text: 'Done.' }] })
  t.after(() => model.stop())
  const front = await Front.open(t, { behind: Number(new URL(model.url).port) })
  const { run, works } = await hubPlace(t, {
    runnerEnv: {
      OPENAI_BASE_URL: `http://${front.host}/v1`,
      OPENAI_API_KEY: 'a-key',
    },
  })
  const args = { agent: 'builtin', prompt: 'Go.' }
  const env = { ERRAND_MODEL_TIMEOUT_SECONDS: '1', ERRAND_MODEL_RETRIES: '0' }
  const request = async () => {
    const view = await run({ name: 'ask', action: 'agent.run', args, env })
    return { status: view.status, message: view.steps[0]!.instances[0]!.message ?? '' }
  }
  await throughManners(t, 'model', {
    front,
    works,
    async spoiled() {
      const { status, message } = await request()
      assert.equal(status, 'failed', message)
      assert.ok(message.includes(front.host), message)
    },
    async mended() {
      const { status, message } = await request()
      assert.equal(status, 'success', message)
    },
  })
})

test('a server that http.request uses fails in every way, is named, and is used again', async (t) => {
  const service = await takingService(t, { fine: true })
  const front = await Front.open(t, { behind: service.port })
  const { works } = await hubPlace(t)
  const action = httpRequestWithin(LIMIT_MS)
  assert.ok(action.kind === 'inline')
  const sent = async () => {
    let stdout = ''
    const args = { url: `http://${front.host}/orders`, method: 'POST', body: 'an order' }
    await action.run({ action: 'http.request', args, step: 'one', env: {} } as unknown as AttemptSpec, {
      ...{ signal, env: {}, cwd: '/', shown: (text: string) => text },
      async write(_stream, bytes) {
        stdout += bytes.toString()
      },
    })
    return stdout
  }
  await throughManners(t, 'server of http.request', {
    front,
    works,
    except: {
      page: 'an answer is the output of the step, whatever it is; its author says which status is wrong',
    },
    async spoiled() {
      await assert.rejects(sent(), (error: ErrandError) => {
        assert.equal(error.code, 'host_unreachable')
        assert.ok(error.message.startsWith(`POST http://${front.host}/orders failed: `), error.message)
        return true
      })
    },
    async mended() {
      assert.equal(await sent(), '{"fine":true}')
    },
  })
})

test('an artifact store fails in every way, and has each artifact once it is healthy', async (t) => {
  const store = await takingService(t, { uri: 'store://1' })
  const front = await Front.open(t, { behind: store.port })
  const { works } = await hubPlace(t)
  const dir = mkdtempSync(join(tmpdir(), 'errand-outbox-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const log: string[] = []
  const stored: string[] = []
  const url = `http://${front.host}/store`
  const outbox = new StoreOutbox({
    sink: {
      put: async (_spec, { name }) => void stored.push(name),
      get: async () => Readable.from(['x']),
    },
    service: new ArtifactStoreClient({ url, timeoutMs: LIMIT_MS, retries: 0 }),
    dir: join(dir, 'outbox'),
    retryMs: 100,
    log: (line) => void log.push(line),
  })
  t.after(() => outbox.close())
  const file = join(dir, 'file')
  let count = 0
  let name = ''
  const taken = () => store.took.some(({ body }) => body.includes(name))
  await throughManners(t, 'artifact store', {
    front,
    works,
    async spoiled() {
      name = `artifact-${++count}.diff`
      writeFileSync(file, `content of ${name}`)
      log.length = 0
      const artifact = { artifact_id: '2.1', kind: 'diff', name, sha256: 'a' } as Artifact
      const spec = { run_id: 'run_1', step: 'carry', attempt_id: 'run_1.2' } as AttemptSpec
      // The failure delays nothing.
      await outbox.put(spec, artifact, file, signal)
      assert.equal(stored.at(-1), name)
      const line = await eventually('a message about the store', () => log[0])
      assert.ok(line.startsWith(`Uploads to the artifact store at ${url} have been delayed since 20`), line)
    },
    async mended() {
      await eventually('the artifact', taken)
      const again = await eventually('a message that it is back', () =>
        log.find((line) => line.includes('is back')),
      )
      assert.ok(again.includes(url), again)
    },
  })
  assert.ok(!log.some((line) => line.includes('given up')))
  assert.equal(readFileSync(file, 'utf8'), `content of ${name}`)
})
