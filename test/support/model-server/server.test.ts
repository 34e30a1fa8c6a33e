import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import {
  type ModelServer,
  type ModelServerOptions,
  runTurn,
  startModelServer,
  writeFileTurn,
} from './server.ts'

const shell = { name: 'bash', parameters: { properties: { command: {} } } }
const tools = {
  messages: [{ name: 'bash', input_schema: shell.parameters }],
  responses: [{ type: 'function', ...shell }],
  'chat/completions': [{ type: 'function', function: shell }],
}
type Path = keyof typeof tools
const paths = Object.keys(tools) as Path[]

async function start(context: TestContext, options: ModelServerOptions): Promise<ModelServer> {
  const server = await startModelServer(options)
  context.after(() => server.stop())
  return server
}

function ask(server: ModelServer, path: Path, key = 'k', body: object = {}): Promise<Response> {
  const prompt = [{ role: 'user', content: 'Hello' }]
  const all = { model: 'm', messages: prompt, input: prompt, tools: tools[path], stream: true, ...body }
  const headers = { 'x-api-key': key, 'content-type': 'application/json' }
  return fetch(`${server.url}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(all) })
}

describe('the model server', () => {
  for (const path of paths) {
    it(`streams text and a tool call to ${path}, and returns the same without streaming`, async (context) => {
      const turn = { text: 'A rather long text.', ...runTurn('echo hi') }
      const server = await start(context, { script: () => turn })
      const streamed = await (await ask(server, path)).text()
      const whole = await (await ask(server, path, 'k', { stream: false })).text()
      assert.match(streamed, /^(event: .*\n)?data: \{/)
      assert.match(whole, /A rather long text\./)
      assert.match(whole, /echo hi/)
      assert.match(streamed, /A rather lon/)
      assert.match(streamed, /bash/)
      assert.deepEqual(server.requests[0]?.prompts, ['Hello'])
      assert.deepEqual(server.tokens, { input: 200, cached: 0, output: 20 })
    })

    it(`fails and breaks off as scripted on ${path}`, async (context) => {
      const server = await start(context, {
        script: [
          { fail: { status: 429, headers: { 'retry-after': '7' } } },
          { text: 'Some text to be cut.', breakAfterBytes: 40 },
          writeFileTurn('/nowhere', ''),
        ],
      })
      const failed = await ask(server, path)
      assert.equal(failed.status, 429)
      assert.equal(failed.headers.get('retry-after'), '7')
      assert.match(await failed.text(), /rate_limit_error/)
      await assert.rejects((await ask(server, path)).text())
      const whole = await ask(server, path, 'k', { stream: false })
      assert.match(await whole.text(), /printf %s '' > '\/nowhere'/)
      assert.match(await (await ask(server, path)).text(), /Done\./)
    })
  }

  it('separates sessions by key, otherwise by model, and accepts only those it knows', async (context) => {
    const scripts: Record<string, string> = { 'key-a': 'for a', 'key-b': 'for b', 'model-c': 'for c' }
    const server = await start(context, {
      keys: ['key-a', 'key-b', 'key-c'],
      models: ['m', 'model-c'],
      scriptFor: (name) => (scripts[name] === undefined ? undefined : [{ text: scripts[name] }]),
    })
    const text = async (key: string, model = 'm') =>
      await (await ask(server, 'messages', key, { model, stream: false })).text()
    assert.match(await text('key-a'), /for a/)
    assert.match(await text('key-b'), /for b/)
    assert.match(await text('key-c', 'model-c'), /for c/)
    assert.match(await text('key-a'), /Done\./)
    assert.equal((await ask(server, 'messages', 'other')).status, 401)
    assert.equal((await ask(server, 'messages', 'key-a', { model: 'n' })).status, 404)
  })

  it('gives each of 30 simultaneous sessions its own turns in order', async (context) => {
    const server = await start(context, {
      scriptFor: (name) => ['one', 'two', 'three'].map((turn) => ({ text: `${name} ${turn}`, delayMs: 1 })),
    })
    const session = async (key: string): Promise<void> => {
      for (const turn of ['one', 'two', 'three']) {
        const answer = await ask(server, 'messages', key, { stream: false })
        assert.match(await answer.text(), new RegExp(`"${key} ${turn}"`))
      }
    }
    await Promise.all(Array.from({ length: 30 }, (_, index) => session(`key-${index}`)))
  })

  it('answers requests without tools outside the script', async (context) => {
    const server = await start(context, { script: [{ text: 'first' }] })
    const aside = await (await ask(server, 'messages', 'k', { tools: [], stream: false })).text()
    assert.match(aside, /A title/)
    assert.match(await (await ask(server, 'messages', 'k', { stream: false })).text(), /first/)
    assert.deepEqual(
      server.requests.map(({ side }) => side),
      [true, false],
    )
    assert.equal(server.scripted.length, 1)
  })

  it('refuses a turn for which no tool is offered, and records why', async (context) => {
    const server = await start(context, { script: [{ toolCalls: [{ kind: 'read', args: { path: 'f' } }] }] })
    const nothing = [{ name: 'sing', input_schema: {} }]
    assert.equal((await ask(server, 'messages', 'k', { tools: nothing })).status, 400)
    assert.deepEqual(server.errors, ['no tool to read among those offered: sing'])
  })

  it('can be stopped twice, with a stream that hangs', async (context) => {
    const server = await start(context, { script: [{ text: 'begun', hang: true }] })
    const response = await ask(server, 'messages')
    const reading = response.text()
    await server.stop()
    await server.stop()
    await assert.rejects(reading)
    assert.deepEqual(server.errors, [])
  })
})
