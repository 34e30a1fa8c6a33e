import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { ProtocolFailure, SessionRequest } from '../agent.ts'
import { ClaudeProtocol } from './protocol.ts'

/** Runs a ready protocol in which the test plays the program. */
function begun(ask: SessionRequest['ask'] = 'allow') {
  const sent: Record<string, unknown>[] = []
  const updates: AgentUpdate[] = []
  const failures: ProtocolFailure[] = []
  const base = { cwd: '/srv/project', home: '/srv/home', extra_args: [], new_session_id: 'n', env: {} }
  const protocol = new ClaudeProtocol(
    { ...base, ask },
    {
      send: (line) => void sent.push(JSON.parse(line)),
      update: (update) => void updates.push(update),
      ready: () => {},
      failed: (failure) => void failures.push(failure),
    },
  )
  const send = (message: object) => protocol.line(JSON.stringify(message))
  protocol.begin()
  return { protocol, sent, updates, failures, says: send }
}

function inTurn(ask?: SessionRequest['ask']) {
  const all = begun(ask)
  all.says({ type: 'control_response', response: { subtype: 'success', request_id: 'errand-initialize' } })
  all.protocol.prompt('go')
  return all
}

const result = (change: object) => ({
  type: 'result',
  subtype: 'success',
  is_error: false,
  usage: {},
  modelUsage: {},
  ...change,
})
const event = (data: object) => ({ type: 'stream_event', event: data, parent_tool_use_id: null })
const messageStart = event({ type: 'message_start', message: { id: 'm1', usage: { input_tokens: 5 } } })

describe('the protocol of Claude Code', () => {
  it("fails with the program's own words when it ends before it is ready", () => {
    const { failures, says, protocol } = begun()
    says(result({ subtype: 'error_during_execution', is_error: true, errors: ['No conversation found'] }))
    protocol.exited({ code: 1, stderr: '' })
    assert.deepEqual(failures, [{ reason: 'start_failed', message: 'No conversation found' }])
  })

  it('passes on images, text and PDF before the text of a prompt', () => {
    const { sent, protocol, says } = begun()
    const response = { models: [{ value: 'opus', displayName: 'Opus' }, { displayName: 'no id' }] }
    says({
      type: 'control_response',
      response: { subtype: 'success', request_id: 'errand-initialize', response },
    })
    const attached = (name: string, media_type: string) => {
      const content = Buffer.from('x')
      return { id: 'a', name, media_type, bytes: 1, sha256: '', content }
    }
    protocol.prompt('go', [
      attached('a.png', 'image/png'),
      attached('a.pdf', 'application/pdf'),
      attached('a.ts', 'text/plain'),
    ])
    const base64 = (media_type: string) => ({ type: 'base64', media_type, data: 'eA==' })
    assert.deepEqual((sent.at(-1) as { message: { content: object[] } }).message.content, [
      { type: 'image', source: base64('image/png') },
      { type: 'document', title: 'a.pdf', source: base64('application/pdf') },
      { type: 'document', title: 'a.ts', source: { type: 'text', media_type: 'text/plain', data: 'x' } },
      { type: 'text', text: 'go' },
    ])
  })

  it('switches the model, and passes on why a switch is refused', () => {
    const { sent, protocol, says } = inTurn()
    const answers: (string | undefined)[] = []
    for (const model of ['opus', 'none'])
      protocol.setModel(model, (refused) => {
        answers.push(refused)
      })
    assert.deepEqual(sent.at(-1), {
      type: 'control_request',
      request_id: 'errand-model-2',
      request: { subtype: 'set_model', model: 'none' },
    })
    says({ type: 'control_response', response: { subtype: 'success', request_id: 'errand-model-1' } })
    const refused = { subtype: 'error', request_id: 'errand-model-2', error: 'no such model' }
    says({ type: 'control_response', response: refused })
    assert.deepEqual(answers, [undefined, 'no such model'])
  })

  it('answers a question with the input that a person edited, otherwise with the original input', () => {
    const { sent, updates, protocol, says } = inTurn('ask')
    const input = { command: 'npm publish' }
    for (const request_id of ['q1', 'q2']) {
      const request = { subtype: 'can_use_tool', tool_name: 'Bash', input, tool_use_id: request_id }
      says({ type: 'control_request', request_id, request })
    }
    const permissions = updates.filter((each) => each.kind === 'permission')
    assert.deepEqual(
      permissions.map(({ editable }) => editable),
      [true, true],
    )
    protocol.answer('q1', 'allow', undefined, '{"command":"npm test"}')
    protocol.answer('q2', 'allow')
    const answers = sent.slice(-2).map(({ response }) => (response as { response: object }).response)
    assert.deepEqual(answers, [
      { behavior: 'allow', updatedInput: { command: 'npm test' } },
      { behavior: 'allow', updatedInput: input },
    ])
  })

  it('distinguishes an interrupted stream from an unreachable service', () => {
    const { updates, says } = inTurn()
    const retry = { type: 'system', subtype: 'api_retry', attempt: 1, max_retries: 6, error_status: null }
    says(retry)
    says(messageStart)
    says(retry)
    const retries = updates.filter((each) => each.kind === 'retry')
    assert.deepEqual(
      retries.map(({ failure }) => failure),
      ['unreachable', 'broken_stream'],
    )
    says(
      result({ is_error: true, terminal_reason: 'api_error', result: 'Connection refused (ECONNREFUSED)' }),
    )
    const end = updates.at(-1)
    assert.ok(end?.kind === 'turn_ended' && end.failure === 'unreachable')
  })

  it('reports a text that comes as a whole, and reports one that came in pieces only once', () => {
    const { updates, says } = inTurn()
    const whole = (id: string, text: string) => ({
      type: 'assistant',
      parent_tool_use_id: null,
      message: { id, content: [{ type: 'text', text }] },
    })
    says(messageStart)
    says(event({ type: 'content_block_delta', delta: { type: 'text_delta', text: 'pieces' } }))
    says(whole('m1', 'pieces'))
    says(whole('m2', 'whole'))
    says({ ...whole('m3', 'of an agent below'), parent_tool_use_id: 'task' })
    const texts = updates.flatMap((each) => (each.kind === 'message' ? each.text : []))
    assert.deepEqual(texts, ['pieces', 'whole'])
  })

  it('reports a tool as denied even if only the result names it', () => {
    const { updates, says } = inTurn()
    says(result({ permission_denials: [{ tool_name: 'Write', tool_use_id: 'w' }] }))
    assert.ok(
      updates.some((each) => each.kind === 'tool' && each.tool_id === 'w' && each.status === 'denied'),
    )
  })

  it('returns the input with an answer, and does not answer a withdrawn question', () => {
    const { protocol, sent, says } = inTurn('ask')
    const ask = (request_id: string) => {
      const request = {
        subtype: 'can_use_tool',
        tool_name: 'Bash',
        input: { command: 'ls' },
        tool_use_id: 't',
      }
      says({ type: 'control_request', request_id, request })
    }
    ask('a')
    protocol.answer('a', 'allow')
    const response = { behavior: 'allow', updatedInput: { command: 'ls' } }
    const answer = { type: 'control_response', response: { subtype: 'success', request_id: 'a', response } }
    assert.deepEqual(sent.at(-1), answer)
    ask('b')
    says({ type: 'control_cancel_request', request_id: 'b' })
    protocol.answer('b', 'allow')
    assert.deepEqual(sent.at(-1), answer)
  })

  it('refuses control requests that it does not know', () => {
    const { sent, says } = inTurn()
    says({ type: 'control_request', request_id: 'h', request: { subtype: 'hook_callback' } })
    assert.match(JSON.stringify(sent.at(-1)), /"subtype":"error","request_id":"h"/)
  })

  it('reads the items of a proposed plan', () => {
    const { updates, says } = inTurn()
    const input = { plan: '# Plan\n\n1. Look\n2. Write\n' }
    const content = [{ type: 'tool_use', id: 'p', name: 'ExitPlanMode', input }]
    says({ type: 'assistant', parent_tool_use_id: null, message: { id: 'm', content } })
    const entries = ['Look', 'Write'].map((text) => ({ text, status: 'pending' }))
    assert.deepEqual(updates.at(-1), { kind: 'plan', entries })
  })

  it('reports a changed file as a unified diff', () => {
    const { updates, says } = inTurn()
    const structuredPatch = [
      { oldStart: 1, oldLines: 2, newStart: 1, newLines: 2, lines: [' one', '-two', '+2'] },
    ]
    says({
      type: 'user',
      message: { content: [{ type: 'tool_result', tool_use_id: 'e', content: 'Updated.' }] },
      tool_use_result: { filePath: '/srv/project/a', originalFile: 'one\ntwo\n', structuredPatch },
    })
    const unified = '@@ -1,2 +1,2 @@\n one\n-two\n+2\n'
    const reported = updates.at(-1)
    assert.deepEqual(reported?.kind === 'tool' && reported.diffs, [{ path: '/srv/project/a', unified }])
  })
})
