import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { runIdIn, standInOptions } from '../support/agent-command.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { startModelServer, type Turn } from '../support/model-server/server.ts'
import { processesOf } from '../support/programs.ts'

const program = join(import.meta.dirname, '../../bin/errand')

function setup(t: TestContext) {
  const errand = errandCommand(t)
  const cwd = join(errand.home, 'work')
  mkdirSync(cwd)
  const agent = (prompt: string, ...more: string[]) =>
    errand.run(['agent', prompt, ...standInOptions, ...more], { cwd })
  const start = (prompt: string, ...more: string[]) =>
    errand.start(['agent', prompt, ...standInOptions, ...more], { cwd })
  return { ...errand, cwd, agent, start, startErrand: errand.start }
}

test('an agent started here works in this folder, and its progress is shown', async (t) => {
  const { agent, cwd } = setup(t)
  const { code, stdout } = await agent('think hm\nsay hello ${HOME}\nwrite a.txt\nuse 100 20\nsay done')
  assert.equal(code, 0)
  assert.match(
    stdout,
    /^acp 9\.9\nhello \$\{HOME\}\ncompleted Write a\.txt\n {4}\+ written\ndone\ntokens: 100 in, 20 out\nsuccess in /,
  )
  assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'written\n')
})

test('a later command continues the session, also one that was continued before', async (t) => {
  const { agent, run, home, cwd } = setup(t)
  const first = await agent('say one')
  let id = runIdIn(first.stdout)
  for (const word of ['two', 'three']) {
    const next = await run(['agent', '--continue', id, `say ${word}`], { cwd })
    assert.equal(next.code, 0, next.stdout + next.stderr)
    assert.match(next.stdout, new RegExp(`session loaded\\n${word}\\nsuccess`))
    id = runIdIn(next.stdout)
  }
  const other = await run(['agent', '--continue', id, 'say x', '--model', 'other'])
  assert.deepEqual([other.code, /--model cannot be changed/.test(other.stderr)], [2, true])
  assert.equal((await run(['agent', '--continue', 'run_nope', 'say x'])).code, 7)
  assert.deepEqual(readdirSync(join(home, '.errand/local/attempts')), [])
})

test('of two commands that continue one session, the second is refused while the first runs', async (t) => {
  const { agent, run, cwd, startErrand } = setup(t)
  const first = runIdIn((await agent('say one')).stdout)
  const going = startErrand(['agent', '--continue', first, 'say two\nwait go'], { cwd })
  await going.until(/^two$/m)
  const other = await run(['agent', '--continue', first, 'say three'], { cwd })
  assert.equal(other.code, 1)
  assert.match(other.stderr, /Another command is continuing the session of run run_\w+: process \d+\./)
  writeFileSync(join(cwd, 'go'), '')
  const { code, stdout } = await going.finished
  assert.equal(code, 0, stdout)
  const next = await run(['agent', '--continue', first, 'say three'], { cwd })
  assert.match(next.stdout, /session loaded\nthree\nsuccess/)
})

test('--json prints every event and the run; a prompt may come from standard input', async (t) => {
  const { run, cwd } = setup(t)
  const { code, stdout } = await run(['agent', '-', ...standInOptions, '--json'], { cwd, stdin: 'say piped' })
  assert.equal(code, 0)
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.ok(lines.some(({ type, update }) => type === 'agent.update' && update.text === 'piped'))
  assert.deepEqual(
    [lines.at(-1).type, lines.at(-1).run.blueprint, lines.at(-1).run.outputs.ANSWER],
    ['result', 'agent', 'piped'],
  )
})

test('a question that nobody can answer is denied, and the run fails although the agent reports success', async (t) => {
  const { agent, cwd } = setup(t)
  const { code, stdout } = await agent('write a.txt\nask b.txt\nsay I wrote it', '--permissions', 'ask')
  assert.equal(code, 1)
  assert.match(
    stdout,
    /\? Write b\.txt .*\n {2}nobody can be asked here\n {2}denied: nobody could be asked\ndenied {4}Write b\.txt\nI wrote it\n/,
  )
  assert.match(
    stdout,
    /^failed in .*: denied: .*1 use of a tool was denied: Write b\.txt \(nobody could be asked\)/m,
  )
  assert.ok(!existsSync(join(cwd, 'b.txt')))
})

test('with --allow-denied the run succeeds, and the text and the result name what was denied', async (t) => {
  const { agent } = setup(t)
  const options = ['--permissions', 'ask', '--allow-denied']
  const { code, stdout } = await agent('ask b.txt\nsay so be it', ...options)
  assert.equal(code, 0)
  assert.match(
    stdout,
    /^so be it\n1 use of a tool was denied: Write b\.txt \(nobody could be asked\)\.\nsuccess in/m,
  )
  const json = await agent('ask b.txt\nask c.txt', ...options, '--json')
  const { run } = JSON.parse(json.stdout.trim().split('\n').at(-1)!)
  const { count, first } = run.steps[0].instances[0].attempts[0].denied
  assert.equal(count, 2)
  assert.deepEqual(first[1], { title: 'Write c.txt', tool_kind: 'edit', by: 'nobody' })
  const both = await agent('say x', ...options, '--fail-on-denied')
  assert.equal(both.code, 2)
})

test('a deny rule is refused for an agent that acts before it asks', async (t) => {
  const { run, cwd } = setup(t)
  writeFileSync(join(cwd, '.env'), 'SECRET=hunter2\n')
  const [, , , program, , script] = standInOptions
  const rules = { mode: 'rules', rules: [{ decision: 'deny', paths: ['**/.env'] }], otherwise: 'allow' }
  const prompt = 'Read the file .env in this folder'
  const ended = async (unasked: string) => {
    const args = { agent: 'acp', command: [program, script], cwd, prompt, permissions: rules }
    const step = { name: 'think', action: 'agent.run', args, env: { STAND_IN_UNASKED: unasked } }
    const file = join(cwd, 'flow.yaml')
    writeFileSync(file, JSON.stringify({ version: 'v0.1', name: 'flow', steps: [step] }))
    const { code, stdout } = await run(['run', file], { cwd })
    assert.equal(code, 1)
    assert.doesNotMatch(stdout, /hunter2/)
    return /^think failed on local: .*$/m.exec(stdout)?.[0] ?? stdout
  }
  assert.match(await ended('read'), /permission: .*it read a file without asking/)
  assert.match(await ended(''), /denied: .*Read \.env \(by rule 1\)/)
})

test('Ctrl-C cancels, and nothing is left of the agent and what it started', async (t) => {
  const { start, home } = setup(t)
  const going = start(`say going\nrun sleep 1000 # ${home}\nhang`)
  await going.until('going')
  await eventually('its process', () => processesOf(`sleep 1000 # ${home}`).length > 0)
  going.child.kill('SIGINT')
  const { code, stdout } = await going.finished
  assert.equal(code, 3, stdout)
  assert.match(stdout, /canceled in/)
  assert.deepEqual(processesOf(home), [])
})

const noTerminal = existsSync('/usr/bin/script')
  ? false
  : 'there is no "script" to make a terminal (Debian\'s package bsdutils)'

test('closing a terminal ends the session in it, and leaves nothing', {
  skip: noTerminal,
}, async (t) => {
  const { home, env, cwd } = setup(t)
  const words = [program, 'agent', 'say one', ...standInOptions, '--interactive']
  const line = words.map((word) => `'${word}'`).join(' ')
  const terminal = spawn('/usr/bin/script', ['-qec', line, '/dev/null'], { env, cwd })
  t.after(() => terminal.kill('SIGKILL'))
  let text = ''
  terminal.stdout.on('data', (bytes) => {
    text += bytes
  })
  await eventually('a question for the next prompt', () => text.includes('one\r\n') && text.includes('> '))
  terminal.kill('SIGKILL')
  const [id] = readdirSync(join(home, '.errand/local/runs'))
  const events = join(home, '.errand/local/runs', id!, 'events.jsonl')
  await eventually('its end', () => /"type":"run\.finished"/.test(readFileSync(events, 'utf8')))
  await eventually('the end of everything that it started', () => processesOf(home).length === 0)
})

test('a run whose command was killed can be continued: its agent still works', async (t) => {
  const { start, run, home, cwd } = setup(t)
  const going = start('say begun\nwait go\nsay waited')
  await going.until('begun')
  going.child.kill('SIGKILL')
  await going.finished
  const [id] = readdirSync(join(home, '.errand/local/runs'))
  writeFileSync(join(cwd, 'go'), '')
  const next = await run(['agent', '--continue', id!, 'say again'], { cwd })
  assert.equal(next.code, 0, next.stdout + next.stderr)
  assert.match(next.stdout, /waited\n[\s\S]*again\n[\s\S]*success/)
})

test('bad input has its own exit code, and a run that fails says why', async (t) => {
  const { agent, run, home } = setup(t)
  const usage: [string[], RegExp][] = [
    [['agent', ''], /the prompt is empty/],
    [['agent', 'x', '--permissions', 'maybe'], /--permissions is "maybe"[\s\S]*ask, allow or deny/],
    [['agent', 'x', '--budget-turns', 'many'], /--budget-turns is "many"/],
    [['agent', 'x', '--budget-turns', '0'], /--budget-turns must be more than 0/],
    [['agent', 'x', '--command', 'y'], /command is for the agent "acp"/],
    [['agent', 'x', '--detach'], /--detach needs --hub/],
    [['agent', 'x', '-i'], /needs a terminal/],
    [['agent', 'x', '--output-schema', '/nope'], /not a readable JSON Schema/],
    [['agent', '-'], /standard input holds no prompt/],
    [['agents', 'answer', 'r', 'q', 'perhaps'], /allow or deny/],
    [['agents', 'install', '--claude'], /no option --claude/],
  ]
  for (const [args, message] of usage) {
    const { code, stderr } = await run(args)
    assert.deepEqual([code, message.test(stderr)], [2, true], `${args.join(' ')}: ${code} ${stderr}`)
  }
  const large = await run(['agent', '-'], { stdin: 'x'.repeat(5_000_000) })
  assert.deepEqual([large.code, /prompt has 5000002 bytes/.test(large.stderr)], [1, true], large.stderr)

  const failing: [string[], RegExp][] = [
    [['say x', '--cwd', join(home, 'nope')], /working folder .*nope does not exist/],
    [['exit 3'], /exit code 3: its last words/],
    [['fail no such thing'], /failed in .*no such thing/],
    [
      ['say x', '--verify', 'echo it is wrong; false', '--verify-attempts', '1'],
      /failed in .*verify: .*it is wrong/,
    ],
    [['hang', '--budget-seconds', '0.5'], /failed in .*budget/],
  ]
  for (const [args, message] of failing) {
    const { code, stdout } = await agent(args[0]!, ...args.slice(1))
    assert.deepEqual([code, message.test(stdout)], [1, true], `${args.join(' ')}: ${code} ${stdout}`)
  }
  const unknown = await run(['agent', 'x', '--agent', 'nope'])
  assert.equal(unknown.code, 2)
  assert.match(
    unknown.stderr,
    /--agent is "nope", but there is no such agent\s+hint: use one of claude_code, codex/,
  )
  const missing = await run(['agent', 'x', '--agent', 'codex'], {
    env: { ERRAND_AGENTS_DIR: join(home, 'none'), PATH: '/usr/bin:/bin' },
  })
  assert.match(missing.stdout, /failed in .*not installed here.*errand agents install --codex/)
})

test('an invalid line of an agent is ignored', async (t) => {
  const { stdout, code } = await setup(t).agent('garbage\nsay still there')
  assert.deepEqual([code, /still there/.test(stdout)], [0, true])
})

test('a workflow on this machine passes on what its agent created', async (t) => {
  const { run, home } = setup(t)
  const [, , , program, , script] = standInOptions
  const prompt = 'ask q.txt\nsay {"n": 3}'
  const step = {
    name: 'think',
    action: 'agent.run',
    args: {
      ...{ agent: 'acp', command: [program, script], prompt, cwd: home, permissions: 'ask' },
      fail_on_denied: false,
      output_schema: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] },
    },
    outputs: { N: { from: 'value', json: 'n' }, FILES: 'files' },
  }
  const use = { name: 'use', action: 'cmd.run', args: { cmd: 'echo "n=$N files=$FILES"' } }
  const file = join(home, 'flow.yaml')
  writeFileSync(file, JSON.stringify({ version: 'v0.1', name: 'flow', steps: [step, use] }))
  const { code, stdout } = await run(['run', file])
  assert.equal(code, 0, stdout)
  assert.match(
    stdout,
    /local \| \? Write q\.txt[\s\S]*nobody can be asked here[\s\S]*local \| denied Write q\.txt\n/,
  )
  assert.match(stdout, /local \| n=3 files=\[\]\n/)
  assert.match(stdout, /^think +local +success .*1 use of a tool was denied: Write q\.txt/m)
})

test('the agents of this machine are listed, with the reason why one is not usable', async (t) => {
  const { run, home } = setup(t)
  const env = { ERRAND_AGENTS_DIR: join(home, 'none'), PATH: '/usr/bin:/bin' }
  const text = await run(['agents', 'list'], { env })
  assert.match(text.stdout, /^codex +no +no +no +it is not installed; errand agents install --codex$/m)
  const list = JSON.parse((await run(['agents', 'list', '--json'], { env })).stdout)
  assert.deepEqual(
    list.map(({ name }: { name: string }) => name),
    ['claude_code', 'codex', 'opencode', 'copilot', 'acp', 'builtin'],
  )
})

test("a key in the environment is masked in an agent's output, its errors and all stored files", async (t) => {
  const { run, cwd, home } = setup(t)
  const key = 'sk-key-of-this-environment'
  const refusal = { error: { message: `Incorrect API key provided: ${key}` } }
  const script: Turn[] = [{ text: `The key is ${key}.` }, { fail: { status: 401, body: refusal } }]
  const server = await startModelServer({ script })
  t.after(() => server.stop())
  const env = { OPENAI_API_KEY: key, OPENAI_BASE_URL: `${server.url}/v1` }
  const agent = () => run(['agent', 'hello', '--agent', 'builtin', '--model', 'm'], { cwd, env })
  const [first, failed] = [await agent(), await agent()]
  assert.deepEqual([first.code, failed.code], [0, 1])
  assert.match(first.stdout, /The key is \*\*\*\./)
  assert.match(failed.stdout, /failed in .*Incorrect API key provided: \*\*\*/)
  assert.doesNotMatch(first.stdout + failed.stdout + first.stderr + failed.stderr, new RegExp(key))
  const stored = readdirSync(join(home, '.errand/local/runs'), { recursive: true, withFileTypes: true })
  const files = stored.filter((each) => each.isFile())
  assert.notEqual(files.length, 0)
  for (const { parentPath, name } of files)
    assert.ok(!readFileSync(join(parentPath, name)).includes(key), `${name} contains it`)
})
