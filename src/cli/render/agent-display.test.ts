import assert from 'node:assert/strict'
import test from 'node:test'
import type { AgentUpdate } from '../../contract/agent.ts'
import type { RunEvent } from '../../contract/events.ts'
import { AgentDisplay, shortDiff } from './agent-display.ts'

const time = '2026-01-01T00:00:00.000Z'
const updateEvent = (update: AgentUpdate): RunEvent => ({
  type: 'agent.update',
  seq: 1,
  time,
  attempt: 1,
  step: 'agent',
  host: 'local',
  update,
})

function shown(updates: readonly AgentUpdate[], tty = false): string {
  const display = new AgentDisplay({ tty, color: false })
  return updates.map((update) => display.add(updateEvent(update))).join('')
}

const tool = (more: object): AgentUpdate => ({ kind: 'tool', tool_id: 't1', ...more })

test('text appears as it streams, and everything else gets its own line', () => {
  const text = shown([
    { kind: 'session', agent: 'codex', session_id: 's', origin: 'new' },
    { kind: 'session', agent: 'codex', version: '1.2.3', model: 'm', session_id: 's', origin: 'new' },
    { kind: 'prompt', input_id: 'first', text: 'what I typed' },
    { kind: 'thought', text: 'only on a terminal' },
    { kind: 'message', text: 'one ' },
    { kind: 'message', text: 'line' },
    tool({ title: 'Write a.txt', tool_kind: 'edit', status: 'running', paths: ['/w/a.txt', '/w/b.txt'] }),
    tool({ status: 'completed', diffs: [{ path: 'a.txt', old_text: 'x\ny\n', new_text: 'x\nz\n' }] }),
    tool({ status: 'failed' }),
    { kind: 'plan', entries: [{ text: 'go', status: 'completed' }] },
    { kind: 'plan', entries: [{ text: 'go', status: 'completed' }] },
    { kind: 'verify', command: 'npm test', status: 'running' },
    { kind: 'verify', command: 'npm test', status: 'failed', output: 'x' },
    { kind: 'prompt', input_id: 'verify-1', text: 'It fails.\nMake it pass.' },
    { kind: 'retry', failure: 'rate_limit', message: '429' },
    { kind: 'permission', request_id: 'q', title: 'Run rm', paths: ['/w'] },
    { kind: 'permission_answered', request_id: 'q', decision: 'deny', by: 'rule', rule: 'rule 1' },
    { kind: 'message', text: 'done\n' },
    { kind: 'turn_ended', stop_reason: 'error', failure: 'auth', message: '401' },
  ])
  assert.deepEqual(text.split('\n'), [
    'codex 1.2.3 m',
    'one line',
    'completed Write a.txt  /w/b.txt',
    '    - y',
    '    + z',
    'plan',
    '    [x] go',
    'verify failed: npm test',
    '> It fails. ...',
    'the model service failed (rate_limit), retrying: 429',
    '? Run rm  /w',
    '  denied by rule 1',
    'done',
    'the turn ended: error: auth: 401',
    '',
  ])
})

test('the end shows the usage, how it ended and why', () => {
  const display = new AgentDisplay({ tty: false, color: false })
  const turn = { input_tokens: 1, cached_input_tokens: 0, output_tokens: 1 }
  const session = { input_tokens: 1200, cached_input_tokens: 300, output_tokens: 40, cost_usd: 0.0123 }
  display.add({ type: 'run.created', seq: 1, time, workflow_name: 'x', vars: {} })
  display.add(updateEvent({ kind: 'usage', turn, session }))
  const message = 'auth: the key is wrong'
  display.add({
    ...{ type: 'attempt.finished', seq: 2, time, attempt: 1, step: 'agent', host: 'local' },
    ...{ outcome: 'failed', reason: 'model', message },
  } as RunEvent)
  const end = display.add({
    ...{ type: 'run.finished', seq: 3, time: '2026-01-01T00:00:02.000Z' },
    ...{ status: 'failed', reason: 'model' },
  } as RunEvent)
  assert.equal(
    end,
    'tokens: 1200 and 300 cached in, 40 out, $0.0123\nfailed in 2.0 s: model: auth: the key is wrong\n',
  )
})

test('on a terminal a running tool has a temporary line, and no text controls the terminal', () => {
  const text = shown(
    [
      { kind: 'thought', text: 'hm' },
      { kind: 'message', text: 'a\x1b[2Jb\x07\r' },
      tool({ title: 'Run \x1b[2Jls', status: 'running' }),
      tool({ status: 'completed' }),
    ],
    true,
  )
  assert.equal(text, 'hm\na[2Jb\n\x1b[?7lRun ls\x1b[?7h\r\x1b[Kcompleted Run ls\n')
})

test('a long change is shortened, both as whole texts and as a unified diff', () => {
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}\n`).join('')
  const made = shortDiff({ path: 'a', new_text: lines(30) }, 12)
  assert.deepEqual([made.lines.length, made.more, made.lines[0]], [12, 18, { sign: '+', text: 'line 0' }])
  const unified = '--- a\n+++ b\n@@ -1,2 +1,2 @@\n same\n-old\n+new\n--- x\n'
  assert.deepEqual(shortDiff({ path: 'a', unified }, 12), {
    lines: [
      { sign: '-', text: 'old' },
      { sign: '+', text: 'new' },
      { sign: '-', text: '-- x' },
    ],
    more: 0,
  })
  assert.deepEqual(shortDiff({ path: 'a', old_text: 'x\nx\n', new_text: 'x\nx\nx\n' }, 12).lines, [
    { sign: '+', text: 'x' },
  ])
})

test('a loaded session is shown once per turn, and a tool is not described by a path alone', () => {
  const loaded = { kind: 'session', agent: 'claude_code', session_id: 's', origin: 'loaded' } as const
  const text = shown([
    loaded,
    { ...loaded, version: '2.0.0' },
    tool({ title: 'tmp/a.py', tool_kind: 'edit', status: 'running' }),
    tool({ status: 'completed' }),
    { kind: 'permission', request_id: 'q', title: '/tmp/b.py', tool_kind: 'read' },
    { kind: 'turn_ended', stop_reason: 'end_turn' },
    loaded,
  ])
  assert.deepEqual(text.split('\n'), [
    'claude_code, session loaded',
    'completed edit tmp/a.py',
    '? read /tmp/b.py',
    'claude_code, session loaded',
    '',
  ])
})

test('the display says what happened to a prompt that came too late', () => {
  const display = new AgentDisplay({ tty: false, color: false })
  const common = { seq: 1, time, attempt: 1, input_id: 'a' }
  const lines = [
    display.add({ ...common, type: 'input.passed_on', run_id: 'run_b' }),
    display.add({ ...common, type: 'input.dropped', message: 'The run was stopped before its turn came.' }),
  ]
  assert.deepEqual(lines, [
    'a prompt came too late: run run_b continues with it\n',
    'a prompt came too late: The run was stopped before its turn came.\n',
  ])
})

test('a question shows what would run, whatever its title says', () => {
  const questionUpdate = (question: object) =>
    shown([{ kind: 'permission', request_id: 'q', title: 'Lists files', tool_kind: 'execute', ...question }])
  const command = '# harmless\nrm -rf ~'
  const input = JSON.stringify({ command, commands: [command], description: 'so it says', timeout: 5 })
  assert.equal(questionUpdate({ input }), '? Lists files  command: # harmless \u23ce rm -rf ~  timeout: 5\n')
  for (const command of ['rm -rf ~ #\rls', 'ls \x1b]0; ; rm -rf ~ #\x07', 'ls \x9b; rm -rf ~'])
    assert.match(questionUpdate({ input: JSON.stringify({ command }) }), /rm -rf ~/)
  assert.equal(questionUpdate({ title: 'ls -l', input: '{"command":"ls -l"}' }), '? ls -l\n')
  assert.equal(questionUpdate({ input: '{"command":"rm' }), '? Lists files  {"command":"rm\n')
  assert.equal(
    questionUpdate({ tool_kind: 'edit', paths: ['/a'], input: '{"content":"long"}' }),
    '? Lists files  /a\n',
  )
  assert.equal(questionUpdate({ title: 'a\u202eb', input: undefined }), '? a\ufffdb\n')
})

test('a temporary line stays one line, even on a narrow terminal or with wide characters', () => {
  const title = `echo ${'\u6f22'.repeat(200)}`
  const text = shown(
    [tool({ title, status: 'running' }), { kind: 'turn_ended', stop_reason: 'end_turn' }],
    true,
  )
  assert.equal(text, `\x1b[?7l${title}\x1b[?7h\r\x1b[K`)
})

test('a tool that failed or was denied says why, in its first line', () => {
  const output = '\n/etc/x is outside the working folder\nmore'
  const lineOf = (status: 'failed' | 'denied' | 'completed') =>
    shown([tool({ title: 'Write', status, output })])
  assert.equal(lineOf('denied'), 'denied    Write\n    /etc/x is outside the working folder ...\n')
  assert.equal(lineOf('failed'), 'failed    Write\n    /etc/x is outside the working folder ...\n')
  assert.equal(lineOf('completed'), 'completed Write\n')
})

test('an agent that runs without a box gets a line that says so', () => {
  const display = new AgentDisplay({ tty: false, color: false })
  const head = { seq: 1, time, attempt: 1 }
  const message = 'It runs without a sandbox. bubblewrap is not installed.'
  const events: RunEvent[] = [
    { ...head, type: 'attempt.phase', phase: 'isolation', message },
    { ...head, type: 'attempt.phase', phase: 'other', message: 'no matter' },
  ]
  assert.deepEqual(
    events.map((event) => display.add(event)),
    [`${message}\n`, ''],
  )
})

test("an agent's line names its box, and its stream reports each refusal of that box once", () => {
  const display = new AgentDisplay({ tty: false, color: false })
  const head = { seq: 1, time, attempt: 1 }
  const session = { kind: 'session', agent: 'codex', version: '1', session_id: 's', origin: 'new' } as const
  const text = 'The network of this run refused x.org:443: that host is not allowed (host_not_allowed).'
  const refused = { to: 'x.org', port: 443, why: 'host_not_allowed', count: 2 }
  const update = { ...head, type: 'agent.update', step: 'agent', host: 'local' } as const
  const events: RunEvent[] = [
    { ...head, type: 'attempt.started', isolation: 'sandbox', network: 'models' },
    { ...update, update: session },
    { ...update, update: { kind: 'notice', text } },
    { ...head, type: 'network.refused', ...refused },
  ]
  assert.equal(
    events.map((event) => display.add(event)).join(''),
    `codex 1 in a sandbox, network models\n${text}\n`,
  )
})
