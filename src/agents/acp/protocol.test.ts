import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { ProtocolFailure, SessionRequest } from '../agent.ts'
import { acp } from './acp.ts'
import { type JsonObject, object } from './json-rpc.ts'
import type { AcpProfile } from './profile.ts'
import { AcpProtocol } from './protocol.ts'

const profile: AcpProfile = {
  agent: 'test',
  usage: { counts: 'prompt', cachedInInput: false, thoughtsApart: false },
  model: 'session',
}
const request: SessionRequest = {
  cwd: '/tmp',
  home: '/tmp',
  extra_args: [],
  ask: 'ask',
  new_session_id: '0',
  env: {},
}

/** Runs a protocol in which the test plays the agent. */
class Talk {
  readonly sent: JsonObject[] = []
  readonly updates: AgentUpdate[] = []
  readonly failures: ProtocolFailure[] = []
  ready = 0
  readonly protocol: AcpProtocol

  constructor(change: Partial<SessionRequest> = {}, profileChange: Partial<AcpProfile> = {}) {
    this.protocol = new AcpProtocol(
      { ...profile, ...profileChange },
      { ...request, ...change },
      {
        send: (line) => void this.sent.push(JSON.parse(line)),
        update: (update) => void this.updates.push(update),
        ready: () => void this.ready++,
        failed: (failure) => void this.failures.push(failure),
      },
    )
    this.protocol.begin()
  }

  /** Answers the last request. */
  result(result: JsonObject): void {
    this.say({ id: this.last('id').id, result })
  }

  error(code: number, message: string, data?: unknown): void {
    this.say({ id: this.last('id').id, error: { code, message, data } })
  }

  last(key: string): JsonObject {
    return this.sent.findLast((each) => each[key] !== undefined && each.method !== undefined)!
  }

  say(message: JsonObject): void {
    this.protocol.line(JSON.stringify({ jsonrpc: '2.0', ...message }))
  }

  report(update: JsonObject): void {
    this.say({ method: 'session/update', params: { sessionId: 's', update } })
  }

  text(text: string): void {
    this.report({ sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } })
  }

  /** Opens the session, so that it accepts prompts. */
  open(session: JsonObject = {}): this {
    this.result({ protocolVersion: 1, agentCapabilities: { loadSession: true } })
    this.result({ sessionId: 's', ...session })
    return this
  }

  end(): AgentUpdate | undefined {
    return this.updates.at(-1)
  }
}

const modelOption = {
  id: 'm',
  category: 'model',
  currentValue: 'a',
  options: [{ value: 'a' }, { value: 'b' }],
}
const question = {
  method: 'session/request_permission',
  params: {
    sessionId: 's',
    toolCall: { toolCallId: 't', kind: 'edit', title: 'Write x', locations: [{ path: '/x' }] },
    options: [
      { optionId: 'always', kind: 'allow_always' },
      { optionId: 'once', kind: 'allow_once' },
      { optionId: 'no', kind: 'reject_once' },
    ],
  },
}

describe('the Agent Client Protocol', () => {
  it('says which key is missing when the service rejects the credentials, and only then', () => {
    const talk = new Talk({}, { keyHint: 'Set THE_KEY.' })
    talk.result({ protocolVersion: 1 })
    talk.result({ sessionId: 's' })
    for (const message of ['401 invalid api key', 'model x does not exist']) {
      talk.protocol.prompt('x')
      talk.error(-32603, message)
    }
    assert.deepEqual(
      talk.updates.flatMap((update) => (update.kind === 'turn_ended' ? [update.message] : [])),
      ['401 invalid api key. Set THE_KEY.', 'model x does not exist'],
    )
  })

  it('quotes the first line of a program that ends before it speaks the protocol', () => {
    const talk = new Talk()
    for (const line of ['', 'Welcome!', '{"jsonrpc": "2.0", "method": "x"}', 'more']) talk.protocol.line(line)
    // The notice comes at once, since the program may never end.
    const text = 'It wrote "Welcome!", which is not a message of the Agent Client Protocol.'
    assert.deepEqual(talk.updates, [{ kind: 'notice', text }])
    talk.protocol.exited({ code: 0, stderr: '' })
    const [failure] = talk.failures
    assert.equal(failure?.reason, 'start_failed')
    assert.match(
      failure.message,
      /ended with exit code 0\. It wrote "Welcome!", which is not a message of the Agent/,
    )
  })

  it('refuses an agent with another protocol version', () => {
    const talk = new Talk()
    talk.result({ protocolVersion: 2 })
    assert.match(talk.failures[0]?.message ?? '', /version 2/)
    assert.equal(talk.ready, 0)
  })

  it('reports the agent, the model and the session as soon as the session exists', () => {
    const talk = new Talk().open({ configOptions: [modelOption] })
    const models = [{ id: 'a' }, { id: 'b' }]
    const session = { kind: 'session', agent: 'test', model: 'a', session_id: 's', origin: 'new', models }
    assert.deepEqual(talk.updates, [session])
    assert.equal(talk.ready, 1)
  })

  it('reports that the agent needs a login', () => {
    const talk = new Talk({}, { keyHint: 'Set THE_KEY.' })
    talk.result({ protocolVersion: 1 })
    talk.error(-32000, 'Authentication required')
    const message = 'The agent needs a login or a key: Authentication required. Set THE_KEY.'
    assert.deepEqual(talk.failures, [{ reason: 'model', message }])
  })

  it('chooses the model with an option of the session', () => {
    const talk = new Talk({ model: 'b' }).open({ configOptions: [modelOption] })
    assert.deepEqual(talk.last('id').params, { sessionId: 's', configId: 'm', value: 'b' })
    assert.equal(talk.ready, 0)
    talk.result({})
    assert.equal(talk.ready, 1)
  })

  it('chooses the model with its own method, and passes on why the agent refuses it', () => {
    const talk = new Talk({ model: 'c' }).open({
      models: { currentModelId: 'a', availableModels: [{ modelId: 'a' }, { modelId: 'b' }] },
    })
    assert.equal(talk.last('id').method, 'session/set_model')
    talk.error(-32602, 'model not found: c')
    assert.equal(talk.failures[0]?.reason, 'model')
    assert.match(talk.failures[0]?.message ?? '', /model not found: c.*a, b/)
  })

  it('says that the agent does not let you choose a model', () => {
    const talk = new Talk({ model: 'c' }).open()
    assert.equal(talk.failures[0]?.reason, 'invalid_argument')
  })

  it('turns off an option that would keep the agent from asking', () => {
    const option = { id: 'allow_all', currentValue: 'on' }
    const asking = { asking: { option: 'allow_all', value: 'off' } }
    const talk = new Talk({}, asking).open({ configOptions: [option] })
    assert.deepEqual(talk.last('id').params, { sessionId: 's', configId: 'allow_all', value: 'off' })
    const allowed = new Talk({ ask: 'allow' }, asking).open({ configOptions: [option] })
    assert.equal(allowed.ready, 1)
  })

  it('loads a session without reporting its past updates again', () => {
    const talk = new Talk({ session_id: 's' })
    talk.result({ protocolVersion: 1, agentCapabilities: { loadSession: true } })
    assert.equal(talk.last('id').method, 'session/load')
    talk.text('long ago')
    talk.result({})
    assert.deepEqual(
      talk.updates.map((each) => each.kind),
      ['session'],
    )
    talk.protocol.prompt('Go on.')
    talk.text('now')
    assert.deepEqual(talk.end(), { kind: 'message', text: 'now' })
  })

  it('starts a new session, and says so, when an agent cannot load one', () => {
    const talk = new Talk({ session_id: 'old' })
    talk.result({ protocolVersion: 1 })
    talk.result({ sessionId: 's' })
    assert.deepEqual(
      talk.updates.map((each) => each.kind),
      ['notice', 'session'],
    )
  })

  it('answers a request for a method that it does not offer with an error', () => {
    const talk = new Talk().open()
    talk.say({ id: 7, method: 'fs/write_text_file', params: {} })
    assert.equal(object(talk.sent.at(-1)?.error)?.code, -32601)
  })

  it('answers a question only once, and prefers to allow once', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Write x.')
    talk.say({ id: 'q', ...question })
    const answer = talk.end()
    assert.ok(answer?.kind === 'permission')
    assert.deepEqual(answer.paths, ['/x'])
    talk.protocol.answer(answer.request_id, 'allow')
    talk.protocol.answer(answer.request_id, 'deny')
    const answers = talk.sent.filter((each) => each.id === 'q')
    assert.deepEqual(
      answers.map((each) => each.result),
      [{ outcome: { outcome: 'selected', optionId: 'once' } }],
    )
  })

  it('lists every path that a question would write, even when only its diffs name it', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Write.')
    const content = [{ type: 'diff', path: '/hidden', oldText: null, newText: 'x' }]
    const toolCall = { ...question.params.toolCall, content }
    talk.say({ id: 'q', ...question, params: { ...question.params, toolCall } })
    const answer = talk.end()
    assert.deepEqual(answer?.kind === 'permission' && answer.paths, ['/x', '/hidden'])
  })

  it('reports a denied tool as denied, and does not report the end of its turn as canceled', () => {
    const talk = new Talk({ ask: 'deny' }).open()
    talk.protocol.prompt('Write x.')
    const prompt = talk.last('id').id
    talk.say({ id: 'q', ...question })
    talk.report({ sessionUpdate: 'tool_call_update', toolCallId: 't', status: 'failed' })
    assert.deepEqual(talk.end(), { kind: 'tool', tool_id: 't', status: 'denied' })
    talk.say({ id: prompt, result: { stopReason: 'cancelled' } })
    const end = talk.end()
    assert.ok(end?.kind === 'turn_ended')
    assert.equal(end.stop_reason, 'end_turn')
  })

  it('reports a turn that the agent stops by itself as failed, not as canceled', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Write x.')
    talk.result({ stopReason: 'cancelled' })
    const end = talk.end()
    assert.ok(end?.kind === 'turn_ended')
    assert.deepEqual([end.stop_reason, end.failure], ['error', undefined])
    assert.match(end.message!, /nobody canceled it/)
  })

  it('answers open questions as canceled when the turn is canceled, and also questions that come late', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Write x.')
    const prompt = talk.last('id').id
    talk.say({ id: 'q', ...question })
    talk.protocol.cancelTurn()
    talk.protocol.cancelTurn()
    talk.say({ id: 'r', ...question })
    const canceled = { outcome: { outcome: 'cancelled' } }
    for (const id of ['q', 'r'])
      assert.deepEqual(
        talk.sent.filter((each) => each.id === id).map((each) => each.result),
        [canceled],
      )
    assert.equal(talk.sent.filter((each) => each.method === 'session/cancel').length, 1)
    talk.say({ id: prompt, result: { stopReason: 'end_turn' } })
    assert.deepEqual(talk.end(), { kind: 'turn_ended', stop_reason: 'canceled' })
    assert.equal(talk.ready, 2)
  })

  it('holds back a text that looks like a failure until it is clear what it is', () => {
    const aside: AcpProfile['aside'] = (text) =>
      text.startsWith('Error: ') ? { type: 'failure', text } : undefined
    const talk = new Talk({}, { aside }).open()
    talk.protocol.prompt('Hello.')
    talk.text('Error: is a word.')
    talk.text(' I explain it.')
    talk.text('Error: 429 slow down')
    talk.result({ stopReason: 'end_turn' })
    assert.deepEqual(talk.updates.slice(1), [
      { kind: 'message', text: 'Error: is a word.' },
      { kind: 'message', text: ' I explain it.' },
      { kind: 'turn_ended', stop_reason: 'error', message: 'Error: 429 slow down', failure: 'rate_limit' },
    ])
  })

  it('reports a failed turn when its thread is in error, even if the turn seems to end normally', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Hello.')
    talk.text('exceeded retry limit, last status: 429 Too Many Requests')
    const _meta = { codex: { threadStatus: { type: 'systemError' } } }
    talk.report({ sessionUpdate: 'session_info_update', _meta })
    talk.result({ stopReason: 'end_turn' })
    const end = talk.end()
    assert.ok(end?.kind === 'turn_ended')
    assert.deepEqual([end.stop_reason, end.failure], ['error', 'rate_limit'])
  })

  it('does not report success for a turn that ends in an error text or a refusal', () => {
    const wrote = { usage: { inputTokens: 9, outputTokens: 9 } }
    const cases: [texts: string[], answer: JsonObject, end: string, failure?: string][] = [
      [['API Error: 529 overloaded'], {}, 'error', 'overloaded'],
      [['API Err', 'or: 529 over', 'loaded'], wrote, 'error', 'overloaded'],
      [['Error: it did not work'], {}, 'error', 'other'],
      [['Internal server error (500): try later'], {}, 'error', 'server_error'],
      // The model describes the output of a program.
      [['Error: no such option'], wrote, 'end_turn'],
      [['It is done.', ' Error: is what it printed before.'], {}, 'end_turn'],
      [['An error: I mended it.'], wrote, 'end_turn'],
      [['I cannot help with that.'], { stopReason: 'refusal' }, 'refusal'],
      [[], { stopReason: 'refusal' }, 'refusal'],
      [[], {}, 'end_turn'],
    ]
    for (const [texts, answer, reason, failure] of cases) {
      const updates: AgentUpdate[] = []
      let talk: JsonObject | undefined
      const protocol = acp.protocol(request, {
        send: (line) => {
          talk = JSON.parse(line)
        },
        update: (update) => void updates.push(update),
        ready: () => {},
        failed: () => {},
      })
      const say = (message: JsonObject) => protocol.line(JSON.stringify({ jsonrpc: '2.0', ...message }))
      protocol.begin()
      say({ id: talk!.id, result: { protocolVersion: 1 } })
      say({ id: talk!.id, result: { sessionId: 's' } })
      protocol.prompt('x')
      for (const text of texts) {
        const update = { sessionUpdate: 'agent_message_chunk', content: { type: 'text', text } }
        say({ method: 'session/update', params: { sessionId: 's', update } })
      }
      say({ id: talk!.id, result: { stopReason: 'end_turn', ...answer } })
      const end = updates.at(-1)
      assert.ok(end?.kind === 'turn_ended')
      assert.deepEqual([end.stop_reason, end.failure], [reason, failure], texts.join('|'))
    }
  })

  it('counts a repeated context size as a repeated call, if the agent reports the size before each call', () => {
    for (const [sizeBeforeCall, retries] of [
      [true, [1, 2]],
      [undefined, []],
    ] as const) {
      const talk = new Talk({}, { sizeBeforeCall }).open()
      const size = (used: number) => talk.report({ sessionUpdate: 'usage_update', used, size: 1000 })
      talk.protocol.prompt('Hello.')
      for (const used of [10, 20, 20, 20, 30]) size(used)
      talk.text('Hi.')
      size(30)
      const reported = talk.updates.flatMap((each) => (each.kind === 'retry' ? [each.attempt] : []))
      assert.deepEqual(reported, retries)
    }
  })

  it('reports a repeated call that an agent announces outside the protocol', () => {
    const reported: AcpProfile['reported'] = (method, { message }) =>
      method === '_x/again' ? { kind: 'retry', failure: 'other', message: String(message) } : undefined
    const talk = new Talk({}, { reported }).open()
    talk.protocol.prompt('Hello.')
    for (const method of ['_x/again', '_x/other']) talk.say({ method, params: { message: 'slow' } })
    const retries = talk.updates.filter((each) => each.kind === 'retry')
    assert.deepEqual(retries, [{ kind: 'retry', failure: 'other', message: 'slow' }])
  })

  it('reports silence as a refusal for an agent that has no other way to refuse', () => {
    for (const [refusesInSilence, text, reason] of [
      [true, '', 'refusal'],
      [true, 'Done.', 'end_turn'],
      [undefined, '', 'end_turn'],
    ] as const) {
      const talk = new Talk({}, { refusesInSilence }).open()
      talk.protocol.prompt('Hello.')
      talk.text(text)
      talk.result({ stopReason: 'end_turn' })
      const end = talk.end()
      assert.equal(end?.kind === 'turn_ended' && end.stop_reason, reason)
    }
  })

  it('limits the size of what a tool receives and returns', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Hello.')
    const huge = 'ä'.repeat(200_000)
    talk.report({
      sessionUpdate: 'tool_call',
      toolCallId: 't',
      kind: 'switch_mode',
      status: 'in_progress',
      rawInput: { huge },
      rawOutput: huge,
      content: [{ type: 'diff', path: '/x', newText: huge }],
    })
    const tool = talk.end()
    assert.ok(tool?.kind === 'tool')
    assert.equal(tool.tool_kind, 'other')
    assert.ok(Buffer.byteLength(tool.input ?? '') <= 16 * 1024)
    assert.ok(Buffer.byteLength(tool.output ?? '') <= 16 * 1024)
    const text = tool.diffs?.[0]?.new_text ?? ''
    assert.ok(Buffer.byteLength(text) <= 64 * 1024 && !text.includes('\ufffd'))
  })

  it('reports the exit code and the last words of a program that ends in the middle of a turn', () => {
    const talk = new Talk().open()
    talk.protocol.prompt('Hello.')
    talk.protocol.exited({ code: 1, stderr: 'connect ECONNREFUSED' })
    const end = talk.end()
    assert.ok(end?.kind === 'turn_ended')
    assert.deepEqual([end.stop_reason, end.failure], ['error', 'unreachable'])
    assert.match(end.message ?? '', /exit code 1: connect ECONNREFUSED/)
  })

  it('reports a program that ends before it has started a session', () => {
    const talk = new Talk()
    talk.protocol.exited({ code: 127, stderr: 'no such file' })
    assert.equal(talk.failures[0]?.reason, 'start_failed')
    talk.protocol.exited({ code: 127, stderr: '' })
    assert.equal(talk.failures.length, 1)
  })
})
