import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { costOf, listPrices, priceOf, pricesFrom } from './prices.ts'
import type { LogEntry } from './rules.ts'
import { AnswerCount, type Api, estimateOf, sumLog } from './usage-count.ts'

const event = (data: object, name?: string) =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`
const text = 'Hello, wörld 🙂 with \u2028 and "usage": {"output_tokens": 99999}. '.repeat(3)
const textBytes = Buffer.byteLength(text)

/** Streams as the services send them, the end of their text, and their totals. */
const streams: Record<Api, { parts: string[]; textEnds: number; tokens: object }> = {
  messages: {
    parts: [
      event({
        type: 'message_start',
        message: {
          usage: {
            ...{
              input_tokens: 12,
              cache_creation_input_tokens: 300,
              cache_read_input_tokens: 4000,
              output_tokens: 2,
            },
            cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
          },
        },
      }),
      event({ type: 'ping' }, 'ping'),
      event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
      ': a comment\n\n',
      event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 55 } }),
      event({ type: 'message_stop' }),
    ],
    textEnds: 3,
    tokens: {
      ...{ input: 12, output: 55, cache_read: 4000, cache_write: 300, cache_write_hour: 200, reasoning: 0 },
    },
  },
  responses: {
    parts: [
      event({ type: 'response.created', response: { status: 'in_progress', usage: null } }),
      event({ type: 'response.output_text.delta', delta: text }),
      event({
        type: 'response.completed',
        response: {
          output: [{ text }],
          usage: {
            ...{ input_tokens: 1000, output_tokens: 80, total_tokens: 1080 },
            input_tokens_details: { cached_tokens: 600, cache_write_tokens: 300 },
            output_tokens_details: { reasoning_tokens: 30 },
          },
        },
      }),
    ],
    textEnds: 2,
    tokens: { input: 100, output: 50, cache_read: 600, cache_write: 300, reasoning: 30 },
  },
  chat: {
    parts: [
      event({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }], usage: null }),
      event({ choices: [{ index: 0, delta: { content: text } }], usage: null }),
      event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null }),
      event({
        choices: [],
        usage: {
          ...{ prompt_tokens: 500, completion_tokens: 70, total_tokens: 570 },
          prompt_tokens_details: { cached_tokens: 400 },
          completion_tokens_details: { reasoning_tokens: 20 },
        },
      }),
      'data: [DONE]\n\n',
    ],
    textEnds: 2,
    tokens: { input: 100, output: 50, cache_read: 400, cache_write: 0, reasoning: 20 },
  },
}
const apis = Object.keys(streams) as Api[]

function count(api: Api, chunks: readonly Buffer[], { stream = true, whole = true } = {}) {
  const counter = new AnswerCount(api, { stream, estimatedInput: 777 })
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk)
    counter.push(bytes)
    // The sender may reuse the memory.
    bytes.fill(0)
  }
  return counter.end(whole)
}

describe('counting', () => {
  for (const api of apis) {
    const { parts, textEnds, tokens } = streams[api]
    const bytes = Buffer.from(parts.join(''))

    it(`reads ${api}, however the bytes are cut`, () => {
      fc.assert(
        fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), fc.boolean(), (cuts, crlf) => {
          const all = crlf ? Buffer.from(bytes.toString().replaceAll('\n', '\r\n')) : bytes
          const at = [...cuts, 0, all.length].sort((a, b) => a - b)
          const chunks = at.slice(1).map((end, index) => all.subarray(at[index], end))
          assert.deepEqual(count(api, chunks), { tokens, estimated: false })
        }),
        { numRuns: 200 },
      )
    })

    it(`counts a stream of ${api} that breaks at any byte up to that byte`, () => {
      const reportedBytes = Buffer.byteLength(parts.slice(0, textEnds).join(''))
      let before = 0
      for (let length = 0; length <= bytes.length; length++) {
        const found = count(api, [bytes.subarray(0, length)], { whole: length === bytes.length })
        const { input, output, reasoning, cache_read, cache_write } = found.tokens
        if (!found.estimated) {
          assert.deepEqual(found.tokens, tokens)
          continue
        }
        assert.ok(output >= 0 && output <= estimateOf(textBytes) + 2, `${output} at ${length}`)
        const known = input + cache_read + cache_write
        assert.ok(known === 777 || known === 4312, `${known} at ${length}`)
        if (length >= reportedBytes)
          assert.ok(output + reasoning >= estimateOf(textBytes), `${output} at ${length}`)
        assert.ok(output >= before, `fewer at ${length}`)
        before = output
      }
      assert.ok(before > 0)
      assert.equal(count(api, [bytes]).estimated, false)
    })
  }

  it('uses the last of several usages in chunks, also of a service that counts reasoning separately', () => {
    const chunk = (completion_tokens: number, total_tokens: number) =>
      event({
        choices: [{ delta: { content: 'x' } }],
        usage: {
          ...{ prompt_tokens: 10, completion_tokens, total_tokens },
          completion_tokens_details: { reasoning_tokens: 5 },
        },
      })
    const bytes = Buffer.from(`${chunk(1, 16)}${chunk(2, 17)}data: [DONE]\n\n`)
    const tokens = { input: 10, output: 2, cache_read: 0, cache_write: 0, reasoning: 5 }
    assert.deepEqual(count('chat', [bytes]), { tokens, estimated: false })
    assert.equal(count('chat', [bytes.subarray(0, -14)], { whole: false }).estimated, true)
  })

  it('estimates a stream whose counts are zero, negative or invalid like one without counts', () => {
    const value = (text: string) => JSON.parse(text) as unknown
    for (const wrong of ['0', '-7', '"55"', 'null', '{}', '0.4'])
      for (const api of apis) {
        const bytes = Buffer.from(
          streams[api].parts
            .map((part) =>
              part.replace(
                /"(\w*tokens)":\d+/g,
                (_, name: string) => `"${name}":${JSON.stringify(value(wrong))}`,
              ),
            )
            .join(''),
        )
        const { tokens, estimated } = count(api, [bytes])
        assert.deepEqual([estimated, tokens.input], [true, 777], `${api} ${wrong}`)
        assert.ok(tokens.output >= estimateOf(textBytes), `${api} ${wrong}: ${tokens.output}`)
      }
  })

  it('estimates one count if only the other is reported', () => {
    const usage = { input_tokens: 300, output_tokens: 0 }
    const completed = (output: unknown) => event({ type: 'response.completed', response: { usage, output } })
    const whole = count('responses', [Buffer.from(completed([{ content: [{ text }] }]))])
    assert.deepEqual([whole.estimated, whole.tokens.input], [true, 300])
    assert.ok(whole.tokens.output >= estimateOf(textBytes))
    // A model may write nothing.
    assert.deepEqual(count('responses', [Buffer.from(completed([]))]).estimated, false)
    const late = [
      event({ type: 'message_start', message: { usage: { input_tokens: 0, output_tokens: 1 } } }),
      event({ type: 'content_block_delta', delta: { type: 'text_delta', text } }),
      event({
        type: 'message_delta',
        delta: { stop_reason: 'x' },
        usage: { input_tokens: 9, output_tokens: 50 },
      }),
    ]
    const { tokens, estimated } = count('messages', [Buffer.from(late.join(''))])
    assert.deepEqual([tokens.input, tokens.output, estimated], [9, 50, false])
  })

  it('reads answers that are not streams', () => {
    const body = (usage: object) => [Buffer.from(JSON.stringify({ id: 'x', usage }))]
    const options = { stream: false }
    assert.deepEqual(count('messages', body({ input_tokens: 3, output_tokens: 4 }), options).tokens.output, 4)
    assert.deepEqual(count('responses', body({ input_tokens: 3, output_tokens: 4 }), options).tokens.input, 3)
    assert.deepEqual(count('chat', body({ prompt_tokens: 3, completion_tokens: 4 }), options).tokens.input, 3)
    const cut = count('chat', [Buffer.from('{"choices":[{"message":{"content":"Hel')], {
      stream: false,
      whole: false,
    })
    assert.deepEqual([cut.estimated, cut.tokens.input, cut.tokens.output], [true, 777, 10])
  })

  it('survives every invalid answer of a service', () => {
    const numbers = [-5, 1e308, Number.NaN, '7', null, {}, [], 3.7, undefined]
    for (const api of apis)
      for (const value of numbers) {
        const usage = {
          ...{ input_tokens: value, output_tokens: value, prompt_tokens: value, completion_tokens: value },
          ...{
            cache_read_input_tokens: value,
            input_tokens_details: value,
            prompt_tokens_details: { cached_tokens: value },
          },
        }
        const { tokens } = count(api, [Buffer.from(JSON.stringify({ usage }))], { stream: false })
        for (const each of Object.values({ ...tokens, cache_write_hour: 0 }))
          assert.ok(Number.isSafeInteger(each) && each >= 0, `${api} ${value}`)
      }
    for (const junk of [
      'data: {\n\n',
      'data: null\n\n',
      'data: [1]\n\n',
      '\n\n\n',
      'data:\n\n',
      'event: x\n\n',
      '\u0000',
    ])
      for (const api of apis) assert.equal(count(api, [Buffer.from(junk)]).estimated, true)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...apis), (bytes, api) => {
        count(api, [Buffer.from(bytes)])
      }),
    )
  })

  it('buffers no more of a line than necessary', () => {
    const counter = new AnswerCount('responses', { stream: true, estimatedInput: 5 })
    const chunk = Buffer.alloc(1024 * 1024, 'x')
    const before = process.memoryUsage().arrayBuffers
    counter.push(Buffer.from('data: {"type":"response.output_text.delta","delta":"'))
    for (let mib = 0; mib < 200; mib++) counter.push(chunk)
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 1024 * 1024)
    counter.push(Buffer.from('"}\n\n'))
    counter.push(Buffer.from(streams.responses.parts.at(-1)!))
    const { tokens, estimated } = counter.end(true)
    assert.equal(estimated, true)
    assert.ok(tokens.output > 40_000_000)
  })
})

describe("the sum of an endpoint's log", () => {
  const used = { input: 1_000_000, output: 100_000, cache_read: 0, cache_write: 0, reasoning: 100_000 }
  const entry = { type: 'asked', service: 'anthropic', model: 'claude-sonnet-4-5' } as const

  it('adds answers, and estimates those that never came', () => {
    const lines: LogEntry[] = [
      { ...entry, id: 1, input_tokens: 5 },
      { type: 'over_budget', message: 'x' },
      { ...entry, id: 2, input_tokens: 1_000_000 },
      {
        type: 'answered',
        id: 1,
        service: 'anthropic',
        model: 'claude-sonnet-4-5',
        status: 200,
        tokens: used,
        cost_usd: 6,
      },
    ]
    assert.deepEqual(sumLog(lines), {
      tokens: { ...used, input: 2_000_000 },
      cost_usd: 9,
      estimated: true,
      requests: 2,
      unpriced: [],
    })
    assert.equal(sumLog(lines.filter((line) => !('id' in line && line.id === 2))).estimated, false)
  })

  it('names the models without a price', () => {
    const own = { ...entry, model: 'own', id: 1, input_tokens: 5 }
    const { unpriced, cost_usd } = sumLog([own, { ...own, type: 'answered', status: 200, tokens: used }])
    assert.deepEqual([unpriced, cost_usd], [['own'], 0])
  })
})

describe('prices', () => {
  const tokens = {
    input: 100_000,
    output: 10_000,
    cache_read: 50_000,
    cache_write: 20_000,
    reasoning: 10_000,
  }
  const cost = (model: string, more: object = {}) =>
    costOf(priceOf(listPrices, model)!, { ...tokens, ...more })

  it('counts each kind of token once, at its own price', () => {
    assert.ok(Math.abs(cost('claude-sonnet-4-5') - (0.3 + 0.3 + 0.015 + 0.075)) < 1e-9)
    assert.ok(
      Math.abs(cost('claude-sonnet-4-5', { cache_write_hour: 20_000 }) - (0.3 + 0.3 + 0.015 + 0.12)) < 1e-9,
    )
    assert.ok(Math.abs(cost('gpt-5.5') - (0.5 + 0.6 + 0.025 + 0.1)) < 1e-9)
    assert.ok(Math.abs(cost('gpt-5.5', { input: 300_000 }) - (3 + 0.9 + 0.05 + 0.2)) < 1e-9)
  })

  it('knows snapshots of a model, and no other model with a similar name', () => {
    const known = [
      'claude-haiku-4-5-20251001',
      'claude-sonnet-4-5[1m]',
      'gpt-5.2-2025-12-11',
      'gpt-4.1',
      'claude-opus-5-latest',
    ]
    for (const name of known) assert.ok(priceOf(listPrices, name), name)
    for (const name of ['claude', 'gpt-5.5-pro', 'gpt-5-nano', 'constructor', '__proto__', ''])
      assert.equal(priceOf(listPrices, name), undefined, name)
  })

  it("prefers the operator's prices, and reports what is wrong with a file", () => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-test-'))
    try {
      const file = join(folder, 'prices.json')
      const own = { input: 1, output: 2, cache_read: 3, cache_write: 4 }
      writeFileSync(file, JSON.stringify({ 'my-model': own, 'gpt-4.1': own }))
      const prices = pricesFrom(file)
      assert.deepEqual([prices['my-model'], prices['gpt-4.1']], [own, own])
      assert.equal(prices['gpt-5.5'], listPrices['gpt-5.5'])
      assert.equal(pricesFrom(undefined), listPrices)
      for (const text of ['{', '[]', '{"m": {"input": -1}}', '{"m": {"input": 1, "output": 1}}']) {
        writeFileSync(file, text)
        assert.throws(() => pricesFrom(file), {
          code: 'invalid_argument',
          message: /^ERRAND_MODEL_PRICES names .*prices\.json/,
        })
      }
      assert.throws(() => pricesFrom(join(folder, 'none')), { code: 'invalid_argument' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
