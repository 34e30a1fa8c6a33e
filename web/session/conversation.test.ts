import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentUpdate, FileDiff } from '../../src/contract/agent.ts'
import type { NewEvent, RunEvent } from '../../src/contract/events.ts'
import { Conversation, grouped } from './conversation.ts'
import { changedFiles, diffLines } from './file-changes.ts'

let seq = 0
const event = (fields: NewEvent): RunEvent =>
  ({ ...fields, seq: ++seq, time: `2026-01-01T00:00:${String(seq % 60).padStart(2, '0')}.000Z` }) as RunEvent
const updateEvent = (update: AgentUpdate, step = 'agent'): RunEvent =>
  event({ type: 'agent.update', attempt: 1, step, host: 'local', update })
const read = (...events: RunEvent[]): Conversation => {
  const talk = new Conversation('ann', { step: 'agent' })
  talk.readOn(events)
  return talk
}

test('pieces of a message are one row, and a tool call is shown once with all its details', () => {
  const talk = read(
    updateEvent({ kind: 'prompt', input_id: 'first', text: 'Go.' }),
    updateEvent({ kind: 'message', text: 'Of another' }, 'other'),
    updateEvent({ kind: 'message', text: 'One ' }),
    updateEvent({ kind: 'message', text: 'text.' }),
    updateEvent({ kind: 'tool', tool_id: 't', title: 'Edit a', tool_kind: 'edit', status: 'pending' }),
    updateEvent({ kind: 'message', text: 'More.' }),
    updateEvent({ kind: 'tool', tool_id: 't', status: 'denied' }),
    updateEvent({ kind: 'tool', tool_id: 't', status: 'failed', output: 'no' }),
  )
  assert.deepEqual(
    talk.rows.map((row) => [row.kind, 'text' in row ? row.text : 'status' in row && row.status]),
    [
      ['prompt', 'Go.'],
      ['message', 'One text.'],
      ['tool', 'denied'],
      ['message', 'More.'],
    ],
  )
  const [prompt, , tool] = talk.rows
  assert.ok(prompt?.kind === 'prompt' && prompt.by === 'ann' && prompt.turn === 1)
  assert.ok(tool?.kind === 'tool' && tool.title === 'Edit a' && tool.output === 'no')
  assert.equal(talk.busy, true)
})

test("the conversation shows the session's box, or that there is none", () => {
  const phase = (phase: string, message?: string) =>
    event({ type: 'attempt.phase', attempt: 1, phase, message })
  const talk = read(phase('isolation', 'Its box is the pod.'), phase('isolation'), phase('secrets', 'One.'))
  assert.deepEqual(
    talk.rows.map((row) => [row.kind, 'text' in row && row.text]),
    [['note', 'Its box is the pod.']],
  )
})

test('prompts wait in the queue with their author until they are used or dropped', () => {
  const prompt = (input_id: string) =>
    event({ type: 'input.given', attempt: 1, by: 'bob', input: { type: 'prompt', input_id, text: input_id } })
  const events = [prompt('a'), prompt('b'), prompt('c')]
  const talk = read(...events)
  assert.deepEqual(
    talk.queue.map(({ text, by }) => [text, by]),
    [
      ['a', 'bob'],
      ['b', 'bob'],
      ['c', 'bob'],
    ],
  )
  events.push(
    updateEvent({ kind: 'prompt', input_id: 'a', text: 'a' }),
    event({ type: 'input.dropped', attempt: 1, input_id: 'b', message: 'it was stopped' }),
    event({ type: 'input.passed_on', attempt: 1, input_id: 'c', run_id: 'run_next' }),
  )
  talk.readOn(events)
  assert.deepEqual(talk.queue, [])
  const texts = talk.rows.map((row) => ('text' in row ? row.text : ''))
  assert.match(texts.join('\n'), /“b” was not delivered: it was stopped\n.*run_next continues/)
  assert.ok(talk.rows[0]?.kind === 'prompt' && talk.rows[0].by === 'bob')
})

test('a question is open until someone answers it, and then shows who did', () => {
  const events = [
    updateEvent({ kind: 'permission', request_id: 'q', title: 'rm x', expires_at: '2026-01-01T01:00:00Z' }),
    updateEvent({ kind: 'permission', request_id: 'r', title: 'of a rule' }),
    updateEvent({
      kind: 'permission_answered',
      request_id: 'r',
      decision: 'allow',
      by: 'rule',
      rule: 'rule 1',
    }),
  ]
  const talk = read(...events)
  assert.deepEqual(
    talk.questions.map(({ request_id }) => request_id),
    ['q'],
  )
  assert.equal(talk.rows.length, 0)
  events.push(
    updateEvent({ kind: 'permission_answered', request_id: 'q', decision: 'deny', by: 'person', who: 'bob' }),
  )
  const before = talk.state
  assert.equal(talk.readOn(events), before + 1)
  assert.equal(talk.readOn(events), before + 1)
  assert.deepEqual(talk.questions, [])
  assert.ok(talk.rows[0]?.kind === 'answered' && talk.rows[0].title === 'rm x' && talk.rows[0].by === 'bob')
})

test('turns of the model are counted: work after its tools have ended is a new turn', () => {
  const tool = (tool_id: string, status: 'running' | 'completed') =>
    updateEvent({ kind: 'tool', tool_id, status })
  const events = [
    event({ type: 'attempt.started', attempt: 1, step: 'agent', host: 'local' } as NewEvent),
    updateEvent({ kind: 'prompt', input_id: 'first', text: 'Go.' }),
    updateEvent({ kind: 'thought', text: 'Two at once.' }),
    ...[tool('a', 'running'), tool('b', 'running'), tool('a', 'completed')],
    updateEvent({ kind: 'message', text: 'b still runs' }),
    ...[tool('b', 'completed'), tool('c', 'completed')],
  ]
  const talk = read(...events)
  assert.equal(talk.modelTurns, 2)
  events.push(
    updateEvent({ kind: 'prompt', input_id: 'second', text: 'On.' }),
    updateEvent({ kind: 'message', text: 'Done.' }),
    updateEvent({ kind: 'message', text: ' All of it.' }),
  )
  talk.readOn(events)
  assert.deepEqual([talk.turns, talk.modelTurns], [2, 3])
})

test('many finished calls in a row become one line, and each file has its changes', () => {
  const call = (number: number): RunEvent =>
    updateEvent({
      ...{ kind: 'tool', tool_id: `t${number}`, tool_kind: 'edit', status: 'completed' },
      diffs: [{ path: number % 2 ? 'a' : 'b', new_text: 'x\n' }],
    })
  const talk = read(...Array.from({ length: 7 }, (_, number) => call(number)))
  assert.deepEqual(
    grouped(talk.rows).map(({ kind }) => kind),
    ['group'],
  )
  assert.equal(grouped(talk.rows.slice(1)).length, 6)
  assert.deepEqual(
    changedFiles(talk.rows).map(({ path, added, removed }) => [path, added, removed]),
    [
      ['b', 4, 0],
      ['a', 3, 0],
    ],
  )
})

test('consecutive edits of a file become one change, and others are shown separately', () => {
  const edited = (...edits: FileDiff[]) =>
    changedFiles(
      read(
        ...edits.map((edit, at) =>
          updateEvent({
            kind: 'tool',
            tool_id: `t${at}`,
            tool_kind: 'edit',
            status: 'completed',
            diffs: [edit],
          }),
        ),
      ).rows,
    ).map(({ added, removed, edits, whole }) => [added, removed, whole === undefined ? edits.length : 1])
  const step = (old_text: string | undefined, new_text: string | undefined): FileDiff => ({
    ...{ path: 'a', old_text, new_text },
  })
  const unified = (text: string): FileDiff => ({ path: 'a', unified: `@@ -1,1 +1,1 @@\n${text}` })
  // A line that is changed twice counts as changed once, and a line that is changed back does not count.
  assert.deepEqual(edited(step('a\nb\nc\n', 'a\nB\nc\n'), step('a\nB\nc\n', 'a\nB!\nc\n')), [[1, 1, 1]])
  assert.deepEqual(edited(step('a\n', 'b\n'), step('b\n', 'a\n')), [[0, 0, 1]])
  assert.deepEqual(edited(step(undefined, 'a\n'), step('a\n', 'a\nb\n')), [[2, 0, 1]])
  assert.deepEqual(edited(step('a\n', undefined), step(undefined, 'a\nb\n')), [[1, 0, 1]])
  // Something else has written in between, or the texts are unknown.
  assert.deepEqual(edited(step('a\n', 'b\n'), step('c\n', 'd\n')), [[2, 2, 2]])
  assert.deepEqual(edited(unified('-a\n+b\n'), unified('-b\n+c\n')), [[2, 2, 2]])
  assert.deepEqual(edited(unified('-a\n+b\n')), [[1, 1, 1]])
})

test('a change shows its lines and line numbers, from whole texts or a unified diff', () => {
  const shown = (lines: ReturnType<typeof diffLines>) =>
    lines.map((line) => `${line.sign}${line.old ?? ''}:${line.new ?? ''} ${line.text}`)
  const old_text = 'a\nb\nc\nd\ne\n'
  assert.deepEqual(shown(diffLines({ path: 'x', old_text, new_text: 'a\nb\nC\nC\nd\ne\n' })), [
    ' 1:1 a',
    ' 2:2 b',
    '-3: c',
    '+:3 C',
    '+:4 C',
    ' 4:5 d',
    ' 5:6 e',
  ])
  const far = Array.from({ length: 9 }, (_, at) => `${at + 1}\n`).join('')
  const both = far.replace('1\n', 'one\n').replace('9\n', 'nine\n')
  assert.deepEqual(shown(diffLines({ path: 'x', old_text: far, new_text: both })), [
    ...['-1: 1', '+:1 one', ' 2:2 2', ' 3:3 3', '@: ', ' 7:7 7', ' 8:8 8', '-9: 9', '+:9 nine'],
  ])
  const unified = '--- x\n+++ x\n@@ -7,2 +7,2 @@ f()\n same\n--- gone\n+++ come\n'
  assert.deepEqual(shown(diffLines({ path: 'x', unified })), [
    '@: f()',
    ' 7:7 same',
    '-8: -- gone',
    '+:8 ++ come',
  ])
})
