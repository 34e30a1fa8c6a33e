import { useState } from 'react'
import { Composer } from '../session/composer.tsx'
import type { Question, Shown } from '../session/conversation.ts'
import { QuestionCard } from '../session/question-card.tsx'
import { ChatRow } from '../session/rows.tsx'

const time = '2026-02-03T04:05:06Z'
const until = '2026-02-03T04:05:42Z'
const none = { input: undefined, output: undefined, diffs: [], paths: [], time, until }
const retry = {
  path: 'src/http/retry.ts',
  old_text: 'const delay = base * 2 ** attempt\nreturn delay\n',
  new_text: 'const delay = base * 2 ** attempt\nreturn Math.min(delay, MAX_DELAY_MS)\n',
}
const read = (key: string): Shown => ({
  ...{ kind: 'tool', key, title: `Read ${key}`, toolKind: 'read', status: 'completed' },
  ...none,
})
const group = Array.from({ length: 8 }, (_, at) => read(`src/part-${at + 1}.ts`))
const rows: Shown[] = [
  {
    ...{ kind: 'prompt', key: 'prompt', time, turn: 7, by: 'ann' },
    text: 'Add jitter here, all clients retry in the same second after an outage.',
    attachments: [],
  },
  {
    kind: 'thought',
    key: 'thought',
    time,
    until,
    text: 'Equal jitter keeps half of the delay.\nSo the test holds.',
  },
  {
    ...{ kind: 'message', key: 'message', time },
    text: 'Equal jitter fits: at least half of the delay stays. I changed `backoff()`:\n\n- the clock is injectable\n- **no** other caller\n\n```ts\nbackoff(100, 1, random)\n```',
  },
  { ...none, kind: 'tool', key: 'begins', title: 'Find callers', toolKind: 'search', status: 'pending' },
  {
    ...none,
    ...{ kind: 'tool', key: 'runs', title: 'npm test', toolKind: 'execute', status: 'in_progress' },
    input: '{"command":"npm test"}',
  },
  {
    ...none,
    ...{ kind: 'tool', key: 'edit', title: 'Edit src/http/retry.ts', toolKind: 'edit', status: 'completed' },
    diffs: [retry],
    paths: [retry.path],
  },
  {
    ...none,
    ...{ kind: 'tool', key: 'fails', title: 'npm run lint', toolKind: 'execute', status: 'failed' },
    input: '{"command":"npm run lint"}',
    output: 'src/http/retry.ts:4: unused variable\n',
  },
  { ...none, kind: 'tool', key: 'denied', title: 'rm -rf build', toolKind: 'delete', status: 'denied' },
  { kind: 'group', key: 'group', rows: group.filter((row) => row.kind === 'tool') },
  {
    ...{ kind: 'verify', key: 'verified', time, until },
    command: 'npm test',
    status: 'passed',
    output: '214 passed\n',
  },
  {
    ...{ kind: 'verify', key: 'refuted', time, until },
    command: 'npm test',
    status: 'failed',
    output: '1 failed\n',
  },
  { kind: 'note', key: 'plain', time, tone: 'plain', text: 'The model is sonnet from here on.' },
  { kind: 'note', key: 'warning', time, tone: 'warning', text: '80 % of the budget is used.' },
  { kind: 'note', key: 'bad', time, tone: 'bad', text: 'The agent was ended by SIGTERM' },
  {
    ...{ kind: 'answered', key: 'allowed', id: '1', time, decision: 'allow', by: 'bob' },
    ...{ title: 'npm publish', reason: undefined, input: '{"command":"npm publish --tag next"}' },
  },
  {
    ...{
      kind: 'answered',
      key: 'refused',
      id: '2',
      time,
      decision: 'deny',
      by: 'default (nobody answered in time)',
    },
    ...{ title: 'curl https://example.com', reason: 'the tests need no network', input: undefined },
  },
]
const question = { kind: 'permission', askedAt: time, agent: 'claude_code' } as const
const questions: Question[] = [
  {
    ...{ ...question, request_id: 'command', title: 'npm publish', tool_kind: 'execute' },
    input: '{"command":"npm publish --tag next"}',
  },
  {
    ...{ ...question, request_id: 'file', title: 'Edit retry.ts', tool_kind: 'edit' },
    input: '{"file":"src/http/retry.ts"}',
    paths: ['src/http/retry.ts'],
  },
]
const queue = [
  { inputId: '1', text: 'then update the changelog', by: 'ann', attachments: 0 },
  { inputId: '2', text: 'and look at this trace', by: 'bob', attachments: 2 },
]
const nothing = () => undefined

/** Shows the parts of a conversation with an agent, in every state. */
export function SessionParts() {
  const [expires_at] = useState(() => new Date(Date.now() + 252_000).toISOString())
  return (
    <div className="flex w-full flex-col gap-3">
      {rows.map((row) => (
        <ChatRow key={row.key} row={row} />
      ))}
      {questions.map((question, more) => (
        <QuestionCard
          key={question.request_id}
          {...{ more, question: more === 0 ? { ...question, expires_at } : question }}
          run="run_parts"
          attempt={undefined}
          runner="runner-2"
          byItself="denied"
          lost={nothing}
        />
      ))}
      {(['idle', 'busy', 'over'] as const).map((state) => (
        <Composer
          key={state}
          run={`run_${state}`}
          busy={state === 'busy'}
          over={state === 'over'}
          queue={state === 'busy' ? queue : []}
          forks={state === 'over'}
          step={undefined}
          attempt={undefined}
          goesOn={nothing}
        />
      ))}
    </div>
  )
}
