import assert from 'node:assert/strict'
import { createHash, randomInt } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { commands } from '../../src/cli/commands.ts'
import { errandCommand, eventually } from '../support/errand-command.ts'
import { processesOf } from '../support/programs.ts'

/** Creates a file with one step. */
function flow(t: TestContext, cmd: string, more = '') {
  const errand = errandCommand(t)
  const file = join(errand.home, 'flow.yaml')
  writeFileSync(
    file,
    `version: v0.1\nname: flow\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: ${JSON.stringify(cmd)}}\n${more}`,
  )
  return { ...errand, file }
}

test('every command has help with an example, and lists its options', async (t) => {
  const errand = errandCommand(t)
  for (const [name, entry] of Object.entries(commands)) {
    const loaded = await entry.load()
    const subs = 'commands' in loaded ? Object.keys(loaded.commands) : undefined
    for (const words of subs === undefined ? [[name]] : subs.map((sub) => [name, sub])) {
      const command = 'commands' in loaded ? loaded.commands[words[1]!]! : loaded
      assert.ok(command.examples.length > 0 && command.summary.endsWith('.'), words.join(' '))
    }
  }
  const { code, stdout } = await errand.run(['run', '--help'])
  assert.equal(code, 0)
  assert.match(
    stdout,
    /Usage: errand run \[file\|-\] \[options\][\s\S]+--var K=V[\s\S]+Examples:\n {2}errand run flow\.yaml/,
  )
  assert.match((await errand.run(['help', 'runs', 'list'])).stdout, /Usage: errand runs list/)
  assert.match((await errand.run([])).stdout, /First step/)
})

test('a mistyped command, subcommand or option is a usage error that suggests the right one', async (t) => {
  const errand = errandCommand(t)
  for (const [args, hint] of [
    [['rnu'], 'did you mean "run"?'],
    [['runs', 'lst'], 'did you mean "list"?'],
    [['run', '--vra', 'A=1', 'x.yaml'], 'did you mean "--var"?'],
    [['run', 'x.yaml', '--var', 'A'], 'write it as NAME=value'],
    [['run', 'a.yaml', 'b.yaml'], 'usage: errand run'],
    [['runs', 'show'], 'usage: errand runs show <id>'],
    [['runs', 'events', 'run_1', '--after', 'abc'], '--after is "abc"'],
    [['run', 'x.yaml', '--detach'], 'a run on this machine ends with the command'],
  ] as const) {
    const { code, stderr } = await errand.run(args)
    assert.equal(code, 2, args.join(' '))
    assert.ok(stderr.includes(hint), `${args.join(' ')}: ${stderr}`)
  }
})

test('a workflow also runs when the home is not a folder', async (t) => {
  const errand = flow(t, 'echo x')
  const { code, stderr } = await errand.run(['run', errand.file], { env: { HOME: '/dev/null' } })
  assert.equal(code, 0, stderr)
})

test('an error says that a file is where a folder should be', async (t) => {
  const errand = flow(t, 'echo x')
  for (const args of [
    ['up', '--port', '0', '--data', errand.file],
    ['runner', '--url', 'http://127.0.0.1:9', '--token', 'T', '--workspace', errand.file],
    ['agent-server', '--addr', ':0', '--token', 'T', '--data', errand.file],
    ['run', errand.file, '--state', errand.file],
  ]) {
    const { code, stderr } = await errand.run(args)
    assert.equal(code, 2, stderr)
    assert.match(stderr, /flow\.yaml is a file, not a folder\.\n +hint: Name another folder with --/)
  }
})

test('with --json an error is JSON too, with the same exit code', async (t) => {
  const errand = errandCommand(t)
  const bad = join(errand.home, 'bad.yaml')
  writeFileSync(bad, 'version: v0.1\nname: bad\nsteps:\n  - name: a\n    action: cmd.rum\n    target: [x]\n')
  const good = flow(t, 'true').file
  const nowhere = ['--url', 'http://127.0.0.1:9']
  const cases: [number, string, string[]][] = [
    [2, 'invalid_workflow', ['run', bad]],
    [2, 'invalid_workflow', ['dispatch', bad]],
    [2, 'invalid_workflow', ['run', '--hub', bad, ...nowhere]],
    [2, 'bad_request', ['run', join(errand.home, 'none.yaml')]],
    [2, 'bad_request', ['validate', join(errand.home, 'none.yaml')]],
    [2, 'bad_request', ['run', good, '--vra', 'A=1']],
    [2, 'bad_request', ['run', good, '--var', 'A']],
    [5, 'unavailable', ['run', '--hub', good, ...nowhere]],
    [5, 'unavailable', ['runs', 'logs', 'x', ...nowhere]],
    [5, 'unavailable', ['runners', 'list', ...nowhere]],
  ]
  for (const [exitCode, errorCode, args] of cases) {
    const { code, stdout, stderr } = await errand.run([...args, '--json'])
    assert.equal(code, exitCode, stderr)
    const { type, error } = JSON.parse(stdout)
    assert.deepEqual([type, error.code], ['error', errorCode], stdout)
    assert.ok(error.message.length > 0 && stderr.includes('hint:'))
    if (errorCode !== 'invalid_workflow') assert.ok(stderr.includes(error.message) && error.hint.length > 0)
    else {
      const [first, second] = error.details.problems
      assert.deepEqual([first.line, first.column, second.line], [5, 13, 6])
      assert.match(first.hint, /cmd\.run/)
    }
  }
})

test('a missing or invalid workflow file ends with 2, and lists every mistake with its line', async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'bad.yaml')
  writeFileSync(file, 'version: v0.1\nname: bad\nsteps:\n  - name: a\n    action: cmd.rum\n    target: [x]\n')
  for (const words of [['validate'], ['run']]) {
    const { code, stderr } = await errand.run([...words, file])
    assert.equal(code, 2)
    assert.ok(stderr.includes(`${file}:5:`) && stderr.includes('did you mean "cmd.run"?'), stderr)
    assert.ok(stderr.includes(`${file}:6:`) && stderr.includes('hint: write targets: [x];'), stderr)
  }
  const missing = await errand.run(['run', join(errand.home, 'bda.yaml')])
  assert.equal(missing.code, 2)
  assert.match(missing.stderr, /did you mean "bad.yaml"/)
  const json = JSON.parse((await errand.run(['validate', file, '--json'])).stdout)
  assert.equal(json.valid, false)
  assert.ok(json.problems.length >= 2)
})

test("a file's warnings are shown when it is checked and when it is run, and both succeed", async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'graph.yaml')
  writeFileSync(
    file,
    `version: v0.1\nname: graph\nsteps:\n  - {name: a, action: vars.set, args: {vars: {TAG: v1}}, needs: []}\n  - {name: b, action: noop, when: '\${TAG:-}'}\n`,
  )
  const warning = `${file}:5:36: warning: when in step "b" reads TAG, which step "a" sets`
  for (const words of [['validate'], ['run'], ['run', '--output-path', join(errand.home, 'out')]]) {
    const { code, stderr } = await errand.run([...words, file])
    assert.equal(code, 0, stderr)
    assert.equal(stderr.split(warning).length, 2, stderr)
    assert.match(stderr, /hint: write needs: \["a"\]/)
  }
  const json = JSON.parse((await errand.run(['validate', file, '--json'])).stdout)
  assert.deepEqual([json.valid, json.problems[0].severity], [true, 'warning'])
})

test('a run ends with 0 or 1, and says why', async (t) => {
  const errand = flow(t, 'exit 4')
  const { code, stdout } = await errand.run(['run', errand.file])
  assert.equal(code, 1)
  assert.match(stdout, /one +local +failed +.* +exit code 4/)
})

test('a workflow is read from standard input, from an argument or with -f', async (t) => {
  const errand = flow(t, 'echo from stdin')
  const stdin = readFileSync(errand.file, 'utf8')
  for (const args of [
    ['run', '-'],
    ['run', '-f', '-'],
  ]) {
    const { code, stdout } = await errand.run(args, { stdin })
    assert.equal(code, 0)
    assert.ok(stdout.includes('local | from stdin'))
  }
})

test('--json prints one event per line and the run at the end', async (t) => {
  const errand = flow(t, 'echo hi; echo there >&2')
  const { code, stdout } = await errand.run(['run', errand.file, '--json', '--run-id', 'my-run'])
  assert.equal(code, 0)
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  const last = lines.pop()
  assert.deepEqual(
    lines.map((event) => event.seq),
    lines.map((_, index) => index + 1),
  )
  for (const { type, run_id, step, host } of lines) {
    assert.equal(run_id, 'my-run', type)
    if (/^(attempt|output)/.test(type)) assert.deepEqual([step, host], ['one', 'local'], type)
  }
  assert.equal(last.run_id, 'my-run')
  assert.equal(lines.find((event) => event.type === 'output' && event.stream === 'stdout').text, 'hi\n')
  assert.equal(last.type, 'result')
  assert.equal(last.run.run_id, 'my-run')
  assert.equal(last.run.status, 'success')
})

test("output in a pipe controls no terminal either, and has the steps' colors on request", async (t) => {
  const errand = flow(t, "printf '\\033[31mred\\033[2J\\033]52;c;aGk=\\007\\n'; echo bad >&2")
  const shown = async (args: string[], env: NodeJS.ProcessEnv = {}) =>
    (await errand.run(['run', errand.file, ...args], { env })).stdout
  for (const text of [
    await shown([]),
    await shown(['--color', 'never'], { FORCE_COLOR: '1' }),
    await shown([], { NO_COLOR: '1', FORCE_COLOR: '1' }),
  ])
    assert.match(text, /^> one\nlocal \| red\nlocal ! bad\n\n[^\x1b]*$/)
  for (const text of [await shown(['--color', 'always']), await shown([], { FORCE_COLOR: '1' })]) {
    assert.match(text, /\x1b\[31mred\x1b\[0m\n/)
    assert.doesNotMatch(text, /\x1b[^[]|\x1b\[2J|\x1b\[K/)
  }
  const wrong = await errand.run(['run', errand.file, '--color', 'sometimes'])
  assert.deepEqual([wrong.code, wrong.stdout], [2, ''])
})

test('Ctrl-C cancels, runs the finally steps, leaves no process and ends with 3', async (t) => {
  // A random time that no other process waits for. The pid would not do: it may be a prefix of another.
  const seconds = `98765.${randomInt(10 ** 9, 10 ** 10)}`
  const more = 'finally:\n  - name: last\n    action: cmd.run\n    args: {cmd: echo cleaned}\n'
  const errand = flow(t, `echo begun; sleep ${seconds}`, more)
  const run = errand.start(['run', errand.file])
  await run.until('local | begun')
  run.child.kill('SIGINT')
  const { code, stdout } = await run.finished
  assert.equal(code, 3)
  assert.ok(stdout.includes('local | cleaned'), stdout)
  assert.deepEqual(processesOf(seconds), [])
})

test('a second Ctrl-C ends steps that do not end', async (t) => {
  const errand = flow(t, "trap '' TERM INT; echo begun; while :; do sleep 0.1; done")
  const run = errand.start(['run', errand.file])
  await run.until('local | begun')
  run.child.kill('SIGINT')
  await run.until('canceling')
  run.child.kill('SIGINT')
  assert.equal((await run.finished).code, 3)
})

test('a reader that closes the pipe cancels the run quietly', async (t) => {
  const errand = flow(t, 'while :; do echo line; done')
  const run = errand.start(['run', errand.file])
  await run.until('line')
  run.child.stdout.destroy()
  const { code, stderr } = await run.finished
  assert.equal(code, 3)
  assert.equal(stderr, '')
})

test('output beyond max_output_bytes is not shown, and all of it is on disk', async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'flow.yaml')
  const folder = join(errand.home, 'out')
  mkdirSync(folder)
  writeFileSync(
    file,
    `version: v0.1\nname: flow\nsteps:\n  - name: one\n    action: cmd.run\n    args:\n      cmd: 'i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done'\n      max_output_bytes: 1000\n      output_path: ${folder}\n`,
  )
  const { code, stdout } = await errand.run(['run', file])
  assert.equal(code, 0)
  assert.ok(stdout.length < 3000)
  const path = /more on stdout; full output: (\S+)/.exec(stdout)![1]!
  const whole = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join('')
  assert.equal(
    createHash('sha256').update(readFileSync(path)).digest('hex'),
    createHash('sha256').update(whole).digest('hex'),
  )
})

test('--output-path saves the bytes of every step unchanged', async (t) => {
  const errand = flow(t, "printf '\\377\\000\\033[2Jend'")
  const folder = join(errand.home, 'out')
  const { code } = await errand.run(['run', errand.file, '--output-path', folder])
  assert.equal(code, 0)
  const [name] = readdirSync(folder).filter((one) => one.includes('stdout'))
  assert.deepEqual(readFileSync(join(folder, name!)), Buffer.from('\xff\x00\x1b[2Jend', 'latin1'))
})

test('an approval that nobody can give is refused with what to do about it', async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'flow.yaml')
  writeFileSync(file, 'version: v0.1\nname: flow\nsteps:\n  - name: ask\n    action: approval.wait\n')
  const refused = await errand.run(['run', file])
  assert.equal(refused.code, 1)
  assert.match(refused.stdout, /--approve "ask" or --yes/)
  assert.equal((await errand.run(['run', file, '--yes'])).code, 0)
  assert.equal((await errand.run(['run', file, '--approve', 'ask'])).code, 0)
  // These instances ask one after another.
  const more =
    '  - {name: ask, action: approval.wait, foreach: [a, b, c], max_parallel: 1}\n  - {name: go, action: noop}\n'
  writeFileSync(file, `version: v0.1\nname: flow\nsteps:\n${more}`)
  const all = await errand.run(['run', file, '--yes'])
  assert.equal(all.code, 0, all.stderr)
  assert.match(all.stdout, /^go +.* success/m)
  assert.equal((await errand.run(['run', file])).code, 1)
  for (const way of [
    ['run'],
    ['dispatch', '--token', 'T'],
    ['run', '--hub', '--url', 'http://127.0.0.1:9'],
  ]) {
    const wrong = await errand.run([...way, file, '--approve', 'akk'])
    assert.equal(wrong.code, 2, wrong.stderr)
    assert.match(wrong.stderr, /--approve names "akk".*\n.*did you mean "ask"\?/)
    assert.equal(wrong.stdout, '')
  }
})

test('a run saved with --state can be resumed after a kill', async (t) => {
  const errand = errandCommand(t)
  const file = join(errand.home, 'flow.yaml')
  const state = join(errand.home, 'state')
  const step = (name: string, cmd: string) =>
    `  - name: ${name}\n    action: cmd.run\n    args: {cmd: ${JSON.stringify(cmd)}}\n`
  const mark = join(errand.home, 'mark')
  writeFileSync(
    file,
    `version: v0.1\nname: flow\nsteps:\n${step('first', `echo first >> ${mark}`)}` +
      `${step('waits', `echo waiting; until [ -e ${mark}.go ]; do sleep 0.1; done`)}    retry: {max_attempts: 2}\n` +
      step('second', `echo second >> ${mark}`),
  )
  const run = errand.start(['run', file, '--state', state, '--run-id', 'kept'])
  await run.until('waiting')
  assert.equal(
    (await errand.run(['run', '--state', state, '--resume', 'kept'])).code,
    1,
    'it is already running',
  )
  run.child.kill('SIGKILL')
  await run.finished
  writeFileSync(`${mark}.go`, '')
  const { code, stdout } = await errand.run(['run', '--state', state, '--resume', 'kept'])
  assert.equal(code, 0, stdout)
  assert.equal(readFileSync(mark, 'utf8'), 'first\nsecond\n')
  assert.equal((await errand.run(['run', '--state', state, '--resume', 'none'])).code, 7)
})

test('commands for an unreachable hub end with 5 and say how to start one', async (t) => {
  const errand = errandCommand(t)
  const { code, stderr } = await errand.run(['runs', 'list', '--url', 'http://127.0.0.1:9'])
  assert.equal(code, 5)
  assert.match(stderr, /http:\/\/127\.0\.0\.1:9[\s\S]+errand up/)
})

test('a local run leaves nothing behind in the home folder', async (t) => {
  const errand = flow(t, 'echo hi')
  await errand.run(['run', errand.file])
  assert.equal(existsSync(join(errand.home, '.errand')), false)
  await eventually('an empty home', () => readdirSync(errand.home).join() === 'flow.yaml')
})
