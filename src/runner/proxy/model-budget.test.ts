import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { until } from '../../../test/support/builtin-bench.ts'
import {
  answerOf,
  ask,
  messages,
  openEndpoint,
  startService,
} from '../../../test/support/runner/model-proxy-fixture.ts'
import { type Leave, type Limits, ModelBudget } from './model-budget.ts'
import { listPrices, priceOf } from './prices.ts'
import type { LogEntry } from './rules.ts'

const used = (output: number, input = 0) => ({ input, output, cache_read: 0, cache_write: 0, reasoning: 0 })
const never = new AbortController().signal
const price = priceOf(listPrices, 'claude-sonnet-4-5')

interface Entering {
  leave?: Leave
}

/** Enters with this input and output; holds the decision once it is made. */
function entering(
  budget: ModelBudget,
  limits: Limits,
  input: number,
  output?: number,
  signal = never,
): Entering {
  const state: Entering = {}
  void budget.enter(limits, { input, output, price }, signal).then((leave) => {
    state.leave = leave
  })
  return state
}
const settled = () => new Promise(setImmediate)

describe('the budget of an endpoint', () => {
  it('lets requests that fit run together, and the others one after another in order', async () => {
    const budget = new ModelBudget({ tokens: 0, cost: 0 })
    const limits = { tokens: 1000 }
    const enters = (output: number) => entering(budget, limits, 100, output)
    const [a, b, c, d] = [enters(300), enters(300), enters(600), enters(10)] as const
    const now = () => [a, b, c, d].map(({ leave }) => leave?.type)
    await settled()
    assert.deepEqual(now(), ['go', 'go', undefined, undefined])
    done(a.leave, used(50, 100))
    await settled()
    // 150 are used, and the second has reserved 400.
    assert.equal(now()[2], undefined)
    done(b.leave, used(50, 100))
    await settled()
    assert.deepEqual(now().slice(2), ['go', undefined])
    done(c.leave, used(50, 100))
    await settled()
    assert.equal(now()[3], 'go')
  })

  it('lets a request that is too large for the rest run alone, limited to the rest', async () => {
    const budget = new ModelBudget({ tokens: 900, cost: 0 })
    const large = entering(budget, { tokens: 1000 }, 5000, 32_000)
    const small = entering(budget, { tokens: 1000 }, 1, 1)
    await settled()
    assert.ok(large.leave?.type === 'go')
    assert.equal(large.leave.output, 100)
    assert.equal(small.leave, undefined)
    done(large.leave, used(100, 10))
    await settled()
    assert.deepEqual(small.leave, {
      type: 'refused',
      message: "The run's budget of 1000 tokens is used up (1010 used).",
    })
  })

  it('lets a request without its own limit run alone', async () => {
    const budget = new ModelBudget({ tokens: 0, cost: 0 })
    const [open, small] = [entering(budget, { tokens: 1000 }, 1), entering(budget, { tokens: 1000 }, 1, 1)]
    await settled()
    assert.ok(open!.leave?.type === 'go')
    assert.equal(open!.leave.output, undefined)
    assert.equal(small!.leave, undefined)
  })

  it('delays nothing if there is no limit', async () => {
    const budget = new ModelBudget({ tokens: 1e9, cost: 1e9 })
    const all = [1, 2, 3].map(() => entering(budget, {}, 1e9))
    await settled()
    for (const { leave } of all) assert.ok(leave?.type === 'go')
  })

  it('removes a request from the queue when its client leaves, and those behind it move up', async () => {
    const budget = new ModelBudget({ tokens: 0, cost: 0 })
    const abort = new AbortController()
    const limits = { tokens: 100 }
    const first = entering(budget, limits, 0, 50)
    const waits = entering(budget, limits, 0, 90, abort.signal)
    const behind = entering(budget, limits, 0, 40)
    await settled()
    assert.deepEqual([first.leave?.type, waits.leave, behind.leave], ['go', undefined, undefined])
    abort.abort()
    await settled()
    assert.deepEqual([waits.leave?.type, behind.leave?.type], ['gone', 'go'])
    done(first.leave, used(1))
    const late = entering(budget, limits, 0, 1, abort.signal)
    await settled()
    assert.equal(late.leave?.type, 'gone')
  })

  it('limits the output by what is left of the cost', async () => {
    // $15 for a million tokens of output.
    const budget = new ModelBudget({ tokens: 0, cost: 0.097 })
    const only = entering(budget, { cost_usd: 0.1 }, 10, 5000)
    await settled()
    assert.ok(only.leave?.type === 'go')
    assert.equal(only.leave.output, 200)
    done(only.leave, used(200))
    const next = entering(budget, { cost_usd: 0.1 }, 10, 5000)
    await settled()
    assert.deepEqual(next.leave, {
      type: 'refused',
      message: "The run's budget of $0.1 is used up ($0.1000 spent).",
    })
  })

  it('is never exceeded by more than one answer, in any order of events', async () => {
    const requestOf = fc.record({
      input: fc.nat(500),
      output: fc.option(fc.nat(800), { nil: undefined }),
      /** Share of its limit that the answer uses. */
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      endsFirst: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(requestOf, { maxLength: 30 }),
        fc.integer({ min: 1, max: 2000 }),
        async (list, tokens) => {
          const budget = new ModelBudget({ tokens: 0, cost: 0 })
          const under: { leave: Extract<Leave, { type: 'go' }>; uses: number }[] = []
          const largest = Math.max(0, ...list.map(({ input, output }) => input + (output ?? 5000)))
          const end = (first: boolean) => {
            const one = first ? under.shift() : under.pop()
            if (one !== undefined) one.leave.done(used(one.uses))
          }
          let decided = 0
          for (const { input, output, share, endsFirst } of list) {
            void budget.enter({ tokens }, { input, output, price: undefined }, never).then((leave) => {
              decided++
              if (leave.type !== 'go') return
              under.push({ leave, uses: Math.floor((input + (leave.output ?? 5000)) * share) })
            })
            await settled()
            if (endsFirst) end(true)
            await settled()
          }
          while (under.length > 0) {
            end(false)
            await settled()
          }
          assert.equal(decided, list.length)
          assert.ok(budget.spent.tokens < tokens + largest)
        },
      ),
      { numRuns: 60 },
    )
  })
})

function done(leave: Leave | undefined, tokens: ReturnType<typeof used>): void {
  assert.ok(leave?.type === 'go')
  leave.done(tokens)
}

describe('an endpoint with a budget', () => {
  /** Sends ten requests at once; the first answers come when `together` of them are in progress. */
  const ten = async (limit: number, max_tokens: number, together: number) => {
    let most = 0
    let now = 0
    const enough = Promise.withResolvers<void>()
    await using service = await startService(async (_, response, body) => {
      most = Math.max(most, ++now)
      if (now === together) enough.resolve()
      await enough.promise
      now--
      const { max_tokens: may } = JSON.parse(body) as { max_tokens: number }
      response.setHeader('content-type', 'application/json')
      response.end(answerOf({ input_tokens: 0, output_tokens: may }))
    })
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url }],
      budget: { tokens: limit },
    })
    const all = await Promise.all(
      Array.from({ length: 10 }, () => ask(endpoint.url(), '/v1/messages', { body: messages(max_tokens) })),
    )
    const sum = endpoint.of('answered').reduce((total, { tokens }) => total + tokens.output, 0)
    return { all, most, sum, endpoint, service }
  }

  it('keeps ten simultaneous requests within the budget', async () => {
    const { all, most, sum, endpoint } = await ten(1000, 300, 3)
    assert.ok(sum <= 1000, `${sum}`)
    assert.equal(most, 3)
    const refused = all.filter(({ status }) => status === 400)
    assert.ok(refused.length > 0)
    assert.match(refused[0]!.json.error?.message ?? '', /^The run's budget of 1000 tokens is used up/)
    assert.equal(refused[0]!.json.error?.type, 'invalid_request_error')
    assert.equal(refused[0]!.headers['x-should-retry'], 'false')
    assert.equal(endpoint.of('over_budget').length, 1)
    assert.equal(endpoint.of('asked').length, 10 - refused.length)
  })

  it('lets ten large requests run one by one', async () => {
    const { sum, most } = await ten(1000, 32_000, 1)
    assert.deepEqual([sum, most], [1000, 1])
  })

  it('continues from what was logged before a restart, and counts requests that were never answered', async () => {
    await using service = await startService((_, response) => response.end(answerOf({ output_tokens: 1 })))
    const entry = { type: 'asked', service: 'anthropic', model: 'claude-sonnet-4-5' } as const
    const log: LogEntry[] = [
      { ...entry, id: 1, input_tokens: 50 },
      { ...entry, type: 'answered', id: 1, status: 200, tokens: used(40, 10), cost_usd: 0.01 },
      { ...entry, id: 7, input_tokens: 49 },
    ]
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url }],
      budget: { tokens: 100 },
      log,
    })
    assert.equal((await ask(endpoint.url(), '/v1/messages', { body: messages() })).status, 200)
    assert.equal(endpoint.of('answered')[0]?.id, 8)
    assert.equal((await ask(endpoint.url(), '/v1/messages', { body: messages() })).status, 400)
  })

  it("lowers the output limit of a request, under each API's own name for it", async () => {
    const answers: Record<string, string> = {
      '/v1/messages': answerOf({ input_tokens: 1, output_tokens: 1 }),
      '/v1/responses': JSON.stringify({ usage: { input_tokens: 1, output_tokens: 1 } }),
      '/v1/chat/completions': JSON.stringify({ usage: { prompt_tokens: 1, completion_tokens: 1 } }),
    }
    await using service = await startService((request, response) => response.end(answers[request.url ?? '']))
    const opened = () =>
      openEndpoint({
        rules: [
          { upstream: service.url },
          { upstream: `${service.url}/v1`, name: 'openai', shape: 'openai' },
        ],
        budget: { tokens: 5000 },
      })
    const sent = async (name: string, path: string, body: object) => {
      await using endpoint = await opened()
      await ask(endpoint.url(name), path, { body: { model: 'm', ...body } })
      return JSON.parse(service.seen.at(-1)!.body) as Record<string, unknown>
    }
    const openai = 'openai'
    const thinking = { type: 'enabled', budget_tokens: 8000 }
    assert.equal((await sent('anthropic', '/v1/messages', { max_tokens: 6000 })).max_tokens, 5000)
    assert.equal((await sent('anthropic', '/v1/messages', { max_tokens: 9000, thinking })).max_tokens, 8001)
    assert.equal((await sent('anthropic', '/v1/messages', { max_tokens: 4000 })).max_tokens, 4000)
    assert.equal((await sent(openai, '/responses', { max_output_tokens: 6000 })).max_output_tokens, 5000)
    assert.equal((await sent(openai, '/responses', {})).max_output_tokens, undefined)
    const chat = await sent(openai, '/chat/completions', {
      max_tokens: 6000,
      stream: true,
      stream_options: { x: 1 },
    })
    assert.deepEqual(chat, {
      model: 'm',
      max_tokens: 5000,
      stream: true,
      stream_options: { x: 1, include_usage: true },
    })
    assert.equal(
      (await sent(openai, '/chat/completions', { max_completion_tokens: 9000, n: 2 })).max_completion_tokens,
      2500,
    )
    // Some take -1 for no limit, so nothing could be reserved.
    assert.equal((await sent(openai, '/chat/completions', { max_tokens: -1 })).max_tokens, -1)
    const before = service.seen.length
    await using endpoint = await opened()
    for (const body of [{ max_tokens: '9000' }, { max_tokens: 1, n: '50' }, { max_completion_tokens: [1] }])
      assert.equal(
        (await ask(endpoint.url(openai), '/chat/completions', { body: { model: 'm', ...body } })).status,
        400,
      )
    assert.equal(service.seen.length, before)
  })

  it('holds no matter what a service answers instead of counts', async () => {
    const text = 'word '.repeat(2000)
    const wrong: unknown[] = [0, -1000, '0', '9000', null, 0.2, [], {}, true]
    for (const value of wrong) {
      const usage = {
        ...{ input_tokens: value, output_tokens: value, prompt_tokens: value, completion_tokens: value },
        cache_read_input_tokens: value,
      }
      const answer = {
        ...{ usage, content: [{ type: 'text', text }], choices: [{ message: { content: text } }] },
        output: [{ content: [{ type: 'output_text', text }] }],
      }
      await using service = await startService((_, response) => {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(answer))
      })
      for (const [name, path] of [
        ['anthropic', '/v1/messages'],
        ['openai', '/responses'],
        ['openai', '/chat/completions'],
      ] as const) {
        await using endpoint = await openEndpoint({
          rules: [{ upstream: service.url }, { upstream: service.url, name: 'openai', shape: 'openai' }],
          budget: { tokens: 20_000 },
        })
        let passed = 0
        while (passed < 20 && (await ask(endpoint.url(name), path, { body: messages() })).status === 200)
          passed++
        assert.ok(passed < 10, `${path} with ${JSON.stringify(value)}: ${passed}`)
        assert.ok(endpoint.of('answered').every(({ estimated }) => estimated === true))
      }
    }
  })

  it('refuses requests that cannot be counted', async () => {
    await using service = await startService((_, response) =>
      response.end(answerOf({ input_tokens: 1, output_tokens: 100_000 })),
    )
    await using endpoint = await openEndpoint({
      rules: [
        { upstream: service.url },
        { upstream: service.url, name: 'openai', shape: 'openai', header: 'bearer' },
      ],
      budget: { cost_usd: 1 },
    })
    const post = (body: object) => ask(endpoint.url(), '/v1/messages', { body })
    const unknown = await post(messages(1, { model: 'new-model' }))
    assert.equal(unknown.status, 400)
    assert.match(unknown.json.error?.message ?? '', /"new-model" has no known price.*ERRAND_MODEL_PRICES/)
    assert.equal((await post(messages(1, { speed: 'fast' }))).status, 400)
    assert.equal((await post(messages(1, { service_tier: 'auto' }))).status, 200)
    assert.equal((await post(messages(1))).status, 400)
    assert.match(endpoint.of('over_budget')[0]?.message ?? '', /budget of \$1 is used up \(\$1\.5000 spent\)/)
    const background = await ask(endpoint.url('openai'), '/responses', {
      body: { model: 'm', background: true },
    })
    assert.equal(background.status, 400)
    assert.equal(service.seen.length, 1)
  })

  it('releases a waiting client that leaves, and delays nobody for it', async () => {
    const answers: (() => void)[] = []
    await using service = await startService((_, response) => {
      answers.push(() => response.end(answerOf({ output_tokens: 1 })))
    })
    await using endpoint = await openEndpoint({
      rules: [{ upstream: service.url }],
      budget: { tokens: 1000 },
    })
    const first = ask(endpoint.url(), '/v1/messages', { body: messages(900) })
    await until(() => service.seen.length === 1)
    const abort = new AbortController()
    const waits = ask(endpoint.url(), '/v1/messages', { body: messages(900), signal: abort.signal })
    const small = ask(endpoint.url(), '/v1/messages', { body: messages(10) })
    abort.abort()
    await assert.rejects(waits)
    await until(() => service.seen.length === 2)
    for (const answer of answers) answer()
    assert.deepEqual([(await first).status, (await small).status], [200, 200])
  })
})
