import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  kindsOf,
  linesOf,
  sessionPlace,
  update,
  updatesOf,
} from '../../../test/support/runner/session-fixture.ts'
import { acp } from '../../agents/acp/acp.ts'
import type { ProtocolPort, SessionRequest } from '../../agents/agent.ts'
import { codex } from '../../agents/codex/codex.ts'
import { processStat, treeMembers } from '../../platform/proc.ts'
import { markOf } from '../attempts/launch.ts'

const inWorkspace = (here: { path: string }, file: string) => join(here.path, 'workspaces/run_test', file)
const keyOf = (here: { path: string }, id: string) =>
  JSON.parse(readFileSync(join(here.path, 'attempts', id, 'spec.json'), 'utf8')).key as string

test('a session reports what the agent says, its text is the output, and nothing of it is left', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const spec = here.spec(
    'say Hello\nsay , world.\nthink hm\nwrite made.txt\nsay Done.\nrun sleep 600',
    {},
    {
      outputs: { ANSWER: 'answer', FILES: 'files', OUT: 'stdout' },
    },
  )
  const held = await attempts.start(spec, 1)
  const key = keyOf(here, spec.attempt_id)
  const end = await endOf(held)
  assert.equal(end.outcome, 'success', JSON.stringify(end))
  assert.equal(await textOf(held), 'Hello, world.\nDone.\n')
  assert.deepEqual(end.exports, { ANSWER: 'Done.', FILES: '["made.txt"]', OUT: 'Hello, world.\nDone.' })
  assert.equal(held.reports[0]?.type, 'started')
  assert.deepEqual(
    kindsOf(held).filter((kind) => kind !== 'tool'),
    ['session', 'prompt', 'message', 'thought', 'message', 'turn_ended'],
  )
  assert.equal(existsSync(inWorkspace(here, 'made.txt')), true)
  assert.deepEqual(treeMembers({ mark: markOf(key) }), [])
  await held.release()
  await attempts.close()
})

test('a question waits for its answer, and a repeated or unrelated answer changes nothing', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('ask a.txt\nask b.txt\nsay end', { permissions: 'ask' }), 1)
  const first = await update(held, 'permission')
  assert.equal(existsSync(inWorkspace(here, 'a.txt')), false)
  assert.ok(Date.parse(first.expires_at!) > Date.now())
  const answer = {
    type: 'permission',
    input_id: 'i1',
    request_id: first.request_id,
    decision: 'allow',
    who: 'ann',
  } as const
  held.input!(answer)
  held.input!(answer)
  held.input!({ ...answer, input_id: 'i2', request_id: 'nothing' })
  const second = await update(held, 'permission', (each) => each.request_id !== first.request_id)
  held.input!({ ...answer, input_id: 'i3', request_id: second.request_id, decision: 'deny' })
  assert.equal((await endOf(held)).outcome, 'success')
  assert.equal(existsSync(inWorkspace(here, 'a.txt')), true)
  assert.equal(existsSync(inWorkspace(here, 'b.txt')), false)
  const taken = held.reports.flatMap((report) => (report.type === 'input_taken' ? [report.input_id] : []))
  assert.deepEqual(taken, ['i1', 'i2', 'i3'])
  const answered = updatesOf(held).filter((each) => each.kind === 'permission_answered')
  assert.deepEqual(
    answered.map(({ decision, by, who }) => [decision, by, who]),
    [
      ['allow', 'person', 'ann'],
      ['deny', 'person', 'ann'],
    ],
  )
  await attempts.close()
})

test('an unanswered question gets its default when its time is over', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const permissions = { mode: 'ask', ask_timeout_seconds: 0.1, on_ask_timeout: 'allow' }
  const held = await attempts.start(here.spec('ask a.txt', { permissions }), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  assert.equal((await update(held, 'permission_answered')).by, 'timeout')
  assert.equal(existsSync(inWorkspace(here, 'a.txt')), true)
  await attempts.close()
})

test('rules decide by tool kind and path', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const permissions = {
    mode: 'rules',
    rules: [
      { decision: 'deny', paths: ['**/*.lock'] },
      { decision: 'allow', tools: ['edit'], paths: ['src/**'] },
    ],
    otherwise: 'deny',
  }
  const prompt = 'ask src/a.txt\nask src/b.lock\nask src/../c.txt\nask d.txt'
  const held = await attempts.start(here.spec(prompt, { permissions }), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  const there = ['src/a.txt', 'src/b.lock', 'c.txt', 'd.txt'].filter((file) =>
    existsSync(inWorkspace(here, file)),
  )
  assert.deepEqual(there, ['src/a.txt'])
  const answered = updatesOf(held).filter((each) => each.kind === 'permission_answered')
  assert.deepEqual(
    answered.map(({ rule }) => rule),
    ['rule 2', 'rule 1', 'otherwise', 'otherwise'],
  )
  await attempts.close()
})

test('an agent whose every tool use was denied has failed, and the end says which ones', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const rules = { mode: 'rules', rules: [{ decision: 'deny', tools: ['edit'] }], otherwise: 'allow' }
  const ends = []
  for (const [prompt, args] of [
    ['ask a.txt\nask b.txt\nsay I wrote it', { permissions: 'deny' }],
    ['ask a.txt\nsay I wrote it', { permissions: rules }],
    ['write a.txt\nask b.txt\nsay I wrote a.txt', { permissions: rules }],
    ['write a.txt\nask b.txt\nsay I wrote it', { permissions: rules, fail_on_denied: true }],
    ['ask b.txt\nsay I wrote it', { permissions: 'deny', fail_on_denied: false }],
  ] as const) {
    const spec = here.spec(prompt, args)
    const end = await endOf(await attempts.start(spec, 1))
    ends.push([end.outcome, end.reason, end.denied?.count])
    assert.match(end.message!, /uses? of (a tool was|tools were) denied: Write/)
  }
  assert.deepEqual(ends, [
    ['failed', 'denied', 2],
    ['failed', 'denied', 1],
    ['success', undefined, 1],
    ['failed', 'denied', 1],
    ['success', undefined, 1],
  ])
  await attempts.close()
})

test('follow-up prompts go to the same session in order, which then waits and ends when it is closed', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('wait go\nsay one', { interactive: true }), 1)
  await update(held, 'prompt')
  held.input!({ type: 'prompt', input_id: 'p2', text: 'say two' })
  held.input!({ type: 'prompt', input_id: 'p3', text: 'say three' })
  held.input!({ type: 'prompt', input_id: 'p2', text: 'say two' })
  writeFileSync(inWorkspace(here, 'go'), '')
  await update(held, 'idle')
  held.input!({ type: 'prompt', input_id: 'p4', text: 'say four' })
  await until(() => kindsOf(held).filter((kind) => kind === 'idle').length === 2)
  held.input!({ type: 'close', input_id: 'c' })
  assert.equal((await endOf(held)).outcome, 'success')
  assert.equal(await textOf(held), 'one\ntwo\nthree\nfour\n')
  assert.equal(linesOf(here.log).filter((line) => line.startsWith('begun')).length, 1)
  await attempts.close()
})

test('an idle session ends when its time is over, and a canceled turn does not end it', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('hang', { interactive: true, idle_timeout_seconds: 0.3 }), 1)
  await update(held, 'prompt')
  held.input!({ type: 'cancel_turn', input_id: 'c' })
  assert.equal((await update(held, 'turn_ended')).stop_reason, 'canceled')
  await update(held, 'idle')
  assert.equal((await endOf(held)).outcome, 'canceled')
  await attempts.close()
})

const budgets = [
  ['seconds', 'hang', { seconds: 0.5 }, /0\.5 s/],
  ['inactivity', 'hang', { inactivity_seconds: 0.5 }, /the agent was silent/],
  ['tokens', 'use 100 50', { tokens: 120 }, /150 of 120 tokens/],
  ['turns', 'write a\nsay 1\nwrite b\nsay 2\nwrite c\nsay 3\nhang', { turns: 2 }, /2 turns/],
] as const
for (const [name, prompt, budget, message] of budgets)
  test(`the budget of ${name} stops the session`, async () => {
    using here = sessionPlace()
    const known = [{ ...acp, usage: 'each_call' as const }]
    const attempts = here.open({ agents: { ...here.agents, known } })
    const held = await attempts.start(here.spec(prompt, { budget }), 1)
    const key = keyOf(here, held.spec.attempt_id)
    const end = await endOf(held)
    assert.deepEqual([end.outcome, end.reason], ['failed', 'budget'])
    assert.match(end.message!, message)
    assert.deepEqual(treeMembers({ mark: markOf(key) }), [])
    await attempts.close()
  })

test('a token budget is refused before the start of an agent that does not report each call', async () => {
  using here = sessionPlace()
  for (const [usage, words] of [
    ['each_turn', /at the end of a turn/],
    ['last_call', /the last call of its model/],
    ['unknown', /is not known to report/],
  ] as const) {
    const attempts = here.open({ agents: { ...here.agents, known: [{ ...acp, usage }] } })
    const end = await endOf(await attempts.start(here.spec('say x', { budget: { tokens: 2000 } }), 1))
    assert.deepEqual([end.outcome, end.reason], ['failed', 'invalid_argument'])
    assert.match(end.message!, /^budget\.tokens cannot be enforced: .* Set budget\.turns or budget\.seconds/)
    assert.match(end.message!, words)
    await attempts.close()
  }
  assert.deepEqual(linesOf(here.log), [])
})

test('failures of verify go back to the agent until it passes', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const verify = ['echo x >>tries; [ $(wc -l <tries) = 3 ] || { echo not yet; exit 4; }', 'test -e made']
  const held = await attempts.start(here.spec('write made', { verify, verify_attempts: 3 }), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  const statuses = updatesOf(held).flatMap((each) => (each.kind === 'verify' ? [each.status] : []))
  assert.deepEqual(statuses, [
    'running',
    'failed',
    'running',
    'failed',
    'running',
    'passed',
    'running',
    'passed',
  ])
  const prompts = updatesOf(held).flatMap((each) => (each.kind === 'prompt' ? [each.text] : []))
  assert.equal(prompts.length, 3)
  assert.match(prompts[1]!, /exit code 4[\s\S]*not yet/)
  await attempts.close()
})

test('verify ends with its turn, the session continues, and the next prompt is verified again', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const verify = ['echo $$ >>begun; [ -e end ] || sleep 600']
  const held = await attempts.start(here.spec('say one', { interactive: true, verify }), 1)
  const begun = () => linesOf(inWorkspace(here, 'begun'))
  const statuses = () => updatesOf(held).flatMap((each) => (each.kind === 'verify' ? [each.status] : []))
  await until(() => begun().length === 1)
  held.input!({ type: 'prompt', input_id: 'p2', text: 'say two' })
  held.input!({ type: 'cancel_turn', input_id: 'c1' })
  await until(() => begun().length === 2)
  assert.equal(processStat(Number(begun()[0])), undefined)
  held.input!({ type: 'cancel_turn', input_id: 'c2' })
  await update(held, 'idle')
  await until(() => processStat(Number(begun()[1])) === undefined)
  writeFileSync(inWorkspace(here, 'end'), '')
  held.input!({ type: 'prompt', input_id: 'p3', text: 'say three' })
  held.input!({ type: 'close', input_id: 'c3' })
  assert.equal((await endOf(held)).outcome, 'success')
  assert.deepEqual(statuses(), ['running', 'running', 'running', 'passed'])
  const ended = updatesOf(held).flatMap((each) => (each.kind === 'turn_ended' ? [each.stop_reason] : []))
  assert.deepEqual(ended, ['end_turn', 'canceled', 'end_turn', 'canceled', 'end_turn'])
  assert.equal(await textOf(held), 'one\ntwo\nthree\n')
  await attempts.close()
})

test('a run that no longer waits for input is canceled with its verify', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('say one', { verify: ['sleep 600'] }), 1)
  const key = keyOf(here, held.spec.attempt_id)
  await update(held, 'verify')
  held.input!({ type: 'cancel_turn', input_id: 'c' })
  assert.equal((await endOf(held)).outcome, 'canceled')
  await until(() => treeMembers({ mark: `ERRAND_VERIFY_MARK=${key}` }).length === 0)
  await attempts.close()
})

test('an agent that never passes verify fails with that reason', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(
    here.spec('say done', { verify: ['echo bad; false'], verify_attempts: 2 }),
    1,
  )
  const end = await endOf(held)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'verify'])
  assert.match(end.message!, /does not pass: exit code 1 \(2 attempts\)\. bad/)
  await attempts.close()
})

test('an agent that gives up is not asked again while verify fails, and ends with its reason', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const args = { verify: ['test -e made'], verify_attempts: 5, gives_up_with: 'CANNOT:' }
  const held = await attempts.start(here.spec('say **CANNOT:** there is no such library', args), 1)
  const end = await endOf(held)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'gave_up'])
  assert.match(
    end.message!,
    /^The agent says that it cannot: there is no such library\n`test -e made` does not/,
  )
  assert.equal(kindsOf(held).filter((kind) => kind === 'prompt').length, 1)
  // Without a reason, within a line, or if all checks pass, it is not an end.
  for (const prompt of ['say CANNOT:', 'say You CANNOT: x']) {
    const verified = await attempts.start(here.spec(prompt, { ...args, verify_attempts: 1 }), 1)
    assert.equal((await endOf(verified)).reason, 'verify')
  }
  const passed = await attempts.start(here.spec('write made\nsay CANNOT: no', args), 1)
  assert.equal((await endOf(passed)).outcome, 'success')
  await attempts.close()
})

test('the answer contains a value that matches its schema, or is requested once more', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const output_schema = { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] }
  const outputs = { N: { from: 'value', json: 'n' } } as const
  const good = await attempts.start(here.spec('say it is {"n": 42}', { output_schema }, { outputs }), 1)
  assert.deepEqual((await endOf(good)).exports, { N: '42' })
  const bad = await attempts.start(here.spec('say {"n": "x"}', { output_schema }), 1)
  const end = await endOf(bad)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'verify'])
  assert.equal(kindsOf(bad).filter((kind) => kind === 'prompt').length, 2)
  const none = await attempts.start(here.spec('say x', { output_schema: { type: 'nothing' } }), 1)
  assert.equal((await endOf(none)).reason, 'invalid_argument')
  await attempts.close()
})

const failures = [
  ['an agent that ends mid-turn', 'exit 3', {}, 'action_failed', /exit code 3.*its last words/],
  ['a model service that fails', 'fail 500 Internal Server Error', {}, 'model', /Internal Server Error/],
  [
    'an unknown agent',
    '',
    { agent: 'nobody' },
    'invalid_argument',
    /Unknown agent "nobody"\. Available agents: acp/,
  ],
  [
    'a folder that is not there',
    '',
    { cwd: '/not/there' },
    'invalid_argument',
    /\/not\/there does not exist/,
  ],
  ['a program that is not there', '', { command: ['/no/program'] }, 'invalid_argument', /\/no\/program/],
  ['arguments that are none', '', { permissions: 'maybe' }, 'invalid_argument', /args\.permissions/],
] as const
for (const [name, prompt, args, reason, message] of failures)
  test(`${name} is a failure with its reason`, async () => {
    using here = sessionPlace()
    const attempts = here.open()
    const held = await attempts.start(here.spec(prompt || 'say x', args), 1)
    const end = await endOf(held)
    assert.deepEqual([end.outcome, end.reason], ['failed', reason], JSON.stringify(end))
    assert.match(end.message!, message)
    await attempts.close()
  })

test('a fleet runner that lacks something reports it with its own name', async () => {
  using here = sessionPlace()
  const agents = { ...here.agents, known: [acp, codex], runnerId: 'build-7' }
  const attempts = here.open({ agents, env: { ...process.env, PATH: '/nowhere' } })
  const unknown = await attempts.start(here.spec('say x', { agent: 'nobody' }), 1)
  assert.match((await endOf(unknown)).message!, /^On runner "build-7": Unknown agent "nobody"\./)
  const absent = here.spec('say x', { agent: 'codex', command: undefined }, { attempt_id: 'run_test.2' })
  const message = (await endOf(await attempts.start(absent, 1))).message!
  assert.match(message, /^On runner "build-7": Codex is not installed here: .*errand agents install --codex/)
  await attempts.close()
})

test('an agent that ends at once is reported with its last words', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('say x', {}, { env: { STAND_IN_EXITS: '7' } }), 1)
  const end = await endOf(held)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'start_failed'])
  assert.match(end.message!, /exit code 7.*no licence/)
  await attempts.close()
})

test('an agent that prints garbage still works', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('garbage\nsay fine'), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  assert.equal(await textOf(held), 'fine\n')
  await attempts.close()
})

test('a canceled session ends as canceled, mid-turn or waiting for an answer, and nothing is left', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  for (const [prompt, kind] of [
    ['run sleep 600\nhang', 'prompt'],
    ['ask a', 'permission'],
  ] as const) {
    const held = await attempts.start(here.spec(prompt, { permissions: 'ask' }), 1)
    const key = keyOf(here, held.spec.attempt_id)
    await update(held, kind)
    held.cancel(2_000, 'canceled')
    const end = await endOf(held)
    assert.deepEqual([end.outcome, end.reason], ['canceled', 'canceled'])
    assert.deepEqual(treeMembers({ mark: markOf(key) }), [])
  }
  await attempts.close()
})

test('many pieces become few updates, and none is lost', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const held = await attempts.start(here.spec('chatter 20000'), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  const expected = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join('')
  assert.equal(await textOf(held), expected)
  const texts = updatesOf(held).flatMap((each) => (each.kind === 'message' ? [each.text] : []))
  assert.equal(texts.join(''), expected)
  assert.ok(texts.length < 200, String(texts.length))
  await attempts.close()
})

test('a folder that is not allowed is refused, even through a link', async () => {
  using here = sessionPlace()
  const attempts = here.open({
    agents: { ...here.agents, allowedDirs: [join(here.path, 'allowed')] },
  })
  const held = await attempts.start(here.spec('say x', { cwd: here.path }), 1)
  const end = await endOf(held)
  assert.equal(end.reason, 'invalid_argument')
  assert.match(end.message!, /--allow-dir/)
  await attempts.close()
})

/** Makes the fake agent report its thoughts as a model call that is retried. */
const thinksOfRetries = {
  ...acp,
  protocol: (request: SessionRequest, port: ProtocolPort) =>
    acp.protocol(request, {
      ...port,
      update: (one) =>
        port.update(
          one.kind === 'thought'
            ? { kind: 'retry', failure: 'rate_limit', message: one.text, attempt: 1 }
            : one,
        ),
    }),
}

test('an agent that is silent after a failure of the model service fails with it, not with its budget', async () => {
  using here = sessionPlace()
  const attempts = here.open({ agents: { ...here.agents, known: [thinksOfRetries] } })
  const budget = { inactivity_seconds: 3 }
  const waits = await attempts.start(here.spec('say x\nthink slow down\nhang', { budget }), 1)
  const end = await endOf(waits)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'model'])
  assert.match(end.message!, /^rate_limit: slow down \(while waiting to try again, the agent was silent/)
  const hangs = await attempts.start(here.spec('think slow down\nsay x\nhang', { budget }), 1)
  assert.equal((await endOf(hangs)).reason, 'budget')
  await attempts.close()
})

test('a program that was not seen to ask is refused where it must ask, and only there', async () => {
  using here = sessionPlace()
  const why = 'it wrote a file without asking'
  const attempts = here.open({
    agents: { ...here.agents, checkQuestions: async () => ({ type: 'refused', why, sure: true }) },
  })
  const held = await attempts.start(here.spec('write x', { permissions: 'ask' }), 1)
  const end = await endOf(held)
  assert.deepEqual([end.outcome, end.reason, end.message], ['failed', 'permission', why])
  assert.equal(existsSync(inWorkspace(here, 'x')), false)
  const other = await attempts.start(here.spec('write x', { permissions: 'allow' }), 1)
  assert.equal((await endOf(other)).outcome, 'success')
  await attempts.close()
})

test('a time budget that is over while the agent waits to retry names the reason for the wait', async () => {
  using here = sessionPlace()
  const attempts = here.open({ agents: { ...here.agents, known: [thinksOfRetries] } })
  let message: string | undefined
  // A busy machine may need longer than that to start the agent.
  for (let seconds = 1; message === undefined && seconds < 100; seconds *= 3) {
    const held = await attempts.start(here.spec('think slow down\nhang', { budget: { seconds } }), 1)
    const end = await endOf(held)
    assert.equal(end.reason, 'budget')
    if (kindsOf(held).includes('retry')) message = end.message
  }
  assert.match(message!, /s have passed, and the agent was waiting to try again: rate_limit: slow down\.$/)
  await attempts.close()
})

test("an agent's temporary folder is removed with the attempt, and a step's own folder is used", async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const leaves =
    'run mkdir "$TMPDIR/a"; touch "$TMPDIR/a/left"; chmod 500 "$TMPDIR/a"; echo "$TMPDIR" >t; mv t told\nwait told'
  const held = await attempts.start(here.spec(leaves), 1)
  assert.equal((await endOf(held)).outcome, 'success')
  const folder = join(here.path, 'attempts', held.spec.attempt_id)
  const prompt_ = readFileSync(inWorkspace(here, 'told'), 'utf8').trim()
  assert.equal(prompt_, join(folder, 'temp'))
  assert.equal(existsSync(join(prompt_, 'a/left')), true)
  await held.release()
  assert.equal(existsSync(folder), false)
  rmSync(inWorkspace(here, 'told'))
  const env = { TMPDIR: join(here.path, 'own') }
  const own = await attempts.start(here.spec('run echo "$TMPDIR" >t; mv t told\nwait told', {}, { env }), 1)
  assert.equal((await endOf(own)).outcome, 'success')
  assert.equal(readFileSync(inWorkspace(here, 'told'), 'utf8').trim(), env.TMPDIR)
  await attempts.close()
})

test('twenty simultaneous sessions all end, and nothing of them is left', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      attempts.start(here.spec(`say ${i}\nwrite f${i}\nrun sleep 600`), 1),
    ),
  )
  const marks = all.map((held) => markOf(keyOf(here, held.spec.attempt_id)))
  for (const [i, held] of all.entries()) {
    assert.equal((await endOf(held)).outcome, 'success')
    assert.equal(await textOf(held), `${i}\n`)
  }
  for (const mark of marks) assert.deepEqual(treeMembers({ mark }), [])
  await attempts.close()
})

test('a verify command that cannot start does not pass, and the runner keeps running', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const fileInItsPlace = ['rm -r "$PWD"; echo >"$PWD"', 'true']
  for (const verify of [['echo \u0000'], [`: ${'x'.repeat(200_000)}`], fileInItsPlace]) {
    const held = await attempts.start(here.spec('say done', { verify, verify_attempts: 1 }), 1)
    const { outcome, reason, message } = await endOf(held)
    assert.deepEqual([outcome, reason], ['failed', 'verify'])
    assert.match(message ?? '', /it could not be started: /)
  }
  await attempts.close()
})

test('a rule whose path is not a valid glob is refused before anything starts', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const permissions = { mode: 'rules', rules: [{ decision: 'deny', paths: ['[z-a]'] }] }
  const held = await attempts.start(here.spec('ask a.txt', { permissions }), 1)
  const { reason, message } = await endOf(held)
  assert.equal(reason, 'invalid_argument')
  assert.match(message ?? '', /names "\[z-a\]", which is not a valid glob/)
  assert.deepEqual(linesOf(here.log), [])
  await attempts.close()
})
