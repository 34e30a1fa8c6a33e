import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentUpdate, Usage } from '../../../contract/agent.ts'
import type { LogEntry } from '../../proxy/rules.ts'
import { EndpointUsage } from './endpoint-usage.ts'

const opencode = { title: 'OpenCode', usage: 'last_call' } as const
const claude = { title: 'Claude Code', usage: 'each_call' } as const

const entry = (id: number, input_tokens = 0): LogEntry => ({
  type: 'asked',
  id,
  service: 'anthropic',
  input_tokens,
})
const answered = (id: number, input: number, output: number, more: object = {}): LogEntry => ({
  type: 'answered',
  id,
  service: 'anthropic',
  status: 200,
  tokens: { input, output, cache_read: 0, cache_write: 0, reasoning: 0, ...more },
})
const refused = (host: string, port = 443): LogEntry => ({
  type: 'refused',
  host,
  port,
  why: 'host_not_allowed',
  count: 1,
})
const usage = (input_tokens: number, output_tokens: number, cached_input_tokens = 0): Usage => ({
  input_tokens,
  cached_input_tokens,
  output_tokens,
})
const report = (turn: Usage, session = turn): Extract<AgentUpdate, { kind: 'usage' }> => ({
  kind: 'usage',
  turn,
  session,
})
const notices = (updates: AgentUpdate[]) =>
  updates.flatMap((each) => (each.kind === 'notice' ? [each.text] : []))

test('the first refusal of each host is a notice, up to twenty hosts', () => {
  const news = new EndpointUsage({ agent: claude, counts: true })
  const [first] = notices(
    news.follow([refused('a.example'), refused('a.example', 80), refused('b.example')], false),
  )
  assert.equal(
    first,
    'The network of this run refused a.example:443: that host is not allowed (host_not_allowed).',
  )
  assert.deepEqual(notices(news.follow([refused('a.example')], false)), [])
  const many = Array.from({ length: 50 }, (_, index) => refused(`host-${index}.example`))
  assert.equal(notices(news.follow(many, false)).length, 18)
})

test('for an agent that reports only its last call the counted figures replace its own', () => {
  const news = new EndpointUsage({ agent: opencode, counts: true })
  news.turnBegins()
  assert.equal(news.agentReports(report(usage(1, 1))), 'instead')
  const more = { cache_read: 7, cache_write: 5, reasoning: 3 }
  const [first] = news.follow([entry(1), answered(1, 100, 10, more)], false)
  assert.deepEqual(first, report({ ...usage(105, 13, 7), cost_usd: 0 }))
  news.turnBegins()
  const [second] = news.follow([entry(2), answered(2, 50, 5)], false)
  assert.ok(second?.kind === 'usage')
  assert.deepEqual([second.turn.input_tokens, second.turn.output_tokens], [50, 5])
  assert.deepEqual([second.session.input_tokens, second.session.output_tokens], [155, 18])
})

test('an unfinished call counts with its estimate once nothing more comes', () => {
  const news = new EndpointUsage({ agent: opencode, counts: true })
  news.turnBegins()
  assert.deepEqual(news.follow([entry(1, 40)], false), [])
  const [last] = news.follow([], true)
  assert.ok(last?.kind === 'usage')
  assert.equal(last.session.input_tokens, 40)
})

test('a difference of more than a twentieth is reported once, at the end', () => {
  const total = (usage: Usage) => {
    const news = new EndpointUsage({ agent: claude, counts: true })
    news.turnBegins()
    assert.equal(news.agentReports(report(usage)), 'beside')
    assert.deepEqual(news.follow([entry(1), answered(1, 900, 100)], false), [])
    return notices(news.follow([], true))
  }
  assert.deepEqual(total(usage(860, 100)), [])
  assert.match(total(usage(700, 100))[0]!, /Claude Code reports 800 tokens, but 1000 were counted/)
})

test('turns of an agent that reports each one are added up for the comparison', () => {
  const news = new EndpointUsage({ agent: claude, counts: true })
  for (const id of [1, 2]) {
    news.turnBegins()
    news.agentReports(report(usage(100, 10), usage(999, 999)))
    news.follow([entry(id), answered(id, 100, 10)], false)
  }
  assert.deepEqual(news.follow([], true), [])
})

test('if the keys are in the box nothing is counted for the agent', () => {
  const news = new EndpointUsage({ agent: opencode, counts: false })
  news.turnBegins()
  assert.equal(news.agentReports(report(usage(1, 1))), 'beside')
  assert.deepEqual(news.follow([entry(1), answered(1, 100, 10)], true), [])
})

test('a budget that is used up is reported in the words of the proxy', () => {
  const news = new EndpointUsage({ agent: claude, counts: true })
  assert.equal(news.breach, undefined)
  news.follow([{ type: 'over_budget', message: "The run's budget of 9 tokens is used up (10 used)." }], false)
  assert.match(news.breach!, /refused\. The run's budget of 9 tokens is used up \(10 used\)$/)
})
