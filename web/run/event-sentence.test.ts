import assert from 'node:assert/strict'
import test from 'node:test'
import { type EventOf, type EventType, RunEvent } from '../../src/contract/events.ts'
import { eventSentence } from './event-sentence.ts'

const at = { seq: 1, time: '2026-01-31T10:00:00.000Z' }
const step = { step: 'dump', phase: 'main', instance: 0 } as const
const attempt = { attempt: 1 }
const secret = { name: 'KEY', scope: 'tenant', updated_by: 'ann' } as const
const usage = { input_tokens: 1, cached_input_tokens: 0, output_tokens: 1 }

type Samples = { [T in EventType]: [event: Omit<EventOf<T>, 'seq' | 'time' | 'type'>, sentence: string][] }
const samples: Samples = {
  'run.created': [[{ workflow_name: 'nightly', vars: {} }, 'The run of nightly was created.']],
  'run.waiting': [[{ why: '1 run is ahead' }, 'The run is queued: 1 run is ahead.']],
  'run.started': [[{}, 'The run started.']],
  'run.cancel_requested': [
    [{ by: 'ann', force: false }, 'The run was canceled by ann.'],
    [{ force: true, message: 'wrong host' }, 'The run was canceled, killing everything now: wrong host.'],
  ],
  'run.shared': [
    [{ by: 'ann', user: 'bob', can: 'watch' }, 'ann shared the run with bob, who can watch.'],
    [
      { by: 'ann', role: 'user', can: 'take-part' },
      'ann shared the run with everyone with the role user, who can take part.',
    ],
  ],
  'run.unshared': [[{ by: 'ann', user: 'bob' }, 'ann stopped sharing the run with bob.']],
  'run.timed_out': [[{}, 'The run reached its time limit.']],
  'run.finished': [
    [{ status: 'success' }, 'The run succeeded.'],
    [{ status: 'failed', reason: 'exit_code' }, 'The run failed: exit code.'],
  ],
  'step.started': [
    [{ step: 'dump', phase: 'main', instances: [{ host: 'db-1' }] }, 'Step dump started on db-1.'],
    [{ step: 'dump', phase: 'main', instances: [] }, 'Step dump started with 0 instances.'],
  ],
  'step.skipped': [[{ step: 'dump', phase: 'main', reason: 'left_out' }, 'Step dump was skipped: left out.']],
  'step.finished': [[{ step: 'dump', phase: 'main', status: 'canceled' }, 'Step dump was canceled.']],
  'attempt.created': [
    [
      { ...attempt, ...step, host: 'db-1', try: 2, runner: 'r1', epoch: 1 },
      'Attempt 2 on db-1 was assigned to runner r1.',
    ],
    [
      { ...attempt, ...step, host: 'db-1', try: 1, epoch: 0, waiting: 'no runner is free' },
      'Attempt 1 on db-1 is waiting: no runner is free.',
    ],
  ],
  'attempt.waiting': [
    [{ ...attempt, why: 'no runner is free' }, 'The attempt is waiting: no runner is free.'],
  ],
  'attempt.assigned': [[{ ...attempt, runner: 'r1', epoch: 2 }, 'The attempt was assigned to runner r1.']],
  'attempt.started': [
    [{ ...attempt, pid: 7, isolation: 'sandbox' }, 'The attempt started in a sandbox as process 7.'],
    [attempt, 'The attempt started.'],
  ],
  'attempt.phase': [
    [{ ...attempt, phase: 'waiting_for_workspace' }, 'The attempt entered its phase waiting for workspace.'],
  ],
  'network.refused': [
    [
      { ...attempt, to: 'example.com', port: 443, why: 'not allowed', count: 3 },
      'A connection to example.com:443 was refused 3 times: not allowed.',
    ],
  ],
  'network.used': [
    [
      { ...attempt, to: 'example.com', sent_bytes: 1, received_bytes: 2000 },
      'The attempt sent 1 byte to example.com and received 2,000 bytes.',
    ],
  ],
  'artifact.kept': [
    [
      {
        ...attempt,
        artifact: {
          ...{ artifact_id: '1.1', kind: 'file', name: 'out/report.txt', bytes: 12, sha256: '0'.repeat(64) },
          media_type: 'text/plain',
        },
      },
      'out/report.txt was saved (12 bytes).',
    ],
  ],
  'git.pushed': [
    [
      { ...attempt, repo: 'shop', branch: 'fix', sha: 'abc', forced: false },
      'Branch fix was pushed to shop.',
    ],
  ],
  'pull_request.changed': [
    [
      { ...attempt, pull_request: { url: 'https://x', number: 4, state: 'merged' } },
      'Pull request 4 is merged.',
    ],
  ],
  'test.results': [
    [
      { ...attempt, tests: { suite: 'unit', passed: 3, failed: 1, skipped: 0, failed_names: ['a'] } },
      'Test suite unit: 3 passed, 1 failed, 0 skipped.',
    ],
  ],
  'attempt.secrets': [[{ ...attempt, secrets: { TOKEN: secret } }, 'The attempt receives 1 secret: TOKEN.']],
  'attempt.cancel_requested': [[{ ...attempt, reason: 'timeout' }, 'The attempt is being stopped: timeout.']],
  output: [
    [
      { ...attempt, step: 'dump', host: 'db-1', stream: 'stderr', offset: 0, length: 5 },
      'The attempt wrote 5 bytes to stderr.',
    ],
  ],
  'attempt.finished': [
    [
      { ...attempt, step: 'dump', host: 'db-1', outcome: 'failed', reason: 'exit_code', exit_code: 3 },
      'The attempt failed: exit code 3.',
    ],
    [
      { ...attempt, step: 'dump', host: 'db-1', outcome: 'interrupted', reason: 'lost', retry_at: 'soon' },
      'The attempt was interrupted: lost (it will be retried)',
    ],
  ],
  'agent.update': [
    [
      {
        ...attempt,
        step: 'dump',
        host: 'db-1',
        update: { kind: 'message', text: 'Done.\n\nAll  tests pass' },
      },
      'The agent wrote: “Done. All tests pass”',
    ],
    [
      { ...attempt, step: 'dump', host: 'db-1', update: { kind: 'usage', turn: usage, session: usage } },
      'The agent reported its usage.',
    ],
    [
      {
        ...{ ...attempt, step: 'dump', host: 'db-1' },
        update: { kind: 'permission_answered', request_id: 'q', decision: 'deny', by: 'nobody' },
      },
      'The permission was denied, because nobody could be asked.',
    ],
  ],
  'input.given': [
    [
      { ...attempt, input: { type: 'prompt', input_id: 'i', text: 'go' }, by: 'ann' },
      'A prompt was sent by ann.',
    ],
  ],
  'input.taken': [[{ ...attempt, input_id: 'i' }, 'The agent accepted an input.']],
  'input.passed_on': [
    [
      { ...attempt, input_id: 'i', run_id: 'run_2' },
      'A prompt came too late and continues the session in run_2.',
    ],
  ],
  'input.dropped': [
    [
      { ...attempt, input_id: 'i', message: 'The run has ended.' },
      'A prompt came too late: The run has ended.',
    ],
  ],
  'approval.requested': [[{ ...step, message: 'Deploy?' }, 'Step dump asks for approval: Deploy?']],
  'approval.answered': [
    [{ ...step, decision: 'approve', by: 'ann' }, 'Step dump was approved by ann.'],
    [{ ...step, decision: 'reject', reason: 'timeout' }, 'The question of step dump was closed: timeout.'],
  ],
  'child.started': [[{ ...step, run_id: 'run_2' }, 'Run run_2 was started.']],
  'child.finished': [[{ ...step, run_id: 'run_2', status: 'success' }, 'Run run_2 succeeded.']],
}

test('every event becomes a sentence', () => {
  const types = RunEvent.options.map(({ shape }) => shape.type.value)
  assert.deepEqual(Object.keys(samples).toSorted(), types.toSorted())
  for (const [type, some] of Object.entries(samples))
    for (const [event, sentence] of some) {
      const whole = { ...at, type, ...event } as RunEvent
      assert.equal(RunEvent.safeParse(whole).error, undefined, type)
      assert.equal(eventSentence(whole), sentence)
    }
})

test('an event of a newer hub is shown by its type, and a long text is cut', () => {
  assert.equal(eventSentence({ ...at, type: 'run.paused_here' } as unknown as RunEvent), 'run.paused here.')
  const update = { kind: 'thought', text: 'x'.repeat(5000) } as const
  const text = eventSentence({ ...at, type: 'agent.update', ...attempt, step: 's', host: 'h', update })
  assert.equal(text, `The agent thought: “${'x'.repeat(200)}…”`)
})
