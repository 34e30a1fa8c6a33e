import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startModelServer } from '../../../test/support/model-server/server.ts'
import { endOf, textOf, until } from '../../../test/support/runner/attempt-fixture.ts'
import {
  kindsOf,
  linesOf,
  type SessionPlace,
  sessionPlace,
  update,
  updatesOf,
} from '../../../test/support/runner/session-fixture.ts'
import { seeded } from '../../../test/support/seeded.ts'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { isAlive, processStat, signal, treeMembers } from '../../platform/proc.ts'
import { markOf } from '../attempts/launch.ts'
import { RunnerStop } from '../attempts/runner-stop.ts'
import type { HeldAttempt } from '../ports.ts'
import type { LogEntry } from '../proxy/rules.ts'
import type { Box } from '../sandbox/box.ts'
import type { Boxes } from '../sandbox/boxes.ts'

/** Program of a runner in its own process, which adopts what it has and starts what it is given. */
const RUNNER = `
import { openAttempts } from ${JSON.stringify(new URL('../open-attempts.ts', import.meta.url).href)}
import { builtinActionRegistry } from ${JSON.stringify(new URL('../../actions/registry.ts', import.meta.url).href)}
import { sessionAgents } from ${JSON.stringify(new URL('../../../test/support/runner/session-fixture.ts', import.meta.url).href)}
const [path, specs] = process.argv.slice(1)
const attempts = openAttempts({
  dir: path + '/attempts', workspaceDir: path + '/workspaces', registry: builtinActionRegistry, agents: sessionAgents(path),
})
await attempts.recover()
process.stdout.write('recovered\\n')
for (const spec of JSON.parse(specs)) await attempts.start(spec, 1)
setInterval(() => {}, 1000)
`

/** Starts such a runner; the returned function kills it, like a power cut. */
async function otherRunner(here: SessionPlace, specs: AttemptSpec[]): Promise<() => Promise<void>> {
  const args = ['--input-type=module', '-e', RUNNER, here.path, JSON.stringify(specs)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  return async () => {
    child.kill('SIGKILL')
    await exited
  }
}

const random = seeded()
const inWorkspace = (here: SessionPlace, file: string) => join(here.path, 'workspaces/run_test', file)
const folderOf = (here: SessionPlace, spec: AttemptSpec) => join(here.path, 'attempts', spec.attempt_id)
const journalOf = (here: SessionPlace, spec: AttemptSpec) => {
  const file = join(folderOf(here, spec), 'reports')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}
const messages = (held: HeldAttempt) =>
  updatesOf(held)
    .flatMap((each) => (each.kind === 'message' ? [each.text] : []))
    .join('')

test('after a runner is killed mid-turn the next one continues with the same process, without duplicates', async () => {
  using here = sessionPlace()
  const spec = here.spec('chatter 500\nwait go\nchatter 300')
  const kill = await otherRunner(here, [spec])
  // With the text around it, since an id or the prompt may contain that number too.
  const lastMessage = /"kind":"message","text":"(\d+\\n)*500\\n/
  await until(() => lastMessage.test(journalOf(here, spec)))
  await kill()
  const attempts = here.open()
  const [held] = await attempts.recover()
  writeFileSync(inWorkspace(here, 'go'), '')
  assert.equal((await endOf(held!)).outcome, 'success')
  const expected = [500, 300].flatMap((n) => Array.from({ length: n }, (_, i) => `${i + 1}\n`)).join('')
  assert.equal(await textOf(held!), expected)
  assert.equal(messages(held!), expected)
  assert.deepEqual(
    linesOf(here.log).map((line) => line.split(' ')[0]),
    ['begun', 'session/new', 'prompt'],
  )
  const origins = updatesOf(held!).flatMap((each) => (each.kind === 'session' ? [each.origin] : []))
  assert.deepEqual(origins, ['new', 'same'])
  await attempts.close()
})

/** Makes boxes that enclose nothing, whose endpoints log what is put into `log`. */
function loggingBoxes(log: LogEntry[]): Boxes {
  const none = () => undefined
  const box: Box = {
    isolation: 'sandbox',
    prepare: async () => none(),
    enclose: (launch) => launch,
    members: () => [],
    spares: () => false,
    began: () => true,
    end: async () => true,
    logSince: (offset) => ({ lines: log.slice(offset), offset: log.length }),
    close: async () => none(),
    remove: async () => none(),
  }
  const facts = () => ({ isolation: 'sandbox', network: 'all' }) as const
  const all: Partial<Boxes> = { facts, box: () => box, without: none, apart: none, sweep: async () => none() }
  return { ...all, close: async () => none() } as Boxes
}

test("an endpoint's reports without a runner come after everything that the agent had said", async () => {
  using here = sessionPlace()
  const log: LogEntry[] = []
  const boxes = loggingBoxes(log)
  const spec = here.spec('say one\nthink hm\nsay two\nwait go\nsay three')
  let attempts = here.open({ boxes })
  const before = await attempts.start(spec, 1)
  await update(before, 'message', ({ text }) => text.includes('two'))
  await attempts.close()
  log.push({ type: 'refused', host: 'example.com', port: 443, why: 'host_not_allowed', count: 1 })
  attempts = here.open({ boxes })
  const [held] = await attempts.recover()
  writeFileSync(inWorkspace(here, 'go'), '')
  assert.equal((await endOf(held!)).outcome, 'success')
  assert.deepEqual(
    updatesOf(held!).flatMap((each) =>
      'text' in each && each.kind !== 'prompt' && each.kind !== 'queue' ? [each.text.trim()] : [],
    ),
    [
      'one',
      'hm',
      'two',
      'The network of this run refused example.com:443: that host is not allowed (host_not_allowed).',
      'three',
    ],
  )
  await attempts.close()
})

test('a question that waits when the runner is killed can be answered afterwards, once', async () => {
  using here = sessionPlace()
  const spec = here.spec('ask a.txt\nsay end', { permissions: 'ask' })
  const kill = await otherRunner(here, [spec])
  await until(() => journalOf(here, spec).includes('"kind":"permission"'))
  await kill()
  const attempts = here.open()
  const [held] = await attempts.recover()
  const permission = await update(held!, 'permission')
  const answer = {
    type: 'permission',
    input_id: 'i',
    request_id: permission.request_id,
    decision: 'allow',
  } as const
  held!.input!(answer)
  held!.input!(answer)
  assert.equal((await endOf(held!)).outcome, 'success')
  assert.equal(existsSync(inWorkspace(here, 'a.txt')), true)
  assert.equal(kindsOf(held!).filter((kind) => kind === 'permission').length, 1)
  assert.equal(linesOf(here.log).filter((line) => line.startsWith('answered')).length, 1)
  await attempts.close()
})

test('with a runner killed at any moments, each prompt and every update is there once, in order', async () => {
  using here = sessionPlace()
  const prompt = ['chatter 40', 'think hm', 'ask a.txt', 'write b.txt', 'wait go', 'chatter 40'].join('\n')
  const permissions = { mode: 'ask', ask_timeout_seconds: 0.2, on_ask_timeout: 'allow' }
  const verify = ['[ -e fixed ] || { touch fixed; exit 1; }']
  const specs = Array.from({ length: 4 }, () => here.spec(prompt, { permissions, verify }))
  // A runner may be killed before it got them all; then the next one gets them.
  const notBegun = () => specs.filter((spec) => journalOf(here, spec) === '')
  let kill = await otherRunner(here, specs)
  for (let round = 0; round < 9; round++) {
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 250))
    await kill()
    if (round === 5) {
      mkdirSync(inWorkspace(here, '.'), { recursive: true })
      writeFileSync(inWorkspace(here, 'go'), '')
    }
    kill = await otherRunner(here, notBegun())
  }
  await until(() => notBegun().length === 0)
  await kill()
  const attempts = here.open()
  const all = await attempts.recover()
  assert.equal(all.length, specs.length)
  for (const held of all) {
    const end = await endOf(held)
    assert.equal(end.outcome, 'success', JSON.stringify(end))
    const numbers = Array.from({ length: 40 }, (_, i) => `${i + 1}\n`).join('')
    assert.equal(messages(held), numbers + numbers, held.spec.attempt_id)
    assert.equal(await textOf(held), messages(held))
  }
  const prompts = all.flatMap((held) => kindsOf(held).filter((kind) => kind === 'prompt')).length
  assert.equal(linesOf(here.log).filter((line) => line.startsWith('prompt ')).length, prompts)
  await attempts.close()
})

test('the built-in agent survives its runner: no word is lost or doubled, no call or command repeated', async (t) => {
  using here = sessionPlace()
  const message = (name: string) => Array.from({ length: 60 }, (_, i) => `${name} ${i + 1}\n`).join('')
  const command = 'echo run >>ran; until [ -e go ]; do sleep 0.05; done'
  const server = await startModelServer({
    script: [
      { text: message('one'), toolCalls: [{ kind: 'run', args: { command } }] },
      { text: message('two'), delayMs: 700 },
      { text: message('three') },
    ],
  })
  t.after(() => server.stop())
  const env = { OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: 'k' }
  const args = { agent: 'builtin', command: undefined, model: 'm', interactive: true }
  const spec = here.spec('Do it.', args, { env })
  let kill = await otherRunner(here, [spec])
  for (let round = 0; round < 8; round++) {
    if (round === 1) await until(() => linesOf(inWorkspace(here, 'ran')).length > 0, 'its command')
    // Sleeps: the moment of a kill is random.
    await sleep(random.between(0, 150))
    await kill()
    if (round === 2) writeFileSync(inWorkspace(here, 'go'), '')
    kill = await otherRunner(here, journalOf(here, spec) === '' ? [spec] : [])
  }
  await kill()
  const attempts = here.open()
  const [held] = await attempts.recover()
  held!.input!({ type: 'prompt', input_id: 'p', text: 'And more.' })
  held!.input!({ type: 'close', input_id: 'c' })
  const end = await endOf(held!)
  assert.equal(end.outcome, 'success', JSON.stringify(end))
  assert.equal(messages(held!), message('one') + message('two') + message('three'))
  assert.equal(await textOf(held!), messages(held!))
  assert.deepEqual(linesOf(inWorkspace(here, 'ran')), ['run'])
  assert.equal(server.scripted.length, 3)
  assert.equal(updatesOf(held!).filter((each) => each.kind === 'session' && each.origin === 'new').length, 1)
  assert.deepEqual(
    treeMembers({
      mark: markOf(JSON.parse(readFileSync(join(folderOf(here, spec), 'spec.json'), 'utf8')).key),
    }),
    [],
  )
  await attempts.close()
})

test('the next runner does not rerun a verify that ended with its turn, and runs what follows', async () => {
  using here = sessionPlace()
  const verify = ['echo $$ >>begun; [ -e end ] || sleep 600']
  const spec = here.spec('say one', { interactive: true, verify })
  const begun = () => linesOf(inWorkspace(here, 'begun'))
  const kill = await otherRunner(here, [spec])
  await until(() => begun().length === 1)
  await kill()
  const second = here.open()
  const [found] = await second.recover()
  await until(() => begun().length === 2)
  assert.equal(processStat(Number(begun()[0])), undefined)
  found!.input!({ type: 'cancel_turn', input_id: 'c' })
  // As far as the journal has it.
  await second.close()
  const third = here.open()
  const [held] = await third.recover()
  held!.input!({ type: 'cancel_turn', input_id: 'c' })
  await update(held!, 'idle')
  writeFileSync(inWorkspace(here, 'end'), '')
  held!.input!({ type: 'prompt', input_id: 'p', text: 'say two' })
  held!.input!({ type: 'close', input_id: 'e' })
  assert.equal((await endOf(held!)).outcome, 'success')
  assert.equal(begun().length, 3)
  assert.equal(await textOf(held!), 'one\ntwo\n')
  await third.close()
})

test('all output counts of an agent that ended without a runner', async () => {
  using here = sessionPlace()
  const spec = here.spec('wait go\nsay last\nexit 0')
  const kill = await otherRunner(here, [spec])
  // The journal records the prompt before the agent has it.
  const input = join(folderOf(here, spec), 'process.1', 'input')
  await until(() => linesOf(input).some((line) => line.includes('say last')))
  await kill()
  writeFileSync(inWorkspace(here, 'go'), '')
  await until(() => existsSync(join(folderOf(here, spec), 'process.1', 'exit')))
  const attempts = here.open()
  const [held] = await attempts.recover()
  const end = await endOf(held!)
  assert.deepEqual([end.outcome, end.reason], ['failed', 'action_failed'])
  assert.equal(await textOf(held!), 'last\n')
  await attempts.close()
})

/** Imitates a restart of the machine: all of the agent is gone, and left no exit code. */
async function killAgent(here: SessionPlace, spec: AttemptSpec): Promise<void> {
  const { key } = JSON.parse(readFileSync(join(folderOf(here, spec), 'spec.json'), 'utf8'))
  for (const { pid } of treeMembers({ mark: markOf(key) })) signal(pid, 'SIGKILL')
  await until(() => treeMembers({ mark: markOf(key) }).length === 0)
}

test('a turn that vanished with its machine is lost', async () => {
  using here = sessionPlace()
  const spec = here.spec('hang')
  const kill = await otherRunner(here, [spec])
  await until(() => journalOf(here, spec).includes('"kind":"prompt"'))
  await kill()
  await killAgent(here, spec)
  const attempts = here.open()
  const [held] = await attempts.recover()
  const end = await endOf(held!)
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  await attempts.close()
})

test('a turn that ends because the machine stops is lost, whether this runner or the next one finds it', async () => {
  for (const isThere of [true, false]) {
    using here = sessionPlace()
    const spec = here.spec('hang')
    const file = join(here.path, 'stopped.json')
    const stop = new RunnerStop({ file, holdMs: 600_000 })
    const attempts = here.open({ stop })
    let held: HeldAttempt | undefined = await attempts.start(spec, 1)
    await until(() => journalOf(here, spec).includes('"kind":"prompt"'))
    const { pid } = held.reports.find((report) => report.type === 'started')!
    if (!isThere) {
      stop.announce()
      await attempts.close()
    }
    process.kill(-pid!, 'SIGTERM')
    await until(() => linesOf(join(folderOf(here, spec), 'process.1', 'exit')).length > 0)
    stop.announce()
    const again = isThere ? attempts : here.open({ stop: new RunnerStop({ file, holdMs: 1 }) })
    if (!isThere) [held] = await again.recover()
    const { outcome, reason, message } = await endOf(held!)
    assert.deepEqual([isThere, outcome, reason], [isThere, 'interrupted', 'lost'], message)
    await again.close()
  }
})

test('after a reboot a session is lost, even a waiting one, because its last work may be missing', async () => {
  using here = sessionPlace()
  const spec = here.spec('say one', { interactive: true })
  const kill = await otherRunner(here, [spec])
  await until(() => journalOf(here, spec).includes('"kind":"idle"'))
  await kill()
  await killAgent(here, spec)
  rmSync(join(here.path, 'attempts.storage'))
  // Imitates a disk that had not written it: the prompt would be given again.
  truncateSync(join(folderOf(here, spec), 'reports'))
  const attempts = here.open()
  const [held] = await attempts.recover()
  const end = await endOf(held!)
  assert.deepEqual([end.outcome, end.reason], ['interrupted', 'lost'])
  assert.equal(linesOf(here.log).filter((line) => line === 'prompt say one').length, 1)
  await attempts.close()
})

test('an idle session whose process vanished is loaded again with the next prompt', async () => {
  using here = sessionPlace()
  const spec = here.spec('say one', { interactive: true })
  const kill = await otherRunner(here, [spec])
  await until(() => journalOf(here, spec).includes('"kind":"idle"'))
  await kill()
  await killAgent(here, spec)
  const attempts = here.open()
  const [held] = await attempts.recover()
  assert.equal(held!.ended, false)
  held!.input!({ type: 'prompt', input_id: 'p', text: 'say two' })
  await until(() => kindsOf(held!).filter((kind) => kind === 'idle').length === 2)
  held!.input!({ type: 'close', input_id: 'c' })
  assert.equal((await endOf(held!)).outcome, 'success')
  assert.equal(await textOf(held!), 'one\ntwo\n')
  const sessions = updatesOf(held!).flatMap((each) => (each.kind === 'session' ? [each] : []))
  assert.deepEqual(
    sessions.map(({ origin }) => origin),
    ['new', 'loaded'],
  )
  assert.equal(sessions[0]!.session_id, sessions[1]!.session_id)
  await attempts.close()
})

test('a later attempt continues the session of an earlier one, with its folder', async () => {
  using here = sessionPlace()
  const attempts = here.open()
  const first = await attempts.start(here.spec('say one'), 1)
  await endOf(first)
  const { session_id } = await update(first, 'session')
  await first.release()
  await attempts.forgetRun('run_test')
  assert.equal(existsSync(inWorkspace(here, '.')), true)
  const session = { session_id: session_id!, workspace_of: 'run_test' }
  const second = await attempts.start(here.spec('write two', { session }, { run_id: 'run_next' }), 1)
  assert.equal((await endOf(second)).outcome, 'success')
  assert.equal((await update(second, 'session')).origin, 'loaded')
  assert.equal(existsSync(inWorkspace(here, 'two')), true)
  await attempts.close()
})

test('a cancel from before the restart is still performed', async () => {
  using here = sessionPlace()
  const spec = here.spec('run sleep 600\nhang')
  const kill = await otherRunner(here, [spec])
  await until(() => journalOf(here, spec).includes('"kind":"prompt"'))
  await kill()
  const cause = { type: 'canceled', reason: 'canceled' }
  appendFileSync(join(folderOf(here, spec), 'reports'), `${JSON.stringify({ type: 'cause', cause })}\n`)
  const attempts = here.open()
  const [held] = await attempts.recover()
  assert.equal((await endOf(held!)).outcome, 'canceled')
  const begun = linesOf(here.log).find((line) => line.startsWith('begun'))
  assert.equal(processStat(Number(begun!.split(' ')[1])), undefined)
  await attempts.close()
})

test('a verify command that a killed runner left is ended before it runs again', async () => {
  using here = sessionPlace()
  const verify = ['echo $$ >>pids; until [ -e go ]; do sleep 0.05; done']
  const spec = here.spec('say done', { verify })
  const kill = await otherRunner(here, [spec])
  const pids = () => linesOf(inWorkspace(here, 'pids')).map(Number)
  await until(() => pids().length === 1)
  await kill()
  const attempts = here.open()
  const [held] = await attempts.recover()
  await until(() => pids().length === 2)
  const [before, after] = pids()
  await until(() => !isAlive(before!, ''))
  assert.equal(isAlive(after!, ''), true)
  writeFileSync(inWorkspace(here, 'go'), '')
  assert.equal((await endOf(held!)).outcome, 'success')
  await attempts.close()
})
