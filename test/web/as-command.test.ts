import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCommand } from '../../src/cli/command.ts'
import { commands } from '../../src/cli/commands.ts'
import { type Action, asCommand, shellWord } from '../../web/data/as-command.ts'

const hostile = [
  "it's; rm -rf ~",
  '$(reboot) `reboot` "$HOME"',
  'a\nb',
  '--force',
  '-x',
  '*?[a]~!&|<>\\',
  'ü 🙂',
]

/** Returns the words that a real shell passes to `errand`, one list for each call, and the input of each call. */
function calls(command: string): { argv: string[]; input: string }[] {
  const folder = mkdtempSync(join(tmpdir(), 'as-command-'))
  const script = `errand() {
    for word in "$@"; do printf '%s\\0' "$word"; done >> calls
    printf '\\1' >> calls
    case " $* " in *' - '*) cat >> calls;; esac
    printf '\\2' >> calls
  }
  ${command}`
  execFileSync('/bin/sh', ['-c', script], { cwd: folder, env: { API_TOKEN: 'of the shell' } })
  const output = execFileSync('cat', ['calls'], { cwd: folder, encoding: 'utf8' })
  return output
    .split('\x02')
    .slice(0, -1)
    .map((one) => {
      const [words = '', input = ''] = one.split('\x01')
      return { argv: words.split('\0').slice(0, -1), input }
    })
}

/** Returns how the real command line parses it. Throws where it would refuse it. */
async function parsed([word, ...rest]: string[]) {
  const entry = commands[word!]
  assert.ok(entry, word)
  const loaded = await entry.load()
  if (!('commands' in loaded)) return { name: word!, ...parseCommand(word!, loaded, rest) }
  const [sub, ...others] = rest
  const found = loaded.commands[sub!]
  assert.ok(found, `${word} ${sub}`)
  const name = `${word} ${sub}`
  return { name, ...parseCommand(name, found, others) }
}

const run = 'run_0123'
const yaml = 'version: v0.1\nname: w\n# $HOME `x`\nYAML\n'
const rows: [Action, string, string[], Record<string, unknown>][] = [
  [{ do: 'cancel', run }, 'runs cancel', [run], {}],
  [{ do: 'cancel', run, force: true }, 'runs cancel', [run], { force: true }],
  [{ do: 'approve', run, step: 'ask' }, 'approve', [run, 'ask'], {}],
  [{ do: 'reject', run, step: 'ask', comment: 'no' }, 'reject', [run, 'ask'], { comment: 'no' }],
  [{ do: 'answer', run, request: 'q-1', answer: 'allow' }, 'agents answer', [run, 'q-1', 'allow'], {}],
  [
    { do: 'answer', run, request: 'q-1', answer: 'allow', attempt: 7, forSession: true },
    ...(['agents answer', [run, 'q-1', 'allow'], { attempt: '7', 'for-session': true }] as [
      string,
      string[],
      object,
    ]),
  ] as never,
  [
    { do: 'answer', run, request: 'q-1', answer: 'deny', reason: 'not now' },
    ...(['agents answer', [run, 'q-1', 'deny'], { reason: 'not now' }] as [string, string[], object]),
  ] as never,
  [{ do: 'retry', run, asked: { only: 'failed' } }, 'runs retry', [run], { failed: true }],
  [{ do: 'retry', run, asked: { only: 'all' } }, 'runs retry', [run], {}],
  [
    {
      do: 'retry',
      run,
      asked: { step: 'a > b', hosts: ['eu-2'], instances: [0], skip: ['n'], run_anyway: ['c'] },
    },
    'runs retry',
    [run],
    { step: 'a > b', host: ['eu-2'], instance: ['0'], skip: ['n'], 'run-anyway': ['c'] },
  ],
  [{ do: 'rollback', run }, 'runs rollback', [run], {}],
  [
    { do: 'bulk', action: 'retry', filter: { status: 'failed', since: '24h', 'input.region': 'eu' } },
    ...(['runs retry', [], { failed: true, filter: 'status:failed since:24h input.region:eu' }] as const),
  ] as never,
  [{ do: 'log', run, step: 'build@eu-1' }, 'runs logs', [run], { step: 'build@eu-1' }],
  [{ do: 'log', run, attempt: 3, stream: 'stderr' }, 'runs logs', [run], { attempt: '3', stream: 'stderr' }],
  [
    { do: 'artifact', run, name: 'out/report.xml' },
    'runs artifacts',
    [run, 'out/report.xml'],
    { output: 'report.xml' },
  ],
  [{ do: 'artifacts', run, folder: 'out' }, 'runs artifacts', [run], { all: 'out' }],
  [{ do: 'drain', runner: 'vm-1' }, 'runners drain', ['vm-1'], {}],
  [{ do: 'resume', runner: 'vm-1' }, 'runners resume', ['vm-1'], {}],
  [{ do: 'remove', runner: 'vm-1', force: true }, 'runners remove', ['vm-1'], { force: true }],
  [{ do: 'enrol-token', group: 'gpu' }, 'runners enroll-token', [], { group: 'gpu' }],
  [
    {
      do: 'ask',
      prompt: 'mend it',
      agent: 'codex',
      model: 'm',
      repo: 'https://g/r',
      ref: 'main',
      permissions: 'ask',
    },
    'agent',
    ['mend it'],
    {
      hub: true,
      detach: true,
      agent: 'codex',
      model: 'm',
      repo: 'https://g/r',
      ref: 'main',
      permissions: 'ask',
    },
  ],
  [
    { do: 'ask', prompt: 'look', attach: ['a b.png', '-x'] },
    'agent',
    ['look'],
    { hub: true, detach: true, attach: ['a b.png', '-x'] },
  ],
  [{ do: 'ask', run, prompt: 'go on' }, 'agent', ['go on'], { hub: true, detach: true, continue: run }],
  [{ do: 'task-cancel', task: 'task_1' }, 'task cancel', ['task_1'], {}],
  [{ do: 'task-delete', task: 'task_1' }, 'task delete', ['task_1'], {}],
  [{ do: 'diff', of: 'task', id: 'task_1' }, 'task diff', ['task_1'], {}],
  [{ do: 'diff', of: 'runs', id: run, commit: 2 }, 'runs diff', [run], { commit: '2' }],
  [{ do: 'diff', of: 'sessions', id: run }, 'sessions diff', [run], {}],
  [{ do: 'task-approve', task: 'task_1', comment: 'good' }, 'task approve', ['task_1'], { comment: 'good' }],
  [{ do: 'task-reject', task: 'task_1' }, 'task reject', ['task_1'], {}],
  [{ do: 'task-retry', task: 'task_1', from: 'push' }, 'task retry', ['task_1'], { from: 'push' }],
  [{ do: 'task-prompt', task: 'task_1', prompt: 'x y' }, 'task prompt', ['task_1', 'x y'], {}],
  [{ do: 'task-follow', task: 'task_1', follow: false }, 'task follow', ['task_1', 'off'], {}],
  [{ do: 'task-follow', task: 'task_1', follow: true }, 'task follow', ['task_1'], {}],
  [
    { do: 'task-run', issue: 'https://g/i/1', agent: 'codex', criteria: ['a b'], tests: [], plan: true },
    'task run',
    ['https://g/i/1'],
    { detach: true, agent: 'codex', criterion: ['a b'], plan: true },
  ],
  [
    { do: 'start', yaml, vars: { region: 'eu' }, secrets: ['API_TOKEN'], repository: 'acme/web' },
    'run',
    ['-'],
    { hub: true, var: ['region=eu', 'API_TOKEN=of the shell'], repository: 'acme/web' },
  ],
]

test('the command line understands each printed command as it was meant', async () => {
  for (const [action, name, args, values] of rows) {
    const command = asCommand(action)
    assert.ok(command)
    const [call, ...more] = calls(command)
    assert.equal(more.length, 0, command)
    const { name: found, args: provided, values: options } = await parsed(call!.argv)
    assert.deepEqual([found, provided, { ...options }], [name, args, values], command)
    if (action.do === 'start') assert.equal(call!.input, yaml)
  }
})

test('many runs are one line each', async () => {
  const command = asCommand({ do: 'each', action: 'retry', runs: ['run_1', 'run_2'] })!
  for (const { argv } of calls(command)) assert.equal((await parsed(argv)).values.failed, true)
  assert.equal(calls(command).length, 2)
})

test('a filter that words cannot express gives no command', () => {
  const of = (filter: Record<string, string>) => asCommand({ do: 'bulk', action: 'cancel', filter })
  assert.equal(of({ workflow: 'two words' }), undefined)
  assert.equal(of({ unheard: 'x' }), undefined)
  assert.equal(of({ q: 'a:b' }), undefined)
  assert.equal(of({}), undefined, 'all runs are not changed by mistake')
})

test('any text in names, prompts and values stays unchanged, and no shell executes it', async () => {
  for (const text of hostile) {
    assert.deepEqual(calls(`errand ${shellWord(text)}`)[0]!.argv, [text])
    const [approve] = calls(asCommand({ do: 'approve', run, step: text, comment: text })!)
    assert.deepEqual((await parsed(approve!.argv)).args, [run, text])
    assert.equal((await parsed(approve!.argv)).values.comment, text)
    const [ask] = calls(asCommand({ do: 'ask', prompt: text })!)
    assert.deepEqual((await parsed(ask!.argv)).args, [text])
    const [start] = calls(asCommand({ do: 'start', yaml: text, vars: { a: text } })!)
    assert.deepEqual((await parsed(start!.argv)).values.var, [`a=${text}`])
    assert.equal(start!.input, `${text}\n`)
    const [argv_] = calls(asCommand({ do: 'artifact', run, name: text })!)
    assert.deepEqual((await parsed(argv_!.argv)).args, [run, text])
  }
})
