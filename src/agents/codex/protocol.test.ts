import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { ProtocolFailure, SessionRequest } from '../agent.ts'
import { CodexProtocol } from './protocol.ts'

const THREAD = 't1'
const TURN = 'u1'

/** Runs a protocol with a thread in which the test plays the app server. */
function begun(ask: SessionRequest['ask'] = 'allow') {
  const sent: { id?: number; method?: string; result?: unknown; error?: { code: number } }[] = []
  const updates: AgentUpdate[] = []
  const failures: ProtocolFailure[] = []
  const base = { cwd: '/srv/project', home: '/srv/home', extra_args: [], new_session_id: 'n', env: {} }
  const protocol = new CodexProtocol(
    { ...base, ask },
    {
      send: (line) => void sent.push(JSON.parse(line)),
      update: (update) => void updates.push(update),
      ready: () => {},
      failed: (failure) => void failures.push(failure),
    },
  )
  const send = (message: object) => protocol.line(JSON.stringify(message))
  const notify = (method: string, params: object) =>
    send({ method, params: { threadId: THREAD, turnId: TURN, ...params } })
  protocol.begin()
  send({ id: 1, result: { userAgent: 'errand/0.169.0 (Linux)' } })
  send({ id: 2, result: { thread: { id: THREAD }, model: 'm' } })
  return { protocol, sent, updates, failures, says: send, tells: notify }
}

function inTurn(ask?: SessionRequest['ask']) {
  const all = begun(ask)
  all.protocol.prompt('go')
  all.says({ id: 3, result: { turn: { id: TURN } } })
  return all
}

const waiting = {
  error: { message: 'Reconnecting... waiting for network', additionalDetails: 'Connection failed: no route' },
  willRetry: true,
}
const completed = (status: string, error?: object) => ({ turn: { id: TURN, status, error } })

describe('the protocol of codex', () => {
  it('does not count the usage of a resumed thread, even if it is reported during the turn', () => {
    const tokens = (calls: number) => {
      const used = { inputTokens: 140, cachedInputTokens: 40, outputTokens: 10 }
      const total = Object.fromEntries(Object.entries(used).map(([name, count]) => [name, count * calls]))
      return { tokenUsage: { total, last: used } }
    }
    for (const late of [false, true]) {
      const { protocol, updates, says, tells } = begun()
      const before = () => tells('thread/tokenUsage/updated', { turnId: 'u0', ...tokens(1) })
      if (!late) before()
      protocol.prompt('go')
      if (late) before()
      says({ id: 3, result: { turn: { id: TURN } } })
      tells('thread/tokenUsage/updated', tokens(2))
      assert.deepEqual(
        updates.filter(({ kind }) => kind === 'usage'),
        [
          {
            kind: 'usage',
            turn: { input_tokens: 100, cached_input_tokens: 40, output_tokens: 10 },
            session: { input_tokens: 200, cached_input_tokens: 80, output_tokens: 20 },
          },
        ],
      )
    }
  })

  it('gives up on a service that codex would wait for forever', () => {
    const { sent, updates, tells } = inTurn()
    for (let count = 0; count < 3; count++) tells('error', waiting)
    assert.ok(!sent.some(({ method }) => method === 'turn/interrupt'))
    tells('error', waiting)
    assert.equal(sent.filter(({ method }) => method === 'turn/interrupt').length, 1)
    tells('turn/completed', completed('interrupted'))
    const message = 'Connection failed: no route'
    assert.deepEqual(updates.at(-1), {
      kind: 'turn_ended',
      stop_reason: 'error',
      message,
      failure: 'unreachable',
    })
  })

  it('does not give up while something still arrives in between', () => {
    const { sent, tells } = inTurn()
    for (let count = 0; count < 8; count++) {
      tells('error', waiting)
      tells('item/agentMessage/delta', { itemId: 'm', delta: '.' })
    }
    assert.ok(!sent.some(({ method }) => method === 'turn/interrupt'))
  })

  it('reports a turn that codex stops by itself as failed, not as canceled', () => {
    const { updates, tells } = inTurn()
    tells('turn/completed', completed('interrupted'))
    const message = 'Codex stopped in the middle of its turn, although nobody canceled it.'
    assert.deepEqual(updates.at(-1), { kind: 'turn_ended', stop_reason: 'error', message })
  })

  it('cancels a turn as soon as its start is known', () => {
    const { protocol, sent, updates, says, tells } = begun()
    protocol.prompt('go')
    protocol.cancelTurn()
    protocol.cancelTurn()
    assert.equal(sent.at(-1)?.method, 'turn/start')
    says({ id: 3, result: { turn: { id: TURN } } })
    assert.equal(sent.at(-1)?.method, 'turn/interrupt')
    tells('turn/started', { turn: { id: TURN } })
    assert.equal(sent.filter(({ method }) => method === 'turn/interrupt').length, 1)
    tells('turn/completed', completed('interrupted'))
    assert.deepEqual(updates.at(-1), { kind: 'turn_ended', stop_reason: 'canceled' })
  })

  it('answers a question only once, and does not answer a withdrawn one', () => {
    const { protocol, sent, updates, says } = inTurn('ask')
    const ask = (id: number) =>
      says({
        id,
        method: 'item/commandExecution/requestApproval',
        params: {
          threadId: THREAD,
          itemId: 'c',
          command: "/bin/bash -lc 'echo '\\''x'\\'''",
          commandActions: [],
        },
      })
    ask(0)
    const [permission] = updates.filter((each) => each.kind === 'permission')
    assert.equal(permission?.title, "echo 'x'")
    protocol.answer(permission!.request_id, 'allow')
    protocol.answer(permission!.request_id, 'deny')
    assert.deepEqual(sent.filter(({ result }) => result !== undefined).length, 1)
    ask(1)
    says({ method: 'serverRequest/resolved', params: { threadId: THREAD, requestId: 1 } })
    protocol.answer('c.1', 'allow')
    assert.deepEqual(sent.filter(({ result }) => result !== undefined).length, 1)
  })

  it('refuses requests that it does not know', () => {
    const { sent, says } = inTurn()
    says({ id: 9, method: 'item/tool/requestUserInput', params: {} })
    assert.equal(sent.at(-1)?.error?.code, -32601)
  })

  it('ignores the messages of subagents, but reports their tools', () => {
    const { updates, tells } = inTurn()
    const before = updates.length
    const other = { threadId: 't2' }
    tells('item/agentMessage/delta', { ...other, itemId: 'x', delta: 'no' })
    tells('turn/completed', { ...other, ...completed('completed') })
    const item = { type: 'commandExecution', id: 'c', command: 'ls', status: 'completed', commandActions: [] }
    tells('item/completed', { ...other, item })
    assert.deepEqual(
      updates.slice(before).map(({ kind }) => kind),
      ['tool'],
    )
  })

  it("reads the service's reason for a refusal from the body of its answer", () => {
    const { updates, tells } = inTurn()
    const message = JSON.stringify({ error: { message: "The requested model 'x' does not exist." } })
    tells('turn/completed', completed('failed', { message, codexErrorInfo: 'other' }))
    const end = updates.at(-1)
    assert.ok(end?.kind === 'turn_ended' && end.failure === 'bad_model', JSON.stringify(end))
    assert.equal(end.message, "The requested model 'x' does not exist.")
  })

  it('reports the last words of a process that ends in the middle of a turn', () => {
    const { protocol, updates } = inTurn()
    protocol.exited({ signal: 'SIGKILL', stderr: '\u001b[31mout of memory\u001b[0m\n' })
    const message = 'Codex was ended by SIGKILL: out of memory'
    assert.deepEqual(updates.at(-1), { kind: 'turn_ended', stop_reason: 'error', message })
  })

  it('reports a refused prompt as the end of its turn', () => {
    const { protocol, updates, says } = begun()
    protocol.prompt('go')
    says({ id: 3, error: { code: -32600, message: 'Input exceeds the maximum length' } })
    const message = 'Input exceeds the maximum length'
    assert.deepEqual(updates.at(-1), { kind: 'turn_ended', stop_reason: 'error', message })
  })
})
